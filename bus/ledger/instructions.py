"""State between routes: registered payment instructions and their status, and what steps asked to remember."""

from __future__ import annotations

from typing import Any

from bus.errors import Retryable
from bus.message import Progress, Register, Remember, moves_forward

_COLUMNS = (
    "id, partner, message_id, payment_information_id, end_to_end_id, amount, currency, status, reason, number, "
    "correlation, route"
)
_FIELDS = tuple(_COLUMNS.split(", "))
_MOST = 100_000


def register(tx: Any, wish: Register, message: tuple[int, str, str], now: int) -> None:
    """Remember instructions, also several of one reference; ``message`` = (number, correlation, route).

    Idempotent: what the message registered of one file before stays as it is.
    """
    known = {
        row[0] for row in tx.execute("SELECT DISTINCT message_id FROM instruction WHERE number = ?", (message[0],))
    }
    tx.executemany(
        "INSERT INTO instruction (partner, message_id, payment_information_id, end_to_end_id, amount,"
        " currency, status, reason, number, correlation, route, registered, answer_by, changed)"
        " VALUES (?, ?, ?, ?, ?, ?, '', '', ?, ?, ?, ?, ?, ?)",
        (
            (
                row["partner"],
                row["message_id"],
                row["payment_information_id"],
                row["end_to_end_id"],
                f"{row['amount']:f}",
                row["currency"],
                *message,
                now,
                wish.answer_by,
                now,
            )
            for row in wish.rows
            if row["message_id"] not in known
        ),
    )


def progress(tx: Any, wish: Progress, now: int) -> None:
    """Move a status forward; a backward move is ignored, a rejection always wins.

    Raises:
        Retryable: ``SYS121`` when another unit moved it since this one looked; the worker then runs one by one.
    """
    (status,) = tx.execute("SELECT status FROM instruction WHERE id = ?", (wish.instruction,)).fetchone()
    if wish.seen not in (None, status):
        raise Retryable("SYS121", "another unit moved the same payment first", hint="it runs again by itself")
    if moves_forward(status, wish.status):
        tx.execute(
            "UPDATE instruction SET status = ?, reason = ?, changed = ? WHERE id = ?",
            (wish.status, wish.reason, now, wish.instruction),
        )


def find(read: Any, where: dict[str, str]) -> list[dict[str, Any]]:
    """Instructions that match all given, non-empty fields; an empty question finds nothing."""
    asked = {k: v for k, v in where.items() if v and k in _FIELDS}
    if not asked:
        return []
    clause = " AND ".join(f"{name} = ?" for name in asked)
    rows = read(f"SELECT {_COLUMNS} FROM instruction WHERE {clause} ORDER BY id LIMIT {_MOST}", tuple(asked.values()))  # noqa: S608 - names from _FIELDS
    return [dict(zip(_FIELDS, row, strict=True)) for row in rows]


def unanswered(read: Any, now: int) -> list[tuple[str, str, str, int, int]]:
    """(partner, message id, route, count, answer_by) of files whose answer is overdue."""
    sql = (
        "SELECT partner, message_id, route, count(*), min(answer_by) FROM instruction WHERE status = '' "
        "AND answer_by > 0 AND answer_by <= ? GROUP BY partner, message_id, route LIMIT 100"
    )
    return read(sql, (now,))  # type: ignore[no-any-return]  # rows of this query


def stop_watching(tx: Any, message_id: str) -> bool:
    """Do not look at these instructions' deadline again; whether it was looked at until now."""
    sql = "UPDATE instruction SET answer_by = 0 WHERE message_id = ? AND answer_by > 0 RETURNING 1"
    return bool(tx.execute(sql, (message_id,)).fetchall())


def remember(tx: Any, wish: Remember, now: int) -> None:
    """Store a value under (scope, key).

    Raises:
        Retryable: ``SYS121`` when another unit stored a different, unexpired value meanwhile; the worker then runs its
            batch one by one, so that each unit sees what the one before it remembered.
    """
    row = tx.execute(
        "SELECT value, until FROM remembered WHERE scope = ? AND key = ?", (wish.scope, wish.key)
    ).fetchone()
    there = row[0] if row is not None and not 0 < row[1] <= now else ""
    expected = (wish.seen,) if wish.replace else ("", wish.value)
    if expected != (None,) and there not in expected:
        raise Retryable("SYS121", "another unit remembered the same key first", hint="it runs again by itself")
    tx.execute(
        "INSERT INTO remembered VALUES (?, ?, ?, ?) ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, "
        "until = excluded.until",
        (wish.scope, wish.key, wish.value, wish.until),
    )


def recall(read: Any, scope: str, key: str, now: int) -> str | None:
    """The unexpired value under (scope, key)."""
    rows = read(
        "SELECT value FROM remembered WHERE scope = ? AND key = ? AND (until = 0 OR until > ?)", (scope, key, now)
    )
    return rows[0][0] if rows else None


def forget_expired(tx: Any, now: int, most: int) -> int:
    """Housekeeping."""
    sql = (
        "DELETE FROM remembered WHERE (scope, key) IN "
        "(SELECT scope, key FROM remembered WHERE until > 0 AND until <= ? LIMIT ?) RETURNING 1"
    )
    return len(tx.execute(sql, (now, most)).fetchall())
