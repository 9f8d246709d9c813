"""Turns the effects of a finished unit into entries of its settlement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bus.errors import Rejected
from bus.message import (
    Converted,
    Group,
    Hold,
    Join,
    Message,
    Onward,
    OpenCase,
    Progress,
    Refuse,
    Register,
    Remember,
    Resequence,
    Send,
    Sequence,
)
from bus.ports import CaseNote, Event, Settlement
from bus.runtime.pipeline import CompiledRoute, End, Trace, partition
from bus.runtime.refusing import case_note, refuse_member
from bus.runtime.worth import still_worth, worth_of


def book(route: CompiledRoute, message: Message, out: Trace, verdict: tuple[str, str], into: Settlement) -> None:
    """Turn the effects of a finished unit into entries of the settlement.

    What can be refused is refused before anything is booked: a unit must not be sent and be a dead letter as well.
    """
    outcome, step = verdict
    code = reason = ""
    outputs: list[tuple[str, Message]] = []
    worth = message.headers.worth
    for (at, effect), (goes, place) in zip(out, [_leaving(route, message, at, e) for at, e in out], strict=True):
        kind = type(effect)
        if kind is Send:
            sent = goes
            if sent.headers.attempt or sent.headers.sequence is not None:
                sent = sent.with_headers(attempt=0, sequence=_told(sent.headers.sequence))
            into.puts.append((effect.channel, sent))
            outputs.append((effect.channel, sent))
            worth = worth or sent.headers.worth
        elif kind is Join:
            member = pinned(route, goes)
            worth = worth or member.headers.worth
            into.joins.append((msgspec.structs.replace(effect, step=at, message=member), place))
        elif kind is Hold:
            into.holds.append(_held(route, effect, pinned(route, goes), place, message))
            code, reason = effect.code, effect.reason
        elif kind is Onward:
            into.puts.append((partition(route.name, at, effect.partition, effect.partitions), pinned(route, goes)))
        elif kind is Resequence:
            into.resequences.append((msgspec.structs.replace(effect, message=pinned(route, goes)), place))
        else:
            _ENTRY[kind](route, at, effect, into, message)
    if isinstance(message.body, Group) and not _goes_on(message.body, out):
        into.closed_groups.append(message.body.number)
    into.events.append(Event(message, outcome, step, code, reason, tuple(outputs)))
    told = message if worth == message.headers.worth else message.with_headers(worth=worth)
    into.report(told, outcome, batch=outcome != "waiting")


def book_one(route: CompiledRoute, message: Message, effect: Send, step: str, into: Settlement) -> None:
    """A message that goes one way and does nothing else: what nearly all do, so nothing here is paid for in vain."""
    sent = effect.message
    if sent.body is not message.body and not still_worth(route, sent.body, sent.headers.worth):
        sent = _worthy(route, message, sent)
    headers = sent.headers
    if headers.attempt or headers.sequence is not None:
        sent = sent.with_headers(attempt=0, sequence=_told(headers.sequence))
    output = (effect.channel, sent)
    into.puts.append(output)
    into.events.append(Event(message, "sent", step, "", "", (output,)))
    if message.headers.worth is None and headers.worth is not None:
        message = message.with_headers(worth=headers.worth)
    into.report(message, "sent")


def _told(sequence: Sequence | None) -> Sequence | None:
    """The place in a batch of a message that left its route: what happens elsewhere is not the batch's matter."""
    return None if sequence is None else msgspec.structs.replace(sequence, reported=True)


def _leaving(route: CompiledRoute, came: Message, at: str, effect: Any) -> tuple[Any, Any]:
    """(message that leaves the unit, where it waits) of an effect; (None, None) for wishes of another kind.

    Raises:
        Rejected: ``INT132`` its amount was changed; ``VAL505`` a copy of a group, whose members go with the original.
    """
    find = _WAITING.get(type(effect))
    if find is None:
        return None, None
    goes = _worthy(route, came, effect.message)
    if goes.headers.copy and isinstance(goes.body, Group):
        raise Rejected("VAL505", "an aggregate's group cannot be copied", hint="write it first: `translate: {to: …}`")
    return goes, find(route, at)


_WAITING: dict[type, Callable[[CompiledRoute, str], Any]] = {
    Send: lambda _route, _at: None,
    Join: lambda route, at: route.gatherings[at],
    Hold: lambda route, at: route.after[at],
    Resequence: lambda route, at: route.after[at],
    Onward: lambda route, at: route.after[at],
}


def _goes_on(group: Group, out: Trace) -> bool:
    """Whether a message that leaves the unit still stands for the group: then its members are needed later."""
    return any(type(e) in _WAITING and isinstance(e.message.body, Group) and e.message.body == group for _, e in out)


def _held(
    route: CompiledRoute, effect: Hold, goes: Message, channel: str, message: Message
) -> tuple[Hold, str, CaseNote | None]:
    note = case_note(route, message, effect.code, effect.reason) if effect.code else None
    if note is not None:  # every held message is decided by itself
        note = msgspec.structs.replace(note, fingerprint=f"{note.fingerprint}:{effect.message.headers.id}")
    return msgspec.structs.replace(effect, message=goes), channel, note


def _open_case(route: CompiledRoute, at: str, effect: OpenCase, into: Settlement, message: Message) -> None:
    note = case_note(route, effect.message or message, effect.code, effect.summary)
    mark = effect.fingerprint or f"{at}:{message.headers.id}"
    into.cases.append(
        msgspec.structs.replace(
            note, fingerprint=f"{route.name}:{effect.code}:{mark}", context={**note.context, **effect.context}
        )
    )


def _converted(_route: CompiledRoute, at: str, effect: Converted, into: Settlement, message: Message) -> None:
    (old, before), (new, after) = effect.before, effect.after
    legs = f"{before:f} {old} became {after:f} {new} at {effect.rate:f}"
    into.events.append(Event(message, "converted", at, reason=legs))


_ENTRY: dict[type, Callable[[CompiledRoute, str, Any, Settlement, Message], None]] = {
    OpenCase: _open_case,
    Register: lambda _r, _at, effect, into, message: into.registers.append((effect, message)),
    Progress: lambda _r, _at, effect, into, _m: into.progress.append(effect),
    Remember: lambda _r, _at, effect, into, _m: into.remembers.append(effect),
    Converted: _converted,
    Refuse: lambda route, at, effect, into, _m: refuse_member(route, effect.message, effect.error, at, into),
    End: lambda _r, _at, _effect, _into, _m: None,
}


def pinned(route: CompiledRoute, message: Message) -> Message:
    """The message bound to this version of the route, its attempts over, before it waits in a place of the route."""
    if message.headers.version == route.version and not message.headers.attempt:
        return message
    return message.with_headers(version=route.version, attempt=0)


def _worthy(route: CompiledRoute, came: Message, goes: Message) -> Message:
    """The outgoing message with its worth; a step that changed an amount breaks the conservation of money.

    Raises:
        Rejected: ``INT132``.
    """
    before = goes.headers.worth
    if goes.body is came.body or still_worth(route, goes.body, before):
        return goes
    now = worth_of(route, goes.body)
    if now is None:
        return goes
    if before is None:
        return goes.with_headers(worth=now)
    if before != now:
        raise Rejected(
            "INT132",
            f"the amount changed from {before[1]:f} {before[0]} to {now[1]:f} {now[0]} on the way",
            hint="only a convert step may change money; mend the mapping",
        )
    return goes
