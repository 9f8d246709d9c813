"""What a restored ledger takes for its own of what the queues of a broker hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from bus.ledger import restored
from bus.ledger.store import Store
from bus.message import Group, Headers, Message, Sequence

ARRIVAL = "INSERT INTO arrival VALUES (?, 'flow', ?, 0, 'f', 1, 1, 1, 'completed', 'accepted', ?)"
BATCH = (
    "INSERT INTO batch (id, parent_id, parent_number, step, version, lane, state, next_index, unreported, money,"
    " outcomes, at) VALUES (?, ?, 1, 's', 1, 1, ?, 0, 0, '[]', '[]', 1)"
)
GROUP = (
    "INSERT INTO gathering (id, route, version, step, key, batch, release, channel, count, money, correlation, opened,"
    " due, state, message) VALUES (?, 'flow', 1, 's', ?, 0, 0, 'x', 2, '[]', '', 1, 0, 'released', ?)"
)
VERSION = "INSERT INTO route_version (hash, route, sources, first_used) VALUES ('h', 'flow', '{}', 1)"
BACKUP = time.time_ns() // 1_000_000 - 60_000


def made(at: int, **headers: Any) -> Message:
    body = headers.pop("body", {})
    known: dict[str, Any] = {"id": "m", "correlation_id": "old", "number": 7, "version": 1, "leg": "L"}
    return Message(Headers(created_at=at, **{**known, **headers}), body)


@pytest.fixture
def strange() -> Callable[[Message], bool]:
    store = Store(None)

    def work(tx: Any) -> None:
        tx.execute(VERSION)
        tx.execute(ARRIVAL, ("old", "a", BACKUP - 1))
        for batch, state in ((1, "complete"), (2, "loading")):
            tx.execute(BATCH, (batch, f"p{batch}", state))
        tx.execute(GROUP, (1, "k", 70))
        restored.mark(tx.execute, BACKUP)
        tx.execute(ARRIVAL, ("again", "b", time.time_ns() // 1_000_000 + 60_000))  # since the restore

    store.commit("test", work)
    restores = restored.restores(store.read)
    assert [one[1:] for one in restores] == [(BACKUP, 2, 1, {2})]
    return lambda message: restored.strangers(store.read, restores, [message]) == {"L"}


LOST = BACKUP + 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (made(LOST), False),
        (made(LOST, correlation_id="never"), True),
        (made(LOST, correlation_id="again"), True),
        (made(BACKUP - 60_000, correlation_id="forgotten"), False),
        (made(BACKUP + 10**12, correlation_id="new", version=9), False),
        (made(LOST, version=2), True),
        (made(LOST, sequence=Sequence(1, 0)), False),
        (made(LOST, sequence=Sequence(3, 0)), True),
        (made(LOST, sequence=Sequence(2, 0)), True),
        (made(BACKUP - 1, sequence=Sequence(2, 0)), False),
        (made(LOST, number=70, correlation_id="its own", body=Group(1, 2)), False),
        (made(LOST, number=71, correlation_id="its own", body=Group(1, 2)), True),
        (made(LOST, number=70, body=Group(2, 2)), True),
    ],
)
def test_what_is_known_goes_on(strange: Callable[[Message], bool], message: Message, *, expected: bool) -> None:
    assert strange(message) is expected


def test_a_ledger_that_never_was_restored_knows_no_strangers() -> None:
    assert restored.restores(Store(None).read) == []


def test_each_lost_time_is_known_when_the_ledger_was_restored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second backup was made after the first restore; the queues still hold something of both times."""
    store = Store(None)
    for batch, (backup, at) in enumerate([(1_000_000, 2_000_000), (3_000_000, 4_000_000)], 1):
        monkeypatch.setattr(time, "time_ns", lambda at=at: at * 1_000_000)

        def work(tx: Any, batch: int = batch, backup: int = backup) -> None:
            tx.execute(BATCH, (batch, f"p{batch}", "complete"))
            tx.execute(ARRIVAL, (f"file {batch}", f"s{batch}", backup - 1))
            restored.mark(tx.execute, backup)

        store.commit("test", work)
    restores = restored.restores(store.read)
    known = {
        (at, file, batch): not restored.strangers(
            store.read, restores, [made(at, correlation_id=file, version=0, sequence=Sequence(batch, 0))]
        )
        for at in (1_500_000, 2_500_000, 3_500_000)
        for file, batch in (("file 1", 1), ("file 2", 2), ("file 2", 3))
    }
    assert [key for key, whole in known.items() if whole] == [
        (1_500_000, "file 1", 1),
        *[(2_500_000, file, batch) for file, batch in (("file 1", 1), ("file 2", 2), ("file 2", 3))],
        (3_500_000, "file 1", 1),
        (3_500_000, "file 2", 2),
    ]
