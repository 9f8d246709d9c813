"""Finishes settlements behind the worker's back, in their order: it need not wait for confirms and for the disk."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable

from bus.errors import Retryable


class Overlap:
    """One thread that finishes what was begun. Thread-safe.

    What belongs to one channel keeps its order when something fails: everything that was begun behind it fails too, and
    until all of that is back the channel is :meth:`hurt`: who takes from it would get something out of the middle.

    Args:
        most: how many settlements may be unfinished; who begins another one waits.
        healed: told of a channel when everything that failed is back.
    """

    def __init__(self, most: int, healed: Callable[[str], None]) -> None:
        self._most = most
        self._healed = healed
        self._begun: deque[tuple[str, Callable[[], None], Callable[[Exception], None]]] = deque()
        self._failures: Counter[str] = Counter()
        self._hurt: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="amqp settling", daemon=True)
        self._thread.start()

    def add(self, channel: str, finish: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        """Have ``finish`` called after all that were added before; what it raises is handed to ``failed``."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._begun) < self._most)
            self._begun.append((channel, finish, failed))
            self._changed.notify_all()

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
            self._changed.notify_all()
        self._thread.join(timeout)

    def _holds(self, channel: str) -> bool:
        return any(name == channel for name, *_ in self._begun)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._begun or self._closed)
                if not self._begun:
                    return
                channel, finish, failed = self._begun[0]
                behind = channel in self._hurt
            try:
                if behind:
                    raise Retryable("SYS126", "a settlement before it failed", hint="it is tried again behind it")  # noqa: TRY301
                finish()
            except Exception as error:  # noqa: BLE001 - whatever it is, the messages are taken again
                with self._changed:
                    self._failures[channel] += 1
                    self._hurt.add(channel)
                failed(error)
            with self._changed:
                self._begun.popleft()
                healed = channel in self._hurt and not self._holds(channel)
                if healed:
                    self._hurt.discard(channel)
                self._changed.notify_all()
            if healed:
                self._healed(channel)
