"""One movement of CODA with its details and information, as a canonical entry.

Columns are those of the Febelfin standard (coded statement of account, version 2.6), counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from bus import Finding, Rejected
from transforms._records import Record
from transforms._statements import Statement, account_of, day, money, placed, transaction
from transforms._totals import EXACT
from transforms.canonical.accounts import is_creditor_reference

_AMOUNT = re.compile(r"[0-9]{15}")
_DATE = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")
_OGM = re.compile(r"[0-9]{12}")
_REASON = re.compile(r"[A-Z]{2}[0-9]{2}")
_PURPOSE = re.compile(r"[A-Z]{4}")
_BELGIAN = re.compile(r"[0-9]{12}")
_PARTS = "567"
"""Types of details that add up to their movement: 5 of a customer's total (1), 6 and 7 of a bank's total (2)."""


def amount_of(record: Record, sign: int, currency: str) -> Decimal:
    """The signed amount whose sign (0 credit, 1 debit) stands in column ``sign``, 12 digits and 3 decimals after it.

    Raises:
        Rejected: ``VAL762`` (no amount), ``VAL411``, ``VAL412`` (decimals, currency).
    """
    digits, mark = record.text[sign : sign + 15], record.text[sign - 1]
    if _AMOUNT.fullmatch(digits) is None or mark not in "01":
        text = "an amount has a sign (0 or 1) and 15 digits"
        raise Rejected("VAL762", text, reason="AM12", place=record.where(sign), hint="ask the bank for a correct file")
    value = money(Decimal(digits).scaleb(-3), currency)
    return -value if mark == "1" else value


def date_of(record: Record, column: int) -> str:
    """The ISO day of a date ``ddmmyy``; empty for blanks and zeros, which mean that it is not known.

    Raises:
        Rejected: ``VAL413``: no day of the calendar.
    """
    text = record.text[column - 1 : column + 5]
    if not text.strip(" 0"):
        return ""
    found = _DATE.fullmatch(text)
    if found is None:
        hint = "ask the bank for a correct file"
        raise Rejected(
            "VAL413", "a date is not of the form ddmmyy", reason="DT01", place=record.where(column), hint=hint
        )
    try:
        return day(found[3], found[2], found[1])
    except Rejected as error:
        raise placed(error, record.where(column)) from None


class Movement:
    """A record 21 with the records 22, 23 and 31 to 33 that belong to it, and its details."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.further: dict[str, Record] = {}
        self.information: list[list[Record]] = []
        self.details: list[Movement] = []

    @property
    def is_detail(self) -> bool:
        """Whether it explains a movement before and is not booked by itself."""
        return self.record.text[6:10] != "0000"

    @property
    def type(self) -> str:
        """First digit of the transaction code."""
        return self.record.text[53]

    def records(self) -> Iterator[Record]:
        """All its records."""
        yield self.record
        yield from self.further.values()
        for information in self.information:
            yield from information
        for detail in self.details:
            yield from detail.records()

    def communication(self, version: str) -> tuple[str, str]:
        """Type (empty for free text) and text of the communication, from all records of the movement.

        In version 1 the record 23 has an address where version 2 goes on with the communication.
        """
        record = self.record
        zone = record.text[62:115]
        if "2" in self.further:
            zone += self.further["2"].text[10:63]
        if "3" in self.further and version != "1":
            zone += self.further["3"].text[82:125]
        return (zone[:3], zone[3:]) if record.text[61] == "1" else ("", zone)


def entry(statement: Statement, movement: Movement, version: str) -> dict[str, Any]:
    """The canonical entry.

    Raises:
        Rejected: a value in it cannot be read.
    """
    record = movement.record
    signed = amount_of(record, 32, statement.currency)
    for piece in movement.records():
        if piece.error is not None:
            raise piece.error
    parts = [detail for detail in movement.details if detail.type in _PARTS]
    shown = parts or [movement]
    transactions = [_transaction(part, statement.currency, version) for part in shown]
    components = [detail for detail in movement.details if detail.type not in _PARTS]
    texts = [_component(detail, statement.currency) for detail in components]
    if parts:
        texts.insert(0, " ".join(movement.communication(version)[1].split()))
    return statement.entry(
        abs(signed),
        "debit" if record.text[31] == "1" else "credit",
        booking_date=date_of(record, 116),
        value_date=date_of(record, 48),
        bank_reference=record.at(11, 31),
        bank_transaction_code=f"{record.text[54:56]}/{record.text[56:58]}/{record.text[58:61]}",
        transactions=transactions,
        **({"additional": text} if (text := "\n".join(filter(None, texts))) else {}),
    )


def notes(movement: Movement, currency: str, version: str) -> Iterator[Finding]:
    """What is odd about a movement and refuses nothing."""
    for part in (movement, *movement.details):
        kind, text = part.communication(version)
        if kind in ("101", "102") and _OGM.fullmatch(text[:12]) and not _is_ogm(text[:12]):
            place, told = part.record.where(66), "the check digits of a structured communication are wrong"
            yield Finding("VAL767", "warning", place, told)
    parts = [detail for detail in movement.details if detail.type in _PARTS]
    if parts:
        try:
            total = amount_of(movement.record, 32, currency)
            for part in parts:
                total = EXACT.subtract(total, amount_of(part.record, 32, currency))
        except Rejected:
            return
        if total:
            text = f"the details of a collective movement miss its amount by {total:f} {currency}"
            yield Finding("VAL768", "warning", movement.record.place, text)


def _component(detail: Movement, currency: str) -> str:
    """A detail of types 8 and 9: gross amount, charge, tax … of one movement."""
    value = amount_of(detail.record, 32, currency)
    return f"{detail.record.text[58:61]}: {value:f} {currency}"


def _transaction(movement: Movement, currency: str, version: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    second, third = movement.further.get("2"), movement.further.get("3")
    if second is not None and version != "1":
        told = {
            "end_to_end_id": second.at(64, 98),
            "return_reason": second.at(114, 117) if _REASON.fullmatch(second.at(114, 117)) else "",
            "purpose": second.at(122, 125) if _PURPOSE.fullmatch(second.at(122, 125)) else "",
        }
    counterparty: dict[str, Any] = {"name": "", "account": None}
    if third is not None:
        counterparty = _counterparty(third, version)
    if second is not None and second.at(99, 109):
        counterparty["agent"] = {"bic": second.at(99, 109)}
    texts, structured = [], list[dict[str, str]]()
    kind, zone = movement.communication(version)
    free = _communication(kind, zone, told, structured)
    if free:
        texts.append(free)
    further = [text for information in movement.information if (text := _information(information, counterparty))]
    if further:
        told["additional"] = "\n".join([*filter(None, [told.get("additional", "")]), *further])
    if told.get("end_to_end_id") == "NOTPROVIDED":
        told["end_to_end_id"] = ""
    worth = {"value": abs(amount_of(movement.record, 32, currency)), "currency": currency}
    return transaction(
        worth,
        counterparty=counterparty,
        remittance={"unstructured": texts, "structured": structured},
        **{name: value for name, value in told.items() if value},
    )


def _counterparty(record: Record, version: str) -> dict[str, Any]:
    if version == "1":
        number, currency, name = record.at(11, 22), "", record.at(48, 73)
    elif _BELGIAN.fullmatch(record.text[10:22]) and record.text[22] == " ":
        number, currency, name = record.at(11, 22), record.at(24, 26), record.at(48, 82)
    else:
        number, currency, name = record.at(11, 44), record.at(45, 47), record.at(48, 82)
    return {"name": name, "account": account_of(number, currency) if number else None}


def _communication(kind: str, zone: str, told: dict[str, Any], structured: list[dict[str, str]]) -> str:
    """Put a structured communication where it belongs; gives back what is free text."""
    if not kind:
        return " ".join(zone.split())
    if kind == "100":
        reference = zone.strip()
        structured.append({"reference": reference, "type": "SCOR" if is_creditor_reference(reference) else ""})
    elif kind in ("101", "102", "103"):
        structured.append(_belgian(zone[:12]))
    elif kind == "105" and _OGM.fullmatch(zone[45:57]):
        structured.append(_belgian(zone[45:57]))
    elif kind == "127":
        told["mandate_id"] = zone[44:79].strip()
        told["return_reason"] = told.get("return_reason") or zone[142:146].strip()
        creditor = zone[9:44].strip()
        if creditor:
            told["own_references"] = [{"id": creditor, "scheme": "creditor-id"}]
        return " ".join(zone[79:141].split())
    else:
        told["additional"] = f"{kind}: {' '.join(zone.split())}"
    return ""


def _belgian(digits: str) -> dict[str, str]:
    """A structured communication of Belgium, with the issuer that ISO 20022 messages name for it."""
    if _is_ogm(digits):
        return {"reference": digits, "type": "SCOR", "issuer": "BBA"}
    return {"reference": digits.strip(), "type": ""}


def _is_ogm(digits: str) -> bool:
    return _OGM.fullmatch(digits) is not None and (int(digits[:10]) % 97 or 97) == int(digits[10:])


def _information(records: list[Record], counterparty: dict[str, Any]) -> str:
    """Text of the records 31 to 33; the data of the other side (type 001) fill its name."""
    ends = {"1": (40, 113), "2": (10, 115), "3": (10, 100)}
    zone = "".join(record.text[slice(*ends[record.text[1]])] for record in records)
    if records[0].text[39] == "1":
        kind, zone = zone[:3], zone[3:]
        if kind == "001":
            counterparty["name"] = zone[:70].strip() or counterparty["name"]
            zone = zone[70:]
        elif kind != "002":
            zone = f"{kind}: {zone}"
    return " ".join(zone.split())
