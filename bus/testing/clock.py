"""A clock that stands until a test moves it."""

from __future__ import annotations

_START = 1_795_420_800_000  # 2026-11-23T08:00:00Z, a Monday


class ManualClock:
    """:class:`bus.ports.Clock` for tests and simulations; milliseconds since 1970-01-01 UTC."""

    def __init__(self, now: int = _START) -> None:
        self._now = now

    def now(self) -> int:
        """The time it was set to."""
        return self._now

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self._now += milliseconds
