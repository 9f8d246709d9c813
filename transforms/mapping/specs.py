"""What is written in a mapping file."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import ExpressionText, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

    from transforms.mapping.tables import TableSpec

_NAME = "[A-Za-z_][A-Za-z0-9_-]*"
Target = Annotated[str, Field(pattern=rf"^{_NAME}(\.{_NAME})*$")]


class FieldSpec(Spec):
    """Where one target field comes from: an expression alone, or one of ``value``, ``lookup``, ``list`` and ``each``.

    ```yaml
    purpose: {value: purpose, when: "purpose != ''", default: OTHR}
    creditor.address.country: {lookup: country-codes, key: creditor_country}
    remittance.unstructured: {list: [remittance]}
    lines: {each: items, fields: {amount: "money(price, parent.currency)"}}
    ```

    Without a value (null) the target field is left out.
    """

    value: ExpressionText = ""
    """Expression over the source."""
    lookup: str = ""
    """Name of a value table …"""
    key: ExpressionText = ""
    """… what is looked up in it …"""
    on: ExpressionText = ""
    """… the day for which the row must be valid …"""
    region: ExpressionText = ""
    """… and the region for which it is."""
    list: tuple[ExpressionText, ...] = ()
    """Expressions whose values, the empty ones left out, make a list."""
    each: ExpressionText = ""
    """Expression that gives a list; each of its items becomes a mapping made of ``fields``."""
    fields: dict[Target, FieldSpec] = Field(default_factory=dict)
    """Fields made from each item; ``parent`` is the whole source there."""
    when: ExpressionText = ""
    """Condition without which there is no value."""
    default: str | None = None
    """Text taken where there is no value or an empty one, or no row in the table."""
    required: bool = False
    """Without a value, or with an empty one, the message is rejected."""
    omit_empty: bool = False
    """An empty text, list or mapping is left out like a missing one."""
    reason: str = Field(default="", pattern=r"^([A-Z0-9]{4})?$")
    """ISO 20022 status reason with which a message is rejected for this field, for instance ``AC01``."""

    @model_validator(mode="before")
    @classmethod
    def _expression_alone(cls, value: Any) -> Any:
        return {"value": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> FieldSpec:
        given = [name for name in ("value", "lookup", "list", "each") if getattr(self, name)]
        if len(given) != 1:
            raise PydanticCustomError("MAP101", "a field has exactly one of `value`, `lookup`, `list` and `each`")
        if bool(self.lookup) != bool(self.key):
            raise PydanticCustomError("MAP101", "`lookup`, the table, and `key`, what is looked up, need each other")
        if (self.on or self.region) and not self.lookup:
            raise PydanticCustomError("MAP101", "`on` and `region` belong to a `lookup`")
        if bool(self.each) != bool(self.fields):
            raise PydanticCustomError("MAP101", "`each`, the list, and `fields`, made from its items, need each other")
        if self.required and self.default:
            raise PydanticCustomError("MAP107", "`required` means nothing beside a `default`; remove one of them")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        text = "Expression over the source; a text itself is written `'text'`."
        return {"anyOf": [{"type": "string", "description": text}, handler(schema)]}


class MappingSpec(Spec):
    """A mapping, ``NAME.mapping.yaml``: one source body to one target body.

    ```yaml
    mapping: erp-payment-to-canonical
    from: row
    to: payment
    fields:
      id: {value: payment_id, required: true}
      type: "'payment'"
      amount: money(amount, currency)
      debtor.account.iban: replace(debtor_iban, ' ', '')
    ```
    """

    mapping: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the mapping."""
    summary: str = ""
    """One sentence for people."""
    from_: str = Field(default="", alias="from")
    """Name of the source model, for people."""
    to: str = ""
    """Name of the target model; of a canonical one (``payment``) the required fields are known."""
    required: tuple[Target, ...] = ()
    """Further target fields that must have a source."""
    tables: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Small value tables of this mapping alone, for ``lookup:``: ``{NAME: {key: value}}``."""
    fields: dict[Target, FieldSpec] = Field(min_length=1)
    """Target field, with dots for fields inside fields, from its source."""

    def content_hash(self, tables: Mapping[str, TableSpec] | None = None) -> str:
        """sha256 (64 hex) of all that decides what the mapping does, with those of ``tables`` that its text names."""
        own = self.model_dump(mode="json", by_alias=True, exclude={"summary"})
        text = msgspec.json.encode(own)
        used = {
            name: table.model_dump(mode="json", by_alias=True, exclude={"summary"})
            for name, table in sorted((tables or {}).items())
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])".encode(), text)
        }
        return sha256(text + b"\n" + msgspec.json.encode(used)).hexdigest()
