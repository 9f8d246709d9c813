"""What a broker may expect of those that use it: no more than was asked for, few answers, patience, signs of life."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest

from bus.channels.amqp import address_of
from bus.channels.amqp.address import Address
from bus.channels.amqp.frames import BlockConnection, Outgoing, properties
from bus.channels.amqp.link import _FIRST_WAIT, _LONGEST_WAIT, Link
from bus.channels.amqp.publisher import Publisher
from bus.errors import Stalled
from bus.landscape import BrokerSpec
from bus.ports import Settlement
from bus.testing.rabbitmq import RabbitCluster
from tests.contracts.test_amqp_contract import Books, bodies, books, cluster, eventually, message

__all__ = ["books", "cluster"]


@contextmanager
def opened(url: str, **spec: object) -> Iterator[Books]:
    made = Books(url, **spec)
    yield made
    made.broker.close()
    made.store.close()


def test_no_more_than_the_prefetch_is_here(rabbit: str) -> None:
    with opened(rabbit, prefetch=20) as books:
        books.put("in", *(message(n) for n in range(100)))
        assert bodies(books.take("in", 20)) == list(range(20))
        queue = books.broker.address.queue("in")
        eventually(lambda: books.broker._consumer.counts([queue], 5) == {queue: 80} or None)
        assert len(books.broker.take("in", 1000)) == 20
        books.broker.settle(books.broker.take("in", 5), Settlement("in"))
        eventually(lambda: books.broker._consumer.counts([queue], 5) == {queue: 75} or None)
        assert bodies(books.take("in", 20)) == list(range(5, 25))


def test_a_batch_is_one_acknowledgement(books: Books) -> None:
    books.put("in", *(message(n) for n in range(300)))
    taken = books.take("in", 300)
    connection = books.broker._consumer.link.connection
    acknowledged: list[int] = []
    acknowledge = connection.acknowledge

    def counted(channel: int, tag: int) -> None:
        acknowledged.append(tag)
        acknowledge(channel, tag)

    connection.acknowledge = counted
    books.broker.settle(taken[:100], Settlement("in"))
    books.take("in", 200)
    books.broker.settle(books.broker.take("in", 200), Settlement("in"))
    assert acknowledged == [100, 300]
    books.reopened()
    assert books.nothing("in")


class Hurried(threading.Event):
    """Waits no longer than it must, and knows for how long it should have."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if len(self.waits) == self._most:
            self.set()
        return self.is_set()


def pauses(address: Address, most: int) -> list[float]:
    """For how long it waits between so many attempts to connect, where each connection is lost at once."""

    def opened(connection: BlockConnection) -> None:
        connection.ioloop.call_later(0.01, lambda: link.abort("enough"))

    link = Link(address, "x", opened, lambda _why: None, random.Random(5))  # noqa: S311 - spreads waits
    link._stopping = hurried = Hurried(most)
    link.start()
    link._thread.join(30)
    return hurried.waits


def test_pauses_between_attempts_grow_are_spread_and_begin_anew(rabbit: str) -> None:
    there = address_of(BrokerSpec(url=rabbit), Path())
    away = ("127.0.0.1", 1)
    full = [min(_FIRST_WAIT * 2**n, _LONGEST_WAIT) for n in range(1, 11)]
    shares = [wait / whole for wait, whole in zip(pauses(replace(there, hosts=(away,)), 10), full, strict=True)]
    assert all(0.5 <= share <= 1.5 for share in shares)
    assert len(set(shares)) == len(shares), "processes that lost one broker do not all come back at once"
    behind_connection = pauses(replace(there, hosts=(away, away, away, *there.hosts)), 4)[3]
    assert behind_connection <= 1.5 * _FIRST_WAIT, "the pauses begin anew"


def _one(queue: str, n: int) -> Outgoing:
    return Outgoing(queue, properties(f"{n:032x}", f"{n:032x}", 1), b"x")


@contextmanager
def alarm(cluster: RabbitCluster) -> Iterator[None]:
    """The broker is short of memory: it blocks those that publish."""
    cluster.nodes[0].control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        yield
    finally:
        cluster.nodes[0].control("set_vm_memory_high_watermark", "0.4")


@pytest.mark.parametrize("deadline", ["60s", "2s"])
def test_a_blocked_broker_is_published_nothing_and_that_is_said(cluster: RabbitCluster, deadline: str) -> None:
    with opened(cluster.url) as books:
        publisher = Publisher(address_of(BrokerSpec(url=cluster.url, deadline=deadline), Path()), random.Random(1))  # noqa: S311 - spreads waits
        publisher.start()
        queue = books.broker.address.queue("in")
        publisher.publish([_one(queue, 0)])
        with alarm(cluster):
            first = publisher.begin([_one(queue, 1)])  # RabbitMQ says so to who publishes
            eventually(lambda: publisher._blocked or None)
            second = publisher.begin([_one(queue, 2)])
            assert second.blocks, "it is not sent"
            if deadline == "2s":
                with pytest.raises(Stalled, match=r"NET222.*[Bb]locked"):
                    publisher.wait(second)
                publisher.close()
                return
        for job in (first, second):
            publisher.wait(job)
        assert publisher.link.generation == 1
        publisher.close()


def test_a_unit_that_takes_longer_than_two_heartbeats_settles_on_the_same_connections(rabbit: str) -> None:
    with opened(rabbit, heartbeat="1s") as books:
        books.put("in", message(1))
        taken = books.take("in", 1)
        sleep(7)  # the broker gives up a peer that was silent for two, we do so after five seconds more than one
        books.pass_on(taken, "out")
        assert bodies(books.take("out", 1)) == [1]
        assert (books.broker._consumer.link.generation, books.broker._publisher.link.generation) == (1, 1)
        assert books.nothing("in")


def test_two_vhosts_are_two_worlds(cluster: RabbitCluster) -> None:
    cluster.ask("add_vhost", "other")
    cluster.ask("set_permissions", "-p", "other", "guest", ".*", ".*", ".*")
    with opened(cluster.url, prefix="same.") as here, opened(f"{cluster.url}/other", prefix="same.") as there:
        here.put("in", message(1))
        there.put("in", message(2))
        assert bodies(here.take("in", 1)) == [1]
        assert bodies(there.take("in", 1)) == [2]
        here.broker.settle(here.take("in", 1), Settlement("in"))
        assert bodies(there.take("in", 1)) == [2]
        assert here.nothing("in")
