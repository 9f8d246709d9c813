"""Which blobs the ledger's rows refer to: messages at rest, wherever they wait, and those in the queues of a broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from bus.message import Message, blobs_of, salvage

_PAGE = 500
TABLES = ("queued", "deferred", "held", "dead", "member")
"""Tables whose rows are messages under a number of their own …"""
PARKED = "parked"
"""… and one that has another key."""

_UNDER_WAY = "SELECT sha256, size FROM under_way WHERE NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.leg = under_way.leg)"


class Reads(Protocol):
    """A way to read committed rows: a store's ``read`` or a reading's ``rows``."""

    def __call__(self, sql: str, bindings: tuple[Any, ...] = (), /) -> list[tuple[Any, ...]]:
        """All rows of a query."""


def messages(read: Reads) -> Iterator[Message]:
    """All messages at rest, page by page."""
    for table in (*TABLES, PARKED):
        yield from messages_in(read, table)


def messages_in(read: Reads, table: str) -> Iterator[Message]:
    """Those of one table."""
    key = ("stream", "position", "number") if table == PARKED else ("id",)
    columns, marks = ", ".join(key), ", ".join("?" * len(key))
    page = f"SELECT payload, {columns} FROM {table} WHERE ({columns}) > ({marks}) ORDER BY {columns} LIMIT {_PAGE}"  # noqa: S608 - names from above
    place: tuple[Any, ...] = (-1,) * len(key)
    while rows := read(page, place):
        yield from (salvage(row[0]) for row in rows)
        place = rows[-1][1:]


def all_blobs(read: Reads) -> dict[str, int]:
    """Sha256 -> size of every blob that some row refers to."""
    found = {blob.sha256: blob.size for message in messages(read) for blob in blobs_of(message)}
    return found | dict(read(_UNDER_WAY))


def all_known(read: Reads, since: int) -> bool:
    """Whether no message stands in a queue of which the ledger does not know, if none stands there since before a time.

    Not known is what was sent before the ledger wrote down what that refers to, or in a time that it lost by a restore.
    """
    return not read("SELECT 1 FROM meta WHERE key = 'under_way_since' AND value >= ?", (since,))
