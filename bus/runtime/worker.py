"""Takes a batch from a segment's channel, runs it in memory, settles everything in one commit; isolates what fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from bus.errors import BusError, ConfigError, Held, Rejected, Stalled
from bus.message import (
    NULL_ID,
    Converted,
    Group,
    Headers,
    Hold,
    Join,
    Message,
    OpenCase,
    Progress,
    Register,
    Remember,
    Resequence,
    Send,
    Sequence,
)
from bus.ports import Broker, CaseNote, Delivery, Event, Reader, Settlement
from bus.runtime import splitting
from bus.runtime.meter import Unit
from bus.runtime.pipeline import CompiledRoute, End, Segment, Split, Trace, primary
from bus.runtime.retry import SETTLED_ELSEWHERE, STORE_REFUSES, code_of, described, next_wait
from bus.runtime.stores import Stores
from bus.runtime.worth import still_worth, worth_of


class Ledger(Reader, splitting.Ledger, Protocol):
    """What a worker asks of the ledger."""


class Routes(Protocol):
    """Finds the compiled version that a message is pinned to."""

    def pinned(self, route: str, version: int) -> CompiledRoute:
        """The version with that ledger number, or the current one for 0 or another route's number."""


class Worker:
    """Runs segments. Holds no state of its own between two batches, so that a crash loses nothing.

    Args:
        stores: channels, ledger, time.
        routes: compiled versions.
    """

    def __init__(self, stores: Stores, routes: Routes) -> None:
        self._broker: Broker = stores.broker
        self._ledger: Ledger = stores.ledger
        self._clock = stores.clock
        self._chance = stores.chance
        self._meter = stores.meter
        self._routes = routes

    def run_batch(self, channel: str, most: int) -> int:
        """Take and settle up to ``most`` messages of a segment; returns how many (0 = nothing to do)."""
        deliveries = self._broker.take(channel, most)
        if not deliveries:
            return 0
        name = channel.partition("#")[0]
        route = self._routes.pinned(name, deliveries[0].message.headers.version)
        return self._handle(route, channel, _of_one_version(deliveries))

    def holds_true(self, channel: str, predicate: str, message: Message) -> bool:
        """Whether the predicate of a held message lets it go now; an error in it keeps holding.

        It is asked of the tables as they are now, whatever version the message goes on in: a switch is for all.
        """
        name = channel.partition("#")[0]
        try:
            try:
                route = self._routes.pinned(name, 0)
            except ConfigError:
                route = self._routes.pinned(name, message.headers.version)
            return route.predicate(predicate)(message.body) is True
        except BusError:
            return False

    def _handle(self, route: CompiledRoute, channel: str, deliveries: list[Delivery]) -> int:
        begun = time.monotonic()
        settlement = Settlement(channel, route.version)
        settlement.remember = route.spec.guarantee == "effectively-once"
        segment = route.segments.get(channel) or Segment(channel, _no_segment)
        done: list[Delivery] = []
        for delivery in deliveries:
            splits = self._run_one(route, segment, delivery.message, settlement, first=not done)
            if splits and done:
                break  # a split is a unit of its own: settle what is ready, it comes first next time
            done.append(delivery)
            if splits:
                break
        try:
            self._broker.settle(done, settlement, "segment")
        except Stalled:
            raise  # nothing can be settled, not even a failure
        except Exception as error:  # noqa: BLE001 - whatever one unit's commit raises must not stop the others
            if len(done) == 1 and code_of(error) != SETTLED_ELSEWHERE:
                self._settle_failure(route, channel, done[0], error)
            elif code_of(error) != SETTLED_ELSEWHERE:  # else what is left of them comes again
                for delivery in done:
                    self._handle(route, channel, [delivery])
        else:
            self._meter.unit(Unit(channel, route.version, done, begun), settlement)
        return len(done)

    def _run_one(
        self, route: CompiledRoute, segment: Segment, message: Message, into: Settlement, *, first: bool
    ) -> bool:
        """Run one message and book its effects; true when it ended in a split (booked only when ``first``)."""
        out = Trace()
        out.at = ""
        headers = message.headers
        try:
            if headers.expires_at or headers.id == NULL_ID:
                self._check_in(headers)
            segment.run(message, out)
            if len(out) == 1 and type(out[0][1]) is Send and type(message.body) is not Group:
                step, effect = out[0]
                if not effect.message.headers.copy:
                    _book_one(route, message, effect, step, into)
                    return False
            verdict = primary(out, message)
            if route.splitters and any(type(effect) is Split for _, effect in out):
                if first:
                    self._split(route, (message, segment.channel), out, verdict, into)
                return True
            _book(route, message, out, verdict, into)
        except Exception as error:  # noqa: BLE001 - whatever a step raises is the verdict on its message alone
            into.open_batches.clear()
            self._fail(route, segment.channel, message, error, out.at, into)
        return False

    def _check_in(self, headers: Headers) -> None:
        if headers.id == NULL_ID:
            raise Rejected("INT101", "a stored message cannot be decoded", hint="its bytes are in the dead letter")
        if headers.expires_at and headers.expires_at <= self._clock.now():
            raise Rejected(
                "POL151", "the message expired before it was processed", hint="see expires_after of the route"
            )

    def _split(
        self,
        route: CompiledRoute,
        taken: tuple[Message, str],
        out: Trace,
        verdict: tuple[str, str],
        into: Settlement,
    ) -> None:
        """Store the parts of every split in this unit; the commit that takes the parent opens all batches."""
        message, channel = taken
        book = splitting.SplitUnit(self._broker, self._ledger, route, channel)
        try:
            for step, effect in out:
                if isinstance(effect, Split):
                    parent = _pinned(route, effect.message)
                    if not parent.headers.number:  # a copy: its parts are traced through the original
                        parent = parent.with_headers(number=message.headers.number)
                    into.open_batches.append(book.store(step, parent))
            rest = Trace()
            rest.at = out.at
            rest.extend((step, effect) for step, effect in out if not isinstance(effect, Split))
            _book(route, message, rest, verdict, into)
        except Exception as error:
            if isinstance(error, Rejected) or message.headers.attempt + 1 >= route.spec.on_error.attempts:
                into.discards.extend(book.cursors)
            raise

    # ------------------------------------------------------------ failures

    def _settle_failure(self, route: CompiledRoute, channel: str, delivery: Delivery, error: Exception) -> None:
        """The commit of this one unit was refused: commit its failure instead."""
        if code_of(error) in STORE_REFUSES:
            raise error  # the store, not the unit: it stays where it is and is taken again
        settlement = Settlement(channel, route.version)
        begun = time.monotonic()
        self._fail(route, channel, delivery.message, error, "", settlement)
        self._broker.settle([delivery], settlement, "failure")
        self._meter.unit(Unit(channel, route.version, [delivery], begun), settlement)

    def _fail(
        self, route: CompiledRoute, channel: str, message: Message, error: Exception, step: str, into: Settlement
    ) -> None:
        if message.headers.version != route.version:
            message = message.with_headers(version=route.version)
        if isinstance(error, Rejected):
            self._reject(route, channel, message, error, step, into)
        elif isinstance(error, Held):
            note = case_note(route, message, error.code, error.message)
            into.holds.append((Hold(message, error.code, error.message), channel, note))
            into.events.append(Event(message, "held", step, error.code, error.message))
            into.report(message, "held")
        else:
            self._retry(route, channel, message, error, step, into)

    def _retry(
        self, route: CompiledRoute, channel: str, message: Message, error: Exception, step: str, into: Settlement
    ) -> None:
        code, reason = described(error)
        attempt = message.headers.attempt + 1
        policy = route.spec.on_error
        if attempt >= policy.attempts:
            bury(route, channel, message, (code, f"{reason}; given up after {attempt} attempts"), step, into)
            return
        again = message.with_headers(attempt=attempt)
        due = self._clock.now() + next_wait(policy.backoff, attempt, self._chance)
        into.deferred.append((due, channel, again, code, reason))
        into.events.append(Event(again, "deferred", step, code, reason))
        into.report(message, "deferred")

    def _reject(
        self, route: CompiledRoute, channel: str, message: Message, error: Rejected, step: str, into: Settlement
    ) -> None:
        """A refused record of a batch goes into the reject file; everything else is a dead letter with a case."""
        rule = route.gatherings.get("on_reject")
        body = message.body
        if rule is None or channel == rule.channel or message.headers.id == NULL_ID:
            # A reject file that cannot be written is a dead letter: collected again, it would be refused for ever.
            bury(route, channel, message, (error.code, error.message), step, into)
            return
        if isinstance(body, Group):
            try:
                members = list(self._ledger.members(body))
            except Rejected:  # a damaged member: nothing may be taken out of the group
                bury(route, channel, message, (error.code, error.message), step, into)
                return
            into.closed_groups.append(body.number)
            for member in members:
                refuse(route, splitting.late(member), error, into)
            into.cases.append(case_note(route, message, error.code, error.message))
            into.events.append(Event(message, "rejected", step, error.code, error.message))
            into.report(message, "rejected")
            return
        if message.headers.sequence is None:
            self._refuse_document(route, message, error, into)
            bury(route, channel, message, (error.code, error.message), step, into)
            return
        refuse(route, message, error, into)
        into.cases.append(case_note(route, message, error.code, error.message))
        into.events.append(Event(message, "rejected", step, error.code, error.message))
        into.report(message, "rejected")

    def _refuse_document(self, route: CompiledRoute, message: Message, error: Rejected, into: Settlement) -> None:
        """Tell the sender, in his own format, that the whole document was refused: one record that names the file."""
        reject = route.spec.on_reject
        if reject is None:
            return
        notice = splitting.reject_record(None, error, document=message.headers.name)
        derived = splitting.derived(message, route.name, "on_reject", "document")
        with_body = Message(derived.headers, notice, message.properties).with_headers(copy=True)
        into.joins.append(
            (
                Join("on_reject", ("document", message.headers.id), with_body, complete=True),
                route.gatherings["on_reject"],
            )
        )


def _of_one_version(deliveries: list[Delivery]) -> list[Delivery]:
    """Those at the beginning that are pinned to the same version of the route."""
    version = deliveries[0].message.headers.version
    others = (n for n, delivery in enumerate(deliveries) if delivery.message.headers.version != version)
    return deliveries[: next(others, len(deliveries))]


def _no_segment(_message: Message, _out: Trace) -> None:
    raise Rejected("CFG167", "this version has no such segment any more", hint="bus cases retry moves it on")


def refuse(route: CompiledRoute, message: Message, error: Rejected, into: Settlement) -> None:
    """Make a record a member of its batch's reject file."""
    source = message.properties.get("source", message.body)
    record = splitting.reject_record(source, error)
    member = Message(msgspec.structs.replace(message.headers, place=message.headers.place or error.place), record, {})
    order = (message.headers.sequence.index,) if message.headers.sequence else ()
    into.joins.append((Join("on_reject", (), member, order), route.gatherings["on_reject"]))


def bury(
    route: CompiledRoute, channel: str, message: Message, why: tuple[str, str], step: str, into: Settlement
) -> None:
    """Store a dead letter with its case; why = (code, reason)."""
    code, reason = why
    into.dead.append((channel, message.with_headers(attempt=0), case_note(route, message, code, reason)))
    into.events.append(Event(message, "dead", step, code, reason))
    into.report(message, "dead")


def case_note(route: CompiledRoute, message: Message, code: str, reason: str) -> CaseNote:
    """One case per file and cause, not one per line."""
    headers = message.headers
    context = {"file": headers.name, "place": headers.place, "keys": dict(headers.keys), "message": headers.id}
    correlation = headers.correlation_id
    mark = f"{route.name}:{code}:{correlation}"
    return CaseNote(code, reason, route.name, route.spec.owner, mark, headers.number, correlation, context)


def _book(route: CompiledRoute, message: Message, out: Trace, verdict: tuple[str, str], into: Settlement) -> None:
    """Turn the effects of a finished unit into entries of the settlement.

    What can be refused is refused before anything is booked: a unit must not be sent and be a dead letter as well.
    """
    outcome, step = verdict
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
            member = _pinned(route, goes)
            worth = worth or member.headers.worth
            into.joins.append((msgspec.structs.replace(effect, step=at, message=member), place))
        elif kind is Hold:
            into.holds.append(_held(route, effect, _pinned(route, goes), place, message))
        elif kind is Resequence:
            into.resequences.append((msgspec.structs.replace(effect, message=_pinned(route, goes)), place))
        else:
            _ENTRY[kind](route, at, effect, into, message)
    if isinstance(message.body, Group) and not _goes_on(message.body, out):
        into.closed_groups.append(message.body.number)
    into.events.append(Event(message, outcome, step, outputs=tuple(outputs)))
    told = message if worth == message.headers.worth else message.with_headers(worth=worth)
    into.report(told, outcome, batch=outcome != "waiting")


def _book_one(route: CompiledRoute, message: Message, effect: Send, step: str, into: Settlement) -> None:
    """A message that goes one way and does nothing else: what nearly all do, so nothing here is paid for in vain."""
    sent = effect.message
    if sent.body is not message.body:
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
    End: lambda _r, _at, _effect, _into, _m: None,
}


def _pinned(route: CompiledRoute, message: Message) -> Message:
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
