"""What ``bus inspect`` tells of an ISO 20022 file: documents, counts, sums, balances; every fault is a finding."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, BinaryIO

from bus import BusError, InspectedDocument, Inspection, Rejected
from transforms._inspection import Findings, Severity, Sums
from transforms._plain_xml import plain
from transforms.canonical.accounts import iban_problem
from transforms.iso20022 import schemas
from transforms.iso20022.generic_inspection import inspect_any
from transforms.iso20022.inspection_by_records import by_records
from transforms.iso20022.names import MESSAGES, message_of
from transforms.iso20022.opening import Opening, opening
from transforms.iso20022.parties import account_paths
from transforms.iso20022.payments import Totals, group_totals
from transforms.iso20022.shapes import Node
from transforms.iso20022.statements import Statement
from transforms.iso20022.statuses import Report
from transforms.iso20022.stream import Event, Record, Segment, events
from transforms.iso20022.transactions import batches_of, details_differ
from transforms.iso20022.values import amount, day, number

_LARGEST = 1 << 62
_NAMESPACE = re.compile(r"xmlns(?::[\w.-]+)?\s*=\s*[\"']([^\"']{1,200})[\"']")
_CURRENCY = re.compile(r"[A-Z]{3}")
_OF_A_STATUS = (
    "OrgnlTxRef/Amt/InstdAmt|OrgnlTxRef/Amt/EqvtAmt/Amt|OrgnlTxRef/IntrBkSttlmAmt",
    "OrgnlTxRef/Amt/InstdAmt@Ccy|OrgnlTxRef/Amt/EqvtAmt/Amt@Ccy|OrgnlTxRef/IntrBkSttlmAmt@Ccy",
)
_AMOUNTS = {
    "pain.001": ("Amt/InstdAmt|Amt/EqvtAmt/Amt", "Amt/InstdAmt@Ccy|Amt/EqvtAmt/Amt@Ccy"),
    "pain.008": ("InstdAmt", "InstdAmt@Ccy"),
    "pacs.002": _OF_A_STATUS,
    "pain.002": _OF_A_STATUS,
}
_ENTRY_AMOUNT = ("Amt", "Amt@Ccy")
_ENTRY = ("CdtDbtInd", "RvslInd", "Sts/Cd|Sts/Prtry|Sts")
_DATES = ("BookgDt/Dt|BookgDt/DtTm|BookgDt", "ValDt/Dt|ValDt/DtTm|ValDt")


def detect(head: bytes) -> float:
    """How sure a file that begins like this is one of the known messages."""
    text = head.decode("utf-16", "ignore") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head.decode("latin-1")
    text = text.lstrip("\ufeff\xef\xbb\xbf \t\r\n").replace("\0", "")
    if not text.startswith("<"):
        return 0.0
    for uri in _NAMESPACE.findall(text):
        name, is_iso = message_of(uri)
        if name[:8] in MESSAGES and not name.startswith("head"):  # a header may stand before any message
            return 0.99 if is_iso else 0.9
    return 0.3 if "Document" in text or "AppHdr" in text else 0.05


def inspect(source: BinaryIO) -> Inspection:
    """Read the whole file leniently.

    ``kind`` is ``statement`` (camt.053), ``report`` (camt.052), ``notification`` (camt.054), ``payments`` (pain.001,
    pain.008, pacs.008), ``status`` (pain.002, pacs.002, camt.029), ``cancellation`` (camt.055, camt.056, pain.007) or
    ``returns`` (pacs.004). A document is a statement, a payment information block, a message between banks or what is
    said of one original message; its totals count entries, transactions, statuses or requests. Credit and debit
    follow CdtDbtInd alone; a reversal is told as a finding. Validation against the XML Schema is part of it where
    there is a schema. Messages without a canonical shape are a ``message``.
    """
    findings = Findings()
    begun: Opening | None = None
    documents: list[InspectedDocument] = []
    start = source.tell() if source.seekable() else -1
    try:
        file = plain(source, _LARGEST)
        begun = opening(file)
        _about_the_namespace(begun, findings)
        message = begun.message

        def check(segment: Segment) -> None:
            findings.extend(schemas.violations(segment, message))

        with_schema = begun.is_iso and schemas.available(message)
        stream = events(file, begun, check if with_schema else None)
        if begun.family.name in _LOOKERS:
            looker = _LOOKERS[begun.family.name](begun.family.name, findings)
            for event in stream:
                documents.extend(looker.see(event))
            documents.extend(looker.ended())
        else:
            documents.extend(by_records(begun, stream, findings))
    except BusError as error:
        other = _other_message(source, start) if error.code == "VAL403" and begun is None else None
        if other is not None:
            return other
        findings.add(error.code, "error", getattr(error, "place", ""), error.message)
    name = (begun.message or begun.family.name) if begun else "iso20022"
    return Inspection(name, begun.family.kind if begun else None, tuple(documents), findings.told())


def _other_message(source: BinaryIO, start: int) -> Inspection | None:
    """A message without a canonical shape; None when the file is not even that."""
    if start < 0:
        return None
    source.seek(start)
    try:
        return inspect_any(source)
    except BusError:
        return None


def _about_the_namespace(begun: Opening, findings: Findings) -> None:
    if not begun.message:
        findings.add("VAL403", "error", begun.family.message, "the namespace is not one of ISO 20022")
    elif not begun.is_iso:
        text = f"the namespace is a bank's or clearing house's own variant of {begun.message}"
        findings.add("VAL461", "info", "Document", text)
    if begun.is_wrapped:
        findings.add("VAL462", "info", "Document", "the message stands inside another element")


class _Looker:
    """What all kinds of messages have in common: amounts and account numbers of records."""

    def __init__(self, family: str, findings: Findings) -> None:
        self._paths = _AMOUNTS.get(family, _ENTRY_AMOUNT)
        # A wrong account number is the sender's fault in an order and anybody's in what a bank reports.
        self._severity: Severity = "error" if family in ("pain.001", "pain.008") else "warning"
        self.findings = findings

    def see(self, event: Event) -> Iterable[InspectedDocument]:
        """Take the next event; documents that ended with it come out."""
        raise NotImplementedError

    def ended(self) -> Iterable[InspectedDocument]:
        """The file is over."""
        return ()

    def plan(self, record: Record, *further: str) -> tuple[Any, list[int]]:
        """Picker of amount, currency and ``further`` values, and where IBANs stand; worked out once a shape."""
        if record.node.plan is None:
            record.node.plan = (record.node.columns(*self._paths, *further), _ibans(record.node))
        found: tuple[Any, list[int]] = record.node.plan
        return found

    def value(self, text: str, currency: str, record: Record) -> tuple[Decimal | None, str]:
        """Amount and currency of a record as far as they can be read."""
        known = currency if _CURRENCY.fullmatch(currency) else ""
        try:
            return amount(text, currency), known
        except Rejected as error:
            self.findings.refused(error, record.place())
            return number(text), known

    def numbers(self, record: Record, indices: list[int]) -> None:
        """Check the IBANs of a record."""
        problems = {iban_problem(record.values[index].strip()) for index in indices}
        for node, values in record.details:
            if node.plan is None:
                node.plan = _ibans(node)
            problems.update(iban_problem(values[index].strip()) for index in node.plan)
        for problem in sorted(problems):
            if problem:
                self.findings.add("VAL431", self._severity, record.place(), f"an IBAN is {problem}")


def _ibans(node: Node) -> list[int]:
    """Where IBANs stand among the values of a record."""
    found = [node.text] if node.name == "IBAN" else []
    for child in node.children:
        found += _ibans(child)
    return found


class _Entries(_Looker):
    """Statements, reports and notifications."""

    def __init__(self, family: str, findings: Findings) -> None:
        super().__init__(family, findings)
        self._proves = family == "camt.053"
        self._statement: Statement | None = None
        self._head: Record | None = None
        self._sums = Sums(signed=True)

    def see(self, event: Event) -> Iterable[InspectedDocument]:
        if event.kind == "container":
            self._begin(event.records[0])
        elif event.kind == "records":
            for record in event.records:
                self._entry(record)
        elif event.kind == "end":
            yield self._document()

    def _begin(self, head: Record) -> None:
        self._head, self._sums, self._statement = head, Sums(signed=True), None
        try:
            self._statement = Statement(head)
        except Rejected as error:
            self.findings.refused(error, head.place())
        iban = head.values[head.node.index("Acct/Id/IBAN")].strip()
        if iban and (problem := iban_problem(iban)):
            self.findings.add("VAL431", self._severity, head.place(), f"the IBAN of the account is {problem}")

    def _entry(self, record: Record) -> None:
        pick, ibans = self.plan(record, *_ENTRY, *_DATES)
        text, currency, sign, reversal, status, *dates = (v.strip() for v in pick(record.values))
        value, currency = self.value(text, currency, record)
        if sign not in ("CRDT", "DBIT"):
            self.findings.add("VAL414", "error", record.place(), "CdtDbtInd is missing or neither CRDT nor DBIT (FF01)")
        if reversal in ("true", "1"):
            self.findings.add("VAL460", "info", record.place(), "a reversal: it takes an earlier entry back")
        for when in dates:
            try:
                if when:
                    day(when)
            except Rejected as error:
                self.findings.refused(error, record.place())
        self.numbers(record, ibans)
        signed = -value if value and sign == "DBIT" else value or Decimal(0)
        self._sums.add(currency, signed, sided=sign in ("CRDT", "DBIT"))
        amiss = details_differ(record, value, currency, sign), batches_of(record)
        self.findings.extend(finding for finding in amiss if finding is not None)
        if self._statement is not None:
            self._statement.count(value, sign)
            if value is None or sign not in ("CRDT", "DBIT"):
                self._statement.leave_unproved()
            elif status == "BOOK":
                self._statement.book(currency, value if sign == "CRDT" else -value)

    def _document(self) -> InspectedDocument:
        head, statement = self._head, self._statement
        if statement is not None:
            self.findings.extend(statement.final_findings())
        assert head is not None  # noqa: S101 - an end follows a beginning
        if statement is not None and self._proves:
            try:
                statement.prove()
            except Rejected as error:
                self.findings.refused(error, error.place)
        name, iban, other = (v.strip() for v in head.node.columns("Id", *account_paths("Acct"))(head.values))
        opening_balance = _balance(statement.body["opening"]) if statement else None
        closing_balance = _balance(statement.body["closing"]) if statement else None
        return InspectedDocument(name, iban or other or None, opening_balance, closing_balance, self._sums.totals())


def _balance(balance: dict[str, Any] | None) -> dict[str, Any] | None:
    if balance is None:
        return None
    worth = balance["amount"]
    return {"amount": worth["value"], "currency": worth["currency"], "date": balance["date"], "type": balance["type"]}


class _Payments(_Looker):
    """Credit transfer and direct debit initiations."""

    def __init__(self, family: str, findings: Findings) -> None:
        super().__init__(family, findings)
        self._own_account = account_paths("CdtrAcct" if family == "pain.008" else "DbtrAcct")
        self._whole: Totals | None = None
        self._totals = Totals("", "")
        self._head: Record | None = None
        self._sums = Sums(signed=False)

    def see(self, event: Event) -> Iterable[InspectedDocument]:
        if event.kind == "message":
            self.ended()
            self._whole, _ = group_totals(event.records[0])
        elif event.kind == "container":
            self._begin(event.records[0])
        elif event.kind == "records":
            for record in event.records:
                self._transaction(record)
        elif event.kind == "end" and self._head is not None:
            self._wrong(self._totals, self._head.place())
            yield self._document(self._head)

    def ended(self) -> Iterable[InspectedDocument]:
        if self._whole is not None:
            self._wrong(self._whole, "GrpHdr")
        return ()

    def _begin(self, head: Record) -> None:
        self._head, self._sums = head, Sums(signed=False)
        count, total, date = head.node.columns(
            "NbOfTxs", "CtrlSum", "ReqdExctnDt/Dt|ReqdExctnDt/DtTm|ReqdExctnDt|ReqdColltnDt"
        )(head.values)
        self._totals = Totals(count, total)
        self.numbers(head, _ibans(head.node))
        try:
            day(date)
        except Rejected as error:
            self.findings.refused(error, head.place())

    def _transaction(self, record: Record) -> None:
        pick, ibans = self.plan(record)
        text, currency = pick(record.values)
        value, currency = self.value(text.strip(), currency.strip(), record)
        self.numbers(record, ibans)
        self._totals.add(value)
        if self._whole is not None:
            self._whole.add(value)
        self._sums.add(currency, value or Decimal(0))

    def _wrong(self, totals: Totals, place: str) -> None:
        for wrong in totals.wrong(place):
            self.findings.refused(wrong, place)

    def _document(self, head: Record) -> InspectedDocument:
        name, iban, other = (v.strip() for v in head.node.columns("PmtInfId", *self._own_account)(head.values))
        return InspectedDocument(name, iban or other or None, None, None, self._sums.totals())


class _Statuses(_Looker):
    """Payment status reports."""

    def __init__(self, family: str, findings: Findings) -> None:
        super().__init__(family, findings)
        self._report: Report | None = None
        self._sums = Sums(signed=False)

    def see(self, event: Event) -> Iterable[InspectedDocument]:
        if event.kind == "message":
            yield from self.ended()
            self._report, self._sums = Report(event.records[0].element), Sums(signed=False)
        elif event.kind == "records":
            for record in event.records:
                pick, ibans = self.plan(record)
                text, currency = (v.strip() for v in pick(record.values))
                self.numbers(record, ibans)
                value: Decimal | None = None
                if text:
                    value, currency = self.value(text, currency, record)
                self._sums.add(currency, value or Decimal(0))

    def ended(self) -> Iterable[InspectedDocument]:
        report = self._report
        if report is None:
            return ()
        return (InspectedDocument(report.original_message_id, None, None, None, self._sums.totals()),)


_LOOKERS: dict[str, type[_Looker]] = {
    "camt.052": _Entries,
    "camt.053": _Entries,
    "camt.054": _Entries,
    "pacs.002": _Statuses,
    "pain.001": _Payments,
    "pain.002": _Statuses,
    "pain.008": _Payments,
}
