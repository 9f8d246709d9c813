"""The queues of a broker, emptied and sorted once: before a restored ledger does anything else."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from bus.channels.amqp import legs
from bus.channels.amqp.burial import bury
from bus.channels.amqp.undeliverable import channel_of
from bus.errors import Unavailable
from bus.message import Group, Message, Sequence
from bus.ports import Settlement

if TYPE_CHECKING:
    from bus.channels.amqp.address import Address
    from bus.channels.amqp.wire import Consuming
    from bus.channels.store import StoreBroker
    from bus.ports import Clock, Store

log = logging.getLogger("girobus")
_AT_ONCE = 500
_LOOK = 0.05
_HEARTBEATS = 4
"""For so long nothing comes and the queues are not ours alone; a lost connection is noticed after two."""
_WHY = "SYS149", "it was made after the backup that this ledger was restored from"


class Judge(Protocol):
    """See :class:`bus.ledger.restored.Survey`."""

    def judge(self, messages: list[Message]) -> tuple[set[str], set[str]]:
        """Legs of (copies of what waits in the ledger, messages that it cannot know)."""

    def guard(self, tx: Any) -> None:
        """Refuse a commit when another process sorts now."""

    def begin(self, owner: str) -> None:
        """Told before anything goes on what its legs begin with."""

    def goes_on(self) -> bool:
        """Whether to go on; asked all the time."""


class Sorting:
    """What goes on is put into the outbox, in the order of its queue; what the ledger cannot know is a dead letter.

    Args:
        address: names of the queues.
        store: transactions of the ledger's database, with the inbox.
        outbox: where messages and dead letters are written.
        consumer: empties the queues.
        clock: when something was put aside.
        judge: tells what is what.
    """

    def __init__(
        self, address: Address, store: Store, outbox: StoreBroker, consumer: Consuming, clock: Clock, judge: Judge
    ) -> None:
        self._address, self._store, self._outbox = address, store, outbox
        self._consumer, self._clock, self._judge = consumer, clock, judge
        self._begun = clock.now()
        self._on = self._aside = 0

    def run(self, channels: Collection[str]) -> bool:
        """Until the queues are empty, and nobody else has something of them; false when it is not to go on.

        Raises:
            Unavailable: ``SYS151`` another process still consumes them, or the broker does not answer.
        """
        queues = {self._address.queue(name): name for name in channels} | {self._address.undeliverable: ""}
        for queue in queues:
            self._consumer.consume(queue)
        patience = _HEARTBEATS * self._address.heartbeat
        end = time.monotonic() + patience
        while self._judge.goes_on():
            if sum(self._sort(queue, name, channels) for queue, name in queues.items()):
                end = time.monotonic() + patience
            elif self._empty(list(queues)):
                break
            elif time.monotonic() > end:
                hint = "stop every process of the lost ledger; see that the broker is well"
                raise Unavailable("SYS151", "the queues are not ours alone, or the broker is silent", hint=hint)
            else:
                time.sleep(_LOOK)
        else:
            return False
        for queue in queues:
            self._consumer.leave(queue)
        log.warning("SYS149 the queues are sorted: %d messages go on, %d are put aside", self._on, self._aside)
        return True

    def _empty(self, queues: list[str]) -> bool:
        """Nothing waits at the broker, nothing is here, and nobody else may have something and give it back."""
        counts = self._consumer.counts(queues, self._address.deadline)
        if counts is None or any(counts.values()) or self._consumer.holding():
            return False
        consumers = self._consumer.consumers(queues, self._address.deadline)
        return consumers is not None and all(count <= 1 for count in consumers.values())

    def _sort(self, queue: str, channel: str, there: Collection[str]) -> int:
        """Sort some of a queue; ``channel`` is empty where each message tells its own. How many there were."""
        received = self._consumer.here(queue, _AT_ONCE)
        if not received:
            return 0
        found, _ = legs.firsts(received)
        known = self._store.known([message.headers.leg for _, message in found])
        found = [(one, message) for one, message in found if message.headers.leg not in known]
        copies, strangers = self._judge.judge([message for _, message in found])
        placed = [(channel or channel_of(self._address, one), m) for one, m in found if m.headers.leg not in copies]
        aside = [(name, m) for name, m in placed if m.headers.leg in strangers or name not in there]
        onward = [(name, m) for name, m in placed if m.headers.leg not in strangers and name in there]
        settlement = _burial(aside, self._begun)
        settlement.puts.extend(onward)
        came, now = [m.headers.leg for _, m in placed], self._clock.now()

        def enter(tx: Any) -> None:
            self._judge.guard(tx)
            self._store.enter(tx, came, now)

        if placed:
            self._outbox.settle_with(settlement, "sort", enter)
        self._consumer.settle(queue, received)
        self._on, self._aside = self._on + len(onward), self._aside + len(aside)
        return len(received)


def _burial(messages: list[tuple[str, Message]], now: int) -> Settlement:
    """Dead letters, with one case for each file and channel, of which no batch, no split and no arrival is told."""
    settlement = Settlement("")
    settlement.apart = True
    for channel, message in messages:
        bury(settlement, channel, _alone(message, now), _WHY, message.headers.correlation_id)
    return settlement


def _alone(message: Message, now: int) -> Message:
    """Without what means something else here, so that it may go on by itself when a person says so.

    The number of its batch is given to another one soon; ``now`` lifts it far above those of all batches.
    """
    headers, body = message.headers, message.body
    if type(body) is Group:
        body = msgspec.structs.replace(body, number=0)
    part = headers.sequence
    late = Sequence(part.batch + now, part.index, reported=True) if part is not None else None
    return Message(headers, body, message.properties).with_headers(sequence=late, version=0, attempt=0)
