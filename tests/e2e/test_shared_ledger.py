"""Several processes share a PostgreSQL ledger; processes and the database are killed, and every line arrives once."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from towns import PATIENCE, Town

from bus.app import App, Surroundings
from bus.errors import Retryable
from bus.message import Headers, Message
from bus.ports import Settlement
from bus.testing import postgres
from bus.testing.postgres import PostgresServer
from tests.conftest import needs

BUS = """\
name: shared
ledger: ${env:TEST_LEDGER}
outlets:
  out: {endpoint: {file: {path: out}}, format: json, batch: 10, on_error: {attempts: 50, backoff: {first: 100ms}}}
"""


class Neighbours(Town):
    """A landscape in a folder and the processes that run it."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url, BUS)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """A process of the bus, with a store folder of its own; blobs are shared."""
        store = self.folder / f"store-{name}"
        store.mkdir(exist_ok=True)
        (self.folder / "blobs").mkdir(exist_ok=True)
        if not (store / "blobs").exists():
            (store / "blobs").symlink_to(self.folder / "blobs")
        environment = {**os.environ, "TEST_LEDGER": self.url, "GIROBUS_STORE": str(store), "GIROBUS_WORKERS": "2"}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(Path(sys.executable).with_name("bus")), "run", "-C", str(self.folder)],
                env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def everything_arrived_once(self) -> None:
        super().everything_arrived_once()
        assert self.rows("SELECT DISTINCT state FROM batch") == [("complete",)]
        told = dict(self.rows("SELECT outcome, CAST(sum(count) AS BIGINT) FROM tally GROUP BY 1"))
        assert told["joined"] == told["in"] == len(self.sent)


@contextmanager
def town(folder: Path, url: str) -> Iterator[Neighbours]:
    made = Neighbours(folder, url)
    try:
        yield made
    finally:
        made.stop()


def test_two_processes_share_the_work_and_one_dies(tmp_path: Path, postgres_url: str) -> None:
    with town(tmp_path / "town", postgres_url) as place:
        for file in range(5):
            place.send(file, 60)
        place.start("a")
        place.start("b")
        place.wait(lambda: len(place.arrived()) > 60)
        place.processes["a"].kill()
        for file in range(5, 8):
            place.send(file, 60)
        place.everything_arrived_once()


def test_a_killed_database_costs_nothing(tmp_path: Path) -> None:
    needs(PostgresServer.missing())
    with PostgresServer() as server, postgres.schema(server.url) as url, town(tmp_path / "town", url) as place:
        place.start("a")
        for file in range(6):
            place.send(file, 60)
            place.wait(lambda file=file: len(place.arrived()) > 30 * file)  # type: ignore[misc]  # bound at once
            if file % 2:
                server.kill()
            else:
                server.kill_backend()
            server.start()
        place.everything_arrived_once()


def test_a_database_that_moves_to_another_host_costs_nothing(tmp_path: Path) -> None:
    """The primary is killed and its standby promoted; the URL of the ledger names both."""
    why = PostgresServer.missing()
    if why:
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with PostgresServer() as primary, PostgresServer(standby_of=primary) as standby:
        with psycopg.connect(primary.url, autocommit=True) as connection:  # what was committed is in both
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        both = f"postgresql://girobus@{hosts}/postgres?target_session_attrs=read-write"
        with postgres.schema(both) as url, town(tmp_path / "town", url) as place:
            place.start("a")
            place.start("b")
            for file in range(4):
                place.send(file, 60)
            place.wait(lambda: len(place.arrived()) > 60)
            primary.kill()
            time.sleep(1)  # nobody is there who takes a commit
            standby.promote()
            for file in range(4, 6):
                place.send(file, 60)
            place.everything_arrived_once()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_whose_commit_the_store_refused_is_taken_again_by_the_same_process(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the commit happened or not, and though nothing collects what the error still refers to."""
    monkeypatch.setenv("TEST_LEDGER", "")
    place = Neighbours(tmp_path / "town", "")
    (place.folder / "bus.yaml").write_text(BUS.replace("ledger: ${env:TEST_LEDGER}\n", ""))
    refused: list[str] = []

    def refuse_once(label: str) -> None:
        if label == f"commit.admit:{moment}" and not refused:
            refused.append(label)
            raise Retryable("SYS111", "the store refused")

    place.send(0, 3)
    app = App(place.folder, Surroundings(effect=refuse_once))
    gc.disable()
    try:
        end = time.monotonic() + 20
        done = place.folder / "in" / "done" / "0.jsonl"
        while (len(place.arrived()) < 3 or not done.exists()) and time.monotonic() < end:
            app.bus.turn()
            time.sleep(0.05)
    finally:
        gc.enable()
        app.close()
    assert refused
    assert sorted(place.arrived()) == sorted(place.sent)
    assert done.exists()


def test_what_another_process_defers_goes_on_when_it_is_due(tmp_path: Path, postgres_url: str) -> None:
    """Who looks after it knew of nothing to come, and does not ask at every moment."""
    (tmp_path / "bus.yaml").write_text(f"name: shared\nledger: {postgres_url!r}\n", "utf-8")
    (tmp_path / "later.route.yaml").write_text("route: later\nfrom: {channel: in}\nto: none\n", "utf-8")
    one, other = App(tmp_path, home=tmp_path / "one"), App(tmp_path, home=tmp_path / "other")
    try:
        one.bus.start()
        time.sleep(0.3)  # it has looked, and nothing waits
        waits = Settlement("later")
        due = other.ledger.clock.now() + 500
        waits.deferred.append((due, "later", Message(Headers("ab" * 16, "ab" * 16)), "NET221", ""))
        other.broker.settle([], waits)
        assert other.ledger.next_due() == due
        while other.ledger.next_due():
            assert other.ledger.clock.now() < due + 5_000, "nobody looks for it"
            time.sleep(0.01)
        assert other.ledger.clock.now() >= due
    finally:
        one.bus.stop()
        one.close()
        other.close()


def test_a_stop_keeps_its_leases_until_the_work_in_hand_is_done(tmp_path: Path, postgres_url: str) -> None:
    """A partner takes longer than a lease lasts: at a restart nobody else takes over what is being sent to him."""
    sending, goes_on = threading.Event(), threading.Event()

    def slowly(label: str) -> None:
        if label == "commit.delivered:before":
            sending.set()
            assert goes_on.wait(PATIENCE)

    (tmp_path / "bus.yaml").write_text(BUS.replace("${env:TEST_LEDGER}", postgres_url))
    (tmp_path / "flow.route.yaml").write_text("route: flow\nfrom: {channel: in}\nto: out\n")
    stopping, other = App(tmp_path, Surroundings(effect=slowly), home=tmp_path / "a"), App(tmp_path)
    stopping.ledger.holdings.term = 2_000
    try:
        stopping.broker.transact("put", lambda _tx: [("out", Message(Headers("ab" * 16, "ab" * 16), {"id": "1"}))])
        stopping.bus.start()
        assert sending.wait(PATIENCE)
        ended: list[bool] = []
        stop = threading.Thread(target=lambda: ended.append(stopping.bus.stop()))
        stop.start()
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            assert not other.ledger.holdings.mine("outlet out")
            time.sleep(0.05)
        goes_on.set()
        stop.join(PATIENCE)
        stopping.close()
        assert ended == [True]
        third = App(tmp_path)  # who was refused a moment ago does not ask again at once
        try:
            assert third.ledger.holdings.mine("outlet out")
            assert third.ledger.read("SELECT state FROM outbound") == [("delivered",)]
        finally:
            third.close()
    finally:
        goes_on.set()
        other.close()
