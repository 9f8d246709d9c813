"""Brings what waits in the outbox to the broker; a queue that confirms nothing holds up no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bus.channels.amqp import documents
from bus.channels.amqp.burial import bury, too_large, unreported
from bus.channels.amqp.frames import Outgoing
from bus.channels.amqp.publisher import Job
from bus.channels.store import StoreBroker
from bus.errors import BusError, Rejected, Stalled
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
        most: most bytes of a message; what is larger becomes a dead letter.
        ready: told that there may be something to relay.
    """

    def __init__(
        self,
        outbox: StoreBroker,
        outgoing: Callable[[str, Message], Outgoing],
        publish: Callable[[list[Outgoing]], Job],
        published: Callable[[Job, str], None],
        most: Callable[[], int],
        ready: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._outgoing = outgoing
        self._publish = publish
        self._published = published
        self._most = most
        self._ready = ready
        self._trials: dict[str, _Begun] = {}
        """What was begun and nobody waits for, by channel."""
        self._turn = 0
        self._failed: dict[str, int] = {}
        """The turn in which a channel last failed: at the next one it comes behind all others."""

    def turn(self, channels: set[str], bring: Callable[[str], int], trouble: Callable[[], str]) -> int:
        """Bring what waits for each channel, whatever becomes of the others; ends when there is no connection.

        Raises:
            BusError: something waits still.
        """
        count = 0
        failure: BusError | None = None
        self._turn += 1
        for channel in sorted(channels, key=lambda name: self._failed.get(name, 0)):
            try:
                count += bring(channel)
            except BusError as error:
                failure = error
                self._failed[channel] = self._turn
                if trouble():
                    break  # it would be the same for all others, unless this one is to blame: then they are first now
            else:
                self._failed.pop(channel, None)
        if failure is not None:
            raise failure
        return count

    def bring(self, channel: str, deadline: float, *, slow: bool) -> int:
        """Publish all of a channel, wait for the confirms, forget it; how many messages went.

        To a queue that did not confirm (``slow``) only a little is published; whether it does now, a later call sees.

        Raises:
            Stalled: something waits still.
        """
        count = self._try(channel, deadline) if slow or channel in self._trials else 0
        while begun := self._begin(channel, _RELAYED):
            self._settle(channel, begun)
            count += len(begun.rows)
        return count

    def _rows(self, channel: str, most: int) -> list[Delivery]:
        """The oldest in the outbox."""
        while rows := self._outbox.take(channel, most):
            bare = [r.position for r in rows if not r.message.headers.leg and r.message.headers.id != NULL_ID]
            if not bare:
                break
            self._outbox.give_legs(bare)  # they are from before there was a broker
        return rows

    def _begin(self, channel: str, most: int) -> _Begun | None:
        while rows := self._rows(channel, most):
            out = [self._outgoing(channel, row.message) for row in rows]
            limit = self._most()
            large = [(row, len(one.body)) for row, one in zip(rows, out, strict=True) if len(one.body) > limit]
            if not large:
                take = documents.noted(self._outbox.taking(rows), documents.named([row.message for row in rows], out))
                return _Begun(rows, self._publish(out), take)
            for row, size in large:  # one by one: what stands between two of them stays
                self._bury(channel, row, too_large(channel, size, limit))
        return None

    def _bury(self, channel: str, row: Delivery, why: Rejected) -> None:
        """Nobody could check it, or the limit was another one then: a unit's own outputs were looked at before."""
        message = row.message.with_headers(attempt=0)
        try:
            self._settle_dead(channel, row, message, why)
        except Rejected as error:
            if not unreported(error):
                raise
            self._settle_dead(channel, row, message.told(), why)

    def _settle_dead(self, channel: str, row: Delivery, message: Message, why: Rejected) -> None:
        settlement = Settlement(channel)
        bury(settlement, channel, message, (why.code, why.message), message.headers.id)
        self._outbox.settle_with(settlement, "relay", self._outbox.taking([row]))

    def _settle(self, channel: str, begun: _Begun) -> None:
        self._published(begun.job, channel)
        self._outbox.settle_with(Settlement(channel), "relay", begun.take)

    def _try(self, channel: str, deadline: float) -> int:
        if channel not in self._trials:
            if (trial := self._begin(channel, _TRIED)) is None:
                return 0
            begun = self._trials[channel] = trial
            begun.job.told = self._ready
        begun = self._trials[channel]
        job = begun.job
        if not job.done.is_set() and time.monotonic() - job.begun < deadline:
            raise Stalled("NET222", f"`{channel}` has not confirmed yet", hint="it is looked at again")
        del self._trials[channel]
        self._settle(channel, begun)
        return len(begun.rows)
