"""Publishes persistent messages and waits until the broker has confirmed them all, in a sliding window."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from bus.channels.amqp.address import Address
from bus.channels.amqp.frames import Block, Confirm, Outgoing, blocks
from bus.channels.amqp.link import Link
from bus.errors import Stalled

log = logging.getLogger("girobus")
_CHANNEL = 1
"""Number of the one channel of the connection."""
_TOGETHER = 64
"""Messages that are one write, where the window has room for so many."""
_TOO_LARGE = re.compile(r"larger than (?:configured )?max size (\d+)")
"""How RabbitMQ says that it takes no message of that size."""


class Job:
    """Messages published together: done when all are confirmed, or one thing failed."""

    __slots__ = ("aside", "before", "begun", "blocks", "count", "done", "error", "left", "queues", "told")

    def __init__(self, items: Sequence[Outgoing], before: Job | None = None) -> None:
        self.queues = {item.queue for item in items}
        """Where the messages go."""
        self.aside = False
        """On its way by another connection, see :mod:`bus.channels.amqp.bypass`."""
        self.before = before
        """What this one must not overtake: where that failed, this one is not sent."""
        self.begun = time.monotonic()
        self.count = self.left = len(items)
        self.blocks: deque[Block] = deque()
        """What is not sent yet."""
        self.error: Stalled | None = None
        self.done = threading.Event()
        self.told: Callable[[], None] | None = None
        """Called behind ``done`` by the thread that saw it, with no lock held; it must not wait."""

    def fail(self, error: Stalled) -> None:
        """The first failure counts."""
        if self.error is None:
            self.error = error
        self.done.set()

    def over(self) -> None:
        """It is done, one way or the other: tell who waits for that."""
        self.done.set()
        told = self.told
        if told is not None:
            told()


class _Range:
    """Publications of one job with neighbouring tags; ``next`` is the first not confirmed with all before it."""

    __slots__ = ("early", "job", "last", "next")

    def __init__(self, job: Job, first: int, last: int) -> None:
        self.job, self.next, self.last = job, first, last
        self.early: set[int] = set()

    def confirm(self, tag: int, *, multiple: bool) -> int:
        """Book a confirm; by how many the first open tag moved."""
        before = self.next
        if multiple:
            self.next = max(before, min(tag, self.last) + 1)
        elif tag == before:
            self.next += 1
        else:
            self.early.add(tag)
        while self.early and self.next in self.early:
            self.early.discard(self.next)
            self.next += 1
        return self.next - before


class Publisher:
    """One connection that only publishes, so that an alarm of the broker never stops what is consumed. Thread-safe."""

    def __init__(self, address: Address, chance: random.Random) -> None:
        self._address = address
        self.link = Link(address, "publishing", self._opened, self._lost, chance)
        self.confirmed = 0
        """Messages confirmed since the start."""
        self.most = address.max_message_size
        """Most bytes of a message; fewer than the address says since the broker has refused one."""
        self._channel: Any = None
        self._jobs: deque[Job] = deque()
        self._open: set[Job] = set()
        """Begun and neither confirmed nor failed."""
        self._ranges: deque[_Range] = deque()
        self._flying = 0
        self._tag = 0
        self._blocked = False
        self._heard = 0.0
        self._newest = 0
        """A tag that was confirmed lately: what was sent long before it should be confirmed as well."""
        self._lock = threading.RLock()
        """Held over all that has to do with tags: they count publications in the order in which these are sent."""

    def start(self) -> None:
        """Begin to connect."""
        self.link.start()

    def trouble(self) -> str:
        """Why there is no connection; empty while there is one."""
        return self.link.trouble

    def close(self) -> None:
        """Disconnect; what is not confirmed fails."""
        self.link.close()

    def publish(self, items: Sequence[Outgoing]) -> None:
        """Publish all and block until all are confirmed.

        Raises:
            Stalled: ``NET221`` no connection, ``NET222`` it was lost, or the broker is blocked or silent, ``NET223``
                no such queue, ``NET224`` refused. Any of the messages may have arrived; they are published again under
                the same leg, by which the receiver knows them.
        """
        if items:
            self.wait(self.begin(items))

    def begin(self, items: Sequence[Outgoing], before: Job | None = None) -> Job:
        """Begin to publish; what is begun first is sent first. It fails when ``before``, begun earlier, has failed.

        Raises:
            Stalled: ``NET221`` no connection.
        """
        job = Job(items, before)
        connection = self.link.opened(self._address.deadline)
        if connection is not None:
            together = min(_TOGETHER, self._address.window)
            job.blocks.extend(blocks(items, _CHANNEL, connection.params.frame_max, together))
        with self._lock:
            if job.blocks and self.link.connection is connection:  # else _lost was called for it, or is about to be
                self._begin(job)
                return job
        raise Stalled(
            "NET221",
            f"the broker {self._address.shown} is away: {self.link.trouble}",
            hint="is it running, and is the login right?",
        )

    def wait(self, job: Job) -> None:
        """Block until all of a job is confirmed; raises as :meth:`publish`."""
        deadline = self._address.deadline
        moved, left = 0.0, job.left
        while not job.done.wait(0.5):
            now = time.monotonic()
            silent = now - max(job.begun, self._heard)
            if silent > deadline:
                why = "is blocked (memory or disk alarm)" if self._blocked else "does not confirm"
                self._blame()
                job.fail(Stalled("NET222", f"the broker {why} since {silent:.0f} s", hint="see the broker's log"))
                self.link.abort(f"no confirm for {silent:.0f} s")
            elif job.left != left or not moved:
                moved, left = now if self._overtaken(job) else 0.0, job.left
            elif now - moved > deadline:
                self._give_up(job)
        self._open.discard(job)
        if job.error is not None:
            raise job.error

    def late(self, queues: set[str]) -> None:
        """Told, with the lock held, which queues probably kept others waiting."""

    def _blame(self) -> None:
        """Nothing is confirmed: the broker takes what comes in turn, so the oldest may be what it cannot get rid of."""
        with self._lock:
            if self._ranges and not self._blocked:
                self.late(self._ranges[0].job.queues)

    def _overtaken(self, job: Job) -> bool:
        """Whether something sent behind it is confirmed already, so that its own queue is what it waits for.

        What waits for room in the window, or in a long line at a slow broker, is not overtaken.
        """
        with self._lock:
            return any(one.job is job and one.last < self._newest for one in self._ranges)

    def _give_up(self, job: Job) -> None:
        """Fail a job whose queue confirms nothing while others do; a confirm that comes later is nobody's."""
        with self._lock:
            if job.done.is_set():
                return
            names = ", ".join(f"`{name}`" for name in sorted(job.queues))
            job.fail(Stalled("NET222", f"{names} confirmed nothing in time", hint="has it a majority of its nodes?"))
            for one in [one for one in self._ranges if one.job is job]:
                self._flying -= one.last - one.next + 1
                self._ranges.remove(one)
            self.late(job.queues)
            self._send()

    def _begin(self, job: Job) -> None:
        before, job.before = job.before, None
        if before is not None and before.error is not None:
            job.fail(Stalled("NET222", "what was published before it failed", hint="it is retried"))
            return
        self._open.add(job)
        self._jobs.append(job)
        self._send()

    def _send(self) -> None:
        """Publish what the window has room for; who calls holds the lock."""
        channel = self._channel
        if channel is None or self._blocked:
            return
        while self._jobs:
            job = self._jobs[0]
            if job.error is not None or not job.blocks:
                self._jobs.popleft()
                continue
            block = job.blocks[0]
            if self._flying + block.count > self._address.window:
                break
            job.blocks.popleft()
            newest = self._ranges[-1] if self._ranges else None
            if newest is not None and newest.job is job:
                newest.last += block.count
            else:
                self._ranges.append(_Range(job, self._tag + 1, self._tag + block.count))
            self._tag += block.count
            self._flying += block.count
            channel.connection.publish(block)

    # ------------------------------------------------------------ the I/O thread

    def _opened(self, connection: Any) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._block(blocked=True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(blocked=False))
        connection.channel(_CHANNEL, on_open_callback=self._channel_open)

    def _channel_open(self, channel: Any) -> None:
        channel.add_on_close_callback(lambda _channel, why: self._channel_closed(str(why)))
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._refused, callback=lambda _ok: self._ready(channel))

    def _channel_closed(self, why: str) -> None:
        """A message of that size must not be published again: with the channel all fails that others publish."""
        if (found := _TOO_LARGE.search(why)) is not None and int(found[1]) < self.most:
            self.most = int(found[1])
            fields = {"code": "NET227", "broker": self._address.shown, "bytes": self.most}
            log.error("the broker takes smaller messages than `broker.max_message_size`", extra=fields)
        self.link.abort(f"channel closed: {why}")

    def _ready(self, channel: Any) -> None:
        with self._lock:
            self._tag = self._flying = self._newest = 0
            self._channel = channel
            channel.connection.confirms[channel.channel_number] = self._confirmed
            self._send()

    def _block(self, *, blocked: bool) -> None:
        with self._lock:
            self._blocked = blocked
            if not blocked:
                self._send()

    def _confirmed(self, confirms: list[Confirm]) -> None:
        self._heard = time.monotonic()
        with self._lock:
            self._newest = confirms[-1].tag
            done = self._book(confirms)
            self._send()
        for job in done:
            job.over()

    def _book(self, confirms: list[Confirm]) -> list[Job]:
        """The jobs of which nothing is left to be confirmed."""
        ranges, done, over = self._ranges, [], []
        for tag, multiple in confirms:
            for one in ranges:
                if one.next > tag:
                    break
                if multiple or tag <= one.last:
                    moved = one.confirm(tag, multiple=multiple)
                    self._flying -= moved
                    one.job.left -= moved
                    if one.next > one.last:
                        over.append(one)
                    if moved and not one.job.left:
                        done.append(one.job)
                        self._open.discard(one.job)
                        self.confirmed += one.job.count if one.job.error is None else 0
                    if not multiple:
                        break
            while over:  # at once, wherever they stand: one that is not confirmed must not make a long line of them
                ranges.remove(over.pop())
        return done

    def _refused(self, frame: Any) -> None:
        """``basic.nack``: the jobs of its tags fail; for the window they are over like confirmed ones."""
        method = frame.method
        with self._lock:
            for one in self._ranges:
                if one.next <= method.delivery_tag and (method.multiple or method.delivery_tag <= one.last):
                    self.late(one.job.queues)
                    one.job.fail(
                        Stalled("NET224", "the broker refused a message", hint="is the queue full, or a node away?")
                    )
        self._confirmed([Confirm(method.delivery_tag, method.multiple)])

    def _returned(self, _channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        """No queue took it. This comes before its confirm, so every job that goes to that queue still flies."""
        queue = method.routing_key
        error = Stalled("NET223", f"the broker has no queue `{queue}`", hint="was it deleted? `bus apply` declares it")
        with self._lock:
            for job in {id(one.job): one.job for one in self._ranges}.values():
                if queue in job.queues:
                    job.fail(error)

    def _lost(self, why: str) -> None:
        with self._lock:
            self._channel = None
            self._ranges.clear()
            self._jobs.clear()
            cut = [job for job in self._open.copy() if job.left]
            self._open.clear()
            for job in cut:
                text = f"the connection ended before all was confirmed: {why}"
                job.fail(Stalled("NET222", text, hint="it is retried"))
        for job in cut:
            job.over()
