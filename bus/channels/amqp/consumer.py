"""Brings messages from queues into memory, a bounded number each, and acknowledges them in the order they came."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from pika.exceptions import NoFreeChannels

from bus.channels.amqp.address import Address
from bus.channels.amqp.counting import Counting
from bus.channels.amqp.frames import Received, Subscriber
from bus.channels.amqp.link import Link

log = logging.getLogger("girobus")
_OPENING = 0.02
"""Seconds after which it is looked again whether channels are open."""


class _Queue:
    """What is here of one queue: filled at its end by the I/O thread, emptied at its head by what is settled."""

    __slots__ = ("buffer", "channel", "flying", "heard", "link", "lock", "name", "settled", "subscription")

    def __init__(self, name: str, link: Link) -> None:
        self.name = name
        self.link = link
        """The connection whose thread has to do with it; another one only while there is no channel."""
        self.buffer: deque[Received] = deque()
        self.settled: set[int] = set()
        """Tags that were settled out of order and wait for those before them."""
        self.flying: set[int] = set()
        """Tags whose settlement was begun and is not finished."""
        self.subscription = 0
        """Counts channels; what came over an earlier one has been taken back by the broker."""
        self.channel: Any = None
        self.heard = 0.0
        """When the channel was opened, or something last came over it."""
        self.lock = threading.Lock()

    def clear(self) -> None:
        with self.lock:
            self.buffer.clear()
            self.settled.clear()
            self.flying.clear()
            self.subscription += 1  # at once: a tag of the old channel that is settled late means another message soon


class Consumer:
    """Connections that only consume; one AMQP channel a queue, so that one acknowledgement settles a whole batch.

    One connection as long as it has channels enough: RabbitMQ allows 2,047, its operators often less.

    Thread-safe; one taker at a time for each queue is the caller's duty.

    What a quorum queue has handed out can be lost inside of the cluster when a leader dies or is cut off. It is with us
    for the broker, for ever; no time-out ends that, because the node that we are connected to does not know of it
    (rabbitmq-server issue 15473). Closing the channel does. So a channel over which nothing came for a while is closed
    and another one opened.

    Args:
        address: the broker.
        arrived: called in the I/O thread with the name of a queue of which something came.
        cancelled: called in the I/O thread when the broker ended the consuming of a queue (it was deleted).
        chance: spreads the waits between attempts, and the looks after what is quiet.
    """

    def __init__(
        self,
        address: Address,
        arrived: Callable[[str], None],
        cancelled: Callable[[str], None],
        chance: random.Random,
    ) -> None:
        self._address = address
        self._arrived, self._cancelled = arrived, cancelled
        self._chance = chance
        self._queues: dict[str, _Queue] = {}
        self._lock = threading.Lock()
        self.link = self._new_link()
        """The first connection."""
        self._links = [self.link]

    def _new_link(self) -> Link:
        link: Link = Link(
            self._address,
            "consuming",
            lambda connection: self._opened(link, connection),
            lambda _why: self._lost(link),
            self._chance,
        )
        return link

    def start(self) -> None:
        """Begin to connect."""
        self.link.start()

    def trouble(self) -> str:
        """Why a connection is missing; empty while none is."""
        return next((link.trouble for link in self._links if link.trouble), "")

    def close(self) -> None:
        """Disconnect; what is here and not settled goes back to the broker."""
        for link in self._links:
            link.close()

    def consume(self, queue: str) -> None:
        """Have the messages of a queue come here; idempotent."""
        with self._lock:
            if queue in self._queues:
                return
            state = self._queues[queue] = _Queue(queue, self._links[-1])
        state.link.call(lambda: self._subscribe(state))

    def leave(self, queue: str) -> None:
        """Stop consuming a queue; what is here and not settled goes back to the broker."""
        with self._lock:
            state = self._queues.pop(queue, None)
        if state is not None:
            state.link.call(lambda: self._unsubscribe(state))

    def consuming(self) -> list[str]:
        """Names of the queues that are consumed."""
        with self._lock:
            return list(self._queues)

    def here(self, queue: str, most: int) -> list[Received]:
        """The oldest messages that are here and neither settled nor about to be; they stay."""
        state = self._queues.get(queue)
        if state is None:
            return []
        with state.lock:
            settled, flying, buffer = state.settled, state.flying, state.buffer
            count = len(flying)
            if not settled and (not count or (count <= len(buffer) and max(flying) == buffer[count - 1].tag)):
                return list(islice(buffer, count, count + most))  # nearly always: those that fly are the oldest ones
            return list(islice((r for r in buffer if r.tag not in settled and r.tag not in flying), most))

    def begin(self, queue: str, received: Iterable[Received]) -> None:
        """Hand these out no more until they are settled or given back."""
        state = self._queues.get(queue)
        if state is not None:
            with state.lock:
                state.flying.update(r.tag for r in received if r.subscription == state.subscription)

    def give_back(self, queue: str, received: Iterable[Received]) -> None:
        """Hand these out again."""
        state = self._queues.get(queue)
        if state is not None:
            with state.lock:
                state.flying.difference_update(r.tag for r in received if r.subscription == state.subscription)

    def holding(self) -> list[str]:
        """Queues of which something is here."""
        with self._lock:
            return [name for name, state in self._queues.items() if state.buffer]

    def settle(self, queue: str, received: Iterable[Received]) -> None:
        """Forget messages; the broker may do so too, as soon as all before them are settled.

        What came over a connection that is lost has been taken back by the broker and comes again.
        """
        state = self._queues.get(queue)
        if state is None:
            return
        with state.lock:
            settled, buffer, subscription = state.settled, state.buffer, state.subscription
            tags = [r.tag for r in received if r.subscription == subscription]
            state.flying.difference_update(tags)
            last = 0
            if not settled and [r.tag for r in islice(buffer, len(tags))] == tags:  # nearly always: the oldest ones
                for _ in tags:
                    last = buffer.popleft().tag
            else:
                settled.update(tags)
            while buffer and buffer[0].tag in settled:
                last = buffer.popleft().tag
                settled.discard(last)
            channel = state.channel  # none or that of this subscription, as long as we hold the lock
            if last and channel is not None:
                channel.connection.acknowledge(channel.channel_number, last)

    def counts(self, queues: list[str], seconds: float) -> dict[str, int] | None:
        """How many messages wait at the broker for each queue that is consumed here; None without an answer in time."""
        return self._asked(queues, seconds, "message_count")

    def consumers(self, queues: list[str], seconds: float) -> dict[str, int] | None:
        """How many consume each queue that is consumed here, with ourselves; None without an answer in time."""
        return self._asked(queues, seconds, "consumer_count")

    def depths(self, queues: Iterable[str], seconds: float) -> dict[str, int]:
        """How many messages wait at the broker for each of any queues, as far as it answers in time."""
        done = threading.Event()
        asked: list[Counting] = []
        link, end = self._links[-1], time.monotonic() + seconds

        def ask() -> None:
            connection = link.connection
            if connection is not None and connection.is_open:
                asked.append(Counting(connection, queues, end, done.set))

        if link.call(ask):
            done.wait(seconds)
        return dict(asked[0].found) if asked else {}

    def _asked(self, queues: list[str], seconds: float, what: str) -> dict[str, int] | None:
        """Asked on the consuming channels themselves: what was handed out before the answer is here by then."""
        found: dict[str, int] = {}
        states = [self._queues[q] for q in queues if q in self._queues]
        done = threading.Event()
        end = time.monotonic() + seconds

        def ask(link: Link, some: list[_Queue]) -> None:
            connection = link.connection
            if any(state.link is not link or state.channel is None or not state.channel.is_open for state in some):
                if connection is not None and time.monotonic() < end:  # a channel is being opened
                    connection.ioloop.call_later(_OPENING, partial(ask, link, some))
                return
            for state in some:
                state.channel.queue_declare(state.name, passive=True, callback=partial(answer, state.name))

        def answer(name: str, frame: Any) -> None:
            found[name] = getattr(frame.method, what)
            if len(found) == len(states):
                done.set()

        if not states:
            return {}
        by_link: dict[Link, list[_Queue]] = {}
        for state in states:
            by_link.setdefault(state.link, []).append(state)
        if not all(link.call(partial(ask, link, some)) for link, some in by_link.items()) or not done.wait(seconds):
            return None
        return found if len(found) == len(states) else None

    # ------------------------------------------------------------ the I/O threads

    def _opened(self, link: Link, connection: Any) -> None:
        """The queues come next, when :meth:`Link.call` works: none is forgotten that somebody adds or leaves now."""
        connection.ioloop.add_callback_threadsafe(lambda: self._subscribe_all(link))

    def _subscribe_all(self, link: Link) -> None:
        for state in self._of(link):
            self._subscribe(state)

    def _of(self, link: Link) -> list[_Queue]:
        with self._lock:
            return [state for state in self._queues.values() if state.link is link]

    def _subscribe(self, state: _Queue) -> None:
        connection = state.link.connection
        if connection is None or state.channel is not None or not connection.is_open:
            return
        if self._queues.get(state.name) is not state:
            return  # left meanwhile
        try:
            state.channel = connection.channel(on_open_callback=lambda channel: self._begin(state, channel))
        except NoFreeChannels:
            self._move(state)

    def _move(self, state: _Queue) -> None:
        """To the newest connection; to another one when that is the one that has no channel left."""
        with self._lock:
            full = state.link is self._links[-1]
            if full:
                self._links.append(self._new_link())
            state.link = newest = self._links[-1]
        if full:
            newest.start()
        newest.call(lambda: self._subscribe(state))

    def _begin(self, state: _Queue, channel: Any) -> None:
        if state.channel is not channel:  # left, before it was open
            channel.close()
            return
        subscription, buffer, lock = state.subscription, state.buffer, state.lock
        name, arrived = state.name, self._arrived

        def came(received: list[Received]) -> None:
            with lock:
                buffer.extend(received)
            state.heard = time.monotonic()
            arrived(name)  # whatever is here already may be on its way out, and nobody come back for more

        channel.add_on_close_callback(lambda _channel, why: self._channel_closed(state, channel, why))
        channel.add_on_cancel_callback(lambda _frame: self._was_cancelled(state, channel))
        channel.basic_qos(prefetch_count=self._address.prefetch)
        connection = channel.connection
        connection.deliveries[channel.channel_number] = Subscriber(subscription, came)
        channel.basic_consume(name, _never)
        state.heard = time.monotonic()
        self._listen(state, channel)

    def _listen(self, state: _Queue, channel: Any) -> None:
        """Look after the channel when it may have been quiet for too long; not all at the same time."""
        wait = max(0.0, state.heard + self._address.quiet - time.monotonic())
        wait += self._address.quiet * self._chance.random() / 2
        channel.connection.ioloop.call_later(wait, lambda: self._look_after(state, channel))

    def _look_after(self, state: _Queue, channel: Any) -> None:
        """See the top of this class."""
        if state.channel is not channel:
            return
        if not state.buffer and time.monotonic() - state.heard >= self._address.quiet:
            self._unsubscribe(state)
            self._subscribe(state)
        else:
            self._listen(state, channel)

    def _unsubscribe(self, state: _Queue) -> None:
        channel, state.channel = state.channel, None
        state.clear()
        if channel is not None:
            channel.connection.leave(channel.channel_number)
        if channel is not None and channel.is_open:
            channel.close()

    def _was_cancelled(self, state: _Queue, channel: Any) -> None:
        """``basic.cancel`` from the broker: the queue was deleted, or its leader is gone."""
        log.error("the broker ended the consuming of a queue", extra={"code": "NET225", "queue": state.name})
        channel.connection.leave(channel.channel_number)
        if channel.is_open:
            channel.close()  # _channel_closed goes on

    def _channel_closed(self, state: _Queue, channel: Any, why: Any) -> None:
        """The queue is gone, or a batch took longer than the broker's consumer time-out: its messages come again."""
        if state.channel is not channel:
            return
        channel.connection.leave(channel.channel_number)
        state.channel = None
        state.clear()
        connection = state.link.connection
        if connection is None or not connection.is_open:
            return
        fields = {"code": "NET225", "broker": self._address.shown, "queue": state.name, "why": str(why)}
        log.warning("the broker closed the channel of a queue", extra=fields)
        self._cancelled(state.name)
        connection.ioloop.call_later(1.0, lambda: self._again(state))

    def _again(self, state: _Queue) -> None:
        if self._queues.get(state.name) is state:
            self._subscribe(state)

    def _lost(self, link: Link) -> None:
        for state in self._of(link):
            state.channel = None
            state.clear()


def _never(*_: Any) -> None:
    """For the library: deliveries of these channels are read in blocks."""
