"""Message history read back: hops of a message, and messages found by what people know of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from bus.ledger.history import SPAN, expand
from bus.ledger.reading import Amount, Reading, moment, route_of

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_UUID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})")
_PAGE = 2_000
"""History rows looked through by one query of a search for a message id that is not indexed."""
_LAST = "\U0010ffff"
"""Sorts behind every text that goes on after a prefix."""
_VERSION = 8
"""Characters of a route version's hash that people get to see."""


@dataclass(frozen=True, slots=True)
class Output:
    """A message that came out of a hop, and the channel it was put on."""

    channel: str
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Born:
    """What was known of a message when it came into being; kept when the message itself is long gone."""

    name: str
    """File it arrived in."""
    place: str
    """Where in the file it stood."""
    keys: tuple[tuple[str, str], ...]
    """Business keys, (name, value)."""
    worth: Amount | None


@dataclass(frozen=True, slots=True)
class Hop:
    """One line of a message's history."""

    at: datetime
    place: str
    """``route`` or ``route#step`` (a segment), or the name of an outlet."""
    version: str
    """First characters of the route version's hash; empty at outlets."""
    step: str
    outcome: str
    attempt: int
    code: str
    reason: str
    number: int
    message: str
    parent: str
    correlation: str
    outputs: tuple[Output, ...]
    groups: tuple[int, ...]
    """Gatherings it joined here; of a release: the one it stands for."""
    born: Born | None

    @property
    def route(self) -> str:
        """The route, or the outlet."""
        return route_of(self.place)

    @property
    def onward(self) -> str:
        """Channel that the message itself was put on, ``""`` when it was not."""
        return next((out.channel for out in self.outputs if out.number == self.number), "")


@dataclass(frozen=True, slots=True)
class Match:
    """A message that was asked for, and what it was found by."""

    number: int
    name: str
    value: str


class History:
    """Reads hops. Remembers route versions, so make one for each command.

    Args:
        reading: the ledger.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._versions: dict[int, str] = {}

    def hops(self, number: int) -> list[Hop]:
        """What happened to a message, in order."""
        sql = (
            "SELECT at, version, place, packed FROM history WHERE first > ? AND first <= ? AND last >= ? "
            "ORDER BY id LIMIT 5000"
        )
        rows = self.reading.rows(sql, (number - SPAN, number, number))
        return [self._hop(found) for row in rows for found in expand(row, number)]

    def _hop(self, found: dict[str, Any]) -> Hop:
        born = found["born"]
        if born is not None:
            worth = born["worth"]
            amount = Amount(Decimal(worth["value"]), worth["currency"]) if worth else None
            born = Born(born["name"], born["place"], tuple(born["keys"]), amount)
        return Hop(
            **{
                **found,
                "at": moment(found["at"]),
                "version": self.version(found["version"]),
                "outputs": tuple(Output(**out) for out in found["outputs"]),
                "groups": tuple(found["groups"]),
                "born": born,
            }
        )

    def version(self, number: int) -> str:
        """Short hash of a route version."""
        if number and number not in self._versions:
            row = self.reading.one("SELECT hash FROM route_version WHERE id = ?", (number,))
            self._versions[number] = row[0][:_VERSION] if row else ""
        return self._versions.get(number, "")

    # ------------------------------------------------------------ finding

    def find(self, text: str, *, name: str = "", most: int = 200) -> list[Match]:
        """Messages with this business key, newest first; ``text`` may end in ``*`` for all that begin so.

        Args:
            text: the value of a key: invoice number, end-to-end id, file name, message id …
            name: look only at keys of this name.
            most: how many to return.
        """
        value = text.strip()
        low, high = (value[:-1], value[:-1] + _LAST) if value.endswith("*") else (value, value)
        sql = (
            "SELECT number, name, value FROM (SELECT * FROM business_key WHERE value >= ?1 AND value <= ?2 "
            "AND (?3 = '' OR name = ?3) LIMIT 20000) AS found ORDER BY number DESC LIMIT ?4"
        )
        rows = self.reading.rows(sql, (low, high, name, most))
        found = [Match(*row) for row in rows]
        if not found and not name:
            found = self._find_instruction(value) or self._find_message(value)
        return found

    def _find_instruction(self, value: str) -> list[Match]:
        """A reference that only the bank's file has."""
        for column in ("end_to_end_id", "message_id", "payment_information_id"):
            sql = f"SELECT DISTINCT number FROM instruction WHERE {column} = ? ORDER BY number DESC LIMIT 20"  # noqa: S608 - names from above
            rows = self.reading.rows(sql, (value,))
            if rows:
                return [Match(row[0], column, value) for row in rows]
        return []

    def _find_message(self, value: str) -> list[Match]:
        """A message id, alone or inside a file name of ours; ids of records are not indexed, history is searched."""
        lowered = _UUID.sub(r"\1\2\3\4\5", value.lower())
        found = _ID.search(lowered)
        if found is None:
            return []
        identity = found[0]
        rows = self.reading.rows("SELECT number FROM business_key WHERE value = ? AND name = 'message'", (identity,))
        if rows:
            return [Match(row[0], "message", identity) for row in rows]
        number = self._search(identity)
        return [Match(number, "message", identity)] if number else []

    def _search(self, identity: str) -> int:
        """Number of the message with this id, 0 = none."""
        raw = bytes.fromhex(identity)
        ((high,),) = self.reading.rows("SELECT coalesce(max(id), 0) FROM history")
        while high > 0:
            sql = "SELECT at, version, place, packed FROM history WHERE id > ? AND id <= ? AND instr(packed, ?) > 0"
            for row in self.reading.rows(sql, (high - _PAGE, high, raw)):
                for hop in expand(row):
                    if hop["message"] == identity:
                        return int(hop["number"])
                    for out in hop["outputs"]:
                        if out["message"] == identity:
                            return int(out["number"])
            high -= _PAGE
        return 0


def merged(hops: list[Hop]) -> list[Hop]:
    """Hops of several messages in the order they happened, without repetition."""
    seen: set[tuple[int, datetime, str, str]] = set()
    ordered: list[Hop] = []
    for hop in sorted(hops, key=lambda h: h.at):
        mark = (hop.number, hop.at, hop.place, hop.outcome)
        if mark not in seen:
            seen.add(mark)
            ordered.append(hop)
    return ordered
