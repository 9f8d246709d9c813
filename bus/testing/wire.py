"""A RabbitMQ in memory for simulations: what it confirmed it keeps, everything else it does as badly as it may.

Its queues outlive the bus that talks to it. It hands out again what was not acknowledged, in another order if it likes;
it stores some messages twice, as a publisher's retry would; it loses connections in the middle of a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from bus.channels.amqp.address import Address
from bus.channels.amqp.frames import Outgoing, Received
from bus.channels.amqp.publisher import Job
from bus.errors import Stalled


@dataclass(slots=True)
class Misbehaviour:
    """How bad it is; the default is a broker on a good day.

    Attributes:
        doubled: share of the messages that are stored twice.
        shuffled: hand out again in another order than before.
        failing: the publications with these numbers (from 1, counted over all lives) fail after a part was stored.
    """

    doubled: float = 0.0
    shuffled: bool = False
    failing: frozenset[int] = frozenset()


@dataclass
class MemoryRabbit:
    """The broker: queues by name."""

    chance: Random
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)
    queues: dict[str, deque[tuple[bytes, bytes]]] = field(default_factory=dict)
    published: int = 0

    def store(self, item: Outgoing) -> None:
        """Keep a message, some twice.

        Raises:
            Stalled: ``NET223`` no queue takes it.
        """
        queue = self.queues.get(item.queue)
        if queue is None:
            raise Stalled("NET223", f"the broker has no queue `{item.queue}`", hint="declare it")
        for _ in range(2 if self.chance.random() < self.misbehaviour.doubled else 1):
            queue.append((item.properties, item.body))

    def wire(self) -> MemoryWire:
        """A connection for one life of a bus."""
        return MemoryWire(self)


class MemoryWire:
    """:class:`bus.channels.amqp.wire.Wire` to a :class:`MemoryRabbit`."""

    def __init__(self, rabbit: MemoryRabbit) -> None:
        self.address = Address((("memory", 0),))
        self._rabbit = rabbit

    def publishing(self) -> MemoryPublisher:
        """Publications are stored at once."""
        return MemoryPublisher(self._rabbit)

    def consuming(self, arrived: Callable[[str], None], cancelled: Callable[[str], None]) -> MemoryConsumer:
        """Nobody is told of newcomers: a simulation turns by hand."""
        del arrived, cancelled
        return MemoryConsumer(self._rabbit)

    def declare(self, channels: Iterable[str], others: Iterable[str] = ()) -> None:
        """Make queues exist."""
        for queue in (self.address.undeliverable, *map(self.address.queue, (*channels, *others))):
            self._rabbit.queues.setdefault(queue, deque())


class MemoryPublisher:
    """The publishing side."""

    def __init__(self, rabbit: MemoryRabbit) -> None:
        self._rabbit = rabbit
        self.confirmed = 0
        self.most = 1 << 24
        self.slow: dict[str, float] = {}

    def trouble(self) -> str:
        """Always connected."""
        return ""

    def begin(self, items: Sequence[Outgoing], before: Job | None = None) -> Job:
        """Store them; where this one is to fail, the connection is lost behind a part of them."""
        del before  # one after the other
        job = Job(items)
        rabbit = self._rabbit
        rabbit.published += 1
        fails = rabbit.published in rabbit.misbehaviour.failing
        most = rabbit.chance.randint(0, len(items)) if fails else len(items)
        try:
            for item in items[:most]:
                rabbit.store(item)
        except Stalled as error:
            job.fail(error)
        if fails:
            job.fail(Stalled("NET222", "the connection was lost before all was confirmed", hint="it is retried"))
        return job

    def wait(self, job: Job) -> None:
        """Raise what went wrong."""
        if job.error is not None:
            raise job.error
        self.confirmed += job.count

    def close(self) -> None:
        """Nothing is open."""


class MemoryConsumer:
    """The consuming side of one life; what it did not settle is in the queues still, as if it had been given back."""

    def __init__(self, rabbit: MemoryRabbit) -> None:
        self._rabbit = rabbit
        self._here: dict[str, list[Received]] = {}
        self._tag = 0

    def trouble(self) -> str:
        """Always connected."""
        return ""

    def consume(self, queue: str) -> None:
        """Look at what is there."""
        self._here.setdefault(queue, [])
        self._fetch(queue)

    def _fetch(self, queue: str) -> None:
        rabbit, here = self._rabbit, self._here[queue]
        waiting = list(rabbit.queues.get(queue, ()))[len(here) :]
        if rabbit.misbehaviour.shuffled:
            rabbit.chance.shuffle(waiting)
            self._reorder(queue, len(here), waiting)
        for properties, body in waiting:
            self._tag += 1
            here.append(Received(1, self._tag, properties, body))

    def _reorder(self, queue: str, first: int, waiting: list[tuple[bytes, bytes]]) -> None:
        """The queue is in the order in which it is handed out, so that what is settled is found again."""
        kept = list(self._rabbit.queues[queue])[:first]
        self._rabbit.queues[queue] = deque([*kept, *waiting])

    def leave(self, queue: str) -> None:
        """Forget what is here; the queue has it still."""
        self._here.pop(queue, None)

    def consuming(self) -> list[str]:
        """Queues that are consumed; of newcomers we hear when we look."""
        return list(self._here)

    def holding(self) -> list[str]:
        """Queues of which something is here."""
        for queue in self._here:
            self._fetch(queue)
        return [queue for queue, here in self._here.items() if here]

    def here(self, queue: str, most: int) -> list[Received]:
        """The oldest."""
        if queue not in self._here:
            return []
        self._fetch(queue)
        return self._here[queue][:most]

    def begin(self, queue: str, received: Iterable[Received]) -> None:
        """Only threads let settlements overlap."""

    def give_back(self, queue: str, received: Iterable[Received]) -> None:
        """As :meth:`begin`."""

    def settle(self, queue: str, received: Iterable[Received]) -> None:
        """Acknowledge."""
        here, stored = self._here[queue], self._rabbit.queues[queue]
        for one in received:
            at = here.index(one)
            del here[at]
            del stored[at]

    def counts(self, queues: list[str], seconds: float) -> dict[str, int] | None:
        """What waits and is not here."""
        del seconds
        return {q: len(self._rabbit.queues.get(q, ())) - len(self._here.get(q, ())) for q in queues}

    def depths(self, queues: Iterable[str], seconds: float) -> dict[str, int]:
        """As :meth:`counts`."""
        return self.counts(list(queues), seconds) or {}

    def consumers(self, queues: list[str], seconds: float) -> dict[str, int] | None:
        """Nobody else is there."""
        del seconds
        return dict.fromkeys(queues, 1)

    def close(self) -> None:
        """Nothing is open."""
