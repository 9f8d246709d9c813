"""Cases for people: the list of what waits for a decision, and all that is known of one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bus.errors import Rejected
from bus.ledger.reading import Amount, Reading, maybe_moment, moment
from bus.message import decode

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case as the list shows it."""

    number: int
    state: str
    """``open``, ``released``, ``discarded``, ``retried`` or ``resolved``."""
    code: str
    summary: str
    route: str
    owner: str
    count: int
    """How often the same thing happened since the case was opened."""
    opened: datetime
    last: datetime
    message: int
    """Ledger number of the message it was opened for, 0 = none."""
    correlation: str
    context: dict[str, Any]
    closed: datetime | None
    closed_by: str
    closing_reason: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """A message that a case holds or has buried."""

    number: int
    message: str
    channel: str
    code: str
    reason: str
    since: datetime
    keys: tuple[tuple[str, str], ...]
    worth: Amount | None
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class Audit:
    """What somebody did, and why."""

    at: datetime
    who: str
    what: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case with what hangs on it; ``held_count`` and ``dead_count`` count all, the lists show the first."""

    case: CaseRow
    held: tuple[Stuck, ...]
    held_count: int
    dead: tuple[Stuck, ...]
    dead_count: int
    audit: tuple[Audit, ...]

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be decided now, as verbs of ``bus cases``."""
        if self.case.state != "open":
            return ()
        if self.held_count:
            return ("release", "discard")
        if any(stuck.in_doubt for stuck in self.dead):
            return ("retry --resolved-as done", "retry --resolved-as not-done", "discard")
        return ("retry", "discard") if self.dead_count else ("discard",)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases to list; empty fields do not narrow. ``before`` pages: only cases with a smaller number."""

    state: str = "open"
    route: str = ""
    owner: str = ""
    code: str = ""
    since: int = 0
    before: int = 0
    most: int = 100


_COLUMNS = (
    "SELECT id, state, code, summary, route, owner, count, opened, last, number, correlation, context, "
    "closed, closed_by, closing_reason FROM cases"
)


def list_cases(reading: Reading, wanted: Wanted) -> list[CaseRow]:
    """Newest first.

    Raises:
        Unavailable: the ledger does not answer.
    """
    conditions = {
        "state = ?": wanted.state,
        "route = ?": wanted.route,
        "owner = ?": wanted.owner,
        "code = ?": wanted.code,
        "last >= ?": wanted.since,
        "id < ?": wanted.before,
    }
    asked = {condition: value for condition, value in conditions.items() if value}
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    rows = reading.rows(f"{_COLUMNS} {where} ORDER BY id DESC LIMIT ?", (*asked.values(), wanted.most))
    return [_case(row) for row in rows]


def _case(row: tuple[Any, ...]) -> CaseRow:
    number, state, code, summary, route, owner, count, opened, last, message, correlation, context, *closing = row
    closed, by, reason = closing
    return CaseRow(
        number, state, code, summary, route, owner, count, moment(opened), moment(last), message, correlation,
        json.loads(context), maybe_moment(closed), by or "", reason or "",
    )  # fmt: skip


def read_case(reading: Reading, number: int) -> CaseFile | None:
    """All that is known of a case; None when there is no such number."""
    row = reading.one(f"{_COLUMNS} WHERE id = ?", (number,))
    if row is None:
        return None
    held, held_count = _stuck(reading, number, "held", "since")
    dead, dead_count = _stuck(reading, number, "dead", "at")
    sql = "SELECT at, who, what, target, reason FROM audit WHERE target = ? ORDER BY id LIMIT 100"
    audit = tuple(Audit(moment(at), *rest) for at, *rest in reading.rows(sql, (f"case {number}",)))
    return CaseFile(_case(row), held, held_count, dead, dead_count, audit)


def _stuck(reading: Reading, case: int, table: str, time: str) -> tuple[tuple[Stuck, ...], int]:
    columns = f"SELECT number, channel, code, reason, {time}, payload FROM {table}"  # noqa: S608 - names from above
    rows = reading.rows(f"{columns} WHERE case_id = ? ORDER BY id LIMIT {_SHOWN}", (case,))
    ((count,),) = reading.rows(f"SELECT count(*) FROM {table} WHERE case_id = ?", (case,))  # noqa: S608 - names from above
    found = []
    for number, channel, code, reason, since, payload in rows:
        try:
            headers = decode(payload).headers
        except Rejected:
            found.append(Stuck(number, "", channel, code, reason, moment(since), (), None, in_doubt=False))
            continue
        state = reading.one("SELECT state FROM outbound WHERE id = ? AND sink = ?", (headers.id, channel))
        worth = Amount(headers.worth[1], headers.worth[0]) if headers.worth else None
        doubt = state is not None and state[0] == "in_doubt"
        found.append(
            Stuck(number, headers.id, channel, code, reason, moment(since), headers.keys, worth, in_doubt=doubt)
        )
    return tuple(found), count


def list_stuck(reading: Reading, table: str, since: int, most: int) -> list[int]:
    """Numbers of messages that are ``held``, ``dead`` or ``deferred``, newest first; ``since`` in milliseconds."""
    numbers = {
        "held": "SELECT number FROM held WHERE since >= ? ORDER BY id DESC LIMIT ?",
        "dead": "SELECT number FROM dead WHERE at >= ? ORDER BY id DESC LIMIT ?",
        "deferred": "SELECT number FROM deferred WHERE due >= ? ORDER BY id DESC LIMIT ?",
    }
    return [row[0] for row in reading.rows(numbers[table], (since, most))]
