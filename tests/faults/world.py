"""A landscape in one thread that is crashed by putting back what was durable at a moment, and building a new bus on it.

Clock, chance, ledger and, where the channels are on RabbitMQ, the broker are handed in. The ledger is in memory and
forgets what was not committed; the partners' folders are real ones, best on a disk in memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from bus.app import App, Surroundings
from bus.channels.store import SHIFT
from bus.config import Landscape
from bus.errors import Retryable
from bus.landscape import TemplateLimits
from bus.ledger.store import Store
from bus.message import decode
from bus.registry import Registry
from bus.runtime import splitting
from bus.testing.bank import Answers
from bus.testing.clock import ManualClock
from bus.testing.judge import Judgement, Scene, judge
from bus.testing.landscape import Town, local_edges, schemas
from bus.testing.payrun import Mix, PaymentRun
from bus.testing.wire import MemoryRabbit, Misbehaviour
from transforms.template.worker import Bundle, TemplateWorker

_DAY = date(2026, 11, 24)
_PHASE = 3_600_000
_REST = 60_000
_MOST_TURNS = 2_000
_IDLE = 5
"""Turns without work until time passes: a broker hands out what it was only just asked for."""
_MIX = Mix(foreign=0.1, large=0.05, unplaced=0.05)
# Numbers of ledger rows in the ERP's statuses: a crash leaves gaps in them, and they mean nothing outside the ledger.
_NUMBERS = re.compile(rb'"(?:id|number)":\d+')

PHASES = 3
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
_STATE = (
    "SELECT channel, state FROM lane ORDER BY id",
    "SELECT * FROM arrival",
    "SELECT due, channel, number, code, reason, payload, line FROM deferred ORDER BY id",
    "SELECT channel, number, until, predicate, code, case_id, payload FROM held ORDER BY id",
    "SELECT channel, number, code, reason, case_id, payload FROM dead ORDER BY id",
    "SELECT id, parent_id, step, version, state, next_index, unreported, money, outcomes FROM batch ORDER BY id",
    "SELECT * FROM gathering ORDER BY id",
    "SELECT * FROM member ORDER BY id",
    "SELECT id, sink, number, state, CASE WHEN state <> 'delivered' THEN receipt END FROM outbound",
    "SELECT * FROM instruction ORDER BY id",
    "SELECT * FROM remembered",
    "SELECT * FROM resequencing ORDER BY id",
    "SELECT * FROM parked",
    "SELECT id, fingerprint, code, summary, state, context, count FROM cases ORDER BY id",
    "SELECT place, outcome, currency, count, amount FROM tally",
    "SELECT leg FROM inbox",
    "SELECT key, value FROM meta WHERE key <> 'epoch'",
)
_STARTING = ("commit.epoch", "commit.version", "commit.declare")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is the same for all lives of a world.

    Attributes:
        seed: of the ERP's payment runs and of the broker's chance.
        lines: of the good payment run.
        chunk: parts of a split per commit, so few that a small file already takes several.
        backbone: where the channels are, ``store`` or ``rabbitmq``.
        doubled: share of messages that the broker stores twice.
        shuffled: the broker hands out in any order.
        failing: the publications to the broker with these numbers fail half-way.
        refused: the commits of segments with these numbers are refused, because somebody was first.
        troubled: the effects with these numbers fail before they happen, with an error that is retried.

    All numbers count from 1, over all lives of the world.
    """

    seed: int = 1161
    lines: int = 24
    chunk: int = 10
    backbone: str = "store"
    doubled: float = 0.0
    shuffled: bool = False
    failing: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()
    troubled: frozenset[int] = frozenset()

    @property
    def settled(self) -> bool:
        """Every life makes the same bytes and facts; else order and company of messages may differ, and we judge."""
        return not (self.shuffled or self.refused or self.troubled)


class Remembering(TemplateWorker):
    """Renders what was never rendered before in a process; a template makes the same of the same values."""

    def __init__(self) -> None:
        super().__init__(TemplateLimits())
        self._made: dict[tuple[str, str], str] = {}

    def render(self, bundle: Bundle, values: dict[str, Any]) -> str:
        """The text."""
        about = (bundle.key, repr(values))
        if about not in self._made:
            self._made[about] = super().render(bundle, values)
        return self._made[about]


@dataclass(slots=True)
class Kept:
    """Everything durable at one moment."""

    folder: Path
    store: bytes
    clock: int
    phase: int
    counts: tuple[int, int]
    rabbit: tuple[dict[str, list[tuple[bytes, bytes]]], Any, int] | None


@dataclass
class World:
    """Partners and ledger, which survive a crash, and the bus of the moment, which does not.

    Args:
        base: a folder; the world is in ``now`` below it, kept moments beside.
        landscape: loaded.
        effect: called at every effect; it may keep the moment.
        around: the circumstances.
        templates: shared by all lives.
    """

    base: Path
    landscape: Landscape
    catalogue: Registry
    effect: Callable[[str], None]
    around: Circumstances = field(default_factory=Circumstances)
    templates: TemplateWorker = field(default_factory=Remembering)

    def __post_init__(self) -> None:
        self.folder = self.base / "now"
        self.folder.mkdir(parents=True)
        self.clock = ManualClock()
        self.start = self.clock.now()
        splitting.CHUNK = self.around.chunk
        self.phase = 0
        self.edges = local_edges(self.folder / "partners")
        self.local = self.folder / "partners" / "local" / ".bus"
        self.rabbit = self._rabbit()
        self.store = Store(None, effect=self._effect)
        self.town = self._town()
        self.runs = self._runs()
        self._bus: App | None = None
        self._effects = self._segments = self._keeping = 0
        self._contents: dict[tuple[int, int, int], bytes] = {}

    def _rabbit(self) -> MemoryRabbit | None:
        around = self.around
        if around.backbone == "store":
            return None

        bad = Misbehaviour(around.doubled, around.shuffled, around.failing)
        return MemoryRabbit(Random(around.seed), bad)  # noqa: S311 - repeatable

    def _town(self) -> Town:
        answers = Answers(reject_permille=150)
        return Town(self.folder / "partners", self.clock, seed=self.around.seed, answers=answers)

    def _runs(self) -> list[PaymentRun]:
        """One good run, the same again under another name, and a small one with a wrong trailer."""
        erp = self.town.erp
        good = erp.payment_run(1, self.around.lines, bad_share=0.13, mix=_MIX)
        runs = [good, good.duplicate("PAYRUN_20261124_AGAIN.csv"), erp.payment_run(2, 4, mix=_MIX).wrong_sum()]
        for run in runs:
            erp.drop(run)
        return runs

    @property
    def app(self) -> App:
        """The bus of this life, over what is durable."""
        if self._bus is None:
            source, sink = self.edges
            chance = Random(1)  # noqa: S311 - repeatable
            around = Surroundings(self.clock, chance, self._effect, self.catalogue, source, sink, store=self.store)
            around.wire = self.rabbit.wire() if self.rabbit is not None else None
            around.templates = self.templates
            self._bus = App(ROUTES, around, home=self.folder / "home", landscape=self.landscape)
        return self._bus

    def _effect(self, label: str) -> None:
        self.effect(label)
        if label == "commit.segment:before":
            self._segments += 1
            if self._segments in self.around.refused:
                raise Retryable("SYS121", "somebody was first", hint="it runs again")
        if label.endswith(":before") and not label.startswith(_STARTING):
            self._effects += 1
            if self._effects in self.around.troubled:
                raise Retryable("SYS111", "it is refused", hint="it runs again")

    # ------------------------------------------------------------ crashes

    def keep(self) -> Kept:
        """What is durable now, to be revived later."""
        self._keeping += 1
        folder = self.base / f"kept-{self._keeping}"
        _link_tree(str(self.folder), str(folder))
        broker = self.rabbit
        queues = {name: list(queue) for name, queue in broker.queues.items()} if broker else {}
        rabbit = (queues, broker.chance.getstate(), broker.published) if broker else None
        data = self.store._connection.serialize("main")
        return Kept(folder, data, self.clock.now(), self.phase, (self._effects, self._segments), rabbit)

    def revive(self, kept: Kept, *, hasty: bool) -> None:
        """Crash, and be at a kept moment; ``hasty`` partners take what they see before the bus is back."""
        shutil.rmtree(self.folder)
        _link_tree(str(kept.folder), str(self.folder))
        self._bus = None
        self.store._connection.deserialize("main", kept.store)
        self.store._next_number = self.store._last_reserved = 0
        self.store._serials.clear()
        self.store._tail.forget()
        self.clock.advance(kept.clock - self.clock.now())
        self.phase = kept.phase
        self._effects, self._segments = kept.counts
        if self.rabbit is not None and kept.rabbit is not None:
            queues, chance, published = kept.rabbit
            self.rabbit.queues = {name: deque(queue) for name, queue in queues.items()}
            self.rabbit.chance.setstate(chance)
            self.rabbit.published = published
        self.town = self._town()
        if hasty:
            self.town.collect(self.local)
        while hasty and self.town.work_once():
            pass

    def fingerprint(self) -> tuple[object, ...]:
        """What is durable now: two effects between which nothing of it changed are the same place to crash."""
        tree = tuple(_tree(str(self.folder)))
        queues = tuple((q, len(m)) for q, m in self.rabbit.queues.items()) if self.rabbit is not None else ()
        return (self.store._connection.total_changes(), self.clock.now(), self.phase, tree, queues)

    def state(self) -> bytes:
        """A hash over all that decides how it goes on from here, but the number of the next owner.

        History and index of business keys are only written. Positions in a channel tell nothing but the order.
        """
        read = self.store.read
        lanes = {row[0]: n for n, row in enumerate(read("SELECT id FROM lane ORDER BY id"))}
        found: list[object] = [self.clock.now(), self.phase]
        found += [read(sql) for sql in _STATE]
        found += [(lanes[i >> SHIFT], payload) for i, payload in read("SELECT id, payload FROM queued ORDER BY id")]
        found += [(lanes.get(lane, -1), batch) for lane, batch in read("SELECT lane, id FROM batch ORDER BY id")]
        if self.rabbit is not None:
            published = _until(self.rabbit.published, self.around.failing)
            found += [list(self.rabbit.queues.items()), published, self.rabbit.chance.getstate()]
        found += [_until(self._effects, self.around.troubled), _until(self._segments, self.around.refused)]
        for path, size, inode in _tree(str(self.folder)):
            name = path.rpartition("/")[0] if "/tmp/" in path else path
            found.append((name, self._content(path, size, inode)))
        return hashlib.blake2b(repr(found).encode(), digest_size=16).digest()

    def _content(self, path: str, size: int, inode: int) -> bytes:
        """Hash of a file; that of one which nobody has touched since is remembered."""
        about = (inode, size, os.stat(path).st_mtime_ns)  # noqa: PTH116 - a hundred thousand times a minute
        if about not in self._contents:
            self._contents[about] = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
        return self._contents[about]

    # ------------------------------------------------------------ life

    def go_on(self) -> Iterator[int]:
        """Live to the end, each phase to rest and on a clock of its own; tells each phase that has ended."""
        while self.phase < PHASES:
            self._begin_phase()
            self._rest()
            for _ in range(2):  # nothing may wake up later
                self.clock.advance(_REST)
                self._rest()
            for _ in range(_PHASE // _REST // 2):
                if not self.store.read("SELECT EXISTS (SELECT 1 FROM deferred)")[0][0]:
                    break
                self.clock.advance(_REST)
                self._rest()
            yield self.phase
            self.phase += 1
            self._begin_phase()
            self.town.collect(self.local)
            if self.phase == 1:
                while self.town.work_once():
                    pass
            elif self.phase == 2:
                for bank in self.town.banks.values():
                    bank.statement(_DAY)

    def _begin_phase(self) -> None:
        self.clock.advance(self.start + self.phase * _PHASE - self.clock.now())

    def _rest(self) -> None:
        """Turn until nothing moves; what rests for a while, or was refused, is given that while."""
        idle = 0
        for _ in range(_MOST_TURNS):
            try:
                idle = 0 if self.app.bus.turn() else idle + 1
            except Retryable:  # a thread of the bus would try again in a second
                idle = _IDLE
            if idle and self.app.broker.at_rest():
                return
            if idle >= _IDLE:
                self.clock.advance(1_000)
        raise AssertionError("the bus does not come to rest")

    def judgement(self) -> Judgement:
        """What the partners have, compared with what was sent."""
        return judge(Scene(self.town, self.runs, self.store.read, self.folder / "home", schemas(), self.local))

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


ROUTES = Path(__file__).parents[2] / "routes"


def _until(count: int, numbers: frozenset[int]) -> int:
    """How far a count is, as long as one of the numbers still lies ahead: beyond the last it decides nothing."""
    return min(count, max(numbers, default=0))


def _tree(folder: str) -> Iterable[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _tree(entry.path)
            else:
                facts = entry.stat(follow_symlinks=False)
                yield entry.path, facts.st_size, facts.st_ino


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
