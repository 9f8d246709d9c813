"""What a restored ledger can know: nothing that was made between its backup and the restore.

The embedded channels are in the ledger and as old as it is. The queues of a RabbitMQ are not in the backup: they hold
work of the time that is lost, under numbers of batches, groups and versions that the restored ledger gives to others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bus.message import Group, Message

_NUMBERS = 1_000_000_000
"""How far the numbers of messages jump ahead: those of the lost time are not given to others."""
_SKEW = 10_000
"""Milliseconds by which the clocks of machines may differ."""
_LAST = {"batch": "batch", "gathering": "gathering", "version": "route_version"}


class Restored(NamedTuple):
    """The last restore: times are milliseconds since 1970 UTC, the rest are the last numbers that the ledger knows."""

    since: int
    at: int
    batch: int
    gathering: int
    version: int


def mark(execute: Callable[[str, tuple[Any, ...]], Any], backup: int) -> None:
    """Write down that the ledger is a backup of that time, before it gives a number to anything."""
    known = {"since": backup, "at": time.time_ns() // 1_000_000}
    for word, value in known.items():
        _set(execute, word, "?", (value,))
    for word, table in _LAST.items():
        _set(execute, word, f"(SELECT coalesce(max(id), 0) FROM {table})", ())  # noqa: S608 - words of this module
    execute("UPDATE meta SET value = value + ? WHERE key = 'next_number'", (_NUMBERS,))


def _set(execute: Callable[[str, tuple[Any, ...]], Any], word: str, value: str, bindings: tuple[Any, ...]) -> None:
    execute(f"DELETE FROM meta WHERE key = 'restored_{word}'", ())  # noqa: S608 - words of this module
    execute(f"INSERT INTO meta VALUES ('restored_{word}', {value})", bindings)  # noqa: S608 - as above


def last(read: Any) -> Restored | None:
    """The last restore of a ledger, if there was one."""
    found = dict(read("SELECT key, value FROM meta WHERE key LIKE 'restored_%'", ()))
    return Restored(*(found[f"restored_{word}"] for word in Restored._fields)) if found else None


def strangers(read: Any, restored: Restored, messages: Sequence[Message]) -> set[str]:
    """Ids of the messages that were made in the lost time and belong to nothing that the ledger knows."""
    lost = [m for m in messages if restored.since - _SKEW < m.headers.created_at <= restored.at]
    found = {m.headers.id for m in lost if not _numbered(m, restored)}
    origins = {m.headers.correlation_id for m in lost} if len(found) < len(lost) else set()
    if origins:
        marks = ", ".join("?" * len(origins))
        known = {row[0] for row in read(f"SELECT id FROM arrival WHERE id IN ({marks})", tuple(origins))}  # noqa: S608 - question marks only
        found |= {m.headers.id for m in lost if m.headers.correlation_id not in known}
    return found


def _numbered(message: Message, restored: Restored) -> bool:
    """Whether the ledger knows the batch, the group and the version that the message names."""
    headers, body = message.headers, message.body
    if headers.version > restored.version or (type(body) is Group and body.number > restored.gathering):
        return False
    return headers.sequence is None or headers.sequence.batch <= restored.batch
