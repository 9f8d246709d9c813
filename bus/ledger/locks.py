"""Names under which the ledger locks what it reads and then changes, for stores that several processes write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from bus.ports import CaseNote, Settlement

_BUCKETS = 64


def of_settlement(settlement: Settlement) -> set[str]:
    """Everything that applying a settlement looks at before it changes it."""
    route = settlement.place.partition("#")[0]
    names = {of_case(note) for note in settlement.cases}
    names |= {of_case(note) for _, _, note in settlement.holds if note is not None}
    names |= {of_case(note) for _, _, note in settlement.dead}
    names |= {_memory(wish.scope, wish.key) for wish in settlement.remembers}
    names |= {f"instruction {move.instruction % _BUCKETS}" for move in settlement.progress}
    names |= {_group(route, wish.step) for wish, _ in settlement.joins}
    # A copy is not waited for: whether its batch is still to be completed must not change while it joins.
    joining = {wish.message.headers.sequence for wish, rule in settlement.joins if rule.batch}
    names |= {_batch(sequence.batch) for sequence in joining if sequence is not None}
    names |= {f"stream {channel}" for _, channel in settlement.resequences}
    names |= {_batch(batch) for batch in settlement.reports}
    names |= {_batch(cursor.batch) for cursor in (*settlement.open_batches, *settlement.discards)}
    return names


def of_case(note: CaseNote) -> str:
    """The case that a note opens or counts up."""
    return f"case {note.fingerprint}"


def of_groups(tx: Any, groups: Iterable[int]) -> set[str]:
    """Groups that are about to be released because their time has come; the end of their batch releases them too."""
    sql = "SELECT route, step, abs(batch) FROM gathering WHERE id = ?"
    rows = [tx.execute(sql, (group,)).fetchone() for group in groups]
    return {_group(route, step) for route, step, _ in rows} | {_batch(batch) for _, _, batch in rows if batch}


def of_streams(tx: Any, now: int) -> set[str]:
    """Resequenced channels in which a gap was waited for long enough."""
    rows = tx.execute("SELECT DISTINCT channel FROM resequencing WHERE due > 0 AND due <= ?", (now,)).fetchall()
    return {f"stream {channel}" for (channel,) in rows}


def _memory(scope: str, key: str) -> str:
    """Not each key by itself: a transaction of many payments would need more locks than a database has."""
    return f"memory {crc32(f'{scope} {key}'.encode()) % _BUCKETS}"


def _batch(batch: int) -> str:
    return f"batch {batch}"


def _group(route: str, step: str) -> str:
    return f"group {route} {step}"
