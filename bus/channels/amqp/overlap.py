"""Finishes settlements behind the worker's back, in their order: it need not wait for confirms and for the disk."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from bus.channels.amqp.publisher import Job
from bus.errors import Retryable

_PATIENCE = 0.5
"""Seconds after which the thread waits for the first one itself, as what waits also watches the time it may take."""


class Begun(NamedTuple):
    """A settlement that is begun.

    Attributes:
        channel: where its messages came from.
        finish: does the rest; waits for the job first.
        failed: told what ``finish`` raised.
        job: what it waits for; nothing = it may be finished at once.
        light: with the job done, the rest takes no time worth a switch between threads.
    """

    channel: str
    finish: Callable[[], None]
    failed: Callable[[Exception], None]
    job: Job | None = None
    light: bool = False


class Overlap:
    """One thread that finishes what was begun; what is light is finished by who sees its job done. Thread-safe.

    What belongs to one channel keeps its order when something fails: everything that was begun behind it fails too, and
    until all of that is back the channel is :meth:`hurt`: who takes from it would get something out of the middle.

    Args:
        most: how many settlements may be unfinished; who begins another one waits.
        healed: told of a channel when everything that failed is back.
    """

    def __init__(self, most: int, healed: Callable[[str], None]) -> None:
        self._most = most
        self._healed = healed
        self._begun: deque[Begun] = deque()
        self._busy = False
        """Somebody is finishing the first one."""
        self._failures: Counter[str] = Counter()
        self._hurt: set[str] = set()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        """Something is finished."""
        self._wanted = threading.Condition(lock)
        """Something is to be finished that only the thread may."""
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="amqp settling", daemon=True)
        self._thread.start()

    def add(self, begun: Begun) -> None:
        """Have it finished after all that were added before."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._begun) < self._most)
            self._begun.append(begun)
        if begun.job is not None:
            begun.job.told = self._advance
        if begun.job is None or begun.job.done.is_set():
            self._advance()

    def failures(self, channel: str) -> int:
        """How often something of the channel failed: another number later means that what was taken came too early."""
        with self._changed:
            return self._failures[channel]

    def hurt(self, channel: str) -> bool:
        """Whether something failed and not everything behind it is back yet."""
        with self._changed:
            return channel in self._hurt

    def clear(self, channel: str) -> None:
        """Wait until everything of the channel is finished; that takes no longer than the broker and the disk may."""
        with self._changed:
            self._changed.wait_for(lambda: not self._holds(channel))

    def idle(self) -> bool:
        """Whether everything is finished."""
        with self._changed:
            return not self._begun

    def close(self, timeout: float) -> None:
        """Finish what was begun, at most until the time is over; what is left comes again to the next process."""
        with self._changed:
            self._closed = True
            self._wanted.notify()
        self._thread.join(timeout)

    def _holds(self, channel: str) -> bool:
        return any(begun.channel == channel for begun in self._begun)

    def _advance(self) -> None:
        """A job is done: finish here what is light, from the first on; what is not is the thread's."""
        while True:
            with self._changed:
                if self._busy or not self._begun:
                    return  # who is busy looks for more
                first = self._begun[0]
                job = first.job
                if not first.light or job is None or not job.done.is_set() or job.error or first.channel in self._hurt:
                    self._wanted.notify()
                    return
                self._busy = True
            self._end(first)

    def _loop(self) -> None:
        while (first := self._next()) is not None:
            self._end(first)

    def _next(self) -> Begun | None:
        """The first one, when its job is done or it is high time; None at the end."""
        with self._changed:
            while True:
                waited_for = self._first()
                if waited_for is not None and (waited_for.job is None or waited_for.job.done.is_set()):
                    break
                if self._closed and not self._begun:
                    return None
                signalled = self._wanted.wait(_PATIENCE)
                if not signalled and waited_for is not None and self._first() is waited_for:
                    break
            self._busy = True
            return self._begun[0]

    def _first(self) -> Begun | None:
        """What nobody is finishing yet and has to come next; who is asked holds the lock."""
        return self._begun[0] if self._begun and not self._busy else None

    def _end(self, first: Begun) -> None:
        """Finish it, or fail with what failed before it; then it is the next one's turn."""
        channel = first.channel
        try:
            if channel in self._hurt:
                raise Retryable("SYS126", "a settlement before it failed", hint="it is tried again behind it")  # noqa: TRY301
            first.finish()
        except Exception as error:  # noqa: BLE001 - whatever it is, the messages are taken again
            with self._changed:
                self._failures[channel] += 1
                self._hurt.add(channel)
            first.failed(error)
        with self._changed:
            self._begun.popleft()
            self._busy = False
            healed = channel in self._hurt and not self._holds(channel)
            if healed:
                self._hurt.discard(channel)
            self._changed.notify_all()
            if self._closed:
                self._wanted.notify()
        if healed:
            self._healed(channel)
