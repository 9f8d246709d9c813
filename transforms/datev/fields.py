"""Fields of DATEV files as values and back: German decimals, dates without separators, texts always in quotes."""

from __future__ import annotations

import csv
import re
from datetime import date
from decimal import Decimal
from typing import Any

from transforms._totals import number_text, plain_decimal
from transforms.datev.columns import SIDES, Column

_DIGITS = re.compile("[0-9]+")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_REFERENCE = re.compile(r"[A-Za-z0-9$&%*+\-/]*")
_PLACES = {"amount": 2, "rate": 6}


class BadFieldError(ValueError):
    """A field that cannot be read or written; the message says what was expected, never the value."""


def split(line: str) -> list[str]:
    """The cells of a line.

    Raises:
        BadFieldError: a quote does not end where a cell ends.
    """
    try:
        return next(csv.reader([line], delimiter=";", strict=True), [])
    except csv.Error:
        raise BadFieldError("a quote does not end where its cell ends") from None


def decode(cell: str, column: Column, year_begin: date) -> Any:
    """The value of a cell, None for an empty one.

    Raises:
        BadFieldError: it is not of the column's kind.
    """
    cell = cell.strip()
    if not cell:
        return None
    if column.kind in _PLACES:
        value = plain_decimal(cell.replace(".", "") if "," in cell else cell, ",")
        if value is None:
            raise BadFieldError("is no amount with a decimal comma")
        return value
    if column.kind in ("date", "day"):
        return _date(cell, year_begin)
    if column.key == "side":
        if cell not in SIDES:
            raise BadFieldError("is neither S nor H")
        return SIDES[cell]
    if column.kind == "flag":
        return cell == "1"
    return cell


def _date(cell: str, year_begin: date) -> str:
    """``TTMM`` inside the fiscal year, or ``TTMMJJJJ``."""
    digits = cell.zfill(4) if len(cell) == 3 else cell
    if not _DIGITS.fullmatch(digits) or len(digits) not in (4, 8):
        raise BadFieldError("is no date TTMM or TTMMJJJJ")
    try:
        day, month = int(digits[:2]), int(digits[2:4])
        if len(digits) == 8:
            return date(int(digits[4:]), month, day).isoformat()
        later = (month, day) < (year_begin.month, year_begin.day)
        return date(year_begin.year + later, month, day).isoformat()
    except ValueError:
        raise BadFieldError("is no day of the calendar") from None


def encode(value: Any, column: Column, account_length: int) -> str:
    """A cell as it stands in the file; empty texts have quotes too.

    Raises:
        BadFieldError: the value does not fit; nothing is cut or rounded.
    """
    if column.kind == "text":
        return _quoted(value, column)
    if value is None or value == "":
        return ""
    if column.kind in _PLACES:
        return _amount(value, column)
    if column.kind in ("date", "day"):
        day = _iso(value)
        return f"{day:%d%m}" if column.kind == "day" else f"{day:%d%m%Y}"
    if column.kind == "flag":
        return _flag(value)
    return _number(value, column, account_length)


def _flag(value: Any) -> str:
    if not isinstance(value, bool):
        raise BadFieldError("is neither true nor false")
    return "1" if value else "0"


def _number(value: Any, column: Column, account_length: int) -> str:
    text = value if isinstance(value, str) else number_text(value) or ""
    if not _DIGITS.fullmatch(text) or len(text) > column.width:
        raise BadFieldError(f"is not up to {column.width} digits")
    if column.kind != "account":
        return text
    if len(text) > account_length + 1:
        raise BadFieldError(f"has more digits than accounts of length {account_length} and their partners have")
    return text.rjust(account_length, "0")


def _quoted(value: Any, column: Column) -> str:
    text = "" if value is None else value if isinstance(value, str) else number_text(value)
    if column.key == "side":
        text = next((letter for letter, name in SIDES.items() if name == value), None)
    if text is None:
        raise BadFieldError("is neither debit nor credit" if column.key == "side" else "is no text")
    if len(text) > column.width:
        raise BadFieldError(f"has {len(text)} characters, the column {column.width}")
    if _CONTROL.search(text):
        raise BadFieldError("holds a line end or another control character")
    if column.key == "reference" and not _REFERENCE.fullmatch(text):
        raise BadFieldError("has characters other than letters, digits and $ & % * + - /")
    return '"' + text.replace('"', '""') + '"'


def _amount(value: Any, column: Column) -> str:
    places = _PLACES[column.kind]
    text = value if isinstance(value, str) else number_text(value)
    number = plain_decimal(text) if text is not None else None
    if number is None or number < 0:
        raise BadFieldError("is no decimal number of zero or more")
    before, _, after = f"{number:f}".partition(".")
    if after[places:].strip("0"):
        raise BadFieldError(f"has more than {places} decimals")
    if len(before.lstrip("0")) > column.width:
        raise BadFieldError(f"has more than {column.width} digits before the comma")
    shown = after[:places].ljust(2, "0") if places == 2 else after[:places].rstrip("0").ljust(2, "0")
    return f"{before.lstrip('0') or '0'},{shown}"


def _iso(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadFieldError("is no ISO date such as 2026-11-24") from None


def signed(amount: Any, side: Any) -> Decimal:
    """What a booking does to its account, debits below zero so that they are told as such."""
    value = amount if isinstance(amount, Decimal) else Decimal(0)
    return -value if side == "debit" else value
