"""The places a message can be in, read one by one: queue, group, hold, retry, dead letter, partner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from bus.ledger.reading import Amount, Reading, Total, maybe_moment, moment
from bus.ledger.reading_history import Hop
from bus.message import decode

_MOST = 50


@dataclass(frozen=True, slots=True)
class Where:
    """Where a message is and what it waits for. ``kind`` tells which of the other fields mean something.

    ========================  ==================================================================================
    queued                    waits for its turn in channel ``place``
    loading                   its file is still being split
    withdrawn                 its file was refused as a whole after it had been read
    gathering                 member of an open group: ``members``, ``missing`` records of its batch are on their way
    held                      until ``until``, or a person decides ``case``
    deferred                  failed ``attempt`` times with ``code``; runs again at ``until``
    resequencing              number ``missing`` is missing before it
    dead, in_doubt            needs a person: ``case``, ``code``, ``reason``
    split                     taken apart into ``members`` records, ``missing`` are not dealt with yet
    rejected                  refused with ``code``; ``then`` = where its reject file is
    filtered, ended           the route lets go of it on purpose at ``step``
    discarded                 a person threw it away: ``reason``
    delivered                 the partner has it: ``outlet``, ``file``
    awaiting                  delivered; ``partner`` should answer by ``until``; ``missing`` of ``members`` payments
    answered                  the partner said ``status`` with ``reason``
    ========================  ==================================================================================
    """

    kind: str
    place: str
    since: datetime
    until: datetime | None = None
    attempt: int = 0
    code: str = ""
    reason: str = ""
    step: str = ""
    case: int | None = None
    outlet: str = ""
    file: str = ""
    partner: str = ""
    status: str = ""
    members: int = 0
    missing: int = 0
    overdue: bool = False
    then: Where | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one file: its siblings."""

    number: int
    state: str
    """``loading``, ``open`` (records are on their way) or ``complete`` (each was dealt with)."""
    came: tuple[Total, ...]
    went: tuple[Total, ...]
    unreported: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group of an aggregate."""

    number: int
    route: str
    step: str
    key: str
    batch: int
    channel: str
    count: int
    money: tuple[Total, ...]
    opened: datetime
    due: datetime | None
    state: str
    message: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What was brought to an outlet."""

    message: str
    number: int
    outlet: str
    state: str
    """``staged``, ``requested``, ``delivered`` or ``in_doubt``."""
    file: str
    size: int
    sha256: str
    at: datetime
    payments: dict[str, int]
    """How many registered payments have which status; ``""`` = no answer yet."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case, as far as a trace tells it."""

    number: int
    code: str
    summary: str
    state: str
    owner: str
    route: str
    opened: datetime
    waits: int = 0
    """Messages that it holds or has buried; 0 = it only tells of something."""


# ---------------------------------------------------------------- inside


def queued(hop: Hop) -> Where:
    """It went on to a channel and nothing was heard of it since."""
    behind = f"{hop.route}#{hop.step}" if hop.outcome in ("held", "waiting") and hop.step else hop.place
    return Where("queued", hop.onward or behind, hop.at)


def unborn(reading: Reading, hop: Hop) -> Where | None:
    """A record whose file is not read to its end, or was refused at its end; None when it is free to go."""
    row = reading.one("SELECT state FROM batch WHERE parent_id = ? AND step = ?", (hop.parent, hop.step))
    if row is None:
        return Where("withdrawn", hop.place, hop.at, step=hop.step)
    return Where("loading", hop.place, hop.at, step=hop.step) if row[0] == "loading" else None


def taken_apart(reading: Reading, hop: Hop) -> Where:
    """A document that was split: how many of its records are not dealt with."""
    batch = batch_of(reading, hop.message)
    if batch is None:
        return Where("split", hop.place, hop.at, step=hop.step)
    count = sum(total.count for total in batch.came)
    return Where("split", hop.place, hop.at, step=hop.step, members=count, missing=batch.unreported)


def _held(reading: Reading, hop: Hop) -> Where:
    sql = "SELECT channel, until, predicate, code, reason, since, case_id FROM held WHERE number = ? ORDER BY id DESC"
    row = reading.one(sql, (hop.number,))
    if row is None:
        return queued(hop)
    reason = row[4] or (f"until {row[2]}" if row[2] else "")
    return Where(
        "held", row[0], moment(row[5]), maybe_moment(row[1]), code=row[3], reason=reason, step=hop.step, case=row[6]
    )


def _deferred(reading: Reading, hop: Hop) -> Where:
    row = reading.one("SELECT channel, due, payload FROM deferred WHERE number = ? ORDER BY id DESC", (hop.number,))
    if row is None:
        return queued(hop)
    attempt = decode(row[2]).headers.attempt  # the history has the attempt that failed, at some places the one before
    return Where("deferred", row[0], hop.at, moment(row[1]), attempt, code=hop.code, reason=hop.reason, step=hop.step)


def _resequencing(reading: Reading, hop: Hop) -> Where:
    sql = (
        "SELECT r.channel, r.due, r.expected FROM parked p JOIN resequencing r ON r.id = p.stream "
        "WHERE p.number = ? AND r.channel = ?"
    )
    row = reading.one(sql, (hop.number, f"{hop.route}#{hop.step}"))
    if row is None:
        return queued(hop)
    return Where("resequencing", row[0], hop.at, maybe_moment(row[1]), step=hop.step, missing=row[2])


def _dead(reading: Reading, hop: Hop) -> Where:
    row = reading.one("SELECT channel, case_id FROM dead WHERE number = ? ORDER BY id DESC", (hop.number,))
    place, case = row if row is not None else (hop.place, None)
    return Where(hop.outcome, place, hop.at, code=hop.code, reason=hop.reason, step=hop.step, case=case)


WAITING: dict[str, Callable[[Reading, Hop], Where]] = {
    "held": _held,
    "deferred": _deferred,
    "waiting": _resequencing,
    "dead": _dead,
    "in_doubt": _dead,
}
"""By the outcome of the last hop."""

# ---------------------------------------------------------------- batches and groups


def batch_of(reading: Reading, parent: str) -> Batch | None:
    """The batch that the message ``parent`` was split into (the first, where several steps split it)."""
    if not parent:
        return None
    sql = "SELECT id, state, money, outcomes, unreported FROM batch WHERE parent_id = ? ORDER BY id LIMIT 1"
    row = reading.one(sql, (parent,))
    return Batch(row[0], row[1], totals(row[2]), totals(row[3]), row[4]) if row else None


_GROUP = "SELECT id, route, step, key, batch, channel, count, money, opened, due, state, message FROM gathering"


def group(reading: Reading, number: int) -> GroupRow | None:
    """A group by its ledger number."""
    row = reading.one(f"{_GROUP} WHERE id = ?", (number,))
    return _group(row) if row else None


def groups_of(reading: Reading, batch: int) -> list[GroupRow]:
    """Groups that took records of a batch, those of late records too."""
    sql = f"{_GROUP} WHERE batch IN (?, ?) ORDER BY id LIMIT {_MOST}"
    return [_group(row) for row in reading.rows(sql, (batch, -batch))]


def _group(row: tuple[Any, ...]) -> GroupRow:
    money = tuple(Total("joined", currency, count, Decimal(amount)) for currency, count, amount in json.loads(row[7]))
    number, route, step, key, batch, channel, count, _, opened, due, state, message = row
    return GroupRow(
        number, route, step, key, batch, channel, count, money, moment(opened), maybe_moment(due), state, message
    )


def gathering(found: GroupRow, hop: Hop, batch: Batch | None) -> Where:
    """A member of a group that is open."""
    missing = batch.unreported if batch is not None else 0
    if found.state != "open":
        return Where("queued", found.channel, hop.at)
    return Where("gathering", found.channel, hop.at, found.due, step=hop.step, members=found.count, missing=missing)


def reject_file(reading: Reading, route: str, parent: str) -> int:
    """Number of the message that carries the reject file of a batch, 0 = not yet."""
    batch = batch_of(reading, parent)
    if batch is None:
        return 0
    sql = (
        "SELECT message FROM gathering WHERE route = ? AND step = 'on_reject' AND key = '[]' AND batch IN (?, ?) "
        "ORDER BY id DESC LIMIT 1"
    )
    row = reading.one(sql, (route, batch.number, -batch.number))
    return int(row[0]) if row else 0


def worth_of_group(reading: Reading, number: int) -> Amount | None:
    """What a group is worth, when its members have one currency."""
    found = group(reading, number)
    if found is None or len(found.money) != 1 or not found.money[0].currency:
        return None
    return Amount(found.money[0].amount, found.money[0].currency)


def totals(text: str) -> tuple[Total, ...]:
    """Rows (outcome, currency, count, amount) as the ledger keeps them."""
    return tuple(
        Total(outcome, currency, count, Decimal(amount)) for outcome, currency, count, amount in json.loads(text)
    )


# ---------------------------------------------------------------- at the partner


def at_partner(reading: Reading, hop: Hop, keys: set[str], now: int) -> Where:
    """Delivered, and what the partner answered; ``keys`` single out one payment of a file."""
    row = reading.one("SELECT receipt FROM outbound WHERE number = ? AND sink = ?", (hop.number, hop.place))
    file = str(json.loads(row[0]).get("final", "")) if row else ""
    delivered = Where("delivered", hop.place, hop.at, outlet=hop.place, file=file)
    rows = _instructions(reading, hop.number, keys)
    if not rows:
        return delivered
    count = sum(row[6] for row in rows)
    silent = [row for row in rows if not row[0]]
    if not silent:
        status, reason, _, partner, _, _, _, _ = rows[0]
        if len(rows) > 1:  # a file whose payments fared differently
            status, reason = "PART", ", ".join(f"{row[6]} {row[0]} {row[1]}".rstrip() for row in rows)
        since = moment(max(row[7] for row in rows))
        answered = replace(delivered, kind="answered", since=since, status=status, reason=reason)
        return replace(answered, partner=partner, members=count)
    _, _, answer_by, partner, message_id, route, _, _ = silent[0]
    case = _open_case(reading, f"{route}:SLA102:{message_id}")
    if not answer_by and case is None:
        return replace(delivered, partner=partner)
    return replace(
        delivered,
        kind="awaiting",
        until=maybe_moment(answer_by),
        case=case,
        partner=partner,
        members=count,
        missing=sum(row[6] for row in silent),
        overdue=case is not None or now > answer_by,
    )


def _instructions(reading: Reading, number: int, keys: set[str]) -> list[tuple[Any, ...]]:
    """(status, reason, answer_by, partner, message_id, route, count, changed) of payments of an outgoing message."""
    sql = (
        "SELECT status, reason, max(answer_by), partner, message_id, route, count(*), max(changed) FROM instruction "
        "WHERE {}number = ? {} GROUP BY status, reason, partner, message_id, route LIMIT 100"
    )
    wanted = sorted(keys)[:_MOST]
    marks = ", ".join("?" * len(wanted))
    one = sql.format("+", f"AND end_to_end_id IN ({marks})")  # the plus keeps SQLite from reading the whole file's rows
    rows = reading.rows(one, (number, *wanted)) if wanted else []
    return rows or reading.rows(sql.format("", ""), (number,))


def _open_case(reading: Reading, fingerprint: str) -> int | None:
    row = reading.one("SELECT id FROM cases WHERE fingerprint = ? AND state = 'open'", (fingerprint,))
    return int(row[0]) if row else None


def outgoing(reading: Reading, hop: Hop) -> list[Outgoing]:
    """What left the bus as this message, outlet by outlet."""
    rows = reading.rows(
        "SELECT sink, state, receipt, at FROM outbound WHERE number = ? ORDER BY at LIMIT 20", (hop.number,)
    )
    payments: dict[str, int] = {}
    if rows:
        sql = "SELECT status, count(*) FROM instruction WHERE number = ? GROUP BY 1"
        payments = dict(reading.rows(sql, (hop.number,)))
    found = []
    for sink, state, text, at in rows:
        receipt = json.loads(text)
        file, sha256 = str(receipt.get("final", "")), str(receipt.get("sha256", ""))
        size = receipt.get("size", 0)
        found.append(Outgoing(hop.message, hop.number, sink, state, file, size, sha256, moment(at), payments))
    return found


def cases_about(reading: Reading, correlation: str, codes: set[str] | None, numbers: set[int]) -> list[Case]:
    """Cases of a file with one of these codes (None = any; one case serves all records), and those of these numbers."""
    columns = (
        "SELECT id, code, summary, state, owner, route, opened, (SELECT count(*) FROM held WHERE case_id = cases.id) + "
        "(SELECT count(*) FROM dead WHERE case_id = cases.id) FROM cases"
    )
    rows = reading.rows(f"{columns} WHERE correlation = ? LIMIT 500", (correlation,))
    rows = [row for row in rows if codes is None or row[1] in codes]
    for number in sorted(numbers - {row[0] for row in rows}):
        rows += reading.rows(f"{columns} WHERE id = ?", (number,))
    found = []
    for number, code, summary, state, owner, route, opened, waits in sorted(rows)[:_MOST]:
        found.append(Case(number, code, summary, state, owner, route, moment(opened), waits))
    return found
