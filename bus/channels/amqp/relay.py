"""Brings what waits in the outbox to the broker; a queue that confirms nothing holds up no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bus.channels.amqp import documents
from bus.channels.amqp.frames import Outgoing
from bus.channels.amqp.publisher import Job
from bus.channels.store import StoreBroker
from bus.errors import Stalled
from bus.message import NULL_ID, Message
from bus.ports import Delivery, Settlement

_RELAYED = 500
_TRIED = 10
"""Relayed at once to a queue that did not confirm."""


class _Begun(NamedTuple):
    """Rows that are published and not forgotten yet."""

    rows: list[Delivery]
    job: Job
    take: Callable[[Any], None]
    """Forgets them, in the commit that says what they refer to."""


class Relay:
    """One caller at a time.

    Args:
        outbox: what waits.
        outgoing: a message of a channel as it is published.
        publish: begins to publish.
        published: waits until all is confirmed.
        ready: told that there may be something to relay.
    """

    def __init__(
        self,
        outbox: StoreBroker,
        outgoing: Callable[[str, Message], Outgoing],
        publish: Callable[[list[Outgoing]], Job],
        published: Callable[[Job, str], None],
        ready: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._outgoing = outgoing
        self._publish = publish
        self._published = published
        self._ready = ready
        self._trials: dict[str, _Begun] = {}
        """What was begun and nobody waits for, by channel."""

    @staticmethod
    def turn(channels: set[str], bring: Callable[[str], int], trouble: Callable[[], str]) -> int:
        """Bring what waits for each channel, whatever becomes of the others; ends when there is no connection.

        Raises:
            Stalled: something waits still.
        """
        count = 0
        stalled: Stalled | None = None
        for channel in channels:
            try:
                count += bring(channel)
            except Stalled as error:
                stalled = error
                if trouble():
                    break  # it would be the same for all others
        if stalled is not None:
            raise stalled
        return count

    def bring(self, channel: str, deadline: float, *, slow: bool) -> int:
        """Publish all of a channel, wait for the confirms, forget it; how many messages went.

        To a queue that did not confirm (``slow``) only a little is published; whether it does now, a later call sees.

        Raises:
            Stalled: something waits still.
        """
        count = self._try(channel, deadline) if slow or channel in self._trials else 0
        while rows := self._rows(channel, _RELAYED):
            self._settle(channel, self._begin(channel, rows))
            count += len(rows)
        return count

    def _rows(self, channel: str, most: int) -> list[Delivery]:
        """The oldest in the outbox."""
        while rows := self._outbox.take(channel, most):
            bare = [r.position for r in rows if not r.message.headers.leg and r.message.headers.id != NULL_ID]
            if not bare:
                break
            self._outbox.give_legs(bare)  # they are from before there was a broker
        return rows

    def _begin(self, channel: str, rows: list[Delivery]) -> _Begun:
        out = [self._outgoing(channel, row.message) for row in rows]
        take = documents.noted(self._outbox.taking(rows), documents.named([row.message for row in rows], out))
        return _Begun(rows, self._publish(out), take)

    def _settle(self, channel: str, begun: _Begun) -> None:
        self._published(begun.job, channel)
        self._outbox.settle_with(Settlement(channel), "relay", begun.take)

    def _try(self, channel: str, deadline: float) -> int:
        if channel not in self._trials:
            if not (rows := self._rows(channel, _TRIED)):
                return 0
            begun = self._trials[channel] = self._begin(channel, rows)
            begun.job.told = self._ready
        begun = self._trials[channel]
        job = begun.job
        if not job.done.is_set() and time.monotonic() - job.begun < deadline:
            raise Stalled("NET222", f"`{channel}` has not confirmed yet", hint="it is looked at again")
        del self._trials[channel]
        self._settle(channel, begun)
        return len(begun.rows)
