"""The newest row of the history in the embedded store, and the running totals that stand in it.

A commit of few messages adds its part of the history to the newest row. What it adds to the totals of its place is kept
in that row too, so that it changes one page for both; the view ``tally`` has the sum. The one process that writes knows
what it wrote last: nothing is read to go on with it. Whoever rolls back says so (:meth:`Tail.forget`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bus.ledger.history import ARRAY, SPAN
from bus.money import exact_sum
from bus.ports import Hops, MoneyTotalsByOutcome

_ROW = 4_000
"""Bytes to which a row grows: two of them fill a page of the embedded store."""
_OPEN_FOR = 1_000
"""Milliseconds after its first part in which a row takes others, because it is forgotten by the time of its first."""
_TOTALS = 16
"""A row with more totals than this takes no other part: they are written anew with each."""

_INSERT = "INSERT INTO history (first, last, at, version, place, packed, totals) VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADD = (
    "INSERT INTO tally_row VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count, "
    "amount = add_texts(amount, excluded.amount), last = excluded.last"
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[str, str, str, int, str, int]]).decode


class Tail:
    """What the process that writes remembers of the newest row; used inside a transaction only."""

    __slots__ = ("_at", "_first", "_known", "_last", "_packed", "_row", "_totals")

    def __init__(self) -> None:
        self._at = self._first = self._last = self._row = 0
        self._packed = b""
        self._totals: dict[tuple[str, str, str], tuple[int, Decimal, int]] = {}
        self._known = False

    def forget(self) -> None:
        """What was written last may have been rolled back: read it again."""
        self._known = False

    def add(self, tx: Any, part: Hops, tally: MoneyTotalsByOutcome) -> None:
        """Add a part to the newest row where it fits, else as a row of its own; and to the totals of its place."""
        if not self._known:
            self._look(tx)
        if self._fits(part):
            self._last = max(self._last, part.last)
            self._packed += part.packed
            self._count(part, tally)
            sql = "UPDATE history SET last = ?, packed = ?, totals = ? WHERE id = ?"
            tx.execute(sql, (self._last, self._packed, self._written(), self._row))
            if tx.changes():
                return  # else the row was forgotten meanwhile, and its totals were kept
        else:
            self._close(tx)
        self._begin(tx, part, tally)

    def _fits(self, part: Hops) -> bool:
        return (
            self._row > 0
            and len(self._packed) + len(part.packed) <= _ROW
            and self._first <= part.first
            and self._first > part.last - SPAN
            and self._at <= part.at < self._at + _OPEN_FOR
            and len(self._totals) < _TOTALS
        )

    def _look(self, tx: Any) -> None:
        newest = "SELECT id, first, last, at, packed, totals FROM history WHERE id = (SELECT max(id) FROM history)"
        rows = tx.execute(newest).fetchall()
        self._row, self._totals, self._known = 0, {}, True
        if rows and rows[0][4][0] < ARRAY:
            self._row, self._first, self._last, self._at, self._packed, totals = rows[0]
            self._totals = {(p, o, c): (count, Decimal(amount), at) for p, o, c, count, amount, at in _decode(totals)}

    def _begin(self, tx: Any, part: Hops, tally: MoneyTotalsByOutcome) -> None:
        """A row of its own; a big one takes no others, and its totals go where they belong at once."""
        big = len(part.packed) > _ROW // 2
        self._totals = {}
        if big:
            add_tally(tx, part.place, part.at, tally)
        else:
            self._count(part, tally)
        tx.execute(_INSERT, (*part, self._written()))
        self._row = tx.last_insert_rowid()
        self._first, self._last, self._at, self._packed = part.first, part.last, part.at, part.packed

    def _close(self, tx: Any) -> None:
        """The totals of a row that takes no more go to those of their places."""
        if not self._totals:
            return
        tx.execute("UPDATE history SET totals = '[]' WHERE id = ?", (self._row,))
        if tx.changes():
            tx.executemany(_ADD, [(*key, n, str(amount), at) for key, (n, amount, at) in self._totals.items()])

    def _count(self, part: Hops, tally: MoneyTotalsByOutcome) -> None:
        totals = self._totals
        for (outcome, currency), (count, amount) in tally.items():
            key = (part.place, outcome, currency)
            known = totals.get(key)
            if known is None:
                totals[key] = (count, amount, part.at)
            else:
                totals[key] = (known[0] + count, exact_sum(known[1], amount), part.at)

    def _written(self) -> str:
        return _encode([(*key, n, str(amount), at) for key, (n, amount, at) in self._totals.items()]).decode()


def add_tally(tx: Any, place: str, now: int, tally: MoneyTotalsByOutcome) -> None:
    """Add counts and sums to the running totals of a place; sums are exact decimals as text (see :func:`add_texts`)."""
    if tally:
        tx.executemany(_ADD, [(place, *key, count, str(amount), now) for key, (count, amount) in tally.items()])


def add_texts(*texts: Any) -> str:
    """The exact sum of two decimals, as a function for SQLite, which has none; with the decimals of the longer one.

    So it does not matter in which order amounts are added, nor which of them are added first.
    """
    old, new = texts
    return str(exact_sum(Decimal(old), Decimal(new)))


class SumOfTexts:
    """The exact sum of decimals as text, as an aggregate for SQLite."""

    def __init__(self) -> None:
        self._sum: str | None = None

    def step(self, *texts: Any) -> None:
        """One more."""
        (text,) = texts
        self._sum = text if self._sum is None else add_texts(self._sum, text)

    def final(self) -> str | None:
        """All of them."""
        return self._sum
