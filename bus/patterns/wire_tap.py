"""EIP Wire Tap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bus import Effect, ExpressionText, Group, Message, Rejected, Send, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class WireTapSpec(StepSpec):
    """Sends a copy of each message somewhere else and lets the message go on (EIP Wire Tap).

    ```yaml
    - tap: audit
    - tap: {to: treasury-watch, when: amount.value > 100000}
    ```

    Delivery: the copy has an id derived from the message's and is committed together with it, so it is neither lost
    nor doubled when the unit runs again. Copies are marked and not counted as money.
    """

    key = "tap"
    shorthand = "to"

    to: str = Field(min_length=1)
    """Outlet or channel that gets the copies."""
    when: ExpressionText = ""
    """Condition over the body; empty = every message."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        test = resources.expression(self.when) if self.when else None
        to, route, name = self.to, resources.route, resources.step

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            if isinstance(body, Group):
                # The members are deleted when the group's own unit commits; a copy would point to nothing.
                raise Rejected("VAL505", "an aggregate's group cannot be copied", hint="tap after `translate: {to: …}`")
            if test is not None and not test(body):
                return (message,)
            return (message, Send(to, message.copied(route, name, 0)))

        return step
