"""Dead letters of what never was handed out to a unit, or never may be."""

from __future__ import annotations

from collections.abc import Iterable

from bus.channels.amqp.frames import Outgoing
from bus.errors import Rejected
from bus.message import Message
from bus.ports import CaseNote, Event, Settlement

_UNREPORTABLE = "INT121"


def too_large(channel: str, size: int, most: int) -> Rejected:
    """Why a message with so many bytes is not published."""
    return Rejected(
        "NET227",
        f"the message to `{channel}` has {size} bytes, the broker takes {most}",
        hint="put the big part away with `claim_check`, split it, or raise `broker.max_message_size`, there and here",
    )


def must_fit(sent: Iterable[tuple[str, Outgoing]], most: int) -> None:
    """Refuse what a unit sends, each with its channel, when one of it is too large."""
    for channel, one in sent:
        if len(one.body) > most:
            raise too_large(channel, len(one.body), most)


def unreported(error: Rejected) -> bool:
    """Whether a batch does not wait for the report of a dead letter, which then is one without a report."""
    return error.code == _UNREPORTABLE


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
