"""Leases keep their contract in every store: one holder at a time, by the database's clock, fenced by a token."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Retryable
from bus.ledger import leases, versions
from bus.ledger.leases import Holdings
from bus.ledger.place import open_store
from bus.ledger.store import Store as FileStore
from bus.ledger.store import no_effect
from bus.ports import Store

SHORT, LONG = 150, 60_000
"""Milliseconds; what must not be over yet is long, so that it is not on a slow machine either."""


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        made: Store = FileStore(None)
    elif request.param == "file":
        made = open_store(tmp_path / "bus.db", effect=no_effect)
    else:
        made = open_store(request.getfixturevalue("postgres_url"), effect=no_effect)
    yield made
    made.close()


def take(store: Store, owner: str, term: int = LONG) -> int:
    return store.commit("test", lambda tx: leases.acquire(store, tx, "timer", owner, term))


def renew(store: Store, token: int, term: int) -> bool:
    return store.commit("test", lambda tx: leases.renew(store, tx, "timer", token, term))


def write(store: Store, token: int, mark: str) -> None:
    """A write that the token guards."""

    def work(tx: Any) -> None:
        leases.guard(store, tx, "timer", token)
        tx.execute("INSERT INTO audit (at, who, what, target, reason) VALUES (0, ?, '', '', '')", (mark,))

    store.commit("test", work)


def written(store: Store) -> list[str]:
    return [row[0] for row in store.read("SELECT who FROM audit ORDER BY id")]


def test_one_owner_holds_it_until_it_is_given_back(store: Store) -> None:
    token = take(store, "a")
    assert token > 0
    assert take(store, "b") == 0
    assert take(store, "a") == token, "asking again is no new term of office"
    store.commit("test", lambda tx: leases.release(tx, "timer", token))
    assert take(store, "b") > token


def test_a_lease_lasts_as_long_as_it_was_asked_for_and_not_a_moment_less(store: Store) -> None:
    """By the times that the database wrote down: how long this machine takes in between is nobody's matter."""

    def until() -> int:
        return int(store.read("SELECT until FROM lease")[0][0])

    before = store.commit("test", store.time)
    take(store, "a", SHORT)
    after = store.commit("test", store.time)
    over = until()
    assert before + SHORT <= over <= after + SHORT
    while not take(store, "b", LONG):
        time.sleep(0.01)
    assert until() - LONG >= over


def test_what_is_not_renewed_goes_to_the_next_and_the_old_token_is_refused(store: Store) -> None:
    old = take(store, "a", SHORT)
    write(store, old, "a while it held it")
    time.sleep(SHORT / 1000 + 0.05)
    write(store, old, "a late, but nobody took over")
    new = take(store, "b")
    assert new > old
    with pytest.raises(Retryable, match="SYS122"):
        write(store, old, "a after it was frozen")
    write(store, new, "b")
    assert written(store) == ["a while it held it", "a late, but nobody took over", "b"]


def test_renewing_keeps_it_and_fails_for_who_lost_it(store: Store) -> None:
    token = take(store, "a", SHORT)
    assert renew(store, token, LONG)
    time.sleep(SHORT / 1000 + 0.05)
    assert take(store, "b") == 0, "only its first term is over"
    assert renew(store, token, SHORT)
    time.sleep(SHORT / 1000 + 0.05)
    assert renew(store, token, SHORT), "over time, but still free"
    time.sleep(SHORT / 1000 + 0.05)
    assert take(store, "b") > token
    assert not renew(store, token, SHORT)


def test_nobody_takes_over_between_the_guard_and_the_end_of_its_transaction(postgres_url: str) -> None:
    """The takeover waits for the write that it would have fenced off, however long that takes."""
    store = open_store(postgres_url, effect=no_effect)
    old = take(store, "a", 1)
    guarded, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(tx: Any) -> None:
        leases.guard(store, tx, "timer", old)
        guarded.set()
        assert go_on.wait(10)
        order.append("write")

    def takeover() -> None:
        take(store, "b")
        order.append("takeover")

    writer = threading.Thread(target=store.commit, args=("test", slow))
    writer.start()
    assert guarded.wait(10)
    taker = threading.Thread(target=takeover)
    taker.start()
    time.sleep(0.2)
    assert order == []
    go_on.set()
    writer.join(10)
    taker.join(10)
    assert order == ["write", "takeover"]
    store.close()


def test_holdings_of_two_processes_exclude_each_other(postgres_url: str) -> None:
    store = open_store(postgres_url, effect=no_effect)
    first, second = Holdings(store, "process 1", LONG), Holdings(store, "process 2", LONG)
    assert first.mine("outlet bank")
    assert first.mine("outlet bank")
    assert not second.mine("outlet bank")
    store.commit("test", lambda tx: first.guard(tx, "outlet bank"))
    first.term = SHORT
    first.renew()
    time.sleep(0.6)  # beyond the lease, and the half second in which who was refused does not ask again
    assert second.mine("outlet bank"), "the first one was frozen for longer than its lease"
    with pytest.raises(Retryable, match="SYS122"):
        store.commit("test", lambda tx: first.guard(tx, "outlet bank"))
    second.release()
    assert first.mine("outlet bank")
    store.close()


def test_who_was_frozen_longer_than_the_lease_asks_before_anything_else(postgres_url: str) -> None:
    """What it would begin first has effects that no token fences off: it would claim a file, or prepare one."""
    store = open_store(postgres_url, effect=no_effect)
    first, second = Holdings(store, "process 1", SHORT), Holdings(store, "process 2", LONG)
    assert first.mine("source a")
    assert first.mine("source b")
    time.sleep(SHORT / 1000 + 0.05)
    assert second.mine("source a")
    assert not first.mine("source a")
    assert first.mine("source b"), "nobody took that one"
    store.close()


def test_who_holds_it_later_has_a_higher_token_than_any_process_and_holder_before(store: Store) -> None:
    """Whatever a holder leaves with a partner bears his token, as earlier versions took the number of the process."""
    started = [store.commit("epoch", versions.next_epoch) for _ in range(3)]
    tokens = []
    for owner in ("c", "a", "b"):
        tokens.append(take(store, owner))
        store.commit("test", lambda tx: leases.release(tx, "timer", tokens[-1]))
    store.commit("test", lambda tx: tx.execute("UPDATE lease SET token = token + 100"))
    tokens.append(take(store, "a"))
    assert [*started, *tokens] == sorted({*started, *tokens})


def test_the_only_process_of_a_store_holds_everything(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bus.db", effect=no_effect)
    alone = Holdings(store, "process 1")
    assert alone.mine("outlet bank")
    store.commit("test", lambda tx: alone.guard(tx, "outlet bank"))
    assert store.read("SELECT count(*) FROM lease") == [(0,)]
    store.close()


def test_what_is_renewed_all_the_time_is_held_for_as_long_as_that_takes(postgres_url: str) -> None:
    shared = open_store(postgres_url, effect=no_effect)
    busy, other = (Holdings(shared, owner, 3_000) for owner in ("a", "b"))
    assert busy.mine("timer")
    with busy.renewing():
        for _ in range(3):
            time.sleep(1.3)
            assert not other.mine("timer")
    shared.close()
