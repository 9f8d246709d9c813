"""On which day a payment can be executed: closed days, days that are over, cut-off times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from transforms.canonical import Flaw
from transforms.profiles.calendars import Calendar, calendar, local, minutes, zone
from transforms.profiles.specs import CutOffSpec, ExecutionSpec

_MINUTE = 60_000
_MOST_KNOWN = 1000
_NONE = CutOffSpec.model_construct(at="", zone="UTC")


@dataclass(frozen=True, slots=True)
class Day:
    """What becomes of an execution date: the day that is possible, and what is to be said."""

    day: date
    code: str = ""
    reason: str = ""
    text: str = ""


class ExecutionDays:
    """The rule of one edition, ready for use."""

    def __init__(self, spec: ExecutionSpec, field: str) -> None:
        self.field = field
        self._spec = spec
        self._calendar: Calendar = calendar(spec.calendar, spec.closed)
        self._known: dict[tuple[str, int, int | None], Day] = {}

    def needed(self) -> bool:
        """Whether anything is restricted at all."""
        spec = self._spec
        return spec.calendar != "none" or bool(spec.closed or spec.cut_offs) or spec.most_days_ahead is not None

    def of(self, payment: dict[str, Any], at: int | None) -> Day:
        """The verdict on a payment's day; ``at`` in milliseconds since 1970 UTC, None = only the calendar is asked."""
        number = self._cut_off(payment) if self._spec.cut_offs else -1
        if at is not None:
            at -= at % _MINUTE  # cut-offs are whole minutes: one verdict serves all payments of a minute
        key = (payment[self.field], number, at)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            wanted = date.fromisoformat(key[0])
            try:
                found = self._of(wanted, number, at)
            except OverflowError:
                found = Day(wanted, "VAL698", "DT01", "there is no later day on which it could be executed")
            self._known[key] = found
        return found

    def _of(self, wanted: date, number: int, at: int | None) -> Day:
        earliest = wanted
        if at is not None:
            cut_off = self._spec.cut_offs[number] if number >= 0 else _NONE
            today, earliest, late = self._first_day(cut_off, at)
            most = self._spec.most_days_ahead
            if most is not None and wanted > today + timedelta(days=most):
                return Day(wanted, "VAL698", "DT01", f"the day is more than {most} days ahead")
            if wanted < today:
                return self._moved(earliest, f"the day {wanted} is over", "VAL696", "DT01")
            if wanted < earliest and not self._calendar.closed(wanted):
                return self._moved(earliest, _late(wanted, cut_off, late=late), "VAL697", "TM01")
        why = self._calendar.closed(wanted)
        if not why:
            return Day(wanted)
        text = f"nothing is executed on {wanted} ({why}, calendar `{self._calendar.name}`)"
        return self._moved(max(wanted, earliest), text, "VAL696", "DT01")

    def _cut_off(self, payment: dict[str, Any]) -> int:
        """Number of the cut-off that is for a payment, -1 for none."""
        currency = payment["amount"]["currency"]
        for number, row in enumerate(self._spec.cut_offs):
            if (
                row.currency in ("", currency)
                and row.service_level in ("", payment.get("service_level"))
                and row.local_instrument in ("", payment.get("local_instrument"))
            ):
                return number
        return -1

    def _first_day(self, cut_off: CutOffSpec, at: int) -> tuple[date, date, bool]:
        """Today, the first day that can still be reached, and whether the cut-off is what stands before it."""
        now = local(at, zone(cut_off.zone if cut_off.at else self._spec.zone))
        today = now.date()
        late = bool(cut_off.at) and now.time() >= minutes(cut_off.at) and not self._calendar.closed(today)
        start = today + timedelta(days=1) if late else today
        return today, self._calendar.open_day(start, cut_off.days_before), late

    def _moved(self, day: date, text: str, code: str, reason: str) -> Day:
        return Day(self._calendar.open_day(day), code, reason, text)

    def flaw(self, found: Day) -> Flaw | None:
        """The finding for a verdict, as severe as the profile says."""
        if not found.code:
            return None
        roll = self._spec.roll
        if roll == "refuse" or found.code == "VAL698":
            return Flaw(found.code, "error", self.field, found.text, found.reason, "order it for a later business day")
        told = f"{found.text}; the next possible day is {found.day}"
        return Flaw(found.code, "info" if roll == "next" else "warning", self.field, told, found.reason)

    def rolls(self) -> bool:
        """Whether another day is written in the place of an impossible one."""
        return self._spec.roll == "next"


def _late(wanted: date, cut_off: CutOffSpec, *, late: bool) -> str:
    days = cut_off.days_before
    before = f"{days} business day{'s' if days > 1 else ''} before"
    if not late:
        return f"payments are wanted {before} {wanted}"
    return f"the cut-off for {wanted} is over ({cut_off.at} {cut_off.zone}{f', {before}' if days else ''})"
