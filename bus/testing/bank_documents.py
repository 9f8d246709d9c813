"""What a scripted bank writes: pain.002 status reports and camt.053 statements, built with lxml alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lxml import etree

from bus.testing.accounts import is_iban
from bus.testing.bank_checks import Verdict, minor_units
from bus.testing.bank_journal import Received

if TYPE_CHECKING:
    from lxml.etree import _Element

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
_REPORT = {"03": "pain.002.001.03", "09": "pain.002.001.10"}
_STATEMENT = {"03": "camt.053.001.02", "09": "camt.053.001.08"}


def _document(name: str, root: str) -> _Element:
    namespaces: Any = {None: _NAMESPACE + name}  # lxml's key for the default namespace, unknown to the stubs
    document = etree.Element(f"{{{_NAMESPACE}{name}}}Document", nsmap=namespaces)
    return _add(document, root)


def _add(parent: _Element, tag: str, text: str = "", **attributes: str) -> _Element:
    """A child in the parent's namespace; ``A/B`` makes a B in a new A and gives the B."""
    namespace = str(parent.tag)[: str(parent.tag).index("}") + 1]
    element = parent
    for step in tag.split("/"):
        element = etree.SubElement(element, namespace + step)
    for name, value in attributes.items():
        element.set(name, value)
    if text:
        element.text = text
    return element


def _bytes(root: _Element) -> bytes:
    return etree.tostring(root.getroottree(), xml_declaration=True, encoding="UTF-8")


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- pain.002


@dataclass(frozen=True, slots=True)
class Report:
    """A pain.002 in the making.

    Attributes:
        id: MsgId of the report.
        created: milliseconds since 1970 UTC.
        version: of the pain.001 it answers: ``03`` or ``09``.
    """

    id: str
    created: int
    version: str
    verdict: Verdict

    def group(self, status: str) -> bytes:
        """A report at group level; with the reason when the file is refused."""
        root, original = self._begin()
        _add(original, "GrpSts", status)
        if self.verdict.reason:
            _reason(original, self.verdict.reason, self.verdict.text)
        return _bytes(root)

    def transactions(self, *, explicit: bool) -> bytes:
        """A report on each payment block: its status, and the transactions that have another (or, explicit, all)."""
        root, original = self._begin()
        statuses = Counter("RJCT" if one.status == "rejected" else "ACSC" for one in self.verdict.received)
        _add(original, "GrpSts", "PART" if len(statuses) > 1 else next(iter(statuses)))
        for status, count in sorted(statuses.items()):
            number = _add(original, "NbOfTxsPerSts")
            _add(number, "DtldNbOfTxs", str(count))
            _add(number, "DtldSts", status)
        blocks: dict[str, list[Received]] = {}
        for one in self.verdict.received:
            blocks.setdefault(one.payment_information_id, []).append(one)
        for number_of_block, received in blocks.items():
            _block(root, number_of_block, received, explicit=explicit)
        return _bytes(root)

    def _begin(self) -> tuple[_Element, _Element]:
        head = self.verdict.head
        root = _document(_REPORT[self.version], "CstmrPmtStsRpt")
        header = _add(root, "GrpHdr")
        _add(header, "MsgId", self.id)
        _add(header, "CreDtTm", _moment(self.created))
        original = _add(root, "OrgnlGrpInfAndSts")
        _add(original, "OrgnlMsgId", head.message_id)
        _add(original, "OrgnlMsgNmId", f"pain.001.001.{head.version or self.version}")
        if head.created:
            _add(original, "OrgnlCreDtTm", head.created)
            _add(original, "OrgnlNbOfTxs", str(head.count))
            _add(original, "OrgnlCtrlSum", f"{head.total:f}")
        return root, original


def _block(root: _Element, number: str, received: list[Received], *, explicit: bool) -> None:
    block = _add(root, "OrgnlPmtInfAndSts")
    _add(block, "OrgnlPmtInfId", number)
    _add(block, "PmtInfSts", "RJCT" if all(one.status == "rejected" for one in received) else "ACSC")
    for one in received:
        refused = one.status == "rejected"
        if not (refused or explicit):
            continue
        transaction = _add(block, "TxInfAndSts")
        if one.instruction_id:
            _add(transaction, "OrgnlInstrId", one.instruction_id)
        _add(transaction, "OrgnlEndToEndId", one.end_to_end_id)
        _add(transaction, "TxSts", "RJCT" if refused else "ACSC")
        if refused:
            _reason(transaction, one.reason)


def _reason(parent: _Element, code: str, text: str = "") -> None:
    information = _add(parent, "StsRsnInf")
    _add(information, "Rsn/Cd", code)
    if text:
        _add(information, "AddtlInf", text)


# ---------------------------------------------------------------- camt.053


@dataclass(frozen=True, slots=True)
class Entry:
    """One booked line of a statement: ``sign`` is 1 for a credit, -1 for a debit."""

    sign: int
    amount: Decimal
    end_to_end_id: str
    party: str
    account: str
    remittance: str
    message_id: str = ""
    payment_information_id: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A camt.053 in the making: the day of one account in one currency.

    Attributes:
        version: of the pain.001 that the account's owner sends: ``03`` or ``09``.
        opening: signed balance before the entries.
        created: milliseconds since 1970 UTC.
    """

    account: str
    currency: str
    owner: str
    bic: str
    version: str
    sequence: int
    day: date
    opening: Decimal
    entries: tuple[Entry, ...]
    created: int

    @property
    def id(self) -> str:
        """Unique to the account, 35 characters at most."""
        return f"{self.day:%Y%m%d}-{self.currency}-{self.account[-20:]}"

    @property
    def closing(self) -> Decimal:
        """Signed balance after the entries."""
        return self.opening + sum((e.sign * e.amount for e in self.entries), Decimal(0))

    def write(self) -> bytes:
        """The document."""
        root = _document(_STATEMENT[self.version], "BkToCstmrStmt")
        header = _add(root, "GrpHdr")
        _add(header, "MsgId", _reference("message", self.id, self.account))
        _add(header, "CreDtTm", _moment(self.created))
        statement = _add(root, "Stmt")
        _add(statement, "Id", self.id)
        _add(statement, "ElctrncSeqNb", str(self.sequence))
        _add(statement, "CreDtTm", _moment(self.created))
        period = _add(statement, "FrToDt")
        _add(period, "FrDtTm", f"{self.day.isoformat()}T00:00:00Z")
        _add(period, "ToDtTm", f"{self.day.isoformat()}T23:59:59Z")
        self._account(statement)
        self._balance(statement, "OPBD", self.opening)
        self._balance(statement, "CLBD", self.closing)
        self._summary(statement)
        for number, entry in enumerate(self.entries, 1):
            self._entry(statement, number, entry)
        return _bytes(root)

    def _account(self, statement: _Element) -> None:
        account = _add(statement, "Acct")
        _number(account, self.account)
        _add(account, "Ccy", self.currency)
        if self.owner:
            _add(account, "Ownr/Nm", self.owner)
        if self.bic:
            _add(account, f"Svcr/FinInstnId/{'BIC' if self.version == '03' else 'BICFI'}", self.bic)

    def _balance(self, statement: _Element, code: str, value: Decimal) -> None:
        balance = _add(statement, "Bal")
        _add(balance, "Tp/CdOrPrtry/Cd", code)
        self._money(balance, abs(value))
        _add(balance, "CdtDbtInd", "DBIT" if value < 0 else "CRDT")
        _add(balance, "Dt/Dt", self.day.isoformat())

    def _summary(self, statement: _Element) -> None:
        summary = _add(statement, "TxsSummry")
        credits_ = [e.amount for e in self.entries if e.sign > 0]
        debits = [e.amount for e in self.entries if e.sign < 0]
        for tag, amounts in (("TtlNtries", credits_ + debits), ("TtlCdtNtries", credits_), ("TtlDbtNtries", debits)):
            total = _add(summary, tag)
            _add(total, "NbOfNtries", str(len(amounts)))
            _add(total, "Sum", f"{sum(amounts, Decimal(0)):f}")

    def _entry(self, statement: _Element, number: int, entry: Entry) -> None:
        credit = entry.sign > 0
        direction = "CRDT" if credit else "DBIT"
        line = _add(statement, "Ntry")
        _add(line, "NtryRef", f"{self.sequence}-{number}")
        self._money(line, entry.amount)
        _add(line, "CdtDbtInd", direction)
        _add(line, "Sts" if self.version == "03" else "Sts/Cd", "BOOK")
        _add(line, "BookgDt/Dt", self.day.isoformat())
        _add(line, "ValDt/Dt", self.day.isoformat())
        _add(line, "AcctSvcrRef", _reference("entry", self.id, self.account, str(number)))
        domain = _add(line, "BkTxCd/Domn")
        _add(domain, "Cd", "PMNT")
        family = _add(domain, "Fmly")
        _add(family, "Cd", "RCDT" if credit else "ICDT")
        _add(family, "SubFmlyCd", "ESCT" if self.currency == "EUR" else "XBCT")
        details = _add(line, "NtryDtls/TxDtls")
        self._details(details, entry, direction)

    def _details(self, details: _Element, entry: Entry, direction: str) -> None:
        references = _add(details, "Refs")
        if entry.message_id:
            _add(references, "MsgId", entry.message_id)
            _add(references, "PmtInfId", entry.payment_information_id)
        _add(references, "EndToEndId", entry.end_to_end_id)
        if self.version == "03":
            self._money(_add(details, "AmtDtls/TxAmt"), entry.amount)
        else:
            self._money(details, entry.amount)
            _add(details, "CdtDbtInd", direction)
        side = "Dbtr" if entry.sign > 0 else "Cdtr"
        if entry.party or entry.account:
            parties = _add(details, "RltdPties")
            if entry.party:
                _add(parties, f"{side}/Nm" if self.version == "03" else f"{side}/Pty/Nm", entry.party)
            if entry.account:
                _number(_add(parties, f"{side}Acct"), entry.account)
        if entry.remittance:
            _add(details, "RmtInf/Ustrd", entry.remittance)

    def _money(self, parent: _Element, value: Decimal) -> None:
        least = Decimal(1).scaleb(-minor_units(self.currency))
        exact = value.quantize(least) if value == value.quantize(least) else value
        _add(parent, "Amt", f"{exact:f}", Ccy=self.currency)


def _number(account: _Element, text: str) -> None:
    _add(account, "Id/IBAN" if is_iban(text) else "Id/Othr/Id", text)


def _reference(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32].upper()
