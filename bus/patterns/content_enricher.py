"""EIP Content Enricher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bus import (
    Effect,
    ExpressionText,
    FieldPath,
    Message,
    Rejected,
    Step,
    StepResources,
    StepSpec,
    key_text,
    with_field,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class ContentEnricherSpec(StepSpec):
    """Looks a value up in a value table and puts it into the body (EIP Content Enricher).

    ```yaml
    - enrich: {table: cost-centres, key: creditor.name, into: accounting.cost_centre}
    - enrich: {table: bank-of-country, key: creditor.address.country, into: bank, default: bank-north}
    ```

    ``on_date`` and ``region`` choose between rows of one key, as `lookup()` does in expressions.

    Delivery: the table is part of the route's version, so a re-run or a replay under that version finds the same value.
    A key that the table does not have is rejected (VAL521) unless there is a ``default`` or ``required`` is false.
    """

    key = "enrich"

    table: str = Field(min_length=1)
    """Name of the value table."""
    key_: ExpressionText = Field(alias="key")
    """Expression over the body for the row's key."""
    into: FieldPath
    """Where in the body the value goes."""
    on_date: ExpressionText = ""
    """Expression over the body for the day on which the row has to be valid; empty = rows without dates."""
    region: ExpressionText = ""
    """Expression over the body for the region whose rows go first."""
    default: Any = None
    """Value where the table has no such key."""
    required: bool = True
    """False: where there is neither row nor default the body stays as it is."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        find = _finder(self, resources)
        path = tuple(self.into.split("."))
        default, required = self.default, self.required
        refusal = f"the table `{self.table}` has no row for `{self.key_}`"

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            if not isinstance(body, dict):
                raise Rejected("VAL504", "only an object can be enriched", hint="put `parse` or `split` before")
            value = find(body)
            if value is None:
                value = default
            if value is None:
                if required:
                    raise Rejected("VAL521", refusal, hint="add the row, a `default`, or `required: false`")
                return (message,)
            return (message.with_body(with_field(body, path, value)),)

        return step


def _finder(spec: ContentEnricherSpec, resources: StepResources) -> Callable[[Any], Any]:
    """Body -> the table's value, None where there is no row."""
    rows: Any = resources.table(spec.table)
    key = resources.expression(spec.key_)
    options = tuple(
        (name, resources.expression(text))
        for name, text in (("on_date", spec.on_date), ("region", spec.region))
        if text
    )

    def find(body: Any) -> Any:
        found = key(body)
        if found is None:
            return None
        chosen = {name: value for name, expression in options if (value := expression(body)) is not None}
        return rows.get(key_text(found), **chosen)

    return find
