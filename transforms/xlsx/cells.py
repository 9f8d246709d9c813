"""Values of cells: exact numbers, ISO dates, texts; what Excel shows as an error is one."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation

from bus import Rejected

_BUILT_IN = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Number formats of dates and times that every workbook has (ECMA-376 Part 1, 18.8.30, all languages)."""
_NO_LETTERS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_PRECISION = Context(prec=15)
"""Excel computes with 15 decimal digits; what its files have behind them is noise of the binary numbers inside."""
_MOST_DAYS = 2_958_466
_DAY = 86_400

Value = str | Decimal | bool | None


def is_date_format(number: int, code: str) -> bool:
    """Whether a number format shows dates or times of the day; durations such as ``[h]:mm`` stay numbers."""
    if not code:
        return number in _BUILT_IN
    if "[h" in code.lower() or "[m" in code.lower() or "[s" in code.lower():
        return False
    letters = _NO_LETTERS.sub("", code.partition(";")[0]).lower()
    return any(letter in letters for letter in "ymdhs") and "e+" not in letters and letters != "general"


def number(text: str) -> Decimal:
    """The number that Excel shows, to its 15 digits: 0.1 is 0.1, and 0.30000000000000004 is 0.3.

    Raises:
        Rejected: ``VAL846`` when the cell holds no number.
    """
    try:
        value = _PRECISION.create_decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value.adjusted()) > 310:
        raise Rejected("VAL846", "a cell of type number holds none", hint="save the workbook again", reason="FF01")
    if len(text) > 15:
        value = value.normalize(_PRECISION)
    return Decimal(f"{value:f}")


def moment(serial: Decimal, *, since_1904: bool) -> str:
    """Day, day and time, or time of a serial number: days since 1900 with Excel's own 29 February, or since 1904.

    Raises:
        Rejected: ``VAL852`` for a number that is no day.
    """
    days, rest = divmod(serial, 1)
    whole = int(days)
    seconds = int((rest * _DAY).to_integral_value())
    if not 0 <= whole < _MOST_DAYS or (whole == 60 and not since_1904):
        raise Rejected("VAL852", "a date is no day of the calendar", hint="correct the cell", reason="DT01")
    if whole == 0 and rest and not since_1904:
        return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    first = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 31 if whole < 60 else 30)  # noqa: DTZ001 - workbooks know no zone
    try:
        when = first + timedelta(days=whole, seconds=seconds)
    except OverflowError:
        raise Rejected("VAL852", "a date is after the year 9999", hint="correct the cell", reason="DT01") from None
    return when.isoformat() if seconds else when.date().isoformat()


def text(raw: str) -> str:
    """A text with its escaped characters (``_x000D_``) put back."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), raw) if "_x" in raw else raw


def column_number(letters: str) -> int:
    """``A`` is 1, ``XFD`` 16384."""
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - 64
    return value


def column_letters(value: int) -> str:
    """The other way."""
    letters = ""
    while value:
        value, rest = divmod(value - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def position(reference: str) -> tuple[int, int]:
    """(row, column) of a cell such as ``B12``, (0, 0) for what is none."""
    found = _REFERENCE.fullmatch(reference)
    return (int(found[2]), column_number(found[1])) if found else (0, 0)
