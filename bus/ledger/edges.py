"""Both edges of the bus: what arrived at sources, what was brought to sinks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from bus.ports import Receipt


@dataclass(frozen=True, slots=True)
class Arrival:
    """A content at an endpoint: ``n`` counts how often it came; ``state`` stored = the partner is not told yet."""

    id: str
    n: int
    state: str
    outcome: str


def known_arrival(read: Any, endpoint: str, sha256: str, facts: tuple[str, int, int]) -> tuple[Arrival | None, int]:
    """(the unfinished arrival that this is, how often the content came); facts = (name, size, mtime).

    Earlier arrivals may have been forgotten. They are counted, or a newcomer would get the number of a later one.
    """
    rows = read(
        "SELECT id, n, state, outcome, name, size, mtime FROM arrival WHERE endpoint = ? AND sha256 = ? ORDER BY n",
        (endpoint, sha256),
    )
    known = rows[-1][1] + 1 if rows else 0
    for row in rows:
        if row[2] == "stored" and tuple(row[4:7]) == facts:
            return Arrival(*row[:4]), known
    return None, known


def arrive(tx: Any, row: tuple[Any, ...]) -> None:
    """Store (id, endpoint, sha256, n, name, size, mtime, number, state, outcome, at)."""
    tx.execute("INSERT INTO arrival VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def arrival_done(tx: Any, arrival: str) -> None:
    """The partner has been told (file moved, message acknowledged)."""
    tx.execute("UPDATE arrival SET state = 'completed' WHERE id = ?", (arrival,))


def all_told(tx: Any, endpoint: str) -> None:
    """Everything stored was told to the partner."""
    tx.execute("UPDATE arrival SET state = 'completed' WHERE endpoint = ? AND state = 'stored'", (endpoint,))


def arrival_outcome(tx: Any, arrival: str, outcome: str) -> None:
    """Held arrivals are released or discarded, accepted ones may be rejected as a whole."""
    tx.execute("UPDATE arrival SET outcome = ? WHERE id = ?", (outcome, arrival))


def seen_name(read: Any, endpoint: str, facts: tuple[str, int, int]) -> bool:
    """True when a thing of this name, size and time was completed: for mailboxes that leave files where they are."""
    sql = "SELECT 1 FROM arrival WHERE endpoint = ? AND name = ? AND size = ? AND mtime = ? AND state = 'completed'"
    return bool(read(sql, (endpoint, *facts)))


def took(read: Any, endpoint: str, name: str) -> bool:
    """True when a thing of this name ever arrived."""
    return bool(read("SELECT 1 FROM arrival WHERE endpoint = ? AND name = ? LIMIT 1", (endpoint, name)))


def last_arrival(read: Any, endpoint: str) -> int:
    """When something last arrived, 0 = never."""
    return int(read("SELECT coalesce(max(at), 0) FROM arrival WHERE endpoint = ?", (endpoint,))[0][0])


OutboundState = Literal["staged", "requested", "delivered", "in_doubt"]


def outbound_state(read: Any, unit: str, sink: str) -> tuple[OutboundState, Receipt] | None:
    """How far the effect of a unit at a sink has come."""
    rows = read("SELECT state, receipt FROM outbound WHERE id = ? AND sink = ?", (unit, sink))
    return (rows[0][0], json.loads(rows[0][1])) if rows else None


def set_outbound(tx: Any, key: tuple[str, str, int], state: str, receipt: Receipt, now: int) -> None:
    """Store the state of an effect; key = (unit id, sink, message number)."""
    tx.execute(
        "INSERT INTO outbound VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id, sink) DO UPDATE SET state = excluded.state, "
        "receipt = excluded.receipt, at = excluded.at",
        (*key, state, json.dumps(receipt), now),
    )


def live_receipts(read: Any, sink: str) -> list[Receipt]:
    """Receipts of effects that may have happened: their stage files must stay. What is only staged is staged anew.

    Of a doubt that a person has discarded nothing has to stay.
    """
    rows = read(
        "SELECT receipt FROM outbound WHERE sink = ? AND state <> 'delivered' "  # in the words of its index
        "AND (state = 'requested' OR (state = 'in_doubt' AND EXISTS ("
        "SELECT 1 FROM dead WHERE dead.number = outbound.number AND dead.channel = outbound.sink)))",
        (sink,),
    )
    return [json.loads(row[0]) for row in rows]
