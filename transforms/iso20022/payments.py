"""Reads pain.001: canonical payments with all identifiers that a bank answers to; counts and control sums proved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from bus import Part, Rejected
from transforms.iso20022.fields import inner
from transforms.iso20022.forms import Form, reader
from transforms.iso20022.opening import Opening
from transforms.iso20022.parties import account, account_paths, placed, remittance
from transforms.iso20022.party_forms import PARTY
from transforms.iso20022.payment_forms import CREDIT_TRANSFER, CREDIT_TRANSFER_BLOCK, PLAIN_CREDIT_TRANSFER
from transforms.iso20022.shapes import Node, Values, walk
from transforms.iso20022.stream import Event, Record
from transforms.iso20022.values import amount, day, number

_BLOCK = (
    "PmtInfId",
    "NbOfTxs",
    "CtrlSum",
    "ReqdExctnDt/Dt|ReqdExctnDt/DtTm|ReqdExctnDt",
    "Dbtr/Nm",
    *account_paths("DbtrAcct"),
    "DbtrAcct/Ccy",
    "DbtrAgt/FinInstnId/BICFI|DbtrAgt/FinInstnId/BIC",
)
_TYPE = (
    "PmtTpInf/SvcLvl/Cd|PmtTpInf/SvcLvl/Prtry",
    "PmtTpInf/LclInstrm/Cd|PmtTpInf/LclInstrm/Prtry",
    "PmtTpInf/CtgyPurp/Cd|PmtTpInf/CtgyPurp/Prtry|PmtTpInf/CtgyPurp",
    "ChrgBr",
)
_TYPE_NAMES = ("service_level", "local_instrument", "category_purpose", "charge_bearer")
_TRANSACTION = (
    "PmtId/InstrId",
    "PmtId/EndToEndId",
    "PmtId/UETR",
    "Amt/InstdAmt|Amt/EqvtAmt/Amt",
    "Amt/InstdAmt@Ccy|Amt/EqvtAmt/Amt@Ccy",
    "Cdtr/Nm",
    *account_paths("CdtrAcct"),
    "CdtrAcct/Ccy",
    "CdtrAgt/FinInstnId/BICFI|CdtrAgt/FinInstnId/BIC",
    "Purp/Cd|Purp/Prtry",
)
_ADDRESS = {
    "country": "Ctry",
    "town": "TwnNm",
    "postcode": "PstCd",
    "street": "StrtNm",
    "building": "BldgNb",
}

_VALUE = "RtrdIntrBkSttlmAmt|IntrBkSttlmAmt|Amt/InstdAmt|Amt/EqvtAmt/Amt|InstdAmt"
_READ_APART = {
    *_TYPE_NAMES,
    "instruction_id",
    "end_to_end_id",
    "uetr",
    "amount",
    "equivalent",
    "payment_information_id",
    "execution_date",
    "count",
    "total",
}
_REST_OF_TRANSACTION: Form = tuple(f for f in CREDIT_TRANSFER if f.key not in _READ_APART)
_REST_OF_BLOCK: Form = tuple(f for f in CREDIT_TRANSFER_BLOCK if f.key not in _READ_APART)
_INITIATING_PARTY: Form = (inner("initiating_party", "InitgPty", PARTY),)

Build = Callable[[Values, "Block"], dict[str, Any]]


class Totals:
    """Declared number and sum of a message or a payment information block, and what was found."""

    def __init__(self, count: str, total: str) -> None:
        self._declared = count.strip(), total.strip()
        self.count = 0
        self.total = Decimal(0)
        self.provable = True

    def add(self, value: Decimal | None) -> None:
        """Count one transaction; None when its amount is no number."""
        self.count += 1
        if value is None:
            self.provable = False
        else:
            self.total += value

    def wrong(self, place: str) -> Iterator[Rejected]:
        """The refusals for number and sum that are not as declared; what is not declared cannot be wrong."""
        count, total = self._declared
        if count and (not count.isascii() or not count.isdigit() or int(count) != self.count):
            text = f"{place}: NbOfTxs is not the number of transactions, which is {self.count}"
            yield Rejected("VAL422", text, reason="AM18", place=place, hint="ask the sender for the whole file")
        if not total:
            return
        declared = number(total)
        if not self.provable or declared is None or declared != self.total:
            by = f" by {declared - self.total:f}" if declared is not None and self.provable else ""
            text = f"{place}: CtrlSum differs from the sum of the amounts{by}"
            yield Rejected("VAL423", text, reason="AM10", place=place, hint="ask the sender for a correct file")

    def prove(self, place: str) -> None:
        """Raises Rejected ``VAL422`` (AM18) or ``VAL423`` (AM10) when something is wrong."""
        for wrong in self.wrong(place):
            raise wrong


class Block:
    """One payment information block: what its payments have in common."""

    def __init__(self, head: Record, message: dict[str, Any]) -> None:
        """From the head of a ``PmtInf``; ``message`` has what its payments share with all of the message.

        Raises:
            Rejected: ``VAL413``: the execution date is no day.
        """
        node, values = head.node, head.values
        self.place = head.place()
        name, count, total, when, debtor, iban, other, currency, bic = node.columns(*_BLOCK)(values)
        self.totals = Totals(count, total)
        self.common: dict[str, Any] = {
            **message,
            "payment_information_id": name.strip(),
            "debtor": _party(debtor, account(iban, other, currency), bic, _address(node, "Dbtr/PstlAdr")(values)),
            "execution_date": day(when) if when.strip() else "",
        }
        merge(self.common, _REST_OF_BLOCK, node, values)
        if self.common.get("method") == "TRF":
            del self.common["method"]
        if self.common.get("initiating_party") == {"name": self.common["debtor"]["name"]}:
            del self.common["initiating_party"]
        self.types = _types(node)(values)

    def read(self, record: Record) -> dict[str, Any]:
        """One canonical payment; see :meth:`transforms.iso20022.statements.Statement.read`."""
        plan: Build | None = record.node.plan
        if plan is None:
            plan = record.node.plan = _payment(record.node)
        return plan(record.values, self)


def merge(into: dict[str, Any], form: Form, node: Node, values: Values) -> None:
    """Add what an element that is read once has of a form."""
    rest = reader(form, node)
    if rest is not None:
        add(into, rest(values))


def add(into: dict[str, Any], found: dict[str, Any]) -> None:
    """Add fields; those of a party or of the remittance information to what there is of it."""
    for name, value in found.items():
        there = into.get(name)
        into[name] = there | value if isinstance(there, dict) and isinstance(value, dict) else value


def _party(name: str, of: dict[str, Any] | None, bic: str, address: dict[str, Any] | None) -> dict[str, Any]:
    party: dict[str, Any] = {
        "name": name.strip(),
        "account": of,
        "agent": {"bic": bic.strip()} if bic.strip() else None,
    }
    if address is not None:
        party["address"] = address
    return party


def _types(node: Node) -> Callable[[Values], dict[str, str]]:
    pick = node.columns(*_TYPE)
    return lambda values: {name: v.strip() for name, v in zip(_TYPE_NAMES, pick(values), strict=True) if v}


def _address(node: Node, at: str) -> Callable[[Values], dict[str, Any] | None]:
    below = node.all(at)
    if not below:
        return lambda _values: None
    indices = {name: below[0].index(path) for name, path in _ADDRESS.items()}
    lines = [line.text for line in below[0].all("AdrLine")]

    def read(values: Values) -> dict[str, Any]:
        found: dict[str, Any] = {name: values[index].strip() for name, index in indices.items() if values[index]}
        if lines:
            found["lines"] = [values[index].strip() for index in lines]
        return found

    return read


def _payment(node: Node) -> Build:
    pick = node.columns(*_TRANSACTION)
    types, address, texts = _types(node), _address(node, "Cdtr/PstlAdr"), remittance(node)
    invoices = [found.index("Nb|RfrdDocNb") for found in node.all("RmtInf/Strd/RfrdDocInf")]
    rest = None if PLAIN_CREDIT_TRANSFER.issuperset(node.leaves()) else reader(_REST_OF_TRANSACTION, node)

    def read(values: Values, block: Block) -> dict[str, Any]:
        instruction, end_to_end, uetr, text, currency, name, iban, other, held_in, bic, purpose = pick(values)
        value = amount(text, currency)
        payment: dict[str, Any] = {
            "type": "payment",
            "id": instruction.strip() or end_to_end.strip(),
            **block.common,
            "end_to_end_id": end_to_end.strip(),
            "instruction_id": instruction.strip(),
            "uetr": uetr.strip(),
            "invoice": values[invoices[0]].strip() if invoices else "",
            "creditor": _party(name, account(iban, other, held_in), bic, address(values)),
            "amount": {"value": value, "currency": currency},
            **block.types,
            **types(values),
            "remittance": texts(values),
        }
        if purpose:
            payment["purpose"] = purpose.strip()
        if rest is not None:
            add(payment, rest(values))
        return payment

    return read


def value_of(record: Record) -> Decimal | None:
    """The amount of a transaction as far as it is a number, for control sums."""
    return number(record.values[record.node.index(_VALUE)])


def payments(events: Iterable[Event], kind: Callable[[Record, dict[str, Any]], Block] = Block) -> Iterator[Part]:
    """All payments of a message, whose payment information blocks are of a ``kind``.

    Raises:
        Rejected: ``VAL422`` or ``VAL423``: number or control sum of a block or of the whole message is wrong.
    """
    whole: Totals | None = None
    block: Block | None = None
    message: dict[str, Any] = {}
    for event in events:
        if event.kind == "message":
            if whole is not None:
                whole.prove("GrpHdr")
            whole, message = group_totals(event.records[0])
        elif event.kind == "container":
            head = event.records[0]
            try:
                block = kind(head, message)
            except Rejected as error:
                raise placed(error, head.place()) from None
        elif event.kind == "records" and block is not None and whole is not None:
            yield from _parts(event.records, block, whole)
        elif event.kind == "end" and block is not None:
            block.totals.prove(block.place)
    if whole is not None:
        whole.prove("GrpHdr")


def _parts(records: list[Record], block: Block, whole: Totals) -> Iterator[Part]:
    for record in records:
        place = record.place()
        try:
            payment = block.read(record)
        except Rejected as error:
            value = value_of(record)
            part = Part(None, place, record.raw(), placed(error, place))
        else:
            value = (payment.get("settled") or payment["amount"])["value"]
            part = Part(payment, place)
        block.totals.add(value)
        whole.add(value)
        yield part


def group_totals(message: Record) -> tuple[Totals, dict[str, Any]]:
    """Declared totals of a message's group header, and what its payments share: message id, initiating party."""
    node, values = walk(Opening.group_header(message.element))
    count, total, name = node.columns("NbOfTxs", "CtrlSum", "MsgId|GrpId")(values)
    shared: dict[str, Any] = {"message_id": name.strip()}
    initiating = reader(_INITIATING_PARTY, node)
    return Totals(count, total), shared | (initiating(values) if initiating is not None else {})
