"""What of a queue is to be worked on: neither copies, nor what a restored ledger knows nothing of.

The second is told by :mod:`bus.ledger.restored`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from bus.channels.amqp import legs
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
    """Acknowledges what was done already, puts aside what the ledger cannot know, leaves the rest.

    Args:
        address: names of the queues.
        store: transactions of the ledger's database, with the inbox.
        outbox: where dead letters are written.
        consumer: acknowledges.
        clock: when something was put aside.

    Attributes:
        copies: how many second copies were told from the first.
        strangers: tells the legs of what the ledger cannot know; None where it never was restored.
        forgetful: channels of which no leg is entered: ``guarantee: at-least-once``.
    """

    def __init__(
        self, address: Address, store: Store, outbox: StoreBroker, consumer: Callable[[], Consuming], clock: Clock
    ) -> None:
        self.copies = 0
        self.strangers: Callable[[list[Message]], set[str]] | None = None
        self.forgetful: frozenset[str] = frozenset()
        self._address, self._store, self._outbox = address, store, outbox
        self._consumer, self._clock = consumer, clock

    def sift(self, channel: str, received: list[Received]) -> Found:
        """What may be worked on. Nothing while another process puts the same aside."""
        found, copies = legs.firsts(received)
        if channel not in self.forgetful:
            known = self._store.known([message.headers.leg for _, message in found])
            if known:
                copies += [one for one, message in found if message.headers.leg in known]
                found = [(one, message) for one, message in found if message.headers.leg not in known]
        if copies:
            self.copies += len(copies)
            self._consumer().settle(self._address.queue(channel), copies)
        return found if self.strangers is None or not found else self._familiar(channel, found, self.strangers)

    def _familiar(self, channel: str, found: Found, strangers: Callable[[list[Message]], set[str]]) -> Found:
        """Without what the ledger cannot know; that is a dead letter."""
        strange = strangers([message for _, message in found])
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
