"""Currency conversion: the one step that may change what a message is worth."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bus import (
    Converted,
    Effect,
    ExpressionText,
    FieldPath,
    Message,
    Money,
    Rejected,
    Step,
    StepResources,
    StepSpec,
    get_field,
    with_field,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConverterSpec(StepSpec):
    """Converts an amount into another currency, with both legs in the books (EIP Message Translator for money).

    ```yaml
    - convert:
        to: "'EUR'"
        rate: exchange_rate
        original: instructed_amount
    ```

    The new amount is the old one times the rate, rounded half to even to the new currency's decimals (ISO 4217). Any
    other step that changes an amount is refused (INT132).

    Delivery: the conversion is committed with the unit; the history tells both amounts and the rate.
    """

    key = "convert"

    to: ExpressionText
    """Expression over the body for the currency to convert into."""
    rate: ExpressionText
    """Expression over the body for the rate: units of the new currency for one of the old."""
    amount: FieldPath = "amount"
    """Where the amount ``{value, currency}`` stands and where the new one goes."""
    original: FieldPath = ""
    """Where the old amount is kept; empty = only in the history."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        to, rate = resources.expression(self.to), resources.expression(self.rate)
        place, original = tuple(self.amount.split(".")), tuple(filter(None, self.original.split(".")))

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            before = get_field(body, place) if isinstance(body, dict) else None
            if not isinstance(before, dict) or not {"value", "currency"} <= before.keys():
                raise Rejected(
                    "VAL593", f"there is no amount at `{self.amount}`", hint="convert a body with {value, currency}"
                )
            factor = rate(body)
            if isinstance(factor, bool) or not isinstance(factor, int | Decimal) or factor <= 0:
                raise Rejected("VAL594", "the rate is no number above zero", hint="to_number(…) makes one of a text")
            currency = to(body)
            if not isinstance(currency, str):
                raise Rejected("VAL594", "the currency to convert into is missing", hint="write for instance 'EUR'")
            old = Money.of(before["value"], str(before["currency"]))
            new = Money(old.value * factor, currency).rounded()
            changed = with_field(body, place, {"value": new.value, "currency": new.currency})
            if original:
                changed = with_field(changed, original, before)
            legs = Converted((old.currency, old.value), (new.currency, new.value), Decimal(factor))
            return (legs, message.with_body(changed).with_headers(worth=(new.currency, new.value)))

        return step
