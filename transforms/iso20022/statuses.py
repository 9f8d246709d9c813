"""Reads pain.002 and pacs.002: one canonical status for each level that says something, from the bottom up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lxml import etree

from bus import Part, Rejected
from transforms._xml import children, line_of
from transforms.iso20022.answer_forms import STATUS_BLOCK, STATUS_DETAILS
from transforms.iso20022.forms import reader
from transforms.iso20022.opening import Opening
from transforms.iso20022.parties import placed
from transforms.iso20022.shapes import Node, Values, walk
from transforms.iso20022.stream import Event, Record

_GROUP = "OrgnlGrpInfAndSts"
_VERIFICATIONS = {
    "RCVC": "match",
    "RCVM": "mixed",
    "RVNC": "incomplete",
    "RVMC": "close-match",
    "RVNM": "no-match",
    "RVNA": "not-possible",
}
"""Results of the verification of payee (ExternalPaymentGroupStatus1Code, ExternalPaymentTransactionStatus1Code)."""

_OTHER_MESSAGE = "OrgnlGrpInf/OrgnlMsgId"
_COUNTS = tuple(f for f in STATUS_BLOCK if f.key in ("original_count", "original_total"))


class Report:
    """One status report: identification and group status, which the levels below inherit."""

    def __init__(self, message: etree._Element) -> None:
        node, values = walk(Opening.group_header(message))
        self.report_id = values[node.index("MsgId")].strip()
        element = next(children(message, _GROUP), None)
        self.line = line_of(element) if element is not None else 0
        node, values = walk(element if element is not None else etree.Element(_GROUP))
        self.original_message_id = values[node.index("OrgnlMsgId|NtwkFileNm")].strip()
        self.original_message_name = values[node.index("OrgnlMsgNmId")].strip()
        self.status = values[node.index("GrpSts")].strip()
        self.reasons = _reasons(node)(values)
        counts = reader(_COUNTS, node)
        self._counts = counts(values) if counts is not None else {}

    def group(self) -> Part | None:
        """The group's own status; None when the report only speaks of what is below."""
        if not self.status:
            return None
        place = f"line {self.line}, {_GROUP}" if self.line else _GROUP
        return Part(self.body("group", self.status, self.reasons) | self._counts, place)

    def body(self, level: str, status: str, reasons: tuple[str, list[str]], **of: str) -> dict[str, Any]:
        """A canonical status; ``of`` names what it is of below the group."""
        reason, additional = reasons
        body = {
            "type": "payment-status",
            "level": level,
            "status": status,
            "reason": reason,
            "additional": additional,
            "report_id": self.report_id,
            "original_message_id": of.get("message") or self.original_message_id,
            "original_payment_information_id": of.get("block", ""),
            "original_end_to_end_id": of.get("end_to_end", ""),
            "original_instruction_id": of.get("instruction", ""),
        }
        if status in _VERIFICATIONS:
            body["verification"] = _VERIFICATIONS[status]
        if self.original_message_name:
            body["original_message_name"] = self.original_message_name
        return body


def statuses(events: Iterable[Event]) -> Iterator[Part]:
    """All statuses of a message from the bottom up: the transactions of a block, the block, at last the group.

    A payment inherits what is said above it only where nothing is said of itself. Who applies the statuses in this
    order and lets nothing follow a rejection never tells that a payment is settled with its block and refused
    afterwards.
    """
    report: Report | None = None
    group: Part | None = None
    above: Part | None = None
    block = inherited = ""
    for event in events:
        if event.kind == "message":
            yield from (part for part in (above, group) if part is not None)
            report = Report(event.records[0].element)
            block, inherited = "", report.status
            above, group = None, report.group()
        elif report is not None and event.kind == "container":
            if above is not None:
                yield above
            head = event.records[0]
            block, status = (v.strip() for v in head.node.columns("OrgnlPmtInfId", "PmtInfSts")(head.values))
            inherited = status or report.status
            body = report.body("payment-information", status, _reasons(head.node)(head.values), block=block)
            counts = reader(_COUNTS, head.node)
            above = Part(body | (counts(head.values) if counts is not None else {}), head.place()) if status else None
        elif report is not None and event.kind == "records":
            for record in event.records:
                yield _transaction(record, report, block, inherited)
    yield from (part for part in (above, group) if part is not None)


def _transaction(record: Record, report: Report, block: str, inherited: str) -> Part:
    plan = record.node.plan
    if plan is None:
        pick = record.node.columns("TxSts", "OrgnlEndToEndId", "OrgnlInstrId", "OrgnlPmtInfId", _OTHER_MESSAGE)
        plan = record.node.plan = (pick, _reasons(record.node), reader(STATUS_DETAILS, record.node))
    pick, reasons, details = plan
    status, end_to_end, instruction, own_block, message = (v.strip() for v in pick(record.values))
    place = record.place()
    if not status and not inherited:
        text = f"{place}: neither TxSts nor a status above it"
        return Part(None, place, record.raw(), Rejected("VAL415", text, reason="FF01", place=place))
    of = {"block": own_block or block, "end_to_end": end_to_end, "instruction": instruction, "message": message}
    body = report.body("transaction", status or inherited, reasons(record.values), **of)
    try:
        return Part(body | details(record.values) if details is not None else body, place)
    except Rejected as error:
        return Part(None, place, record.raw(), placed(error, place))


def _reasons(node: Node) -> Callable[[Values], tuple[str, list[str]]]:
    """Reader of the status reasons: the first code, and all further codes and texts."""
    found = node.all("StsRsnInf")
    codes = [r.index("Rsn/Cd|Rsn/Prtry|StsRsn/Cd|StsRsn/Prtry") for r in found]
    texts = [t.text for r in found for name in ("AddtlInf", "AddtlStsRsnInf") for t in r.all(name)]

    def read(values: Values) -> tuple[str, list[str]]:
        reasons = [text for index in codes if (text := values[index].strip())]
        return (reasons[0] if reasons else ""), reasons[1:] + [values[index].strip() for index in texts]

    return read
