"""Finishes settlements behind the worker's back, in their order: it need not wait for confirms and for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Overlap:
    """One thread that finishes what was begun. Thread-safe.

    Args:
        most: how many settlements may be unfinished; who begins another one waits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun: deque[tuple[Callable[[], None], Callable[[Exception], None]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="amqp settling", daemon=True)
        self._thread.start()

    def add(self, finish: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        """Have ``finish`` called after all that were added before; what it raises is handed to ``failed``."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._begun) < self._most)
            self._begun.append((finish, failed))
            self._changed.notify_all()

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

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._begun or self._closed)
                if not self._begun:
                    return
                finish, failed = self._begun[0]
            try:
                finish()
            except Exception as error:  # noqa: BLE001 - whatever it is, the messages are taken again
                failed(error)
            with self._changed:
                self._begun.popleft()
                self._changed.notify_all()
