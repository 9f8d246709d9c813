"""EIP Recipient List."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from bus import AnyStep, Branch, Effect, ExpressionText, Flow, Message, Rejected, Spec, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class Recipient(Spec):
    """One receiver of the message."""

    when: ExpressionText = ""
    """Condition over the body; empty = always."""
    name: str = ""
    """Stable name of the recipient. Empty = its position."""
    steps: tuple[AnyStep, ...] = ()
    """What is done for this recipient; without ``to`` the message then goes on with the step after the list."""
    to: str = ""
    """Outlet or channel of this recipient; ``none`` ends the message here on purpose."""


class RecipientListSpec(StepSpec):
    """Gives each message to all receivers whose condition holds (EIP Recipient List).

    ```yaml
    - recipients:
        - to: ledger
        - when: amount.value > 10000
          to: treasury-review
        - steps:
            - keep: [id, amount]
          to: reporting
    ```

    A recipient that is only a name, ``- archive``, is short for ``- to: archive``.

    Delivery: the first receiver gets the message itself, every further one a copy with an id derived from it, so a
    re-run makes the same copies. Copies are marked and not counted as money; all of them are committed together with
    the message, or none. A message that nobody wants is rejected (VAL502).
    """

    key = "recipients"
    shorthand = "recipients"

    recipients: tuple[Recipient, ...]
    """The receivers, in order."""

    @field_validator("recipients", mode="before")
    @classmethod
    def _a_name_is_a_way(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"to": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("recipients")
    @classmethod
    def _somebody(cls, recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
        if not recipients:
            raise PydanticCustomError("CFG503", "a recipient list needs at least one recipient: `- to: …`")
        labels = [recipient.name or str(index) for index, recipient in enumerate(recipients)]
        if len(set(labels)) < len(labels):
            raise PydanticCustomError("CFG503", "two recipients have the same name")
        return recipients

    def flows(self) -> dict[str, Flow]:
        """The recipients' ways by name or position."""
        return {r.name or str(i): Flow(steps=r.steps, to=r.to) for i, r in enumerate(self.recipients)}

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        ways = tuple(
            (index, r.name or str(index), resources.expression(r.when) if r.when else None)
            for index, r in enumerate(self.recipients)
        )
        route, name = resources.route, resources.step

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            found: list[Branch] = []
            for index, label, test in ways:
                if test is None or test(body):
                    found.append(Branch(label, message.copied(route, name, index) if found else message))
            if not found:
                raise Rejected("VAL502", "no recipient wants this message", hint="add a recipient without `when`")
            return found

        return step
