"""What should have happened by now: files that did not come, banks that did not answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from bus.landscape import ExpectSpec, RouteSpec
from bus.ports import CaseNote, Clock

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Ledger(Protocol):
    """What is asked of the ledger."""

    def last_arrival(self, endpoint: str) -> int:
        """When something last arrived, 0 = never."""

    def recall(self, scope: str, key: str) -> str | None:
        """Value remembered under (scope, key)."""

    def unanswered(self) -> list[tuple[str, str, str, int, int]]:
        """(partner, message id, route, count, deadline) of files whose answer is overdue."""

    def missed(self, note: CaseNote, remember: tuple[str, str]) -> None:
        """Open a case once for (scope, key)."""

    def answer_missed(self, note: CaseNote, message_id: str) -> None:
        """Open a case and stop watching the file's instructions."""


def look(routes: list[RouteSpec], ledger: Ledger, clock: Clock) -> int:
    """Open a case for everything overdue; returns how many. Each lapse is told once."""
    count = 0
    now = clock.now()
    for route in routes:
        for expect in route.expect:
            if expect.file_by:
                count += _file(route, expect, ledger, now)
    owners = {route.route: route.owner for route in routes}
    for partner, message_id, route_name, instructions, _deadline in ledger.unanswered():
        note = CaseNote(
            "SLA102",
            f"{partner} has not answered {instructions} payment(s) of file {message_id} in time",
            route_name,
            owners.get(route_name, ""),
            f"{route_name}:SLA102:{message_id}",
            0,
            "",
            {"partner": partner, "message": message_id, "payments": instructions},
        )
        ledger.answer_missed(note, message_id)
        count += 1
    return count


def _file(route: RouteSpec, expect: ExpectSpec, ledger: Ledger, now: int) -> int:
    moment = datetime.fromtimestamp(now / 1000, UTC)
    hour, minute = (int(part) for part in expect.file_by.split(":"))
    deadline = moment.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if moment < deadline:
        return 0
    if moment.weekday() not in days(expect.weekdays):
        return 0
    begin = int((deadline - timedelta(days=1)).timestamp() * 1000)
    if ledger.last_arrival(route.route) > begin:
        return 0
    scope, key = f"expect:{route.route}:{expect.file_by}", deadline.date().isoformat()
    if ledger.recall(scope, key) is not None:
        return 0
    note = CaseNote(
        "SLA101",
        f"no file arrived by {expect.file_by} UTC on {key}",
        route.route,
        expect.owner or route.owner,
        f"{route.route}:SLA101:{key}",
        0,
        "",
        {"expected_by": f"{key}T{expect.file_by}Z"},
    )
    ledger.missed(note, (scope, key))
    return 1


def days(text: str) -> set[int]:
    """Weekday numbers (0 = Monday) of ``mon-fri``, ``mon,wed`` or ``all``.

    Raises:
        ValueError: a day is not one of mon … sun.
    """
    if text == "all":
        return set(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        begin = _DAYS.index(first)
        end = _DAYS.index(last) if last else begin
        found |= set(range(begin, end + 1)) if begin <= end else {*range(begin, 7), *range(end + 1)}
    return found
