"""EIP Content-Based Router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from bus import AnyStep, Branch, Effect, ExpressionText, Flow, Message, Rejected, Spec, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class RouterBranch(Spec):
    """One way a message can take."""

    when: ExpressionText = ""
    """Condition over the body; the first branch whose condition holds takes the message."""
    otherwise: str = ""
    """The last branch, for all the rest: ``true``, or the name of an outlet or channel as a short form of ``to``."""
    name: str = ""
    """Stable name of the branch; ids of messages made in it are derived from it. Empty = its position."""
    steps: tuple[AnyStep, ...] = ()
    """What is done in this branch; without ``to`` the message then goes on with the step after the router."""
    to: str = ""
    """Outlet or channel at the end of the branch; ``none`` ends the message here on purpose."""

    @field_validator("otherwise", mode="before")
    @classmethod
    def _true_is_a_word(cls, value: Any) -> Any:
        return "true" if value is True else value


class RouterSpec(StepSpec):
    """Sends each message down the first branch whose condition holds (EIP Content-Based Router).

    ```yaml
    - route:
        - when: amount.currency == 'EUR' && creditor.agent.bic
          steps:
            - remove: [creditor.address]
          to: bank-north
        - when: amount.value > 1000000
          to: none
        - otherwise: treasury-review
    ```

    A condition on a missing field does not hold. A branch without ``to`` leads on to the step after the router.

    Delivery: every message takes exactly one branch. One that fits none, where there is no ``otherwise``, is rejected
    (VAL501): nothing falls through silently. A message ends only where a branch says ``to: none``.
    """

    key = "route"
    shorthand = "branches"

    branches: tuple[RouterBranch, ...]
    """The ways, looked at in order."""

    @field_validator("branches")
    @classmethod
    def _ways_are_clear(cls, branches: tuple[RouterBranch, ...]) -> tuple[RouterBranch, ...]:
        if not branches:
            raise PydanticCustomError("CFG503", "a router needs at least one branch: `- when: …` or `- otherwise: …`")
        for index, branch in enumerate(branches, 1):
            if bool(branch.when) == bool(branch.otherwise):
                raise PydanticCustomError(
                    "CFG503", "branch {index}: write either `when` or `otherwise`", {"index": index}
                )
            if branch.otherwise and index < len(branches):
                raise PydanticCustomError(
                    "CFG503", "`otherwise` must be the last branch, what follows is never reached"
                )
            if branch.otherwise not in ("", "true") and branch.to:
                raise PydanticCustomError("CFG503", "`otherwise` already says where to: leave out `to`")
        labels = [_label(index, branch) for index, branch in enumerate(branches)]
        if len(set(labels)) < len(labels):
            raise PydanticCustomError("CFG503", "two branches have the same name")
        return branches

    def flows(self) -> dict[str, Flow]:
        """The branches by name or position; the last one is ``otherwise``."""
        return {
            _label(index, branch): Flow(
                steps=branch.steps, to=branch.to or (branch.otherwise if branch.otherwise != "true" else "")
            )
            for index, branch in enumerate(self.branches)
        }

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        rules = tuple(
            (resources.expression(branch.when), _label(index, branch))
            for index, branch in enumerate(self.branches)
            if branch.when
        )
        last = len(self.branches) - 1
        rest = _label(last, self.branches[last]) if self.branches[last].otherwise else ""

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            for test, label in rules:
                if test(body):
                    return (Branch(label, message),)
            if rest:
                return (Branch(rest, message),)
            raise Rejected(
                "VAL501", f"none of the {len(rules)} branches fits", hint="add `- otherwise: …` to the router"
            )

        return step


def _label(index: int, branch: RouterBranch) -> str:
    return branch.name or ("otherwise" if branch.otherwise else str(index))
