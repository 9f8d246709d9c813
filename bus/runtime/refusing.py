"""What becomes of a message that is refused for good: a line of a reject file, or a dead letter; always with a case."""

from __future__ import annotations

from typing import Any

import msgspec

from bus.errors import Rejected
from bus.message import Join, Message
from bus.ports import CaseNote, Event, Settlement
from bus.runtime.pipeline import CompiledRoute


def case_note(route: CompiledRoute, message: Message, code: str, reason: str) -> CaseNote:
    """One case per file and cause, not one per line."""
    headers = message.headers
    context = {"file": headers.name, "place": headers.place, "keys": dict(headers.keys), "message": headers.id}
    correlation = headers.correlation_id
    mark = f"{route.name}:{code}:{correlation}"
    return CaseNote(code, reason, route.name, route.spec.owner, mark, headers.number, correlation, context)


def waiting_note(route: CompiledRoute, message: Message, code: str, reason: str) -> CaseNote:
    """One case per route and cause, for what is tried until the house itself is well again."""
    note = case_note(route, message, code, f"{reason}; it is tried until that is over")
    return msgspec.structs.replace(note, fingerprint=f"{route.name}:{code}")


def reject_record(source: Any, error: Rejected, document: str = "") -> dict[str, Any]:
    """What a reject file says of one refused record: its own columns, then ISO reason (or our code) and plain words."""
    words = error.message if not document else f"file {document} refused as a whole: {error.message}"
    reason = {"reason_code": error.reason or error.code, "reason_text": words}
    if isinstance(source, dict):
        return {**source, **reason}
    if isinstance(source, bytes):
        return {"raw": source.decode("utf-8", "replace").rstrip("\r\n"), **reason}
    return reason


def refuse(route: CompiledRoute, message: Message, error: Rejected, into: Settlement) -> None:
    """Make a record a member of its batch's reject file."""
    source = message.properties.get("source", message.body)
    record = reject_record(source, error)
    member = Message(msgspec.structs.replace(message.headers, place=message.headers.place or error.place), record, {})
    order = (message.headers.sequence.index,) if message.headers.sequence else ()
    into.joins.append((Join("on_reject", (), member, order), route.gatherings["on_reject"]))


def refuse_member(route: CompiledRoute, member: Message, error: Rejected, step: str, into: Settlement) -> None:
    """Refuse one member of a group that goes on without it: as any other record, into the reject file if there is one.

    Its batch counted it as joined when it became a member, and is told nothing more. What came in no batch has no file
    to go back with: it is a dead letter.
    """
    member = member.told().with_headers(version=route.version)
    if "on_reject" not in route.gatherings or member.headers.sequence is None:
        bury(route, into.place, member, (error.code, error.message), step, into)
        return
    refuse(route, member, error, into)
    into.cases.append(case_note(route, member, error.code, error.message))
    into.events.append(Event(member, "rejected", step, error.code, error.message))
    into.report(member, "rejected")


def bury(
    route: CompiledRoute, channel: str, message: Message, why: tuple[str, str], step: str, into: Settlement
) -> None:
    """Store a dead letter with its case; why = (code, reason)."""
    code, reason = why
    into.dead.append((channel, message.with_headers(attempt=0), case_note(route, message, code, reason)))
    into.events.append(Event(message, "dead", step, code, reason))
    into.report(message, "dead")
