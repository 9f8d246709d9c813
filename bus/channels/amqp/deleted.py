"""Queues that somebody deleted while they were consumed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bus.channels.amqp.address import UNDELIVERABLE
from bus.ports import CaseNote, Settlement

if TYPE_CHECKING:
    from bus.channels.amqp.wire import Wire
    from bus.channels.store import StoreBroker


class Deleted:
    """Declares them again, and tells a person: what was in them is gone from the broker.

    Args:
        wire: declares.
        outbox: where cases are written.
    """

    def __init__(self, wire: Wire, outbox: StoreBroker) -> None:
        self._wire, self._outbox = wire, outbox
        self._gone: set[str] = set()
        self._lock = threading.Lock()

    def add(self, channel: str) -> None:
        """The broker ended the consuming of a channel's queue, or of that of the undeliverable ones."""
        with self._lock:
            self._gone.add(channel)

    def declare_again(self, declared: set[str]) -> None:
        """Declare again those that are ours still.

        Raises:
            Stalled: ``NET221`` the broker is away; they are declared at the next call.
        """
        with self._lock:
            self._gone &= declared | {UNDELIVERABLE}
            gone = set(self._gone)
        if not gone:
            return
        self._wire.declare((), gone)
        settlement = Settlement("")
        for channel in sorted(gone):
            queue = self._wire.address.queue(channel)
            route = channel.partition("#")[0] if channel != UNDELIVERABLE else ""
            text = f"the broker ended the consuming of queue `{queue}`; it is declared again"
            settlement.cases.append(CaseNote("NET225", text, route, "", f"{channel}:NET225"))
        self._outbox.settle([], settlement, "broker")
        with self._lock:
            self._gone -= gone
