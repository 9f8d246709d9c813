"""Whether the values of a canonical body are of the kinds that its model declares: texts, numbers, lists, objects.

Compiled once from the pydantic classes. Values themselves, and fields that no model knows, are no matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

_MOST_DIGITS = 18
_CALLED = {str: "a text", bool: "a flag", int: "a number", Decimal: "a number", float: "a binary number"}


class Misfit(NamedTuple):
    """A field that holds something of another kind."""

    place: str
    text: str


Check = Callable[[Any, str], Iterator[Misfit]]


def misfits(model: str, body: Mapping[str, Any], at: str = "") -> Iterator[Misfit]:
    """The fields of a body that hold something else than ``model`` (or ``party``, ``remittance``) says.

    ``at`` is the place of the body, which comes before that of its fields. None always means that there is nothing.
    """
    yield from _fields(_shape(model), body, at)


@cache
def _shape(model: str) -> Any:
    from transforms.canonical.models import MODEL_TYPES, Party, Remittance  # noqa: PLC0415 - pydantic is heavy

    return {**MODEL_TYPES, "party": Party, "remittance": Remittance}[model]


@cache
def _checks(shape: Any) -> dict[str, Check]:
    # Not the annotations of the fields: those of classes that name each other may still be unresolved in them.
    hints = get_type_hints(shape, include_extras=True)
    return {(field.alias or name): _check(hints[name]) for name, field in shape.model_fields.items()}


def _fields(shape: Any, body: Mapping[str, Any], at: str) -> Iterator[Misfit]:
    checks = _checks(shape)
    for name, value in body.items():
        if value is not None and (check := checks.get(name)) is not None:
            yield from check(value, f"{at}.{name}" if at else name)


def _check(annotation: Any) -> Check:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, Union, UnionType):
        # Each field has one kind beside None.
        return _check(next(one for one in inner if one is not type(None)))
    if origin is tuple:
        return _list(_check(inner[0]))
    if origin is Literal:
        return _is(str, "a text")
    plain: dict[Any, Check] = {
        str: _is(str, "a text"),
        bool: _is(bool, "true or false"),
        int: _is(int, "a whole number"),
        Decimal: _number,
        Any: lambda _value, _place: iter(()),
    }
    return plain.get(annotation) or _object(None if origin is dict else annotation)


def _is(kind: type, wanted: str) -> Check:
    def check(value: Any, place: str) -> Iterator[Misfit]:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield _misfit(value, place, wanted)

    return check


def _number(value: Any, place: str) -> Iterator[Misfit]:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        yield _misfit(value, place, "an exact number")
    elif not (exact := Decimal(value)).is_finite() or not -_MOST_DIGITS <= exact.adjusted() < _MOST_DIGITS:
        yield Misfit(place, f"`{place}` is no number of up to {_MOST_DIGITS} digits")


def _list(check: Check) -> Check:
    def of(value: Any, place: str) -> Iterator[Misfit]:
        if not isinstance(value, list | tuple):
            yield _misfit(value, place, "a list")
            return
        for number, item in enumerate(value):
            yield from (
                (_misfit(item, f"{place}[{number}]", "a value"),) if item is None else check(item, f"{place}[{number}]")
            )

    return of


def _object(shape: Any) -> Check:
    def check(value: Any, place: str) -> Iterator[Misfit]:
        if not isinstance(value, dict):
            yield _misfit(value, place, "an object with fields")
        elif shape is not None:
            for name, field in shape.model_fields.items():
                if field.is_required() and value.get(name) is None:
                    yield Misfit(f"{place}.{name}", f"`{place}.{name}` is missing")
            yield from _fields(shape, value, place)

    return check


def _misfit(value: Any, place: str, wanted: str) -> Misfit:
    called = "empty" if value is None else _CALLED.get(type(value), "a list" if isinstance(value, list | tuple) else "")
    return Misfit(place, f"`{place}` is {called or 'something else'}, wanted is {wanted}")
