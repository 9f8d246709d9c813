"""The 94-character records of a NACHA file as tables, and their fields as values and back.

Positions are those of the Nacha Operating Rules, Appendix Three (record formats). A blank field reads as empty text.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

LENGTH = 94
BLOCKING = 10
_DIGITS = re.compile("[0-9]+")
_FIELD = re.compile(r"(\w+):(\d+)-(\d+)(\w?)")
_WEIGHTS = (3, 7, 1, 3, 7, 1, 3, 7)
HASH = 10**10
"""Entry hashes are sums of routing numbers without their check digits, of which the last ten digits are kept."""


class BadFieldError(ValueError):
    """A field is not what its kind allows; the message says what was expected, never the value."""


class Field(NamedTuple):
    """One field of a record, in characters from ``start`` to before ``end``.

    ``kind`` is empty for text, ``n`` count, ``a`` amount with two implied decimals, ``d`` date YYMMDD, ``z`` digits
    that keep their zeros, ``r`` text on the right.
    """

    name: str
    start: int
    end: int
    kind: str


def _table(text: str) -> tuple[Field, ...]:
    return tuple(Field(name, int(first) - 1, int(last), kind) for name, first, last, kind in _FIELD.findall(text))


FILE_HEADER = _table(
    "priority:2-3z destination:4-13r origin:14-23r created_on:24-29d created_at:30-33 modifier:34-34 record_size:35-37z"
    " blocking:38-39z format:40-40 destination_name:41-63 origin_name:64-86 reference:87-94"
)
BATCH_HEADER = _table(
    "service_class:2-4z company_name:5-20 discretionary:21-40 company_id:41-50 entry_class:51-53 description:54-63"
    " descriptive_date:64-69 effective_date:70-75d settlement_day:76-78 originator_status:79-79 odfi:80-87z"
    " batch_number:88-94n"
)
IAT_BATCH_HEADER = _table(
    "service_class:2-4z iat_indicator:5-20 exchange:21-22 exchange_reference_kind:23-23 exchange_reference:24-38"
    " destination_country:39-40 company_id:41-50 entry_class:51-53 description:54-63 originating_currency:64-66"
    " destination_currency:67-69 effective_date:70-75d settlement_day:76-78 originator_status:79-79 odfi:80-87z"
    " batch_number:88-94n"
)
_ENTRY_BEGIN = "transaction_code:2-3z rdfi:4-11z check_digit:12-12z"
_ENTRY_END = " addenda_indicator:79-79z trace_number:80-94z"
ENTRY = _table(f"{_ENTRY_BEGIN} account:13-29 amount:30-39a id:40-54 name:55-76 discretionary:77-78{_ENTRY_END}")
CTX_ENTRY = _table(
    f"{_ENTRY_BEGIN} account:13-29 amount:30-39a id:40-54 addenda_count:55-58n name:59-74 discretionary:77-78"
    f"{_ENTRY_END}"
)
IAT_ENTRY = _table(
    f"{_ENTRY_BEGIN} addenda_count:13-16n amount:30-39a account:40-74 screening:77-77 screening_2:78-78{_ENTRY_END}"
)
_END = " entry:88-94z"
ADDENDA: dict[str, tuple[Field, ...]] = {
    "05": _table(f"text:4-83 number:84-87n{_END}"),
    "10": _table(f"kind:4-6 foreign_amount:7-24a foreign_trace:25-46 receiver_name:47-81{_END}"),
    "11": _table(f"originator_name:4-38 originator_street:39-73{_END}"),
    "12": _table(f"originator_town:4-38 originator_country:39-73{_END}"),
    "13": _table(f"odfi_name:4-38 odfi_id_kind:39-40 odfi_id:41-74 odfi_country:75-77{_END}"),
    "14": _table(f"rdfi_name:4-38 rdfi_id_kind:39-40 rdfi_id:41-74 rdfi_country:75-77{_END}"),
    "15": _table(f"receiver_id:4-18 receiver_street:19-53{_END}"),
    "16": _table(f"receiver_town:4-38 receiver_country:39-73{_END}"),
    "17": _table(f"text:4-83 number:84-87n{_END}"),
    "18": _table(f"correspondent_name:4-38 correspondent_id_kind:39-40 correspondent_id:41-74"
                 f" correspondent_country:75-77 number:84-87n{_END}"),
    "98": _table("reason:4-6 original_trace:7-21z original_rdfi:28-35z corrected:36-64 trace_number:80-94z"),
    "99": _table("reason:4-6 original_trace:7-21z date_of_death:22-27 original_rdfi:28-35z information:36-79"
                 " trace_number:80-94z"),
}  # fmt: skip
"""Addenda type code -> its fields."""
OTHER_ADDENDA = _table("text:4-94")
"""Addenda of terminals (02) and of what else there may be."""
BATCH_CONTROL = _table(
    "service_class:2-4z count:5-10n hash:11-20n debit:21-32a credit:33-44a company_id:45-54 authentication:55-73"
    " odfi:80-87z batch_number:88-94n"
)
FILE_CONTROL = _table("batches:2-7n blocks:8-13n count:14-21n hash:22-31n debit:32-43a credit:44-55a")


def decode(text: str, fields: tuple[Field, ...], place: str) -> tuple[dict[str, Any], str, str]:
    """Values of a record by name, and (place, message) of the first field that cannot be read; both empty for none.

    A field that cannot be read stays text.
    """
    found: dict[str, Any] = {}
    where = said = ""
    for name, start, end, kind in fields:
        cell = text[start:end]
        try:
            found[name] = _value(cell, kind)
        except BadFieldError as error:
            found[name] = cell.strip()
            if not where:
                where = f"{place}, column {start + 1}"
                said = f"{where}: `{name}` {error}"
    return found, where, said


def _value(cell: str, kind: str) -> Any:
    text = cell.strip(" ")
    if kind in ("", "r") or (not text and kind in "dz"):
        return text
    if not _DIGITS.fullmatch(text):
        if not text and kind in "na":
            return 0 if kind == "n" else Decimal("0.00")
        raise BadFieldError("is not digits alone")
    if kind == "n":
        return int(text)
    if kind == "a":
        return Decimal(f"{text}E-2")
    if kind == "d":
        return _day(text)
    return text


def _day(text: str) -> str:
    """``260105`` as an ISO date; all zeros are none. Years 69 to 99 are of the last century (POSIX)."""
    if not text.strip("0"):
        return ""
    try:
        year = int(text[:2])
        return date(year + (1900 if year >= 69 else 2000), int(text[2:4]), int(text[4:])).isoformat()
    except ValueError:
        raise BadFieldError("is no day of the calendar") from None


def encode(record: str, fields: tuple[Field, ...], values: dict[str, Any]) -> str:
    """A record of 94 characters; fields that ``values`` lacks are blank, or zeros where they are counts and amounts.

    Raises:
        BadFieldError: a value does not fit; named in the message.
    """
    cells = [" "] * LENGTH
    cells[: len(record)] = record
    for name, start, end, kind in fields:
        cells[start:end] = _cell(values.get(name, ""), name, end - start, kind)
    return "".join(cells)


def _cell(value: Any, name: str, width: int, kind: str) -> str:
    if kind == "d":
        text = str(value).replace("-", "")[2:]
    elif kind == "a":
        text = str(int((value or Decimal(0)).scaleb(2)))
    else:
        text = str(value)
    if len(text) > width:
        raise BadFieldError(f"`{name}` has {len(text)} characters, the field {width}")
    if kind in ("n", "a"):
        return text.rjust(width, "0")
    return text.rjust(width) if kind == "r" else text.ljust(width)


def check_digit(routing: str) -> str:
    """Last digit of a routing number whose first eight digits are given (ABA: weights 3, 7, 1)."""
    return str(-sum(w * int(d) for w, d in zip(_WEIGHTS, routing, strict=True)) % 10)


def is_routing_number(text: str) -> bool:
    """Whether these are nine digits with a right check digit."""
    return len(text) == 9 and text.isascii() and text.isdigit() and check_digit(text[:8]) == text[8]


def is_debit(transaction_code: str) -> bool:
    """Whether an entry takes from the receiver; of codes 21 to 58 the second digit says it, of 8x that it is even."""
    last = int(transaction_code[1])
    return last % 2 == 0 if transaction_code[0] == "8" else last >= 5
