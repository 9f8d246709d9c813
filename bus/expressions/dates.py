"""Calendar dates as ISO 8601 texts, read strictly: what is no day of the calendar is refused."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from bus.errors import Rejected
from bus.expressions.arithmetic import whole

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIRECTIVES = {
    "Y": r"(?P<year>[0-9]{4})",
    "y": r"(?P<short>[0-9]{2})",
    "m": r"(?P<month>[0-9]{2})",
    "d": r"(?P<day>[0-9]{2})",
}


@lru_cache(maxsize=4096)  # a file is about a few days
def read_date(text: str, form: str | None = None) -> str:
    """The ISO date of ``text``, which is ``2026-11-24`` or what ``form`` (``%d.%m.%Y``) says."""
    return _day("date", text, form).isoformat()


def _day(function: str, text: str, form: str | None = None) -> date:
    found = _ISO.fullmatch(text) if form is None else _pattern(form).fullmatch(text)
    if not found:
        wanted = "2026-11-24" if form is None else form
        raise Rejected(
            "VAL223", f"{function}() got a text that is no date", hint=f"dates look like {wanted}", reason="DT01"
        )
    try:
        if form is None:
            return date.fromisoformat(text)
        parts = found.groupdict()
        return date(_year(parts), int(parts["month"]), int(parts["day"]))
    except ValueError:
        raise Rejected("VAL223", f"{function}() got a day that is in no calendar", reason="DT01") from None


def _year(parts: dict[str, Any]) -> int:
    """Two-digit years as in SWIFT MT messages: 80 to 99 are 19.., 00 to 79 are 20.. (SWIFT user handbook)."""
    if "year" in parts:
        return int(parts["year"])
    short = int(parts["short"])
    return 1900 + short if short >= 80 else 2000 + short


@lru_cache(maxsize=256)
def _pattern(form: str) -> re.Pattern[str]:
    wanted = re.findall(r"%(.?)", form, re.DOTALL)
    if sorted(wanted) not in (["Y", "d", "m"], ["d", "m", "y"]):
        hint = "use each of %d, %m and %Y (or %y) once, as in %d.%m.%Y"
        raise Rejected("VAL229", "that date format is not understood", hint=hint)
    pieces = re.split(r"%(.)", form)
    return re.compile("".join(_DIRECTIVES[p] if i % 2 else re.escape(p) for i, p in enumerate(pieces)), re.DOTALL)


def verify_form(literals: list[Any]) -> None:
    """Check of a literal date and format before anything runs."""
    text, form = literals[0], literals[1] if len(literals) > 1 else None
    if isinstance(form, str):
        _pattern(form)
    if isinstance(text, str) and (form is not None or len(literals) == 1):
        read_date(text, form)


def days_between(start: str, end: str) -> int:
    """Days from ``start`` to ``end``; negative when ``end`` is earlier."""
    return (_day("days_between", end) - _day("days_between", start)).days


def add_days(day: str, days: int | Decimal) -> str:
    """The date ``days`` calendar days later (earlier when negative)."""
    start, offset = _day("add_days", day), whole("add_days", "number of days", days, -1_000_000, 1_000_000)
    try:
        return (start + timedelta(days=offset)).isoformat()
    except OverflowError:
        raise Rejected("VAL223", "add_days() leaves the calendar", hint="years go from 0001 to 9999") from None
