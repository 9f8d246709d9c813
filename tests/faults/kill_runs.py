"""kill -9 of the bus while payment runs, answers and statements go through real OpenSSH servers.

``python -m tests.faults.kill_runs [--full]``: the process dies at chosen effects, every labelled one at least once, and
at moments by chance; each time a new one takes over. At the end everything is counted at the partners. Then the same
with a planted bug, which must be noticed. Prints what was hit, appends to ``build/faults.jsonl``, and ends with 1 when
anything is lost, doubled, wrong, under way or left over, an effect was never hit, or the bug passed unnoticed.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bus.testing.judge import Judgement
from bus.testing.sshd import OpenSshServer
from tests.faults.lives import EFFECTS, Death, Lives
from tests.faults.mailboxes import Mailboxes
from tests.faults.partners import Partners, table
from tests.faults.planted import BUGS, ROOT, plant

BUG = "ack-before-commit"
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Series:
    """A series of kills.

    Attributes:
        effects: to die at, once each.
        by_chance: how many more deaths, at moments by chance.
        lines: of each payment run; there is one for every life.
        patience: seconds in which everything must come to rest at the end.
        source: the tree that the bus is run from.
    """

    seed: int
    effects: tuple[str, ...] = EFFECTS
    by_chance: int = 6
    lines: int = 200
    patience: float = 120
    source: Path = ROOT


@dataclass(slots=True)
class Result:
    """What a series of kills found."""

    series: Series
    deaths: list[Death] = field(default_factory=list)
    verdict: Judgement = field(default_factory=Judgement)
    units: int = 0
    stuck: str = ""
    """Why the bus did not come to rest at the end."""
    seconds: float = 0.0

    @property
    def missed(self) -> list[str]:
        """Effects that were to be hit with a unit in flight, and were not."""
        hit = {name for death in self.deaths if death.in_flight for name in (death.effect, death.label)}
        return [effect for effect in self.series.effects if effect not in hit]

    @property
    def clean(self) -> bool:
        """Nothing is lost, doubled, wrong, under way or left over, and every effect was hit."""
        return self.verdict.clean and not self.stuck and not self.missed

    def line(self, fault: str) -> dict[str, object]:
        """For ``build/faults.jsonl``."""
        return {
            "fault": fault,
            "route": "bank-gateway",
            "units": self.units,
            "kills": sum(death.in_flight for death in self.deaths),
            "lost": len(self.verdict.lost),
            "doubled": len(self.verdict.doubled),
            "wrong": len(self.verdict.wrong),
            "under_way": len(self.verdict.unfinished),
            "left_over": len(self.verdict.left_over),
            "longest_recovery_s": round(max((death.recovery for death in self.deaths), default=0.0), 2),
            "seconds": round(self.seconds, 1),
            "seed": self.series.seed,
        }

    def text(self) -> Iterator[str]:
        """Which effects were hit, and what became of the payments."""
        at = Counter(death.label for death in self.deaths if death.in_flight)
        during = Counter(effect.partition(":")[0] for death in self.deaths for effect in death.doing)
        effects = sorted({label.partition(":")[0] for label in at} | set(during))
        rows = [(e, at[f"{e}:before"], at[f"{e}:after"], during[e]) for e in effects]
        yield table(rows, ("effect", "killed before it", "after it", "going on at a kill"))
        yield ""
        yield from (f"{name:20}{value}" for name, value in self.line("SIGKILL").items())
        if self.missed:
            yield f"{'never hit':20}{', '.join(self.missed)}"
        if self.stuck:
            yield f"{'stuck':20}{self.stuck}"
        if self.verdict.story():
            yield "\n" + self.verdict.story()


def run(series: Series, folder: Path, tell: Callable[[str], None] = lambda _text: None) -> Result:
    """Kill, let it come to rest, and judge."""
    begin = time.perf_counter()
    result = Result(series)
    chance = Random(series.seed)  # noqa: S311 - repeatable
    targets = [(effect, 1) for effect in series.effects] + [("", _TRIES)] * series.by_chance
    chance.shuffle(targets)
    with Mailboxes(folder) as boxes, Partners(boxes.partners, series.seed) as partners:
        lives = Lives(boxes, partners, chance, lines=series.lines, source=series.source)
        result.deaths = lives.deaths
        while targets:
            effect, tries = targets.pop(0)
            death = lives.live_and_die(effect)
            tell(f"{len(lives.deaths):4} {death}")
            if tries < _TRIES and not (death.in_flight and effect in (death.effect, death.label)):
                targets.insert(chance.randint(0, len(targets)), (effect, tries + 1))
        try:
            lives.rest(series.patience)
        except (TimeoutError, AssertionError) as error:
            result.stuck = str(error)
        result.verdict = lives.judge()
        result.units = sum(len(one.lines) for one in partners.runs if not one.fault)
        lives.close()
    result.seconds = time.perf_counter() - begin
    return result


def control(seed: int, folder: Path, bug: str = BUG, kills: int = 3) -> Result:
    """The same with a planted bug: it must not stay clean. Its window is open after every odd commit of a segment."""
    source = plant(bug, folder / "source")
    effects = (BUGS[bug].shows_at,) * kills
    return run(Series(seed, effects, by_chance=0, lines=40, patience=10, source=source), folder / "run")


# ---------------------------------------------------------------- the command


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill_runs", description=__doc__)
    parser.add_argument("--full", action="store_true", help="three times as many kills")
    parser.add_argument("--seed", type=int, default=0, help="repeat the choices of an earlier run")
    options = parser.parse_args(arguments)
    why = OpenSshServer.missing()
    if why:
        sys.stderr.write(f"{why}\n")
        return 5
    seed = options.seed or secrets.randbelow(10**6) + 1
    times = 3 if options.full else 1
    series = Series(seed, EFFECTS * times, by_chance=6 * times, patience=180 * times)
    _tell(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="girobus-kills-") as folder:
        found = run(series, Path(folder) / "kills", _tell)
        _tell("\n".join(found.text()))
        broken = control(seed, Path(folder) / "control")
        _tell(f"\ncontrol with the planted bug `{BUG}`: {'passed UNNOTICED' if broken.clean else 'noticed'}")
        _tell("\n".join(broken.text()))
    _append([found.line("SIGKILL"), broken.line(f"SIGKILL, planted {BUG}")])
    return 0 if found.clean and not broken.clean else 1


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _append(lines: list[dict[str, object]]) -> None:
    path = ROOT / "build" / "faults.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
