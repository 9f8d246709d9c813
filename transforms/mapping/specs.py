"""What is written in a mapping file."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bus import FormulaText, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

    from transforms.mapping.tables import TableSpec

_NAME = "[A-Za-z_][A-Za-z0-9_-]*"
TARGET = rf"^{_NAME}(\.{_NAME})*$"
Target = Annotated[str, Field(pattern=TARGET)]
SOURCES = ("value", "lookup", "list", "each", "include", "choose")
"""The ways to say where a field comes from."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Formulas = Annotated[
    tuple[FormulaText, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[FormulaText, ...])
]
"""One expression, or several in a list."""


class FieldSpec(Spec):
    """Where one target field comes from: an expression alone, or one of the sources below.

    ```yaml
    purpose: {value: purpose, when: "purpose != ''", default: OTHR}
    creditor.address.country: {lookup: country-codes, key: creditor_country}
    cost_centre: {lookup: cost-centres, key: [company, department], on: posted}
    remittance.unstructured: {list: [remittance]}
    lines: {each: items, fields: {amount: "money(price, parent.currency)"}}
    creditor: {include: party, with: {name: supplier_name, country: supplier_country}}
    charges:
      choose:
        - {when: urgent, value: "'DEBT'"}
        - {when: "is_sepa(iban)", value: "'SLEV'"}
        - {otherwise: "'SHAR'"}
    ```

    Without a value (null) the target field is left out.
    """

    value: FormulaText = ""
    """Expression over the source."""
    lookup: str = ""
    """Name of a value table …"""
    key: Formulas = ()
    """… what is looked up in it; a list where the rows have a key of several parts …"""
    on: FormulaText = ""
    """… the day for which the row must be valid …"""
    region: FormulaText = ""
    """… and the region for which it is."""
    reverse: bool = False
    """Looked up the other way round: `key` is a value of the table, the result its key."""
    keep: bool = False
    """A key that has no row stays as it is."""
    list: tuple[FormulaText, ...] = ()
    """Expressions whose values, the empty ones left out, make a list."""
    each: FormulaText = ""
    """Expression that gives a list; each of its items becomes an object made of `fields`, or by `include`."""
    fields: dict[Target, FieldSpec] = Field(default_factory=dict)
    """Fields made from each item; `parent` is the whole source there."""
    include: str = ""
    """Name of another mapping that makes this object."""
    with_: dict[Target, FormulaText] | FormulaText = Field(default="", alias="with")
    """What that mapping sees as its source: an expression, or an object of expressions; empty = the whole source."""
    choose: tuple[FieldSpec, ...] = ()
    """Sources of which the first whose `when` is met counts; `{otherwise: EXPRESSION}` ends the list."""
    when: FormulaText = ""
    """Condition without which there is no value."""
    otherwise: FormulaText = ""
    """Expression that counts when the condition is not met."""
    default: str | None = None
    """Text taken where there is no value or an empty one, or no row in the table."""
    required: bool = False
    """Without a value, or with an empty one, the message is rejected."""
    omit_empty: bool = False
    """An empty text, list or mapping is left out like a missing one."""
    reason: str = Field(default="", pattern=r"^([A-Z0-9]{4})?$")
    """ISO 20022 status reason with which a message is rejected for this field, for instance ``AC01``."""
    one_way: bool = False
    """Not carried back when the mapping is used in reverse, and that is meant."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"value": value}
        if isinstance(value, dict) and "otherwise" in value and not any(name in value for name in (*SOURCES, "when")):
            return {**{key: item for key, item in value.items() if key != "otherwise"}, "value": value["otherwise"]}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> FieldSpec:
        wrong = _unclear(self)
        if wrong:
            raise PydanticCustomError("MAP101", "{why}", {"why": wrong})
        if self.required and self.default:
            raise PydanticCustomError("MAP107", "`required` means nothing beside a `default`; remove one of them")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        text = "Expression over the source; a text itself is written `'text'`."
        return {
            "anyOf": [{"type": "string", "description": text}, super().__get_pydantic_json_schema__(schema, handler)]
        }


def _unclear(field: FieldSpec) -> str:
    """Why a field does not say clearly where it comes from, or nothing."""
    given = [name for name in SOURCES if getattr(field, name)]
    if given not in (["each", "include"], *([name] for name in SOURCES)):
        return f"a field has exactly one of {', '.join(f'`{name}`' for name in SOURCES[:-1])} and `choose`"
    made = "each" in given and ("include" in given or bool(field.fields))
    rules = (
        (bool(field.lookup) == bool(field.key), "`lookup`, the table, and `key`, what is looked up, need each other"),
        (field.lookup or not (field.on or field.region), "`on` and `region` belong to a `lookup`"),
        (field.lookup or not (field.reverse or field.keep), "`reverse` and `keep` belong to a `lookup`"),
        (len(field.key) < 2 or not (field.reverse or field.keep), "`reverse` and `keep` take a key of one part"),
        (not field.keep or field.default is None, "`keep` and `default` say different things; remove one of them"),
        (bool(field.each) == made, "`each`, the list, needs `fields` or `include`, what is made from its items"),
        (field.each or not field.fields, "`fields` belong to an `each`"),
        (not (field.fields and field.include), "an `each` has either `fields` or `include`"),
        (field.include or not field.with_, "`with` belongs to an `include`"),
        (field.when or not field.otherwise, "`otherwise` needs `when`, the condition that is not met"),
    )
    return next((why for met, why in rules if not met), "")


class SourceSpec(Spec):
    """What a source looks like, for ``bus check``; exactly one of the three. Files are relative to the mapping's own.

    ```yaml
    source: {columns: [payment_id, amount, currency]}
    source: {sample: samples/invoice.json}
    ```
    """

    columns: tuple[str, ...] = ()
    """Names of the columns of a record; all of them are text."""
    sample: str = ""
    """A JSON file that has every field that a source can have."""
    json_schema: str = Field(default="", alias="schema")
    """A JSON Schema file of the source."""

    @model_validator(mode="after")
    def _one_shape(self) -> SourceSpec:
        if sum(map(bool, (self.columns, self.sample, self.json_schema))) != 1:
            raise PydanticCustomError("MAP101", "a source has exactly one of `columns`, `sample` and `schema`")
        return self


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
    """Name of the source model; of a canonical one (``payment``) the fields are known."""
    to: str = ""
    """Name of the target model; of a canonical one (``payment``) the required fields are known."""
    source: SourceSpec | None = None
    """What the source looks like, where it is no canonical model."""
    extends: str = ""
    """Name of the mapping whose fields, tables and functions this one has, too; those written here count instead."""
    remove: tuple[Target, ...] = ()
    """Target fields of the mapping that is extended that this one does not make."""
    required: tuple[Target, ...] = ()
    """Further target fields that must have a source."""
    functions: dict[str, FormulaText] = Field(default_factory=dict)
    """Functions for the expressions of this mapping: ``name(parameter, …)`` to an expression over its parameters."""
    tables: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Small value tables of this mapping alone, for ``lookup:``: ``{NAME: {key: value}}``."""
    reverse: bool = False
    """Used both ways: every field can be carried back, or says with ``one_way`` that it is not."""
    fields: dict[Target, FieldSpec] = Field(default_factory=dict)
    """Target field, with dots for fields inside fields, from its source."""

    @model_validator(mode="after")
    def _something_to_make(self) -> MappingSpec:
        if not self.fields and not self.extends:
            raise PydanticCustomError("MAP101", "a mapping has `fields`, or a mapping that it `extends`")
        if self.remove and not self.extends:
            raise PydanticCustomError("MAP101", "`remove` takes fields out of the mapping that is extended")
        return self

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
