"""EIP Content Filter: ``keep`` and ``remove`` fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

from pydantic import Field

from bus import Effect, FieldPath, Message, Rejected, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Tree = dict[str, Union["Tree", None]]
"""Paths, name by name; None = all that stands below is meant."""


class KeepSpec(StepSpec):
    """Keeps only the fields that are named and drops all others (EIP Content Filter).

    ```yaml
    - keep: [id, end_to_end_id, amount, creditor.name, transactions.amount]
    ```

    A path of names leads through lists to each of their items. A field that is not there stays away.

    Delivery: a pure function of the body; the message keeps its id.
    """

    key = "keep"
    shorthand = "fields"

    fields: tuple[FieldPath, ...] = Field(min_length=1)
    """Paths such as ``creditor.account.iban``."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        del resources
        return _changing(_tree(self.fields), _kept)


class RemoveSpec(StepSpec):
    """Drops the fields that are named and keeps all others (EIP Content Filter).

    ```yaml
    - remove: [creditor.address, remittance.unstructured]
    ```

    A path of names leads through lists to each of their items. A field that is not there is no error.

    Delivery: a pure function of the body; the message keeps its id.
    """

    key = "remove"
    shorthand = "fields"

    fields: tuple[FieldPath, ...] = Field(min_length=1)
    """Paths such as ``creditor.address``."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        del resources
        return _changing(_tree(self.fields), _without)


def _tree(fields: tuple[str, ...]) -> Tree:
    tree: Tree = {}
    for field in sorted(fields, key=len):
        *above, last = field.split(".")
        here: Tree | None = tree
        for name in above:
            # None stands where a shorter path already means everything below.
            here = here.setdefault(name, {}) if here is not None else None
        if here is not None:
            here.setdefault(last, None)
    return tree


def _changing(tree: Tree, change: Callable[[Any, Tree], Any]) -> Step:
    def step(message: Message) -> Iterable[Message | Effect]:
        body = message.body
        if not isinstance(body, dict | list):
            raise Rejected("VAL504", "fields can only be taken from plain data", hint="put `parse` before")
        return (message.with_body(change(body, tree)),)

    return step


def _kept(value: dict[str, Any] | list[Any], tree: Tree) -> Any:
    if isinstance(value, list):
        return [_kept(item, tree) for item in value if isinstance(item, dict | list)]
    found = {}
    for name, below in tree.items():
        if name not in value:
            continue
        item = value[name]
        if below is None:
            found[name] = item
        elif isinstance(item, dict | list):
            found[name] = _kept(item, below)
    return found


def _without(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [_without(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {}
    for name, item in value.items():
        if name not in tree:
            rest[name] = item
        elif (below := tree[name]) is not None:
            rest[name] = _without(item, below)
    return rest
