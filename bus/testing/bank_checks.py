"""How a scripted bank reads a pain.001: with lxml and the published schemas alone, as distrustful as a real one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from lxml import etree

from bus.testing.accounts import is_iban
from bus.testing.bank_journal import Journal, Received

if TYPE_CHECKING:
    from lxml.etree import _Element

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001."
VERSIONS = ("03", "09")
UNKNOWN = "NOTPROVIDED"
# Decimal places of currencies that have other than two (ISO 4217).
_MINOR = dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0)
_MINOR |= dict.fromkeys(("XAF", "XOF", "XPF"), 0) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
# With the first schema libxml2 makes the types that all share, and not for two threads at once: the bus may be another.
etree.XMLSchema(etree.XML('<schema xmlns="http://www.w3.org/2001/XMLSchema"/>'))


def minor_units(currency: str) -> int:
    """Decimal places of a currency, from the bank's own table."""
    return _MINOR.get(currency, 2)


@cache
def schema(folder: Path, name: str) -> etree.XMLSchema:
    """The compiled schema ``folder/NAME.xsd``, once a process."""
    return etree.XMLSchema(etree.parse(folder / f"{name}.xsd", _parser()))


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


class UnreadableError(Exception):
    """A file of which no transaction can be known.

    Attributes:
        text: what is wrong, for people.
        head: what could be read of it.
    """

    def __init__(self, text: str, head: Head) -> None:
        super().__init__(text)
        self.text = text
        self.head = head


class Head(msgspec.Struct, frozen=True):
    """What a file says of itself: message id, version, creation time; and the count and sum that it really has."""

    message_id: str = UNKNOWN
    version: str = ""
    created: str = ""
    count: int = 0
    total: Decimal = Decimal(0)


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a file: ``reason`` and ``text`` when it is refused whole, and each of its transactions."""

    head: Head
    received: list[Received]
    reason: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """How the bank answers what is in order.

    Attributes:
        first: status of the first report, at group level: ``ACTC`` (syntax) or ``ACCP`` (customer profile).
        reject_permille: share of payments, in thousandths, that are refused one by one; chosen by EndToEndId.
        reasons: their status reasons, also chosen by EndToEndId.
        explicit: name the accepted payments in the second report too, instead of leaving them to inherit.
        silent: give no reports at all; they are made up for once a bank over the same folder is not silent.
        version: of the report on a file that cannot be read: ``03`` or ``09``.
        opening: balance of every account before its first statement.
        credits: most credit entries of a statement that no payment of ours caused.
    """

    first: str = "ACTC"
    reject_permille: int = 20
    reasons: tuple[str, ...] = ("AC04", "AM04", "AC06", "AG01")
    explicit: bool = False
    silent: bool = False
    version: str = "09"
    opening: Decimal = Decimal(5_000_000)
    credits: int = 2

    def reason(self, end_to_end_id: str) -> str:
        """Why the bank refuses a payment with this id; empty when it does not. The same for every bank and run."""
        number = int.from_bytes(hashlib.sha256(end_to_end_id.encode()).digest()[:8], "big")
        if number % 1000 >= self.reject_permille:
            return ""
        return self.reasons[number // 1000 % len(self.reasons)]


# ---------------------------------------------------------------- reading


class _Block(NamedTuple):
    """One PmtInf: its element, the fields that its transactions share, the transactions, their real sum."""

    element: _Element
    shared: dict[str, str]
    transactions: list[_Element]
    total: Decimal


class PaymentFile:
    """A pain.001 that is valid against its schema.

    Args:
        content: the bytes.
        schemas: folder with ``pain.001.001.03.xsd`` and ``pain.001.001.09.xsd``.

    Raises:
        UnreadableError: not well-formed, with a DOCTYPE, another message, or against the schema.
    """

    def __init__(self, content: bytes, schemas: Path) -> None:
        root = _parse(content)
        version = str(root.tag).removesuffix("}Document").removeprefix("{" + _NAMESPACE)
        if version not in VERSIONS:
            raise UnreadableError("the message is neither pain.001.001.03 nor pain.001.001.09", Head())
        self._version = version
        self._ns = f"{{{_NAMESPACE}{version}}}"
        message_id = self._text(root, "CstmrCdtTrfInitn/GrpHdr/MsgId")[:35] or UNKNOWN
        rules = schema(schemas, f"pain.001.001.{version}")
        if not rules.validate(root):
            log: Any = rules.error_log  # the stubs do not know that it is a sequence
            error = log[0]
            raise UnreadableError(f"line {error.line}: {error.type_name}", Head(message_id, version))
        self._header = self._all(root, "CstmrCdtTrfInitn/GrpHdr")[0]
        self._blocks = [self._block(element) for element in self._all(root, "CstmrCdtTrfInitn/PmtInf")]
        self.head = Head(
            message_id,
            version,
            self._text(self._header, "CreDtTm"),
            sum(len(block.transactions) for block in self._blocks),
            sum((block.total for block in self._blocks), Decimal(0)),
        )

    def blocks(self) -> list[list[dict[str, str]]]:
        """The transactions of each payment block: the fields of :class:`Received`, and why a bank refuses it alone.

        ``reason`` is what the schema lets pass and a bank does not: ``AM01``, ``AM12``, ``AC01``; else empty.
        """
        return [[block.shared | self._fields(t) for t in block.transactions] for block in self._blocks]

    def fault(self) -> tuple[str, str]:
        """(``AM18`` or ``AM10``, text) when a count or sum is wrong at either level, else two empty texts."""
        levels = [("group header", self._header, self.head.count, self.head.total)]
        levels += [("payment information", b.element, len(b.transactions), b.total) for b in self._blocks]
        for where, element, count, total in levels:
            told_count, told_sum = self._text(element, "NbOfTxs"), self._text(element, "CtrlSum")
            if told_count and int(told_count) != count:
                return "AM18", f"NbOfTxs of the {where} is not the number of its transactions"
            if told_sum and Decimal(told_sum) != total:
                return "AM10", f"CtrlSum of the {where} is not the sum of its amounts"
        return "", ""

    def _block(self, element: _Element) -> _Block:
        transactions = self._all(element, "CdtTrfTxInf")
        bic = "BIC" if self._version == "03" else "BICFI"
        shared = {
            "payment_information_id": self._text(element, "PmtInfId"),
            "debtor_account": self._account(element, "DbtrAcct"),
            "debtor_name": self._text(element, "Dbtr/Nm"),
            "debtor_bic": self._text(element, f"DbtrAgt/FinInstnId/{bic}"),
        }
        total = sum((Decimal(self._amount(t)[0]) for t in transactions), Decimal(0))
        return _Block(element, shared, transactions, total)

    def _fields(self, transaction: _Element) -> dict[str, str]:
        amount, currency = self._amount(transaction)
        reason = ""
        if Decimal(amount) == 0:
            reason = "AM01"
        elif Decimal(amount) != round(Decimal(amount), minor_units(currency)):
            reason = "AM12"
        number = self._text(transaction, "CdtrAcct/Id/IBAN")
        if number and not is_iban(number):
            reason = reason or "AC01"
        return {
            "end_to_end_id": self._text(transaction, "PmtId/EndToEndId"),
            "instruction_id": self._text(transaction, "PmtId/InstrId"),
            "amount": amount,
            "currency": currency,
            "creditor_name": self._text(transaction, "Cdtr/Nm"),
            "creditor_account": self._account(transaction, "CdtrAcct"),
            "remittance": self._text(transaction, "RmtInf/Ustrd"),
            "reason": reason,
        }

    def _amount(self, transaction: _Element) -> tuple[str, str]:
        found = self._all(transaction, "Amt/InstdAmt") or self._all(transaction, "Amt/EqvtAmt/Amt")
        return (found[0].text or "").strip(), found[0].get("Ccy", "")

    def _account(self, parent: _Element, tag: str) -> str:
        return self._text(parent, f"{tag}/Id/IBAN") or self._text(parent, f"{tag}/Id/Othr/Id")

    def _all(self, parent: _Element, path: str) -> list[_Element]:
        return parent.findall(_qualified(self._ns, path))

    def _text(self, parent: _Element, path: str) -> str:
        return (parent.findtext(_qualified(self._ns, path)) or "").strip()


@cache
def _qualified(namespace: str, path: str) -> str:
    return "/".join(namespace + tag for tag in path.split("/"))


def _parse(content: bytes) -> _Element:
    try:
        root = etree.fromstring(content, _parser())
    except etree.XMLSyntaxError as error:
        raise UnreadableError(f"line {error.lineno}: no well-formed XML", Head()) from None
    document: Any = root.getroottree().docinfo  # the stubs do not know its properties
    if document.doctype:
        raise UnreadableError("a DOCTYPE is not allowed", Head())
    return root


# ---------------------------------------------------------------- judging


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides what becomes of a file, given what came before it."""

    schemas: Path
    journal: Journal
    answers: Answers

    def verdict(self, content: bytes, arrival: int, name: str) -> Verdict:
        """The verdict on one delivered file.

        Refused whole: ``FF01`` unreadable, ``DU01`` MsgId known, ``AM18`` count, ``AM10`` sum. Refused alone: ``DU02``
        PmtInfId known, ``DU04`` EndToEndId known, ``AM01``, ``AM12``, ``AC01``, and what :class:`Answers` chooses.
        """
        try:
            file = PaymentFile(content, self.schemas)
        except UnreadableError as error:
            return Verdict(error.head, [], "FF01", error.text[:105])
        reason, text = file.fault()
        if self.journal.knows_message(file.head.message_id):
            reason, text = "DU01", "a file with this MsgId was received before"
        fixed = {"version": file.head.version, "message_id": file.head.message_id, "file": name, "arrival": arrival}
        received = [
            msgspec.convert(fields | fixed, Received, strict=False)
            for block in self._judged(file.blocks(), reason)
            for fields in block
        ]
        return Verdict(file.head, received, reason, text)

    def _judged(self, blocks: list[list[dict[str, str]]], refusal: str) -> list[list[dict[str, str]]]:
        seen_blocks: set[str] = set()
        seen: set[str] = set()
        for block in blocks:
            number = block[0]["payment_information_id"]
            doubled = number in seen_blocks or self.journal.knows_block(number)
            seen_blocks.add(number)
            for fields in block:
                payment = fields["end_to_end_id"]
                known = payment != UNKNOWN and (payment in seen or self.journal.knows_payment(payment))
                seen.add(payment)
                own = "DU02" if doubled else "DU04" if known else fields["reason"] or self.answers.reason(payment)
                fields["reason"] = refusal or own
                fields["status"] = "refused" if refusal else "rejected" if own else "settled"
        return blocks
