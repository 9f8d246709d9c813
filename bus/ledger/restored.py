"""What a restored ledger can know: nothing that was made between a backup and its restore.

The embedded channels are in the ledger and as old as it is. The queues of a RabbitMQ are not in the backup: they hold
work of the time that is lost, under numbers of batches, groups and versions that the restored ledger gives to others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bus.message import Group, Headers, Message

_NUMBERS = 1_000_000_000
"""How far the numbers of messages jump ahead: those of the lost time are not given to others."""
_SKEW = 10_000
"""Milliseconds by which the clocks of machines may differ."""
_LAST = {"batch": "batch", "version": "route_version"}
_KEY = "restored_{at}_{word}"
"""In the table ``meta``; every restore stays known, as queues may hold something of each time that was lost."""


class Restored(NamedTuple):
    """One restore: times are milliseconds since 1970 UTC, the rest is what the ledger knew."""

    at: int
    since: int
    batch: int
    """The last number of a batch."""
    version: int
    """The last number of a route's version."""
    loading: frozenset[int]
    """Batches whose split was not finished: it goes on, and makes the rest of their children again."""


def mark(execute: Callable[[str, tuple[Any, ...]], Any], backup: int) -> None:
    """Write down that the ledger is a backup of that time, before it gives a number to anything."""
    at = time.time_ns() // 1_000_000
    execute("INSERT INTO meta VALUES (?, ?)", (_KEY.format(at=at, word="since"), backup))
    for word, table in _LAST.items():
        execute(f"INSERT INTO meta SELECT ?, coalesce(max(id), 0) FROM {table}", (_KEY.format(at=at, word=word),))  # noqa: S608 - words of this module
    loading = _KEY.format(at=at, word="loading_")
    execute("INSERT INTO meta SELECT ? || id, id FROM batch WHERE state = 'loading'", (loading,))
    execute("UPDATE meta SET value = value + ? WHERE key = 'next_number'", (_NUMBERS,))


def restores(read: Any) -> list[Restored]:
    """All restores that the ledger went through."""
    found: dict[int, dict[str, int]] = {}
    for key, value in read("SELECT key, value FROM meta WHERE key LIKE 'restored_%'", ()):
        _, at, word = key.split("_", 2)
        found.setdefault(int(at), {})[word] = value
    return [_read(at, words) for at, words in sorted(found.items())]


def _read(at: int, words: dict[str, int]) -> Restored:
    loading = frozenset(value for word, value in words.items() if word.startswith("loading_"))
    return Restored(at, words["since"], words["batch"], words["version"], loading)


def strangers(read: Any, restores: Sequence[Restored], messages: Sequence[Message]) -> set[str]:
    """Legs of the messages that came on their way in a lost time and belong to nothing that the ledger knows.

    Those that the ledger still keeps, held or waiting for another attempt, are among them: they go on from there.
    """
    return set().union(*(_strangers(read, one, messages) for one in restores))


def _strangers(read: Any, restored: Restored, messages: Sequence[Message]) -> set[str]:
    old = [m for m in messages if m.headers.created_at <= restored.at]
    kept = _known(
        read,
        "SELECT number FROM held WHERE number IN ({0}) UNION SELECT number FROM deferred WHERE number IN ({0})",
        {m.headers.number for m in old},
    )
    lost = [m for m in old if m.headers.created_at > restored.since - _SKEW]
    origins = {m.headers.correlation_id for m in lost if type(m.body) is not Group}
    # Younger arrivals are those of the same files, dropped again.
    known = _known(read, f"SELECT id FROM arrival WHERE at <= {restored.at} AND id IN ({{0}})", origins)  # noqa: S608 - a number
    numbers = {m.body.number for m in lost if type(m.body) is Group}
    released = dict(_rows(read, "SELECT id, message FROM gathering WHERE id IN ({0})", numbers))
    found = {m.headers.leg for m in old if m.headers.number in kept}
    for message in lost:
        headers, body = message.headers, message.body
        whole = released.get(body.number) == headers.number if type(body) is Group else headers.correlation_id in known
        if not whole or headers.version > restored.version or _of_lost_batch(headers, restored):
            found.add(headers.leg)
    return found


def _of_lost_batch(headers: Headers, restored: Restored) -> bool:
    """Whether its batch was begun, or this part of it made, after the backup."""
    part = headers.sequence
    if part is None:
        return False
    return part.batch > restored.batch or (part.batch in restored.loading and headers.created_at > restored.since)


def _known(read: Any, sql: str, values: Iterable[Any]) -> set[Any]:
    return {row[0] for row in _rows(read, sql, values)}


def _rows(read: Any, sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The rows of a question with ``{0}`` for the values; nothing is asked of none."""
    bindings = tuple(values)
    if not bindings:
        return []
    rows: list[tuple[Any, ...]] = read(sql.format(", ".join("?" * len(bindings))), bindings * sql.count("{0}"))
    return rows
