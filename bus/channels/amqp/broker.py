"""Durable channels on RabbitMQ, with the ledger's database as inbox and outbox.

What a unit does is committed before the broker hears of its input again:

* A unit that only passes messages on publishes them, waits for all confirms, commits inbox and history, acknowledges.
* What must keep its order never goes to the broker: see :mod:`bus.channels.amqp.kept`.
* Every other unit commits inbox, state and outbox, acknowledges; the relay publishes from the outbox, waits for the
  confirms and forgets the rows. The outbox is the embedded channel of the same name (:mod:`bus.channels.store`), so a
  batch of a hundred thousand lines is hidden in it until it opens, as it is without a broker.

Whatever dies between two of these leads to a second copy with the same *leg* (:class:`bus.message.Headers`), which the
inbox knows: it is acknowledged and counted.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import Any

from bus.channels.amqp import documents, legs
from bus.channels.amqp.burial import must_fit, too_large
from bus.channels.amqp.deleted import Deleted
from bus.channels.amqp.documents import Named
from bus.channels.amqp.frames import Outgoing, Received, properties
from bus.channels.amqp.kept import Kept, has_queue, is_kept
from bus.channels.amqp.overlap import Begun, Overlap
from bus.channels.amqp.publisher import Job
from bus.channels.amqp.relay import Relay
from bus.channels.amqp.sieve import Sieve
from bus.channels.amqp.sorting import Judge, Sorting
from bus.channels.amqp.tallies import Tallies
from bus.channels.amqp.undeliverable import Undeliverable
from bus.channels.amqp.wire import Wire
from bus.channels.store import StoreBroker
from bus.errors import BusError, Retryable, Stalled
from bus.message import Message, encode, sealed
from bus.ports import (
    RELAY,
    Chunk,
    Clock,
    Cursor,
    Delivery,
    EffectHook,
    Settlement,
    Store,
)

log = logging.getLogger("girobus")
_OVERLAPPING = 3
"""Settlements that may be unfinished: one waits for the disk, one for confirms, one is about to."""
_STATELESS = ("apart", "events", "place", "puts", "remember", "tally", "version")
_Unit = tuple[list[Delivery], list[Received], list[Outgoing]]
"""What was taken, as it came from the broker, and what is to be published."""
_queue = attrgetter("queue")
_state = attrgetter(*(name for name in Settlement.__slots__ if name not in _STATELESS))


class _Seen(Exception):  # noqa: N818 - no error: somebody else was first
    """A leg stands in the inbox already."""


class AmqpBroker:
    """Channels that are quorum queues. Thread-safe; one taker at a time per channel in this process.

    Args:
        wire: leads to RabbitMQ.
        store: transactions of the ledger's database.
        outbox: channels of the same names in that database.
        clock: when a leg was entered into the inbox.
        owner: 16 hex characters that no other process on this ledger ever had; legs begin with it.
        effect: called around every publication and acknowledgement.
    """

    def __init__(
        self,
        wire: Wire,
        store: Store,
        outbox: StoreBroker,
        clock: Clock,
        owner: str,
        effect: EffectHook,
    ) -> None:
        self.address = wire.address
        self.ready: Callable[[set[str]], None] = lambda _names: None
        self.confirmed: Callable[[str, float], None] = lambda _channel, _seconds: None
        """Told of the channel that messages came from, or were relayed to, and how long their confirms took."""
        self._wire = wire
        self._store = store
        self._clock = clock
        self._effect = effect
        self._outbox = outbox
        outbox.encode, outbox.ready, outbox.fits = self._stamped, self._in_outbox, self._fits
        self._owner = owner
        self._counter = itertools.count()
        self._declared: set[str] = set()
        self._overlap: Overlap | None = None
        self._taken_at: dict[str, int] = {}
        """How many settlements of a channel had failed when something was last taken from it."""
        self._last: dict[str, Job] = {}
        """What was last published behind a worker's back, by the channel that it came from."""
        self._careful: dict[str, int] = {}
        """How many messages of a channel are settled one batch after the other, because settling one failed."""
        self._tallies = Tallies()
        self._deleted = Deleted(wire, outbox)
        self._pending = set(outbox.channels())
        """Channels for which something may wait in the outbox; the relay also looks for what others left."""
        self._given: set[str] = set()
        """Legs that are not to be replaced by new ones while what has them is put into the outbox."""
        self._lock = threading.Lock()
        self._relaying = threading.Lock()
        self._taken: dict[str, list[Received]] = {}
        self.sieve = Sieve(self.address, store, lambda: self._consumer)
        self._kept = Kept(self.address, store, outbox, lambda: self._consumer, clock, self.sieve)
        self._undeliverable = Undeliverable(self.address, store, outbox, clock)
        self._publisher = wire.publishing()
        most, ready = lambda: self._publisher.most, lambda: self.ready({RELAY})
        self._relay = Relay(outbox, self._outgoing, self._publish, self._published, most, ready)
        self._consumer = wire.consuming(self._arrived, self._cancelled)

    def start(self) -> None:
        """From now on settlements overlap: while one waits for confirms and disk, the next batch is worked on."""
        self._overlap = Overlap(_OVERLAPPING, lambda channel: self.ready({channel}))

    def sort_out(self, judge: Judge) -> bool:
        """Empty all queues before anything else happens; see :class:`bus.channels.amqp.sorting.Sorting`.

        Raises:
            Unavailable: ``SYS151`` another process still consumes them, or the broker does not answer.
        """
        names = self._with_queues()
        self._wire.declare((), names)
        judge.begin(self._owner)
        return Sorting(self.address, self._store, self._outbox, self._consumer, self._clock, judge).run(names)

    def trouble(self) -> str:
        """Why the broker cannot be used now; empty when it can."""
        return self._publisher.trouble() or self._consumer.trouble()

    def waiting(self, seconds: float) -> dict[str, int]:
        """How many messages of each channel are at the broker, handed to nobody, as far as it answers in time."""
        names = {self.address.queue(name): name for name in self._with_queues()}
        return {names[queue]: count for queue, count in self._consumer.depths(names, seconds).items()}

    def oldest(self) -> dict[str, int]:
        """When the message that comes next was made, by channel of which one is here; milliseconds since 1970 UTC."""
        here = {name: self._consumer.here(self.address.queue(name), 1) for name in self.declared()}
        made = {name: legs.read(found[0]).headers.created_at for name, found in here.items() if found}
        return {name: at for name, at in made.items() if at}

    def confirms(self) -> int:
        """How many messages were confirmed since the start."""
        return self._publisher.confirmed

    def close(self) -> None:
        """Finish what was begun and disconnect; what is here and not settled goes back to the broker."""
        if self._overlap is not None:
            self._overlap.close(self.address.deadline)
            self._overlap = None
        self._consumer.close()
        self._publisher.close()
        self._tallies.close(self._count)

    # ------------------------------------------------------------ channels

    def declare(self, channels: Iterable[str]) -> None:
        """Make queues and outbox exist. Idempotent; blocks.

        So do those of all that was ever declared in this store: something may go on there that waits in the ledger, and
        the broker, or the vhost, may be another one since. What is there of those is taken as it is.

        Raises:
            ConfigError: ``NET231`` a queue of that name has other properties.
            Stalled: ``NET221`` the broker is away.
        """
        names = list(channels)
        self._outbox.declare(names)
        known = self._with_queues() - self._declared
        if known:
            self._wire.declare(known.intersection(names), known.difference(names))
            self._declared |= known

    def _with_queues(self) -> set[str]:
        return set(filter(has_queue, self.declared()))

    def declared(self) -> Iterator[str]:
        """All names that were ever declared in this store."""
        return self._outbox.declared()

    def forget(self, channels: Iterable[str]) -> None:
        """Name the channels of which nothing is remembered that only passes through (``guarantee: at-least-once``)."""
        self.sieve.forgetful = frozenset(channels)

    def reserve(self, channels: Iterable[str]) -> None:
        """Name the channels that one process at a time may take from: the outlets."""
        self._outbox.reserve(channels)

    def keep_order(self, channels: Iterable[str]) -> None:
        """Name channels that keep their order: they stay in the ledger's database (:mod:`bus.channels.amqp.kept`)."""
        names = list(channels)
        self._outbox.keep_order(names)
        self._kept.add(names)
        with self._lock:
            self._pending -= self._kept.names

    def in_order(self, channel: str) -> bool:
        """Whether one process at a time works on it, one message after the other."""
        return self._outbox.in_order(channel)

    def may_take(self, channel: str) -> bool:
        """Whether this process is the one to take from it."""
        return self._outbox.may_take(channel)

    def tenure(self, channel: str) -> int:
        """A number that changes whenever this process becomes the one to take from it."""
        return self._outbox.tenure(channel)

    def share(self, channel: str) -> None:
        """Between two batches of a channel in order: another process may get it."""
        self._outbox.share(channel)

    def look_around(self) -> None:
        """Wake up for what other processes left in the outbox, and for channels that became ours to take from."""
        self._outbox.look_around()
        self.ready(set(self.channels()))

    def alias(self, names: dict[str, str]) -> None:
        """Other names under which channels are sent to (``from: {channel: …}`` of a route)."""
        self._outbox.alias(names)

    def channels(self) -> list[str]:
        """Channels that hold messages which may be taken here; also those that nobody here consumes yet."""
        consuming = set(self._consumer.consuming())
        here = set(self._consumer.holding())
        queue, kept = self.address.queue, set(self._kept.holding())
        queues = filter(has_queue, self.declared())
        return [*(n for n in queues if n not in kept and (queue(n) in here or queue(n) not in consuming)), *kept]

    def at_rest(self) -> bool:
        """Whether no channel holds anything and nothing is on its way; asks the broker."""
        if self._pending or self._outbox.channels() or self._consumer.holding():
            return False
        if self._overlap is not None and not self._overlap.idle():
            return False
        counts = self._consumer.counts(self._consumer.consuming(), self.address.deadline)
        return counts is not None and not any(counts.values()) and not self._consumer.holding()

    def depth(self, channel: str, most: int = 1_000_000) -> int:
        """How many messages wait, here, at the broker and in the outbox."""
        queue = self.address.queue(channel)
        counts = self._consumer.counts([queue], self.address.deadline) or {}
        return min(
            most,
            counts.get(queue, 0) + len(self._consumer.here(queue, most)) + self._outbox.depth(channel, most),
        )

    # ------------------------------------------------------------ taking

    def take(self, channel: str, most: int) -> list[Delivery]:
        """The oldest messages that are here; the first call for a channel begins to consume it."""
        if channel in self._kept.names:
            return self._kept.take(channel, most)
        queue = self.address.queue(channel)
        if not self._outbox.may_take(channel):
            self._consumer.leave(queue)
            return []
        if self._overlap is not None:
            self._taken_at[channel] = self._overlap.failures(channel)
            if self._overlap.hurt(channel):
                return []
        while received := self._consumer.here(queue, most):
            if found := self.sieve.sift(channel, received):
                self._taken[channel] = [one for one, _ in found]
                return [Delivery(channel, n, message) for n, (_, message) in enumerate(found)]
        self._consumer.consume(queue)
        return []

    # ------------------------------------------------------------ settling

    def settle(self, deliveries: list[Delivery], settlement: Settlement, label: str = "segment") -> None:
        """Publish or store what comes out, commit, acknowledge; see the top of this file.

        Raises:
            Stalled: broker or disk refuse; nothing was committed.
            Retryable: ``SYS121`` another unit was first; nothing was committed.
            Rejected: ``NET227`` what comes out is too large for the broker; nothing was committed.
        """
        if not deliveries:
            self._outbox.settle_with(settlement, label, lambda _tx: None, len(settlement.puts))
            return
        given, all_given = legs.passed_on(deliveries, settlement.puts, self._outbox.real)
        if is_kept(deliveries[0]):
            with self._giving(given):
                self._kept.settle(deliveries, settlement, label)
            return
        channel = deliveries[0].channel
        taken = self._taken[channel]
        received = [taken[d.position] for d in deliveries]
        passes_on = all_given and self._passes_on(settlement)
        later = passes_on and self._overlap is not None and self._careful.get(channel, 0) <= 0
        later = later and not (self._publisher.slow and self._is_slow(settlement))
        if not later:
            self._in_its_turn(channel, wait=True)
        out, named = self._taken_out(settlement) if passes_on else ([], [])
        if not settlement.remember and (named or documents.any_in(deliveries, received, claims=self.sieve.claims)):
            settlement.remember = True  # else nobody could tell until when the document is needed
        commit = self._committing(deliveries, settlement, label, named if passes_on else None)
        if later:
            self._settle_later((deliveries, received, out), settlement, commit)
            return
        self._bring(out, channel)
        with self._giving(given):
            self._finish(channel, received, commit)
        self._careful[channel] = self._careful.get(channel, 0) - len(deliveries)

    @contextmanager
    def _giving(self, given: list[str]) -> Iterator[None]:
        """Meanwhile these legs are not replaced by new ones."""
        with self._lock:
            self._given.update(given)
        try:
            yield
        finally:
            with self._lock:
                self._given.difference_update(given)

    def _in_its_turn(self, channel: str, *, wait: bool = False) -> None:
        """Refuse what was taken before something in front of it failed; ``wait`` until all in front of it is settled.

        Raises:
            Retryable: ``SYS126`` it comes again behind it.
        """
        if self._overlap is not None:
            if wait:
                self._overlap.clear(channel)
            if self._overlap.failures(channel) != self._taken_at.get(channel, 0):
                raise Retryable("SYS126", "a settlement in front of this one failed", hint="it is taken again")

    def _committing(
        self, deliveries: list[Delivery], settlement: Settlement, label: str, named: Named | None
    ) -> Callable[[], None]:
        """What writes down a settlement when all that comes out is safe; ``named`` is None where it was not published.

        Where nothing is remembered but counts, it keeps none of the messages: they are freed by who made them, as long
        as they are in the cache of his core.
        """
        if named is not None and not settlement.remember:
            return partial(self._tallies.add, settlement.place, settlement.tally)
        return partial(self._commit, deliveries, settlement, label, named or [])

    def _commit(self, deliveries: list[Delivery], settlement: Settlement, label: str, named: Named) -> None:
        try:
            enter = documents.noted(lambda tx: self._enter(tx, deliveries), named)
            self._outbox.settle_with(settlement, label, enter, len(settlement.puts))
        except _Seen:
            if len(deliveries) > 1:
                why = "a message of the batch was settled elsewhere"
                raise Retryable("SYS121", why, hint="it is retried") from None
            self.sieve.copies += 1  # somebody else took it while it was worked on here: it is done

    def _finish(self, channel: str, received: list[Received], commit: Callable[[], None]) -> None:
        """What comes out is safe: commit, acknowledge."""
        commit()
        self._effect("amqp.acknowledge:before")
        self._consumer.settle(self.address.queue(channel), received)
        self._effect("amqp.acknowledge:after")

    def _settle_later(self, what: _Unit, settlement: Settlement, commit: Callable[[], None]) -> None:
        """Begin to publish and let another thread do the rest; when that fails, the messages are taken again."""
        overlap = self._overlap
        assert overlap is not None  # noqa: S101 - who calls has looked
        deliveries, received, out = what
        channel, count = deliveries[0].channel, len(deliveries)
        queue = self.address.queue(channel)
        before = self._last.get(channel)
        self._in_its_turn(channel)

        def failed(error: Exception) -> None:
            code, why = (error.code, error.message) if isinstance(error, BusError) else ("INT199", type(error).__name__)
            fields = {"code": code, "channel": channel, "count": count, "why": why}
            log.warning("settling failed and is tried again", extra=fields)
            self._careful[channel] = max(self._careful.get(channel, 0), 0) + count
            self._last.pop(channel, None)
            self._consumer.give_back(queue, received)

        job = self._last[channel] = self._publisher.begin(out, before)
        self._consumer.begin(queue, received)

        def finish() -> None:
            self._await(job, channel)
            self._finish(channel, received, commit)

        overlap.add(Begun(channel, finish, failed, job, light=not settlement.remember))

    def _passes_on(self, settlement: Settlement) -> bool:
        """Whether what comes out, each message to one channel, may be published before the commit, without the outbox.

        The legs are the same however a second run is batched.
        """
        if any(_state(settlement)):
            return False
        with self._lock:  # what waits in the outbox comes first
            elsewhere = self._pending | self._kept.names
            return not elsewhere.intersection(map(self._outbox.real, {name for name, _ in settlement.puts}))

    def _is_slow(self, settlement: Settlement) -> bool:
        """Whether something goes to a queue that did not confirm: others may not wait behind that."""
        names = map(self._outbox.real, {name for name, _ in settlement.puts})
        return not self._publisher.slow.keys().isdisjoint(map(self.address.queue, names))

    def _taken_out(self, settlement: Settlement) -> tuple[list[Outgoing], Named]:
        """What is published before the commit, and the documents that are written down in it."""
        names = {name: self._outbox.real(name) for name in {name for name, _ in settlement.puts}}
        out = [self._outgoing(names[name], message) for name, message in settlement.puts]
        must_fit(zip((names[name] for name, _ in settlement.puts), out, strict=True), self._publisher.most)
        named = documents.named([message for _, message in settlement.puts], out, claims=self.sieve.claims)
        settlement.puts.clear()
        out.sort(key=_queue)  # what goes to one queue together costs the broker less; each queue keeps its order
        return out, named

    def _bring(self, out: list[Outgoing], channel: str) -> None:
        if out:
            self._published(self._publish(out), channel)

    def _publish(self, out: list[Outgoing]) -> Job:
        self._effect("amqp.publish:before")
        return self._publisher.begin(out)

    def _published(self, job: Job, channel: str) -> None:
        self._await(job, channel)
        self._effect("amqp.publish:after")

    def _await(self, job: Job, channel: str) -> None:
        try:
            self._publisher.wait(job)
            self.confirmed(channel, time.monotonic() - job.begun)
        except Stalled as error:
            if error.code == "NET223":  # somebody deleted it
                fields = {"code": error.code, "why": error.message}
                log.error("a queue is missing and is declared again", extra=fields)  # noqa: TRY400 - the place says nothing
                self._wire.declare((), self._with_queues())
            raise

    def _enter(self, tx: Any, deliveries: list[Delivery]) -> None:
        """The inbox: each leg once."""
        if not deliveries:
            return
        came = [d.message.headers.leg for d in deliveries]
        if self._store.enter(tx, came, self._clock.now()) < len(came):
            raise _Seen

    def _outgoing(self, channel: str, message: Message) -> Outgoing:
        headers = message.headers
        about = properties(headers.id, headers.correlation_id, headers.created_at // 1000)
        return Outgoing(self.address.queue(channel), about, encode(message))

    # ------------------------------------------------------------ outbox

    def stage(self, chunk: Chunk, cursor: Cursor | None, meanwhile: Callable[[], None] | None = None) -> Cursor:
        """Store a chunk of a split durably, invisible to workers; the first call (no cursor) begins the batch."""
        return self._outbox.stage(chunk, cursor, meanwhile)

    def transact(self, label: str, work: Callable[[Any], list[tuple[str, Message]]]) -> int:
        """Run ledger work that yields messages, and put those into the outbox, in one commit; returns how many."""
        return self._outbox.transact(label, work)

    def relay(self) -> int:
        """Publish what waits in the outbox, wait for the confirms, forget it; returns how many messages went.

        A queue that confirms nothing holds up no other: what goes there is brought to an end by later calls.

        Raises:
            Stalled: something waits still.
        """
        with self._relaying:  # two at once would publish everything twice
            with self._lock:
                pending = self._pending.union(self._outbox.channels()) - self._kept.names
            return self._relay.turn(pending, self._relay_to, self._publisher.trouble)

    def _relay_to(self, channel: str) -> int:
        slow = self.address.queue(channel) in self._publisher.slow
        count = self._relay.bring(channel, self.address.deadline, slow=slow)
        with self._lock:
            if not self._outbox.take(channel, 1):
                self._pending.discard(channel)
        return count

    def _stamped(self, message: Message) -> bytes:
        """The stored form of a message with a leg that no other sending has."""
        if message.headers.leg in self._given:
            return sealed(message)
        return sealed(message.with_headers(leg=f"{self._owner}{next(self._counter):016x}"))

    def _fits(self, channel: str, size: int) -> None:
        """What keeps its order never goes to the broker."""
        if size > self._publisher.most and channel not in self._kept.names:
            raise too_large(channel, size, self._publisher.most)

    def _in_outbox(self, names: set[str]) -> None:
        kept = names & self._kept.names
        with self._lock:
            self._pending |= names - kept
        self.ready({RELAY, *kept} if names - kept else kept)

    def sweep(self) -> int:
        """Housekeeping: the outbox, queues that somebody deleted, and what the broker gave up to hand out."""
        self._deleted.declare_again(self._with_queues())
        self._tallies.write(self._count)
        buried = self._undeliverable.bury(self._consumer) if self._declared else 0
        return self._outbox.sweep() + buried

    def _count(self, counted: Settlement) -> None:
        self._outbox.settle([], counted, "tally")

    # ------------------------------------------------------------ the I/O thread

    def _arrived(self, queue: str) -> None:
        self.ready({queue.removeprefix(self.address.prefix)})

    def _cancelled(self, queue: str) -> None:
        self._deleted.add(queue.removeprefix(self.address.prefix))
