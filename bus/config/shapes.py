"""The shape of sources and targets: from a canonical model, a JSON Schema, a sample file or declared columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from bus.expressions.shapes import ANYTHING, DATE, NUMBER, TEXT, Shape, union
from bus.expressions.values import T

_TYPES = {
    "string": T.TEXT,
    "number": T.NUMBER,
    "integer": T.NUMBER,
    "boolean": T.BOOLEAN,
    "array": T.LIST,
    "object": T.OBJECT,
    "null": T.NULL,
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_DAY_PATTERN = r"^\d{4}-\d\d-\d\d$"
_MOST_DEPTH = 32
_MOST_BYTES = 4_000_000


def of_columns(kinds: Mapping[str, str]) -> Shape:
    """A record whose fields are each ``text``, ``number`` or ``date``."""
    known = {"text": TEXT, "number": NUMBER, "date": DATE}
    return Shape(T.OBJECT, {name: known[kind] for name, kind in kinds.items()})


def of_sample(value: Any) -> Shape:
    """The shape that one example has; its fields may be missing elsewhere, others may not appear."""
    if isinstance(value, dict):
        fields = {str(name): of_sample(item) for name, item in value.items()}
        return Shape(T.OBJECT, fields, meaning="amount" if set(fields) == {"value", "currency"} else "")
    if isinstance(value, list):
        item: Shape | None = None
        for one in map(of_sample, value):
            item = one if item is None else union(item, one)
        return Shape(T.LIST, item=item or ANYTHING)
    if isinstance(value, str):
        return DATE if _DAY.fullmatch(value) else TEXT
    if isinstance(value, bool):
        return Shape(T.BOOLEAN)
    return NUMBER if isinstance(value, int | Decimal) else ANYTHING


def of_schema(schema: dict[str, Any], *, exact: bool = False) -> Shape:
    """The shape that a JSON Schema describes; objects without ``additionalProperties: true`` have no other fields.

    Args:
        schema: the whole schema, with its ``$defs``.
        exact: "a number or a text of digits", as pydantic writes a decimal, is a number.
    """
    return _SchemaReader(schema, exact=exact).shape(schema, _MOST_DEPTH)


def read_json(file: Path) -> Any:
    """A JSON file with exact numbers.

    Raises:
        ValueError: it cannot be read, or is no JSON; the text says which.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(raw) > _MOST_BYTES:
        raise ValueError("is larger than 4 MB")
    try:
        return json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON in UTF-8") from None


class _Fields(Mapping[str, Shape]):
    """The fields of an object, each made when it is asked for: models refer to each other in circles."""

    def __init__(self, reader: _SchemaReader, properties: dict[str, Any]) -> None:
        self._reader = reader
        self._properties = properties
        self._made: dict[str, Shape] = {}

    def __getitem__(self, name: str) -> Shape:
        if name not in self._made:
            self._made[name] = self._reader.shape(self._properties[name], _MOST_DEPTH)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._properties)

    def __len__(self) -> int:
        return len(self._properties)


class _SchemaReader:
    """Makes shapes of parts of one schema."""

    def __init__(self, root: dict[str, Any], *, exact: bool) -> None:
        self._root = root
        self._exact = exact

    def shape(self, schema: Any, depth: int) -> Shape:
        if not isinstance(schema, dict) or depth == 0:
            return ANYTHING
        if isinstance(schema.get("$ref"), str):
            return self.shape(self._referred(schema["$ref"]), depth - 1)
        options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if options:
            return self._any_of(options, depth)
        if len(schema.get("allOf", ())) == 1:
            return self.shape(schema["allOf"][0], depth - 1)
        return self._plain(schema, depth)

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def _any_of(self, options: list[Any], depth: int) -> Shape:
        kinds = {option.get("type") for option in options if isinstance(option, dict)}
        if self._exact and {"number", "string"} <= kinds <= {"number", "string", "null"}:
            return Shape(T.NUMBER | (T.NULL if "null" in kinds else 0))
        whole = self.shape(options[0], depth - 1)
        for option in options[1:]:
            whole = union(whole, self.shape(option, depth - 1))
        return whole

    def _plain(self, schema: dict[str, Any], depth: int) -> Shape:
        listed = schema.get("type", [])
        types = 0
        for name in [listed] if isinstance(listed, str) else listed:
            types |= _TYPES.get(name, T.ANY)
        types = types or (T.OBJECT if "properties" in schema else T.ANY)
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        texts = frozenset(values) if values and all(isinstance(value, str) for value in values) else None
        fields = None
        if isinstance(schema.get("properties"), dict) and schema.get("additionalProperties") is not True:
            fields = _Fields(self, schema["properties"])
        item = self.shape(schema["items"], depth - 1) if "items" in schema else None
        return Shape(types, fields, item, _meaning(schema, fields), texts if types & T.TEXT or texts else None)


def _meaning(schema: dict[str, Any], fields: Mapping[str, Shape] | None) -> str:
    if fields is not None and set(fields) == {"value", "currency"}:
        return "amount"
    if schema.get("format") == "date" or schema.get("pattern") == _DAY_PATTERN:
        return "date"
    return "float" if schema.get("format") in ("float", "double") else ""
