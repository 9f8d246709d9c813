"""Asking another system and knowing its answer when it comes (EIP Request-Reply); no thread waits for it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import Field

from bus import (
    Duration,
    Effect,
    FieldPath,
    Hold,
    Message,
    Progress,
    Register,
    Rejected,
    Remember,
    Step,
    StepResources,
    StepSpec,
    get_field,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_ANSWERED = "answered"


class RequestSpec(StepSpec):
    """Remembers a message as a request until its answer came (EIP Request-Reply, Correlation Identifier).

    ```yaml
    - request: {partner: rates, answer_within: 30s}
    ```

    The outlet sends the message's ``id`` as Correlation Identifier and its Return Address, for instance with
    ``amqp: {…, correlation_id: "{id}", reply_to: rates.answers}``; a route of its own takes the answers and finds the
    request with `reply`. Last step before the outlet: the id must not change after it.

    Delivery: the request is committed with the unit that hands it to the outlet, before anything leaves, and outlives
    restarts. Not answered within ``answer_within``, it becomes a case (SLA102).
    """

    key = "request"

    partner: str = Field(min_length=1)
    """Who answers; `reply` looks only at this partner's requests."""
    answer_within: Duration = 0
    """Time for the answer; 0 = what the route says under `expect`, else not watched."""
    keep: Duration = Field(default=90 * 86_400_000, ge=1)
    """How long an answer can find its request."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        clock, partner, keep = resources.clock, self.partner, self.keep
        within = self.answer_within or resources.answer_within

        def step(message: Message) -> Iterable[Message | Effect]:
            identity = message.headers.id
            now = clock.now()
            by = now + within if within else 0
            currency, amount = message.headers.worth or ("", Decimal(0))
            row = {"partner": partner, "message_id": identity, "end_to_end_id": identity, "amount": amount}
            watched = Register(({**row, "payment_information_id": "", "currency": currency},), by)
            return (message, watched, Remember(_scope(partner), identity, str(by), now + keep, replace=True))

        return step


class ReplySpec(StepSpec):
    """Finds the request that a message answers (EIP Request-Reply, the other half).

    ```yaml
    - reply: {partner: rates}
    ```

    The message goes on with ``request`` in its properties: ``id`` of the request, ``number`` and ``correlation`` of the
    message it came from. An answer that fits no request (NET261) and a second one (NET262) are dead letters with case;
    a late one (NET263) is held with a case, and goes on when it is released.

    Delivery: that the request is answered is committed with the message.
    """

    key = "reply"
    boundary = "hold"

    partner: str = Field(min_length=1)
    """Who answers, as in `request`."""
    correlation: FieldPath = "amqp.correlation_id"
    """Where in the message's properties the Correlation Identifier stands."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        reader, clock = resources.reader, resources.clock
        partner, path = self.partner, tuple(self.correlation.split("."))

        def step(message: Message) -> Iterable[Message | Effect]:
            identity = get_field(message.properties, path)
            known = reader.recall(_scope(partner), identity) if isinstance(identity, str) and identity else None
            if known is None:
                raise Rejected("NET261", "an answer fits no request of ours", hint="ask its sender what it answers")
            if known == _ANSWERED:
                raise Rejected("NET262", "a request was answered twice", hint="compare both answers")
            rows = reader.instructions({"partner": partner, "message_id": identity})
            found = {name: rows[0][name] for name in ("number", "correlation")} if rows else {}
            answer = message.with_properties(request={"id": identity, **found})
            done: list[Message | Effect] = [Progress(row["id"], "ACSC", "", row["status"]) for row in rows]
            done.append(Remember(_scope(partner), identity, _ANSWERED, clock.now() + _KEPT, replace=True, seen=known))
            late = bool(int(known)) and clock.now() > int(known)
            return (*done, Hold(answer, "NET263", "an answer came too late") if late else answer)

        return step


_KEPT = 90 * 86_400_000
"""How long a second answer is known as such."""


def _scope(partner: str) -> str:
    return f"request:{partner}"
