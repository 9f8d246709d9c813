"""Reads CFONB 120: statements with their entries and details, in the order that the records must have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from bus import Finding, Part, Rejected
from transforms._records import Record, records
from transforms._statements import (
    Begun,
    Booked,
    Ended,
    Event,
    Fault,
    Names,
    Note,
    Statement,
    account_of,
    day,
    money,
    placed,
    transaction,
)

LENGTH = 120
_AMOUNT = re.compile(r"([0-9]{13})([{}A-R])")
# The last digit carries the sign: { A … I are +0 … +9, } J … R are -0 … -9.
_PLUS, _MINUS = "{ABCDEFGHI", "}JKLMNOPQR"
_DATE = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")
_MOST_DETAILS = 2_000
_FIELDS = {"RCN": "end_to_end_id", "RUM": "mandate_id", "REF": "transaction_id"}


class CfonbReader:
    """A CFONB 120 file; see :class:`transforms._statements.Reader`."""

    format, kind = "cfonb120", "statement"

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self.head: dict[str, Any] = {}
        self._records = records(source, encoding, LENGTH)
        self._names = Names()
        self._statement: Statement | None = None
        self._key = ""
        self._entry: Record | None = None
        self._details: list[Record] = []
        self._before = ""

    def events(self) -> Iterator[Event]:
        """Read on.

        Raises:
            Rejected: ``VAL750`` (no such record in the file), what :func:`transforms._records.records` raises.
        """
        any_known, last = False, "line 1"
        for record in self._records:
            last, code = record.place, record.text[:2]
            if code == "05":
                yield from self._detail(record)
                continue
            yield from self._flush()
            any_known = any_known or code in ("01", "04", "07")
            if record.error is not None and code != "04":
                yield Fault(record.error)
            if code == "01":
                yield from self._opening(record)
            elif code == "04":
                yield from self._begin_entry(record)
            elif code == "07":
                yield from self._closing(record)
            else:
                yield Fault(_fault("VAL750", record.place, "no record of CFONB 120; they begin with 01, 04, 05 or 07"))
        yield from self._flush()
        if self._statement is not None:
            yield from self._break_off("VAL758", last, "the file ends before the closing balance (07) of the statement")
        if not any_known:
            raise _fault("VAL750", last, "there is no statement in the file")

    # ------------------------------------------------------------ statements

    def _opening(self, record: Record) -> Iterator[Event]:
        if self._statement is not None:
            text = "a statement begins (01) before the closing balance (07) of the last one"
            yield from self._break_off("VAL753", record.place, text)
        when, problem = _day(record, 35)
        yield from self._begin(record, when)
        yield from problem
        yield from self._balance(record, "opening", "OPBD", when)

    def _begin(self, record: Record, when: str) -> Iterator[Event]:
        number = record.at(3, 7) + record.at(12, 16) + record.at(22, 32)
        account = account_of(number, record.at(17, 19))
        name = self._names.unique(f"{number}-{when}" if when else number)
        self._statement, self._key, self._before = Statement(record.place, name, account), _key(record), ""
        yield Begun(self._statement)

    def _closing(self, record: Record) -> Iterator[Event]:
        statement = self._statement
        if statement is None:
            text = "a closing balance (07) without an opening balance (01)"
            yield Fault(_fault("VAL754", record.place, text))
            return
        if _key(record) != self._key:
            text = "the closing balance (07) is of another account or currency than the opening balance (01)"
            yield Fault(_fault("VAL757", record.place, text))
        elif record.at(3, 7) != statement.account["other"][:5]:
            text = "the bank code is not that of the opening balance"
            yield Note(Finding("VAL757", "warning", record.where(3), text))
        when, problem = _day(record, 35)
        yield from problem
        yield from self._balance(record, "closing", "CLBD", when)
        self._statement = None
        yield Ended(statement, tuple(statement.unproved()))

    def _balance(self, record: Record, role: str, kind: str, when: str) -> Iterator[Event]:
        assert self._statement is not None  # noqa: S101 - begun or looked at by the callers
        try:
            self._statement.balance(role, kind, _amount(record), when)
        except Rejected as error:
            yield Fault(placed(error, record.where(91)))

    def _break_off(self, code: str, place: str, text: str) -> Iterator[Event]:
        statement, self._statement = self._statement, None
        assert statement is not None  # noqa: S101 - looked at by the callers
        yield Fault(_fault(code, place, text))
        yield Ended(statement, ())

    # ------------------------------------------------------------ entries

    def _begin_entry(self, record: Record) -> Iterator[Event]:
        if self._statement is None:
            text = "an entry (04) outside of a statement; an opening balance (01) has to come first"
            yield Fault(_fault("VAL751", record.place, text))
            yield from self._begin(record, "")
        elif _key(record) != self._key:
            text = "an entry (04) of another account or currency than its statement"
            yield Fault(_fault("VAL757", record.place, text))
        if record.text == self._before:
            text = "the same entry as the one before, to the last character"
            yield Note(Finding("VAL756", "warning", record.place, text))
        self._entry, self._before = record, record.text

    def _detail(self, record: Record) -> Iterator[Event]:
        if self._entry is None or record.text[2:40] != self._entry.text[2:40]:
            yield Fault(_fault("VAL752", record.place, "a detail (05) that does not follow its entry (04)"))
        elif len(self._details) >= _MOST_DETAILS:
            raise _fault("VAL750", record.place, f"over {_MOST_DETAILS} details (05) of one entry")
        else:
            self._details.append(record)

    def _flush(self) -> Iterator[Event]:
        """The entry is complete when anything but a detail follows."""
        record, self._entry = self._entry, None
        details, self._details = self._details, []
        statement = self._statement
        if record is None or statement is None:
            return
        raw = b"".join([record.raw, *(detail.raw for detail in details)])
        signed = None
        try:
            signed = _amount(record)
            for piece in (record, *details):
                if piece.error is not None:
                    raise piece.error
            entry = _entry(statement, record, signed, details)
        except Rejected as error:
            statement.unread(signed)
            place = error.place or record.place
            yield Booked(Part(None, place, raw, placed(error, place)), statement.currency, signed)
        else:
            yield Booked(Part(entry, record.place, raw), statement.currency, signed)


def _entry(statement: Statement, record: Record, signed: Decimal, details: list[Record]) -> dict[str, Any]:
    dates = []
    for column in (35, 43):
        when, problem = _day(record, column)
        for fault in problem:
            raise fault.error
        dates.append(when)
    direction = "debit" if signed < 0 else "credit"
    worth = {"value": abs(signed), "currency": statement.currency}
    found = _Details()
    for detail in details:
        found.add(detail)
    number = record.at(82, 88)
    own, code = record.at(8, 11), record.at(33, 34)
    return statement.entry(
        abs(signed),
        direction,
        reference=number if number.strip("0") else "",
        booking_date=dates[0],
        value_date=dates[1],
        bank_reference=record.at(105, 120),
        bank_transaction_code="/".join(filter(None, (code, own))),
        additional="\n".join(filter(None, [record.at(49, 79), *found.labels])),
        transactions=[transaction(worth, return_reason=record.at(41, 42), **found.told(direction))],
    )


class _Details:
    """What the records 05 of an entry tell, by their qualifiers."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self._texts: list[str] = []
        self._names: dict[str, str] = {}
        self._structured: list[dict[str, str]] = []
        self._references: list[dict[str, str]] = []
        self._told: dict[str, Any] = {}

    def add(self, record: Record) -> None:
        """Take one; qualifiers without a place of their own become references."""
        qualifier, text, first, second = record.text[45:48], record.at(49, 118), record.at(49, 83), record.at(84, 118)
        if qualifier in ("NPY", "NBE", "NPO", "NBU"):
            self._names[qualifier] = f"{self._names.get(qualifier, '')} {text}".strip()
        elif qualifier == "LIB":
            self.labels.append(text)
        elif qualifier in ("LCC", "LC2"):
            self._texts += [text] if text else []
        elif qualifier == "LCS":
            self._structured.append({"reference": first, "type": "SCOR" if text.startswith("RF") else ""})
        elif qualifier in _FIELDS:
            self._told[_FIELDS[qualifier]] = "" if first == "NOTPROVIDED" else first
            self.labels += [second] if second and qualifier == "RCN" else []
        elif text:
            self._references.append({"id": text, "scheme": qualifier.strip()})

    def told(self, direction: str) -> dict[str, Any]:
        """Fields of the canonical transaction; the other side of a credit is the payer."""
        names = self._names
        first, second = ("NPY", "NBE") if direction == "credit" else ("NBE", "NPY")
        told = dict(self._told)
        told["counterparty"] = {"name": names.get(first) or names.get(second, ""), "account": None}
        for name, field in (("NPO", "ultimate_debtor"), ("NBU", "ultimate_creditor")):
            if names.get(name):
                told[field] = {"name": names[name]}
        told["remittance"] = {"unstructured": self._texts, "structured": self._structured}
        if self._references:
            told["own_references"] = self._references
        return told


# ---------------------------------------------------------------- fields


def _key(record: Record) -> str:
    """Branch, currency and account, which all records of a statement share."""
    return record.text[11:19] + record.text[21:32]


def _amount(record: Record) -> Decimal:
    """The signed amount of a record 01, 04 or 07; the decimals are declared beside the currency.

    Raises:
        Rejected: ``VAL755`` (no amount), ``VAL411``, ``VAL412`` (decimals, currency).
    """
    found, decimals = _AMOUNT.fullmatch(record.text[90:104]), record.text[19:20]
    if found is None or not (decimals.isascii() and decimals.isdigit()):
        text = "an amount has 13 digits and one with the sign in it ({ to R), its decimals one digit at column 20"
        raise Rejected("VAL755", text, reason="AM12", place=record.where(91), hint="ask the bank for a correct file")
    negative = found[2] in _MINUS
    last = (_MINUS if negative else _PLUS).index(found[2])
    value = Decimal(f"{found[1]}{last}").scaleb(-int(decimals))
    return money(-value if negative else value, record.at(17, 19))


def _day(record: Record, column: int) -> tuple[str, list[Fault]]:
    """The ISO day of a date ``ddmmyy``; empty with the fault when it is none."""
    found = _DATE.fullmatch(record.text[column - 1 : column + 5])
    place = record.where(column)
    if found is None:
        return "", [Fault(_fault("VAL413", place, "a date is not of the form ddmmyy"))]
    try:
        return day(found[3], found[2], found[1]), []
    except Rejected as error:
        return "", [Fault(placed(error, place))]


def _fault(code: str, place: str, text: str) -> Rejected:
    hint = "ask the bank for a correct file"
    return Rejected(code, f"{place}: {text}", reason="FF01", place=place, hint=hint)
