"""What stands between the channels and the broker; a simulation puts another one in its place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from bus.channels.amqp import topology
from bus.channels.amqp.address import Address
from bus.channels.amqp.bypass import Bypass
from bus.channels.amqp.consumer import Consumer
from bus.channels.amqp.frames import Outgoing, Received
from bus.channels.amqp.publisher import Job


class Publishing(Protocol):
    """See :class:`bus.channels.amqp.bypass.Bypass`."""

    confirmed: int
    """Messages confirmed since the start."""
    most: int
    """Most bytes of a message."""
    slow: dict[str, float]
    """Queues that did not confirm in time."""

    def trouble(self) -> str:
        """Why there is no connection; empty while there is one."""

    def begin(self, items: Sequence[Outgoing], before: Job | None = None) -> Job:
        """Begin to publish; what is begun first is sent first, and not at all where ``before`` has failed."""

    def wait(self, job: Job) -> None:
        """Block until all of a job is confirmed; raises Stalled when that fails."""

    def close(self) -> None:
        """Disconnect."""


class Consuming(Protocol):
    """See :class:`bus.channels.amqp.consumer.Consumer`."""

    def trouble(self) -> str:
        """Why there is no connection; empty while there is one."""

    def consume(self, queue: str) -> None:
        """Have the messages of a queue come here; idempotent."""

    def leave(self, queue: str) -> None:
        """Stop; what is here and not settled goes back."""

    def consuming(self) -> list[str]:
        """Names of the queues that are consumed."""

    def holding(self) -> list[str]:
        """Queues of which something is here."""

    def here(self, queue: str, most: int) -> list[Received]:
        """The oldest messages that are here and neither settled nor about to be; they stay."""

    def begin(self, queue: str, received: Iterable[Received]) -> None:
        """Hand these out no more until they are settled or given back."""

    def give_back(self, queue: str, received: Iterable[Received]) -> None:
        """Hand these out again."""

    def settle(self, queue: str, received: Iterable[Received]) -> None:
        """Forget messages, here and at the broker."""

    def counts(self, queues: list[str], seconds: float) -> dict[str, int] | None:
        """How many messages wait at the broker; None without an answer in time."""

    def depths(self, queues: Iterable[str], seconds: float) -> dict[str, int]:
        """How many messages wait at the broker, also where nobody consumes, as far as it answers in time."""

    def consumers(self, queues: list[str], seconds: float) -> dict[str, int] | None:
        """How many consume each queue, with ourselves; None without an answer in time."""

    def close(self) -> None:
        """Disconnect."""


class Wire(Protocol):
    """A broker that can be reached."""

    address: Address

    def publishing(self) -> Publishing:
        """A connection that publishes, begun."""

    def consuming(self, arrived: Callable[[str], None], cancelled: Callable[[str], None]) -> Consuming:
        """A connection that consumes, begun; it tells of queues with newcomers and of queues that are gone."""

    def declare(self, channels: Iterable[str], others: Iterable[str] = ()) -> None:
        """Make the queues of channels exist; those of others are not compared with what they should be."""


class AmqpWire:
    """RabbitMQ.

    Args:
        address: where it is.
        chance: spreads the waits between attempts to connect.
    """

    def __init__(self, address: Address, chance: random.Random) -> None:
        self.address = address
        self._chance = chance

    def publishing(self) -> Bypass:
        """A connection that publishes, begun."""
        publisher = Bypass(self.address, self._chance)
        publisher.start()
        return publisher

    def consuming(self, arrived: Callable[[str], None], cancelled: Callable[[str], None]) -> Consumer:
        """A connection that consumes, begun."""
        consumer = Consumer(self.address, arrived, cancelled, self._chance)
        consumer.start()
        return consumer

    def declare(self, channels: Iterable[str], others: Iterable[str] = ()) -> None:
        """See :func:`bus.channels.amqp.topology.declare`."""
        topology.declare(self.address, channels, others)
