"""The store on PostgreSQL: lost answers, killed servers, translation of SQL, forward migrations."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest

from bus.errors import Rejected, Retryable, Unavailable
from bus.ledger.place import open_reading
from bus.ledger.postgres import PostgresStore, translated
from bus.testing import postgres
from bus.testing.postgres import PostgresServer
from tests.conftest import needs


def _meta(tx: Any, key: str, value: int = 1) -> None:
    tx.execute("INSERT INTO meta VALUES (?, ?)", (key, value))


def _keys(store: PostgresStore) -> set[str]:
    return {row[0] for row in store.read("SELECT key FROM meta")} - {"next_number", "epoch", "identity"}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 FROM a WHERE b = ? AND c = ?", "SELECT 1 FROM a WHERE b = $1 AND c = $2"),
        ("SELECT ?1, ?2, ?1", "SELECT $1, $2, $1"),
        ("SELECT '?' WHERE a = ?", "SELECT '?' WHERE a = $1"),
        (
            "SELECT 1 FROM cases INDEXED BY cases_x WHERE a = '' AND b = ?",
            "SELECT 1 FROM cases WHERE a = '' AND b = $1",
        ),
    ],
)
def test_marks_and_hints_are_put_into_words_of_postgres(sql: str, expected: str) -> None:
    assert translated(sql) == expected.encode()


# ---------------------------------------------------------------- lost answers


class Wire:
    """A proxy on loopback that cuts the line around the next COMMIT, as a broken network would."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut = ""
        """``before`` = the COMMIT is lost, ``after`` = its answer is lost."""
        self.closed_after_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [], 10)
                if client in ready and not self._outward(client.recv(65536), server):
                    return
                if server in ready:
                    data = server.recv(65536)
                    if not data:
                        return
                    client.sendall(data)

    def _outward(self, data: bytes, server: socket.socket) -> bool:
        """False when the line is to be cut."""
        if self.cut and b"COMMIT\0" in data:
            kind, self.cut = self.cut, ""
            if self.closed_after_cut:
                self._listener.shutdown(socket.SHUT_RDWR)
            if kind == "after":
                server.sendall(data)
                server.recv(65536)  # nobody else hears the answer
            return False
        server.sendall(data)
        return bool(data)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(15)
        self._listener.close()


@pytest.fixture
def wire(postgres_url: str) -> Iterator[Wire]:
    made = Wire(int(psycopg.conninfo.conninfo_to_dict(postgres_url)["port"] or 0))
    yield made
    made.close()


@pytest.fixture
def far(wire: Wire, postgres_url: str) -> Iterator[PostgresStore]:
    """A store behind the wire."""
    asked = psycopg.conninfo.conninfo_to_dict(postgres_url)
    asked.pop("host")
    url = psycopg.conninfo.make_conninfo(**{**asked, "port": str(wire.port), "hostaddr": "127.0.0.1"})  # type: ignore[arg-type]
    store = PostgresStore(url, patience=0.5)
    yield store
    store.close()


def test_a_commit_whose_answer_is_lost_is_found_to_have_happened(far: PostgresStore, wire: Wire) -> None:
    far.commit("test", lambda tx: _meta(tx, "first"))
    wire.cut = "after"
    assert far.commit("test", lambda tx: (_meta(tx, "second"), "result")[1]) == "result"
    assert wire.cut == "", "the line was really cut"
    assert _keys(far) == {"first", "second"}


def test_a_commit_that_is_lost_is_found_not_to_have_happened(far: PostgresStore, wire: Wire) -> None:
    far.commit("test", lambda tx: _meta(tx, "first"))
    wire.cut = "before"
    with pytest.raises(Retryable, match=r"SYS111.*did not happen"):
        far.commit("test", lambda tx: _meta(tx, "second"))
    far.commit("test", lambda tx: _meta(tx, "third"))
    assert _keys(far) == {"first", "third"}


def test_an_outcome_that_nobody_can_tell_is_not_called_a_failure(far: PostgresStore, wire: Wire) -> None:
    wire.cut, wire.closed_after_cut = "after", True
    with pytest.raises(Retryable, match="SYS124"):
        far.commit("test", lambda tx: _meta(tx, "second"))


# ---------------------------------------------------------------- killed


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, which may be killed."""
    needs(PostgresServer.missing())
    with PostgresServer() as made:
        yield made


@pytest.mark.parametrize("whom", ["backend", "postmaster"])
def test_commits_under_kills_are_all_or_nothing_and_never_twice(server: PostgresServer, whom: str) -> None:
    """Each unit is run until its commit returned; what is kept is then exactly one row for each."""
    done: list[str] = []
    stop = threading.Event()
    with postgres.schema(server.url) as url, closing(PostgresStore(url, patience=20)) as store:

        def unit(tx: Any, key: str) -> None:
            assert not tx.execute("SELECT 1 FROM audit WHERE who = ?", (key,)).fetchall(), (
                "a unit ran that had happened"
            )
            tx.execute("INSERT INTO audit (at, who, what, target, reason) VALUES (0, ?, '', '', '')", (key,))

        def work(name: int) -> None:
            count = 0
            while not stop.is_set():
                try:
                    store.commit("test", lambda tx, key=f"{name}-{count}": unit(tx, key))
                except Retryable:
                    time.sleep(0.02)
                    continue
                done.append(f"{name}-{count}")
                count += 1

        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            before = len(done)
            end = time.monotonic() + 20
            while len(done) < before + 50 and time.monotonic() < end:
                time.sleep(0.02)
            if whom == "backend":
                server.kill_backend()
            else:
                server.kill()
            server.start()
        stop.set()
        for thread in threads:
            thread.join(30)
        kept = [row[0] for row in store.read("SELECT who FROM audit")]
    assert len(done) >= 200
    assert sorted(kept) == sorted(done)


# ---------------------------------------------------------------- the rest


def test_a_failing_work_leaves_nothing_and_its_connection_is_used_again(postgres_url: str) -> None:
    with closing(PostgresStore(postgres_url)) as store:

        def fails(tx: Any) -> None:
            _meta(tx, "no")
            raise Rejected("VAL999", "no")

        with pytest.raises(Rejected, match="VAL999"):
            store.commit("test", fails)
        store.commit("test", lambda tx: _meta(tx, "yes"))
        assert _keys(store) == {"yes"}
        assert store.read("SELECT count(*) FROM commit_mark") == [(1,)]


def test_transactions_in_each_others_way_run_again(postgres_url: str) -> None:
    with closing(PostgresStore(postgres_url)) as store:
        locked = threading.Barrier(2, timeout=10)
        errors: list[str] = []

        def run(*names: str) -> None:
            def work(tx: Any) -> None:
                store.lock(tx, names[:1])
                locked.wait()
                store.lock(tx, names[1:])

            try:
                store.commit("test", work)
            except Retryable as error:
                errors.append(error.code)

        threads = [threading.Thread(target=run, args=names) for names in (("a", "b"), ("b", "a"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert errors == ["SYS123"]


def test_numbers_never_repeat_between_processes(postgres_url: str) -> None:
    with closing(PostgresStore(postgres_url)) as one, closing(PostgresStore(postgres_url)) as other:
        seen: list[int] = []
        for count in (3, 12_000, 1, 9_999):
            for store in (one, other):
                first = store.commit("test", lambda tx, s=store, n=count: s.numbers(tx, n))
                seen += range(first, first + count)
    assert len(set(seen)) == len(seen)


def test_what_an_index_cannot_take_is_refused_for_good(postgres_url: str) -> None:
    with closing(PostgresStore(postgres_url)) as store:
        long = os.urandom(4000).hex()
        with pytest.raises(Rejected, match="SYS125"):
            store.commit("test", lambda tx: _meta(tx, long))
        store.commit("test", lambda tx: _meta(tx, "nul\0inside"))
        assert _keys(store) == {"nul␀inside"}


def test_a_store_of_a_newer_program_and_an_absent_server_are_refused(postgres_url: str) -> None:
    with closing(PostgresStore(postgres_url)) as store:
        store.commit("test", lambda tx: tx.execute("INSERT INTO schema_version VALUES (999)"))
    with pytest.raises(Unavailable, match="SYS105"):
        PostgresStore(postgres_url)
    with pytest.raises(Unavailable, match="SYS105"):
        open_reading(postgres_url)
    with pytest.raises(Unavailable, match="SYS135"):
        PostgresStore("postgresql://nobody:secret@127.0.0.1:1/none")


def test_what_is_wrong_with_a_database_is_told_and_its_address_is_not() -> None:
    needs(PostgresServer.missing())
    with PostgresServer() as server:
        with psycopg.connect(server.url, autocommit=True) as owner:
            owner.execute("CREATE USER weak PASSWORD 'right'")
            owner.execute("CREATE USER sleeper NOLOGIN")
            owner.execute("CREATE DATABASE kept")
            owner.execute("ALTER DATABASE kept SET default_transaction_read_only = on")
            owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            hba = server.home / next(server.home.rglob("pg_hba.conf"))
            hba.write_text("host all weak 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
            owner.execute("SELECT pg_reload_conf()")
        at = f"127.0.0.1:{server.port}"
        for address, said in (
            (f"weak:hunter2@{at}/postgres", "the password is refused"),
            (f"weak@{at}/postgres", "it wants a password"),
            (f"weak:right@{at}/postgres", "this user lacks a right"),
            (f"sleeper@{at}/postgres", "this user may not log in"),
            (f"stranger:hunter2@{at}/postgres", "it does not know this user"),
            (f"girobus@{at}/hunter2", "there is no such database"),
            (f"girobus@{at}/kept", "it takes no writes"),
            (f"girobus@{at}/postgres?sslmode=require", "it speaks no TLS"),
            (f"girobus@{at}/postgres?password=hunter2&sslmod=x", "its address cannot be read"),
            ("girobus:hunter2@127.0.0.1:1/postgres", "nothing listens there"),
            (f"girobus:hun/ter2@{at}/postgres", "no such host"),
        ):
            with pytest.raises(Unavailable) as caught:
                PostgresStore(f"postgresql://{address}")
            told = f"{caught.value} {caught.value.hint}"
            assert (caught.value.code, said in told) == ("SYS135", True), f"{said}: {told}"
            assert "hunter2" not in told
            assert "ter2" not in told


def test_two_processes_that_start_together_make_one_schema(postgres_url: str) -> None:
    stores: list[PostgresStore] = []
    threads = [threading.Thread(target=lambda: stores.append(PostgresStore(postgres_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(stores) == 4
    assert stores[0].read("SELECT key FROM meta ORDER BY key") == [("epoch",), ("identity",), ("next_number",)]
    for store in stores:
        store.close()


def test_looking_is_read_only_and_bounded(postgres_url: str) -> None:
    with pytest.raises(Unavailable, match="SYS104"):
        open_reading(postgres_url)
    PostgresStore(postgres_url).close()
    with open_reading(postgres_url, patience=0.2) as reading:
        assert reading.rows("SELECT value FROM meta WHERE key = ?", ("epoch",)) == [(0,)]
        with pytest.raises(Unavailable, match="SYS132"):
            reading.rows("DELETE FROM meta")
        with pytest.raises(Unavailable, match="SYS131"):
            reading.rows("SELECT pg_sleep(5)")


# ---------------------------------------------------------------- frozen in a commit


@pytest.mark.parametrize("rows", [1, 2, 2_000])
def test_who_is_frozen_in_a_commit_keeps_the_others_waiting_no_longer(postgres_url: str, rows: int) -> None:
    """Also behind many rows at once, which go in a pipeline: the server has to notice that nothing comes any more."""
    with closing(PostgresStore(postgres_url)) as frozen, closing(PostgresStore(postgres_url)) as other:
        locked = threading.Event()

        def work(tx: Any) -> None:
            frozen.lock(tx, ["a"])
            tx.executemany("INSERT INTO meta VALUES (?, ?)", [(f"frozen {n}", n) for n in range(rows)])
            locked.set()
            time.sleep(20)

        def freeze() -> None:
            with suppress(Retryable):
                frozen.commit("frozen", work)

        thread = threading.Thread(target=freeze)
        thread.start()
        assert locked.wait(10)
        begin = time.monotonic()
        other.commit("other", lambda tx: (other.lock(tx, ["a"]), _meta(tx, "other")))
        assert 10 < time.monotonic() - begin < 19
        thread.join()
        assert _keys(other) == {"other"}
