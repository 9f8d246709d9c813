"""``amqps://``: the same messages, confirms and acknowledgements as without TLS, whoever sends them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pika
import pytest

from bus.channels.amqp import address_of, topology
from bus.channels.amqp.consumer import Consumer
from bus.channels.amqp.frames import Outgoing, properties
from bus.channels.amqp.publisher import Publisher
from bus.errors import Retryable
from bus.landscape import BrokerSpec
from certs.authority import Authority
from certs.tls import Identity, server_context
from endpoints.amqp import AmqpConnection
from endpoints.amqp.link import Link
from tests.contracts.test_amqp_contract import eventually

ABOUT = properties("ab" * 16, "ab" * 16, 1)


class Guest(NamedTuple):
    """Who came to the front: the number of the certificate that was shown, and our end of the connection."""

    serial: str
    socket: Any


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()
    except asyncio.CancelledError:
        target.transport.abort()
        raise


@contextmanager
def terminated(context: ssl.SSLContext, host: str, port: int, guests: list[Guest] | None = None) -> Iterator[int]:
    """A port of our own that speaks TLS and hands on in the clear to another one; ``guests`` gets who comes."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if guests is not None:
            serial = int(writer.get_extra_info("peercert")["serialNumber"], 16)
            guests.append(Guest(f"{serial:x}", writer.get_extra_info("socket")))
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(asyncio.sleep(0.1))  # transports say that they are closed in a turn of their own
        loop.close()


def test_with_both_certificates_everything_is_confirmed_comes_and_is_acknowledged(rabbit: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    Authority.create("ca", keys)
    authority = Authority.load("ca", keys)
    authority.issue("server", "server", names=("localhost", "127.0.0.1"))
    authority.issue("client", "client")
    context = server_context(Identity(keys / "server.crt", keys / "server.key"), clients=keys / "ca.crt")
    plain = urlsplit(rabbit)
    with pika.BlockingConnection(pika.URLParameters(rabbit)) as connection:
        look = connection.channel()
        queue = f"t{uuid4().hex[:8]}"
        look.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        with terminated(context, plain.hostname or "", plain.port or 5672) as port:
            spec = BrokerSpec.model_validate(
                {
                    "url": f"amqps://127.0.0.1:{port}/",
                    "trust": "keys/ca.crt",
                    "certificate": "keys/client.crt",
                    "key": "keys/client.key",
                    "prefetch": 500,
                }
            )
            address, chance = address_of(spec, tmp_path), random.Random(1)  # noqa: S311 - spreads pauses
            consumer = Consumer(address, lambda _queue: None, lambda _queue: None, chance)
            publisher = Publisher(address, chance)
            consumer.start()
            publisher.start()
            consumer.consume(queue)

            def publish(who: int) -> None:
                for n in range(20):
                    publisher.publish([Outgoing(queue, ABOUT, b"%d:%d:" % (who, n) + b"x" * 50_000 * (n % 2))])

            threads = [threading.Thread(target=publish, args=(who,)) for who in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert publisher.confirmed == 80
            received = eventually(lambda: here if len(here := consumer.here(queue, 100)) == 80 else None)
            found = [tuple(map(int, one.body.split(b":")[:2])) for one in received]
            assert [[n for who, n in found if who == wanted] for wanted in range(4)] == [list(range(20))] * 4
            consumer.settle(queue, received)
            assert consumer.counts([queue], 10) == {queue: 0}
            consumer.close()
            publisher.close()
        assert look.queue_declare(queue, passive=True).method.message_count == 0
        look.queue_delete(queue)


OURS = {"trust": "keys/ca.crt", "certificate": "keys/client.crt", "key": "keys/client.key"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Of the keys of both sides, in ``keys/``."""
    Authority.create("ca", tmp_path / "keys")
    made = Authority.load("ca", tmp_path / "keys")
    made.issue("server", "server", names=("localhost", "127.0.0.1"))
    made.issue("client", "client")
    return made


@pytest.fixture
def front(rabbit: str, authority: Authority, tmp_path: Path) -> Iterator[tuple[int, list[Guest]]]:
    """Port of a broker that asks for certificates, and who has come."""
    del authority
    keys, plain, guests = tmp_path / "keys", urlsplit(rabbit), list[Guest]()
    context = server_context(Identity(keys / "server.crt", keys / "server.key"), clients=keys / "ca.crt")
    with terminated(context, plain.hostname or "", plain.port or 5672, guests) as port:
        yield port, guests


def test_a_renewed_certificate_is_shown_by_the_next_connection_of_a_process_that_goes_on(
    rabbit: str, front: tuple[int, list[Guest]], authority: Authority, tmp_path: Path
) -> None:
    port, guests = front
    spec = BrokerSpec.model_validate({"url": f"amqps://127.0.0.1:{port}/", **OURS})
    publisher = Publisher(address_of(spec, tmp_path), random.Random(1))  # noqa: S311 - spreads pauses
    with pika.BlockingConnection(pika.URLParameters(rabbit)) as connection:
        look, queue = connection.channel(), f"t{uuid4().hex[:8]}"
        look.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        publisher.start()
        try:
            publisher.publish([Outgoing(queue, ABOUT, b"before")])
            renewed = authority.issue("client", "client", replace=True)
            publisher.publish([Outgoing(queue, ABOUT, b"on the old connection")])
            assert len(guests) == 1
            guests[0].socket.shutdown(socket.SHUT_RDWR)
            eventually(lambda: (len(guests) == 2 and not publisher.trouble()) or None)
            publisher.publish([Outgoing(queue, ABOUT, b"after")])
            assert guests[1].serial == renewed.serial != guests[0].serial
        finally:
            publisher.close()
            look.queue_delete(queue)


def test_the_endpoint_shows_a_renewed_certificate_too_and_names_a_file_that_is_not_there(
    front: tuple[int, list[Guest]], authority: Authority, tmp_path: Path
) -> None:
    port, guests = front
    link = Link(AmqpConnection.model_validate({"url": f"amqps://127.0.0.1:{port}/", **OURS}), tmp_path)
    with link.guarded():
        link.channel()
    renewed = authority.issue("client", "client", replace=True)
    before = link._connection.sock
    link.hang_up()
    assert before.fileno() == -1  # closed now, not when the collector comes by
    with link.guarded():
        link.channel()
    assert guests[1].serial == renewed.serial != guests[0].serial
    link.hang_up()
    (tmp_path / "keys" / "client.crt").unlink()
    with pytest.raises(Retryable, match=r"NET244.*client\.crt cannot be read"), link.guarded():
        link.channel()


def test_what_is_wrong_with_the_certificates_is_told_by_both(front: tuple[int, list[Guest]], tmp_path: Path) -> None:
    port, _guests = front
    Authority.create("stranger", tmp_path / "keys")
    stranger = {**OURS, "trust": "keys/stranger.crt"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pika leaves a socket whose handshake failed to the collector
        for wrong, said in ((stranger, "not believed"), ({"trust": "keys/ca.crt"}, "certificate")):
            url = f"amqps://127.0.0.1:{port}/"
            with pytest.raises(Retryable) as caught:
                topology.look(address_of(BrokerSpec.model_validate({"url": url, **wrong}), tmp_path), ["x"])
            (finding,) = AmqpConnection.model_validate({"url": url, **wrong}).examine(tmp_path)
            assert (caught.value.code, finding.code) == ("NET221", "NET244")
            assert said in str(caught.value)
            assert said in finding.message
        del caught
        gc.collect()
