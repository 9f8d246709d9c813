"""Mappings made of mappings: what one inherits from another, and the fragments that it includes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transforms.mapping.specs import FieldSpec, MappingSpec


def references(spec: MappingSpec) -> dict[tuple[str | int, ...], str]:
    """Place in the file -> name of every other mapping that one names itself."""
    found: dict[tuple[str | int, ...], str] = {("extends",): spec.extends} if spec.extends else {}
    for place, field in every_field(spec.fields):
        if field.include:
            found[*place, "include"] = field.include
    return found


def used(names: Iterable[str], mappings: Mapping[str, MappingSpec]) -> set[str]:
    """The mappings of these names and all that those are made of; names that there is no mapping of are left out."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in mappings and name not in found:
            found.add(name)
            todo += references(mappings[name]).values()
    return found


def circle(name: str, mappings: Mapping[str, MappingSpec]) -> list[str]:
    """A way from a mapping through what it is made of back to itself, or nothing."""
    ways: list[list[str]] = [[name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for other in references(mappings[way[-1]]).values() if way[-1] in mappings else ():
            if other == name:
                return [*way, name]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def resolved(spec: MappingSpec, mappings: Mapping[str, MappingSpec]) -> MappingSpec:
    """The mapping with all that it inherits, as if it were written in one file.

    A field written here replaces the inherited one of that target and those that are part of it.

    Raises:
        ConfigError: ``MAP130`` when there is no mapping of the name in ``extends``, ``MAP131`` for mappings that extend
            or include each other in a circle.
    """
    for name in references(spec).values():
        if name not in mappings:
            raise ConfigError(
                "MAP130", f"mapping `{spec.mapping}`: there is no mapping `{name}`", hint="correct the name"
            )
    around = circle(spec.mapping, {**mappings, spec.mapping: spec})
    if around:
        raise ConfigError("MAP131", f"mappings are made of each other in a circle: {' → '.join(around)}", hint=_BREAK)
    if not spec.extends:
        return spec
    base = resolved(mappings[spec.extends], mappings)
    gone = (*spec.remove, *spec.fields)
    fields = {
        target: spec.fields.get(target, field)
        for target, field in base.fields.items()
        if target in spec.fields or not any(within(target, out) for out in gone)
    }
    merged: dict[str, Any] = {
        "from_": spec.from_ or base.from_,
        "to": spec.to or base.to,
        "source": spec.source or base.source,
        "required": (*base.required, *spec.required),
        "functions": _functions(base.functions, spec.functions),
        "tables": {**base.tables, **spec.tables},
        "fields": {**fields, **spec.fields},
        "extends": "",
        "remove": (),
    }
    return spec.model_copy(update=merged)


_BREAK = "take one of them out of the circle"


def _functions(inherited: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Functions by head; one of the same name counts instead of the inherited one, whatever its parameters."""
    names = {head.partition("(")[0].strip() for head in own}
    return {**{head: text for head, text in inherited.items() if head.partition("(")[0].strip() not in names}, **own}


def within(target: str, other: str) -> bool:
    """Whether a target field is another one, or part of it."""
    return target == other or target.startswith(f"{other}.")


def flattened(fields: Mapping[str, FieldSpec], mappings: Mapping[str, MappingSpec]) -> Iterator[tuple[str, FieldSpec]]:
    """(target, field) of all fields, those of included mappings under the name of the field that includes them."""
    for target, field in fields.items():
        fragment = mappings.get(field.include)
        if fragment is None or field.each:
            yield target, field
        else:
            for inner, deep in flattened(resolved(fragment, mappings).fields, mappings):
                yield f"{target}.{inner}", deep


def every_field(
    fields: Mapping[str, FieldSpec], place: tuple[str | int, ...] = ("fields",)
) -> Iterator[tuple[tuple[str | int, ...], FieldSpec]]:
    """(place, field) of all fields, with those made from the items of lists and those to choose from."""
    for target, field in fields.items():
        yield from _with_inner(field, (*place, target))


def _with_inner(field: FieldSpec, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], FieldSpec]]:
    yield place, field
    yield from every_field(field.fields, (*place, "fields"))
    for number, choice in enumerate(field.choose):
        yield from _with_inner(choice, (*place, "choose", number))
