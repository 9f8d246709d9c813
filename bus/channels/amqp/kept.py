"""Channels in order, kept in the ledger's database although the others are queues.

A queue cannot keep the order of a key. What a frozen consumer holds unacknowledged stands behind what others took
meanwhile; a publisher that tries again after a refusal is overtaken by what it published next; and which of two
processes published first, no commit decides. So what must keep its order never goes to the broker: it stays in the
outbox (:mod:`bus.channels.store`) and is taken from there under a lease, whose token is compared in every commit.

The entrance of a route and an outlet have a queue as well. Processes that do not know yet that the channel is in order
(or do not any more) publish to it and take from it. Whatever is found there is brought home as it is, leg and all; the
inbox tells copies from originals, whichever way they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bus.channels.amqp.address import Address
from bus.channels.amqp.sieve import Sieve
from bus.channels.amqp.wire import Consuming
from bus.channels.store import SHIFT, StoreBroker
from bus.errors import Retryable
from bus.message import blobs_of
from bus.ports import Clock, Delivery, Settlement, Store

_AT_ONCE = 500


def has_queue(channel: str) -> bool:
    """Whether the channel is, or was, a queue: all but those behind a partition."""
    return "~" not in channel


def is_kept(delivery: Delivery) -> bool:
    """Whether it was taken from the ledger's database: positions there are higher than any prefetch."""
    return delivery.position >> SHIFT > 0


class Kept:
    """The channels of an :class:`bus.channels.amqp.broker.AmqpBroker` that are in order.

    Args:
        address: names of the queues.
        store: transactions of the ledger's database.
        outbox: where these channels are.
        consumer: brings what stands in their queues.
        clock: when a leg was entered into the inbox.
        sieve: tells what of a queue is to be worked on.
    """

    def __init__(
        self,
        address: Address,
        store: Store,
        outbox: StoreBroker,
        consumer: Callable[[], Consuming],
        clock: Clock,
        sieve: Sieve,
    ) -> None:
        self.names: frozenset[str] = frozenset()
        self._address = address
        self._store = store
        self._outbox = outbox
        self._consumer = consumer
        self._sieve = sieve
        self._clock = clock

    def add(self, channels: Iterable[str]) -> None:
        """From now on these are kept."""
        self.names = self.names.union(channels)

    def holding(self) -> list[str]:
        """Those that hold messages here, in the ledger's database."""
        return [name for name in self._outbox.channels() if name in self.names] if self.names else []

    def take(self, channel: str, most: int) -> list[Delivery]:
        """The oldest messages, for the process that is the one to take from the channel."""
        if not self._outbox.may_take(channel):
            if has_queue(channel):
                self._consumer().leave(self._address.queue(channel))
            return []
        if has_queue(channel):
            self._bring_home(channel)
        deliveries = self._outbox.take(channel, most)
        copies = self._copies(deliveries)
        for copy in copies:  # one by one: what stands between two of them stays
            self._outbox.settle_with(Settlement(channel), "copy", self._outbox.taking([copy]))
        if not copies:
            return deliveries
        return [delivery for delivery in deliveries if delivery not in copies] or self.take(channel, most)

    def settle(self, deliveries: list[Delivery], settlement: Settlement, label: str) -> None:
        """One commit: take the input away, write the ledger's rows, send the output, remember the legs.

        Raises:
            Retryable: ``SYS122`` another process settled it, here or from the queue; nothing was committed.
        """
        take = self._outbox.taking(deliveries)
        came = [d.message.headers.leg for d in deliveries if self._remembered(d)]

        def work(tx: Any) -> None:
            take(tx)
            if came and self._store.enter(tx, came, self._clock.now()) < len(came):
                raise Retryable("SYS122", "another process has settled this already", hint="nothing: it is done")

        self._outbox.settle_with(settlement, label, work, len(settlement.puts))

    def _remembered(self, delivery: Delivery) -> bool:
        """Whether another copy may come by the queue, and whether it is told from the first."""
        channel, message = delivery.channel, delivery.message
        if not message.headers.leg or not has_queue(channel):
            return False
        return channel not in self._sieve.forgetful or any(True for _ in blobs_of(message))

    def _copies(self, deliveries: list[Delivery]) -> list[Delivery]:
        first = {d.message.headers.leg: d for d in reversed(deliveries) if self._remembered(d)}
        known = self._store.known(list(first)) if first else ()
        return [
            delivery
            for delivery in deliveries
            if (leg := delivery.message.headers.leg) in first and (leg in known or first[leg] is not delivery)
        ]

    def _bring_home(self, channel: str) -> None:
        """What stands in the queue goes to the end of the channel here; then it is acknowledged."""
        queue, consumer = self._address.queue(channel), self._consumer()
        received = consumer.here(queue, _AT_ONCE)
        if not received:
            consumer.consume(queue)
        if found := [one for one, _ in self._sieve.sift(channel, received)]:
            self._outbox.bring(channel, [one.body for one in found])
            consumer.settle(queue, found)
