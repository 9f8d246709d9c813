"""``amqps://``: the same messages, confirms and acknowledgements as without TLS, whoever sends them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pika

from bus.channels.amqp import address_of
from bus.channels.amqp.consumer import Consumer
from bus.channels.amqp.frames import Outgoing, properties
from bus.channels.amqp.publisher import Publisher
from bus.landscape import BrokerSpec
from certs.authority import Authority
from certs.tls import Identity, server_context
from tests.contracts.test_amqp_contract import eventually

ABOUT = properties("ab" * 16, "ab" * 16, 1)


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
def terminated(context: ssl.SSLContext, host: str, port: int) -> Iterator[int]:
    """A port of our own that speaks TLS and hands on in the clear to another one."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
