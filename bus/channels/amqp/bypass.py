"""Publishes to queues that do not confirm by a connection of their own, so that the others do not wait for them.

RabbitMQ takes what comes on a channel one after the other. A quorum queue without a majority of its nodes blocks it:
for twenty seconds with the first message, and for good as soon as some dozens are not confirmed.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence

from bus.channels.amqp.address import Address
from bus.channels.amqp.frames import Outgoing
from bus.channels.amqp.publisher import Job, Publisher
from bus.errors import Stalled

log = logging.getLogger("girobus")
_REST = 3
"""Deadlines from one attempt to the next."""


class Bypass(Publisher):
    """One connection, and another one for queues that did not confirm, until they do. Thread-safe.

    There one publication at a time tries each of these queues; meanwhile, and for a while behind it, others are refused
    at once (``NET222``). A queue that was suspected wrongly is back with its first confirm.
    """

    def __init__(self, address: Address, chance: random.Random) -> None:
        super().__init__(address, chance)
        self._chance = chance
        self.slow: dict[str, float] = {}
        """Queues that did not confirm in time: when each is tried again."""
        self._aside: Publisher | None = None

    def begin(self, items: Sequence[Outgoing], before: Job | None = None) -> Job:
        """As of any publisher; ``NET222`` for a queue that was tried a short while ago."""
        if self.slow and (slow := self.slow.keys() & {item.queue for item in items}):
            return self._try(items, before, slow)
        return super().begin(items, before)

    def wait(self, job: Job) -> None:
        """As of any publisher."""
        if not job.aside or self._aside is None:
            super().wait(job)
            return
        self._aside.wait(job)
        with self._lock:
            self.confirmed += job.count
            for queue in job.queues:
                self.slow.pop(queue, None)

    def close(self) -> None:
        """Disconnect; what is not confirmed fails."""
        super().close()
        if self._aside is not None:
            self._aside.close()

    def late(self, queues: set[str]) -> None:
        """Have these queues go aside; where one of them does already, that explains it."""
        if queues.isdisjoint(self.slow):
            self.slow |= dict.fromkeys(queues, 0.0)
            fields = {"code": "NET222", "queues": ", ".join(sorted(queues))}
            log.warning("a queue does not confirm and is published to by a connection of its own", extra=fields)

    def _try(self, items: Sequence[Outgoing], before: Job | None, slow: set[str]) -> Job:
        aside = self._may_try(before, slow)
        try:
            job = aside.begin(items)
        except Stalled:  # the broker is away, for which no queue is to blame
            with self._lock:
                self.slow |= dict.fromkeys(slow & self.slow.keys(), 0.0)
            raise
        job.aside = True
        return job

    def _may_try(self, before: Job | None, slow: set[str]) -> Publisher:
        now = time.monotonic()
        with self._lock:
            early = [queue for queue in slow if self.slow.get(queue, 0.0) > now]
            if early or (before is not None and not before.done.is_set()):  # nothing overtakes it on the other way
                name = (early or sorted(slow))[0]
                raise Stalled("NET222", f"`{name}` confirms nothing", hint="it is tried again in some seconds")
            self.slow |= dict.fromkeys(slow & self.slow.keys(), now + _REST * self._address.deadline)
            if self._aside is None:
                self._aside = Publisher(self._address, self._chance)
                self._aside.start()
            self.most = min(self.most, self._aside.most)
            return self._aside
