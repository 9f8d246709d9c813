"""What can be told to be wrong in a mapping before it runs."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, get_args

from pydantic import BaseModel

from bus import ConfigError, named_functions
from transforms.mapping.reuse import circle, every_field, flattened, references, resolved, used, within
from transforms.mapping.reversal import reversed_mapping
from transforms.mapping.tables import ValueTable, doubled, indexed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transforms.mapping.specs import FieldSpec, MappingSpec

Place = tuple[str | int, ...]


class MappingProblem(NamedTuple):
    """Something wrong in a mapping: ``path`` leads to the entry in the file, ``hint`` is what to write."""

    code: str
    path: Place
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """One sentence with the code and the place."""
        return (
            f"{self.code} {'.'.join(map(str, self.path))}: {self.message}"
            if self.path
            else f"{self.code} {self.message}"
        )


def problems(
    spec: MappingSpec,
    *,
    required: Iterable[str] | None = None,
    tables: Mapping[str, Any] | None = None,
    mappings: Mapping[str, MappingSpec] | None = None,
) -> list[MappingProblem]:
    """What can be told to be wrong without running the mapping.

    Args:
        spec: the mapping.
        required: target fields that must have a source; None = those of the canonical model that ``to`` names.
        tables: all value tables there are by name; None = not known, then names are not checked.
        mappings: all mappings there are by name, for ``extends`` and ``include``.
    """
    others = mappings or {}
    found = list(_reuse_problems(spec, others))
    if found:
        return found
    whole = resolved(spec, others)
    targets = dict(flattened(whole.fields, others))
    wanted = [*(required_fields(whole.to) if required is None else required), *whole.required]
    found = [
        MappingProblem(
            "MAP103", ("fields",), f"the required target field `{target}` has no source", f"write {target}: …"
        )
        for target in dict.fromkeys(wanted)
        if not any(within(name, target) or within(target, name) for name in targets)
    ]
    found += _strangers(spec, whole, others)
    known = None if tables is None else {**tables, **whole.tables}
    for name in spec.tables.keys() & (tables or {}).keys():
        message = f"the table `{name}` is also one of all mappings; rename one"
        found.append(MappingProblem("MAP108", ("tables", name), message))
    found += _overlaps(whole.fields, spec, ("fields",))
    for place, field in every_field(spec.fields):
        found += [*_lookup_problems(field, known, place), *_unreached(field, place)]
    found += [*_function_problems(whole), *_unused(spec, whole)]
    return found + (_not_reversible(whole, known or {}, others) if whole.reverse else [])


def _reuse_problems(spec: MappingSpec, mappings: Mapping[str, MappingSpec]) -> Iterator[MappingProblem]:
    """What keeps a mapping from being put together: parts that are not there, and circles, its own or of its parts."""
    known = {**mappings, spec.mapping: spec}
    for place, name in references(spec).items():
        if name not in mappings:
            hint = f"write {name}.mapping.yaml, or correct the name"
            yield MappingProblem("MAP130", place, f"there is no mapping `{name}`", hint)
            return
        for part in sorted(used([name], known)):
            around = circle(part, known)
            if around:
                message = f"mappings are made of each other in a circle: {' → '.join(around)}"
                yield MappingProblem("MAP131", place, message, "take one of them out of the circle")
                return
            missing = next((other for other in references(known[part]).values() if other not in known), "")
            if missing:
                message = f"`{part}`, which it is made of, needs a mapping `{missing}` that is not there"
                yield MappingProblem("MAP130", place, message, f"write {missing}.mapping.yaml, or correct the name")
                return
    inherited = resolved(mappings[spec.extends], mappings).fields if spec.extends else {}
    for number, target in enumerate(spec.remove):
        if not any(within(name, target) for name in inherited):
            message = f"the mapping `{spec.extends}` makes no `{target}`"
            yield MappingProblem("MAP132", ("remove", number), message, "take it out of `remove`")


def _function_problems(spec: MappingSpec) -> list[MappingProblem]:
    try:
        named_functions(spec.functions)
    except ConfigError as error:
        return [MappingProblem(error.code, ("functions", error.path), error.message, error.hint)]
    return []


def _unused(spec: MappingSpec, whole: MappingSpec) -> Iterator[MappingProblem]:
    """Own tables and functions that nothing names."""
    text = " ".join([*_texts(whole.fields), *whole.functions.values()])
    looked_up = {field.lookup for _, field in every_field(whole.fields)}
    for name in spec.tables:
        if name not in looked_up and not re.search(rf"'{re.escape(name)}'", text):
            yield MappingProblem(
                "MAP136", ("tables", name), f"nothing looks up in the table `{name}`", _DELETE, "warning"
            )
    for head in spec.functions:
        name = head.partition("(")[0].strip()
        if not re.search(rf"\b{re.escape(name)}\s*\(", text):
            yield MappingProblem("MAP137", ("functions", head), f"nothing calls {name}()", _DELETE, "warning")


_DELETE = "delete it, or use it"


def _texts(fields: Mapping[str, FieldSpec]) -> Iterator[str]:
    """All expressions of fields."""
    for _, field in every_field(fields):
        given = field.with_.values() if isinstance(field.with_, dict) else (field.with_,)
        single = (field.value, field.on, field.region, field.each, field.when, field.otherwise)
        yield from filter(None, (*single, *field.key, *field.list, *given))


def _unreached(field: FieldSpec, place: Place) -> Iterator[MappingProblem]:
    """Sources to choose from that never count."""
    seen: set[str] = set()
    for number, choice in enumerate(field.choose):
        here = (*place, "choose", number)
        if choice.when in seen and choice.when:
            yield MappingProblem("MAP135", here, "never chosen: the same condition stands before", "delete it")
        seen.add(choice.when)
        if number + 1 < len(field.choose) and (not choice.when or choice.otherwise):
            message = "never chosen: the entry before has no condition, so it always counts"
            yield MappingProblem("MAP135", (*place, "choose", number + 1), message, "give the entry before a `when`")
            return


def _not_reversible(
    spec: MappingSpec, tables: Mapping[str, Any], mappings: Mapping[str, MappingSpec]
) -> list[MappingProblem]:
    _, lost = reversed_mapping(spec, tables=tables, mappings=mappings)
    hint = "write `one_way: true` at the field where that is meant"
    return [
        MappingProblem("MAP140", ("fields", one.target), f"cannot be carried back: {one.why}", hint)
        for one in lost
        if not one.accepted
    ]


def required_fields(model: str) -> tuple[str, ...]:
    """Target fields without which a body of the canonical model ``model`` is none; empty for models not known."""
    found = _model(model)
    return tuple(_required(found)) if found else ()


def _model(name: str) -> type[BaseModel] | None:
    from transforms.canonical.models import MODEL_TYPES  # noqa: PLC0415 - only checking needs the models

    return MODEL_TYPES.get(name)


def _required(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        if info.is_required():
            path = f"{before}{info.alias or name}"
            inner = info.annotation
            below = list(_required(inner, f"{path}.")) if _is_model(inner) else []
            yield from below or [path]


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _unknown(model: type[BaseModel], target: str) -> str | None:
    """The first part of a target, with all before it, that the model does not have; None when it has all."""
    here: type[BaseModel] | None = model
    parts = target.split(".")
    for i, part in enumerate(parts):
        if here is None or part not in {f.alias or n for n, f in here.model_fields.items()}:
            return ".".join(parts[: i + 1])
        here = _inner(here, part)
    return None


def _strangers(spec: MappingSpec, whole: MappingSpec, mappings: Mapping[str, MappingSpec]) -> list[MappingProblem]:
    """Targets that the canonical model does not have; those of a fragment are told where it is included."""
    model = _model(whole.to)
    if model is None:
        return []
    found = []
    for target, field in spec.fields.items():
        for name in dict(flattened({target: field}, mappings)):
            stranger = _unknown(model, name)
            if stranger is not None:
                message = f"the model `{whole.to}` has no field `{stranger}`"
                found.append(MappingProblem("MAP109", ("fields", target), message, _meant(model, stranger)))
    return found


def _meant(model: type[BaseModel], stranger: str) -> str:
    """What a target was probably meant to be."""
    *parents, word = stranger.split(".")
    here: type[BaseModel] | None = model
    for part in parents:
        here = _inner(here, part) if here else None
    names = [info.alias or name for name, info in here.model_fields.items()] if here else []
    near = get_close_matches(word, names, 1)
    return f"did you mean `{'.'.join([*parents, near[0]])}`?" if near else f"known: {', '.join(names[:20])}"


def _inner(model: type[BaseModel], part: str) -> type[BaseModel] | None:
    info = {f.alias or n: f for n, f in model.model_fields.items()}.get(part)
    options = (info.annotation, *get_args(info.annotation)) if info is not None else ()
    return next((option for option in options if _is_model(option)), None)


def _overlaps(fields: Mapping[str, FieldSpec], spec: MappingSpec, path: Place) -> Iterator[MappingProblem]:
    for target, field in fields.items():
        here = (*path, target)
        inside = next((name for name in fields if name.startswith(f"{target}.")), None)
        if inside is not None:
            place = here if len(path) > 1 or target in spec.fields else (*path, inside)
            yield MappingProblem("MAP102", place, f"`{target}` has a value of its own and is the parent of `{inside}`")
        yield from _overlaps(field.fields, spec, (*here, "fields"))


def _lookup_problems(field: FieldSpec, tables: Mapping[str, Any] | None, here: Place) -> Iterator[MappingProblem]:
    if not field.lookup or tables is None:
        return
    table = tables.get(field.lookup)
    if table is None:
        known = ", ".join(f"`{name}`" for name in sorted(tables)[:20]) or "none"
        near = get_close_matches(field.lookup, list(tables), 1)
        hint = f"did you mean `{near[0]}`?" if near else f"write {field.lookup}.table.yaml"
        yield MappingProblem("MAP104", here, f"there is no value table `{field.lookup}`; known: {known}", hint)
        return
    table = indexed(table)
    if isinstance(table, ValueTable) and table.dated and not field.on:
        message = f"rows of `{field.lookup}` are valid on some days only; say with `on:` which day counts"
        yield MappingProblem("MAP106", here, message, "add `on: EXPRESSION`, for instance `on: execution_date`")
    width = table.width if isinstance(table, ValueTable) else 1
    if table and len(field.key) != width:
        message = f"the keys of `{field.lookup}` have {width} part(s), `key` has {len(field.key)}"
        yield MappingProblem("MAP133", here, message, "write as many expressions as the rows have parts")
    elif field.reverse and doubled(table):
        message = f"two keys of `{field.lookup}` have one value, so it has no one key"
        yield MappingProblem("MAP134", here, message, "look up in a table with one row for each value")
