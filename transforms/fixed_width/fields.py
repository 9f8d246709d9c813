"""Fields of fixed-width records: so many characters to a value and back, nothing cut, nothing guessed."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from transforms._totals import number_text, plain_decimal

if TYPE_CHECKING:
    from collections.abc import Callable

_DIGITS = re.compile("[0-9]+")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
# Zoned decimal: the last digit carries the sign (IBM z/Architecture Principles of Operation, as printed in ASCII).
_OVERPUNCH = {c: (str(i), "") for i, c in enumerate("{ABCDEFGHI")}
_OVERPUNCH |= {c: (str(i), "-") for i, c in enumerate("}JKLMNOPQR")}
_PUNCH = {found: c for c, found in _OVERPUNCH.items()}
# Two digits of a year mean 1969 to 2068 (POSIX strptime %y).
_FIRST_YEAR = 1969
_DATE_TOKEN = re.compile("YYYY|YY|MM|DD")


class BadFieldError(ValueError):
    """A field's text or value is not what its type allows; the message says what was expected, never the value."""


class Field(NamedTuple):
    """One field, compiled.

    Attributes:
        name: key in the body; empty for filler.
        start: first character, from 0.
        width: characters.
        decode: text of the field -> value; raises BadFieldError.
        encode: value -> text of exactly ``width`` characters; raises BadFieldError.
        constant: the value of a field that is always the same, else None.
        optional: whether the body may lack it.
    """

    name: str
    start: int
    width: int
    decode: Callable[[str], Any]
    encode: Callable[[Any], str]
    constant: str | None
    optional: bool


class Shape(NamedTuple):
    """How a value lies in its field; see the spec for the meaning of each option."""

    width: int
    pad: str
    right: bool
    optional: bool
    cut: bool = False
    decimals: int = 0
    point: str = ""
    whole: bool = False
    sign: Literal["none", "leading", "trailing", "overpunch"] = "none"
    plus: str = "+"
    minus: str = "-"


def text_codec(shape: Shape) -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    """Text: padding is taken off and put on."""

    def decode(text: str) -> str:
        return text.lstrip(shape.pad) if shape.right else text.rstrip(shape.pad)

    def encode(value: Any) -> str:
        text = value if isinstance(value, str) else number_text(value)
        if value is None and shape.optional:
            text = ""
        if text is None:
            raise BadFieldError("is no text")
        if _CONTROL.search(text):
            raise BadFieldError("holds a line end or another control character")
        if shape.cut:
            text = text[: shape.width]
        padded = _padded(text, shape)
        if shape.pad != " " and decode(padded) != text:
            raise BadFieldError("would lose characters that are the same as its padding")
        return padded

    return decode, encode


def number_codec(shape: Shape) -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    """Numbers: digits with implied or written decimals and a sign; ``int`` when ``whole``, else Decimal."""

    def decode(text: str) -> int | Decimal | None:
        digits, sign = _unsigned(text.strip(" "), shape)
        if not digits and shape.optional:
            return None
        value = Decimal(sign + (_pointed(digits, shape) if shape.point else _implied(digits, shape)))
        return int(value) if shape.whole else value

    def encode(value: Any) -> str:
        if value is None and shape.optional:
            return " " * shape.width
        text = value if isinstance(value, str) else number_text(value)
        number = plain_decimal(text) if text is not None else None
        if number is None:
            raise BadFieldError("is no decimal number")
        if number.is_signed() and number and shape.sign == "none":
            raise BadFieldError("is negative, the field has no sign")
        before, _, after = f"{abs(number):f}".partition(".")
        if after[shape.decimals :].strip("0"):
            raise BadFieldError(f"has more than {shape.decimals} decimals")
        after = after[: shape.decimals].ljust(shape.decimals, "0")
        digits = before + (shape.point if after else "") + after
        return _signed(digits, "-" if number < 0 else "", shape)

    return decode, encode


def date_codec(shape: Shape, pattern: str) -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    """Dates: ISO 8601 in the body, ``pattern`` (``YYMMDD``, ``DD.MM.YYYY`` …) in the field."""
    tokens = date_tokens(pattern)
    parts = re.split("(" + _DATE_TOKEN.pattern + ")", pattern)
    form = re.compile("".join(f"([0-9]{{{len(p)}}})" if p in tokens else re.escape(p) for p in parts))

    def decode(text: str) -> str | None:
        text = text.strip(" ")
        if not text.strip("0") and shape.optional:
            return None
        found = form.fullmatch(text)
        if not found:
            raise BadFieldError(f"is no date {pattern}")
        told = dict(zip(tokens, map(int, found.groups()), strict=True))
        year = told["YYYY"] if "YYYY" in told else (told["YY"] - _FIRST_YEAR % 100) % 100 + _FIRST_YEAR
        try:
            return date(year, told["MM"], told["DD"]).isoformat()
        except ValueError:
            raise BadFieldError("is no day of the calendar") from None

    def encode(value: Any) -> str:
        if shape.optional and (value is None or value == ""):
            return shape.pad * shape.width
        try:
            day = date.fromisoformat(value) if isinstance(value, str) and _ISO_DATE.fullmatch(value) else None
        except ValueError:
            day = None
        if day is None:
            raise BadFieldError("is no ISO date such as 2026-11-24")
        if "YY" in tokens and not _FIRST_YEAR <= day.year < _FIRST_YEAR + 100:
            raise BadFieldError("has a year that two digits cannot tell")
        year = f"{day.year:04}"
        values = {"YYYY": year, "YY": year[2:], "MM": f"{day.month:02}", "DD": f"{day.day:02}"}
        return _padded("".join(values.get(part, part) for part in parts), shape)

    return decode, encode


def constant_codec(shape: Shape, constant: str) -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    """A field that always holds the same text."""
    expected = _padded(constant, shape)

    def decode(text: str) -> str:
        if text != expected:
            raise BadFieldError(f"is not `{constant}`")
        return constant

    def encode(value: Any) -> str:
        if value is not None and value != constant:
            raise BadFieldError(f"is not `{constant}`")
        return expected

    return decode, encode


def _padded(text: str, shape: Shape) -> str:
    if len(text) > shape.width:
        raise BadFieldError(f"has {len(text)} characters, the field {shape.width}")
    return text.rjust(shape.width, shape.pad) if shape.right else text.ljust(shape.width, shape.pad)


def _pointed(digits: str, shape: Shape) -> str:
    before, found, after = digits.partition(shape.point)
    if not _DIGITS.fullmatch(before) or (found and not _DIGITS.fullmatch(after)) or len(after) > shape.decimals:
        raise BadFieldError(f"is no number with `{shape.point}` and up to {shape.decimals} decimals")
    return f"{before}.{after}" if after else before


def _implied(digits: str, shape: Shape) -> str:
    """``10010`` with two implied decimals is ``100.10``; scaled as text, so that no context rounds it."""
    if not _DIGITS.fullmatch(digits):
        raise BadFieldError("is not digits alone" if digits else "is blank")
    return f"{digits}E-{shape.decimals}"


def _unsigned(text: str, shape: Shape) -> tuple[str, str]:
    """The digits of a number's text, and ``-`` or nothing."""
    if not text or shape.sign == "none":
        return text, ""
    if shape.sign == "overpunch":
        # A plain digit at the end is how many senders write plus.
        digit, sign = _OVERPUNCH.get(text[-1], (text[-1], ""))
        return text[:-1] + digit, sign
    mark, digits = (text[0], text[1:]) if shape.sign == "leading" else (text[-1], text[:-1])
    if mark == shape.minus:
        return digits.strip(" "), "-"
    if mark == shape.plus:
        return digits.strip(" "), ""
    if shape.plus == " ":
        return text, ""
    raise BadFieldError(f"has no sign `{shape.plus}` or `{shape.minus}`")


def _signed(digits: str, sign: str, shape: Shape) -> str:
    """Digits and sign, padded to the field: zeros go between sign and digits, blanks outside."""
    if shape.sign == "overpunch":
        digits = digits[:-1] + _PUNCH[digits[-1], sign]
    mark = "" if shape.sign in {"none", "overpunch"} else (shape.minus if sign else shape.plus)
    if len(digits) + len(mark) > shape.width:
        raise BadFieldError(f"needs {len(digits) + len(mark)} characters, the field has {shape.width}")
    if shape.pad == "0":
        digits = digits.rjust(shape.width - len(mark), "0")
    text = mark + digits if shape.sign == "leading" else digits + mark
    return text.rjust(shape.width) if shape.right else text.ljust(shape.width)


def date_tokens(pattern: str) -> list[str]:
    """The year, month and day tokens of a date pattern, in order."""
    return _DATE_TOKEN.findall(pattern)
