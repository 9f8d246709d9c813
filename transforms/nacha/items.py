"""Payments and direct debits on their way into a NACHA file: looked through, texts brought into ASCII."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from bus import Money, Rejected
from transforms._characters import converter
from transforms.canonical.kinds import misfits

CLASSES = ("PPD", "CCD", "CTX", "IAT", "WEB", "TEL")
"""Standard entry classes that are written."""
_LARGEST = Decimal("99999999.99")
_ascii = converter("ascii")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class Item(NamedTuple):
    """One payment, looked through: ``receiver`` gets (or gives) it, ``originator`` sends the file."""

    body: Mapping[str, Any]
    number: int
    entry_class: str
    debit: bool
    amount: Decimal
    day: str
    originator: Mapping[str, Any]
    receiver: Mapping[str, Any]


def refused(number: int, field: str, message: str, hint: str = "", code: str = "VAL790") -> Rejected:
    """The refusal of a payment that cannot be written."""
    return Rejected(code, f"payment {number}: {message}", hint=hint, place=field)


def ascii_text(value: Any, number: int, field: str) -> str:
    """A text in the characters that Nacha allows; letters with marks lose them."""
    if value is None:
        return ""
    text = str(value)
    if not text.isascii():
        try:
            text = _ascii(text)
        except Rejected as error:
            raise refused(number, field, error.message, error.hint, error.code) from None
    if _CONTROL.search(text):
        raise refused(number, field, f"`{field}` holds a line end or another control character")
    return text.strip(" ")


def item(body: Any, number: int, usual_class: str) -> Item:
    """Look a canonical body through; ``usual_class`` is the entry class of one that names none that is written.

    Raises:
        Rejected: ``VAL335`` (no payment), ``VAL790``, ``VAL791`` (amount), ``VAL212``, ``VAL213``.
    """
    kind = body.get("type", "payment") if isinstance(body, Mapping) else None
    if kind not in ("payment", "direct-debit"):
        hint = "map it to the canonical payment or direct debit first"
        raise Rejected("VAL335", f"record {number} is no payment and no direct debit", hint=hint)
    debit = kind == "direct-debit"
    receiver, originator = (body.get(name) for name in (("debtor", "creditor") if debit else ("creditor", "debtor")))
    for name, party in (("receiver", receiver), ("originator", originator)):
        if not isinstance(party, Mapping):
            raise refused(number, name, f"the {name} is missing")
    for name, shape in (("debtor", "party"), ("creditor", "party"), ("remittance", "remittance")):
        told = body.get(name)
        wrong = next(misfits(shape, told, name), None) if isinstance(told, Mapping) else None
        if wrong is not None or not (told is None or isinstance(told, Mapping)):
            text = wrong.text if wrong is not None else f"`{name}` is no object with fields"
            raise refused(number, wrong.place if wrong else name, text, "correct the mapping of that field", "VAL673")
    entry_class = str(body.get("local_instrument") or "")
    if entry_class not in CLASSES:
        entry_class = usual_class
    day = _day(body.get("collection_date" if debit else "execution_date"), number)
    return Item(body, number, entry_class, debit, _amount(body.get("amount"), number), day, originator, receiver)


def _amount(amount: Any, number: int) -> Decimal:
    given: Mapping[str, Any] = amount if isinstance(amount, Mapping) else {}
    if given.get("currency") != "USD":
        hint = "amounts in these files are in US dollars"
        raise refused(number, "amount", "the currency is not USD", hint, "VAL791")
    value = Money.of(given.get("value"), "USD").value
    if not 0 < value <= _LARGEST:
        raise refused(number, "amount", f"the amount is not above zero and up to {_LARGEST}", "split it", "VAL791")
    return value


def _day(value: Any, number: int) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise refused(number, "execution_date", "the date is no day of the calendar", "write 2026-11-24") from None
