"""Fields of MT940 and MT942 beside the entries: balances, account, floor limit, sums, time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from bus import Rejected
from transforms._statements import day, placed
from transforms._swift import Field

_BALANCE = re.compile(r"([CD])(\d\d)(\d\d)(\d\d)([A-Z]{3})?(\d{1,30}(?:,\d{0,5})?)", re.ASCII)
_FLOOR = re.compile(r"([A-Z]{3})[CD]?\d{1,30}(?:,\d{0,5})?", re.ASCII)
_SUM = re.compile(r"(\d{1,7})([A-Z]{3})(\d{1,30}(?:,\d{0,5})?)", re.ASCII)
_MOMENT = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:([+-]\d\d)(\d\d))?", re.ASCII)
_ACCOUNT_CURRENCY = re.compile(r"(.{0,60}?[0-9])[/ ]?([A-Z]{3})")


class Balance(NamedTuple):
    """A balance field: signed amount, its currency (empty when not told), ISO day."""

    signed: Decimal
    currency: str
    when: str


def account_and_currency(field: Field) -> tuple[str, str]:
    """A :25:; banks write the currency of the account behind its number."""
    text = field.lines[0].strip()
    found = _ACCOUNT_CURRENCY.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def moment(field: Field) -> str:
    """A :13D: as ISO 8601 time; empty when it is none."""
    found = _MOMENT.fullmatch(field.lines[0].strip())
    if found is None:
        return ""
    try:
        date = day(found[1], found[2], found[3])
    except Rejected:
        return ""
    return f"{date}T{found[4]}:{found[5]}:00" + (f"{found[6]}:{found[7]}" if found[6] else "")


def floor_currency(field: Field) -> str | Rejected:
    """The currency of a :34F:, or what is wrong with it."""
    found = _FLOOR.fullmatch(field.lines[0].strip())
    return found[1] if found else _unreadable(field, "currency and amount such as `EUR0,`")


def sum_problem(field: Field) -> Rejected | None:
    """What is wrong with the form of a :90D: or :90C:."""
    if _SUM.fullmatch(field.lines[0].strip()):
        return None
    return _unreadable(field, "number, currency and sum such as `3EUR12,50`")


def wrong_total(field: Field, direction: str, found: tuple[int, Decimal], currency: str) -> Iterator[Rejected]:
    """The refusal when a :90D: or :90C: tells another number or sum than ``found``."""
    told = _SUM.fullmatch(field.lines[0].strip())
    if told is None:
        return
    (count, total), worth = found, Decimal(told[3].replace(",", "."))
    if (int(told[1]), told[2], worth) != (count, currency, total):
        text = (
            f"{field.place}: told are {int(told[1])} {direction} entries of {worth:f} {told[2]}, "
            f"there are {count} of {total:f} {currency}"
        )
        yield Rejected("VAL726", text, reason="AM10", place=field.place, hint="ask the bank for the file again")


def _unreadable(field: Field, wanted: str) -> Rejected:
    text = f"{field.place}: the field is not readable; expected {wanted}"
    return Rejected("VAL723", text, reason="FF01", place=field.place, hint="ask the bank for a correct file")


def read_balance(field: Field) -> Balance | Rejected:
    """The balance of a field :60:, :62:, :64: or :65:, or what is wrong with it."""
    found = _BALANCE.fullmatch(field.lines[0].strip())
    if found is None:
        return _unreadable(field, "sign, date, currency and amount such as `C261124EUR12,50`")
    sign, year, month, of_month, currency, amount = found.groups()
    value = Decimal(amount.replace(",", "."))
    try:
        return Balance(value if sign == "C" else -value, currency or "", day(year, month, of_month))
    except Rejected as error:
        return placed(error, field.place)
