"""Where the hops are measured: a RabbitMQ node, a PostgreSQL server that flushes, the queues, what goes in and out."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pika

from bench import hop
from bus.app import App
from bus.channels.amqp import address_of
from bus.channels.amqp.frames import Outgoing, properties
from bus.channels.amqp.publisher import Publisher
from bus.landscape import BrokerSpec
from bus.message import Headers, Message, child_id, encode
from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster

OUT = ("sepa", "swift", "manual")
GUARANTEES = ("at-least-once", "effectively-once")
_CHUNK = 1_000
PREFETCH = 4_000
"""Of our processes and of the C reference."""
_REST, _MOMENT_OF_REST, _AT_REST = 15.0, 0.5, 0.05
"""Seconds at most, seconds between two looks, and the part of a processor that a broker at rest may use."""
_MOMENT = 24
"""Bits of a nanosecond clock that what is made together has in common: as from a process, many legs have one origin."""
_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
_FLUSHING = ("fsync=on", "full_page_writes=on", "synchronous_commit=on")
_ROUTE = """
route: hop
guarantee: {guarantee}
from: {{channel: incoming}}
batch: {batch}
steps:
  - route:
      - when: amount.currency == 'EUR' && amount.value < 5000
        steps: [{{translate: {{mapping: journal}}}}]
        to: to_sepa
      - when: amount.currency == 'USD'
        steps: [{{translate: {{mapping: journal}}}}]
        to: to_swift
      - otherwise: to_manual
        steps: [{{translate: {{mapping: journal}}}}]
"""


def payment(n: int) -> dict[str, Any]:
    """The n-th payment of a run, in one of three currencies."""
    value = Decimal(n * 37 % 900_000) / 100
    amount = {"value": value, "currency": ("EUR", "USD", "CHF")[n % 3]}
    return {**hop.payment(n), "amount": amount}


def expected(n: int) -> tuple[str, dict[str, Any]]:
    """(queue, journal record) that the n-th payment must become."""
    paid = payment(n)
    amount = paid["amount"]
    small = amount["currency"] == "EUR" and amount["value"] < 5_000
    queue = "sepa" if small else "swift" if amount["currency"] == "USD" else "manual"
    record = {
        "document": paid["end_to_end_id"],
        "account": "1800",
        "supplier": {"name": paid["creditor"]["name"], "iban": paid["creditor"]["account"]["iban"]},
        "amount": amount,
        "tax": amount["value"] * Decimal("0.19"),
        "text": paid["remittance"]["unstructured"][0],
        "booked": paid["execution_date"],
    }
    return queue, record


def enveloped(n: int) -> bytes:
    """The n-th payment as a message of our own on its way between two channels."""
    body = payment(n)
    worth = (body["amount"]["currency"], body["amount"]["value"])
    run = f"{time.time_ns() >> _MOMENT:016x}"  # no two rounds may look like second copies of each other
    headers = Headers(child_id("ab" * 16, run, "fill", n), "ab" * 16, number=n + 1, worth=worth, leg=f"{run}{n:016x}")
    return encode(Message(headers, body))


class Place:
    """``with Place() as place:``; everything is removed at the end.

    Args:
        root: empty folder.
        batch: of our route.
        beside: another place, already entered, whose broker and database server it shares, with queues and a ledger of
            its own.
    """

    def __init__(self, root: Path, batch: int = 500, beside: Place | None = None) -> None:
        self._root = root
        self._batch = batch
        self._stack = ExitStack()
        self._shared = beside is not None
        # All schedulers, as a broker of its own would have.
        self._cluster = beside._cluster if beside else RabbitCluster(1, erlang=_LOOPBACK)  # noqa: SLF001 - one of us
        self._postgres = beside._postgres if beside else PostgresServer(*_FLUSHING)  # noqa: SLF001 - as above
        self.port = 0
        self.folders: dict[str, Path] = {}
        """A landscape for each guarantee."""

    def __enter__(self) -> Self:
        with self._stack:
            if not self._shared:
                self._stack.enter_context(self._cluster)
                self._stack.enter_context(self._postgres)
            self.port = self._cluster.nodes[0].port
            prefix = "beside." if self._shared else ""
            self._spec = BrokerSpec(url=self._cluster.url, prefetch=PREFETCH, prefix=prefix)
            ledger = self._stack.enter_context(schema(self._postgres.url))  # one, for the queues are the same
            for guarantee in GUARANTEES:
                self.folders[guarantee] = self._landscape(guarantee, ledger)
            parameters = pika.ConnectionParameters("127.0.0.1", self.port, heartbeat=0)
            self.address = address_of(self._spec, self._root)
            self._connection = pika.BlockingConnection(parameters)
            self._stack.callback(self._connection.close)
            self._channel = self._connection.channel()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def beside(self) -> Place:
        """Another place at the same broker and database server; enter it too."""
        return Place(self._root / "beside", self._batch, self)

    def _landscape(self, guarantee: str, ledger: str) -> Path:
        """Routes as a user writes them; what takes from the three outputs is paused, so that they keep."""
        folder = self._root / guarantee
        folder.mkdir(parents=True)
        broker = f"{{url: {self._spec.url!r}, prefetch: {PREFETCH}, prefix: {self._spec.prefix!r}}}"
        texts = {
            "bus.yaml": f"name: bench\nledger: {ledger!r}\nbroker: {broker}\n",
            "hop.route.yaml": _ROUTE.format(guarantee=guarantee, batch=self._batch),
            **{f"{out}.route.yaml": f"route: {out}\nfrom: {{channel: to_{out}}}\nto: none\n" for out in OUT},
            **{name: text for name, text in hop.LANDSCAPE.items() if "mapping" in name or "table" in name},
        }
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
        app = App(folder)
        for out in OUT:
            app.bus.set_state(out, "paused", "bench", "the output is counted")
        app.close()
        return folder

    # ------------------------------------------------------------ queues

    def queue(self, name: str) -> str:
        """What a queue is called at the broker."""
        return self.address.queue(name)

    def fill(self, bodies: Iterator[bytes]) -> None:
        """Put messages on the input queue, persistent, and wait for all confirms."""
        publisher = Publisher(self.address, random.Random(1))  # noqa: S311 - no secret
        publisher.start()
        try:
            about = properties("ab" * 16, "ab" * 16, int(time.time()))
            chunk: list[Outgoing] = []
            for body in bodies:
                chunk.append(Outgoing(self.queue("hop"), about, body))
                if len(chunk) == _CHUNK:
                    publisher.publish(chunk)
                    chunk = []
            publisher.publish(chunk)
        finally:
            publisher.close()

    def rest(self) -> None:
        """Wait until the broker has done what filling and the one before left it to do, or for a while."""
        end = time.monotonic() + _REST
        while time.monotonic() < end:
            used = self.processor_seconds()["broker"]
            time.sleep(_MOMENT_OF_REST)
            if self.processor_seconds()["broker"] - used <= _MOMENT_OF_REST * _AT_REST:
                break

    def waiting(self, *queues: str) -> int:
        """How many messages wait there and are in nobody's hands."""
        asked = [self._channel.queue_declare(self.queue(name), passive=True) for name in queues]
        return sum(answer.method.message_count for answer in asked)

    def empty(self) -> None:
        """Drop what waits."""
        for queue in ("hop", *OUT):
            self._channel.queue_purge(self.queue(queue))

    def take_out(self) -> Iterator[tuple[str, bytes]]:
        """(queue, body) of all that waits in the output queues; it is gone from there."""
        for queue in OUT:
            left = self.waiting(queue)
            self._channel.basic_qos(prefetch_count=_CHUNK)
            for method, _, body in self._channel.consume(self.queue(queue), inactivity_timeout=10) if left else ():
                if method is None:
                    break
                yield queue, body
                left -= 1
                if left <= 0 or not left % _CHUNK or left < _CHUNK:
                    self._channel.basic_ack(method.delivery_tag, multiple=True)
                if left <= 0:
                    break
            self._channel.cancel()

    # ------------------------------------------------------------ where the time goes

    def processor_seconds(self) -> dict[str, float]:
        """Of the broker and of the database, since their start."""
        node, server = self._cluster.nodes[0], self._postgres
        return {
            "broker": processor_seconds(node._process.pid) if node._process else 0.0,  # noqa: SLF001 - ours
            "database": processor_seconds(server._process.pid) if server._process else 0.0,  # noqa: SLF001
        }


def processor_seconds(pid: int) -> float:
    """What a process and all below it have used, in seconds; those that ended count with their parents."""
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
                used[int(entry.name)] = sum(map(int, fields[11:15]))
        except OSError:
            continue
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        total += used.get(one, 0)
        todo += children.get(one, ())
    return total / os.sysconf("SC_CLK_TCK")
