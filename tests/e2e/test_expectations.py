"""What a route expects, and who hears of it when it does not come."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from houses import House, landscape
from pydantic import ValidationError

from bus.landscape import ExpectSpec
from bus.runtime.expectations import last_deadline

BUS = "outlets:\n  out: {endpoint: {file: {path: out}}}\n"
IN = 'from: {file: {path: in, match: "*.json", ready: {suffix: .tmp}}}\n'
ASKING = f"""\
route: asking
owner: desk
{IN}steps:
  - parse: jsonl
  - split: {{each: rows}}
  - request: {{partner: slow STEP}}
  - translate: {{to: json}}
to: out
expect: [{{answer_within: 2h OWNER}}, {{answer_within: 3h}}]
"""
HOUR = 3_600_000


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def house(root: Path, **files: str) -> House:
    named = {f"{name}.route.yaml": text for name, text in files.items()}
    return House(root, landscape(root / "routes", {"bus.yaml": BUS, **named}))


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("step", "owner", "after", "heard_by"),
    [
        ("", "", 2, "desk"),
        ("", ", owner: treasury", 2, "treasury"),
        (", answer_within: 1h", "", 1, "desk"),
        (", answer_within: 5h", ", owner: treasury", 5, "treasury"),
    ],
)
def test_an_answer_that_the_route_expects_is_missed_in_time(
    tmp_path: Path, step: str, owner: str, after: int, heard_by: str
) -> None:
    with house(tmp_path, asking=ASKING.replace(" STEP", step).replace(" OWNER", owner)) as bus:
        bus.drop("local/in/one.json", b'{"a": "1"}\n')
        bus.settle()
        bus.later((after - 1) * HOUR + HOUR // 2)
        assert bus.cases() == []
        bus.later(HOUR)
        assert bus.rows("SELECT code, owner, count FROM cases") == [("SLA102", heard_by, 1)]
        bus.later(24 * HOUR)
        assert bus.cases() == ["SLA102"]


# ---------------------------------------------------------------- files


def expecting(**words: str) -> str:
    inside = ", ".join(f"{name}: {text}" for name, text in words.items())
    return f"route: waiting\nowner: desk\n{IN}to: out\nexpect: [{{{inside}}}]\n"


def told(bus: House) -> list[str]:
    return [row[0] for row in bus.rows("SELECT summary FROM cases ORDER BY id")]


def test_a_route_that_came_into_use_after_the_hour_expects_nothing_of_that_day(tmp_path: Path) -> None:
    with house(tmp_path, waiting=expecting(file_by='"07:59"')) as bus:  # it is Monday, 08:00
        bus.later(23 * HOUR)
        assert told(bus) == []
        bus.later(HOUR)
        assert told(bus) == ["no file arrived by 07:59 UTC on 2026-11-24"]


def test_what_was_missed_while_no_bus_ran_is_told_afterwards(tmp_path: Path) -> None:
    with house(tmp_path, waiting=expecting(file_by='"18:00"')) as bus:
        bus.later(5 * 24 * HOUR)  # nobody looked from Monday to Saturday morning
        assert told(bus) == ["no file arrived by 18:00 UTC on 2026-11-27"]
        bus.later(24 * HOUR)
        assert len(told(bus)) == 1, "on Saturday and Sunday nothing is expected"


def test_the_hour_is_that_of_the_zone_in_summer_and_winter(tmp_path: Path) -> None:
    with house(tmp_path, waiting=expecting(file_by='"09:30"', zone="Europe/Berlin", weekdays="all")) as bus:
        bus.later(25 * 60_000)  # 08:25 UTC
        assert told(bus) == []
        bus.later(5 * 60_000)
        assert told(bus) == ["no file arrived by 09:30 Europe/Berlin on 2026-11-23"]
        ((context,),) = bus.rows("SELECT context FROM cases")
        assert "2026-11-23T09:30:00+01:00" in context
        bus.drop("local/in/late.json", b"{}")
        bus.settle()
        bus.later(22 * HOUR)
        assert len(told(bus)) == 1


@pytest.mark.parametrize(
    ("words", "now", "expected"),
    [
        ({"zone": "Europe/Berlin"}, "2026-07-01T16:00+00:00", "2026-07-01T18:00+02:00"),
        ({"zone": "Europe/Berlin"}, "2026-07-01T15:59+00:00", "2026-06-30T18:00+02:00"),
        ({"zone": "Europe/Berlin"}, "2026-12-01T16:59+00:00", "2026-11-30T18:00+01:00"),
        ({"zone": "Pacific/Auckland"}, "2026-11-23T12:00+00:00", "2026-11-23T18:00+13:00"),
        # Friday in Auckland is Thursday in UTC for half of the day.
        ({"zone": "Pacific/Auckland", "weekdays": "fri"}, "2026-11-27T05:00+00:00", "2026-11-27T18:00+13:00"),
        ({"weekdays": "sat-mon"}, "2026-11-27T20:00+00:00", "2026-11-23T18:00+00:00"),
        ({"weekdays": "tue, thu"}, "2026-11-27T20:00+00:00", "2026-11-26T18:00+00:00"),
        # The hour that summer time leaves out, and the one that comes twice.
        (
            {"file_by": "02:30", "zone": "Europe/Berlin", "weekdays": "all"},
            "2026-03-29T01:30+00:00",
            "2026-03-29T01:30Z",
        ),
        (
            {"file_by": "02:30", "zone": "Europe/Berlin", "weekdays": "all"},
            "2026-10-25T00:30+00:00",
            "2026-10-25T00:30Z",
        ),
    ],
)
def test_the_last_deadline(words: dict[str, str], now: str, expected: str) -> None:
    spec = ExpectSpec.model_validate({"file_by": "18:00", **words})
    assert last_deadline(spec, moment(now)).timestamp() * 1000 == moment(expected)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"file_by": "18:00", "weekdays": "mon-fry"}, "CFG199"),
        ({"file_by": "18:00", "weekdays": "mon-wed-fri"}, "CFG199"),
        ({"file_by": "18:00", "weekdays": ""}, "CFG199"),
        ({"file_by": "18:00", "zone": "Europe/Bonn"}, "CFG198"),
        ({"file_by": "6pm"}, "CFG152"),
        ({"answer_within": "4h", "weekdays": "mon-fri"}, "CFG151"),
        ({"answer_within": "4h", "zone": "UTC"}, "CFG151"),
    ],
)
def test_what_cannot_be_expected_is_refused(words: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ExpectSpec.model_validate(words)
    assert [error["type"] for error in caught.value.errors()] == [code]
