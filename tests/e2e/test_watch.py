"""Health, metrics and the word to systemd, of buses that run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bus.app import App, Surroundings
from bus.landscape import HttpSpec
from bus.operating import health
from bus.operating.metrics import METRICS, written
from bus.operating.watch import Watch
from bus.testing.rabbitmq import free_port
from tests.e2e.test_cli_operate import PROGRAM, ROOT, until

BUS = "name: watched\noutlets:\n  bank: {endpoint: {file: {path: bank}}, format: json}\n"
PAY = """\
route: pay
owner: treasury
from: {file: {path: in, match: "*.csv", ready: {marker: "{name}.done"}, poll: {every: 50ms}}}
steps:
  - parse: {csv: {delimiter: ";"}}
  - split: {name: lines, each: rows, keys: {invoice: invoice}}
  - validate: {rules: [{that: "kind != 'bad'", reason: AM01, message: refused}]}
to: bank
"""


def site(folder: Path, more: str = "") -> Path:
    (folder / "in").mkdir(parents=True)
    (folder / "bus.yaml").write_text(BUS + more, "utf-8")
    (folder / "pay.route.yaml").write_text(PAY, "utf-8")
    (folder / "in" / "a.csv").write_text("invoice;kind\nA;fine\nB;bad\nC;fine\n", "utf-8")
    (folder / "in" / "a.csv.done").touch()
    return folder


@contextmanager
def watched(folder: Path, **around: Any) -> Iterator[tuple[App, Watch, str]]:
    """A started bus with its pages."""
    app = App(folder, Surroundings(**around))
    app.bus.start()
    try:
        with Watch(app, free_port(), folder / "certs").on_duty() as watch:
            assert watch.server is not None
            assert watch.server.listening.wait(10)
            yield app, watch, f"http://127.0.0.1:{watch.server.port}"
    finally:
        app.bus.stop(1)
        app.close()


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def figures(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    status, text = get(f"{url}/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_real_parser_reads_what_a_running_bus_tells(tmp_path: Path) -> None:
    with watched(site(tmp_path / "site")) as (_, _, url):
        delivered = ("girobus_messages_total", (("channel", "bank"), ("outcome", "delivered")))
        found = until("two are delivered", lambda: (f := figures(url)).get(delivered) == 2 and f)
        assert found["girobus_ready", ()] == 1
        assert found["girobus_dead_messages", (("channel", "pay#lines"),)] == 1
        cases = [labels for (name, labels), value in found.items() if name == "girobus_open_cases" and value == 1]
        assert [dict(labels)["owner"] for labels in cases] == ["treasury"]
        of_bank = ("channel", "bank")
        buckets = [n for (name, labels), n in found.items() if name.endswith("_bucket") and of_bank in labels]
        assert buckets == sorted(buckets)
        assert buckets[-1] == found["girobus_batch_duration_seconds_count", (("channel", "bank"),)] >= 1
        assert found["girobus_commit_duration_seconds_count", ()] > 3
        assert found["process_resident_memory_bytes", ()] > 10_000_000
        assert abs(found["process_start_time_seconds", ()] - time.time()) < 3600
        assert get(f"{url}/healthz") == (200, '{"live": true, "ready": true, "why": []}\n')


def test_figures_of_a_ledger_in_a_database(tmp_path: Path, postgres_url: str) -> None:
    with watched(site(tmp_path / "site", f"ledger: {json.dumps(postgres_url)}\n")) as (_, watch, url):
        delivered = ("girobus_messages_total", (("channel", "bank"), ("outcome", "delivered")))
        found = until("two are delivered", lambda: (f := figures(url)).get(delivered) == 2 and f)
        assert found["girobus_ledger_up", ()] == found["girobus_ready", ()] == 1
        assert watch.health.verdict().why == ()


def test_names_follow_the_conventions_and_labels_are_escaped() -> None:
    for metric in METRICS.values():
        assert metric.kind != "counter" or metric.name.endswith("_total"), metric
        assert metric.kind == "counter" or not metric.name.endswith("_total"), metric
    text = written([("girobus_queue_messages", ('a"b\\c\nd',), 3)], []).decode()
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"channel": 'a"b\\c\nd'}


def test_figures_are_collected_once_a_second_however_many_ask(tmp_path: Path) -> None:
    now = [100.0]
    with watched(site(tmp_path / "site")) as (app, watch, _):
        watch.metrics._clock = lambda: now[0]
        first = watch.metrics.text()
        app.meter.messages["bank"] += 1000
        assert watch.metrics.text() is first
        now[0] += 1
        assert watch.metrics.text() != first


class Hanging:
    """A source whose partner never answers."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def poll(self, _most: int) -> list[Any]:
        self.asked.set()
        self.answer.wait(60)
        return []

    def close(self) -> None:
        """Nothing is open."""


def test_a_poller_that_hangs_beyond_its_limit_is_no_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONGEST", 0.3)
    hanging = Hanging()
    with watched(site(tmp_path / "site"), source=lambda _spec, _resources: hanging) as (_, _, url):
        assert hanging.asked.wait(10)
        status, text = until("it is noticed", lambda: (a := get(f"{url}/livez"))[0] == 503 and a)
        assert "source pay: no progress for" in text
        assert json.loads(get(f"{url}/healthz")[1])["live"] is False
        hanging.answer.set()
        until("it lives again", lambda: get(f"{url}/livez")[0] == 200)
        assert status == 503


def test_a_ledger_that_cannot_be_read_is_not_ready_but_alive(tmp_path: Path) -> None:
    with watched(site(tmp_path / "site")) as (app, watch, _):
        app.place = tmp_path / "nowhere" / "bus.db"
        watch.health._looked = float("-inf")
        watch.health._forget()
        verdict = watch.health.verdict()
        assert (verdict.live, verdict.ready) == (True, False)
        assert "SYS104" in verdict.why[0]
        assert b"girobus_ledger_up 0.0" in watch.metrics.text()


def test_a_broker_that_is_away_is_told(tmp_path: Path) -> None:
    with watched(site(tmp_path / "site")) as (app, watch, _):
        app.broker.trouble = lambda: "AMQPConnectorSocketConnectError"  # type: ignore[attr-defined]
        assert watch.health.verdict().why == ("broker: AMQPConnectorSocketConnectError",)


def test_a_channel_in_rabbitmq_that_stands_still_is_seen(tmp_path: Path, rabbit: str) -> None:
    folder = site(tmp_path / "site", f"broker: {{url: '{rabbit}', prefix: 'watch.{os.getpid()}.'}}\n")
    age = ("girobus_oldest_message_age_seconds", (("channel", "bank"),))
    with watched(folder) as (app, _, url):
        delivered = ("girobus_messages_total", (("channel", "bank"), ("outcome", "delivered")))
        until("the first file is out", lambda: figures(url).get(delivered) == 2)
        app.bus.hold_outputs = True
        (folder / "in" / "b.csv").write_text("invoice;kind\nD;fine\n", "utf-8")
        (folder / "in" / "b.csv.done").touch()
        until("what is held grows old", lambda: figures(url).get(age, 0) > 1)


def test_only_get_only_known_pages_and_no_foreign_names(tmp_path: Path) -> None:
    with watched(site(tmp_path / "site")) as (_, _, url):
        assert get(f"{url}/")[0] == 404
        assert get(f"{url}/metrics", Host="rebound.example")[0] == 421
        assert get(f"{url}/metrics?x=1", Host="localhost:1")[0] == 200
        port = int(url.rpartition(":")[2])
        long = b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n"
        for request in (b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n", long):
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(request)
                assert client.recv(100).split()[1] in (b"501", b"414")


def test_crowds_are_hung_up_on_and_others_are_served_afterwards(tmp_path: Path) -> None:
    with watched(site(tmp_path / "site")) as (_, _, url):
        port = int(url.rpartition(":")[2])
        crowd = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(16)]
        with socket.create_connection(("127.0.0.1", port), 10) as late:
            assert late.recv(1) == b""
        for client in crowd:
            client.close()
        until("there is room again", lambda: get_or_nothing(f"{url}/livez") == 200)


def get_or_nothing(url: str) -> int:
    try:
        return get(url)[0]
    except OSError:
        return 0


def test_a_taken_port_stops_no_payment(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        app = App(site(tmp_path / "site"))
        app.bus.start()
        try:
            with Watch(app, taken.getsockname()[1], tmp_path).on_duty():
                until("it is delivered", lambda: len(list((tmp_path / "site" / "bank").glob("[!.]*"))) == 2)
        finally:
            app.bus.stop(1)
            app.close()


def test_the_network_is_opened_on_purpose_only() -> None:
    with pytest.raises(ValueError, match="exposed: true"):
        HttpSpec(host="0.0.0.0")  # noqa: S104 - this is what is refused
    assert HttpSpec(host="0.0.0.0", exposed=True).exposed  # noqa: S104


@contextmanager
def systemd(tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The receiving end, and what it tells a service."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(60)
        yield heard, {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}


def facts(heard: socket.socket, wanted: str) -> dict[str, str]:
    """The next word that has this name."""
    while True:
        found = dict(line.split("=", 1) for line in heard.recv(4096).decode().splitlines())
        if wanted in found:
            return found


def test_systemd_hears_ready_life_reload_and_stop(tmp_path: Path) -> None:
    folder = site(tmp_path / "site")
    with systemd(tmp_path) as (heard, environment):
        process = subprocess.Popen([*PROGRAM, "-C", str(folder), "run"], cwd=ROOT, env=environment)
        try:
            assert facts(heard, "READY")["READY"] == "1"
            assert facts(heard, "WATCHDOG")["WATCHDOG"] == "1"
            process.send_signal(signal.SIGHUP)
            assert int(facts(heard, "RELOADING")["MONOTONIC_USEC"]) > 0
            assert facts(heard, "READY")
            process.terminate()
            assert facts(heard, "STOPPING")
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_stuck_bus_gives_no_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONGEST", 0.3)
    hanging = Hanging()
    with systemd(tmp_path) as (heard, environment):
        monkeypatch.setenv("NOTIFY_SOCKET", environment["NOTIFY_SOCKET"])
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        with watched(site(tmp_path / "site"), source=lambda _spec, _resources: hanging):
            until("it is told", lambda: facts(heard, "STATUS")["STATUS"].startswith("no progress: source pay"))
            heard.settimeout(0.6)
            with pytest.raises(TimeoutError):
                facts(heard, "WATCHDOG")
            hanging.answer.set()
            heard.settimeout(10)
            assert facts(heard, "WATCHDOG")
