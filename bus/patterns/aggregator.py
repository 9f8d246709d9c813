"""EIP Aggregator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Duration, Effect, ExpressionText, Join, Message, Rejected, Spec, Step, StepResources, StepSpec, key_text

if TYPE_CHECKING:
    from collections.abc import Iterable


class CompletionSpec(Spec):
    """When a group is complete: as soon as one of these is true."""

    batch: bool = False
    """Every message of the batch it came from has been dealt with; each batch has groups of its own."""
    size: int = Field(default=0, ge=0, le=10_000_000)
    """So many members; the next one begins a new group. 0 = no matter."""
    after: Duration = 0
    """No new member for so long. 0 = no matter."""
    every: Duration = 0
    """So long since the first member. 0 = no matter."""
    when: ExpressionText = ""
    """Condition over a member's body: this member is the last one."""

    @model_validator(mode="after")
    def _ends(self) -> CompletionSpec:
        if not (self.batch or self.size or self.after or self.every or self.when):
            raise PydanticCustomError(
                "CFG504", "the group would never be complete: give at least one of batch, size, after, every, when"
            )
        return self


class AggregatorSpec(StepSpec):
    """Collects messages that belong together and releases them as one group (EIP Aggregator).

    ```yaml
    - aggregate:
        by: [debtor.account.iban, execution_date]
        complete: {batch: true, size: 10000, after: 30s}
        order_by: [end_to_end_id]
    - translate: {to: pain.001.001.09, profile: sepa-sct}
    ```

    With ``batch`` no group mixes two files. A line that is retried or held leaves its batch at once and comes later in
    a group of its own, so that one line never delays a file.

    Delivery: the unit of work ends here. A member is stored in the ledger with the commit of its own unit, once per
    message id; the release is committed together with the member that completes it and has an id of its own, made from
    route, step, key and number of the release. Nothing is kept in memory. A message without one of the key's fields is
    rejected (VAL510) and never put with strangers.
    """

    key = "aggregate"
    shorthand = "by"
    boundary = "aggregate"

    by: tuple[ExpressionText, ...] = ()
    """Expressions over the body that tell which group a message belongs to; none = all in one."""
    complete: CompletionSpec
    """When a group is released."""
    order_by: tuple[ExpressionText, ...] = ()
    """Expressions that sort the members, numbers before texts; none = as they arrived."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        by = tuple((resources.expression(text), text) for text in self.by)
        order_by = tuple(resources.expression(text) for text in self.order_by)
        last = resources.expression(self.complete.when) if self.complete.when else None
        rule = self.complete
        only_batch = rule.batch and not (rule.size or rule.after or rule.every or rule.when)
        name = resources.step

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            if only_batch and message.headers.sequence is None:
                raise Rejected(
                    "VAL511", "the message is of no batch, its group would wait for ever", hint="add `size` or `after`"
                )
            key = []
            for part, text in by:
                value = part(body)
                if value is None:
                    raise Rejected("VAL510", f"the group's key `{text}` is missing", hint="require it by `validate`")
                key.append(key_text(value))
            order = tuple("" if (value := part(body)) is None else value for part in order_by)
            complete = last is not None and bool(last(body))
            return (Join(name, tuple(key), message, order, complete),)

        return step
