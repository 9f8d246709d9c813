"""The message itself, where the ledger still keeps it: while it is held, waits for another attempt, or is dead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from bus.errors import Rejected
from bus.ledger.reading import Reading
from bus.message import Message, decode

State = Literal["held", "deferred", "dead"]
_TABLES: tuple[State, ...] = ("held", "deferred", "dead")


@dataclass(frozen=True, slots=True)
class Kept:
    """A message at rest: why, in front of which channel, and what it is."""

    state: State
    channel: str
    message: Message


def kept(reading: Reading, number: int) -> Kept | None:
    """The message with a ledger number as it stands in front of its segment; None when it is not kept (any more)."""
    for table in _TABLES:
        row = reading.one(f"SELECT channel, payload FROM {table} WHERE number = ? ORDER BY id DESC", (number,))  # noqa: S608 - names from above
        if row is not None:
            try:
                return Kept(table, row[0], decode(row[1]))
            except Rejected:
                return None  # damaged; the case about it says so
    return None


def gathered(reading: Reading, group: int, number: int) -> Message | None:
    """The message with a ledger number as a member of a group; None when the group has gone on and is swept."""
    sql = "SELECT payload FROM member WHERE id >= ? AND id < ? AND number = ?"
    row = reading.one(sql, (group << _MEMBER_BITS, (group + 1) << _MEMBER_BITS, number))
    try:
        return None if row is None else decode(row[0])
    except Rejected:
        return None  # damaged; the case about it says so


_MEMBER_BITS = 30
"""The id of a member is its group's, so many bits to the left, and its position."""


def texts_of_versions(reading: Reading, hashes: list[str]) -> dict[str, dict[str, str]]:
    """Route version (beginning of its hash) -> sha256 of every file it was compiled from: route, mappings, tables."""
    found: dict[str, dict[str, str]] = {}
    for short in sorted(set(filter(None, hashes))):
        texts = sources_of(reading, short) or {}
        found[short] = {path: sha256(text.encode()).hexdigest() for path, text in sorted(texts.items())}
    return found


def sources_of(reading: Reading, version: str) -> dict[str, str] | None:
    """The texts of a route version by the beginning of its hash, as hops name it."""
    row = reading.one("SELECT sources FROM route_version WHERE hash >= ? AND hash < ?", (version, version + "g"))
    return None if row is None else dict(json.loads(row[0]))


def pinned_sources(reading: Reading, version: int) -> dict[str, str] | None:
    """The texts of a route version by its ledger number."""
    row = reading.one("SELECT sources FROM route_version WHERE id = ?", (version,))
    return None if row is None else dict(json.loads(row[0]))
