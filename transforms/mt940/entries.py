"""The fields :61: and :86: of one entry, as a canonical entry."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from bus import Rejected
from transforms._statements import Statement, day, transaction
from transforms._swift import Field
from transforms.mt940.details import Details, details, own_details

# Value date, entry date (also blank), mark, funds code, amount, type of transaction, references.
_LINE = re.compile(
    r"(\d\d)(\d\d)(\d\d)(?:(\d\d)(\d\d)| {4})?(E[CD]|R[CD]|[CD])([A-Z])?(\d{1,30}(?:,\d{0,5})?)"
    r"([A-Z][A-Za-z0-9 ]{3})(.*)",
    re.ASCII,
)
_MARKS = {
    "C": ("credit", False, "BOOK"),
    "D": ("debit", False, "BOOK"),
    "RC": ("debit", True, "BOOK"),
    "RD": ("credit", True, "BOOK"),
    "EC": ("credit", False, "PDNG"),
    "ED": ("debit", False, "PDNG"),
}
_NO_REFERENCE = ("NONREF", "KREF", "KREF+", "EREF")
_HALF_A_YEAR = 6


class Line(NamedTuple):
    """A :61: cut into its parts; dates not yet looked at."""

    value: Decimal
    direction: str
    reversal: bool
    status: str
    dates: tuple[str, str, str, str | None, str | None]
    type: str
    reference: str
    bank_reference: str
    supplement: str


def read_line(field: Field) -> Line | Rejected:
    """Cut a :61: into its parts.

    ``RC`` takes a credit back, so it is a debit; ``RD`` is a credit (Swift User Handbook, MT940, field 61).
    """
    found = _LINE.fullmatch(field.lines[0].rstrip())
    if found is None:
        text = "the entry is not readable; expected for instance `2611241124C12,50NTRFNONREF`"
        return Rejected("VAL722", text, reason="FF01", hint="ask the bank for a correct file")
    year, month, of_month, entry_month, entry_day, mark, _funds, amount, kind, rest = found.groups()
    direction, reversal, status = _MARKS[mark]
    reference, _, bank_reference = rest.partition("//")
    dates = (year, month, of_month, entry_month, entry_day)
    supplement = " ".join(line.strip() for line in field.lines[1:]).strip() if len(field.lines) > 1 else ""
    value = Decimal(amount.replace(",", "."))
    return Line(value, direction, reversal, status, dates, kind, reference.strip(), bank_reference.strip(), supplement)


def read_entry(statement: Statement, line: Line, value: Decimal, information: Field | None) -> dict[str, Any]:
    """The canonical entry of a :61: and its :86: (or :NS:).

    Raises:
        Rejected: ``VAL413``: a date is no day of the calendar.
    """
    year, month, of_month, entry_month, entry_day = line.dates
    valued = day(year, month, of_month)
    booked = _entry_day(year, month, entry_month, entry_day) if entry_month and entry_day else ""
    found = _details(information, line.supplement)
    told = found.told
    if line.reference not in _NO_REFERENCE and line.reference:
        told.setdefault("instruction_id", line.reference)
    structured = told.pop("structured", "")
    references = [{"reference": structured, "type": "SCOR" if structured[:2] == "RF" else ""}] if structured else []
    told["remittance"] = {"unstructured": found.texts, "structured": references}
    told["counterparty"] = found.counterparty()
    if found.references:
        told["own_references"] = found.references
    worth = {"value": value, "currency": statement.currency}
    further = {"additional": text} if (text := _joined(found.additional, line.supplement)) else {}
    return statement.entry(
        value,
        line.direction,
        reversal=line.reversal,
        status=line.status,
        booking_date=booked,
        value_date=valued,
        bank_reference=line.bank_reference,
        bank_transaction_code=f"{line.type.strip()}+{found.code}" if found.code else line.type.strip(),
        transactions=[transaction(worth, **told)],
        **further,
    )


def _details(information: Field | None, supplement: str) -> Details:
    if information is None:
        return Details()
    return own_details(information.lines) if information.tag == "NS" else details(information.lines, supplement)


def _joined(booking_text: str, supplement: str) -> str:
    return f"{booking_text}\n{supplement}" if booking_text and supplement else booking_text or supplement


@lru_cache(maxsize=4096)
def _entry_day(year: str, month: str, entry_month: str, entry_day: str) -> str:
    """The entry date has no year: it is the one nearest to the value date."""
    away = int(entry_month) - int(month)
    shift = 1 if away < -_HALF_A_YEAR else -1 if away > _HALF_A_YEAR else 0
    return day(f"{(int(year) + shift) % 100:02d}", entry_month, entry_day)
