"""Running totals that stand in the newest row of the history: one sum, wherever its parts are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bus.ledger import history
from bus.ledger.history import Stamp
from bus.ledger.store import Store, open_reader
from bus.message import Headers, Message, child_id
from bus.ports import Event, MoneyTotalsByOutcome
from tests.unit.old_stores import store_before

_EUR = ("sent", "EUR")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "bus.db")) as made:
        yield made


def event(number: int, reason: str = "") -> Event:
    identity = child_id("ab" * 16, "test", "tail", number)
    return Event(Message(Headers(identity, "ab" * 16, number=number)), "sent", reason=reason)


def write(store: Store, number: int, tally: MoneyTotalsByOutcome, at: int = 1_000, reason: str = "") -> None:
    stamp = Stamp("a", 1, at)
    store.commit("test", lambda tx: history.write(store, tx, stamp, history.hops([event(number, reason)]), tally))


def totals(store: Store) -> list[Any]:
    return store.read("SELECT place, outcome, currency, count, amount, last FROM tally")


def placed(store: Store) -> int:
    """How many messages stand in the totals of their places already."""
    return int(store.read("SELECT coalesce(sum(count), 0) FROM tally_row")[0][0])


def cents(amount: str) -> MoneyTotalsByOutcome:
    return {_EUR: (1, Decimal(amount))}


def test_a_small_commit_changes_no_row_of_totals_but_the_sum_is_there(store: Store) -> None:
    write(store, 1, cents("0.10"))
    write(store, 2, cents("0.20"), at=1_500)
    assert totals(store) == [("a", "sent", "EUR", 2, "0.30", 1_500)]
    assert placed(store) == 0


def test_sums_stay_exact_while_rows_fill_and_close(store: Store) -> None:
    for number in range(1, 201):
        write(store, number, cents("12345678901234567890.01"), at=1_000 + number)
    assert totals(store) == [("a", "sent", "EUR", 200, "2469135780246913578002.00", 1_200)]
    assert 100 < placed(store) < 200, "closed rows are in the totals of their places, the newest is not"


def test_a_big_commit_closes_the_row_before_it(store: Store) -> None:
    write(store, 1, cents("1.00"))
    write(store, 2, cents("2.00"), reason="x" * 5_000)
    assert placed(store) == 2
    write(store, 3, cents("4.00"))
    assert totals(store) == [("a", "sent", "EUR", 3, "7.00", 1_000)]


def test_many_places_are_not_written_anew_with_each_commit(store: Store) -> None:
    for number in range(1, 60):
        tally = {("sent", f"C{number}"): (1, Decimal(number))}
        write(store, number, tally)
    assert len(totals(store)) == 59
    assert len(store.read("SELECT totals FROM history ORDER BY id DESC LIMIT 1")[0][0]) < 1_000


def test_a_commit_that_is_rolled_back_adds_nothing(store: Store) -> None:
    def work(tx: Any) -> None:
        history.write(store, tx, Stamp("a", 1, 1_000), history.hops([event(2)]), cents("5.00"))
        raise RuntimeError

    write(store, 1, cents("1.00"))
    with pytest.raises(RuntimeError):
        store.commit("test", work)
    write(store, 3, cents("2.00"))
    assert totals(store) == [("a", "sent", "EUR", 2, "3.00", 1_000)]


def test_who_starts_again_goes_on_with_the_row(tmp_path: Path) -> None:
    for number in range(1, 4):
        with closing(Store(tmp_path / "bus.db")) as store:
            write(store, number, cents("1.00"))
    with closing(Store(tmp_path / "bus.db")) as store:
        assert totals(store) == [("a", "sent", "EUR", 3, "3.00", 1_000)]
        assert len(store.read("SELECT id FROM history")) == 1


@pytest.mark.parametrize("later", [1_000, 9_000])
def test_totals_stay_when_the_newest_row_is_forgotten(store: Store, later: int) -> None:
    write(store, 1, cents("1.00"))
    write(store, 2, cents("2.00"))
    store.commit("purge", lambda tx: tx.execute("DELETE FROM history"))
    assert totals(store) == [("a", "sent", "EUR", 2, "3.00", 1_000)]
    write(store, 3, cents("4.00"), at=later)
    assert totals(store) == [("a", "sent", "EUR", 3, "7.00", later)]


def test_who_only_reads_sees_the_sum(store: Store, tmp_path: Path) -> None:
    write(store, 1, cents("1.50"))
    store.commit("test", lambda tx: store.add_tally(tx, "a", 2_000, cents("0.50")))
    with closing(open_reader(tmp_path / "bus.db")) as reader:
        assert reader.execute("SELECT count, amount FROM tally").fetchall() == [(2, "2.00")]


def test_totals_of_a_store_from_before_go_on(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    with closing(store_before(path, "ALTER TABLE tally RENAME TO tally_row")) as old:
        old.execute("INSERT INTO tally VALUES ('a', 'sent', 'EUR', 7, '70.00', 500)")
        old.execute("INSERT INTO history (first, last, at, version, place, packed) VALUES (1, 1, 500, 1, 'a', x'90')")
    with closing(Store(path)) as store:
        write(store, 2, cents("0.01"))
        assert totals(store) == [("a", "sent", "EUR", 8, "70.01", 1_000)]
        assert len(store.read("SELECT id FROM history")) == 2
