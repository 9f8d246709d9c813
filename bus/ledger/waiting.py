"""Messages that wait: for their next attempt, a person, a time, their predecessor; and those that are dead."""

from __future__ import annotations

from typing import Any

from bus.ledger import cases
from bus.message import Hold, Message, Resequence, salvage, sealed
from bus.ports import CaseNote

Row = tuple[Any, ...]


def defer(tx: Any, rows: list[tuple[int, str, Message, str, str]]) -> None:
    """Keep units for their next attempt: (due, channel, message, code, reason)."""
    tx.executemany(
        "INSERT INTO deferred (due, channel, number, code, reason, payload) VALUES (?, ?, ?, ?, ?, ?)",
        ((due, ch, m.headers.number, code, reason, sealed(m.told())) for due, ch, m, code, reason in rows),
    )


def line_up(tx: Any, place: str, head: int, rows: list[tuple[str, int, Message, str, str]]) -> bool:
    """Settle what stood at the head of a line (0 = nothing did) and let others line up; false when it was gone.

    Who is tried again stays at the head.
    """
    waits = list(rows)
    if head and waits:
        _, due, message, code, reason = waits.pop(0)
        sql = "UPDATE deferred SET due = ?, code = ?, reason = ?, payload = ? WHERE id = ? RETURNING 1"
        found = tx.execute(sql, (due, code, reason, sealed(message.told()), head)).fetchall()
    elif head:
        found = tx.execute("DELETE FROM deferred WHERE id = ? RETURNING 1", (head,)).fetchall()
    else:
        found = [(1,)]
    tx.executemany(
        "INSERT INTO deferred (due, channel, number, code, reason, payload, line) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((due, place, m.headers.number, code, reason, sealed(m.told() if m.headers.attempt else m), line)
         for line, due, m, code, reason in waits),
    )  # fmt: skip
    return bool(found)


_HEADS = "SELECT min(id) FROM deferred WHERE channel = ? AND line <> '' GROUP BY line"


def heads(read: Any, channel: str, now: int, most: int) -> list[tuple[int, Message]]:
    """What stands at the head of a line of the channel and may run now, the oldest first."""
    sql = f"SELECT id, payload FROM deferred WHERE id IN ({_HEADS}) AND due <= ? ORDER BY id LIMIT ?"  # noqa: S608 - no input
    return [(row, salvage(payload)) for row, payload in read(sql, (channel, now, most))]


def lines(read: Any, channel: str) -> dict[str, int]:
    """The lines of a channel in which somebody stands, with the time when the first of each runs again."""
    sql = f"SELECT line, due FROM deferred WHERE id IN ({_HEADS})"  # noqa: S608 - no input
    return dict(read(sql, (channel,)))


def take_due(tx: Any, now: int, most: int) -> list[tuple[str, Message]]:
    """Remove what is due and return it as (channel, message)."""
    rows = tx.execute(
        "DELETE FROM deferred WHERE id IN "
        "(SELECT id FROM deferred WHERE due <= ? AND line = '' ORDER BY due, id LIMIT ?) "
        "RETURNING id, channel, payload",
        (now, most),
    ).fetchall()
    return [(channel, salvage(payload)) for _, channel, payload in sorted(rows)]


def bring_forward(tx: Any, now: int, longest: int) -> int:
    """Make everything due now whose next attempt is further away than the longest wait; how many that were."""
    sql = "UPDATE deferred SET due = ? WHERE due > ? RETURNING 1"
    return len(tx.execute(sql, (now, now + longest)).fetchall())


def hold(tx: Any, wish: Hold, channel: str, case_id: int | None, now: int) -> None:
    """Keep a message until it is released, its time comes or its predicate turns true."""
    tx.execute(
        "INSERT INTO held (channel, number, until, predicate, code, reason, since, case_id, payload) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            channel,
            wish.message.headers.number,
            wish.until,
            wish.when,
            wish.code,
            wish.reason,
            now,
            case_id,
            sealed(wish.message.told()),
        ),
    )


def take_held_due(tx: Any, now: int, most: int) -> list[tuple[str, Message]]:
    """Remove held messages whose time has come and return them."""
    rows = tx.execute(
        "DELETE FROM held WHERE id IN (SELECT id FROM held WHERE until > 0 AND until <= ? ORDER BY until, id LIMIT ?) "
        "RETURNING id, channel, payload, case_id",
        (now, most),
    ).fetchall()
    cases.close_emptied(tx, {row[3] for row in rows}, "its time came", now)
    return [(channel, salvage(payload)) for _, channel, payload, _ in sorted(rows)]


def take_held(tx: Any, held: int, now: int) -> list[tuple[str, Message]]:
    """Remove one held message whose predicate lets it go and return it."""
    sql = "DELETE FROM held WHERE id = ? RETURNING channel, payload, case_id"
    rows = tx.execute(sql, (held,)).fetchall()
    cases.close_emptied(tx, {row[2] for row in rows}, "its condition came true", now)
    return [(channel, salvage(payload)) for channel, payload, _ in rows]


def take_held_of_case(tx: Any, case_id: int) -> list[tuple[str, Message]]:
    """Remove the held messages of a case and return them."""
    rows = tx.execute("DELETE FROM held WHERE case_id = ? RETURNING id, channel, payload", (case_id,)).fetchall()
    return [(channel, salvage(payload)) for _, channel, payload in sorted(rows)]


def take_dead_of_case(tx: Any, case_id: int) -> list[tuple[str, Message]]:
    """Remove the dead letters of a case and return them."""
    rows = tx.execute("DELETE FROM dead WHERE case_id = ? RETURNING id, channel, payload", (case_id,)).fetchall()
    return [(channel, salvage(payload)) for _, channel, payload in sorted(rows)]


def bury(tx: Any, channel: str, message: Message, note: CaseNote, case_id: int, now: int) -> None:
    """Store a dead letter (EIP Dead Letter Channel)."""
    tx.execute(
        "INSERT INTO dead (channel, number, code, reason, at, case_id, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (channel, message.headers.number, note.code, note.summary, now, case_id, sealed(message.told())),
    )


def resequence(tx: Any, wish: Resequence, channel: str, now: int) -> list[tuple[str, Message]]:
    """Park a message or let it and its waiting successors go, in order. A late predecessor goes at once."""
    row = tx.execute(
        "SELECT id, expected FROM resequencing WHERE channel = ? AND step = ? AND key = ?",
        (channel, wish.step, wish.key),
    ).fetchone()
    if row is None:
        row = tx.execute(
            "INSERT INTO resequencing (version, step, key, channel, expected, due, timeout)"
            " VALUES (?, ?, ?, ?, ?, 0, ?) RETURNING id, expected",
            (wish.message.headers.version, wish.step, wish.key, channel, wish.first, wish.timeout),
        ).fetchone()
    stream, expected = row
    if wish.number < expected:
        return [(channel, wish.message)]
    tx.execute(
        "INSERT INTO parked VALUES (?, ?, ?, ?)",
        (stream, wish.number, wish.message.headers.number, sealed(wish.message)),
    )
    return _release_run(tx, stream, channel, expected, now)


def _release_run(tx: Any, stream: int, channel: str, expected: int, now: int) -> list[tuple[str, Message]]:
    gone: list[tuple[str, Message]] = []
    while True:
        rows = tx.execute(
            "DELETE FROM parked WHERE stream = ? AND position = ? RETURNING number, payload", (stream, expected)
        ).fetchall()
        if not rows:
            break
        gone.extend((channel, salvage(payload)) for _, payload in sorted(rows))
        expected += 1
    tx.execute(
        "UPDATE resequencing SET expected = ?, due = CASE WHEN NOT EXISTS (SELECT 1 FROM parked WHERE stream = ?) "
        "THEN 0 WHEN due = 0 OR ? THEN ? + timeout ELSE due END WHERE id = ?",
        (expected, stream, bool(gone), now, stream),
    )
    return gone


def skip_gaps(tx: Any, now: int) -> list[tuple[Row, list[tuple[str, Message]]]]:
    """Streams whose gap was waited for long enough: ((step, key, first missing, version), what goes on now)."""
    found = []
    rows = tx.execute(
        "SELECT id, channel, step, key, expected, version FROM resequencing WHERE due > 0 AND due <= ? LIMIT 100",
        (now,),
    ).fetchall()
    for stream, channel, step, key, expected, version in rows:
        (following,) = tx.execute("SELECT min(position) FROM parked WHERE stream = ?", (stream,)).fetchone()
        gone = _release_run(tx, stream, channel, following, now)
        found.append(((step, key, expected, version), gone))
    return found
