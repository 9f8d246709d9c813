"""Delayer: a message that waits for a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Duration, Effect, ExpressionText, Hold, Message, Rejected, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class DelayerSpec(StepSpec):
    """Lets each message wait for a while, or until a time that it names itself (Delayer).

    ```yaml
    - delay: 5m
    - delay: {until: execution_date}
    ```

    Delivery: the unit of work ends here. The message is stored with the time when it is due and goes on with the next
    step, in the version of the route it came in with. A time that has passed already does not delay. No case opens.
    """

    key = "delay"
    shorthand = "for"
    boundary = "hold"

    for_: Duration = Field(default=0, alias="for")
    """How long."""
    until: ExpressionText = ""
    """Expression over the body for an ISO 8601 date or date-time; without an offset it is UTC."""

    @model_validator(mode="after")
    def _one_of_two(self) -> DelayerSpec:
        if bool(self.for_) == bool(self.until):
            raise PydanticCustomError("CFG508", "write either `for: 5m` or `until: EXPRESSION`")
        return self

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        clock, wait = resources.clock, self.for_
        moment = resources.expression(self.until) if self.until else None
        text = self.until

        def step(message: Message) -> Iterable[Message | Effect]:
            now = clock.now()
            due = now + wait if moment is None else _milliseconds(moment(message.body), text)
            return (message,) if due <= now else (Hold(message, until=due),)

        return step


def _milliseconds(value: object, text: str) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise Rejected(
            "VAL515", f"`{text}` is no ISO date or date-time", hint="write for instance 2026-11-24T09:00:00Z"
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
