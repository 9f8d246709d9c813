"""Redis through the endpoint ``amqp``: weaker, as written, but a killed reader loses nothing."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import kombu
import pytest
import redis
from broker_town import Crash, Town

from bus.errors import InDoubt, Retryable
from bus.message import Headers, Message
from bus.testing.clock import ManualClock
from bus.testing.folder import ScriptedResources
from bus.testing.rabbitmq import free_port
from endpoints.amqp import AmqpConnection, AmqpSpec
from tests.conftest import needs

_SERVER = Path("/usr/bin/redis-server")


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs("" if _SERVER.exists() else "no Redis here (apt-get install redis-server)")
    port, home = free_port(), tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--appendonly", "yes"]
    with subprocess.Popen([_SERVER, *options], stdout=subprocess.DEVNULL) as server:
        end = monotonic() + 20
        while monotonic() < end:
            with suppress(redis.exceptions.ConnectionError), redis.Redis(port=port) as probe:
                probe.ping()
                break
            sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
        server.kill()


class Peer:
    """Somebody else's program on Redis, with kombu."""

    def __init__(self, url: str) -> None:
        self.connection = kombu.Connection(url)

    def send(self, queue: str, body: Any, **properties: Any) -> None:
        producer = self.connection.Producer()
        producer.publish(body, routing_key=queue, serializer="json", **properties)

    def got(self, queue: str) -> Any:
        channel = self.connection.channel()
        return channel.basic_get(queue, no_ack=True)

    def close(self) -> None:
        self.connection.release()


@pytest.fixture
def peer(url: str) -> Iterator[Peer]:
    made = Peer(url)
    yield made
    made.close()


def _town(root: Path, url: str) -> Town:
    route = "from: {amqp: {connection: there, queue: orders}}\nsteps:\n  - parse: json\nto: out\n"
    return Town(root, url, {"a": route}, {"out": "{amqp: {connection: there, routing_key: results}}"}, "redelivery: 2s")


def test_messages_come_and_go(tmp_path: Path, url: str, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), _town(tmp_path, url) as town:
        peer.send("orders", {"n": 1}, message_id="m-1", headers={"x-no_1": 7}, correlation_id="c")
        found = town.until(lambda: peer.got("results"))
        assert json.loads(found.body) == {"n": 1}
        assert len(found.properties["message_id"]) == 32
        assert town.cases() == []
    assert [r.message for r in caplog.records if "NET243" in r.message and "gives nothing back" in r.message]


def test_what_a_killed_reader_held_comes_again(tmp_path: Path, url: str, peer: Peer) -> None:
    with _town(tmp_path, url) as town:
        peer.send("orders", {"n": 1}, message_id="m-1")
        town.crash_at = "commit.admit:before"
        with pytest.raises(Crash):
            town.until(lambda: False, 10)
        town.again()
        found = town.until(lambda: peer.got("results"), 60)
        assert json.loads(found.body) == {"n": 1}
        assert town.arrivals() == 1


@pytest.mark.parametrize(("unknown", "refused"), [("resend", Retryable), ("case", InDoubt)])
def test_only_what_got_no_answer_is_unknown(url: str, unknown: str, refused: type[Exception]) -> None:
    """A server that hung up, or is away, before anything was sent, makes no doubt; one that falls silent does."""
    connection = AmqpConnection.model_validate({"url": url, "deadline": "1s"})
    spec = AmqpSpec.model_validate({"connection": "there", "routing_key": "results", "unknown": unknown})
    sink = spec.sink(ScriptedResources(ManualClock(), connections={"there": connection}))

    def publish(n: int) -> None:
        identity = f"{n:032x}"
        sink.publish(sink.prepare(Message(Headers(identity, identity), {}), BytesIO(b"{}")))

    with closing(sink), redis.Redis(port=int(url.rpartition(":")[2].partition("/")[0])) as server:
        publish(1)
        server.client_kill_filter(_type="normal", skipme=True)
        publish(2)
        server.execute_command("CLIENT PAUSE", 2_000, "WRITE")  # reads, and the question whether it is there, go on
        with pytest.raises(refused):
            publish(3)
        sleep(2)
        server.shutdown(nosave=True)
        with pytest.raises(Retryable):
            publish(4)


def test_doctors_are_told_that_it_is_weaker(url: str) -> None:
    assert [f.code for f in AmqpConnection.model_validate({"url": url}).examine()] == ["NET243"]
