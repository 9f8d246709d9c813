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

    A payment inherits what is said above it only where nothing is said of itself. So a block and the group name whom
    the same report tells something else: in whatever order its statuses are applied, several workers share them, nobody
    hears that a payment is settled with its block and refused besides.
    """
    levels: _Levels | None = None
    for event in events:
        if event.kind == "message":
            if levels is not None:
                yield from levels.end()
            levels = _Levels(event.records[0].element)
        elif levels is not None and event.kind == "container":
            yield from levels.begin_block(event.records[0])
        elif levels is not None and event.kind == "records":
            for record in event.records:
                yield levels.transaction(record)
    if levels is not None:
        yield from levels.end()


class _Levels:
    """A report that is being read, and what it says of its group and present block, which comes after what is below."""

    def __init__(self, message: etree._Element) -> None:
        self._report = Report(message)
        self._group = self._report.group()
        self._block: Part | None = None
        self._name, self._inherited = "", self._report.status

    def begin_block(self, head: Record) -> Iterator[Part]:
        """The next block; gives the status of the one before."""
        yield from self._end_block()
        report = self._report
        self._name, status = (v.strip() for v in head.node.columns("OrgnlPmtInfId", "PmtInfSts")(head.values))
        self._inherited = status or report.status
        if status:
            body = report.body("payment-information", status, _reasons(head.node)(head.values), block=self._name)
            counts = reader(_COUNTS, head.node)
            self._block = Part(body | (counts(head.values) if counts is not None else {}), head.place())

    def transaction(self, record: Record) -> Part:
        """The status of one payment."""
        part = _transaction(record, self._report, self._name, self._inherited)
        if part.body is not None:
            for higher in (self._block, self._group):
                _except(higher, "excepted_payments", part.body["original_end_to_end_id"], part)
        return part

    def end(self) -> Iterator[Part]:
        """The statuses of the last block and of the group."""
        yield from self._end_block()
        if self._group is not None:
            yield self._group

    def _end_block(self) -> Iterator[Part]:
        block, self._block = self._block, None
        if block is not None:
            _except(self._group, "excepted_blocks", self._name, block)
            yield block


def _except(higher: Part | None, kind: str, identity: str, lower: Part) -> None:
    """Have a status leave out what is told another one; `PART`, partly accepted, is nobody's own."""
    if higher is None or not identity or higher.body["status"] == "PART":
        return
    if any(higher.body[name] != lower.body[name] for name in ("status", "reason")):
        higher.body.setdefault(kind, []).append(identity)


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
