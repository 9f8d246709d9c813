"""JMESPath's functions over lists, objects and types."""

from __future__ import annotations

from typing import Any, NamedTuple

from bus.errors import Rejected
from bus.expressions.values import NUMBERS, Run, T, name_of, same, spend, type_of


class Reference(NamedTuple):
    """``&expression`` as an argument: the closure and how many steps one evaluation counts."""

    run: Run
    cost: int


def _alike(function: str, values: list[Any], wanted: str = "list of numbers or of texts") -> None:
    """Refuse a list that is neither all numbers nor all texts: it has no order."""
    spend(len(values))
    kinds = set(map(type, values))
    if kinds <= NUMBERS or kinds == {str}:
        return
    first = type_of(values[0])
    good = first if first in {T.TEXT, T.NUMBER} else 0
    place, wrong = next((i, v) for i, v in enumerate(values) if type_of(v) != good)
    if not good:
        raise Rejected("VAL221", f"{function}() takes a {wanted}, item {place} is {name_of(wrong)}")
    what = f"item 0 is {name_of(values[0])}, item {place} {name_of(wrong)}"
    raise Rejected("VAL221", f"{function}() takes a {wanted}: {what}")


def _keys_of(function: str, items: list[Any], by: Reference) -> list[Any]:
    spend(len(items) * by.cost)
    found = [by.run(item) for item in items]
    _alike(function, found, "reference to numbers or to texts")
    return found


def largest(values: list[Any]) -> Any:
    """The greatest number or text; null for an empty list."""
    if not values:
        return None
    _alike("max", values)
    return max(values)


def smallest(values: list[Any]) -> Any:
    """The smallest number or text; null for an empty list."""
    if not values:
        return None
    _alike("min", values)
    return min(values)


def largest_by(items: list[Any], by: Reference) -> Any:
    """The first item whose key is the greatest; null for an empty list."""
    if not items:
        return None
    keys = _keys_of("max_by", items, by)
    return items[keys.index(max(keys))]


def smallest_by(items: list[Any], by: Reference) -> Any:
    """The first item whose key is the smallest; null for an empty list."""
    if not items:
        return None
    keys = _keys_of("min_by", items, by)
    return items[keys.index(min(keys))]


def in_order(values: list[Any]) -> list[Any]:
    """A sorted copy."""
    _alike("sort", values)
    return sorted(values)


def in_order_by(items: list[Any], by: Reference) -> list[Any]:
    """A copy sorted by the key that the reference gives; equal keys keep their order."""
    keys = _keys_of("sort_by", items, by)
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


def mapped(by: Reference, items: list[Any]) -> list[Any]:
    """The reference's result for each item, nulls included."""
    spend(len(items) * by.cost)
    return [by.run(item) for item in items]


def contains(subject: Any, search: Any) -> bool:
    """Whether a list has an item equal to ``search``, or a text has it as a part."""
    if isinstance(subject, str):
        spend(len(subject) // 32)
        return isinstance(search, str) and search in subject
    spend(len(subject))
    return search in subject if type(search) is str else any(same(item, search) for item in subject)


def length(value: Any) -> int:
    """Characters, items or fields."""
    return len(value)


def backwards(value: Any) -> Any:
    """A text or a list from its end to its beginning."""
    spend(len(value))
    return value[::-1]


def merged(*objects: dict[str, Any]) -> dict[str, Any]:
    """One object with the fields of all; later ones win."""
    spend(sum(map(len, objects)))
    result: dict[str, Any] = {}
    for one in objects:
        result.update(one)
    return result


def keys(value: dict[str, Any]) -> list[str]:
    """Names of the fields."""
    spend(len(value))
    return list(value)


def values(value: dict[str, Any]) -> list[Any]:
    """Values of the fields."""
    spend(len(value))
    return list(value.values())


def to_array(value: Any) -> list[Any]:
    """A list as it is, everything else as a list of one."""
    return value if isinstance(value, list) else [value]


def type_name(value: Any) -> str:
    """JMESPath's word for the type: string, number, boolean, array, object or null."""
    words = {T.TEXT: "string", T.NUMBER: "number", T.BOOLEAN: "boolean", T.LIST: "array", T.OBJECT: "object"}
    found = type_of(value)
    if found is None:
        raise Rejected("VAL221", f"type() got {name_of(value)}, which is no plain data")
    return words.get(found, "null")
