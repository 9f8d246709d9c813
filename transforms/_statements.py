"""What account statements have in common, whatever their format: entries one by one, balances that must agree.

A reader of a format turns its file into :data:`Event` values; :class:`StatementDocument` makes the records of a route
from them and :func:`inspect` what ``bus inspect`` tells.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from datetime import date
from decimal import Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from bus import (
    BusError,
    Document,
    Finding,
    InspectedDocument,
    Inspection,
    Part,
    Rejected,
    WriteContext,
    minor_units,
)
from transforms._inspection import Findings, Sums
from transforms._lines import CHUNK
from transforms._totals import EXACT
from transforms.canonical.accounts import LENGTHS, iban_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RECORDS = ("entries", "statements")
"""What ``each:`` may name."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_IBAN = re.compile(r"([A-Z]{2})[0-9]{2}[A-Z0-9]{11,30}")
_CENTURY = 80
_ZERO = Decimal(0)


# ---------------------------------------------------------------- values


def money(value: Decimal, currency: str) -> Decimal:
    """An amount with as many decimals as its currency has, not a digit changed.

    Raises:
        Rejected: ``VAL411`` (more decimals than the currency has), reason ``AM12``; ``VAL412`` (no ISO 4217 currency),
            reason ``AM03``.
    """
    try:
        return EXACT.quantize(value, _step(currency))
    except (InvalidOperation, Inexact):
        text = f"{currency} has {minor_units(currency)} decimals, the amount has more"
    raise Rejected("VAL411", text, reason="AM12", hint="never rounded here")


def decimals(currency: str) -> int:
    """Decimal places of a currency. Raises Rejected ``VAL412`` when there is none of that name, reason ``AM03``."""
    try:
        return minor_units(currency)
    except Rejected:
        text = "the currency of an amount is missing or not of ISO 4217"
        hint = "three capital letters such as `EUR`"
        raise Rejected("VAL412", text, reason="AM03", hint=hint) from None


@lru_cache(maxsize=1024)
def _step(currency: str) -> Decimal:
    return Decimal(1).scaleb(-decimals(currency))


@lru_cache(maxsize=8192)
def day(year: str, month: str, of_month: str) -> str:
    """``2026-11-24`` for two digits each; years from 80 on are of the last century, as Swift says.

    Raises:
        Rejected: ``VAL413`` for no such day (30 February), reason ``DT01``.
    """
    try:
        full = int(year) + (1900 if int(year) >= _CENTURY else 2000)
        return date(full, int(month), int(of_month)).isoformat()
    except ValueError:
        text = "a date is no day of the calendar"
        raise Rejected("VAL413", text, reason="DT01", hint="ask the bank for a correct statement") from None


def account_of(number: str, currency: str = "") -> dict[str, Any]:
    """``{"iban": …}`` for what has the form and length of an IBAN of its country, else ``{"other": …}``."""
    compact = number.replace(" ", "")
    found = _IBAN.fullmatch(compact)
    is_iban = found is not None and LENGTHS.get(found[1]) == len(compact)
    told = {"iban": compact} if is_iban else {"other": number.strip()}
    if currency:
        told["currency"] = currency
    return told


def transaction(amount: dict[str, Any] | None, **told: Any) -> dict[str, Any]:
    """A canonical transaction of an entry; ``told`` replaces fields that are empty otherwise."""
    return {
        "end_to_end_id": "",
        "instruction_id": "",
        "transaction_id": "",
        "amount": amount,
        "counterparty": {"name": "", "account": None},
        "remittance": {"unstructured": [], "structured": []},
        "return_reason": "",
        **told,
    }


def placed(error: Rejected, place: str) -> Rejected:
    """The same refusal with the place where it happened."""
    return Rejected(
        error.code,
        f"{place}: {error.message}",
        hint=error.hint,
        reason=error.reason,
        place=place,
        findings=error.findings,
    )


class Names:
    """Ids of statements, unique in a file: banks write the same reference into all of them."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._count = 0

    def unique(self, name: str) -> str:
        """The bank's id; with the number of the statement in the file behind it when it was used before, or alone."""
        self._count += 1
        found = name or f"statement {self._count}"
        if found in self._used:
            found = f"{found}/{self._count}"
        self._used.add(found)
        return found


# ---------------------------------------------------------------- a statement


class Statement:
    """One statement while its entries go by.

    Attributes:
        place: where it begins.
        body: the canonical statement; ``entries`` is their number so far.
        account: its account, shared by its entries.
        currency: of the account; empty when not told.
    """

    def __init__(self, place: str, name: str, account: dict[str, Any], number: int | None = None) -> None:
        self.place = place
        self.account = account
        self.currency: str = account.get("currency", "")
        self._booked = _ZERO
        self._provable = True
        self.body: dict[str, Any] = {
            "type": "statement",
            "kind": "statement",
            "id": name,
            "sequence_number": number,
            "account": account,
            "from": "",
            "to": "",
            "created": "",
            "opening": None,
            "closing": None,
            "entries": 0,
        }

    def balance(self, role: str, kind: str, signed: Decimal, when: str) -> None:
        """Set the ``opening`` or ``closing`` balance of ISO type ``kind`` (OPBD, CLBD, ITBD)."""
        worth = {"value": signed, "currency": self.currency}
        self.body[role] = {"amount": worth, "date": when, "type": kind}

    def further_balance(self, kind: str, worth: dict[str, Any], when: str) -> None:
        """Add another balance, such as the available one (CLAV)."""
        self.body.setdefault("balances", []).append({"amount": worth, "date": when, "type": kind})

    def entry(self, value: Decimal, direction: str, **told: Any) -> dict[str, Any]:
        """A canonical entry over the unsigned ``value``; ``told`` replaces further fields. Books it if it is booked."""
        signed = value if direction == "credit" else -value
        currency = self.currency
        entry: dict[str, Any] = {
            "type": "entry",
            "statement_id": self.body["id"],
            "account": self.account,
            "reference": "",
            "index": self.body["entries"],
            "amount": {"value": value, "currency": currency},
            "direction": direction,
            "signed": {"value": signed, "currency": currency},
            "reversal": False,
            "status": "BOOK",
            "booking_date": "",
            "value_date": "",
            "bank_reference": "",
            "bank_transaction_code": "",
            "transactions": [],
            **told,
        }
        self.body["entries"] += 1
        if entry["status"] == "BOOK":
            self._booked = EXACT.add(self._booked, signed)
        return entry

    def unread(self, signed: Decimal | None) -> None:
        """A refused entry still belongs to the balances, as far as its amount can be read."""
        self.body["entries"] += 1
        if signed is None:
            self._provable = False
        else:
            self._booked = EXACT.add(self._booked, signed)

    def unproved(self) -> Iterator[Rejected]:
        """What is wrong with the balances: ``VAL420`` (they do not agree) or ``VAL421`` (an amount is unreadable)."""
        opening, closing = self.body["opening"], self.body["closing"]
        if opening is None or closing is None:
            return
        if not self._provable:
            text = f"{self.place}: an entry has no readable amount, so the balances cannot be proved"
            hint = "set `balances: ignore` to take the other entries"
            yield Rejected("VAL421", text, reason="AM10", place=self.place, hint=hint)
            return
        expected = EXACT.add(opening["amount"]["value"], self._booked)
        difference = EXACT.subtract(closing["amount"]["value"], expected)
        if difference:
            text = (
                f"{self.place}: opening balance and entries miss the closing balance by {difference:f} {self.currency}"
            )
            hint = "ask the bank for a correct statement, or set `balances: ignore`"
            yield Rejected("VAL420", text, reason="AM10", place=self.place, hint=hint)


# ---------------------------------------------------------------- events


class Begun(NamedTuple):
    """A statement begins."""

    statement: Statement


class Booked(NamedTuple):
    """An entry, good or bad; ``signed`` is None when its amount cannot be read."""

    part: Part
    currency: str
    signed: Decimal | None


class Ended(NamedTuple):
    """A statement is over; ``faults`` are what its totals and balances get wrong."""

    statement: Statement
    faults: tuple[Rejected, ...]


class Fault(NamedTuple):
    """The file is not built as it has to be, so nothing of it may be taken; ``sums``: its control totals are wrong."""

    error: Rejected
    sums: bool = False


class Note(NamedTuple):
    """Something to tell that refuses nothing."""

    finding: Finding


Event = Begun | Booked | Ended | Fault | Note


class Reader(Protocol):
    """A file of statements being read."""

    format: str
    """Name of the format for ``bus inspect``; final when all events were taken."""
    kind: str
    """``statement`` or ``report``, likewise."""
    head: dict[str, Any]
    """What the file says of itself."""

    def events(self) -> Iterator[Event]:
        """Read on. Raises Rejected when nothing more can be read."""


class StatementDocument:
    """A file of statements as a :class:`bus.ports.Document`.

    Attributes:
        head: what the file says of itself.
        findings: what was noticed so far and refuses nothing, at most 1000.
    """

    _MOST_FINDINGS = 1000

    def __init__(self, reader: Reader, *, prove: bool) -> None:
        self.head = reader.head
        self.findings: list[Finding] = []
        self._reader, self._prove = reader, prove

    def parts(self, each: str) -> Iterator[Part]:
        """``entries`` or ``statements``.

        Raises:
            Rejected: ``VAL301`` (other names); what the format's reader raises; at the end of a statement its wrong
                totals and balances, all of them in ``findings``.
        """
        wanted = RECORDS[0] if each in ("", "records") else each
        if wanted not in RECORDS:
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint=f"write {' or '.join(RECORDS)}")
        for event in self._reader.events():
            if isinstance(event, Booked) and wanted == "entries":
                yield event.part
                continue
            self._look(event)
            if isinstance(event, Ended) and wanted == "statements":
                yield Part(event.statement.body, event.statement.place)

    def _look(self, event: Event) -> None:
        """Raise what refuses the file."""
        if isinstance(event, Fault) and (self._prove or not event.sums):
            raise event.error
        if isinstance(event, Ended) and event.faults and self._prove:
            raise _all(event.faults)
        if isinstance(event, Booked) and event.part.error is not None and self._prove:
            raise event.part.error
        if isinstance(event, Note) and len(self.findings) < self._MOST_FINDINGS:
            self.findings.append(event.finding)

    def whole(self) -> dict[str, Any]:
        """``{"head": …, "entries": [all of them]}``; a bad entry refuses all of it."""
        found = []
        for part in self.parts("entries"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return {"head": self.head, "entries": found}


class StatementFormat:
    """A format of statements that is read only."""

    content_type = "text/plain"

    def __init__(self, name: str, open_: Callable[[BinaryIO], Reader], *, prove: bool) -> None:
        self._name, self._open, self._prove = name, open_, prove

    def read(self, source: BinaryIO) -> Document:
        """Begin to read; see :class:`StatementDocument`."""
        return StatementDocument(self._open(source), prove=self._prove)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        """Raises Rejected ``VAL450``: banks write such files, not their customers."""
        del parts, target, context
        raise Rejected("VAL450", f"{self._name} is not written", hint="it is a format that only banks send")


def _all(faults: tuple[Rejected, ...]) -> Rejected:
    first = faults[0]
    findings = tuple(Finding(f.code, "error", f.place, f.message) for f in faults)
    return Rejected(
        first.code, first.message, hint=first.hint, reason=first.reason, place=first.place, findings=findings
    )


def guessed_encoding(source: BinaryIO) -> str:
    """``utf-8-sig`` for a file that is UTF-8 throughout, else ``iso-8859-1``; the file stands at its begin after it."""
    decoder = getincrementaldecoder("utf-8")()
    try:
        while piece := source.read(CHUNK):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "iso-8859-1"
    finally:
        source.seek(0)
    return "utf-8-sig"


def inspect(source: BinaryIO, name: str, open_: Callable[[BinaryIO, str], Reader]) -> Inspection:
    """Read a whole file leniently: one document a statement, everything that is wrong a finding.

    ``open_`` gets the file and its most likely encoding; ``name`` is told as the format when it raises.
    """
    encoding = guessed_encoding(source)
    findings = Findings()
    if encoding != "utf-8-sig":
        text = "the file is not UTF-8; its texts are read as iso-8859-1, declare its `encoding` in a route"
        findings.add("VAL306", "warning", "beginning of the file", text)
    try:
        reader = open_(source, encoding)
    except BusError as error:
        findings.add(error.code, "error", getattr(error, "place", ""), error.message)
        return Inspection(name, None, (), findings.told())
    documents = _documents(reader, findings)
    return Inspection(reader.format, reader.kind if documents else None, documents, findings.told())


def _documents(reader: Reader, findings: Findings) -> tuple[InspectedDocument, ...]:
    documents = []
    sums = Sums(signed=True)
    for event in _lenient(reader.events(), findings):
        if isinstance(event, Begun):
            sums = Sums(signed=True)
            problem = iban_problem(event.statement.account.get("iban", "")) if "iban" in event.statement.account else ""
            if problem:
                findings.add("VAL431", "warning", event.statement.place, f"the IBAN of the account is {problem}")
        elif isinstance(event, Booked):
            currency = event.currency if _CURRENCY.fullmatch(event.currency) else ""
            sums.add(currency, event.signed if event.signed is not None else _ZERO)
            _about(event.part, findings)
        elif isinstance(event, Ended):
            for fault in event.faults:
                findings.refused(fault)
            documents.append(_document(event.statement, sums))
        elif isinstance(event, Fault):
            findings.refused(event.error)
        else:
            findings.add(*_four(event.finding))
    return tuple(documents)


def _lenient(events: Iterable[Event], findings: Findings) -> Iterator[Event]:
    try:
        yield from events
    except BusError as error:
        place = getattr(error, "place", "")
        findings.add(error.code, "error", place, error.message.removeprefix(f"{place}: "))


def _about(part: Part, findings: Findings) -> None:
    if part.error is not None:
        findings.refused(part.error, part.place)
    elif part.body["reversal"]:
        findings.add("VAL460", "info", part.place, "a reversal: it takes an earlier entry back")


def _four(finding: Finding) -> tuple[str, Any, str, str]:
    return finding.code, finding.severity, finding.place, finding.message


def _document(statement: Statement, sums: Sums) -> InspectedDocument:
    body, account = statement.body, statement.account
    number = account.get("iban") or account.get("other") or None
    return InspectedDocument(body["id"], number, _shown(body["opening"]), _shown(body["closing"]), sums.totals())


def _shown(balance: dict[str, Any] | None) -> dict[str, Any] | None:
    if balance is None:
        return None
    worth = balance["amount"]
    return {"amount": worth["value"], "currency": worth["currency"], "date": balance["date"], "type": balance["type"]}
