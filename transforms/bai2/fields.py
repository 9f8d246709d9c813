"""Fields of BAI2 records: amounts without a point, types of funds, summaries of an account, details of an entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from bus import Rejected
from transforms._statements import Statement, day, decimals, transaction
from transforms.bai2.records import Record

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")
_DATE = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")
_COUNT = re.compile(r"[0-9]{1,6}")
_MOST_DISTRIBUTIONS = 1_000
_ZERO = Decimal(0)


class BadFieldError(Exception):
    """What is wrong with a field, in words."""


class Summary(NamedTuple):
    """One status or summary of an account: type code, amount in minor units (None when blank), number of items."""

    code: str
    amount: Decimal | None
    items: int | None


def number(text: str) -> Decimal | None:
    """The digits of an amount or total, in minor units; None for blank.

    Raises:
        BadFieldError: it is no number.
    """
    text = text.strip()
    if not text:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise BadFieldError("an amount is no number; it has digits and perhaps a sign, no point")
    return Decimal(text)


def count(text: str) -> int | None:
    """A count; None for blank. Raises BadFieldError."""
    found = number(text)
    return None if found is None else int(found)


def worth(amount: Decimal, currency: str) -> Decimal:
    """Minor units in the main unit: the point is implied by the currency."""
    return amount.scaleb(-decimals(currency))


def date_of(text: str) -> str:
    """The ISO day of ``yymmdd``; empty for blank.

    Raises:
        BadFieldError: no such day.
    """
    if not text.strip():
        return ""
    found = _DATE.fullmatch(text.strip())
    try:
        return day(found[1], found[2], found[3]) if found else _no_day()
    except Rejected:
        return _no_day()


def _no_day() -> str:
    raise BadFieldError("a date is no day of the calendar, written yymmdd")


class _Fields:
    """Fields taken one after the other; ``text`` is what was not taken yet."""

    def __init__(self, text: str) -> None:
        self._text: str | None = text

    @property
    def is_empty(self) -> bool:
        return self._text is None

    def take(self) -> str:
        """The next field; empty when there is none."""
        if self._text is None:
            return ""
        found, comma, rest = self._text.partition(",")
        self._text = rest if comma else None
        return found.strip()

    def rest(self) -> str:
        """All that is left, commas and all."""
        found, self._text = self._text or "", None
        return found


def _funds(fields: _Fields, kind: str) -> list[str]:
    """The fields that a type of funds brings: V date and time, S three amounts, D a number of days and amounts."""
    if kind == "V":
        return [fields.take(), fields.take()]
    if kind == "S":
        return [fields.take() for _ in range(3)]
    if kind == "D":
        text = fields.take()
        times = int(text) if _COUNT.fullmatch(text) else 0
        if not times and text not in ("", "0"):
            raise BadFieldError("the number of distributions is no number")
        if times > _MOST_DISTRIBUTIONS:
            raise BadFieldError(f"over {_MOST_DISTRIBUTIONS} distributions of funds")
        return [fields.take() for _ in range(2 * times)]
    if kind not in ("", "0", "1", "2", "Z"):
        raise BadFieldError("the type of funds is none of 0, 1, 2, V, S, D, Z")
    return []


def summaries(text: str) -> Iterator[Summary]:
    """Statuses and summaries of an account: what stands in a record 03 after its currency.

    Raises:
        BadFieldError: one of them is not readable.
    """
    fields = _Fields(text)
    while not fields.is_empty:
        code = fields.take()
        if not code:
            continue  # left out, or a comma too many before the end of a record
        amount, items, kind = number(fields.take()), count(fields.take()), fields.take()
        _funds(fields, kind)
        yield Summary(code, amount, items)


class Detail(NamedTuple):
    """A record 16 taken apart."""

    code: str
    amount: Decimal
    kind: str
    funds: list[str]
    bank_reference: str
    customer_reference: str
    texts: list[str]


def detail(record: Record, further: list[Record]) -> Detail:
    """The fields of a record 16; its continuations go on with fields as long as some are missing, then with text.

    Raises:
        BadFieldError: a field is not readable.
    """
    waiting = list(further)
    text = record.text
    while waiting and not _is_complete(text):
        text += "," + waiting.pop(0).text
    fields = _Fields(text)
    code, amount, kind = fields.take(), number(fields.take()), fields.take()
    funds = _funds(fields, kind)
    bank_reference, customer_reference = fields.take(), fields.take()
    texts = [fields.rest().strip(), *(piece.text.strip() for piece in waiting)]
    return Detail(code, amount or _ZERO, kind, funds, bank_reference, customer_reference, [t for t in texts if t])


def _is_complete(text: str) -> bool:
    """Whether all fields up to the customer's reference are there."""
    fields = _Fields(text)
    fields.take(), fields.take()
    _funds(fields, fields.take())
    if fields.is_empty:
        return False
    fields.take()
    return not fields.is_empty


_CREDITS = ((100, 399), (700, 759), (920, 959))
_DEBITS = ((400, 699), (760, 799), (960, 999))


def direction(code: str) -> str:
    """``credit`` or ``debit`` by the range of the type code.

    Raises:
        BadFieldError: the code says neither.
    """
    value = int(code) if len(code) == 3 and code.isascii() and code.isdigit() else 0
    for ranges, name in ((_CREDITS, "credit"), (_DEBITS, "debit")):
        if any(first <= value <= last for first, last in ranges):
            return name
    raise BadFieldError("the type code says neither credit (100 to 399) nor debit (400 to 699)")


def entry(statement: Statement, found: Detail, as_of: str) -> dict[str, Any]:
    """The canonical entry.

    Raises:
        BadFieldError: a date or type code is not readable.
    """
    value, currency = worth(found.amount, statement.currency), statement.currency
    flow, valued = direction(found.code), ""
    if value < 0:
        flow, value = ("debit" if flow == "credit" else "credit"), -value
    if found.kind == "V":
        valued = date_of(found.funds[0])
    elif found.kind == "0":
        valued = as_of
    told = {"instruction_id": found.customer_reference} if found.customer_reference else {}
    further = {"additional": text} if (text := _availability(found, currency)) else {}
    return statement.entry(
        value,
        flow,
        booking_date=as_of,
        value_date=valued,
        bank_reference=found.bank_reference,
        bank_transaction_code=found.code,
        transactions=[
            transaction(
                {"value": value, "currency": currency},
                remittance={"unstructured": found.texts, "structured": []},
                **told,
            )
        ],
        **further,
    )


def _availability(found: Detail, currency: str) -> str:
    """When the funds are there, in words, where it is not one day."""
    if found.kind == "S":
        pairs = list(zip(("0", "1", "2"), found.funds, strict=True))
    elif found.kind == "D":
        pairs = list(zip(found.funds[::2], found.funds[1::2], strict=True))
    else:
        return {"1": "available in 1 day", "2": "available in 2 days"}.get(found.kind, "")
    return "; ".join(
        f"{amount_text(amount, currency)} available in {days} days" for days, amount in pairs if amount.strip()
    )


def amount_text(text: str, currency: str) -> str:
    """An amount in minor units as the main unit with its currency."""
    amount = number(text)
    return f"{worth(amount or _ZERO, currency):f} {currency}"
