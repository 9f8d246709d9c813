"""Statements and transactions of OFX as canonical statements and entries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from bus import Money, Rejected
from transforms._statements import Names, account_of, transaction
from transforms._statements import Statement as Shared
from transforms.ofx.syntax import Event, Fields

_AMOUNT = re.compile(r"[+-]?(?:\d{1,18}(?:[.,]\d{0,10})?|[.,]\d{1,10})", re.ASCII)
_MOMENT = re.compile(
    r"(\d{8})(?:(\d{2})(\d{2})(?:(\d{2})(?:\.\d{1,6})?)?)?\s*(?:\[([+-]?\d{1,2}(?:\.\d{1,2})?)(?::\w*)?\])?", re.ASCII
)
_ROUTING = re.compile("[0-9]{9}")
_KINDS = {"CHECKING": "CACC", "SAVINGS": "SVGS", "MONEYMRKT": "SVGS", "CREDITLINE": "LOAN", "CREDITCARD": "CARD"}


class Statement:
    """One statement while its transactions go by; ``body`` is the canonical statement."""

    def __init__(self, event: Event, names: Names) -> None:
        """From what stands before its transactions.

        Raises:
            Rejected: ``VAL861`` when account or currency are missing, ``VAL860`` for a period that is none.
        """
        self.place = place_of(event.line, "STMTRS")
        self.currency = required(event.fields, "CURDEF", self.place)
        self._seen: set[str] = set()
        account = _account(event.fields, self.currency, self.place)
        begins, ends = self._period(event.fields)
        number = account.get("iban") or account.get("other")
        self._shared = Shared(self.place, names.unique(f"{number}-{ends[:10]}" if ends else str(number)), account)
        self.body = self._shared.body
        self.body |= {"kind": "statement", "from": begins, "to": ends}

    @property
    def account(self) -> dict[str, Any]:
        """The canonical account."""
        return self._shared.account

    def entry(self, event: Event, *, twice: bool) -> dict[str, Any]:
        """The canonical entry of a transaction; ``twice`` takes a transaction id that stands here a second time.

        Raises:
            Rejected: ``VAL858`` (amount), ``VAL859`` (id twice), ``VAL860`` (date), ``VAL861`` (missing).
        """
        try:
            return self._entry(event.fields, place_of(event.line, "STMTTRN"), twice=twice)
        except Rejected:
            self._shared.unread(None)
            raise

    def _entry(self, fields: Fields, place: str, *, twice: bool) -> dict[str, Any]:
        name = required(fields, "FITID", place)
        if name in self._seen and not twice:
            hint = "write `duplicates: keep` where the bank uses ids again"
            raise Rejected("VAL859", f"{place}: a transaction id (FITID) stands twice", hint=hint, place=place)
        self._seen.add(name)
        own = fields.get("CURRENCY")
        currency = own.get("CURSYM", "") if isinstance(own, dict) else self.currency
        value = amount(required(fields, "TRNAMT", place), currency, place)
        worth = {"value": abs(value), "currency": currency}
        valued = text(fields, "DTAVAIL") or text(fields, "DTUSER")
        return self._shared.entry(
            abs(value),
            "debit" if value < 0 else "credit",
            reference=name,
            amount=worth,
            signed={"value": value, "currency": currency},
            booking_date=day(required(fields, "DTPOSTED", place), place),
            value_date=day(valued, place) if valued else "",
            bank_reference=text(fields, "REFNUM") or text(fields, "SRVRTID"),
            bank_transaction_code=text(fields, "TRNTYPE"),
            transactions=[_transaction(fields, name, worth)],
        )

    def end(self, event: Event) -> None:
        """Take what stands behind the transactions: ledger balance and available balance."""
        for tag, kind in (("LEDGERBAL", "CLBD"), ("AVAILBAL", "CLAV")):
            fields = event.fields.get(tag)
            if not isinstance(fields, dict) or not text(fields, "BALAMT"):
                continue
            value = amount(text(fields, "BALAMT"), self.currency, self.place)
            when = day(text(fields, "DTASOF"), self.place) if text(fields, "DTASOF") else ""
            self._shared.further_balance(kind, {"value": value, "currency": self.currency}, when)
            if kind == "CLBD":
                self._shared.balance("closing", kind, value, when)

    def _period(self, fields: Fields) -> tuple[str, str]:
        found = fields.get("BANKTRANLIST")
        told: Fields = found if isinstance(found, dict) else {}
        return moment(text(told, "DTSTART"), self.place), moment(text(told, "DTEND"), self.place)


def statements(events: Iterator[Event]) -> Iterator[tuple[Statement, Event]]:
    """Every event of every statement, with the statement it belongs to.

    Raises:
        Rejected: ``VAL856`` when the file has none, ``VAL857`` when the bank's server reports an error instead.
    """
    current: Statement | None = None
    names = Names()
    found, error = False, ""
    for event in events:
        if event.kind == "status" and text(event.fields, "SEVERITY").upper() == "ERROR":
            error = place_of(event.line, "STATUS")
        elif event.kind == "begin" or (event.kind == "end" and current is None):
            current, found = Statement(event, names), True
        if current is not None and event.kind in ("entry", "end"):
            yield current, event
            current = None if event.kind == "end" else current
    if not found:
        if error:
            raise Rejected("VAL857", f"{error}: the bank's server reports an error", hint="ask again", place=error)
        hint = "investment and tax statements are not read"
        raise Rejected("VAL856", "the file has no statement of a bank account or credit card", hint=hint)


def place_of(line: int, tag: str) -> str:
    """``line 17, STMTTRN``; the tag alone where the line is not known."""
    return f"line {line}, {tag}" if line else tag


def text(fields: Fields, tag: str) -> str:
    """Text of a field, empty for none."""
    found = fields.get(tag, "")
    return found if isinstance(found, str) else ""


def required(fields: Fields, tag: str, place: str) -> str:
    """Text of a field that has to be there."""
    found = text(fields, tag)
    if not found:
        raise Rejected("VAL861", f"{place}: {tag} is missing", reason="FF01", place=place)
    return found


def amount(told: str, currency: str, place: str) -> Decimal:
    """A signed amount; the decimal point is a point or a comma, and there are no others."""
    if not _AMOUNT.fullmatch(told):
        message = f"{place}: the amount is no number of digits with one decimal point"
        raise Rejected("VAL858", message, reason="AM12", place=place)
    try:
        return Money.of(told.replace(",", "."), currency).value
    except Rejected as error:
        raise Rejected("VAL858", f"{place}: {error.message}", reason=error.reason, place=place) from None


def day(told: str, place: str) -> str:
    """The day of a date with or without time, in the time zone that it names."""
    return _parsed(told, place)[0]


def moment(told: str, place: str) -> str:
    """Day and time with the offset of its zone; the day alone where no time is told, empty for nothing."""
    if not told:
        return ""
    when, clock, zone = _parsed(told, place)
    return when + (f"T{clock}{zone}" if clock else "")


def _parsed(told: str, place: str) -> tuple[str, str, str]:
    found = _MOMENT.fullmatch(told)
    digits, hour, minute, second, offset = found.groups() if found else ("", "", "", "", "")
    try:
        when = datetime.strptime(digits, "%Y%m%d").date().isoformat()  # noqa: DTZ007 - a day has no zone
        clock = f"{hour}:{minute}:{second or '00'}" if hour else ""
        if clock:
            datetime.strptime(clock, "%H:%M:%S")  # noqa: DTZ007 - only looks whether there is such a time
        return when, clock, _zone(offset)
    except ValueError:
        message = f"{place}: a date is no day of the calendar"
        hint = "20261124, or 20261124120000[-5:EST]"
        raise Rejected("VAL860", message, hint=hint, reason="DT01", place=place) from None


def _zone(offset: str | None) -> str:
    """``-5`` and ``5.5`` as ``-05:00`` and ``+05:30``; OFX means UTC where there is none."""
    minutes = int(Decimal(offset or 0) * 60)
    if abs(minutes) > 14 * 60:
        raise ValueError
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def _account(fields: Fields, currency: str, place: str) -> dict[str, Any]:
    found = fields.get("BANKACCTFROM") or fields.get("CCACCTFROM")
    if not isinstance(found, dict):
        raise Rejected("VAL861", f"{place}: BANKACCTFROM or CCACCTFROM is missing", reason="FF01", place=place)
    kind = _KINDS.get(text(found, "ACCTTYPE").upper(), "CARD" if "CCACCTFROM" in fields else "")
    servicer = _bank(text(found, "BANKID"))
    account = account_of(required(found, "ACCTID", place), currency)
    return {**account, "kind": kind, **({"servicer": servicer} if servicer else {})}


def _bank(number: str) -> dict[str, Any]:
    if not number:
        return {}
    return (
        {"clearing_system": "USABA", "member_id": number} if _ROUTING.fullmatch(number) else {"other": {"id": number}}
    )


def _transaction(fields: Fields, name: str, worth: dict[str, Any]) -> dict[str, Any]:
    payee = fields.get("PAYEE")
    other = fields.get("BANKACCTTO") or fields.get("CCACCTTO")
    number = text(other, "ACCTID") if isinstance(other, dict) else ""
    memo = text(fields, "MEMO")
    return transaction(
        worth,
        transaction_id=name,
        cheque_number=text(fields, "CHECKNUM"),
        counterparty={
            "name": (text(payee, "NAME") if isinstance(payee, dict) else "") or text(fields, "NAME"),
            "account": account_of(number) if number else None,
        },
        remittance={"unstructured": [memo] if memo else [], "structured": []},
    )
