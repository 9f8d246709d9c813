"""The timer: one message per tick, the same tick again after a crash, one catch-up at most."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from bus.errors import ConfigError
from bus.runtime.schedule import Schedule
from bus.spec import EndpointSpec, PollSpec
from bus.testing.clock import ManualClock
from bus.testing.folder import ScriptedResources
from endpoints.timer import TimerSpec

MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()  # 2026-11-23T08:00:00Z, a Monday


def ticks(source: Any, most: int = 10) -> list[str]:
    return [inbound.identity for inbound in source.poll(most)]


def test_a_tick_is_made_once_and_carries_its_scheduled_time(clock: ManualClock) -> None:
    source = TimerSpec.model_validate({"every": "1h"}).source(ScriptedResources(clock))
    clock.advance(HOUR + 1_234)
    (inbound,) = source.poll(10)
    body = io.BytesIO()
    inbound.fetch(body)
    assert json.loads(body.getvalue()) == {"tick": "2026-11-23T09:00:00Z"}
    assert (inbound.identity, inbound.facts) == ("2026-11-23T09:00:00Z", (0, 0))
    assert inbound.name == "tick-2026-11-23T09:00:00Z.json"
    inbound.complete("done", "12345678")
    assert ticks(source) == []
    clock.advance(HOUR)
    assert ticks(source) == ["2026-11-23T10:00:00Z"]


def test_cron_ticks_on_its_minute_and_on_its_days(clock: ManualClock) -> None:
    source = TimerSpec.model_validate({"cron": "30 9 * * 1-5"}).source(ScriptedResources(clock))
    seen = []
    for _ in range(7 * 24 * 4):
        clock.advance(15 * MINUTE)
        seen += ticks(source)
    assert seen == [f"2026-11-{day}T09:30:00Z" for day in (23, 24, 25, 26, 27)]


@pytest.mark.parametrize(
    ("begin", "ticks_there"),
    [
        # 02:30 does not exist on the 29th of March, and comes twice on the 25th of October.
        ("2026-03-27T23:00:00Z", ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("2026-10-23T22:00:00Z", ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
    ],
)
def test_cron_follows_the_clock_of_its_zone_through_summer_time(begin: str, ticks_there: list[str]) -> None:
    start = int(datetime.fromisoformat(begin).timestamp() * 1000)
    words = {"cron": "30 2 * * *", "zone": "Europe/Berlin"}
    clock = ManualClock(start)
    source = TimerSpec.model_validate(words).source(ScriptedResources(clock))
    poll = Schedule(PollSpec.model_validate(words), start)
    made, polled = [], []
    for _ in range(3 * 24 * 4):
        clock.advance(15 * MINUTE)
        made += ticks(source)
        if poll.due(clock.now()):
            polled.append(datetime.fromtimestamp(clock.now() / 1000, UTC).isoformat().replace("+00:00", "Z"))
    assert made == ticks_there
    assert polled == ticks_there, "a source is looked at by the same clock"


@pytest.mark.parametrize("beyond", [0, 1, 999, 59_999])
def test_a_cron_tick_is_seen_at_its_very_moment(clock: ManualClock, beyond: int) -> None:
    source = TimerSpec.model_validate({"cron": "5 8 * * *"}).source(ScriptedResources(clock))
    clock.advance(5 * MINUTE - 1)
    assert ticks(source) == []
    clock.advance(1 + beyond)
    assert ticks(source) == ["2026-11-23T08:05:00Z"]


def test_of_many_missed_ticks_only_the_latest_is_made(clock: ManualClock) -> None:
    source = TimerSpec.model_validate({"every": "1m"}).source(ScriptedResources(clock))
    clock.advance(10 * MINUTE)
    assert ticks(source) == ["2026-11-23T08:10:00Z"]
    assert ticks(source) == []


@pytest.mark.parametrize(
    ("catch_up", "late", "made"),
    [("2h", HOUR, True), ("2h", 3 * HOUR, False), ("0s", MINUTE, False), ("5m", MINUTE, True)],
)
def test_a_tick_missed_before_the_start_is_caught_up_within_reason(
    clock: ManualClock, catch_up: str, late: int, *, made: bool
) -> None:
    clock.advance(late)
    spec = TimerSpec.model_validate({"cron": "0 8 * * *", "catch_up": catch_up})
    assert ticks(spec.source(ScriptedResources(clock))) == (["2026-11-23T08:00:00Z"] if made else [])


def test_the_same_tick_has_the_same_identity_after_a_crash(clock: ManualClock) -> None:
    spec = TimerSpec.model_validate({"every": "1h"})
    clock.advance(MINUTE)
    first = ticks(spec.source(ScriptedResources(clock, epoch=1)))
    clock.advance(MINUTE)
    assert ticks(spec.source(ScriptedResources(clock, epoch=2))) == first == ["2026-11-23T08:00:00Z"]


def test_an_abandoned_tick_is_made_again_however_long_it_takes(clock: ManualClock) -> None:
    source = TimerSpec.model_validate({"cron": "5 8 * * *"}).source(ScriptedResources(clock))
    clock.advance(5 * MINUTE)
    for _ in range(20):
        (inbound,) = source.poll(1)
        assert inbound.identity == "2026-11-23T08:05:00Z"
        inbound.abandon()
        clock.advance(10 * MINUTE)
    assert ticks(source) == ["2026-11-23T08:05:00Z"]
    source.close()


def test_a_clock_that_goes_back_makes_no_tick_twice(clock: ManualClock) -> None:
    source = TimerSpec.model_validate({"every": "1h"}).source(ScriptedResources(clock))
    clock.advance(HOUR)
    assert len(ticks(source)) == 1
    clock.advance(-HOUR)
    assert ticks(source) == []
    clock.advance(HOUR + MINUTE)
    assert ticks(source) == []
    assert ticks(source, most=0) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({}, "CFG139"),
        ({"every": "1h", "cron": "0 6 * * *"}, "CFG139"),
        ({"every": "10ms"}, "CFG139"),
        ({"every": "1h", "zone": "Europe/Berlin"}, "CFG139"),
        ({"cron": "0 6 * * *", "zone": "Europe/Bonn"}, "CFG198"),
        ({"cron": "0 6 * * *", "poll": {"zone": "Europe/Berlin"}}, "CFG114"),
        ({"cron": "every day"}, "CFG114"),
        ({"every": "soon"}, "CFG111"),
    ],
)
def test_words_are_checked(words: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TimerSpec.model_validate(words)
    assert [error["type"] for error in caught.value.errors()] == [code]


def test_nothing_is_sent_to_a_timer(clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match="CFG131"):
        TimerSpec.model_validate({"every": "1h"}).sink(ScriptedResources(clock))


def test_an_endpoint_that_has_only_one_side_says_so() -> None:
    with pytest.raises(ConfigError, match=r"CFG131.*sent to"):
        EndpointSpec().sink(None)  # type: ignore[arg-type]  # it never looks at its resources
    with pytest.raises(ConfigError, match=r"CFG131.*received from"):
        EndpointSpec().source(None)  # type: ignore[arg-type]  # as above
