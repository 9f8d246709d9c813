"""`bus doctor`: looks at everything that a bus needs, side by side, each look bounded in time, changing nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bus.errors import BusError, ConfigError, Unavailable
from bus.errors import Retryable as Away

State = Literal["ok", "info", "warning", "error", "away", "skipped"]


class Found(NamedTuple):
    """One line of the answer. ``away`` = cannot be reached now; ``do`` is for everything that is not well."""

    area: str
    what: str
    state: State
    said: str
    code: str = ""
    do: str = ""


Look = Callable[[], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at."""

    area: str
    what: str
    look: Look


@dataclass(slots=True)
class _Running:
    check: Check
    found: list[Found] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            self.found = list(self.check.look())
        except Exception as error:  # noqa: BLE001 - one look that fails hides no other
            self.found = [failed(self.check.area, self.check.what, error)]
        self.done.set()


def examine(checks: list[Check], limit: float, told: Callable[[Check], None] = lambda _check: None) -> Iterator[Found]:
    """Look at everything at the same time; what takes longer than ``limit`` seconds is given up and told."""
    running = [_Running(check) for check in checks]
    for one in running:
        threading.Thread(target=one.run, name=f"doctor {one.check.what}", daemon=True).start()
    end = time.monotonic() + limit
    for one in running:
        told(one.check)
        if one.done.wait(max(0.0, end - time.monotonic())):
            yield from one.found
        else:
            hint = "see what hangs there, or give it more time: --timeout"
            yield Found(one.check.area, one.check.what, "away", f"no answer within {limit:g} s", "SYS184", hint)


def failed(area: str, what: str, error: Exception) -> Found:
    """The line of a look that raised; texts of foreign errors stay out, they may hold anything."""
    if isinstance(error, BusError):
        state: State = (
            "away" if isinstance(error, Away | Unavailable) and not isinstance(error, ConfigError) else "error"
        )
        return Found(area, what, state, error.message, error.code, error.hint)
    return Found(area, what, "error", f"unexpected {type(error).__name__}", "INT199", "report it, it is our bug")


def verdict(found: Iterable[Found]) -> int:
    """Exit code: 0 well (warnings included), 5 something cannot be reached, 1 anything else is wrong."""
    states = {one.state for one in found}
    return 1 if "error" in states else 5 if "away" in states else 0


def shown_size(count: float) -> str:
    """``12.3 GB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def facts(value: Any) -> str:
    """A value of a server's settings as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
