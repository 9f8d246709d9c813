"""Which blobs the ledger's rows refer to: messages at rest, wherever they wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from bus.message import Blob, Message, salvage

_PAGE = 500
TABLES = ("queued", "deferred", "held", "dead", "member")
"""Tables whose rows are messages under a number of their own; ``parked`` has another key."""


class Reads(Protocol):
    """A way to read committed rows: a store's ``read`` or a reading's ``rows``."""

    def __call__(self, sql: str, bindings: tuple[Any, ...] = (), /) -> list[tuple[Any, ...]]:
        """All rows of a query."""


def messages(read: Reads) -> Iterator[Message]:
    """All messages at rest, page by page."""
    for table in TABLES:
        last = -1
        page = f"SELECT id, payload FROM {table} WHERE id > ? ORDER BY id LIMIT {_PAGE}"  # noqa: S608 - a name from above
        while rows := read(page, (last,)):
            yield from (salvage(payload) for _, payload in rows)
            last = rows[-1][0]
    place = (-1, -1, -1)
    parked = (
        "SELECT stream, position, number, payload FROM parked WHERE (stream, position, number) > (?, ?, ?) "
        "ORDER BY stream, position, number LIMIT ?"
    )
    while rows := read(parked, (*place, _PAGE)):
        yield from (salvage(row[3]) for row in rows)
        place = rows[-1][:3]


def referred(message: Message) -> Iterator[Blob]:
    """Blobs of a message: its body, and what a claim check put away from inside it."""
    stack = [message.body, message.properties]
    while stack:
        value = stack.pop()
        if isinstance(value, Blob):
            yield value
        elif isinstance(value, dict):
            claim = value.get("claim")
            if isinstance(claim, dict) and isinstance(claim.get("sha256"), str) and isinstance(claim.get("size"), int):
                yield Blob(claim["sha256"], claim["size"])
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def all_blobs(read: Reads) -> dict[str, int]:
    """Sha256 -> size of every blob that some row refers to."""
    return {blob.sha256: blob.size for message in messages(read) for blob in referred(message)}
