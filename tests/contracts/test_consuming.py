"""A consumer has every message of its queues, whatever gets lost on the way and whenever a queue is added or left."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest

from bus.channels.amqp import address_of
from bus.channels.amqp.address import Address
from bus.channels.amqp.consumer import Consumer
from bus.landscape import BrokerSpec
from bus.testing.rabbitmq import RabbitCluster
from tests.conftest import needs
from tests.contracts.lossy_broker import LossyBroker
from tests.contracts.test_amqp_contract import eventually
from tests.contracts.test_amqp_faults import channel, quorum

__all__ = ["channel"]
Channel = pika.adapters.blocking_connection.BlockingChannel


@pytest.fixture
def lossy(rabbit: str) -> Iterator[LossyBroker]:
    with LossyBroker(urlsplit(rabbit).port or 5672) as broker:
        yield broker


@pytest.fixture
def few_channels() -> Iterator[str]:
    """A node that allows three channels a connection."""
    needs(RabbitCluster.missing())
    with RabbitCluster(1) as cluster:
        cluster.nodes[0].control("eval", "application:set_env(rabbit, channel_max, 3).")
        yield cluster.url


def consumer_at(address: Address, arrived: Any = lambda _queue: None) -> Consumer:
    return Consumer(address, arrived, lambda _queue: None, random.Random(1))  # noqa: S311 - spreads waits


@pytest.fixture
def consumer(rabbit: str) -> Iterator[Consumer]:
    made = consumer_at(address_of(BrokerSpec(url=rabbit), Path()))
    yield made
    made.close()


def start_and_meanwhile(consumer: Consumer, act: Callable[[], None]) -> None:
    """Connect, and do something when the connection is open and nobody may be asked yet to use it."""
    opened = consumer.link._opened

    def opened_and_done(connection: Any) -> None:
        opened(connection)
        act()

    consumer.link._opened = opened_and_done
    consumer.start()


def test_what_the_broker_handed_out_and_lost_comes_within_the_quiet_time(lossy: LossyBroker, channel: Channel) -> None:
    address = address_of(BrokerSpec(url=f"amqp://127.0.0.1:{lossy.port}"), Path())
    name = quorum(channel)
    consumer = consumer_at(replace(address, quiet=0.5))
    consumer.start()
    consumer.consume(name)
    lossy.losing = True
    for n in range(3):
        channel.basic_publish("", name, b"%d" % n)
    assert eventually(lambda: lossy.lost >= 3 or None)
    assert consumer.here(name, 10) == []  # and for the broker they are here
    lossy.losing = False
    assert eventually(lambda: len(consumer.here(name, 10)) == 3 or None)
    here = consumer.here(name, 10)
    assert sorted(one.body for one in here) == [b"0", b"1", b"2"]
    consumer.settle(name, here)
    consumer.close()
    assert eventually(lambda: channel.queue_declare(name, passive=True).method.consumer_count == 0 or None)
    assert channel.queue_declare(name, passive=True).method.message_count == 0  # what came again was acknowledged


def test_what_is_here_and_not_settled_keeps_its_channel(rabbit: str, channel: Channel) -> None:
    """A paused route's messages do not go to and fro between broker and bus, which would use up their attempts."""
    name = quorum(channel)
    consumer = consumer_at(replace(address_of(BrokerSpec(url=rabbit), Path()), quiet=0.1))
    consumer.start()
    consumer.consume(name)
    channel.basic_publish("", name, b"x")
    (first,) = eventually(lambda: consumer.here(name, 10) or None)
    assert all(consumer.counts([name], 10) is not None for _ in range(1_000))  # that long: several looks
    assert consumer.here(name, 10) == [first]
    consumer.close()


def test_a_question_waits_for_channels_that_are_being_opened(consumer: Consumer, channel: Channel) -> None:
    """Else the depth of all queues would be unknown whenever one of them is subscribed to anew."""
    one, other = quorum(channel), quorum(channel)
    consumer.start()
    consumer.consume(one)
    assert eventually(lambda: consumer.counts([one], 10)) == {one: 0}
    consumer.consume(other)
    assert consumer.counts([one, other], 10) == {one: 0, other: 0}


def test_a_queue_added_while_the_connection_opens_is_consumed(consumer: Consumer, channel: Channel) -> None:
    """Between the moment when all queues are subscribed to and the one from which each is for itself."""
    early, late = quorum(channel), quorum(channel)
    consumer.consume(early)
    start_and_meanwhile(consumer, lambda: consumer.consume(late))
    for name in (early, late):
        channel.basic_publish("", name, b"x")
        assert eventually(lambda: consumer.here(name, 10) or None)  # noqa: B023 - called at once


def test_more_queues_than_a_connection_has_channels(few_channels: str) -> None:
    """RabbitMQ allows 2,047, its operators often less; a landscape of some hundred routes has as many queues."""
    connection = pika.BlockingConnection(pika.URLParameters(few_channels))
    channel = connection.channel()
    consumer = consumer_at(replace(address_of(BrokerSpec(url=few_channels), Path()), quiet=0.5))
    names = [quorum(channel) for _ in range(8)]
    for name in names[:4]:
        consumer.consume(name)
    consumer.start()
    for name in names[4:]:
        consumer.consume(name)
    for number in range(2):  # the second time some were subscribed to anew
        for name in names:
            channel.basic_publish("", name, b"%d" % number)
        for name in names:
            eventually(lambda: len(consumer.here(name, 10)) == 1 or None)  # noqa: B023 - called at once
            consumer.settle(name, consumer.here(name, 10))
        assert eventually(lambda: consumer.counts(names, 10)) == dict.fromkeys(names, 0)
        begin = time.monotonic()
        eventually(lambda: time.monotonic() > begin + 1 or None)  # noqa: B023 - called at once
    consumer.leave(names[-1])
    for name in names[:-1]:
        channel.basic_publish("", name, b"x")
        eventually(lambda: consumer.here(name, 10) or None)  # noqa: B023 - called at once
    assert channel.queue_declare(names[-1], passive=True).method.consumer_count == 0
    assert consumer.trouble() == ""
    consumer.close()
    for name in names:
        eventually(lambda: channel.queue_declare(name, passive=True).method.consumer_count == 0 or None)  # noqa: B023 - called at once
    connection.close()


def test_a_queue_left_before_its_channel_is_open_is_not_consumed(consumer: Consumer, channel: Channel) -> None:
    """Its messages would come to nobody, and go to nobody else."""
    other, left = quorum(channel), quorum(channel)
    consumer.start()
    consumer.consume(other)
    channel.basic_publish("", other, b"x")
    assert eventually(lambda: consumer.here(other, 10) or None)
    consumer.consume(left)
    consumer.leave(left)
    for _ in range(20):  # each answer comes behind those to what was asked before
        assert consumer.counts([other], 10) is not None
    assert channel.queue_declare(left, passive=True).method.consumer_count == 0


def test_a_queue_left_while_the_connection_opens_is_not_consumed(consumer: Consumer, channel: Channel) -> None:
    other, left = quorum(channel), quorum(channel)
    consumer.consume(other)
    consumer.consume(left)
    start_and_meanwhile(consumer, lambda: consumer.leave(left))
    channel.basic_publish("", other, b"x")
    assert eventually(lambda: consumer.here(other, 10) or None)
    for _ in range(20):
        assert consumer.counts([other], 10) is not None
    assert channel.queue_declare(left, passive=True).method.consumer_count == 0
