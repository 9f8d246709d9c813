"""EIP Message Filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus import Blob, Effect, ExpressionText, Group, Message, Rejected, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class FilterSpec(StepSpec):
    """Lets through only the messages for which a condition holds (EIP Message Filter).

    ```yaml
    - filter: amount.value > 0 && amount.currency == 'EUR'
    ```

    Null, false, 0 and empty count as *no*; comparing a missing field is *no* as well.

    Delivery: a message that does not pass ends here with the outcome *filtered*. It counts in its batch and in the
    money totals, so a filter can take messages out but never lose one unseen.
    """

    key = "filter"
    shorthand = "when"

    when: ExpressionText
    """Condition over the body."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        test = resources.expression(self.when)

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            if test(body):
                return (message,)
            # On bytes every field is missing: without this a forgotten `parse` would quietly filter everything.
            if isinstance(body, bytes | Blob | Group):
                raise Rejected("VAL504", "a condition needs plain data, the body is bytes", hint="put `parse` before")
            return ()

        return step
