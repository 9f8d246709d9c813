"""Reads what banks tell each other and pass on: pacs.008 payments and pacs.004 returns."""

from __future__ import annotations

from typing import Any

from transforms.iso20022.debits import checked
from transforms.iso20022.fields import Code, date, each, inner, money, text, texts
from transforms.iso20022.forms import Field, Form, reader
from transforms.iso20022.party_forms import ACCOUNT, CHARGE, PARTY, REMITTANCE, agent
from transforms.iso20022.payment_forms import INTERBANK
from transforms.iso20022.payments import Block, Totals, add
from transforms.iso20022.stream import Record

_REASON: Form = (
    inner("originator", "Orgtr", PARTY),
    Field("code", "Rsn|RtrRsn", Code()),
    texts("texts", "AddtlInf|AddtlRtrRsnInf"),
)
_RETURN: Form = (
    text("id", "RtrId"),
    text("original_message_id", "OrgnlGrpInf/OrgnlMsgId"),
    text("original_message_name", "OrgnlGrpInf/OrgnlMsgNmId"),
    text("original_instruction_id", "OrgnlInstrId"),
    text("original_end_to_end_id", "OrgnlEndToEndId"),
    text("original_transaction_id", "OrgnlTxId"),
    text("original_uetr", "OrgnlUETR"),
    money("original_amount", "OrgnlIntrBkSttlmAmt"),
    date("original_settlement_date", "OrgnlIntrBkSttlmDt|OrgnlTxRef/IntrBkSttlmDt"),
    money("amount", "RtrdIntrBkSttlmAmt"),
    date("settlement_date", "IntrBkSttlmDt"),
    text("charge_bearer", "ChrgBr"),
    each("charges", "ChrgsInf", CHARGE),
    each("reasons", "RtrRsnInf", _REASON),
    inner("debtor", "OrgnlTxRef/Dbtr", PARTY),
    inner("debtor.account", "OrgnlTxRef/DbtrAcct", ACCOUNT),
    agent("debtor.agent", "OrgnlTxRef/DbtrAgt"),
    inner("creditor", "OrgnlTxRef/Cdtr", PARTY),
    inner("creditor.account", "OrgnlTxRef/CdtrAcct", ACCOUNT),
    agent("creditor.agent", "OrgnlTxRef/CdtrAgt"),
    inner("remittance", "OrgnlTxRef/RmtInf", REMITTANCE),
)
_MESSAGE: Form = (
    text("original_message_id", "OrgnlGrpInf/OrgnlMsgId"),
    text("original_message_name", "OrgnlGrpInf/OrgnlMsgNmId"),
    each("reasons", "OrgnlGrpInf/RtrRsnInf", _REASON),
    date("settlement_date", "GrpHdr/IntrBkSttlmDt"),
)
_NOBODY = {"name": "", "account": None, "agent": None}


class InterbankMessage(Block):
    """A pacs.008, whose transactions stand in no block."""

    def __init__(self, head: Record, message: dict[str, Any]) -> None:
        """From the message element without its transactions."""
        self.place = head.place()
        self.totals = Totals("", "")
        self.types = {}
        self.common = {key: value for key, value in message.items() if key != "initiating_party"}
        (settled,) = _texts(head, "GrpHdr/IntrBkSttlmDt")
        if settled:
            self.common["settlement_date"] = settled

    def read(self, record: Record) -> dict[str, Any]:
        """One canonical payment; its amount is what was instructed, or what goes between the banks.

        Raises:
            Rejected: ``VAL410`` … ``VAL413``: a value of it cannot be right.
        """
        found = _found(record, INTERBANK)
        found["amount"] = checked(found.get("amount") or found.get("settled"))
        payment = {
            "type": "payment",
            "id": found.get("instruction_id") or found.get("end_to_end_id", ""),
            "debtor": dict(_NOBODY),
            "creditor": dict(_NOBODY),
            "remittance": {"unstructured": [], "structured": []},
            **self.common,
        }
        add(payment, found)
        payment["execution_date"] = payment.get("settlement_date", "")
        return payment


class ReturnMessage(Block):
    """A pacs.004: payments that come back."""

    def __init__(self, head: Record, message: dict[str, Any]) -> None:
        """From the message element without its transactions."""
        self.place = head.place()
        self.totals = Totals("", "")
        self.types = {}
        self.common = {"message_id": message["message_id"]}
        read = reader(_MESSAGE, head.node)
        if read is not None:
            self.common |= read(head.values)

    def read(self, record: Record) -> dict[str, Any]:
        """One canonical return.

        Raises:
            Rejected: ``VAL410`` … ``VAL413``: a value of it cannot be right.
        """
        found = self.common | _found(record, _RETURN)
        reasons = found.pop("reasons", [])
        found["amount"] = checked(found.get("amount"))
        codes = [one["code"] for one in reasons if one.get("code")]
        originator: dict[str, Any] = next((one["originator"] for one in reasons if one.get("originator")), {})
        return {
            "type": "return",
            **found,
            "reason": codes[0] if codes else "",
            "additional": codes[1:] + [text for one in reasons for text in one.get("texts", ())],
            "originator": originator.get("name") or originator.get("bic") or "",
        }


def _texts(head: Record, *paths: str) -> list[str]:
    return [head.values[head.node.index(path)].strip() for path in paths]


def _found(record: Record, form: Form) -> dict[str, Any]:
    """What a record has of a form; the reader is worked out once a shape."""
    if record.node.plan is None:
        record.node.plan = reader(form, record.node) or (lambda _values: {})
    found: dict[str, Any] = record.node.plan(record.values)
    return found
