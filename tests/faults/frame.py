"""What a family of faults is, what it hands back, and how the families are found.

A family is one file in ``tests/faults/families``: a generator under :func:`fault` that makes something break again and
again while payments are on their way, lets everything come to rest, and yields a :class:`Result` for each route.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from bus.testing.judge import Judgement
from tests.faults import families
from tests.faults.partners import table
from tests.faults.planted import BUGS, JUDGED, ROOT, plant

HEADS = (
    "fault", "route", "units", "kills", "lost", "doubled", "wrong", "under way", "left over", "recovery s", "seconds",
    "seed", "verdict",
)  # fmt: skip


@dataclass(slots=True)
class Result:
    """What one fault did to one route.

    Attributes:
        fault: its name; a planted bug is named by ``planted`` besides.
        route: what ran meanwhile, on what.
        seed: repeats the choices.
        counted: what kind of thing broke: a key of :data:`tests.faults.runner.LEAST`, empty = not counted there.
        units: payments, or messages, that were judged.
        kills: how often something broke with a unit in flight.
        verdict: of the judge.
        recovery: the longest time in seconds from a break until work went on.
        seconds: that all of it took.
        stuck: why it did not come to rest; empty when it did.
        missed: what was to be hit and was not.
        planted: the bug that the tree had: then the result must *not* be clean.
        twin: the same without the bug, which must be clean: a slow machine, or a fault too hard, is no bug.
        story: more for people, printed above the table.
    """

    fault: str
    route: str
    seed: int
    counted: str = ""
    units: int = 0
    kills: int = 0
    verdict: Judgement = field(default_factory=Judgement)
    recovery: float = 0.0
    seconds: float = 0.0
    stuck: str = ""
    missed: list[str] = field(default_factory=list)
    planted: str = ""
    twin: Result | None = None
    story: str = ""

    @property
    def clean(self) -> bool:
        """Nothing is lost, doubled, wrong, under way or left over, and everything was hit."""
        return self.verdict.clean and not self.stuck and not self.missed

    @property
    def good(self) -> bool:
        """As it must be: clean, or with a planted bug found by what shows it, in a tree that is sound without it."""
        if not self.planted:
            return self.clean
        if self.twin is None or not (self.twin.clean and self.twin.kills and self.kills):
            return False
        shows = BUGS[self.planted].shown_by if self.planted in BUGS else JUDGED
        return bool(self.findings & set(shows))

    @property
    def findings(self) -> set[str]:
        """What is not as it must be, by the heads of the table."""
        verdict = self.verdict
        found = {
            "lost": verdict.lost, "doubled": verdict.doubled, "wrong": verdict.wrong, "left over": verdict.left_over,
            "under way": verdict.unfinished or self.stuck,
        }  # fmt: skip
        return {name for name, those in found.items() if those}

    def line(self) -> dict[str, object]:
        """For ``build/faults.jsonl``."""
        verdict = self.verdict
        return {
            "fault": self.fault,
            "route": self.route,
            "planted": self.planted,
            "units": self.units,
            "kills": self.kills,
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "wrong": len(verdict.wrong),
            "under_way": len(verdict.unfinished),
            "left_over": len(verdict.left_over),
            "longest_recovery_s": round(self.recovery, 2),
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "good": self.good,
        }

    def row(self) -> tuple[object, ...]:
        """For the table, as :data:`HEADS`."""
        line = self.line()
        fault = f"{self.fault}, planted {self.planted}" if self.planted else self.fault
        said = ("found" if self.good else "NOT FOUND") if self.planted else ("clean" if self.good else "NOT CLEAN")
        figures = [line[name] for name in list(line)[3:-2]]
        return (fault, self.route, *figures, str(self.seed), said)

    def text(self) -> str:
        """What happened, and what is wrong, for people."""
        parts = [self.story, self.verdict.story()]
        parts += [f"never hit: {', '.join(self.missed)}"] if self.missed else []
        parts += [f"stuck: {self.stuck}"] if self.stuck else []
        if self.twin is not None and not (self.twin.clean and self.twin.kills):
            parts.append(f"without the bug, after {self.twin.kills} kills:\n{self.twin.text()}")
        return "\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Order:
    """What a family is asked for.

    Attributes:
        seed: of all that is left to chance.
        full: the long version.
        folder: empty, to work in; removed afterwards.
        name: of the fault; begins every line that is told.
    """

    seed: int
    full: bool
    folder: Path
    name: str

    def tell(self, text: str) -> None:
        """Say how far it is."""
        sys.stdout.write("".join(f"[{self.name}] {line}\n" for line in text.splitlines()))
        sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Fault:
    """A family.

    Attributes:
        story: what breaks, in one line.
        length: seconds that the short version takes, roughly; long ones begin first.
        missing: what this machine lacks for it, empty when nothing.
    """

    name: str
    story: str
    length: int
    work: Callable[[Order], Iterator[Result]]
    missing: Callable[[], str]


def beside_sound(bug: str, folder: Path, strike: Callable[[Path, Path], Result]) -> Result:
    """What a fault does to a tree with a bug in it, and beside that the same to the tree as it is.

    Args:
        bug: its name.
        folder: empty.
        strike: given a tree and a place to work in.
    """
    found = strike(plant(bug, folder / "source"), folder / "planted")
    found.planted, found.twin = bug, strike(ROOT, folder / "sound")
    return found


_FAULTS: dict[str, Fault] = {}


def fault(
    name: str, story: str, length: int, *needs: Callable[[], str]
) -> Callable[[Callable[[Order], Iterator[Result]]], Callable[[Order], Iterator[Result]]]:
    """Make a generator a family of faults; ``needs`` say what the machine lacks."""

    def register(work: Callable[[Order], Iterator[Result]]) -> Callable[[Order], Iterator[Result]]:
        _FAULTS[name] = Fault(name, story, length, work, lambda: next(filter(None, (need() for need in needs)), ""))
        return work

    return register


def keep_bytecode() -> None:
    """Have the processes that are started keep what they compile: there are many, and compiling is most of a start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def faults() -> dict[str, Fault]:
    """All families, by name."""
    for module in pkgutil.iter_modules(families.__path__, f"{families.__name__}."):
        import_module(module.name)
    return dict(sorted(_FAULTS.items()))


def summary(results: list[Result]) -> str:
    """The table of a run."""
    return table([one.row() for one in results], HEADS)
