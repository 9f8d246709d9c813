"""Dead letters of what never was handed out to a unit, or never may be."""

from __future__ import annotations

from bus.message import Message
from bus.ports import CaseNote, Event, Settlement


def bury(into: Settlement, channel: str, message: Message, why: tuple[str, str], about: str) -> None:
    """Book a dead letter of a channel; why = (code, reason), and what is ``about`` the same thing shares a case."""
    code, reason = why
    headers = message.headers
    context = {"file": headers.name, "message": headers.id}
    route, mark = channel.partition("#")[0], f"{channel}:{code}:{about}"
    note = CaseNote(code, reason, route, "", mark, headers.number, headers.correlation_id, context)
    into.dead.append((channel, message, note))
    into.events.append(Event(message, "dead", "", code, reason))
    into.report(message, "dead")
