"""Settlements that are finished behind the worker's back stay in their order when one of them fails."""

from __future__ import annotations

import threading

from bus.channels.amqp.overlap import Overlap
from bus.errors import BusError


def test_what_was_begun_behind_a_failure_fails_too_and_another_channel_goes_on() -> None:
    told: list[str] = []
    gate, healed = threading.Event(), threading.Event()

    def broken() -> None:
        assert gate.wait(10)
        raise OSError

    def heal(channel: str) -> None:
        told.append(f"healed {channel}")
        healed.set()

    overlap = Overlap(4, heal)
    overlap.add("a", broken, lambda error: told.append(f"a1 {type(error).__name__} {overlap.hurt('a')}"))
    overlap.add("b", lambda: told.append("b"), lambda _error: told.append("b failed"))
    overlap.add("a", lambda: told.append("a2"), lambda e: told.append(f"a2 {e.code if isinstance(e, BusError) else e}"))
    assert (overlap.failures("a"), overlap.hurt("a")) == (0, False)
    gate.set()
    assert healed.wait(10)
    overlap.clear("a")
    overlap.add("a", lambda: told.append("a3"), lambda _error: told.append("a3 failed"))
    overlap.close(10)
    assert told == ["a1 OSError True", "b", "a2 SYS126", "healed a", "a3"]
    assert (overlap.failures("a"), overlap.failures("b"), overlap.hurt("a")) == (2, 0, False)
