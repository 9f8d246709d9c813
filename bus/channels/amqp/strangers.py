"""What queues hold of a time that a restored ledger knows nothing of (:mod:`bus.ledger.restored`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from bus.message import Group, Message, Sequence
from bus.ports import CaseNote, Event, Settlement

if TYPE_CHECKING:
    from bus.channels.amqp.address import Address
    from bus.channels.amqp.frames import Received
    from bus.channels.amqp.wire import Consuming
    from bus.channels.store import StoreBroker
    from bus.ports import Clock, Store

    Found = list[tuple[Received, Message]]

_LOST = 1_000_000_000
"""Far above the numbers of all batches: what was part of a lost one gathers apart from the ledger's own."""
_CODE, _REASON = "SYS149", "it was made after the backup that this ledger was restored from"


class Sieve:
    """Puts messages aside that the ledger cannot know.

    Args:
        address: names of the queues.
        store: transactions of the ledger's database.
        outbox: where dead letters are written.
        consumer: acknowledges.
        clock: when something was put aside.
    """

    def __init__(
        self, address: Address, store: Store, outbox: StoreBroker, consumer: Callable[[], Consuming], clock: Clock
    ) -> None:
        self.strangers: Callable[[list[Message]], set[str]] | None = None
        """Tells the legs of such messages; None where the ledger never was restored."""
        self.forgetful: frozenset[str] = frozenset()
        """Channels of which no leg is entered: ``guarantee: at-least-once``."""
        self._address, self._store, self._outbox = address, store, outbox
        self._consumer, self._clock = consumer, clock

    def sift(self, channel: str, found: Found) -> Found:
        """What may be worked on; the rest is a dead letter. Nothing while another process puts the same aside."""
        strange = self.strangers([message for _, message in found]) if self.strangers is not None and found else ()
        if not strange:
            return found
        aside = [(one, message) for one, message in found if message.headers.leg in strange]
        now = self._clock.now()
        came = [message.headers.leg for _, message in aside if channel not in self.forgetful]

        def enter(tx: Any) -> None:
            if self._store.enter(tx, came, now) < len(came):
                raise _Elsewhere

        try:
            self._outbox.settle_with(_burial(channel, [message for _, message in aside], now), "aside", enter)
        except _Elsewhere:
            return []
        self._consumer().settle(self._address.queue(channel), [one for one, _ in aside])
        return [(one, message) for one, message in found if message.headers.leg not in strange]


class _Elsewhere(Exception):  # noqa: N818 - no error: another process was first
    """A leg stands in the inbox already."""


def _burial(channel: str, messages: list[Message], now: int) -> Settlement:
    """Dead letters, with one case for each file and channel, of which no batch, no split and no arrival is told."""
    settlement = Settlement(channel)
    settlement.apart = True
    for message in messages:
        headers = message.headers
        route = channel.partition("#")[0]
        mark, context = f"{channel}:{_CODE}:{headers.correlation_id}", {"file": headers.name, "message": headers.id}
        note = CaseNote(_CODE, _REASON, route, "", mark, headers.number, headers.correlation_id, context)
        alone = _alone(message, now)
        settlement.dead.append((channel, alone, note))
        settlement.events.append(Event(alone, "dead", "", _CODE, _REASON))
        settlement.report(alone, "dead")
    return settlement


def _alone(message: Message, now: int) -> Message:
    """Without what means something else here; made now, so that it may go on when a person says so."""
    headers, body = message.headers, message.body
    if type(body) is Group:
        body = msgspec.structs.replace(body, number=0)
    part = headers.sequence
    late = Sequence(part.batch + _LOST, part.index, reported=True) if part is not None else None
    made = Message(headers, body, message.properties)
    return made.with_headers(sequence=late, version=0, attempt=0, created_at=now)
