"""Columns of a declared type: numbers with grouped thousands and days, texts in the file, exact values inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from transforms._totals import plain_decimal

_TOKEN = re.compile("YYYY|YY|MM|DD")
_ISO = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NEGATIVE = re.compile(r"([0-9].*?) ?[-\u2212]|\(([0-9].*)\)")
_BLANKS = {0xA0: " ", 0x202F: " "}
"""Blanks that do not break lines, which group digits in French files."""
# Two digits of a year mean 1969 to 2068 (POSIX strptime %y).
_FIRST_YEAR = 1969


class BadValueError(ValueError):
    """A text or value that is not of its column's type; the message never quotes it."""


class Column(NamedTuple):
    """How a column is read and, where it is more than putting the decimal point, written."""

    read: Callable[[str], Decimal | str | None]
    write: Callable[[str], str] | None


def is_type(text: str) -> bool:
    """Whether a text names a type: ``number``, or a form of days with YYYY or YY, MM and DD once each."""
    tokens = sorted(_TOKEN.findall(text))
    return text == "number" or tokens in (["DD", "MM", "YY"], ["DD", "MM", "YYYY"])


def column(kind: str, point: str, thousands: str) -> Column:
    """The column of a type that :func:`is_type` knows."""
    return Column(number(point, thousands), None) if kind == "number" else _days(kind)


def number(point: str, thousands: str) -> Callable[[str], Decimal | None]:
    """Reads numbers; ``thousands`` may group their digits in threes, and only so.

    Negative is also what ERP systems and spreadsheets mark so: a minus behind (``5,00-``), the sign U+2212, brackets.
    """
    mark = re.escape(thousands)
    grouped = re.compile(rf"[+-]?[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+(?:{re.escape(point)}[0-9]*)?")

    def read(text: str) -> Decimal | None:
        text = _signed(text.strip())
        if not text:
            return None
        if thousands == " ":
            text = text.translate(_BLANKS)
        if thousands and grouped.fullmatch(text):
            text = text.replace(thousands, "")
        value = plain_decimal(text, point)
        if value is None:
            raise BadValueError(f"is no number with the decimal point `{point}`")
        return value

    return read


def _signed(text: str) -> str:
    """A negative number with its minus in front."""
    if text.startswith("\u2212"):
        return f"-{text[1:]}"
    behind = _NEGATIVE.fullmatch(text)
    return f"-{behind[1] or behind[2]}" if behind else text


def _days(pattern: str) -> Column:
    parts = re.split(f"({_TOKEN.pattern})", pattern)
    tokens = _TOKEN.findall(pattern)
    # One digit is enough for a day and a month where something stands between them.
    loose = all(parts[2:-1:2])
    digits = {"YYYY": "[0-9]{4}", "YY": "[0-9]{2}"}
    two = "[0-9]{1,2}" if loose else "[0-9]{2}"
    form = re.compile("".join(f"({digits.get(p, two)})" if p in tokens else re.escape(p) for p in parts))

    def read(text: str) -> str | None:
        text = text.strip()
        if not text:
            return None
        found = form.fullmatch(text)
        if not found:
            raise BadValueError(f"is no day of the form {pattern}")
        told = dict(zip(tokens, map(int, found.groups()), strict=True))
        year = told["YYYY"] if "YYYY" in told else (told["YY"] - _FIRST_YEAR % 100) % 100 + _FIRST_YEAR
        try:
            return date(year, told["MM"], told["DD"]).isoformat()
        except ValueError:
            raise BadValueError("is no day of the calendar") from None

    def write(text: str) -> str:
        try:
            day = date.fromisoformat(text) if _ISO.fullmatch(text) else None
        except ValueError:
            day = None
        if day is None:
            raise BadValueError("is no ISO date such as 2026-11-24")
        if "YY" in tokens and not _FIRST_YEAR <= day.year < _FIRST_YEAR + 100:
            raise BadValueError("has a year that two digits cannot tell")
        year = f"{day.year:04}"
        values = {"YYYY": year, "YY": year[2:], "MM": f"{day.month:02}", "DD": f"{day.day:02}"}
        return "".join(values.get(part, part) for part in parts)

    return Column(read, write)
