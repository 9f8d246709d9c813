"""What can be told to be wrong in a mapping before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, get_args

from pydantic import BaseModel

from transforms.mapping.tables import ValueTable, indexed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transforms.mapping.specs import FieldSpec, MappingSpec


class MappingProblem(NamedTuple):
    """Something wrong in a mapping: ``path`` leads to the entry in the file."""

    code: str
    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        """One sentence with the code and the place."""
        return f"{self.code} {'.'.join(self.path)}: {self.message}" if self.path else f"{self.code} {self.message}"


def problems(
    spec: MappingSpec, *, required: Iterable[str] | None = None, tables: Mapping[str, Any] | None = None
) -> list[MappingProblem]:
    """What can be told to be wrong without running the mapping.

    Args:
        spec: the mapping.
        required: target fields that must have a source; None = those of the canonical model that ``to`` names.
        tables: all value tables there are by name; None = not known, then names are not checked.
    """
    wanted = [*(required_fields(spec.to) if required is None else required), *spec.required]
    found = [
        MappingProblem("MAP103", ("fields",), f"the required target field `{target}` has no source")
        for target in dict.fromkeys(wanted)
        if not any(_reaches(name, target) for name in spec.fields)
    ]
    model = _model(spec.to)
    found += _strangers(spec, model) if model else []
    known = None if tables is None else {**tables, **spec.tables}
    for name in spec.tables.keys() & (tables or {}).keys():
        message = f"the table `{name}` is also one of all mappings; rename one"
        found.append(MappingProblem("MAP108", ("tables", name), message))
    return [*found, *_field_problems(spec.fields, known, ("fields",))]


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
        info = {f.alias or n: f for n, f in here.model_fields.items()}.get(part) if here else None
        if info is None:
            return ".".join(parts[: i + 1])
        options = (info.annotation, *get_args(info.annotation))
        here = next((option for option in options if _is_model(option)), None)
    return None


def _strangers(spec: MappingSpec, model: type[BaseModel]) -> list[MappingProblem]:
    missing = {target: _unknown(model, target) for target in spec.fields}
    return [
        MappingProblem("MAP109", ("fields", target), f"the model `{spec.to}` has no field `{stranger}`")
        for target, stranger in missing.items()
        if stranger is not None
    ]


def _reaches(target: str, wanted: str) -> bool:
    """Whether a field of that name gives ``wanted``: it is it, holds it, or is a part of it."""
    return target == wanted or target.startswith(f"{wanted}.") or wanted.startswith(f"{target}.")


def _field_problems(
    fields: Mapping[str, FieldSpec], tables: Mapping[str, Any] | None, path: tuple[str, ...]
) -> Iterator[MappingProblem]:
    for target, field in fields.items():
        here = (*path, target)
        inside = next((name for name in fields if name.startswith(f"{target}.")), None)
        if inside is not None:
            yield MappingProblem("MAP102", here, f"has a value of its own and is the parent of `{inside}`")
        if field.lookup and tables is not None:
            yield from _lookup_problems(field, tables, here)
        yield from _field_problems(field.fields, tables, (*here, "fields"))


def _lookup_problems(field: FieldSpec, tables: Mapping[str, Any], here: tuple[str, ...]) -> Iterator[MappingProblem]:
    table = tables.get(field.lookup)
    if table is None:
        known = ", ".join(f"`{name}`" for name in sorted(tables)[:20]) or "none"
        yield MappingProblem("MAP104", here, f"there is no value table `{field.lookup}`; known: {known}")
        return
    table = indexed(table)
    if isinstance(table, ValueTable) and table.dated and not field.on:
        message = f"rows of `{field.lookup}` are valid on some days only; say with `on:` which day counts"
        yield MappingProblem("MAP106", here, message)
