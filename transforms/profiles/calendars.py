"""Business days of clearing systems and countries, and cut-off times on the clocks of their time zones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic_core import PydanticCustomError

_SATURDAY = 5
_DAY = timedelta(days=1)
_FAR = 400
"""Days after which no open day is looked for any more."""


class Calendar:
    """Open and closed days. Weekends are closed, except where every day is open."""

    def __init__(self, name: str, holidays: Any, closed: Iterable[date] = ()) -> None:
        self.name = name
        self._holidays = holidays
        self._closed = frozenset(closed)
        self._known: dict[date, str] = {}

    def closed(self, day: date) -> str:
        """Why a day is closed: the name of the holiday, ``Saturday``, ``Sunday``, ``closed``; empty for an open day."""
        found = self._known.get(day)
        if found is None:
            found = self._known[day] = self._why(day)
        return found

    def _why(self, day: date) -> str:
        if day in self._closed:
            return "closed"
        if self._holidays is None:
            return ""
        holiday = self._holidays.get(day)
        if holiday:
            return str(holiday)
        return f"{day:%A}" if day.weekday() >= _SATURDAY else ""

    def open_day(self, day: date, after: int = 0) -> date:
        """The first open day from ``day`` on, or the one ``after`` open days later.

        Raises:
            OverflowError: there is none within a year.
        """
        for step in range(_FAR):
            here = day + step * _DAY
            if not self.closed(here):
                if not after:
                    return here
                after -= 1
        raise OverflowError(f"the calendar `{self.name}` has no open day within {_FAR} days")


@lru_cache(maxsize=64)
def calendar(name: str, closed: tuple[date, ...]) -> Calendar:
    """A calendar by name: ``none``, a market or clearing system (``ECB``, ``FED``), a country or a part of one.

    Raises:
        PydanticCustomError: ``VAL711`` for a name that nobody knows.
    """
    if name == "none":
        return Calendar(name, None, closed)
    import holidays  # noqa: PLC0415 - 100 ms that only profiles with a calendar need
    from holidays.registry import EntityLoader  # noqa: PLC0415 - as above; knows the names without loading all markets

    try:
        markets, (country, _, part) = EntityLoader.get_financial_codes(), name.partition("-")
        if name in markets:
            return Calendar(name, holidays.financial_holidays(name), closed)
        return Calendar(name, holidays.country_holidays(country, subdiv=part or None), closed)
    except NotImplementedError:
        text = "unknown calendar `{name}`; write `none`, `ECB` (TARGET), `FED`, a country such as `GB`, or `DE-BY`"
        raise PydanticCustomError("VAL711", text, {"name": name[:40]}) from None


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """A time zone by its name in the IANA database.

    Raises:
        PydanticCustomError: ``VAL712`` for a name that it does not have.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = "unknown time zone `{name}`; write for instance `Europe/Berlin`"
        raise PydanticCustomError("VAL712", text, {"name": name[:40]}) from None


def local(at: int, clock: ZoneInfo | None) -> datetime:
    """Milliseconds since 1970 UTC on the clock of a zone."""
    return datetime.fromtimestamp(at / 1000, clock or UTC)


def minutes(text: str) -> time:
    """``14:30`` as a time of day."""
    return time.fromisoformat(text)
