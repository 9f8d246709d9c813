"""The building blocks of a compiled expression: small functions of the value they are applied to, made for speed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from bus.errors import Rejected
from bus.expressions.arithmetic import inexact
from bus.expressions.values import NUMBERS, ORDER, Run, equal, name_of, ordered, python_types, same, spend

_EMPTY: dict[str, Any] = {}


def itself(value: Any) -> Any:
    """``@``: the value as it is."""
    return value


def path(fields: tuple[str, ...]) -> Run:
    """One after the other; whatever has no fields gives null."""
    first, *rest = fields
    if not rest:
        return _one_field(first)
    if len(rest) == 1:
        return _two_fields(first, rest[0])
    if len(rest) == 2:
        return _three_fields(first, rest[0], rest[1])

    def run(value: Any) -> Any:
        try:
            for name in fields:
                value = value.get(name)
        except AttributeError:
            return None
        return value

    return run


def _one_field(first: str) -> Run:
    def run(value: Any) -> Any:
        try:
            return value.get(first)
        except AttributeError:
            return None

    return run


def _two_fields(first: str, second: str) -> Run:
    def run(value: Any) -> Any:
        try:
            return value.get(first, _EMPTY).get(second)
        except AttributeError:
            return None

    return run


def _three_fields(first: str, second: str, third: str) -> Run:
    def run(value: Any) -> Any:
        try:
            return value.get(first, _EMPTY).get(second, _EMPTY).get(third)
        except AttributeError:
            return None

    return run


def chain(steps: list[Run]) -> Run:
    """Each step applied to what the one before it gave."""
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps
        return lambda value: second(first(value))

    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run


def element(inner: Run, place: int) -> Run:
    """``inner[place]``: one item of a list, counted from its end where the place is below 0."""

    def run(value: Any) -> Any:
        found = inner(value)
        if not isinstance(found, list):
            return None
        try:
            return found[place]
        except IndexError:
            return None

    return run


def flattened(value: Any) -> Any:
    """``[]``: one level of lists inside a list dissolved."""
    if not isinstance(value, list):
        return None
    result: list[Any] = []
    for item in value:
        if isinstance(item, list):
            spend(len(item))
            result.extend(item)
        else:
            result.append(item)
    spend(len(value))
    return result


def both(first: Run, second: Run) -> Run:
    """``&&`` of two: the first result if it is false, else the second."""

    def run(value: Any) -> Any:
        found = first(value)
        if not found and type(found) not in NUMBERS:
            return found
        return second(value)

    return run


def choice(condition: Run, then: Run, otherwise: Run) -> Run:
    """``if()``: evaluates only the branch that is chosen."""

    def run(value: Any) -> Any:
        verdict = condition(value)
        return then(value) if verdict or type(verdict) in NUMBERS else otherwise(value)

    return run


def first_given(candidates: list[Run]) -> Run:
    """``coalesce()``: the first result that is not null; the rest is not evaluated."""

    def run(value: Any) -> Any:
        for candidate in candidates:
            found = candidate(value)
            if found is not None:
                return found
        return None

    return run


def one_of(subject: Run, texts: frozenset[str]) -> Run:
    """``in()`` with text literals only."""
    some = next(iter(texts))

    def run(value: Any) -> bool:
        found = subject(value)
        return found in texts if type(found) is str else found is not None and equal(found, some)

    return run


def applied(name: str, call: Callable[..., Any], arguments: list[Run]) -> Run:
    """A function call; arithmetic that fails inside becomes a Rejected that names the function."""
    if len(arguments) == 1:
        (only,) = arguments

        def run(value: Any) -> Any:
            try:
                return call(only(value))
            except ArithmeticError as error:
                raise inexact(name, error) from None

        return run

    if len(arguments) == 2:
        first, second = arguments

        def run_two(value: Any) -> Any:
            try:
                return call(first(value), second(value))
            except ArithmeticError as error:
                raise inexact(name, error) from None

        return run_two

    def run_many(value: Any) -> Any:
        try:
            return call(*[argument(value) for argument in arguments])
        except ArithmeticError as error:
            raise inexact(name, error) from None

    return run_many


def applied_with(name: str, call: Callable[..., Any], first: Run, literal: Any) -> Run:
    """As :func:`applied` for two arguments, of which the second is a literal."""

    def run(value: Any) -> Any:
        try:
            return call(first(value), literal)
        except ArithmeticError as error:
            raise inexact(name, error) from None

    return run


def equals_text(one: Run, text: str) -> Run:
    """``==`` with a text literal."""

    def run(value: Any) -> bool:
        found = one(value)
        return found == text if type(found) is str else found is not None and equal(found, text)

    return run


def differs_from_text(one: Run, text: str) -> Run:
    """``!=`` with a text literal."""

    def run(value: Any) -> bool:
        found = one(value)
        return found != text if type(found) is str else found is None or not equal(found, text)

    return run


def equals(one: Run, other: Run) -> Run:
    """``==`` of any two parts."""

    def run(value: Any) -> bool:
        left, right = one(value), other(value)
        kind = type(left)
        if kind is type(right) and kind in _DIRECT:
            return bool(left == right)
        return same(left, right) if left is None or right is None else equal(left, right)

    return run


_DIRECT = frozenset({str, int, Decimal, bool, type(None)})


def order_against(operator: str, one: Run, number: int | Decimal) -> Run:
    """``<``, ``<=``, ``>`` or ``>=`` with a number literal on the right."""
    compare = ORDER[operator]

    def run(value: Any) -> Any:
        found = one(value)
        if type(found) in NUMBERS:
            try:
                return compare(found, number)
            except InvalidOperation:
                pass
        return None if found is None else ordered(compare, found, number)

    return run


def order(operator: str, one: Run, other: Run) -> Run:
    """``<``, ``<=``, ``>`` or ``>=`` of any two parts."""
    compare = ORDER[operator]
    return lambda value: ordered(compare, one(value), other(value))


def typed(run: Run, wanted: int, what: str) -> Run:
    """An argument that must be of a type; ``what`` begins the sentence that refuses it."""
    allowed = python_types(wanted)

    def checked(value: Any) -> Any:
        found = run(value)
        if type(found) in allowed or _derived(found, allowed):
            return found
        raise Rejected(
            "VAL221", f"{what} is {name_of(found)}", hint="test it first, as in `x && f(x)`, or use coalesce()"
        )

    return checked


def typed_field(name: str, wanted: int, what: str) -> Run:
    """As :func:`typed` for a single field, which most arguments are."""
    allowed, otherwise = python_types(wanted), typed(_one_field(name), wanted, what)

    def checked(value: Any) -> Any:
        if type(value) is dict:
            found = value.get(name)
            if type(found) in allowed:
                return found
        return otherwise(value)

    return checked


def _derived(found: Any, allowed: frozenset[type]) -> bool:
    """Whether a value is of a subclass of an allowed type, as some parsers make them; a boolean is no number."""
    return not isinstance(found, bool) and isinstance(found, tuple(allowed))
