"""The whole landscape in one thread, crashed at every single effect, then at pairs and triples of effects.

``python -m tests.faults.simulation`` runs it; ``--points 120,7`` crashes at the 120th effect of the first life and the
7th of the second, and tells what became of it. Clock, chance and ledger are injected; the ledger forgets what was not
committed. At a chosen effect the process is forked: the child stops right there, without any clean-up, builds a new bus
over what is durable and goes on. The parent waits and goes on to the next effect.

The landscape lives in three phases: payments out, statuses in, statements in; each ends when nothing moves any more. A
crashed life must then have made the same bytes and the same facts in the ledger as the undisturbed one, to the last
count and sum. Once it has, its future is the same as well, and it is let go; else it lives to the end, and is judged.

After a crash around the publishing of a file there is one more run in which the banks take what they see before the bus
is back: then not even the file is there to tell whether it was sent.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from bus.app import App, Surroundings
from bus.config import Landscape, load_landscape
from bus.errors import Retryable, Stalled
from bus.ledger.store import Store, no_effect
from bus.message import decode
from bus.ports import EffectHook
from bus.registry import Registry
from bus.runtime import splitting
from bus.testing.bank import Answers
from bus.testing.clock import ManualClock
from bus.testing.judge import Judgement, Scene, judge
from bus.testing.landscape import Town, local_edges, schemas
from bus.testing.payrun import Mix, PaymentRun
from bus.testing.wire import MemoryRabbit, Misbehaviour

ROUTES = Path(__file__).parents[2] / "routes"
_DAY = date(2026, 11, 24)
_PHASE = 3_600_000
_REST = 60_000
_MOST_TURNS = 2_000
_CHUNK = 10
"""Parts of a split per commit, so that a small file already takes several."""
_MIX = Mix(foreign=0.1, large=0.05, unplaced=0.05)
# Numbers of ledger rows in the ERP's statuses: a crash leaves gaps in them, and they mean nothing outside the ledger.
_NUMBERS = re.compile(rb'"(?:id|number)":\d+')

_PHASES = 3
_FACTS = (
    "SELECT count(*) FROM queued",
    "SELECT count(*) FROM deferred",
    "SELECT count(*) FROM member",
    "SELECT channel, state, count(*) FROM lane GROUP BY 1, 2",
    "SELECT id, endpoint, sha256, n, name, state, outcome FROM arrival",
    "SELECT id, sink, state FROM outbound",
    "SELECT parent_id, step, state, next_index, unreported, money, outcomes FROM batch",
    "SELECT route, step, key, release, channel, count, money, correlation, state FROM gathering",
    "SELECT partner, message_id, payment_information_id, end_to_end_id, amount, status, reason FROM instruction",
    "SELECT scope, key, value FROM remembered",
    "SELECT fingerprint, code, summary, state, count FROM cases",
    "SELECT place, outcome, currency, count, amount FROM tally",
    "SELECT value, name, count(*) FROM business_key GROUP BY 1, 2",
)
_SENDING = ("sink.", "commit.requested", "commit.delivered")

Points = tuple[int, ...]
"""Number of the effect at which each life ends, counted from 1 in each; after the last one the bus lives on."""


@dataclass(slots=True)
class Outcome:
    """What became of a crashed run."""

    points: Points
    labels: list[str]
    hasty: bool = False
    story: str = ""
    """Empty when nothing is wrong."""


@dataclass
class World:
    """Partners and ledger, which survive a crash, and the bus of the moment, which does not."""

    folder: Path
    landscape: Landscape
    catalogue: Registry
    effect: Callable[[str], None]
    clock: ManualClock = field(default_factory=ManualClock)
    rabbit: MemoryRabbit | None = None
    """The broker that keeps the channels; without one they are in the store."""
    phase: int = 0

    def __post_init__(self) -> None:
        partners = self.folder / "partners"
        self.start = self.clock.now()
        self.town = Town(partners, self.clock, seed=1161, answers=Answers(reject_permille=150))
        self.edges = local_edges(partners)
        self.store = Store(None, effect=self.effect)
        self.runs = self._runs()
        self.app = self.bus()

    def _runs(self) -> list[PaymentRun]:
        """One good run of 24 lines, the same again under another name, and a small one with a wrong trailer."""
        erp = self.town.erp
        good = erp.payment_run(1, 24, bad_share=0.13, mix=_MIX)
        runs = [good, good.duplicate("PAYRUN_20261124_AGAIN.csv"), erp.payment_run(2, 4, mix=_MIX).wrong_sum()]
        for run in runs:
            erp.drop(run)
        return runs

    def bus(self) -> App:
        """A new bus over what is durable."""
        source, sink = self.edges
        chance = Random(1)  # noqa: S311 - repeatable
        around = Surroundings(self.clock, chance, self.effect, self.catalogue, source, sink, store=self.store)
        around.wire = self.rabbit.wire() if self.rabbit is not None else None
        return App(ROUTES, around, home=self.folder / "home", landscape=self.landscape)

    def crash(self, *, hasty: bool) -> None:
        """Forget everything that was only in memory; ``hasty`` banks take what they see before the bus is back."""
        while hasty and self.town.work_once():
            pass
        self.store._next_number = self.store._last_reserved = 0
        self.app = self.bus()

    def go_on(self) -> Iterator[int]:
        """Live to the end, each phase to rest and on a clock of its own; tells each phase that has ended."""
        while self.phase < _PHASES:
            self.clock.advance(self.start + self.phase * _PHASE - self.clock.now())
            self._rest()
            for _ in range(2):  # nothing may wake up later
                self.clock.advance(_REST)
                self._rest()
            yield self.phase
            self.phase += 1
            if self.phase == 1:
                while self.town.work_once():
                    pass
            elif self.phase == 2:
                for bank in self.town.banks.values():
                    bank.statement(_DAY)

    def _rest(self) -> None:
        for _ in range(_MOST_TURNS):
            try:
                if not self.app.bus.turn() and self.app.broker.at_rest():
                    return
            except Stalled:  # a thread of the bus would try again in a second
                self.clock.advance(1_000)
        raise AssertionError("the bus does not come to rest")

    def judgement(self) -> Judgement:
        """What the partners have, compared with what was sent."""
        partners, home = self.folder / "partners", self.folder / "home"
        scene = Scene(self.town, self.runs, self.store.read, home, schemas(), partners / "local" / ".bus")
        return judge(scene)

    def facts(self) -> dict[str, object]:
        """Every file at the partners by path, and every fact of the ledger but numbers of rows and moments."""
        partners = self.folder / "partners"
        files = [path for path in partners.rglob("*") if path.is_file()]
        found: dict[str, object] = {str(p.relative_to(partners)): _NUMBERS.sub(b"", p.read_bytes()) for p in files}
        for sql in _FACTS:
            found[sql] = sorted(self.store.read(sql), key=repr)
        for table in ("held", "dead"):
            rows = self.store.read(f"SELECT channel, code, reason, payload FROM {table}")  # noqa: S608 - two names
            found[table] = sorted((*row[:3], decode(row[3]).headers.id) for row in rows)
        return found

    def fingerprint(self) -> tuple[object, ...]:
        """What is durable now: two effects between which nothing of it changed are the same place to crash."""
        tree = tuple(_tree(str(self.folder)))
        queues = tuple((q, len(m)) for q, m in self.rabbit.queues.items()) if self.rabbit is not None else ()
        return (self.store._connection.total_changes(), self.clock.now(), self.phase, tree, queues)


def _tree(folder: str) -> Iterable[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _tree(entry.path)
            else:
                facts = entry.stat(follow_symlinks=False)
                yield entry.path, facts.st_size, facts.st_ino


class Simulation:
    """Walks through one undisturbed life and forks a child for every crash that is asked for.

    Args:
        base: an empty folder, best in memory.
        landscape: loaded.
        rabbit: makes the broker, or None for channels in the store.
        refused: numbers of the commits of segments that are refused in each life's beginning.
    """

    def __init__(
        self,
        base: Path,
        landscape: Landscape,
        catalogue: Registry,
        rabbit: Callable[[], MemoryRabbit | None],
        refused: Iterable[int] = (),
    ) -> None:
        self.base = base
        self._refused = frozenset(refused)
        self._rabbit = rabbit
        self.stop = False
        """Look no further after the first finding."""
        self._landscape = landscape
        self._catalogue = catalogue
        self._reference: list[dict[str, object]] = []
        self._hook: EffectHook = no_effect
        self._segments = 0
        self.story = ""
        """What is wrong already without a crash."""
        self.labels = self._undisturbed()
        self.places = 0
        """Different durable states among the effects of the undisturbed life."""

    def _world(self) -> World:
        shutil.rmtree(self.base / "now", ignore_errors=True)
        self._segments = 0
        return World(self.base / "now", self._landscape, self._catalogue, self._effect, rabbit=self._rabbit())

    def _effect(self, label: str) -> None:
        self._hook(label)  # another one in each life
        if label == "commit.segment:before":
            self._segments += 1
            if self._segments in self._refused:
                raise Retryable("SYS121", "somebody was first", hint="it runs again")

    def _undisturbed(self) -> list[str]:
        labels: list[str] = []
        self._hook = labels.append
        try:
            world = self._world()
            for _ in world.go_on():
                self._reference.append(world.facts())
            self.story = world.judgement().story()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self.story = f"{type(error).__name__}: {error}"
        return labels

    def singles(self, chosen: Callable[[int, str], bool]) -> Iterable[Outcome]:
        """A crash at every effect that is ``chosen`` (number, label) and has a durable state of its own."""
        seen: set[int] = set()

        def follow_ups(world: World, number: int, label: str) -> list[Outcome]:
            state = hash(world.fingerprint())
            new = state not in seen
            seen.add(state)
            self.places = len(seen)
            if not new or not chosen(number, label):
                return []
            found = [Outcome((number,), [label])]
            if world.phase == 0 and label.startswith(_SENDING):
                found.append(Outcome((number,), [label], hasty=True))
            return found

        return self._walk(follow_ups)

    def crashes(self, plan: Iterable[Points], *, hasty: bool = False) -> Iterable[Outcome]:
        """A run for each of these lists of points."""
        by_first: dict[int, list[Points]] = {}
        for points in plan:
            by_first.setdefault(points[0], []).append(points)
        return self._walk(lambda _world, number, label: [Outcome(p, [label], hasty) for p in by_first.get(number, [])])

    def _walk(self, follow_ups: Callable[[World, int, str], list[Outcome]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        number = 0
        building: list[World] = []

        def effect(label: str) -> None:
            nonlocal number
            number += 1
            for asked in follow_ups(building[0], number, label) if building else ():
                outcomes.append(self._child(building[0], asked))
                if self.stop and outcomes[-1].story:
                    raise _End

        self._hook = effect
        with suppress(_End):
            building.append(self._world())
            for _ in building[0].go_on():
                continue
        return outcomes

    def _child(self, world: World, asked: Outcome) -> Outcome:
        """Fork, crash in the child, and give the partners' folders back to the parent as they were."""
        now, kept = self.base / "now", self.base / "kept"
        copy = self.base / "copy"
        _link_tree(str(now), str(copy))
        now.rename(kept)  # open files of the parent stay with it
        copy.rename(now)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            with os.fdopen(writing, "wb") as told:
                pickle.dump(self._after(world, asked), told)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            answer = told.read()
        os.waitpid(child, 0)
        shutil.rmtree(now)
        kept.rename(now)
        if answer:
            asked = pickle.loads(answer)  # noqa: S301 - our own child
        else:
            asked.story = "the child died"
        return asked

    def _after(self, world: World, outcome: Outcome) -> Outcome:
        """In the child, inside the effect that was hit: nothing above this frame ever runs again."""
        try:
            with suppress(_End):
                self._live(world, list(outcome.points[1:]), outcome)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
            outcome.story = f"{type(error).__name__}: {error}"
        return outcome

    def _live(self, world: World, later: list[int], outcome: Outcome) -> None:
        number = 0

        def effect(label: str) -> None:
            nonlocal number
            number += 1
            if later and number == later[0]:
                outcome.labels.append(label)
                self._live(world, later[1:], outcome)
                raise _End  # the life that was hit has ended; its successor has told everything

        self._hook = effect
        world.crash(hasty=outcome.hasty)
        different = ""
        for phase in world.go_on():
            if not outcome.hasty:  # other arrival numbers at a hasty bank make other reports
                differs = _difference(world.facts(), self._reference[phase])
                if not differs and not different:
                    return
                different = different or f"different after phase {phase + 1}: {differs}"
        outcome.story = "\n".join(filter(None, (world.judgement().story(), different)))


def _difference(facts: dict[str, object], reference: dict[str, object]) -> str:
    return ", ".join(sorted(n for n in facts.keys() | reference.keys() if facts.get(n) != reference.get(n)))


class _End(BaseException):
    """Nothing above this frame matters any more: the last life came to its end, or enough was found."""


def _link_tree(old: str, new: str) -> None:
    """A copy of a tree; files that nobody writes in place are links."""
    os.mkdir(new)  # noqa: PTH102 - a few hundred times a second
    with os.scandir(old) as entries:
        for entry in entries:
            target = f"{new}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                _link_tree(entry.path, target)
            elif entry.name == "journal.jsonl" or old.endswith("/tmp"):
                shutil.copy2(entry.path, target)
            else:
                os.link(entry.path, target)


# ---------------------------------------------------------------- the command


def sample(labels: int, pairs: int, triples: int, seed: int) -> list[Points]:
    """Pairs and triples of points by chance; the later ones are mostly early in their life, where recovery happens."""
    chance = Random(seed)  # noqa: S311 - repeatable

    def later() -> int:
        return chance.randint(1, 40) if chance.random() < 0.7 else chance.randint(1, labels)

    first = [chance.randint(1, labels) for _ in range(pairs + triples)]
    return [(n, later()) for n in first[:pairs]] + [(n, later(), later()) for n in first[pairs:]]


def broker(options: argparse.Namespace) -> MemoryRabbit | None:
    """A new broker in memory, as bad as the options want it."""
    if options.backbone == "store":
        return None
    return MemoryRabbit(
        Random(options.seed),  # noqa: S311 - repeatable
        Misbehaviour(options.doubled, options.shuffled, frozenset(options.failing)),
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the options say; returns what the command prints as JSON."""
    begin = time.perf_counter()
    gc.disable()  # children live for a quarter of a second
    splitting.CHUNK = _CHUNK
    catalogue = Registry()
    landscape = load_landscape(ROUTES, catalogue).require()
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="girobus-simulation-", dir=memory if memory.is_dir() else None))
    try:
        simulation = Simulation(base, landscape, catalogue, lambda: broker(options), options.refused)
        simulation.stop = options.stop
        gc.freeze()
        part, parts = options.part
        count = len(simulation.labels)
        outcomes: list[Outcome] = []
        if simulation.story:
            outcomes.append(Outcome((), [], story=f"already without a crash: {simulation.story}"))
        elif options.points:
            outcomes += simulation.crashes([options.points], hasty=options.hasty)
        else:
            outcomes += simulation.singles(lambda n, label: n % parts == part and label.startswith(options.only))
            plan = sample(count, options.pairs, options.triples, options.seed)
            mine = plan[part::parts]
            outcomes += simulation.crashes(mine[::2])
            outcomes += simulation.crashes(mine[1::2], hasty=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    red = [outcome for outcome in outcomes if outcome.story]
    return {
        "effects": count,
        "labels": dict(sorted(Counter(simulation.labels).items())),
        "places": simulation.places,
        "runs": len(outcomes),
        "crashes": sum(len(outcome.points) for outcome in outcomes),
        "seed": options.seed,
        "red": [{"points": o.points, "labels": o.labels, "hasty": o.hasty, "story": o.story} for o in red],
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _table(found: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name:8} {value}" for name, value in found.items() if name not in ("red", "labels"))
    for one in found["red"]:
        points = ",".join(map(str, one["points"])) + (" --hasty" if one["hasty"] else "")
        yield f"RED at --points {points} ({' then '.join(one['labels'])})\n{one['story']}"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulation", description=__doc__)
    parser.add_argument(
        "--part", type=lambda text: tuple(map(int, text.split("/"))), default=(0, 1), help="0/2: every second point"
    )
    parser.add_argument("--pairs", type=int, default=0, help="how many pairs of points by chance")
    parser.add_argument("--triples", type=int, default=0, help="how many triples of points by chance")
    parser.add_argument("--seed", type=int, default=1, help="of the chance")
    parser.add_argument(
        "--points", type=lambda text: tuple(map(int, text.split(","))), default=(), help="only these, as `120,7`"
    )
    parser.add_argument("--only", default="", metavar="LABEL", help="single crashes only at effects that begin so")
    parser.add_argument("--stop", action="store_true", help="look no further after the first finding")
    parser.add_argument("--hasty", action="store_true", help="with --points: banks take what they see at the crash")
    parser.add_argument("--backbone", choices=("store", "rabbitmq"), default="store", help="where the channels are")
    parser.add_argument("--doubled", type=float, default=0.0, help="share of messages that the broker stores twice")
    parser.add_argument("--shuffled", action="store_true", help="the broker hands out in any order")
    parser.add_argument(
        "--failing", type=lambda text: tuple(map(int, text.split(","))), default=(), help="publications that fail"
    )
    parser.add_argument(
        "--refused",
        type=lambda text: tuple(map(int, text.split(","))),
        default=(),
        help="commits of segments that are refused because somebody was first",
    )
    parser.add_argument("--json", action="store_true", help="one line for programs")
    options = parser.parse_args(arguments)
    found = run(options)
    lines = [json.dumps(found)] if options.json else _table(found)
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found["red"] else 0


if __name__ == "__main__":
    sys.exit(main())
