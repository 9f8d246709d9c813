"""A queue that confirms nothing keeps no other waiting: neither the relay, nor workers, nor the connection."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from bus.channels.amqp import address_of
from bus.channels.amqp.frames import Outgoing
from bus.channels.amqp.publisher import Publisher
from bus.errors import Retryable, Stalled
from bus.landscape import BrokerSpec
from bus.ports import Settlement
from bus.testing.rabbitmq import RabbitCluster
from tests.contracts.test_amqp_contract import Books, bodies, cluster, eventually, message

__all__ = ["cluster"]

DEADLINE = 3.0


@pytest.fixture
def books(cluster: RabbitCluster) -> Iterator[Books]:
    made = Books(cluster.url, deadline=f"{DEADLINE:.0f}s")
    yield made
    made.broker.close()
    made.store.close()


@contextmanager
def silent(cluster: RabbitCluster, queue: str) -> Iterator[None]:
    """As without a majority of its nodes: the queue takes no decision, all others live."""

    def tell(what: str) -> None:
        cluster.nodes[0].control("eval", f"sys:{what}(whereis('%2F_{queue}'), 60000).")

    tell("suspend")
    try:
        yield
    finally:
        tell("resume")


def relayed(books: Books) -> str:
    """One turn of the relay: its error code."""
    try:
        books.broker.relay()
    except Stalled as error:
        return error.code
    return ""


def gathered(books: Books, channel: str, count: int) -> list[int]:
    """So many messages, settled."""
    found: list[int] = []

    def more() -> bool | None:
        taken = books.broker.take(channel, 500)
        found.extend(bodies(taken))
        books.broker.settle(taken, Settlement(channel))
        return len(found) >= count or None

    eventually(more)
    return sorted(found)


def test_a_queue_that_is_silent_among_others_fails_alone_and_its_late_confirm_is_nobodys(
    cluster: RabbitCluster, books: Books
) -> None:
    quiet = books.broker.address.queue("out")
    spec = BrokerSpec(url=cluster.url, window=10, deadline=f"{DEADLINE:.0f}s")
    publisher = Publisher(address_of(spec, Path()), random.Random(1))  # noqa: S311 - spreads pauses
    publisher.start()
    found: list[str] = []

    def one(channel: str, n: int) -> Outgoing:
        return books.broker._outgoing(channel, message(n).with_headers(leg=f"{channel}{n:016x}"))

    publisher.publish([one("out", 0), one("in", 0)])

    def publish() -> None:
        try:
            publisher.publish([one("out", n) for n in range(1, 6)])
        except Stalled as error:
            found.append(error.message)

    with silent(cluster, quiet):
        waiting = threading.Thread(target=publish)
        waiting.start()
        end, count = monotonic() + 4 * DEADLINE, 1
        while waiting.is_alive() and monotonic() < end:
            publisher.publish([one("in", count)])
            count += 1
        assert found == [f"`{quiet}` confirmed nothing in time"]
        publisher.publish([one("in", count + n) for n in range(10)])  # the whole window is free
    assert gathered(books, "out", 6) == list(range(6))
    publisher.publish([one("out", 6), one("in", count + 10)])
    assert publisher.link.generation == 1
    assert (publisher._flying, list(publisher._ranges)) == (0, [])
    assert gathered(books, "in", count + 11) == list(range(count + 11))
    publisher.close()


def test_the_relay_brings_everything_else_and_the_silent_queue_gets_its_own_later(
    cluster: RabbitCluster, books: Books
) -> None:
    with silent(cluster, books.broker.address.queue("out")):
        books.broker.transact("put", lambda _tx: [("out", message(n)) for n in range(100)])
        eventually(lambda: relayed(books) or None)  # now it is known
        sent, took = 0, []
        end = monotonic() + 8 * DEADLINE
        while monotonic() < end or sent < 20:
            books.broker.transact("put", lambda _tx, n=sent: [("in", message(n))])
            sent += 1
            begin = monotonic()
            eventually(lambda: (relayed(books) and books.broker._outbox.depth("in") == 0) or None)
            took.append(monotonic() - begin)
        assert sorted(took)[-2] < DEADLINE, "no try of the silent one stopped the others; the machine may have, once"
        assert books.broker._outbox.depth("out") == 100
    eventually(lambda: relayed(books) == "" or None)
    assert gathered(books, "in", sent) == list(range(sent))
    assert gathered(books, "out", 100) == list(range(100))
    assert books.nothing("out")
    assert books.broker._publisher.slow == {}


def test_a_worker_that_passes_on_to_a_silent_queue_keeps_no_other_waiting(cluster: RabbitCluster, books: Books) -> None:
    books.put("in", *(message(n) for n in range(3)))
    books.put("in#next", *(message(n) for n in range(200)))
    books.take("in#next", 200)
    books.broker.declare(["well"])
    books.broker.start()
    with silent(cluster, books.broker.address.queue("out")):
        books.pass_on(books.take("in", 1)[:1], "out")
        eventually(lambda: books.broker._overlap.idle() or None)
        end = monotonic() + 4 * DEADLINE

        def stubborn() -> None:
            while monotonic() < end:
                with suppress(Retryable, IndexError):
                    books.pass_on(books.broker.take("in", 1), "out")

        worker = threading.Thread(target=stubborn)
        worker.start()
        took: list[float] = []
        while monotonic() < end and len(took) < 200:
            begin = monotonic()
            books.pass_on(books.take("in#next", 1)[:1], "well")
            eventually(lambda: books.broker._overlap.idle() or None)
            took.append(monotonic() - begin)
        worker.join()
        assert len(took) > 20
        assert sorted(took)[-2] < DEADLINE  # the machine may have stopped once

    def everywhere() -> list[int]:
        return sorted(n for name in ("well", "in#next") for n in bodies(books.broker.take(name, 1000)))

    # What was passed on when a connection ended was given back: each is in one of both places, and once.
    eventually(lambda: everywhere() == list(range(200)) or None)
    assert len(books.broker.take("well", 1000)) > 20
