"""Threads around the engine's synchronous functions: each task runs in one thread at a time, and only when woken."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

Task = Callable[[], bool]
"""Does a bounded piece of work; true when there is more."""


class Dispatcher:
    """A few threads that serve many named tasks fairly, round robin.

    Args:
        name: prefix of the thread names.
        threads: how many.
        failed: told of an error that a task let through; :meth:`again` wakes the task.
    """

    def __init__(self, name: str, threads: int, failed: Callable[[str, Exception], None]) -> None:
        self._tasks: dict[str, Task] = {}
        self._ready: deque[str] = deque()
        self._queued: set[str] = set()
        self._running: set[str] = set()
        self._begun: dict[str, tuple[float, int]] = {}
        self._started = False
        self._again: set[str] = set()
        self._stumbled: set[str] = set()
        lock = threading.RLock()
        self._wakeup = threading.Condition(lock)
        self._finished = threading.Condition(lock)
        self._stopping = False
        self._failed = failed
        self._threads = [threading.Thread(target=self._loop, name=f"{name}-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Start the threads."""
        self._started = True
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """Let every thread finish the piece of work in hand; false when one did not within ``timeout`` seconds."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify_all()
        for thread in self._threads:
            if thread.is_alive():  # a bus that was turned by hand never started them
                thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def tasks(self, tasks: dict[str, Task]) -> None:
        """Replace the tasks."""
        with self._wakeup:
            self._tasks = tasks

    def wake(self, name: str) -> None:
        """There may be work for this task."""
        if name in self._queued:  # it begins later than this and will find the work: no lock is needed to know that
            return
        with self._wakeup:
            if name not in self._tasks or name in self._queued:
                return
            if name in self._running:
                self._again.add(name)
                return
            self._queued.add(name)
            self._ready.append(name)
            self._wakeup.notify()

    def again(self) -> None:
        """Wake the tasks that let an error through since the last call: what they were woken for is not done."""
        with self._wakeup:
            stumbled, self._stumbled = self._stumbled, set()
        for name in stumbled:
            self.wake(name)

    def ended(self, names: set[str], timeout: float) -> bool:
        """Wait until none of these tasks is running; false when one still is after ``timeout`` seconds."""
        with self._wakeup:
            return self._finished.wait_for(lambda: not names & self._running, timeout)

    def running(self) -> dict[str, tuple[float, int]]:
        """Tasks in hand: (when begun, :func:`time.monotonic`; identifier of the thread)."""
        with self._wakeup:
            return dict(self._begun)

    def gone(self) -> int:
        """Threads that ended although nobody said stop."""
        if not self._started or self._stopping:
            return 0
        return sum(not thread.is_alive() for thread in self._threads)

    def idle(self) -> bool:
        """Nothing is queued or running."""
        with self._wakeup:
            return not (self._ready or self._running)

    def _loop(self) -> None:
        while True:
            with self._wakeup:
                while not self._ready and not self._stopping:
                    self._wakeup.wait()
                if self._stopping:
                    return
                name = self._ready.popleft()
                self._queued.discard(name)
                self._running.add(name)
                self._begun[name] = (time.monotonic(), threading.get_ident())
                task = self._tasks.get(name)
            more = False
            try:
                more = task() if task is not None else False
            except Exception as error:  # noqa: BLE001 - a thread of the bus must not die of one task
                self._failed(name, error)
                with self._wakeup:
                    self._stumbled.add(name)
            with self._wakeup:
                self._running.discard(name)
                del self._begun[name]
                self._finished.notify_all()
                if more or name in self._again:
                    self._again.discard(name)
                    if name not in self._queued:
                        self._queued.add(name)
                        self._ready.append(name)
                        self._wakeup.notify()
