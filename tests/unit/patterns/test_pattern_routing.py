"""Filter, router, recipient list and wire tap: where a message goes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bus import Blob, Branch, Group, Message, Rejected, Send, Sequence, child_id

if TYPE_CHECKING:
    from bus.testing.steps import StepBench

EUR = {"amount": {"value": Decimal(5), "currency": "EUR"}}


def codes_of(error: ValidationError) -> set[str]:
    return {found["type"] for found in error.errors()}


# ---------------------------------------------------------------- filter


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("amount.value > 4", True),
        ("amount.value > 5", False),
        ("missing > 4", False),
        ("missing", False),
        ("amount", True),
    ],
)
def test_filter_passes_what_fits(bench: StepBench, condition: str, *, passes: bool) -> None:
    message = bench.message(EUR)

    assert bench.run(bench.build({"filter": condition}), message) == ([message] if passes else [])


@pytest.mark.parametrize("body", [b"raw", Blob("0" * 64, 3), Group(1, 2)])
def test_filter_never_swallows_what_it_cannot_read(bench: StepBench, body: Any) -> None:
    with pytest.raises(Rejected) as caught:
        bench.run(bench.build({"filter": "amount.value > 4"}), body)
    assert caught.value.code == "VAL504"


# ---------------------------------------------------------------- router


ROUTER = {
    "route": [
        {"when": "amount.currency == 'EUR'", "to": "north"},
        {"when": "amount.value > 3", "name": "big", "steps": [{"filter": "amount"}]},
        {"otherwise": "review"},
    ]
}


def test_router_takes_the_first_branch_that_fits(bench: StepBench) -> None:
    step = bench.build(ROUTER)

    def way(body: Any) -> list[Any]:
        return bench.run(step, bench.message(body, id="a" * 32))

    both = bench.message(EUR, id="a" * 32)
    assert way(EUR) == [Branch("0", both)]
    usd = {"amount": {"value": Decimal(5), "currency": "USD"}}
    assert [effect.label for effect in way(usd)] == ["big"]
    assert [effect.label for effect in way({"amount": None})] == ["otherwise"]
    assert [effect.label for effect in way({})] == ["otherwise"]


def test_router_flows_lead_where_the_branches_say(bench: StepBench) -> None:
    flows = bench.spec(ROUTER).flows()

    assert {label: flow.to for label, flow in flows.items()} == {"0": "north", "big": "", "otherwise": "review"}
    assert [step.key for step in flows["big"].steps] == ["filter"]


def test_otherwise_true_goes_on_behind_the_router_or_where_to_says(bench: StepBench) -> None:
    assert bench.spec({"route": [{"otherwise": "true"}]}).flows()["otherwise"].to == ""
    assert bench.spec({"route": [{"otherwise": True, "to": "x"}]}).flows()["otherwise"].to == "x"
    assert bench.spec({"route": [{"otherwise": "none"}]}).flows()["otherwise"].to == "none"


def test_what_fits_no_branch_is_rejected_not_lost(bench: StepBench) -> None:
    with pytest.raises(Rejected) as caught:
        bench.run(bench.build({"route": [{"when": "amount.value > 100", "to": "x"}]}), EUR)
    assert caught.value.code == "VAL501"


@pytest.mark.parametrize(
    "branches",
    [
        [],
        [{"to": "x"}],
        [{"when": "a", "otherwise": "x"}],
        [{"otherwise": "x"}, {"when": "a"}],
        [{"otherwise": "x", "to": "y"}],
        [{"when": "a", "name": "n"}, {"when": "b", "name": "n"}],
    ],
)
def test_unclear_routers_are_refused(bench: StepBench, branches: list[Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"route": branches})
    assert codes_of(caught.value) == {"CFG503"}


def test_a_typo_in_a_branch_is_an_error(bench: StepBench) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"route": [{"when": "a", "too": "x"}]})
    assert caught.value.errors()[0]["loc"] == ("route", "branches", 0, "too")


# ---------------------------------------------------------------- recipient list


def test_first_recipient_gets_the_message_the_others_copies(bench: StepBench) -> None:
    step = bench.build({"recipients": ["ledger", {"when": "amount.value > 100", "to": "review"}, {"to": "report"}]})
    message = bench.message(EUR, number=7, sequence=Sequence(3, 1), attempt=2)

    first, second = bench.run(step, message)

    assert first == Branch("0", message)
    assert isinstance(second, Branch)
    assert second.label == "2"
    headers = second.message.headers
    assert headers.id == child_id(message.headers.id, "bench", "step", 2)
    assert (headers.parent_id, headers.number, headers.attempt, headers.copy) == (message.headers.id, 0, 0, True)
    assert headers.correlation_id == message.headers.correlation_id
    assert headers.sequence == Sequence(3, 1), "a copy joins the groups of its batch"
    assert second.message.body == EUR
    assert bench.run(step, message) == [first, second], "a re-run makes the same copies"


def test_recipients_before_the_first_that_wants_it_do_not_count(bench: StepBench) -> None:
    step = bench.build({"recipients": [{"when": "no", "to": "a"}, {"when": "amount", "to": "b"}]})

    (only,) = bench.run(step, EUR)

    assert isinstance(only, Branch)
    assert only.label == "1"
    assert not only.message.headers.copy


def test_what_nobody_wants_is_rejected(bench: StepBench) -> None:
    with pytest.raises(Rejected) as caught:
        bench.run(bench.build({"recipients": [{"when": "no", "to": "a"}]}), EUR)
    assert caught.value.code == "VAL502"


@pytest.mark.parametrize("recipients", [[], [{"to": "a", "name": "x"}, {"to": "b", "name": "x"}]])
def test_unclear_recipient_lists_are_refused(bench: StepBench, recipients: list[Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"recipients": recipients})
    assert codes_of(caught.value) == {"CFG503"}


# ---------------------------------------------------------------- wire tap


def test_tap_sends_a_copy_and_lets_the_message_go_on(bench: StepBench) -> None:
    message = bench.message(EUR)

    original, sent = bench.run(bench.build({"tap": "audit"}), message)

    assert original == message
    assert isinstance(sent, Send)
    assert sent.channel == "audit"
    assert sent.message.headers.copy
    assert sent.message.headers.id == child_id(message.headers.id, "bench", "step", 0)
    assert sent.message.body == EUR


def test_tap_with_a_condition(bench: StepBench) -> None:
    step = bench.build({"tap": {"to": "watch", "when": "amount.value > 100"}})

    assert [type(effect) for effect in bench.run(step, EUR)] == [Message]


def test_a_group_cannot_be_tapped(bench: StepBench) -> None:
    with pytest.raises(Rejected) as caught:
        bench.run(bench.build({"tap": "audit"}), Group(1, 2))
    assert caught.value.code == "VAL505"
