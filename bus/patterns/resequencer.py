"""EIP Resequencer."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bus import Duration, Effect, ExpressionText, Message, Rejected, Resequence, Step, StepResources, StepSpec, key_text

if TYPE_CHECKING:
    from collections.abc import Iterable


class ResequencerSpec(StepSpec):
    """Passes messages on in the order of their numbers (EIP Resequencer).

    ```yaml
    - resequence: {by: [account.iban], number: sequence_number, timeout: 4h}
    ```

    Delivery: the unit of work ends here. A message that came too early is stored in the ledger until the missing ones
    are there; after ``timeout`` the gap is skipped with a case. A number that was passed on already goes through at
    once. A message without key or number is rejected.
    """

    key = "resequence"
    boundary = "aggregate"

    by: tuple[ExpressionText, ...] = ()
    """Expressions over the body: every key has an order of its own; none = one order for all."""
    number: ExpressionText
    """Expression over the body for the running number."""
    first: int = Field(default=1, ge=0)
    """The number that a new key begins with."""
    timeout: Duration = 3_600_000
    """How long a gap is waited for."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        by = tuple((resources.expression(text), text) for text in self.by)
        number, text = resources.expression(self.number), self.number
        name, timeout, first = resources.step, self.timeout, self.first

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            values = []
            for part, name_of_part in by:
                value = part(body)
                if value is None:
                    raise Rejected("VAL510", f"the key `{name_of_part}` is missing", hint="require it by `validate`")
                values.append(value)
            place = _whole_number(number(body), text)
            return (Resequence(name, key_text(*values) if values else "", place, message, timeout, first),)

        return step


def _whole_number(value: Any, text: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and value == value.to_integral_value()
        and value.adjusted() < 18
    ):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    raise Rejected("VAL512", f"`{text}` is no whole number", hint="give the expression of a running number")
