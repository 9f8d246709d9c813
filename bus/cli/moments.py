"""Times as people write and read them: ``--since 2d``, ``6 h 12 m``, ``09:12:03.114``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import click

_SPAN = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Since(click.ParamType[int]):
    """A moment in the past: a span (``30m``, ``2d``, ``3w``) or an ISO date or time, UTC where no zone stands.

    The value is in milliseconds since 1970 UTC.
    """

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See the class."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        span = _SPAN.fullmatch(text)
        moment = datetime.now(UTC)
        if span:
            return int((moment.timestamp() - int(span[1]) * _SECONDS[span[2]]) * 1000)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time: write for instance 30m, 2d, 2026-11-24 or 2026-11-24T09:30Z", param, ctx)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def span(milliseconds: float) -> str:
    """How long: ``0 s``, ``45 s``, ``12 m``, ``6 h 12 m``, ``3 d 4 h``."""
    seconds = max(0, int(milliseconds // 1000))
    for size, unit, below, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m")):
        if seconds >= size:
            rest = seconds % size // below
            return f"{seconds // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{seconds // 60} m" if seconds >= 60 else f"{seconds} s"


def age(since: datetime, now: int) -> str:
    """How long ago."""
    return span(now - since.timestamp() * 1000)


def step(milliseconds: float) -> str:
    """From one hop to the next: ``+6 ms``, ``+1.8 s``, ``+12 m``."""
    if milliseconds < 1_000:
        return f"+{max(0, milliseconds):.0f} ms"
    if milliseconds < 60_000:
        return f"+{milliseconds / 1000:.1f} s"
    return f"+{span(milliseconds)}"


def clock(moment: datetime) -> str:
    """``09:12:03.114``, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[11:23]


def stamp(moment: datetime | None) -> str:
    """``2026-11-22 09:12:03``, UTC; empty for None."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
