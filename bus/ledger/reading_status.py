"""What waits where and what has gone which way: the figures of ``bus status``, by channel and place."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from bus.errors import Rejected
from bus.ledger.reading import Reading, Total, maybe_moment, moment, route_of
from bus.message import decode

_SHIFT = 35  # as in bus.channels.store: a row's id is lane << 35 | position
_COUNTED = 10_000
"""Rows of a lane that are counted one by one; beyond, the distance of the first and last position is told."""
_LANES = 2_000
_SCANNED = 100_000


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits in one channel."""

    depth: int = 0
    exact: bool = True
    """False when a long queue was estimated instead of counted."""
    oldest: datetime | None = None
    """When the message that comes next was made."""
    hidden: int = 0
    """Files that are being split; their records become visible all at once."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a route's aggregates hold."""

    groups: int
    members: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages wait for something else than their turn, and when the first of them goes on by itself."""

    count: int
    next: datetime | None = None


@dataclass(slots=True)
class Figures:
    """All figures, by channel (``route``, ``route#step`` or outlet) where not said otherwise."""

    queues: dict[str, Queue] = field(default_factory=dict)
    deferred: dict[str, Waiting] = field(default_factory=dict)
    held: dict[str, Waiting] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    in_doubt: dict[str, int] = field(default_factory=dict)
    gathered: dict[str, Gathered] = field(default_factory=dict)
    """By route."""
    cases: dict[str, int] = field(default_factory=dict)
    """Open cases by route or outlet."""
    totals: dict[str, list[Total]] = field(default_factory=dict)
    """What has gone which way since the ledger began."""
    last: dict[str, datetime] = field(default_factory=dict)
    """When anything last happened at a place."""
    states: dict[str, str] = field(default_factory=dict)
    """By route, where it was ever paused or drained: ``running``, ``paused``, ``draining``."""
    versions: dict[str, str] = field(default_factory=dict)
    """By route: hash of the version that was stored last."""
    overdue: int = 0
    """Registered payments whose answer is late, as far as their case is not open yet."""
    unanswered: int = 0
    """Registered payments whose answer is watched for."""

    def of_route(self, name: str) -> list[str]:
        """Channels and places of a route that something is told of."""
        told = {*self.queues, *self.deferred, *self.held, *self.dead, *self.parked, *self.totals}
        return sorted(place for place in told if route_of(place) == name)


def read_figures(reading: Reading, now: int) -> Figures:
    """Collect all figures; ``now`` in milliseconds since 1970 UTC.

    Raises:
        Unavailable: the ledger does not answer (``SYS131``, ``SYS132``).
    """
    figures = Figures()
    figures.queues = _queues(reading)
    figures.deferred = _waiting(reading, "deferred", "due")
    figures.held = _waiting(reading, "held", "until")
    figures.dead = {channel: found.count for channel, found in _waiting(reading, "dead", "at").items()}
    figures.parked = _counts(
        reading, "SELECT r.channel, count(*) FROM resequencing r JOIN parked p ON p.stream = r.id GROUP BY 1"
    )
    figures.in_doubt = _counts(
        reading,
        "SELECT d.channel, count(*) FROM dead d CROSS JOIN outbound o "
        "WHERE o.number = d.number AND o.sink = d.channel AND o.state = 'in_doubt' GROUP BY 1",
    )
    figures.cases = _counts(
        reading, "SELECT route, count(*) FROM cases INDEXED BY cases_fingerprint WHERE state = 'open' GROUP BY 1"
    )
    sql = (
        "SELECT route, count(*), CAST(sum(count) AS BIGINT), min(opened) FROM gathering INDEXED BY gathering_batch "
        "WHERE state = 'open' GROUP BY 1"
    )
    figures.gathered = {row[0]: Gathered(row[1], row[2], moment(row[3])) for row in reading.rows(sql)}
    for place, outcome, currency, count, amount, last in reading.rows("SELECT * FROM tally ORDER BY 1, 2, 3"):
        figures.totals.setdefault(place, []).append(Total(outcome, currency, count, Decimal(amount)))
        figures.last[place] = max(moment(last), figures.last.get(place, moment(last)))
    figures.states = dict(reading.rows("SELECT route, state FROM route_state"))
    figures.versions = dict(reading.rows("SELECT route, hash FROM route_version ORDER BY id"))
    waiting = (
        "SELECT count(*), count(CASE WHEN answer_by <= ? THEN 1 END) FROM instruction "
        "WHERE status = '' AND answer_by > 0"
    )
    ((figures.unanswered, figures.overdue),) = reading.rows(waiting, (now,))
    return figures


def _counts(reading: Reading, sql: str) -> dict[str, int]:
    return dict(reading.rows(sql))


def _waiting(reading: Reading, table: str, time: str) -> dict[str, Waiting]:
    rows = reading.rows(
        f"SELECT channel, count(*), min(nullif({time}, 0)) FROM "  # noqa: S608 - names from above, no input
        f"(SELECT channel, {time} FROM {table} LIMIT {_SCANNED}) AS found GROUP BY 1"
    )
    return {channel: Waiting(count, maybe_moment(first)) for channel, count, first in rows}


def _queues(reading: Reading) -> dict[str, Queue]:
    found: dict[str, Queue] = {}
    lanes = reading.rows("SELECT id, channel, state FROM lane WHERE state <> 'dead' ORDER BY id LIMIT ?", (_LANES,))
    for lane, channel, state in lanes:
        before = found.get(channel, Queue())
        if state == "hidden":
            found[channel] = Queue(before.depth, before.exact, before.oldest, before.hidden + 1)
            continue
        depth, exact = _depth(reading, lane)
        oldest = _oldest(reading, lane) if depth else None
        if before.oldest is not None and (oldest is None or before.oldest < oldest):
            oldest = before.oldest
        found[channel] = Queue(before.depth + depth, before.exact and exact, oldest, before.hidden)
    return found


def _range(lane: int) -> tuple[int, int]:
    return lane << _SHIFT, (lane + 1) << _SHIFT


def _depth(reading: Reading, lane: int) -> tuple[int, bool]:
    sql = "SELECT count(*) FROM (SELECT 1 FROM queued WHERE id >= ? AND id < ? LIMIT ?) AS counted"
    ((count,),) = reading.rows(sql, (*_range(lane), _COUNTED))
    if count < _COUNTED:
        return count, True
    ((first, last),) = reading.rows("SELECT min(id), max(id) FROM queued WHERE id >= ? AND id < ?", _range(lane))
    return (last - first + 1 if last is not None else 0), False


def _oldest(reading: Reading, lane: int) -> datetime | None:
    row = reading.one("SELECT payload FROM queued WHERE id >= ? AND id < ? ORDER BY id LIMIT 1", _range(lane))
    if row is None:
        return None
    try:
        return maybe_moment(decode(row[0]).headers.created_at)
    except Rejected:
        return None  # damaged; the worker buries it with a case


def next_moment(reading: Reading) -> int:
    """When the first thing that waits for a time goes on, milliseconds since 1970 UTC; 0 = nothing does."""
    ((found,),) = reading.rows(
        "SELECT min(due) FROM (SELECT min(due) AS due FROM deferred "
        "UNION ALL SELECT min(until) FROM held WHERE until > 0 "
        "UNION ALL SELECT min(due) FROM gathering WHERE state = 'open' AND due > 0 "
        "UNION ALL SELECT min(due) FROM resequencing WHERE due > 0) AS waits"
    )
    return int(found or 0)
