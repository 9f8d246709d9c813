"""What of a queue is to be worked on: what no other copy has been worked on before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.channels.amqp import legs
from bus.channels.amqp.documents import may_name

if TYPE_CHECKING:
    from bus.channels.amqp.address import Address
    from bus.channels.amqp.frames import Received
    from bus.channels.amqp.wire import Consuming
    from bus.message import Message
    from bus.ports import Store

    Found = list[tuple[Received, Message]]


class Sieve:
    """Acknowledges what was done already and leaves the rest.

    Args:
        address: names of the queues.
        store: has the inbox.
        consumer: acknowledges.

    Attributes:
        copies: how many second copies were told from the first.
        claims: whether a route, of whatever version, may have checked a claim into a message.
        forgetful: channels of which no leg is entered, but of what refers to a document: ``guarantee: at-least-once``.
    """

    def __init__(self, address: Address, store: Store, consumer: Callable[[], Consuming]) -> None:
        self.copies = 0
        self.claims = True
        self.forgetful: frozenset[str] = frozenset()
        self._address, self._store, self._consumer = address, store, consumer

    def sift(self, channel: str, received: list[Received]) -> Found:
        """What may be worked on."""
        found, copies = legs.firsts(received)
        forgets = channel in self.forgetful
        if asked := [m.headers.leg for one, m in found if not forgets or may_name(m, one.body, claims=self.claims)]:
            known = self._store.known(asked)
            if known:
                copies += [one for one, message in found if message.headers.leg in known]
                found = [(one, message) for one, message in found if message.headers.leg not in known]
        if copies:
            self.copies += len(copies)
            self._consumer().settle(self._address.queue(channel), copies)
        return found
