"""What should have happened by now: files that did not come, banks that did not answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from bus.landscape import ExpectSpec, RouteSpec
from bus.ports import CaseNote, Clock


class Ledger(Protocol):
    """What is asked of the ledger."""

    def last_arrival(self, endpoint: str) -> int:
        """When something last arrived, 0 = never."""

    def recall(self, scope: str, key: str) -> str | None:
        """Value remembered under (scope, key)."""

    def first_used(self, route: str) -> int:
        """When the first version of a route came into use."""

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
    owners = {route.route: (route.answer.owner if route.answer else "") or route.owner for route in routes}
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
    deadline = last_deadline(expect, now)
    where = "" if expect.zone == "UTC" else f"@{expect.zone}"
    scope, key = f"expect:{route.route}:{expect.file_by}{where}", deadline.date().isoformat()
    if ledger.last_arrival(route.route) > _milliseconds(deadline - timedelta(days=1)):
        return 0
    if ledger.recall(scope, key) is not None or ledger.first_used(route.route) > _milliseconds(deadline):
        return 0
    note = CaseNote(
        "SLA101",
        f"no file arrived by {expect.file_by} {expect.zone} on {key}",
        route.route,
        expect.owner or route.owner,
        f"{route.route}:SLA101:{key}",
        0,
        "",
        {"expected_by": deadline.isoformat().replace("+00:00", "Z")},
    )
    ledger.missed(note, (scope, key))
    return 1


def last_deadline(expect: ExpectSpec, now: int) -> datetime:
    """The latest moment at or before ``now`` by which a file had to be there, on the clock of its zone.

    It may be days ago: what was missed while no bus ran is told when one runs again.
    """
    hour, minute = (int(part) for part in expect.file_by.split(":"))
    today = datetime.fromtimestamp(now / 1000, ZoneInfo(expect.zone))
    deadline = today.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    while _milliseconds(deadline) > now or deadline.weekday() not in expect.days:
        deadline -= timedelta(days=1)  # on the clock of the zone, also over a change to summer time
    return deadline


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
