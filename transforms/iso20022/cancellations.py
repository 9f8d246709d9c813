"""Reads requests to cancel (camt.055, camt.056) and to reverse (pain.007), and the answers to them (camt.029)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from bus import Part, Rejected
from transforms.iso20022.answer_forms import ANSWER, ASSIGNMENT, REQUEST, REVERSAL_BLOCK, REVERSED, with_reason
from transforms.iso20022.debits import checked
from transforms.iso20022.forms import Form, reader
from transforms.iso20022.parties import placed
from transforms.iso20022.shapes import walk
from transforms.iso20022.stream import Event, Record

_OUTCOMES = {
    "CNCL": "cancelled",
    "ACCR": "cancelled",
    "PTNR": "partly",
    "PACR": "partly",
    "PECR": "partly",
    "RJCR": "refused",
    "PDCR": "pending",
    "UWFW": "pending",
    "CWFW": "pending",
}
"""ExternalInvestigationExecutionConfirmation1Code and cancellation statuses -> what becomes of the payment."""
_SHARED = ("original_message_id", "original_message_name", "original_created")

Found = dict[str, Any]


class _Kind(NamedTuple):
    """How one message is read: forms of message and record, what a record says, what the whole says at last."""

    message: Form
    record: Form
    of_record: Callable[[Found, Found], Iterator[Found]]
    at_last: Callable[[Found, int], Iterator[Found]]


def requests(events: Iterable[Event]) -> Iterator[Part]:
    """All that a camt.055 or camt.056 asks for, one canonical cancellation each."""
    return _parts(events, _Kind(ASSIGNMENT, REQUEST, _requested, lambda _message, _records: iter(())))


def reversals(events: Iterable[Event]) -> Iterator[Part]:
    """All that a pain.007 asks for, one canonical cancellation with ``action: reverse`` each."""
    return _parts(events, _Kind(REVERSED, REVERSAL_BLOCK, _block_reversed, _message_reversed))


def answers(events: Iterable[Event]) -> Iterator[Part]:
    """All that a camt.029 says: payments and blocks first, the case as a whole at last."""
    return _parts(events, _Kind(ASSIGNMENT, ANSWER, _answered, _case_answered))


def _parts(events: Iterable[Event], kind: _Kind) -> Iterator[Part]:
    message: Found = {}
    place, records = "", -1
    for event in events:
        if event.kind == "message":
            if records >= 0:
                yield from (Part(body, place) for body in kind.at_last(message, records))
            node, values = walk(event.records[0].element)
            read = reader(kind.message, node)
            message = read(values) if read is not None else {}
            place, records = event.records[0].place(), 0
        elif event.kind == "records":
            records += len(event.records)
            for record in event.records:
                yield from _of_record(record, message, kind)
    if records >= 0:
        yield from (Part(body, place) for body in kind.at_last(message, records))


def _of_record(record: Record, message: Found, kind: _Kind) -> Iterator[Part]:
    place = record.place()
    try:
        if record.node.plan is None:
            record.node.plan = reader(kind.record, record.node) or (lambda _values: {})
        found = [_exact(body) for body in kind.of_record(record.node.plan(record.values), message)]
    except Rejected as error:
        yield Part(None, place, record.raw(), placed(error, place))
        return
    for body in found:
        yield Part(body, place)


def _exact(body: Found) -> Found:
    for name in ("amount", "reversed_amount"):
        if name in body:
            body[name] = checked(body[name])
    return body


def _base(message: Found, kind: str) -> Found:
    names = ("message_id", "assigner", "assignee", "case")
    return {"type": kind, **{name: message[name] for name in names if name in message}}


def _shared(found: Found, *more: str) -> Found:
    """What those below inherit."""
    return {name: found[name] for name in (*_SHARED, *more) if name in found}


def _requested(found: Found, message: Found, action: str = "cancel") -> Iterator[Found]:
    base = _base(message, "cancellation") | {"action": action}
    group = found.get("group", {})
    blocks, transactions = found.get("blocks", []), found.get("transactions", [])
    below = base | _shared(group)
    if group and (group.pop("whole", False) or not (blocks or transactions)):
        yield base | {"level": "group"} | with_reason(group)
    for block in blocks:
        inside = block.pop("transactions", [])
        of = below | _shared(block, "original_payment_information_id")
        if block.pop("whole", False) or not inside:
            yield of | {"level": "payment-information"} | with_reason(block)
        for one in inside:
            yield of | {"level": "transaction"} | with_reason(one)
    for one in transactions:
        yield below | {"level": "transaction"} | with_reason(one)


def _block_reversed(found: Found, message: Found) -> Iterator[Found]:
    return _requested({"blocks": [_shared(message.get("group", {})) | found]}, message, "reverse")


def _message_reversed(message: Found, records: int) -> Iterator[Found]:
    if message.get("whole") or not records:
        yield from _requested({"group": {**message.get("group", {}), "whole": True}}, message, "reverse")


def _answered(found: Found, message: Found) -> Iterator[Found]:
    base = _of_answer(message)
    group = found.get("group", {})
    below = base | _shared(group)
    for block in found.get("blocks", []):
        inside = block.pop("transactions", [])
        of = below | _shared(block, "original_payment_information_id")
        for one in inside:
            yield _status(of, "transaction", one)
        if block.get("status"):
            yield _status(of, "payment-information", block)
    for one in found.get("transactions", []):
        yield _status(below, "transaction", one)
    if group.get("status"):
        yield _status(base, "group", group)


def _case_answered(message: Found, records: int) -> Iterator[Found]:
    del records
    if message.get("status"):
        yield _status(_of_answer(message), "case", {"status": message["status"]})


def _of_answer(message: Found) -> Found:
    base = _base(message, "cancellation-status")
    name = base.pop("message_id", "")
    return {**base, "report_id": name}


def _status(base: Found, level: str, found: Found) -> Found:
    if not found.get("status"):
        raise Rejected("VAL415", "an answer without a status", reason="FF01", hint="ask the bank what it means")
    body = base | {"level": level} | with_reason(found)
    body.pop("original_created", None)
    return body | {"outcome": _OUTCOMES.get(body["status"], "")}
