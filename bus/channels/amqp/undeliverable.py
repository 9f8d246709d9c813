"""What the broker gave up to hand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.channels.amqp import legs
from bus.channels.amqp.burial import bury, unreported
from bus.errors import Rejected
from bus.ports import Settlement

if TYPE_CHECKING:
    from bus.channels.amqp.address import Address
    from bus.channels.amqp.frames import Received
    from bus.channels.amqp.wire import Consuming
    from bus.channels.store import StoreBroker
    from bus.message import Message
    from bus.ports import Clock, Store

    Found = list[tuple[Received, Message]]

_AT_ONCE = 500


def channel_of(address: Address, one: Received) -> str:
    """The channel whose queue a message was given up in."""
    died = (one.headers().get("x-death") or [{}])[0]
    return str(died.get("queue", "")).removeprefix(address.prefix)


class Undeliverable:
    """Whatever was handed out too often and never settled becomes a dead letter with a case.

    The broker may dead-letter one message twice, or one that was settled and not acknowledged any more.

    Args:
        address: names of the queues.
        store: transactions of the ledger's database, with the inbox.
        outbox: where dead letters are written.
        clock: when a leg was entered into the inbox.
    """

    def __init__(self, address: Address, store: Store, outbox: StoreBroker, clock: Clock) -> None:
        self._address, self._store, self._outbox, self._clock = address, store, outbox, clock

    def bury(self, consumer: Consuming) -> int:
        """Bury what is here; returns how many."""
        queue = self._address.undeliverable
        received = consumer.here(queue, _AT_ONCE)
        if not received:
            consumer.consume(queue)
            return 0
        found, _ = legs.firsts(received)
        known = self._store.known([message.headers.leg for _, message in found])
        found = [(one, message) for one, message in found if message.headers.leg not in known]
        try:
            self._bury(found)
        except _Elsewhere:
            return 0  # another process buries the same; the next look tells what is left
        consumer.settle(queue, received)
        return len(found)

    def _bury(self, found: Found) -> None:
        """A batch that does not wait for the report of one must not keep the others from being buried."""
        try:
            self._settle(found)
        except Rejected as error:
            if not unreported(error):
                raise
            if len(found) > 1:
                for one in found:
                    self._bury([one])
            else:
                self._settle([(one, message.told()) for one, message in found])

    def _settle(self, found: Found) -> None:
        if not found:
            return
        came, now = [message.headers.leg for _, message in found], self._clock.now()

        def enter(tx: Any) -> None:
            if self._store.enter(tx, came, now) < len(came):
                raise _Elsewhere

        self._outbox.settle_with(self._burial(found), "undeliverable", enter)

    def _burial(self, found: Found) -> Settlement:
        settlement = Settlement(self._address.undeliverable)
        why = "NET226", f"handed out {self._address.delivery_limit} times and never settled"
        for one, message in found:
            bury(settlement, channel_of(self._address, one), message.with_headers(attempt=0), why, message.headers.id)
        return settlement


class _Elsewhere(Exception):  # noqa: N818 - no error: another process was first
    """A leg stands in the inbox already."""
