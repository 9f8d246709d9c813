"""Walks from a place in a file to the spec that owns it, through lists, unions and plug-in slots."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel

from bus.landscape import ChannelSource
from bus.spec import Catalogue, ExpressionText, FormulaText, Kind, PlugInSpec, Slot, StepSpec

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Loc = tuple[str | int, ...]


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys that may be written for a spec, as they are written (``from``, ``as``), in the order of declaration."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def required(model: type[BaseModel]) -> list[str]:
    """The keys that must be written."""
    return [key for key, info in fields(model).items() if info.is_required()]


def plain(text: str) -> str:
    """The documentation of a spec without its markup, for terminals: code in single back-ticks."""
    return re.sub(r"(?<!`)``(?!`)", "`", re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text))


def annotation(info: FieldInfo) -> Any:
    """The field's type with its markers, as it was declared."""
    kind = cast("Any", info.annotation)
    return Annotated[(kind, *info.metadata)] if info.metadata else kind


def slot(kind: Any) -> Kind | None:
    """The plug-in kind of a place that takes one plug-in."""
    if get_origin(kind) is Annotated:
        return next((mark.kind for mark in get_args(kind)[1:] if isinstance(mark, Slot)), None)
    return None


def below(kind: Any, part: str | int, catalogue: Catalogue) -> Any:
    """The type that stands under ``part`` of a type; None when there is nothing of that name."""
    plug_in = slot(kind)
    if plug_in is not None:
        return _plug_in(plug_in, part, catalogue)
    origin = get_origin(kind)
    if origin is Annotated:
        return below(get_args(kind)[0], part, catalogue)
    if origin is Union or origin is types.UnionType:
        found = (below(option, part, catalogue) for option in get_args(kind))
        return next((option for option in found if option is not None), None)
    if isinstance(kind, type) and origin is None and issubclass(kind, BaseModel):
        info = fields(kind).get(str(part))
        return None if info is None else annotation(info)
    return _item(kind, part) if isinstance(origin, type) else None


def _item(kind: Any, part: str | int) -> Any:
    """The type of an entry of a mapping or list."""
    origin = cast("type", get_origin(kind))
    if issubclass(origin, Mapping):
        return get_args(kind)[1]
    if issubclass(origin, Sequence | AbstractSet) and isinstance(part, int):
        return get_args(kind)[0]
    return None


def _plug_in(kind: Kind, part: str | int, catalogue: Catalogue) -> Any:
    try:
        return catalogue.spec(kind, str(part))
    except KeyError:
        return ChannelSource if kind == "endpoint" and part == "channel" else None


def bare(kind: Any) -> Any:
    """The type without markers."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def owner(model: type[BaseModel], loc: Loc, catalogue: Catalogue) -> type[BaseModel] | None:
    """The spec whose key the last part of ``loc`` is; None when the place belongs to no spec."""
    here: Any = model
    for part in loc[:-1]:
        here = below(here, part, catalogue)
        if here is None:
            return None
    for option in (here, bare(here), *get_args(bare(here))):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


# ---------------------------------------------------------------- from a validated spec


def specs(value: Any, loc: Loc = ()) -> Iterator[tuple[Loc, BaseModel]]:
    """Every spec that was written inside a validated value, outermost first, with its place in the file."""
    if isinstance(value, BaseModel):
        yield loc, value
        written = value.model_fields_set
        for name, key in _holders(type(value)):
            if name in written:
                item = getattr(value, name)
                yield from specs(item, (*loc, key, item.key) if isinstance(item, PlugInSpec) else (*loc, key))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from specs(item, (*loc, key, item.key) if isinstance(item, PlugInSpec) else (*loc, key))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from specs(item, (*loc, index, item.key) if isinstance(item, PlugInSpec) else (*loc, index))


@cache
def _holders(model: type[BaseModel]) -> list[tuple[str, str]]:
    """(attribute, key) of the fields that can hold specs."""
    kinds = ((name, info.alias or name, annotation(info)) for name, info in model.model_fields.items())
    return [(name, key) for name, key, kind in kinds if _can_hold(kind)]


def _can_hold(kind: Any) -> bool:
    if slot(kind) is not None:
        return True
    plain = bare(kind)
    options = get_args(plain)
    if options and get_origin(plain) is not Literal:
        return any(_can_hold(option) for option in options)
    return plain is Any or (isinstance(plain, type) and issubclass(plain, BaseModel))


def has(spec: BaseModel, name: str) -> bool:
    """Whether a spec has a field; cheaper than asking for the attribute, which pydantic refuses with an error."""
    return name in _field_names(type(spec))


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(model.model_fields)


def expressions(found: Iterable[tuple[Loc, BaseModel]]) -> Iterator[tuple[Loc, str, StepSpec | None]]:
    """Every expression of the specs that :func:`specs` found: its place, its text, the step it belongs to."""
    around: list[tuple[Loc, StepSpec]] = []
    for loc, spec in found:
        while around and loc[: len(around[-1][0])] != around[-1][0]:
            around.pop()
        if isinstance(spec, StepSpec):
            around.append((loc, spec))
        for name, key in _expression_fields(type(spec)):
            for where, text in _texts(getattr(spec, name), (*loc, key)):
                yield where, text, around[-1][1] if around else None


def _texts(value: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, str):
        if value:
            yield loc, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*loc, key))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _texts(item, (*loc, index))


@cache
def _expression_fields(model: type[BaseModel]) -> list[tuple[str, str]]:
    kinds = ((name, info.alias or name, annotation(info)) for name, info in model.model_fields.items())
    return [(name, key) for name, key, kind in kinds if is_expression(kind)]


def is_expression(kind: Any) -> bool:
    """Whether a type holds expressions: one, a list of them or a mapping to them."""
    if get_origin(kind) is Annotated:
        marks = get_args(kind)[1:]
        return any(mark in _EXPRESSIONS for mark in marks) or is_expression(get_args(kind)[0])
    return any(is_expression(option) for option in get_args(kind))


_EXPRESSIONS = (get_args(ExpressionText)[1], get_args(FormulaText)[1])
"""The validators that make text an expression; :class:`pydantic.BeforeValidator` values compare by their function."""
