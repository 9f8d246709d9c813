"""The one step that may change what a message is worth."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bus.errors import Rejected
from bus.message import Converted, Message
from bus.testing.steps import StepBench

YEN = {"amount": {"value": Decimal(1000), "currency": "JPY"}, "rate": Decimal("0.0061")}


def test_both_legs_are_told_and_the_worth_follows() -> None:
    bench = StepBench()
    step = bench.build({"convert": {"to": "'EUR'", "rate": "rate", "original": "paid"}})
    legs, message = step(bench.message(YEN, worth=("JPY", Decimal(1000))))
    assert legs == Converted(("JPY", Decimal(1000)), ("EUR", Decimal("6.10")), Decimal("0.0061"))
    assert isinstance(message, Message)
    assert message.body["amount"] == {"value": Decimal("6.10"), "currency": "EUR"}
    assert message.body["paid"] == YEN["amount"]
    assert message.headers.worth == ("EUR", Decimal("6.10"))


def test_the_new_currency_decides_the_decimals() -> None:
    bench = StepBench()
    step = bench.build({"convert": {"to": "'JPY'", "rate": "rate"}})
    body = {"amount": {"value": Decimal("1.00"), "currency": "EUR"}, "rate": Decimal("163.5")}
    _, message = step(bench.message(body))
    assert isinstance(message, Message)
    assert str(message.body["amount"]["value"]) == "164"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "VAL593"),
        ({**YEN, "rate": "0.0061"}, "VAL594"),
        ({**YEN, "rate": 0}, "VAL594"),
        ({**YEN, "rate": None}, "VAL594"),
    ],
)
def test_what_cannot_be_computed_is_refused(body: object, code: str) -> None:
    bench = StepBench()
    step = bench.build({"convert": {"to": "'EUR'", "rate": "rate"}})
    with pytest.raises(Rejected, match=code):
        list(step(bench.message(body)))
