"""The store: one writer, group commit, works that fail alone, migrations forward only."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Rejected, Retryable, Unavailable
from bus.ledger.store import Store, open_reader


def _meta(tx: Any, key: str, value: int) -> None:
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def test_a_commit_is_seen_by_a_reader_in_another_connection(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus.db")
    store.commit("test", lambda tx: _meta(tx, "x", 7))
    reader = open_reader(tmp_path / "bus.db")
    assert reader.execute("SELECT value FROM meta WHERE key = 'x'").fetchone() == (7,)
    reader.close()
    store.close()


def test_a_second_writer_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus.db")
    with pytest.raises(Unavailable, match=f"SYS101.*pid {os.getpid()}"):
        Store(tmp_path / "bus.db")
    store.close()
    Store(tmp_path / "bus.db").close()


def test_a_failing_work_takes_nothing_of_its_neighbours_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus.db")
    entered, go = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def slow(tx: Any) -> None:
        _meta(tx, "first", 1)
        entered.set()
        assert go.wait(10)

    def bad(tx: Any) -> None:
        _meta(tx, "bad", 1)
        raise Rejected("VAL999", "no")

    def run(work: Callable[[Any], None]) -> None:
        try:
            store.commit("test", work)
        except Rejected as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(slow,))]
    threads[0].start()
    assert entered.wait(10)
    for work in (bad, lambda tx: _meta(tx, "good", 1)):
        threads.append(threading.Thread(target=run, args=(work,)))
        threads[-1].start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert [str(e) for e in errors] == ["VAL999 no"]
    keys = {row[0] for row in store.read("SELECT key FROM meta")}
    assert {"first", "good"} <= keys
    assert "bad" not in keys
    store.close()


def test_numbers_never_repeat_after_a_rollback_or_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus.db")
    seen = [store.commit("test", lambda tx: store.numbers(tx, 3))]

    def fails(tx: Any) -> None:
        seen.append(store.numbers(tx, 20_000))
        raise Rejected("VAL999", "no")

    with pytest.raises(Rejected):
        store.commit("test", fails)
    seen.append(store.commit("test", lambda tx: store.numbers(tx, 5)))
    store.close()
    store = Store(tmp_path / "bus.db")
    seen.append(store.commit("test", lambda tx: store.numbers(tx, 1)))
    store.close()
    ranges = sorted([(seen[0], 3), (seen[2], 5), (seen[3], 1)])
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(ranges))


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus.db")
    store.commit("test", lambda tx: tx.execute("PRAGMA user_version = 999"))
    store.close()
    with pytest.raises(Unavailable, match="SYS105"):
        Store(tmp_path / "bus.db")


def test_a_full_disk_is_retryable_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus.db")

    def limit(tx: Any) -> None:
        (pages,) = tx.execute("PRAGMA page_count").fetchone()
        tx.execute(f"PRAGMA max_page_count = {pages + 2}")

    store.commit("test", limit)

    def big(tx: Any) -> None:
        _meta(tx, "before", 1)
        tx.execute("INSERT INTO queued VALUES (1, zeroblob(10000000))")

    with pytest.raises(Retryable, match="SYS111"):
        store.commit("test", big)
    assert store.read("SELECT count(*) FROM meta WHERE key = 'before'") == [(0,)]
    store.commit("test", lambda tx: _meta(tx, "after", 1))
    store.close()
