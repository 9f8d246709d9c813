"""Registering outgoing payments, so that the bank's later answers find them (half of a Correlation Identifier)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bus import AnyFormat, Blob, Duration, Effect, Message, Register, Rejected, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

_IDENTIFIERS = ("message_id", "payment_information_id", "end_to_end_id")


class RegistrarSpec(StepSpec):
    """Remembers every payment of an outgoing file until the bank answered (EIP Correlation Identifier, Message Store).

    ```yaml
    - translate: {to: pain.001.001.09, profile: sepa-sct}
    - register: {partner: bank-north, answer_within: 4h, format: iso20022}
    ```

    The file that was just written is read again: what is registered is what the bank gets to see. `correlate`, in the
    route of the bank's status reports, finds the payments by message id, payment information id and end-to-end id.

    Delivery: the payments are committed with the unit that hands the file to its outlet, before anything leaves. Not
    answered within ``answer_within``, they become a case.
    """

    key = "register"

    partner: str = Field(min_length=1)
    """Who answers; `correlate` looks only at this partner's payments."""
    format: AnyFormat
    """Format of the file; its ``payments`` are read."""
    answer_within: Duration = 0
    """Time for the partner's first answer; 0 = what the route says under `expect`, else not watched."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        form = resources.format(self.format)
        blobs, clock = resources.blobs, resources.clock
        partner, within = self.partner, self.answer_within or resources.answer_within

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            if not isinstance(body, bytes | Blob):
                raise Rejected("VAL503", "`register` reads a written file", hint="put it behind `translate: {to: …}`")
            with BytesIO(body) if isinstance(body, bytes) else blobs.open(body) as source:
                document = form.read(source)
                rows = []
                for part in document.parts("payments"):
                    if part.error is not None:
                        raise part.error
                    rows.append(_row(partner, document.head, part.body, part.place))
            if not rows:
                raise Rejected("VAL540", "there is no payment in the file", hint="register payment files only")
            return (message, Register(tuple(rows), clock.now() + within if within else 0))

        return step


def _row(partner: str, head: dict[str, Any], payment: dict[str, Any], place: str) -> dict[str, Any]:
    row: dict[str, Any] = {"partner": partner}
    for name in _IDENTIFIERS:
        row[name] = payment.get(name) or head.get(name) or ""
    if not row["message_id"] or not row["end_to_end_id"]:
        raise Rejected("VAL541", "a payment in the file has no message id or end-to-end id", place=place)
    amount = payment["amount"]
    return {**row, "amount": amount["value"], "currency": amount["currency"]}
