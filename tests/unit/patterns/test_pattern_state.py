"""Aggregator, resequencer, idempotent receiver, delay and hold: what has to be remembered or waited for."""

from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bus import Hold, Join, Rejected, Remember, Resequence, Retryable, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.testing.steps import StepBench


def rejected(run: Callable[[], Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        run()
    return caught.value


def refused(bench: StepBench, written: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        bench.spec(written)
    return str(caught.value.errors()[0]["type"])


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# ---------------------------------------------------------------- aggregator


def test_aggregate_joins_by_key_in_order(bench: StepBench) -> None:
    by = {"by": ["iban", "amount"], "complete": {"size": "10"}, "order_by": ["n", "missing"]}
    message = bench.message({"iban": "DE1", "amount": Decimal("1.50"), "n": 7})

    assert bench.run(bench.build({"aggregate": by}), message) == [Join("step", ("DE1", "1.5"), message, (7, ""))]


def test_a_condition_completes_the_group(bench: StepBench) -> None:
    step = bench.build({"aggregate": {"complete": {"when": "last"}}})

    joins = [join for last in (True, False, None) for join in bench.run(step, {"last": last}) if isinstance(join, Join)]

    assert [join.complete for join in joins] == [True, False, False]


def test_the_engine_can_ask_for_the_completion(bench: StepBench) -> None:
    complete = bench.spec(
        {"aggregate": {"complete": {"batch": "true", "size": "5", "after": "30s", "every": "1h"}}}
    ).complete

    assert (complete.batch, complete.size, complete.after, complete.every) == (True, 5, 30_000, 3_600_000)


def test_a_member_without_key_is_not_put_with_strangers(bench: StepBench) -> None:
    step = bench.build({"aggregate": {"by": ["iban"], "complete": {"size": "2"}}})

    error = rejected(lambda: bench.run(step, {"other": 1}))

    assert error.code == "VAL510"
    assert "`iban`" in error.message


def test_a_message_of_no_batch_would_wait_for_ever(bench: StepBench) -> None:
    only = bench.build({"aggregate": {"complete": {"batch": "true"}}})
    timed = bench.build({"aggregate": {"complete": {"batch": "true", "after": "1s"}}})

    assert rejected(lambda: bench.run(only, {"a": 1})).code == "VAL511"
    assert len(bench.run(only, bench.message({"a": 1}, sequence=Sequence(1, 0)))) == 1
    assert len(bench.run(timed, {"a": 1})) == 1


@pytest.mark.parametrize("complete", [{}, {"batch": "false"}, {"size": "0"}])
def test_a_group_has_to_end(bench: StepBench, complete: dict[str, str]) -> None:
    assert refused(bench, {"aggregate": {"complete": complete}}) == "CFG504"


# ---------------------------------------------------------------- resequencer


@pytest.mark.parametrize("number", [3, Decimal(3), Decimal("3.0"), "3", "0003"])
def test_resequence(bench: StepBench, number: Any) -> None:
    step = bench.build({"resequence": {"by": ["a", "b"], "number": "n", "timeout": "4h", "first": "0"}})
    message = bench.message({"a": "x", "b": 1, "n": number})

    assert bench.run(step, message) == [Resequence("step", '["x","1"]', 3, message, 14_400_000, 0)]


def test_one_sequence_for_all(bench: StepBench) -> None:
    (effect,) = bench.run(bench.build({"resequence": {"number": "n"}}), {"n": 1})

    assert isinstance(effect, Resequence)
    assert (effect.key, effect.first, effect.timeout) == ("", 1, 3_600_000)


@pytest.mark.parametrize(
    "number", [None, "", "x", "-1", "²", Decimal("1.5"), Decimal("NaN"), Decimal("1E+99"), True, [1]]
)
def test_what_is_no_running_number_is_rejected(bench: StepBench, number: Any) -> None:
    step = bench.build({"resequence": {"number": "n"}})

    assert rejected(lambda: bench.run(step, {"n": number})).code == "VAL512"


def test_resequencing_needs_its_key(bench: StepBench) -> None:
    step = bench.build({"resequence": {"by": ["a"], "number": "n"}})

    assert rejected(lambda: bench.run(step, {"n": 1})).code == "VAL510"


# ---------------------------------------------------------------- idempotent receiver


def test_the_same_key_passes_once(bench: StepBench) -> None:
    step = bench.build({"idempotent": {"key": ["supplier", "number"], "window": "1d"}})
    first = bench.message({"supplier": "S", "number": 1})

    passed, remember = bench.run(step, first)
    assert passed == first
    until = bench.clock.now() + 86_400_000
    assert remember == Remember("idempotent/bench/step", '["S","1"]', first.headers.id, until)

    bench.settle([remember])
    assert bench.run(step, {"supplier": "S", "number": 1}) == []
    assert len(bench.run(step, {"supplier": "S", "number": 2})) == 2


def test_a_unit_that_runs_again_is_no_duplicate_of_itself(bench: StepBench) -> None:
    step = bench.build({"idempotent": "id"})
    message = bench.message({"id": "1"})

    bench.settle(bench.run(step, message))

    assert bench.run(step, message)[0] == message


def test_nothing_is_remembered_before_the_commit(bench: StepBench) -> None:
    step = bench.build({"idempotent": "id"})

    bench.run(step, {"id": "1"})

    assert len(bench.run(step, {"id": "1"})) == 2, "a unit that failed must not make its message a duplicate"


def test_two_messages_with_one_key_in_one_commit_are_a_conflict(bench: StepBench) -> None:
    step = bench.build({"idempotent": "id"})
    both = [bench.run(step, {"id": "1"}) for _ in range(2)]

    bench.settle(both[0])
    with pytest.raises(Retryable):
        bench.settle(both[1])


def test_a_key_is_forgotten_after_its_window(bench: StepBench) -> None:
    step = bench.build({"idempotent": {"key": "id", "window": "1d"}})
    bench.settle(bench.run(step, {"id": "1"}))

    bench.clock.pass_by(86_400_000)

    assert len(bench.run(step, {"id": "1"})) == 2


def test_a_window_of_nought_is_for_ever(bench: StepBench) -> None:
    _, remember = bench.run(bench.build({"idempotent": {"key": "id", "window": "0s"}}), {"id": "1"})

    assert isinstance(remember, Remember)
    assert remember.until == 0


def test_a_duplicate_can_be_held(bench: StepBench) -> None:
    spec = bench.spec({"idempotent": {"key": "id", "on_duplicate": "hold"}})
    assert spec.boundary == "hold", "a released message goes on with the next unit"
    assert bench.spec({"idempotent": "id"}).boundary == ""
    step = bench.build({"idempotent": {"key": "id", "on_duplicate": "hold"}})
    first = bench.message({"id": "1"})
    bench.settle(bench.run(step, first))

    (effect,) = bench.run(step, {"id": "1"})

    assert isinstance(effect, Hold)
    assert effect.code == "DUP110"
    assert first.headers.id in effect.reason


def test_a_message_without_key_is_rejected(bench: StepBench) -> None:
    assert rejected(lambda: bench.run(bench.build({"idempotent": "id"}), {})).code == "VAL513"


# ---------------------------------------------------------------- delay


def test_a_delay_holds_silently(bench: StepBench) -> None:
    message = bench.message({})

    assert bench.run(bench.build({"delay": "5m"}), message) == [Hold(message, until=bench.clock.now() + 300_000)]


@pytest.mark.parametrize(
    ("moment", "due"),
    [
        ("2026-11-24", "2026-11-24T00:00:00+00:00"),
        ("2026-11-24T09:30:00", "2026-11-24T09:30:00+00:00"),
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00+00:00"),
        ("2026-11-24T09:30:00+01:00", "2026-11-24T08:30:00+00:00"),
    ],
)
def test_a_delay_until_a_time_in_the_message(make_bench: Callable[..., StepBench], moment: str, due: str) -> None:
    bench = make_bench(now=milliseconds("2026-11-01T00:00:00+00:00"))

    (effect,) = bench.run(bench.build({"delay": {"until": "date"}}), {"date": moment})

    assert isinstance(effect, Hold)
    assert (effect.until, effect.code) == (milliseconds(due), "")


def test_a_time_without_offset_is_utc_wherever_the_machine_stands(
    make_bench: Callable[..., StepBench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        bench = make_bench(now=milliseconds("2026-11-01T00:00:00+00:00"))
        (effect,) = bench.run(bench.build({"delay": {"until": "date"}}), {"date": "2026-11-24T09:30:00"})
    finally:
        monkeypatch.undo()
        time.tzset()

    assert isinstance(effect, Hold)
    assert effect.until == milliseconds("2026-11-24T09:30:00+00:00")


def test_a_time_that_has_passed_does_not_delay(bench: StepBench) -> None:
    message = bench.message({"date": "2020-01-01"})

    assert bench.run(bench.build({"delay": {"until": "date"}}), message) == [message]


@pytest.mark.parametrize("moment", [None, "soon", "2026-13-01", 20261124, ""])
def test_what_is_no_time_is_rejected(bench: StepBench, moment: Any) -> None:
    step = bench.build({"delay": {"until": "date"}})

    assert rejected(lambda: bench.run(step, {"date": moment})).code == "VAL515"


@pytest.mark.parametrize("options", [{}, {"for": "5m", "until": "date"}, {"for": "0s"}])
def test_unclear_delays_are_refused(bench: StepBench, options: dict[str, str]) -> None:
    assert refused(bench, {"delay": options}) == "CFG508"


# ---------------------------------------------------------------- hold


def held(bench: StepBench, options: Any, body: Any) -> Hold:
    (effect,) = bench.run(bench.build({"hold": options}), body)
    assert isinstance(effect, Hold)
    return effect


def test_hold_for_release_opens_a_case(bench: StepBench) -> None:
    effect = held(bench, "release", {})

    assert (effect.code, effect.until, effect.when) == ("POL100", 0, "")
    assert "step" in effect.reason


def test_only_what_the_condition_names_is_held(bench: StepBench) -> None:
    options = {"until": "release", "when": "amount > 100", "reason": "over the limit", "code": "POL120"}
    small = bench.message({"amount": Decimal(100)})

    assert bench.run(bench.build({"hold": options}), small) == [small]
    effect = held(bench, options, {"amount": Decimal("100.01")})
    assert (effect.code, effect.reason) == ("POL120", "over the limit")


def test_hold_for_a_while_is_silent(bench: StepBench) -> None:
    effect = held(bench, "2h", {})

    assert (effect.code, effect.reason, effect.until) == ("", "", bench.clock.now() + 7_200_000)


@pytest.mark.parametrize(
    ("now", "time", "zone", "due"),
    [
        ("2026-11-24T06:59:00+00:00", "07:00", "UTC", "2026-11-24T07:00:00+00:00"),
        ("2026-11-24T07:00:00+00:00", "07:00", "UTC", "2026-11-25T07:00:00+00:00"),
        ("2026-11-24T06:30:00+00:00", "07:00", "Europe/Berlin", "2026-11-25T06:00:00+00:00"),
        ("2026-10-24T06:00:00+00:00", "07:00", "Europe/Berlin", "2026-10-25T06:00:00+00:00"),  # clocks go back
        ("2026-03-28T12:00:00+00:00", "02:30", "Europe/Berlin", "2026-03-29T01:30:00+00:00"),  # clocks go forward
    ],
)
def test_hold_until_the_next_time_of_day(
    make_bench: Callable[..., StepBench], now: str, time: str, zone: str, due: str
) -> None:
    bench = make_bench(now=milliseconds(now))

    assert held(bench, {"until": {"time": time, "zone": zone}}, {}).until == milliseconds(due)


def test_hold_until_a_condition_turns_true(bench: StepBench) -> None:
    options = {"release_when": "open"}
    free = bench.message({"open": True})

    effect = held(bench, options, {"open": False})
    assert (effect.when, effect.code, effect.until) == ("open", "", 0)
    assert bench.run(bench.build({"hold": options}), free) == [free]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "CFG505"),
        ({"until": "2h", "reason": "why"}, "CFG505"),
        ({"until": {"time": "07:00", "zone": "Mars/Olympus"}}, "CFG198"),
        ({"until": {"time": "07:00", "zone": "../etc/passwd"}}, "CFG198"),
        ({"until": "someday"}, "CFG111"),
        ({"until": {"time": "25:00"}}, "string_pattern_mismatch"),
    ],
)
def test_unclear_holds_are_refused(bench: StepBench, options: dict[str, Any], code: str) -> None:
    assert refused(bench, {"hold": options}) == code


def test_an_error_inside_until_is_shown_where_it_stands(bench: StepBench) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"hold": {"until": {"tmie": "07:00"}}})
    assert {error["loc"] for error in caught.value.errors()} == {("hold", "until", "time"), ("hold", "until", "tmie")}
