"""Two processes on one ledger and a real broker: the order of each key survives an owner that is frozen and wakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bus.channels.amqp import address_of
from bus.channels.amqp.kept import has_queue
from bus.cli.apply import channels_of
from bus.config import load_landscape
from bus.errors import Unavailable
from bus.ledger.place import open_reading
from tests.contracts.broker_town import Foreign

ROUTE = """\
route: flow
from: {file: {path: in, match: "*.jsonl", poll: {every: 200ms}, ready: {suffix: .tmp}}}
batch: 7
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - partition: {name: accounts, by: account, partitions: 4}
  - filter: {name: wanted, when: id != 'none'}
to: out
"""
BUS = """\
name: order
ledger: ${env:TEST_LEDGER}
broker: {url: 'URL', prefix: 'MARK'}
outlets:
  out: {endpoint: {amqp: {connection: there, routing_key: 'QUEUE'}}, format: json, batch: 10}
"""
CONNECTIONS = "connections:\n  there: {amqp: {url: 'URL', user: guest, password: '${env:TEST_PASSWORD}'}}\n"
ACCOUNTS = ("DE", "FR", "BE", "NL", "AT", "CH", "IT")
PATIENCE = 60.0


class Town:
    """A landscape in a folder, the processes that run it, and the partner behind its outlet."""

    def __init__(self, folder: Path, ledger: str, url: str, partner: Foreign) -> None:
        self.folder, self.ledger, self.partner = folder, ledger, partner
        self.queue = partner.queue("got")
        folder.mkdir()
        text = BUS.replace("MARK", partner.mark).replace("QUEUE", self.queue).replace("URL", url)
        (folder / "bus.yaml").write_text(text)
        (folder / "connections.yaml").write_text(CONNECTIONS.replace("URL", url))
        (folder / "flow.route.yaml").write_text(ROUTE)
        (folder / "in").mkdir()
        self.sent: list[dict[str, str]] = []
        self.got: dict[str, dict[str, str]] = {}
        """What the partner took: message id -> body, a second copy counted and thrown away."""
        self.copies = 0
        self.environment = {**os.environ, "TEST_LEDGER": ledger, "TEST_PASSWORD": "guest"}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *roles: str) -> None:
        """A process of the bus, with a store folder of its own; blobs are shared."""
        store = self.folder / f"store-{name}"
        store.mkdir()
        (self.folder / "blobs").mkdir(exist_ok=True)
        (store / "blobs").symlink_to(self.folder / "blobs")
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(Path(sys.executable).with_name("bus")), "run", "-C", str(self.folder), *roles],
                env={**self.environment, "GIROBUS_STORE": str(store)}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def tell(self, name: str, number: int) -> None:
        os.killpg(self.processes[name].pid, number)

    def stop(self) -> None:
        for name, process in self.processes.items():
            with suppress(ProcessLookupError):
                self.tell(name, signal.SIGKILL)
            process.wait(10)

    def send(self, file: int, lines: int) -> None:
        rows = [{"id": f"{file}-{n}", "account": ACCOUNTS[n * n % 7]} for n in range(lines)]
        self.sent += rows
        path = self.folder / "in" / f"{file:02}.tmp"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        path.rename(path.with_suffix(".jsonl"))

    def arrived(self, most: int = 1_000_000) -> int:
        """Take what is at the partner; how many different messages there were by now, as far as ``most``."""
        while len(self.got) < most:
            method, properties, body = self.partner.channel.basic_get(self.queue, auto_ack=True)
            if method is None:
                return len(self.got)
            if properties.message_id in self.got:
                assert self.got[properties.message_id] == json.loads(body)
                self.copies += 1
            else:
                self.got[properties.message_id] = json.loads(body)
        return len(self.got)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with open_reading(self.ledger) as reading:
            return reading.rows(sql)

    def wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*.log"))
                raise AssertionError(f"{len(self.got)} of {len(self.sent)} arrived\n{logs}")
            time.sleep(0.05)

    def owners(self) -> int:
        """How many processes have partitions now."""
        held = "name LIKE 'channel flow#accounts~%' AND owner <> '' AND until > now_ms()"
        try:
            return int(self.rows(f"SELECT count(DISTINCT owner) FROM lease WHERE {held}")[0][0])  # noqa: S608 - no input
        except Unavailable:  # no process has begun yet
            return 0

    def everything_arrived_in_order(self) -> None:
        self.wait(lambda: self.arrived() >= len(self.sent))
        found = list(self.got.values())
        assert sorted(r["id"] for r in found) == sorted(r["id"] for r in self.sent)
        for account in ACCOUNTS:
            mine = [r["id"] for r in self.sent if r["account"] == account]
            assert [r["id"] for r in found if r["account"] == account] == mine, account
        self.wait(lambda: self.rows("SELECT count(*) FROM queued") == [(0,)])
        assert self.rows("SELECT code, summary FROM cases") == []


@contextmanager
def town(folder: Path, ledger: str, url: str) -> Iterator[Town]:
    with Foreign(url) as partner:
        made = Town(folder, ledger, url, partner)
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.timeout(240)
def test_a_frozen_owner_of_partitions_wakes_and_does_no_harm(tmp_path: Path, postgres_url: str, rabbit: str) -> None:
    with town(tmp_path / "town", postgres_url, rabbit) as place:
        place.start("s", "--role", "intake,scheduler")  # the order in which files are taken in is not at stake here
        place.start("a", "--role", "worker")
        place.start("b", "--role", "worker")
        for file in range(4):
            place.send(file, 100)
        place.wait(lambda: place.owners() == 2)
        for file in range(4, 10):
            place.send(file, 300)
        place.wait(lambda: place.arrived(420) == 420)
        place.tell("a", signal.SIGSTOP)
        assert place.rows("SELECT EXISTS (SELECT 1 FROM queued)") == [(True,)], "in the middle of it"
        place.wait(lambda: place.arrived() == len(place.sent))
        for file in range(10, 13):
            place.send(file, 60)
        place.tell("a", signal.SIGCONT)
        place.wait(lambda: place.owners() == 2)
        for file in range(13, 16):
            place.send(file, 60)
        place.everything_arrived_in_order()


@pytest.mark.timeout(240)
def test_an_owner_of_partitions_that_is_killed_leaves_them_in_order(
    tmp_path: Path, postgres_url: str, rabbit: str
) -> None:
    with town(tmp_path / "town", postgres_url, rabbit) as place:
        place.start("a")
        place.start("b")
        for file in range(8):
            place.send(file, 100)
        place.wait(lambda: place.arrived() > 100)
        place.tell("a", signal.SIGKILL)
        place.everything_arrived_in_order()


def test_partitions_have_no_queue_and_none_is_missing(
    tmp_path: Path, postgres_url: str, rabbit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with town(tmp_path / "town", postgres_url, rabbit) as place:
        for name in ("TEST_LEDGER", "TEST_PASSWORD"):
            monkeypatch.setenv(name, place.environment[name])
        landscape = load_landscape(place.folder).require()
        assert landscape.spec.broker is not None
        names = channels_of(landscape)
        assert sorted(names) == ["flow", "flow#rows", "out"]
        assert all(map(has_queue, names))
        assert address_of(landscape.spec.broker, place.folder).queue("flow") == f"{place.partner.mark}flow"
        bus = [str(Path(sys.executable).with_name("bus")), "apply", "-C", str(place.folder)]
        assert subprocess.run([*bus, "--check"], env=place.environment, check=False).returncode == 3
        assert subprocess.run(bus, env=place.environment, check=False).returncode == 0
        told = subprocess.run([*bus, "--check", "--json"], env=place.environment, check=True, capture_output=True)
        assert {one["channel"]: one["state"] for one in json.loads(told.stdout)} == dict.fromkeys(
            [*names, "~undeliverable"], "present"
        )
