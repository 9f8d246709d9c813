"""The packed history: small parts share a row, and come out as they went in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.ledger import history
from bus.ledger.history import Stamp
from bus.ledger.store import Store
from bus.message import Headers, Message, child_id
from bus.ports import Event

_PLACE = "payments#1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "bus.db")) as made:
        yield made


def message(number: int) -> Message:
    return Message(Headers(child_id("ab" * 16, "test", "history", number), "ab" * 16, number=number))


def write(store: Store, numbers: list[int], place: str = _PLACE, at: int = 1_000, reason: str = "") -> None:
    events = [Event(message(number), "sent", reason=reason) for number in numbers]
    store.commit("test", lambda tx: history.write(store, tx, Stamp(place, 7, at), history.hops(events)))


def rows(store: Store) -> list[Any]:
    return store.read("SELECT first, last, at FROM history ORDER BY id")


def hops(store: Store) -> list[tuple[int, str, int]]:
    found = store.read("SELECT at, version, place, packed FROM history ORDER BY id")
    return [(hop["number"], hop["place"], hop["at"]) for row in found for hop in history.expand(row)]


def test_small_commits_of_the_same_moment_share_a_row_and_keep_their_own_stamp(store: Store) -> None:
    write(store, [10])
    write(store, [14, 15], "other", at=1_001)
    write(store, [12], at=1_999)
    assert rows(store) == [(10, 15, 1_000)]
    assert hops(store) == [(10, _PLACE, 1_000), (14, "other", 1_001), (15, "other", 1_001), (12, _PLACE, 1_999)]


@pytest.mark.parametrize(
    ("numbers", "at", "reason"),
    [
        ([11], 2_000, ""),  # forgotten by the time of its first part, a row takes none that is much younger
        ([11], 999, ""),  # the clock was set back
        ([9], 1_000, ""),  # an index finds a row by its lowest number
        ([10 + history.SPAN], 1_000, ""),
        ([11], 1_000, "x" * 4_000),
    ],
)
def test_a_part_that_does_not_fit_is_a_row_of_its_own(store: Store, numbers: list[int], at: int, reason: str) -> None:
    write(store, [10])
    write(store, numbers, at=at, reason=reason)
    assert rows(store) == [(10, 10, 1_000), (*numbers, *numbers, at)]
    assert hops(store) == [(10, _PLACE, 1_000), (*numbers, _PLACE, at)]


def test_a_row_grows_to_half_a_page_and_only_the_newest_one_grows(store: Store) -> None:
    for number in range(1, 101):
        write(store, [number])
    assert hops(store) == [(number, _PLACE, 1_000) for number in range(1, 101)]
    assert 2 <= len(rows(store)) <= 4
    assert store.read("SELECT max(length(packed)) FROM history")[0][0] <= 4_000
    firsts = [first for first, _, _ in rows(store)]
    assert [last + 1 for _, last, _ in rows(store)][:-1] == firsts[1:]


def test_nothing_of_a_part_stays_that_was_rolled_back(store: Store) -> None:
    def work(tx: Any) -> None:
        history.write(store, tx, Stamp(_PLACE, 7, 1_000), history.hops([Event(message(11), "sent")]))
        raise RuntimeError

    write(store, [10])
    with pytest.raises(RuntimeError):
        store.commit("test", work)
    write(store, [12])
    assert hops(store) == [(10, _PLACE, 1_000), (12, _PLACE, 1_000)]


def test_bytes_of_any_value_survive_when_a_row_grows(store: Store) -> None:
    for number in range(1, 20):
        write(store, [number], reason="\0\u00ff\U0001f600")
    found = store.read("SELECT at, version, place, packed FROM history")
    told = [(hop["message"], hop["reason"]) for row in found for hop in history.expand(row)]
    assert told == [(message(n).headers.id, "\0\u00ff\U0001f600") for n in range(1, 20)]
    assert len(found) == 1


def test_a_row_as_they_were_written_at_first_is_read(store: Store) -> None:
    items = [[n, bytes(16), b"", bytes(16), "sent", "step", 0, "", "", []] for n in (3, 4)]
    row = (3, 4, 1_000, 7, _PLACE, msgspec.msgpack.encode(items))
    store.commit("test", lambda tx: history.insert(tx, row))
    assert hops(store) == [(3, _PLACE, 1_000), (4, _PLACE, 1_000)]
