"""Exact numbers: int and Decimal in, int and Decimal out; what has no exact result is an ArithmeticError."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from typing import Any

from bus.errors import Rejected
from bus.expressions.values import NUMBERS, name_of, spend
from bus.money import Money
from bus.money import minor_units as iso_minor_units

_DIGITS = 100
_TRAPS = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
# Inexact is a trap here: what needs more than 100 digits is refused, never rounded behind the author's back.
_EXACT = Context(prec=_DIGITS, Emax=_DIGITS * 10, Emin=-_DIGITS * 10, traps=[*_TRAPS, decimal.Inexact])
# ROUND_05UP keeps a trace of what was cut off, so that rounding the quotient a second time is still right.
_STICKY = Context(prec=_DIGITS, Emax=_DIGITS * 10, Emin=-_DIGITS * 10, rounding=decimal.ROUND_05UP, traps=_TRAPS)
_ROUNDING = {
    "half_even": decimal.ROUND_HALF_EVEN,
    "half_up": decimal.ROUND_HALF_UP,
    "half_down": decimal.ROUND_HALF_DOWN,
    "up": decimal.ROUND_UP,
    "down": decimal.ROUND_DOWN,
    "ceiling": decimal.ROUND_CEILING,
    "floor": decimal.ROUND_FLOOR,
}
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def inexact(function: str, error: ArithmeticError) -> Rejected:
    """The refusal for what the functions here, and every comparison of numbers, let pass as an ArithmeticError."""
    if isinstance(error, ZeroDivisionError):
        return Rejected("VAL230", f"{function}() divides by zero", hint="guard it with if(x == `0`, …)")
    hint = f"numbers have at most {_DIGITS} digits; round first"
    return Rejected("VAL224", f"{function}() has no exact result", hint=hint)


def _numbers(function: str, values: list[Any]) -> bool:
    """Whether the numbers are all whole; raises Rejected ``VAL221`` when one is none."""
    spend(len(values))
    kinds = set(map(type, values))
    if not kinds <= NUMBERS:
        place, wrong = next((i, v) for i, v in enumerate(values) if type(v) not in NUMBERS)
        raise Rejected("VAL221", f"{function}() takes a list of numbers, item {place} is {name_of(wrong)}")
    return Decimal not in kinds


def whole(function: str, name: str, value: int | Decimal, least: int, most: int) -> int:
    """``value`` as an int between ``least`` and ``most``; raises Rejected ``VAL229`` otherwise."""
    if not least <= value <= most or value != int(value):
        hint = f"from {least} to {most}"
        raise Rejected("VAL229", f"the {name} of {function}() is no whole number in range", hint=hint)
    return int(value)


def total(values: list[Any]) -> int | Decimal:
    """Exact sum; 0 for an empty list."""
    if _numbers("sum", values):
        whole_sum: int = sum(values)
        return whole_sum
    return _added(values)


def _added(values: Iterable[Any]) -> Decimal:
    with decimal.localcontext(_EXACT):
        return sum(values, Decimal(0))


def average(values: list[Any]) -> Decimal | None:
    """Sum divided by count; rounded to 28 digits, half to even, where the division does not end."""
    if not values:
        return None
    _numbers("avg", values)
    quotient = _STICKY.divide(_added(values), Decimal(len(values)))
    return Context(prec=28, rounding=decimal.ROUND_HALF_EVEN).plus(quotient)


def absolute(value: int | Decimal) -> int | Decimal:
    """The number without its sign; abs() would round a Decimal to 28 digits."""
    return value.copy_abs() if isinstance(value, Decimal) else abs(value)


def ceiling(value: int | Decimal) -> int:
    """The next whole number upwards."""
    return _integral(value, decimal.ROUND_CEILING)


def floor(value: int | Decimal) -> int:
    """The next whole number downwards."""
    return _integral(value, decimal.ROUND_FLOOR)


def _integral(value: int | Decimal, rounding: str) -> int:
    if isinstance(value, int):
        return value
    if not value.is_finite() or value.adjusted() > _DIGITS:
        raise decimal.Overflow
    return int(value.to_integral_value(rounding))


def to_number(value: Any) -> int | Decimal | None:
    """A JSON number from a text, a number as it is, null for all else."""
    if type(value) in NUMBERS:
        number: int | Decimal = value
        return number
    if not isinstance(value, str) or not _JSON_NUMBER.fullmatch(value):
        return None
    if len(value) > _DIGITS:
        raise decimal.Overflow
    return int(value) if value.lstrip("-").isdigit() else _EXACT.create_decimal(value)


def add(*values: int | Decimal) -> int | Decimal:
    """Exact sum of the arguments."""
    return _added(values) if Decimal in set(map(type, values)) else sum(values)


def subtract(left: int | Decimal, right: int | Decimal) -> int | Decimal:
    """Exact difference."""
    if isinstance(left, int) and isinstance(right, int):
        return left - right
    return _EXACT.subtract(Decimal(left), Decimal(right))


def multiply(*values: int | Decimal) -> int | Decimal:
    """Exact product; of ints an int."""
    if len(values) == 2 and (type(values[0]) is Decimal or type(values[1]) is Decimal):
        return _EXACT.multiply(values[0], values[1])
    product = Decimal(1)
    for value in values:
        product = _EXACT.multiply(product, Decimal(value))
    return product if Decimal in set(map(type, values)) else int(product)


def divide(value: int | Decimal, by: int | Decimal, places: int | Decimal, mode: str = "half_even") -> Decimal:
    """Quotient rounded to ``places`` decimals."""
    if by == 0:
        raise ZeroDivisionError
    return _rounded("divide", _STICKY.divide(Decimal(value), Decimal(by)), places, mode)


def rounded(value: int | Decimal, places: int | Decimal, mode: str = "half_even") -> Decimal:
    """``value`` with ``places`` decimals; negative places round to tens and hundreds."""
    return _rounded("round", Decimal(value), places, mode)


def _rounded(function: str, value: Decimal, places: int | Decimal, mode: str) -> Decimal:
    step = Decimal(1).scaleb(-whole(function, "places", places, -20, 20))
    return value.quantize(step, rounding_mode(mode), _STICKY)


def rounding_mode(mode: str) -> str:
    """The constant of :mod:`decimal` for our name of it; raises Rejected ``VAL229`` for another name."""
    if mode not in _ROUNDING:
        raise Rejected("VAL229", "that rounding mode does not exist", hint=f"one of {', '.join(_ROUNDING)}")
    return _ROUNDING[mode]


def verify_mode(position: int) -> Callable[[list[Any]], None]:
    """Check of a literal rounding mode at argument ``position``."""

    def verify(literals: list[Any]) -> None:
        if len(literals) > position and isinstance(literals[position], str):
            rounding_mode(literals[position])

    return verify


# ---------------------------------------------------------------- money


def money(value: Any, currency: str | None = None) -> dict[str, Any]:
    """``{"value", "currency"}`` from ``'100.10 EUR'`` or from a number (or text) and a currency."""
    if currency is None and not isinstance(value, str):
        raise Rejected("VAL229", "money() of a number needs a currency", hint="write money(value, 'EUR')")
    amount = Money.parse(value) if currency is None else Money.of(value, currency)
    return {"value": amount.value, "currency": amount.currency}


def minor_units(currency: str) -> int:
    """Decimal places of a currency by ISO 4217."""
    return iso_minor_units(currency)


def format_amount(value: int | Decimal, places: int | Decimal, mark: str = ".", group: str = "") -> str:
    """``value`` with exactly ``places`` decimals, ``mark`` before them and ``group`` between thousands."""
    digits = whole("format_amount", "places", places, 0, 20)
    exact = Decimal(value).quantize(Decimal(1).scaleb(-digits), context=_EXACT)
    return f"{exact:,.{digits}f}".replace(",", "\0").replace(".", mark).replace("\0", group)
