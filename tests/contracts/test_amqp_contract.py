"""Channels on RabbitMQ keep the promise of :class:`bus.ports.Broker` while connections, queues and confirms fail."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pika
import pytest
from click.testing import CliRunner

from bus.channels.amqp import address_of, topology, wire_of
from bus.channels.amqp.broker import AmqpBroker
from bus.channels.amqp.publisher import Job
from bus.channels.store import StoreBroker
from bus.cli import main
from bus.errors import ConfigError, Rejected, Retryable, Stalled, Unavailable
from bus.landscape import BrokerSpec, RetentionSpec
from bus.ledger import history, retention
from bus.ledger.ledger import Ledger
from bus.ledger.references import all_blobs
from bus.ledger.store import Store
from bus.message import Blob, Headers, Hold, Message, Remember, Sequence, decode, encode
from bus.ports import RELAY, Delivery, Event, Settlement
from bus.runtime.retry import COMES_AGAIN
from bus.testing.clock import ManualClock
from bus.testing.rabbitmq import RabbitCluster
from endpoints.amqp import AmqpConnection
from tests.conftest import needs

ROOT = "6ba7b8119dad11d180b400c04fd430c8"


class Crash(BaseException):
    """The process dies here."""


class Books:
    """Broker and ledger of one process; :meth:`reopened` is the next process on the same store and queues."""

    def __init__(self, url: str, **spec: Any) -> None:
        self.spec = BrokerSpec(url=url, **{"prefix": f"t{uuid4().hex[:8]}.", **spec})
        self.clock = ManualClock()
        self.store = Store(None)
        self.woken: set[str] = set()
        self.crash_at = ""
        self._build()

    def _build(self) -> None:
        self.ledger = Ledger(self.store, self.clock)
        inside = StoreBroker(self.store, self.ledger)
        wire, owner = wire_of(self.spec, Path(), random.Random(1)), uuid4().hex[:16]  # noqa: S311 - spreads waits
        self.broker = AmqpBroker(wire, self.store, inside, self.clock, owner, self.effect)
        self.broker.ready = self.woken.update
        self.broker.declare(["in", "in#next", "out"])

    def effect(self, label: str) -> None:
        if label == self.crash_at:
            self.crash_at = ""
            raise Crash

    def reopened(self) -> None:
        self.broker.close()
        self._build()

    def put(self, channel: str, *messages: Message) -> None:
        self.broker.transact("put", lambda _tx: [(channel, m) for m in messages])
        self.broker.relay()

    def take(self, channel: str, count: int) -> list[Delivery]:
        """Wait until that many are here."""
        return eventually(lambda: found if len(found := self.broker.take(channel, 1000)) >= count else None)

    def nothing(self, channel: str) -> bool:
        """The broker has none of it, nor has it handed out any."""
        self.broker.take(channel, 1)
        queue = self.broker.address.queue(channel)
        eventually(lambda: self.broker._consumer.counts([queue], 5) == {queue: 0} or None)
        return self.broker.take(channel, 1) == []

    def pass_on(self, deliveries: list[Delivery], to: str, *, remember: bool = True) -> None:
        settlement = Settlement(deliveries[0].channel)
        settlement.remember = remember
        for delivery in deliveries:
            settlement.puts.append((to, delivery.message))
            settlement.events.append(Event(delivery.message, "sent", outputs=((to, delivery.message),)))
            settlement.report(delivery.message, "sent")
        self.broker.settle(deliveries, settlement)

    def inbox(self) -> int:
        return int(self.store.read("SELECT count(*) FROM inbox")[0][0])


def eventually(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What ``look`` gives as soon as it is not None; bounded."""
    end = monotonic() + seconds
    while monotonic() < end:
        found = look()
        if found is not None:
            return found
        sleep(0.01)  # a broker is another process: there is nothing to turn by hand
    raise AssertionError("it did not happen in time")


def message(n: int) -> Message:
    identity = f"{n:032x}"
    return Message(Headers(identity, ROOT, number=n + 1), {"n": n})


def bodies(deliveries: list[Delivery]) -> list[int]:
    return [d.message.body["n"] for d in deliveries]


@pytest.fixture
def books(rabbit: str) -> Iterator[Books]:
    made = Books(rabbit)
    yield made
    made.broker.close()
    made.store.close()


def test_messages_come_in_their_order_and_stay_until_they_are_settled(books: Books) -> None:
    books.put("in", *(message(n) for n in range(20)))
    first = books.take("in", 20)
    assert bodies(first) == list(range(20))
    assert bodies(books.broker.take("in", 5)) == list(range(5))
    books.broker.settle(books.broker.take("in", 5), Settlement("in"))
    assert bodies(books.broker.take("in", 100)) == list(range(5, 20))
    assert books.broker.depth("in") == 15


def test_the_age_of_what_comes_next_is_known(books: Books) -> None:
    assert books.broker.oldest() == {}
    for n, at in enumerate((7_000, 5_000, 9_000)):
        made = message(n)
        books.put("in", made.with_headers(created_at=at))
    books.take("in", 3)
    assert books.broker.oldest() == {"in": 7_000}, "of the first in the queue, whatever comes behind it"
    books.broker.settle(books.broker.take("in", 1), Settlement("in"))
    assert books.broker.oldest() == {"in": 5_000}


def test_messages_larger_than_a_frame_and_empty_ones_come_whole(books: Books) -> None:
    sizes = (0, 1, 131_063, 131_064, 131_065, 1_000_000, 5_000_000)
    for n, size in enumerate(sizes):
        books.put("in", Message(message(n).headers, {"n": n, "text": "x" * size}))
    taken = books.take("in", len(sizes))
    assert [len(d.message.body["text"]) for d in taken] == list(sizes)
    books.pass_on(taken, "out")
    assert [len(d.message.body["text"]) for d in books.take("out", len(sizes))] == list(sizes)


def test_what_was_not_settled_comes_again_to_the_next_process(books: Books) -> None:
    books.put("in", *(message(n) for n in range(10)))
    books.broker.settle(books.take("in", 10)[:4], Settlement("in"))
    books.reopened()
    assert bodies(books.take("in", 6)) == list(range(4, 10))


def test_a_unit_that_passes_on_publishes_before_it_commits(books: Books) -> None:
    books.put("in", message(1), message(2))
    books.pass_on(books.take("in", 2), "out")
    assert books.store.read("SELECT count(*) FROM queued") == [(0,)]
    assert bodies(books.take("out", 2)) == [1, 2]
    assert books.nothing("in")


@pytest.mark.parametrize(
    ("label", "copies"),
    [
        ("amqp.publish:before", 0),
        ("amqp.publish:after", 1),  # published, not committed: the second run publishes the same leg again
        ("amqp.acknowledge:before", 1),  # committed, not acknowledged: the input comes again
    ],
)
def test_a_crash_anywhere_in_the_way_of_a_message_makes_one_effect(books: Books, label: str, copies: int) -> None:
    books.put("in", message(1))
    taken = books.take("in", 1)
    books.crash_at = label
    with pytest.raises(Crash):
        books.pass_on(taken, "out")
    books.reopened()
    books.broker.take("in", 1)
    if label != "amqp.acknowledge:before":
        books.pass_on(books.take("in", 1), "out")
    else:
        assert books.nothing("in")
    assert bodies(books.take("out", 1)) == [1]
    books.broker.settle(books.take("out", 1), Settlement("out"))
    assert books.nothing("out")
    assert books.broker.sieve.copies == copies


@pytest.mark.parametrize("label", ["amqp.publish:before", "amqp.publish:after"])
def test_a_crash_of_the_relay_loses_nothing_and_doubles_nothing(books: Books, label: str) -> None:
    books.broker.transact("put", lambda _tx: [("in", message(n)) for n in range(3)])
    assert RELAY in books.woken
    books.crash_at = label
    with pytest.raises(Crash):
        books.broker.relay()
    books.reopened()
    assert books.broker.relay() == 3
    taken = books.take("in", 3)
    books.broker.settle([d for d in taken if d.message.body["n"] == 0], Settlement("in"))
    rest = books.take("in", 2)
    books.broker.settle(rest, Settlement("in"))
    assert books.nothing("in")
    assert books.inbox() == 3


def test_a_unit_with_state_stores_what_it_sends_and_the_relay_brings_it(books: Books) -> None:
    books.put("in", message(1), message(2))
    first, second = books.take("in", 2)
    settlement = Settlement("in")
    settlement.puts.append(("out", first.message))
    settlement.holds.append((Hold(second.message, "", "", until=1), "in#next", None))
    books.broker.settle([first, second], settlement)
    assert books.store.read("SELECT count(*) FROM queued") == [(1,)]
    assert books.broker.take("out", 1) == []
    assert books.broker.relay() == 1
    assert bodies(books.take("out", 1)) == [1]
    assert books.store.read("SELECT count(*) FROM held") == [(1,)]


def test_order_is_kept_between_what_is_relayed_and_what_is_published_at_once(books: Books) -> None:
    books.put("in", *(message(n) for n in range(30)))
    for delivery in books.take("in", 30):
        if delivery.message.body["n"] % 3:
            books.pass_on([books.broker.take("in", 1)[0]], "out")
        else:
            settlement = Settlement("in")
            settlement.puts.append(("out", books.broker.take("in", 1)[0].message))
            settlement.remembers.append(Remember("s", str(delivery.message.body["n"]), "v"))
            books.broker.settle([books.broker.take("in", 1)[0]], settlement)
    books.broker.relay()
    assert bodies(books.take("out", 30)) == list(range(30))


def test_what_waits_in_the_outbox_since_the_last_process_goes_first(books: Books) -> None:
    books.put("in", message(1))
    books.broker.transact("put", lambda _tx: [("out", message(0))])
    books.reopened()
    books.pass_on(books.take("in", 1), "out")
    books.broker.relay()
    assert bodies(books.take("out", 2)) == [0, 1]


def test_two_relays_at_once_publish_nothing_twice(books: Books) -> None:
    books.broker.transact("put", lambda _tx: [("in", message(n)) for n in range(20)])
    second = threading.Thread(target=books.broker.relay)

    def both(label: str) -> None:
        if label == "amqp.publish:before" and second.ident is None:
            second.start()
            second.join(0.3)

    books.broker._effect = both
    books.broker.relay()
    second.join(20)
    books.put("in", message(20))
    assert bodies(books.take("in", 21)) == list(range(21))
    assert books.broker.sieve.copies == 0


def test_a_batch_that_is_cut_otherwise_after_a_crash_passes_nothing_on_twice(books: Books) -> None:
    """First straight to the broker, then by the outbox, for its new neighbour needs the ledger."""
    books.put("in", message(1))
    books.crash_at = "amqp.publish:after"
    with pytest.raises(Crash):
        books.pass_on(books.take("in", 1), "out")
    books.reopened()
    books.put("in", message(2))
    _pass_on_and_hold(books, books.take("in", 2))
    assert bodies(books.take("out", 1)) == [1]
    books.broker.settle(books.take("out", 1), Settlement("out"))
    assert books.nothing("out")
    assert books.broker.sieve.copies == 1


class Knowing:
    """What a restored ledger says that has message 1 still to publish and knows nothing of message 2."""

    def judge(self, messages: list[Message]) -> tuple[set[str], set[str]]:
        copies, strangers = ({m.headers.leg for m in messages if m.body["n"] == n} for n in (1, 2))
        return copies, strangers

    def guard(self, tx: Any) -> None:
        """Nobody else sorts."""

    def begin(self, owner: str) -> None:
        """Nobody asks."""

    def goes_on(self) -> bool:
        """To its end."""
        return True


@pytest.mark.parametrize("kept", [False, True])
def test_what_a_restored_ledger_cannot_know_is_put_aside_once(books: Books, rabbit: str, *, kept: bool) -> None:
    """Also when the process dies between the commit and the acknowledgement; its neighbours go on."""
    books.put("in", message(0), message(1), message(2), message(3))
    _given_up(books, rabbit, *(message(2).with_headers(leg=f"up {n}") for n in range(2)), message(4))
    if kept:
        books.broker.keep_order(["in"])
    settle = books.broker._consumer.settle
    books.broker._consumer.settle = lambda *_: (_ for _ in ()).throw(Crash())
    with pytest.raises(Crash):
        books.broker.sort_out(Knowing())
    books.broker._consumer.settle = settle
    books.reopened()
    if kept:
        books.broker.keep_order(["in"])
    books.broker.sort_out(Knowing())
    books.broker.relay()
    assert bodies(books.take("in", 3)) == [0, 3, 4]
    books.broker.settle(books.take("in", 3), Settlement("in"))
    assert books.nothing("in")
    found = [(channel, decode(payload).body["n"], code) for channel, payload, code in books.store.read(_DEAD)]
    assert found == [("in", 2, "SYS149")] * 3


_DEAD = "SELECT channel, payload, code FROM dead"


def test_queues_that_somebody_else_consumes_are_not_sorted(rabbit: str) -> None:
    """He may have messages that nobody sees, and give them back when all is sorted."""
    books = Books(rabbit, heartbeat="1s")
    books.put("in", message(0))
    queue = books.broker.address.queue("in")
    other = wire_of(books.spec, Path(), random.Random(1)).consuming(lambda _: None, lambda _: None)  # noqa: S311 - spreads waits
    other.consume(queue)
    eventually(lambda: other.here(queue, 1) or None)
    with pytest.raises(Unavailable, match="SYS151"):
        books.broker.sort_out(Knowing())
    other.close()
    books.broker.sort_out(Knowing())
    books.broker.relay()
    assert bodies(books.take("in", 1)) == [0]
    books.broker.close()


def _pass_on_and_hold(books: Books, deliveries: list[Delivery]) -> None:
    """All but the last go to ``out``; the last is held, so that the settlement needs the ledger."""
    settlement = Settlement("in")
    settlement.puts.extend(("out", delivery.message) for delivery in deliveries[:-1])
    settlement.holds.append((Hold(deliveries[-1].message, "", "", until=1), "in#next", None))
    books.broker.settle(deliveries, settlement)
    books.broker.relay()


def test_two_processes_that_work_on_the_same_message_settle_it_once(books: Books) -> None:
    """A frozen process wakes after its connection was lost and somebody else did its work."""
    books.put("in", message(1))
    stale = books.take("in", 1)
    books.broker._consumer.link.abort("a test")
    again = eventually(lambda: books.broker.take("in", 1) or None)
    books.pass_on(again, "out")
    books.pass_on(stale, "out")
    assert bodies(books.take("out", 1)) == [1]
    books.broker.settle(books.take("out", 1), Settlement("out"))
    assert books.nothing("out")
    assert books.broker.sieve.copies >= 2


def test_one_that_was_settled_elsewhere_takes_nothing_of_its_batch_with_it(books: Books) -> None:
    books.put("in", message(1), message(2))
    taken = books.take("in", 2)
    books.store.commit("x", lambda tx: tx.execute("INSERT INTO inbox VALUES (?, 1)", (taken[0].message.headers.leg,)))
    with pytest.raises(Retryable, match="SYS121"):
        books.pass_on(taken, "out")
    for delivery in taken:
        books.pass_on([delivery], "out")
    assert sorted(bodies(books.take("out", 2))) == [1, 2]
    assert books.nothing("in")


def test_a_connection_that_is_lost_comes_back_and_nothing_is_lost(books: Books) -> None:
    books.put("in", *(message(n) for n in range(50)))
    books.take("in", 50)
    for link in (books.broker._consumer.link, books.broker._publisher.link):
        before = link.generation
        link.abort("a test")
        eventually(lambda link=link, before=before: link.generation > before or None)
    taken = eventually(lambda: found if len(found := books.broker.take("in", 1000)) == 50 else None)
    eventually(lambda: books.broker._publisher.link.wait_open(0.1) or None)
    books.pass_on(taken, "out")
    assert bodies(books.take("out", 50)) == list(range(50))
    assert books.nothing("in")


def test_a_message_that_no_queue_takes_is_a_failure_and_stays(books: Books) -> None:
    books.put("in", *(message(n) for n in range(300)))
    taken = books.take("in", 300)
    _delete(books, "out")
    with pytest.raises(Retryable, match="NET223"):
        books.pass_on(taken, "out")
    assert books.inbox() == 0
    books.pass_on(taken, "out")  # the queue is declared again meanwhile
    assert bodies(books.take("out", 300)) == list(range(300))


def _large(n: int, size: int = 70_000) -> Message:
    return Message(message(n).headers, {"n": n, "text": "x" * size})


@pytest.mark.parametrize("settle", ["publish", "outbox", "kept"])
def test_a_unit_that_sends_what_is_too_large_is_refused_before_its_commit(rabbit: str, settle: str) -> None:
    books = Books(rabbit, max_message_size=64_000)
    try:
        books.put("in", message(1), message(2))
        taken = books.take("in", 2)
        settlement = Settlement("in")
        settlement.puts += [("out", taken[0].message), ("out", _large(2))]
        if settle == "outbox":
            settlement.holds.append((Hold(message(3), "NET227", "kept"), "in", None))
        if settle == "kept":
            books.broker.keep_order(["out"])
            books.broker.settle(taken, settlement)
            assert bodies(books.broker.take("out", 2)) == [1, 2], "it never goes to the broker"
            return
        with pytest.raises(Rejected, match=r"NET227.*`out` has 70[0-9]{3} bytes, the broker takes 64000") as raised:
            books.broker.settle(taken, settlement)
        assert "claim_check" in raised.value.hint
        assert books.inbox() == 0
        assert books.broker.depth("out") == 0
        books.pass_on(books.take("in", 2), "out")
        assert bodies(books.take("out", 2)) == [1, 2]
    finally:
        books.broker.close()


def test_what_is_too_large_in_the_outbox_is_a_dead_letter_and_its_neighbours_go(rabbit: str) -> None:
    """Sent before the limit was lowered, or by what cannot be refused: a person, a time that has come."""
    books = Books(rabbit, max_message_size=64_000)
    try:
        puts = [message(0), _large(1), message(2), _large(3), message(4)]
        books.broker.transact("put", lambda _tx: [*(("in", m) for m in puts), ("out", message(5))])
        assert books.broker.relay() == 4
        assert bodies(books.take("in", 3)) == [0, 2, 4]
        assert bodies(books.take("out", 1)) == [5]
        assert _dead(books) == [("in", "NET227", 2), ("in", "NET227", 4)]
        assert books.store.read("SELECT count(*) FROM cases WHERE code = 'NET227'") == [(2,)]
    finally:
        books.broker.close()


def test_a_channel_that_costs_the_connection_keeps_no_other_waiting_for_ever(books: Books) -> None:
    names = {"in", "in#next", "out", "a", "b"}
    for bad in names:
        brought: set[str] = set()

        def bring(channel: str, bad: str = bad, brought: set[str] = brought) -> int:
            if channel == bad:
                raise Stalled("NET222", "the connection is lost", hint="")
            brought.add(channel)
            return 1

        for _turn in range(2):
            with pytest.raises(Stalled):
                books.broker._relay.turn(names, bring, lambda: "no connection")
        assert brought == names - {bad}


def test_a_queue_deleted_under_its_consumer_is_noticed_and_declared_again(books: Books) -> None:
    books.broker.take("in", 1)
    eventually(lambda: books.broker._consumer.counts([f"{books.spec.prefix}in"], 1))
    _delete(books, "in")
    eventually(lambda: books.broker._deleted._gone or None)
    books.broker.sweep()
    assert books.store.read("SELECT code, route FROM cases WHERE state = 'open'") == [("NET225", "in")]
    books.put("in", message(7))
    assert bodies(books.take("in", 1)) == [7]


def test_a_queue_with_other_properties_is_named_and_left_alone(books: Books, rabbit: str) -> None:
    queue = f"{books.spec.prefix}other"
    with _plain(rabbit) as connection:
        connection.channel().queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
    with pytest.raises(ConfigError, match=r"NET231.*other` is there, but its `x-") as raised:
        books.broker.declare(["other"])
    assert "deletes no queue" in raised.value.hint
    seen, last = topology.look(books.broker.address, ["other"])
    assert seen.state == "different"
    assert "x-" in seen.detail
    assert last.state == "present"


def test_what_waits_for_a_step_that_is_gone_has_a_queue_at_a_broker_that_is_new(rabbit: str) -> None:
    books = Books(rabbit)
    try:
        inside = StoreBroker(books.store, books.ledger)
        inside.declare(["old#step", "older#step"])
        inside.transact("put", lambda _tx: [("old#step", message(1))])
        with _plain(rabbit) as connection:  # of removed ones nothing is asked but that they are there
            older = f"{books.spec.prefix}older#step"
            connection.channel().queue_declare(older, durable=True, arguments={"x-queue-type": "classic"})
        books.reopened()
        assert books.broker.relay() == 1
        assert bodies(books.take("old#step", 1)) == [1]
        books.put("older#step", message(2))
        assert bodies(books.take("older#step", 1)) == [2]
        _delete(books, "old#step")
        books.broker.transact("put", lambda _tx: [("old#step", message(3))])
        with pytest.raises(Stalled, match="NET223"):
            books.broker.relay()
        assert books.broker.relay() == 1
    finally:
        books.broker.close()


def test_the_queue_of_undeliverable_ones_is_declared_again(books: Books, rabbit: str) -> None:
    books.broker.sweep()
    undeliverable = books.broker.address.undeliverable
    eventually(lambda: books.broker._consumer.counts([undeliverable], 1))
    _delete(books, "~undeliverable")
    eventually(lambda: books.broker._deleted._gone or None)
    books.broker.sweep()
    assert books.store.read("SELECT code, route FROM cases WHERE state = 'open'") == [("NET225", "")]
    _given_up(books, rabbit, message(5))
    assert _buried(books, 1) == [("in", "NET226", 6)]


def test_bytes_that_are_no_message_are_handed_out_to_be_buried(books: Books, rabbit: str) -> None:
    with _plain(rabbit) as connection:
        connection.channel().basic_publish("", f"{books.spec.prefix}in", b"{not ours")
    (delivery,) = books.take("in", 1)
    assert delivery.message.headers.name == "damaged"
    books.broker.settle([delivery], Settlement("in"))
    assert books.nothing("in")


def test_a_message_that_is_handed_out_too_often_becomes_a_dead_letter(rabbit: str) -> None:
    books = Books(rabbit, delivery_limit=2)
    try:
        books.put("in", message(9))
        for _ in range(4):
            books.broker.take("in", 1)
            sleep(0.3)
            books.broker._consumer.leave(f"{books.spec.prefix}in")
            sleep(0.2)
        eventually(lambda: (books.broker.sweep() and books.store.read("SELECT channel FROM dead")) or None)
        assert books.store.read("SELECT channel, code FROM dead") == [("in", "NET226")]
        assert books.store.read("SELECT code FROM cases WHERE state = 'open'") == [("NET226",)]
        assert books.inbox() == 1, "it is settled: what it refers to is the dead letter's now"
    finally:
        books.broker.close()


def _given_up(books: Books, rabbit: str, *messages: Message) -> None:
    """The broker has handed them out too often."""
    died = pika.BasicProperties(headers={"x-death": [{"queue": f"{books.spec.prefix}in"}]})
    with _plain(rabbit) as connection:
        for one in messages:
            connection.channel().basic_publish("", books.broker.address.undeliverable, encode(one), died)


def _buried(books: Books, least: int) -> list[tuple[Any, ...]]:
    """What is dead as soon as there is so much."""

    def look() -> bool | None:
        books.broker.sweep()
        return _dead(books)[least - 1 :] != [] or None

    eventually(look)
    return _dead(books)


def _dead(books: Books) -> list[tuple[Any, ...]]:
    return books.store.read("SELECT channel, code, number FROM dead ORDER BY number")


def test_what_the_broker_gave_up_twice_is_buried_once(books: Books, rabbit: str) -> None:
    """It is told at least once, and we may die before we acknowledge."""
    one, other = (message(n).with_headers(leg=f"{n:032x}") for n in (1, 2))
    _given_up(books, rabbit, one, one)
    books.broker._consumer.settle = lambda *_: (_ for _ in ()).throw(Crash())
    with pytest.raises(Crash):
        _buried(books, 2)
    books.reopened()
    _given_up(books, rabbit, other)
    assert _buried(books, 2) == [("in", "NET226", 2), ("in", "NET226", 3)]


def test_what_was_settled_before_the_broker_gave_it_up_is_done(books: Books, rabbit: str) -> None:
    """The acknowledgement of its last delivery was lost."""
    books.put("in", message(1))
    taken = books.take("in", 1)
    books.broker.settle(taken, Settlement("in"))
    _given_up(books, rabbit, taken[0].message, message(2).with_headers(leg="other"))
    assert _buried(books, 1) == [("in", "NET226", 3)]


def test_a_batch_that_waits_for_no_report_stops_no_housekeeping(books: Books, rabbit: str) -> None:
    strange, whole = (message(n).with_headers(leg=f"leg {n}") for n in (1, 2))
    _given_up(books, rabbit, strange.with_headers(sequence=Sequence(77, 0)), whole)
    assert _buried(books, 2) == [("in", "NET226", 2), ("in", "NET226", 3)]


DIGEST = "ab" * 32
TICKETS = (Blob(DIGEST, 5), {"file": [{"claim": {"sha256": DIGEST, "size": 5, "kind": "bytes"}}]})


@pytest.mark.parametrize("remember", [True, False])
@pytest.mark.parametrize("body", TICKETS)
def test_the_documents_of_what_stands_in_queues_are_known(books: Books, body: Any, *, remember: bool) -> None:
    if not remember:
        books.broker.forget(["in", "out"])
    books.put("in", message(1), Message(message(2).headers, body))
    assert all_blobs(books.store.read) == {DIGEST: 5}
    books.pass_on(books.take("in", 2), "out", remember=remember)
    assert all_blobs(books.store.read) == {DIGEST: 5}
    settlement = Settlement("out")
    settlement.remember = remember
    books.broker.settle(books.take("out", 2), settlement)
    assert all_blobs(books.store.read) == {}
    books.store.commit("test", lambda tx: tx.execute("UPDATE inbox SET at = 0"))
    assert retention.purge(books.store, dict.fromkeys(RetentionSpec().model_dump(), 1), ())["under_way"] == 2
    assert books.store.read("SELECT 1 FROM under_way") == []
    assert books.inbox() == 0


@pytest.mark.parametrize("label", ["amqp.publish:after", "amqp.acknowledge:before"])
def test_the_documents_of_what_is_published_twice_are_needed_as_long_as_one(books: Books, label: str) -> None:
    books.broker.forget(["in", "out"])
    books.put("in", Message(message(1).headers, TICKETS[0]))
    taken = books.take("in", 1)
    books.crash_at = label
    with pytest.raises(Crash):
        books.pass_on(taken, "out", remember=False)
    assert all_blobs(books.store.read) == {DIGEST: 5}
    books.reopened()
    books.broker.forget(["in", "out"])
    if label == "amqp.publish:after":
        books.pass_on(books.take("in", 1), "out", remember=False)
    assert books.nothing("in"), "a second copy is known by its leg"
    books.broker.settle(books.take("out", 1), Settlement("out"))
    assert books.nothing("out")
    assert all_blobs(books.store.read) == {}


def test_a_broker_that_is_away_is_said_so() -> None:
    with pytest.raises(Retryable, match=r"NET221.*amqp://127\.0\.0\.1:1/"):
        topology.look(address_of(BrokerSpec(url="amqp://127.0.0.1:1", deadline=1000), Path()), ["x"])


@pytest.mark.parametrize(
    ("url", "hosts", "vhost"),
    [
        ("amqp://h", (("h", 5672),), "/"),
        ("amqps://h:1,i/%2Fpay%2Ftest", (("h", 1), ("i", 5671)), "/pay/test"),
        ("amqp://[::1]:5673/x", (("::1", 5673),), "x"),
        ("amqp://[::1]/%2F", (("::1", 5672),), "/"),
    ],
)
def test_an_address_is_read_as_others_read_it(url: str, hosts: tuple[tuple[str, int], ...], vhost: str) -> None:
    address = address_of(BrokerSpec(url=url), Path())
    assert (address.hosts, address.vhost) == (hosts, vhost)
    other = AmqpConnection.model_validate({"url": url})
    assert [name for name, _ in other.hosts] == [name for name, _ in hosts]
    assert other.vhost == vhost


def test_a_wrong_password_is_no_reason_to_wait(rabbit: str) -> None:
    spec = BrokerSpec(url=rabbit, user="nobody", password="${env:HOME}")
    with pytest.raises(ConfigError, match="NET232"):
        topology.look(address_of(spec, Path()), ["x"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    """A node of its own, which is frozen, alarmed and killed."""
    needs(RabbitCluster.missing())
    with RabbitCluster(1) as one:
        yield one


@pytest.fixture
def alone(cluster: RabbitCluster) -> Iterator[Books]:
    made = Books(cluster.url, deadline=2000, heartbeat=2000)
    yield made
    made.broker.close()


def _drain(books: Books, channel: str, to: str, batch: int, count: int) -> None:
    """What a worker's thread does, until so many messages have arrived."""

    def pass_on(taken: list[Delivery]) -> None:
        try:
            books.pass_on(taken, to)
        except Stalled:
            sleep(0.05)
        except Retryable as error:
            if error.code in COMES_AGAIN:
                return
            if len(taken) == 1:
                raise
            for delivery in taken:
                pass_on([delivery])

    def once() -> bool | None:
        taken = books.broker.take(channel, batch)
        if taken:
            pass_on(taken)
        elif len(books.broker.take(to, 10_000)) >= count and books.broker._overlap.idle():
            return True
        return None

    eventually(once, 60)


def test_settlements_overlap_and_keep_their_order(books: Books) -> None:
    books.put("in", *(message(n) for n in range(200)))
    books.take("in", 200)
    books.broker.start()
    _drain(books, "in", "out", 10, 200)
    assert bodies(books.take("out", 200)) == list(range(200))
    assert books.inbox() == 200
    assert books.nothing("in")


class Hindered:
    """A publisher whose first job is confirmed late, or lost with its connection."""

    def __init__(self, publisher: Any, *, lost: bool) -> None:
        self.publisher, self.lost = publisher, lost
        self.first: Any = None
        self.confirmed = threading.Event()

    def begin(self, items: Any, before: Any = None) -> Any:
        if self.first is not None:
            return self.publisher.begin(items, before)
        self.first = Job(items) if self.lost else self.publisher.begin(items, before)
        return self.first

    def wait(self, job: Any) -> None:
        if job is self.first:
            assert self.confirmed.wait(20)
            if self.lost:
                job.fail(Stalled("NET222", "the connection was lost"))
        if job.error is not None:
            raise job.error
        if not (self.lost and job is self.first):
            self.publisher.wait(job)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.publisher, name)


def _hindered(books: Books, count: int, *, lost: bool, begin: int = 0) -> tuple[Hindered, list[Delivery]]:
    books.put("in", *(message(n) for n in range(begin, begin + count)))
    books.take("in", count)
    books.broker.start()
    hindered = books.broker._publisher = Hindered(books.broker._publisher, lost=lost)
    return hindered, books.broker.take("in", 1)


def test_nothing_overtakes_a_settlement_that_fails_not_even_by_the_outbox(books: Books) -> None:
    hindered, first = _hindered(books, 4, lost=True)
    books.pass_on(first, "out")
    behind = books.broker.take("in", 3)
    assert bodies(behind) == [1, 2, 3]
    threading.Timer(0.3, hindered.confirmed.set).start()
    with pytest.raises(Retryable, match="SYS126"):
        _pass_on_and_hold(books, behind)
    _pass_on_and_hold(books, books.take("in", 4))
    assert bodies(books.take("out", 3)) == [0, 1, 2]


def test_nothing_overtakes_a_settlement_that_fails_straight_to_the_broker(books: Books) -> None:
    hindered, first = _hindered(books, 6, lost=True)
    books.pass_on(first, "out")
    hindered.first.fail(Stalled("NET222", "the connection was lost"))  # and a new one is there already
    books.pass_on(books.broker.take("in", 2), "out")
    early = books.broker.take("in", 1)
    assert bodies(early) == [3]
    hindered.confirmed.set()
    eventually(lambda: books.broker._overlap.idle() or None)
    with pytest.raises(Retryable, match="SYS126"):
        books.pass_on(early, "out")
    _drain(books, "in", "out", 2, 6)
    assert bodies(books.take("out", 6)) == list(range(6))
    assert books.nothing("in")


def test_while_what_failed_comes_back_nothing_is_taken_from_the_middle(books: Books) -> None:
    hindered, first = _hindered(books, 4, lost=True)
    books.pass_on(first, "out")
    seen: list[list[int]] = []
    give_back = books.broker._consumer.give_back

    def looking(queue: str, received: Any) -> None:
        give_back(queue, received)
        seen.append(bodies(books.broker.take("in", 10)))

    books.broker._consumer.give_back = looking
    books.pass_on(books.broker.take("in", 1), "out")
    hindered.confirmed.set()
    eventually(lambda: books.broker._overlap.idle() or None)
    assert seen == [[], []], "first 0, then 1 came back, and 2 and 3 were there all the time"
    assert bodies(books.take("in", 4)) == [0, 1, 2, 3]


def test_a_copy_of_what_is_not_confirmed_yet_passes_nothing_on_twice(books: Books) -> None:
    """The copy is worked on with a neighbour that needs the ledger, while the first one waits for its confirm."""
    hindered, first = _hindered(books, 1, lost=False, begin=1)
    copy = books.broker._outgoing("in", first[0].message)
    books.pass_on(first, "out")
    books.broker._publisher.publisher.publish([copy])
    books.put("in", message(2))
    batch = books.take("in", 2)
    threading.Timer(0.3, hindered.confirmed.set).start()
    with pytest.raises(Retryable, match="SYS121"):
        _pass_on_and_hold(books, batch)
    for delivery in batch:
        _pass_on_and_hold(books, [delivery])
    assert bodies(books.take("out", 1)) == [1]
    books.broker.settle(books.take("out", 1), Settlement("out"))
    assert books.nothing("out")


def test_an_overlapped_settlement_that_fails_is_handed_out_again(books: Books) -> None:
    books.put("in", *(message(n) for n in range(40)))
    taken = books.take("in", 40)
    leg = taken[13].message.headers.leg
    books.broker.start()
    first = books.broker.take("in", 20)
    books.store.commit("x", lambda tx: tx.execute("INSERT INTO inbox VALUES (?, 1)", (leg,)))
    books.pass_on(first, "out")  # the commit behind it finds 13 settled by somebody else
    eventually(lambda: books.broker._overlap.idle() or None)
    assert books.inbox() == 1
    _drain(books, "in", "out", 20, 39)
    assert sorted(bodies(books.take("out", 39))) == list(range(40))
    assert books.inbox() == 40
    assert books.nothing("in")


def test_a_connection_lost_under_overlapping_settlements_costs_nothing(books: Books) -> None:
    books.put("in", *(message(n) for n in range(300)))
    books.take("in", 300)
    books.broker.start()
    for _ in range(5):
        books.pass_on(books.broker.take("in", 20), "out")
    books.broker._publisher.link.abort("a test")
    books.broker._consumer.link.abort("a test")
    _drain(books, "in", "out", 20, 300)
    assert bodies(books.take("out", 300)) == list(range(300))
    assert books.inbox() == 300
    assert books.nothing("in")


@pytest.mark.parametrize("overlapping", [False, True])
def test_of_what_passes_at_least_once_nothing_is_remembered_but_its_count(books: Books, *, overlapping: bool) -> None:
    books.broker.forget(["in"])
    books.put("in", *(message(n) for n in range(5)))
    taken = books.take("in", 5)
    if overlapping:
        books.broker.start()
    books.pass_on(taken, "out", remember=False)
    if overlapping:
        eventually(lambda: books.broker._overlap.idle() or None)
    assert bodies(books.take("out", 5)) == list(range(5))
    assert books.inbox() == 0
    rows = books.store.read("SELECT at, version, place, packed FROM history")
    assert [hop for row in rows for hop in history.expand(row) if hop["place"] == "in"] == []

    def refuse(label: str) -> None:
        raise Retryable("SYS111", label)

    books.store.effect = refuse
    with pytest.raises(Retryable):
        books.broker.sweep()
    books.store.effect = lambda _label: None
    books.broker.sweep()
    assert books.store.read("SELECT outcome, count FROM tally WHERE place = 'in'") == [("sent", 5)]
    assert books.nothing("in")


def test_what_passed_at_least_once_is_counted_when_the_process_stops(books: Books) -> None:
    books.broker.forget(["in"])
    books.put("in", *(message(n) for n in range(5)))
    books.broker.start()
    books.pass_on(books.take("in", 5), "out", remember=False)
    books.broker.close()
    assert books.store.read("SELECT outcome, count FROM tally WHERE place = 'in'") == [("sent", 5)]


def test_what_waits_is_known_of_every_queue_and_none_that_is_missing_hides_another(books: Books) -> None:
    books.put("in", *(message(n) for n in range(3)))
    books.put("out", message(3))
    expected = {"in": 3, "in#next": 0, "out": 1}
    eventually(lambda: books.broker.waiting(5) == expected or None)
    books.broker.take("in#next", 1)
    assert books.broker.waiting(5) == expected, "some are consumed, some are not"
    _delete(books, "in")
    assert books.broker.waiting(5) == {"in#next": 0, "out": 1}
    missing, there = map(books.broker.address.queue, ("in", "out"))
    assert books.broker._consumer.depths([missing, there], 5) == {there: 1}


class TestFaults:
    def test_a_frozen_broker_is_left_after_the_deadline(self, cluster: RabbitCluster, alone: Books) -> None:
        _put(alone, "in", message(1))
        taken = alone.take("in", 1)
        cluster.nodes[0].freeze()
        begin = monotonic()
        try:
            with pytest.raises(Retryable, match="NET22"):
                alone.pass_on(taken, "out")
        finally:
            cluster.nodes[0].thaw()
        assert monotonic() - begin < 15
        eventually(lambda: _passed(alone))
        assert bodies(alone.take("out", 1)) == [1]

    def test_a_memory_alarm_stops_publishing_and_nothing_else(self, cluster: RabbitCluster, alone: Books) -> None:
        _put(alone, "in", message(1))
        cluster.nodes[0].control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            taken = alone.take("in", 1)
            with pytest.raises(Retryable, match="NET22"):
                alone.pass_on(taken, "out")
        finally:
            cluster.nodes[0].control("set_vm_memory_high_watermark", "0.4")
        eventually(lambda: _passed(alone))
        assert bodies(alone.take("out", 1)) == [1]

    def test_a_broker_that_takes_less_than_we_were_told_is_believed(self, cluster: RabbitCluster, alone: Books) -> None:
        cluster.ask("eval", "application:set_env(rabbit, max_message_size, 100000).")
        try:
            alone.reopened()
            alone.broker.transact(
                "put", lambda _tx: [("in", message(0)), ("in", _large(1, 200_000)), ("out", message(2))]
            )
            eventually(lambda: _relayed(alone), 30)
            assert bodies(alone.take("in", 1)) == [0]
            assert bodies(alone.take("out", 1)) == [2]
            assert _dead(alone) == [("in", "NET227", 2)]
            settlement = Settlement("in")
            settlement.puts.append(("out", _large(0, 200_000)))
            with pytest.raises(Rejected, match="NET227"):
                alone.broker.settle(alone.take("in", 1), settlement)
        finally:
            cluster.ask("eval", "application:set_env(rabbit, max_message_size, 134217728).")
            alone.reopened()

    def test_a_killed_broker_keeps_what_it_confirmed(self, cluster: RabbitCluster, alone: Books) -> None:
        _put(alone, "in", *(message(n) for n in range(500)))
        cluster.nodes[0].kill()
        with pytest.raises(Retryable, match="NET22"):
            alone.put("in", message(500))
        cluster.nodes[0].start()
        eventually(lambda: alone.broker._publisher.link.wait_open(0.1) or None)
        eventually(lambda: _relayed(alone), 60)
        found = alone.take("in", 500)
        assert {0, 499} <= set(bodies(found))
        assert len(found) == len(set(bodies(found))), "a leg is handed out once, however many copies there are"

    def test_a_broker_killed_as_soon_as_it_made_the_queues_keeps_what_it_confirmed(
        self, cluster: RabbitCluster, alone: Books
    ) -> None:
        alone.broker.declare(["fresh"])
        _put(alone, "fresh", *(message(n) for n in range(20)))
        cluster.nodes[0].kill()
        cluster.nodes[0].start()
        eventually(lambda: alone.broker._publisher.link.wait_open(0.1) or None)
        _put(alone, "fresh", message(20))
        assert bodies(alone.take("fresh", 21)) == list(range(21))


def _passed(books: Books) -> bool | None:
    """Whether the one message could be passed on; None while the broker recovers."""
    taken = books.broker.take("in", 1)
    try:
        books.pass_on(taken, "out")
    except (IndexError, Retryable):
        return None
    return True


def _put(books: Books, channel: str, *messages: Message) -> None:
    """Sent once, however often the broker keeps a confirm back for longer than its deadline."""
    books.broker.transact("put", lambda _tx: [(channel, m) for m in messages])
    eventually(lambda: _relayed(books), 60)


def _relayed(books: Books) -> bool | None:
    """Whether all that waits is confirmed; None while the broker recovers, which takes a slow machine a while."""
    try:
        books.broker.relay()
    except Retryable:
        return None
    return True


def _delete(books: Books, channel: str) -> None:
    host, port = books.broker.address.hosts[0]
    with _plain(f"amqp://{host}:{port}") as connection:
        connection.channel().queue_delete(f"{books.spec.prefix}{channel}")


def _plain(url: str) -> pika.BlockingConnection:
    host, _, port = url.removeprefix("amqp://").partition(":")
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port)))


def test_the_stored_form_of_a_leg_is_part_of_the_message() -> None:
    assert decode(encode(message(1).with_headers(leg="ab"))).headers.leg == "ab"


def test_apply_declares_what_is_missing_and_names_what_differs(rabbit: str, tmp_path: Path) -> None:
    prefix = f"t{uuid4().hex[:8]}."
    (tmp_path / "bus.yaml").write_text(f'broker: {{url: "{rabbit}", prefix: {prefix}}}\n')
    (tmp_path / "a.route.yaml").write_text(
        "route: a\nfrom: {file: {path: in, match: '*'}}\nsteps:\n- parse: {json: {}}\n"
        "- hold: {name: later, until: release}\nto: none\n"
    )

    def apply(*options: str) -> tuple[int, dict[str, str]]:
        done = CliRunner().invoke(main, ["-C", str(tmp_path), "apply", "--json", *options])
        return done.exit_code, {row["channel"]: row["state"] for row in json.loads(done.stdout)}

    last = "~undeliverable"
    assert apply("--check") == (3, {"a": "missing", "a#later": "missing", last: "missing"})
    assert apply() == (0, {"a": "declared", "a#later": "declared", last: "declared"})
    assert apply("--check") == (0, {"a": "present", "a#later": "present", last: "present"})
    with _plain(rabbit) as connection:
        channel = connection.channel()
        channel.queue_delete(f"{prefix}a")
        channel.queue_declare(f"{prefix}a", durable=True)
        channel.queue_delete(f"{prefix}{last}")
    assert apply("--check") == (1, {"a": "different", "a#later": "present", last: "missing"})
    assert apply() == (1, {"a": "different", "a#later": "present", last: "declared"})
    with _plain(rabbit) as connection:
        channel = connection.channel()
        channel.queue_delete(f"{prefix}{last}")
        channel.queue_declare(f"{prefix}{last}", durable=True)
    assert apply() == (1, {"a": "different", "a#later": "present", last: "different"})


def test_what_waited_before_there_was_a_broker_comes_whole(rabbit: str) -> None:
    made = Books(rabbit)
    embedded = StoreBroker(made.store, made.ledger)
    embedded.transact("put", lambda _tx: [("in", message(n)) for n in range(5)])
    made.reopened()
    made.broker.relay()
    taken = made.take("in", 5)
    assert bodies(taken) == list(range(5))
    made.pass_on(taken, "out")
    assert bodies(made.take("out", 5)) == list(range(5))
    made.broker.close()
    made.store.close()


def test_a_channel_that_turns_into_one_in_order_brings_home_what_stands_in_its_queue(books: Books) -> None:
    books.put("in", *(message(n) for n in range(3)))
    first = books.take("in", 3)
    books.pass_on(first[:1], "out")
    books.broker.keep_order(["in"])
    books.broker.transact("put", lambda _tx: [("in", message(n)) for n in range(3, 6)])
    assert books.broker.relay() == 0
    found: list[int] = []

    def gather() -> bool | None:
        taken = books.broker.take("in", 2)
        if taken:
            found.extend(bodies(taken))
            books.pass_on(taken, "out")
        return len(found) == 5 or None

    eventually(gather)
    assert sorted(found) == [1, 2, 3, 4, 5]
    books.broker.relay()
    assert sorted(bodies(books.take("out", 6))) == list(range(6))
    assert books.broker.depth("in") == 0
