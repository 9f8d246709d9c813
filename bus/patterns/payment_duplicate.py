"""Payment-level duplicate control: the same payment again, from another file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus import (
    Duration,
    Effect,
    ExpressionText,
    Hold,
    Message,
    Rejected,
    Remember,
    Step,
    StepResources,
    StepSpec,
    key_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SCOPE = "payment-duplicates"
_ALWAYS = (
    "debtor.account.iban || debtor.account.other",
    "creditor.account.iban || creditor.account.other",
    "amount.value",
    "amount.currency",
)
_REFERENCES = ("end_to_end_id", "invoice", "remittance.structured[0].reference", "remittance.unstructured")
_NO_REFERENCE = ("", "NOTPROVIDED", "NOT PROVIDED")


class PaymentDuplicateSpec(StepSpec):
    """Holds a payment that was already made from another file (Idempotent Receiver for payments).

    ```yaml
    - payment_duplicates: {within: 30d}
    - payment_duplicates: {by: [creditor.account.iban, amount.value, amount.currency, invoice], within: 90d}
    ```

    Two payments are the same when debtor account, creditor account, amount and currency agree and one reference does:
    the end-to-end id or the invoice, and where a payment has neither, its remittance information. ``by`` puts other
    expressions in the place of this rule; then all of them have to agree.

    Delivery: a payment is remembered in the commit of its own unit. A second one, from another arrival, is held with a
    case (DUP111) that names both files; released, it goes on with the next step. Repeats inside one file pass: they
    are the sender's business and part of the control totals. The memory is shared by all routes.
    """

    key = "payment_duplicates"
    shorthand = "within"
    boundary = "hold"

    by: tuple[ExpressionText, ...] = ()
    """Expressions over the body in the place of the standard rule."""
    within: Duration = 2_592_000_000
    """How long a payment is remembered; 0 = for ever."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        keys = _own_rule(self.by, resources) if self.by else _standard_rule(resources)
        reader, clock, within = resources.reader, resources.clock, self.within

        def step(message: Message) -> Iterable[Message | Effect]:
            arrival = message.headers.correlation_id
            whence = f"{arrival} {message.headers.name}"
            until = clock.now() + within if within else 0
            effects: list[Message | Effect] = [message]
            for key in keys(message.body):
                known = reader.recall(_SCOPE, key)
                if known is not None and known.partition(" ")[0] != arrival:
                    return (Hold(message, "DUP111", _reason(known, message.headers.name)),)
                effects.append(Remember(_SCOPE, key, whence if known is None else known, until))
            return effects

        return step


def _reason(known: str, name: str) -> str:
    """Which file the first one came with; where that says nothing, or the same, the id of its arrival."""
    arrival, _, first = known.partition(" ")
    if not first or first == name:
        return f"the same payment came before, with arrival {arrival}"
    return f"the same payment came before, with {first}"


def _own_rule(by: tuple[str, ...], resources: StepResources) -> Callable[[Any], list[str]]:
    parts = tuple((resources.expression(text), text) for text in by)
    rule = key_text(*by)

    def keys(body: Any) -> list[str]:
        return [key_text(rule, *_required(parts, body))]

    return keys


def _standard_rule(resources: StepResources) -> Callable[[Any], list[str]]:
    always = tuple((resources.expression(text), text) for text in _ALWAYS)
    references = tuple((resources.expression(text), text) for text in _REFERENCES)

    def keys(body: Any) -> list[str]:
        common = _required(always, body)
        found: list[str] = []
        for n, (expression, text) in enumerate(references):
            if n > 1 and found:
                break  # remittance information counts only where a payment has no reference of its own
            value = expression(body)
            if value not in _NO_REFERENCE and value:
                found.append(key_text(text, *common, value))
        return found or [key_text("", *common)]

    return keys


def _required(parts: tuple[tuple[Callable[[Any], Any], str], ...], body: Any) -> list[Any]:
    values = []
    for part, text in parts:
        value = part(body)
        if value is None or value == "":
            raise Rejected("VAL514", f"the duplicate check needs `{text}`", hint="require it by `validate`")
        values.append(value)
    return values
