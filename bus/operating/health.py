"""Whether a running bus makes progress (live) and whether it can work (ready), and if not, why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bus.errors import BusError
from bus.landscape import ChannelSource
from bus.ledger.place import open_reading

if TYPE_CHECKING:
    from bus.app import App
    from bus.ledger.reading import Reading

LONGEST = 600.0
"""Seconds that a piece of work may take without anything becoming durable; a partner's own limits may be longer."""
_GRACE = 60.0
_SCHEDULER = 120.0
_PATIENCE = 2.0
_FRESH = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``/healthz`` answers; reasons are sentences for people."""

    live: bool
    ready: bool
    why: tuple[str, ...] = ()


class Health:
    """Judges one running bus. Thread-safe.

    Args:
        app: the bus; its store is read through a connection of its own.
        clock: seconds that only grow.
    """

    def __init__(self, app: App, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._looked, self._store = float("-inf"), ""

    def stuck(self) -> list[str]:
        """What makes no progress; asks nobody, so that it answers whatever hangs."""
        pulse = self._app.bus.pulse()
        if not pulse.started:
            return []
        found = [f"{name}: no progress for {age:.0f} s" for name, age in pulse.tasks.items() if age > self._limit(name)]
        if pulse.gone:
            found.append(f"{pulse.gone} threads ended")
        if pulse.tick > _SCHEDULER:
            found.append(f"the scheduler did not look for {pulse.tick:.0f} s")
        return found

    def _limit(self, task: str) -> float:
        """Seconds that a task may be silent: a partner's time-outs and a margin where they are longer than usual."""
        landscape = self._app.landscape
        name = task.removeprefix("source ")
        if name != task:
            loaded = landscape.routes.get(name)
            endpoint = loaded.spec.from_ if loaded and not isinstance(loaded.spec.from_, ChannelSource) else None
        else:
            outlet = landscape.spec.outlets.get(name)
            endpoint = outlet.endpoint if outlet else None
        connection = landscape.connections.get(getattr(endpoint, "connection", ""))
        allowed = sum(getattr(connection, field, 0) for field in ("connect_timeout", "timeout", "transfer_timeout"))
        return max(LONGEST, allowed / 1000 + _GRACE) if connection is not None else LONGEST

    def broker(self) -> str:
        """Why the broker cannot be used; empty when it can, or when the channels are in the ledger's database."""
        trouble: Callable[[], str] | None = getattr(self._app.broker, "trouble", None)
        return trouble() if trouble is not None else ""

    def store(self) -> str:
        """Why the ledger cannot be read, empty when it can; asked at most once a second, for two seconds at most."""
        with self._lock:
            if self._clock() - self._looked >= _FRESH:
                self._store = self._ask()
                self._looked = self._clock()
            return self._store

    def _ask(self) -> str:
        try:
            if self._reading is None:
                self._reading = open_reading(self._app.place, patience=_PATIENCE)
            self._reading.rows("SELECT value FROM meta WHERE key = 'next_number'")
        except BusError as error:
            self._forget()
            return f"{error.code} {error.message}"
        return ""

    def _forget(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def verdict(self) -> Verdict:
        """Everything together."""
        stuck = self.stuck()
        why = list(stuck)
        pulse = self._app.bus.pulse()
        if not pulse.started:
            why.append("the bus is stopping" if pulse.stopping else "the bus is starting")
        if trouble := self.store():
            why.append(f"ledger: {trouble}")
        if trouble := self.broker():
            why.append(f"broker: {trouble}")
        return Verdict(not stuck, not why, tuple(why))

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._forget()
