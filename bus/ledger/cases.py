"""Cases: one per business failure, with owner and context; and the audit of what people decided."""

from __future__ import annotations

import json
from typing import Any

from bus.errors import NotAllowed
from bus.ports import CaseNote


def open_case(tx: Any, note: CaseNote, now: int) -> int:
    """Open a case, or count up the open one with the same fingerprint; returns its number."""
    row = tx.execute("SELECT id FROM cases WHERE fingerprint = ? AND state = 'open'", (note.fingerprint,)).fetchone()
    if row is not None:
        tx.execute("UPDATE cases SET count = count + 1, last = ? WHERE id = ?", (now, row[0]))
        return int(row[0])
    row = tx.execute(
        "INSERT INTO cases (fingerprint, code, summary, route, owner, state, number, correlation, context, count,"
        " opened, last) VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?, 1, ?, ?) RETURNING id",
        (
            note.fingerprint,
            note.code,
            note.summary,
            note.route,
            note.owner,
            note.number,
            note.correlation,
            json.dumps(note.context, default=str),
            now,
            now,
        ),
    ).fetchone()
    return int(row[0])


def must_be_open(tx: Any, case_id: int) -> tuple[str, str]:
    """(code, route) of an open case.

    Raises:
        NotAllowed: ``SYS201`` no such case, ``SYS202`` it is closed.
    """
    row = tx.execute("SELECT code, route, state FROM cases WHERE id = ?", (case_id,)).fetchone()
    if row is None:
        raise NotAllowed("SYS201", f"there is no case {case_id}", hint="see: bus cases list")
    if row[2] != "open":
        raise NotAllowed("SYS202", f"case {case_id} is {row[2]} already", hint=f"see: bus cases show {case_id}")
    return row[0], row[1]


def close_case(tx: Any, case_id: int, state: str, by: tuple[str, str], now: int) -> None:
    """Close a case; ``by`` is (who, reason)."""
    tx.execute(
        "UPDATE cases SET state = ?, closed = ?, closed_by = ?, closing_reason = ? WHERE id = ?",
        (state, now, by[0], by[1], case_id),
    )


def close_emptied(tx: Any, case_ids: set[int | None], reason: str, now: int) -> None:
    """Close those of the cases for which nothing waits any more: what they held went on by itself."""
    tx.executemany(
        "UPDATE cases SET state = 'released', closed = ?, closed_by = 'girobus', closing_reason = ? WHERE id = ? AND "
        "state = 'open' AND NOT EXISTS (SELECT 1 FROM held WHERE case_id = cases.id) "
        "AND NOT EXISTS (SELECT 1 FROM dead WHERE case_id = cases.id)",
        [(now, reason, case_id) for case_id in case_ids if case_id is not None],
    )


def audit(tx: Any, now: int, who: str, what: str, target: str, reason: str) -> None:
    """Remember who did what to what, and why."""
    tx.execute(
        "INSERT INTO audit (at, who, what, target, reason) VALUES (?, ?, ?, ?, ?)", (now, who, what, target, reason)
    )
