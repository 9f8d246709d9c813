"""Raising a case: asking for a person without stopping the message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bus import Effect, ExpressionText, Message, OpenCase, Step, StepResources, StepSpec, key_text

if TYPE_CHECKING:
    from collections.abc import Iterable


class RaiseCaseSpec(StepSpec):
    """Opens a case for the route's owner and lets the message go on (EIP Control Bus).

    ```yaml
    - case: a status report fits no payment of ours
    - case: {summary: the bank returned a payment, code: POL110, when: direction == 'credit', by: [statement_id]}
    ```

    The summary is a fixed text: values of the body would end up in logs and mails. The case leads to the message.

    Delivery: the case is committed together with the message. There is one case per message, or per value of ``by``;
    what repeats is counted on the open case and raises no second one.
    """

    key = "case"
    shorthand = "summary"

    summary: str = Field(min_length=1)
    """What a person has to know, in one sentence."""
    code: str = Field(default="POL110", pattern=r"^[A-Z]{3}\d{3}$")
    """Code of the case."""
    when: ExpressionText = ""
    """Condition over the body; empty = every message."""
    by: tuple[ExpressionText, ...] = ()
    """Expressions over the body: one case for all messages that agree in them; none = one for each message."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        test = resources.expression(self.when) if self.when else None
        by = tuple(resources.expression(text) for text in self.by)
        code, summary, where = self.code, self.summary, f"{resources.route}/{resources.step}"

        def step(message: Message) -> Iterable[Message | Effect]:
            if test is not None and not test(message.body):
                return (message,)
            about = key_text(*(part(message.body) for part in by)) if by else message.headers.id
            place = message.headers.place
            context = {"place": place} if place else {}
            return (message, OpenCase(code, summary, message, f"{where}/{about}", context))

        return step
