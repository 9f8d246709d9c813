"""Registered instructions: two of one reference stay two, also in a store that is brought forward."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import apsw

from bus.ledger import instructions
from bus.ledger.store import Store
from bus.message import Register

if TYPE_CHECKING:
    from pathlib import Path


def _row(amount: str) -> dict[str, Any]:
    return {
        "partner": "bank",
        "message_id": "M1",
        "payment_information_id": "P1",
        "end_to_end_id": "NOTPROVIDED",
        "amount": Decimal(amount),
        "currency": "EUR",
    }


def _amounts(store: Store) -> list[str]:
    found = instructions.find(store.read, {"message_id": "M1", "end_to_end_id": "NOTPROVIDED"})
    return [row["amount"] for row in found]


def test_two_instructions_of_one_reference_are_both_kept() -> None:
    """The second one was ignored, so an answer to it was taken for an answer to the first, without a doubt."""
    with closing(Store(None)) as store:
        wish = Register((_row("1.00"), _row("2.00")))
        store.commit("test", lambda tx: instructions.register(tx, wish, (1, "00" * 16, "a"), 5))
        assert _amounts(store) == ["1.00", "2.00"]


def test_instructions_of_the_first_schema_are_brought_forward(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "bus.db"))) as old:
        old.execute(files("bus.ledger").joinpath("migrations", "sqlite", "0001_first.sql").read_text("utf-8"))
        old.execute("PRAGMA user_version = 1")
        old.execute(
            "INSERT INTO instruction VALUES (7, 'bank', 'M1', 'P1', 'NOTPROVIDED', '1.00', 'EUR', 'RJCT', 'AC04', 3,"
            " 'c', 'a', 5, 0, 6)"
        )
    with closing(Store(tmp_path / "bus.db")) as store:
        wish = Register((_row("2.00"),))
        store.commit("test", lambda tx: instructions.register(tx, wish, (4, "00" * 16, "a"), 5))
        assert _amounts(store) == ["1.00", "2.00"]
        assert store.read("SELECT id, status, reason, changed FROM instruction WHERE id = 7") == [
            (7, "RJCT", "AC04", 6)
        ]
