"""Settlements that are finished behind the worker's back stay in their order when one of them fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bus.channels.amqp.overlap import Begun, Overlap
from bus.channels.amqp.publisher import Job
from bus.errors import Stalled


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
    overlap.add(Begun("a", broken, lambda error: told.append(f"a1 {type(error).__name__} {overlap.hurt('a')}")))
    overlap.add(Begun("b", lambda: told.append("b"), lambda _error: told.append("b failed")))
    overlap.add(Begun("a", lambda: told.append("a2"), lambda e: told.append(f"a2 {getattr(e, 'code', e)}")))
    assert (overlap.failures("a"), overlap.hurt("a")) == (0, False)
    gate.set()
    assert healed.wait(10)
    overlap.clear("a")
    overlap.add(Begun("a", lambda: told.append("a3"), lambda _error: told.append("a3 failed")))
    overlap.close(10)
    assert told == ["a1 OSError True", "b", "a2 SYS126", "healed a", "a3"]
    assert (overlap.failures("a"), overlap.failures("b"), overlap.hurt("a")) == (2, 0, False)


def test_what_is_light_is_finished_by_who_confirms_it_after_what_was_begun_before() -> None:
    told: list[str] = []
    first, second = Job([]), Job([])
    overlap = Overlap(4, lambda channel: told.append(f"healed {channel}"))

    def finish(name: str, job: Job) -> Callable[[], None]:
        def work() -> None:
            if job.error is not None:
                raise job.error
            told.append(f"{name} in {threading.current_thread().name}")

        return work

    def failed(error: Exception) -> None:
        told.append(f"failed in {threading.current_thread().name}: {getattr(error, 'code', error)}")

    overlap.add(Begun("a", finish("a1", first), failed, first, light=True))
    overlap.add(Begun("a", finish("a2", second), failed, second, light=True))
    second.over()
    assert told == []
    first.over()
    assert told == ["a1 in MainThread", "a2 in MainThread"]
    assert overlap.idle()
    confirmed = Job([])
    confirmed.over()  # before the worker came to say that it begun
    overlap.add(Begun("a", finish("a3", confirmed), failed, confirmed, light=True))
    assert told[2:] == ["a3 in MainThread"]
    lost = Job([])
    overlap.add(Begun("a", finish("a4", lost), failed, lost, light=True))
    lost.fail(Stalled("NET222", "the connection was lost"))
    lost.over()
    overlap.close(10)
    assert told[3:] == ["failed in amqp settling: NET222", "healed a"]


def test_the_thread_lives_on_when_others_finish_what_it_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked at something that is gone by the time its patience is over: there is nothing behind it."""
    monkeypatch.setattr("bus.channels.amqp.overlap._PATIENCE", 0.01)
    overlap = Overlap(4, lambda _channel: None)
    never = threading.Event()
    for _ in range(40):
        job = Job([])
        overlap.add(Begun("a", lambda: None, lambda _error: None, job, light=True))
        never.wait(0.008)
        job.over()
        overlap.clear("a")
        never.wait(0.005)
    heavy = threading.Event()
    overlap.add(Begun("a", heavy.set, lambda _error: None))
    assert heavy.wait(10)
    overlap.close(10)
