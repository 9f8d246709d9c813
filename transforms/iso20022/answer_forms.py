"""Forms of what is said of payments afterwards: statuses, requests to cancel or reverse, answers to them."""

from __future__ import annotations

from typing import Any

from transforms.iso20022.fields import Code, Count, Flag, date, each, inner, money, text, texts, time
from transforms.iso20022.forms import Field, Form
from transforms.iso20022.party_forms import ACCOUNT, PARTY, agent

_REASON: Form = (
    inner("originator", "Orgtr", PARTY),
    Field("code", "Rsn|StsRsn", Code()),
    texts("texts", "AddtlInf|AddtlStsRsnInf"),
)
_CASE: Form = (
    text("id", "Id"),
    text("issuer", "Cretr/Nm|Cretr/Pty/Nm|Cretr/Agt/FinInstnId/Nm|Cretr/Agt/FinInstnId/BICFI|Cretr/Agt/FinInstnId/BIC"),
)


def _reasons(*tags: str) -> Field:
    return each("reasons", "|".join(tags), _REASON)


_STATUS_REASONS = _reasons("StsRsnInf")
_REQUEST_REASONS = _reasons("CxlRsnInf", "RvslRsnInf")
_ANSWER_REASONS = _reasons("CxlStsRsnInf")
_REFERENCE: Form = (
    text("original_message_id", "OrgnlGrpInf/OrgnlMsgId"),
    text("original_message_name", "OrgnlGrpInf/OrgnlMsgNmId"),
    time("original_created", "OrgnlGrpInf/OrgnlCreDtTm"),
)
_GROUP: Form = (
    text("original_message_id", "OrgnlMsgId"),
    text("original_message_name", "OrgnlMsgNmId"),
    time("original_created", "OrgnlCreDtTm"),
)
_COUNTS: Form = (
    Field("original_count", "OrgnlNbOfTxs|NbOfTxs", Count()),
    text("original_total", "OrgnlCtrlSum|CtrlSum"),
)
_IDS: Form = (
    text("original_payment_information_id", "OrgnlPmtInfId"),
    text("original_instruction_id", "OrgnlInstrId"),
    text("original_end_to_end_id", "OrgnlEndToEndId"),
    text("original_transaction_id", "OrgnlTxId"),
    text("original_uetr", "OrgnlUETR|UETR"),
)
_PARTIES: Form = (
    inner("debtor", "OrgnlTxRef/Dbtr", PARTY),
    inner("debtor.account", "OrgnlTxRef/DbtrAcct", ACCOUNT),
    agent("debtor.agent", "OrgnlTxRef/DbtrAgt"),
    inner("creditor", "OrgnlTxRef/Cdtr", PARTY),
    inner("creditor.account", "OrgnlTxRef/CdtrAcct", ACCOUNT),
    agent("creditor.agent", "OrgnlTxRef/CdtrAgt"),
)
_AMOUNT = "OrgnlInstdAmt|OrgnlIntrBkSttlmAmt|OrgnlTxRef/Amt/InstdAmt|OrgnlTxRef/InstdAmt|OrgnlTxRef/IntrBkSttlmAmt"
_DAY = (
    "OrgnlReqdExctnDt|OrgnlReqdColltnDt|OrgnlIntrBkSttlmDt|OrgnlTxRef/ReqdExctnDt|OrgnlTxRef/ReqdColltnDt"
    "|OrgnlTxRef/IntrBkSttlmDt"
)

STATUS_HEADER: Form = (
    text("report_id", "GrpHdr/MsgId"),
    time("created", "GrpHdr/CreDtTm"),
    text("group.original_message_id", "OrgnlGrpInfAndSts/OrgnlMsgId"),
    text("group.original_message_name", "OrgnlGrpInfAndSts/OrgnlMsgNmId"),
    Field("group.original_count", "OrgnlGrpInfAndSts/OrgnlNbOfTxs", Count()),
    text("group.original_total", "OrgnlGrpInfAndSts/OrgnlCtrlSum"),
    text("group.status", "OrgnlGrpInfAndSts/GrpSts"),
    each("group.reasons", "OrgnlGrpInfAndSts/StsRsnInf", _REASON),
)
"""``CstmrPmtStsRpt`` without its blocks."""
STATUS_BLOCK: Form = (
    text("original_payment_information_id", "OrgnlPmtInfId"),
    *_COUNTS,
    text("status", "PmtInfSts"),
    _STATUS_REASONS,
)
"""``OrgnlPmtInfAndSts`` of pain.002."""
STATUS_DETAILS: Form = (
    text("status_id", "StsId"),
    text("original_transaction_id", "OrgnlTxId"),
    text("original_uetr", "OrgnlUETR"),
    time("accepted", "AccptncDtTm"),
    date("effective", "FctvIntrBkSttlmDt"),
    text("bank_reference", "AcctSvcrRef"),
    text("clearing_reference", "ClrSysRef"),
    money("amount", _AMOUNT),
    date("execution_date", _DAY),
    *_PARTIES,
)
STATUS: Form = (
    *STATUS_DETAILS,
    text("original_instruction_id", "OrgnlInstrId"),
    text("original_end_to_end_id", "OrgnlEndToEndId"),
    text("status", "TxSts"),
    _STATUS_REASONS,
)
"""``TxInfAndSts`` of pain.002 and pacs.002."""

ASSIGNMENT: Form = (
    text("message_id", "Assgnmt/Id|GrpHdr/MsgId"),
    inner("assigner", "Assgnmt/Assgnr|GrpHdr/InitgPty", PARTY),
    inner("assignee", "Assgnmt/Assgne", PARTY),
    time("created", "Assgnmt/CreDtTm|GrpHdr/CreDtTm"),
    inner("case", "Case|RslvdCase", _CASE),
    Field("count", "CtrlData/NbOfTxs|GrpHdr/NbOfTxs", Count()),
    text("status", "Sts/Conf"),
)
"""What a request or an answer begins with."""
REVERSED: Form = (
    *ASSIGNMENT,
    Field("whole", "GrpHdr/GrpRvsl", Flag()),
    text("group.original_message_id", "OrgnlGrpInf/OrgnlMsgId"),
    text("group.original_message_name", "OrgnlGrpInf/OrgnlMsgNmId"),
    time("group.original_created", "OrgnlGrpInf/OrgnlCreDtTm"),
    each("group.reasons", "OrgnlGrpInf/RvslRsnInf", _REASON),
)
"""``CstmrPmtRvsl`` without its blocks."""
_REQUEST: Form = (
    text("id", "CxlId|RvslId"),
    inner("case", "Case", _CASE),
    *_REFERENCE,
    *_IDS,
    money("amount", _AMOUNT),
    money("reversed_amount", "RvsdInstdAmt"),
    date("execution_date", _DAY),
    _REQUEST_REASONS,
    *_PARTIES,
)
_REQUEST_GROUP: Form = (
    text("id", "GrpCxlId"),
    inner("case", "Case", _CASE),
    *_GROUP,
    *_COUNTS,
    Field("whole", "GrpCxl", Flag()),
    _REQUEST_REASONS,
)
REVERSAL_BLOCK: Form = (
    text("id", "PmtCxlId|RvslPmtInfId"),
    inner("case", "Case", _CASE),
    text("original_payment_information_id", "OrgnlPmtInfId"),
    *_REFERENCE,
    *_COUNTS,
    Field("whole", "PmtInfCxl|PmtInfRvsl", Flag()),
    _REQUEST_REASONS,
    each("transactions", "TxInf", _REQUEST),
)
"""``OrgnlPmtInfAndRvsl`` of pain.007."""
REQUEST: Form = (
    inner("group", "OrgnlGrpInfAndCxl", _REQUEST_GROUP),
    each("blocks", "OrgnlPmtInfAndCxl", REVERSAL_BLOCK),
    each("transactions", "TxInf", _REQUEST),
)
"""``Undrlyg`` of camt.055 and camt.056."""
_ANSWER: Form = (
    text("status_id", "CxlStsId"),
    inner("case", "RslvdCase", _CASE),
    *_REFERENCE,
    *_IDS,
    text("status", "TxCxlSts"),
    _ANSWER_REASONS,
    money("amount", _AMOUNT),
    date("execution_date", _DAY),
)
ANSWER: Form = (
    inner(
        "group",
        "OrgnlGrpInfAndSts",
        (inner("case", "RslvdCase", _CASE), *_GROUP, text("status", "GrpCxlSts"), _ANSWER_REASONS),
    ),
    each(
        "blocks",
        "OrgnlPmtInfAndSts",
        (
            inner("case", "RslvdCase", _CASE),
            text("original_payment_information_id", "OrgnlPmtInfId"),
            *_REFERENCE,
            text("status", "PmtInfCxlSts"),
            _ANSWER_REASONS,
            each("transactions", "TxInfAndSts", _ANSWER),
        ),
    ),
    each("transactions", "TxInfAndSts", _ANSWER),
)
"""``CxlDtls`` of camt.029."""


def with_reason(found: dict[str, Any]) -> dict[str, Any]:
    """``reasons`` as a canonical body has them: the first code, then all further codes and texts."""
    reasons = found.pop("reasons", [])
    codes = [one["code"] for one in reasons if one.get("code")]
    found["reason"] = codes[0] if codes else ""
    found["additional"] = codes[1:] + [text for one in reasons for text in one.get("texts", ())]
    return found


def reasons_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The other way: one reason with its texts; nothing when a body has none."""
    reason = {"code": body.get("reason") or None, "texts": body.get("additional") or None}
    originator = body.get("originator")
    if isinstance(originator, dict):
        reason["originator"] = originator
    return [reason] if any(reason.values()) else []
