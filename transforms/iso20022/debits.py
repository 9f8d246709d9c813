"""Reads pain.008: canonical direct debits; counts and control sums proved as in pain.001."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus import Rejected
from transforms.iso20022.forms import Form, reader
from transforms.iso20022.payment_forms import DIRECT_DEBIT, DIRECT_DEBIT_BLOCK
from transforms.iso20022.payments import Block, Totals, add
from transforms.iso20022.shapes import Values
from transforms.iso20022.stream import Record
from transforms.iso20022.values import amount, day

_APART = {"amount", "count", "total"}
_TRANSACTION: Form = tuple(f for f in DIRECT_DEBIT if f.key not in _APART)
_HEAD: Form = tuple(f for f in DIRECT_DEBIT_BLOCK if f.key not in {*_APART, "method", "collection_date"})

Build = Callable[[Values], dict[str, Any]]


class DebitBlock(Block):
    """One payment information block of direct debits: what they have in common."""

    def __init__(self, head: Record, message: dict[str, Any]) -> None:
        """From the head of a ``PmtInf``; ``message`` has what its payments share with all of the message.

        Raises:
            Rejected: ``VAL413``: the collection date is no day.
        """
        node, values = head.node, head.values
        self.place = head.place()
        count, total, when = node.columns("NbOfTxs", "CtrlSum", "ReqdColltnDt/Dt|ReqdColltnDt")(values)
        self.totals = Totals(count, total)
        self.types = {}
        read = reader(_HEAD, node)
        self.common = {"creditor": {"name": "", "account": None, "agent": None}, **message}
        if read is not None:
            add(self.common, read(values))
        self.common["collection_date"] = day(when) if when.strip() else ""
        if self.common.get("initiating_party") == {"name": self.common["creditor"]["name"]}:
            del self.common["initiating_party"]

    def read(self, record: Record) -> dict[str, Any]:
        """One canonical direct debit.

        Raises:
            Rejected: ``VAL410`` … ``VAL413``: a value of it cannot be right.
        """
        plan: Build | None = record.node.plan
        if plan is None:
            plan = record.node.plan = _build(record)
        found = plan(record.values)
        made = {
            "type": "direct-debit",
            "id": found.get("instruction_id") or found["end_to_end_id"],
            **self.common,
            "debtor": {"name": "", "account": None, "agent": None},
            "mandate": {},
            "remittance": {"unstructured": [], "structured": []},
        }
        add(made, found)
        return made


def _build(record: Record) -> Build:
    node = record.node
    read = reader(_TRANSACTION, node)
    text, currency = node.index("InstdAmt"), node.index("InstdAmt@Ccy")
    identification = node.index("PmtId/EndToEndId")
    invoices = [found.index("Nb|RfrdDocNb") for found in node.all("RmtInf/Strd/RfrdDocInf")]

    def build(values: Values) -> dict[str, Any]:
        found = read(values) if read is not None else {}
        found["end_to_end_id"] = values[identification].strip()
        found["amount"] = {"value": amount(values[text], values[currency]), "currency": values[currency]}
        if invoices and values[invoices[0]].strip():
            found["invoice"] = values[invoices[0]].strip()
        return found

    return build


def checked(worth: Any) -> dict[str, Any]:
    """An amount that was read leniently, refused when it cannot be one of its currency.

    Raises:
        Rejected: ``VAL410`` … ``VAL412``.
    """
    if not isinstance(worth, dict):
        raise Rejected("VAL410", "the amount is missing or no number", reason="AM12", hint="digits, a point, no sign")
    return {"value": amount(f"{worth['value']:f}", worth["currency"]), "currency": worth["currency"]}
