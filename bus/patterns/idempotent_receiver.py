"""EIP Idempotent Receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

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
    from collections.abc import Iterable


class IdempotentReceiverSpec(StepSpec):
    """Lets a message with the same business key through only once (EIP Idempotent Receiver).

    ```yaml
    - idempotent: {key: order_id, window: 90d}
    - idempotent: {key: [supplier, invoice_number], on_duplicate: hold}
    ```

    Delivery: the key is remembered in the same commit as what the message brings about, never before, so a crash
    between the two cannot lose the message. The same message running again is no duplicate of itself. A duplicate is
    *filtered*, or with ``on_duplicate: hold`` held with a case (DUP110) until a person releases or discards it.
    """

    key = "idempotent"
    shorthand = "key"

    key_: tuple[ExpressionText, ...] = Field(alias="key", min_length=1)
    """Expression, or several, over the body: what makes two messages the same."""
    window: Duration = 2_592_000_000
    """How long a key is remembered; 0 = for ever."""
    on_duplicate: Literal["drop", "hold"] = "drop"
    """What happens to a message whose key is known."""

    @field_validator("key_", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def boundary(self) -> Literal["", "hold"]:  # type: ignore[override]  # only a step that may hold ends the unit
        """``hold`` where a duplicate is held: a released message goes on with the next unit."""
        return "hold" if self.on_duplicate == "hold" else ""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        parts = tuple((resources.expression(text), text) for text in self.key_)
        scope = f"idempotent/{resources.route}/{resources.step}"
        reader, clock, window, hold = resources.reader, resources.clock, self.window, self.on_duplicate == "hold"

        def step(message: Message) -> Iterable[Message | Effect]:
            values = []
            for part, text in parts:
                value = part(message.body)
                if value is None:
                    raise Rejected("VAL513", f"the key `{text}` is missing", hint="require it by `validate`")
                values.append(value)
            key, identity = key_text(*values), message.headers.id
            known = reader.recall(scope, key)
            if known is None or known == identity:
                until = clock.now() + window if window else 0
                return (message, Remember(scope, key, identity, until))
            if hold:
                return (Hold(message, "DUP110", f"message {known} came with the same key, this is {identity}"),)
            return ()

        return step
