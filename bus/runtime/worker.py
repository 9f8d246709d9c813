"""Takes a batch from a segment's channel, runs it in memory, settles everything in one commit; isolates what fails."""

from __future__ import annotations

import time
from typing import Protocol

from bus.errors import BusError, ConfigError, Held, Rejected, Stalled
from bus.message import (
    NULL_ID,
    Group,
    Headers,
    Hold,
    Join,
    Message,
    Send,
)
from bus.ports import Broker, Delivery, Event, Reader, Settlement
from bus.runtime import splitting
from bus.runtime.booking import book, book_one, pinned
from bus.runtime.meter import Unit
from bus.runtime.pipeline import CompiledRoute, Segment, Split, Trace, primary
from bus.runtime.refusing import bury, case_note, refuse, reject_record, waiting_note
from bus.runtime.retry import COMES_AGAIN, STORE_REFUSES, attempt_after, code_of, described, next_wait
from bus.runtime.stores import Stores

_UNREPORTABLE = "INT121"
"""The batch does not take the report of a message: it is a dead letter of which the batch is told nothing."""
_OUR_DAMAGE = {"INT102", "INT103"}
"""The sender is not told: his document was right, and one that he sends again beside a retry would pay twice."""


class Ledger(Reader, splitting.Ledger, Protocol):
    """What a worker asks of the ledger."""

    def lines(self, channel: str) -> dict[str, int]:
        """The lines of a channel in which somebody stands: line -> when its first runs again."""

    def line_heads(self, channel: str, most: int) -> list[tuple[int, Message]]:
        """What stands at the head of a line of the channel and may run now: (row, message)."""


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
        name = channel.partition("#")[0]
        count = 0
        if self._broker.in_order(channel):
            self._broker.share(channel)
            for row, message in self._ledger.line_heads(channel, most) if self._broker.may_take(channel) else ():
                route = self._routes.pinned(name, message.headers.version)
                count += self._handle(route, channel, [Delivery(channel, -row, message)])
        deliveries = self._broker.take(channel, most)
        if not deliveries:
            return count
        route = self._routes.pinned(name, deliveries[0].message.headers.version)
        return count + self._handle(route, channel, _of_one_version(deliveries))

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
        settlement = self._unit(route, channel, deliveries[0])
        settlement.remember = route.spec.guarantee == "effectively-once"
        segment = route.segments.get(channel) or Segment(channel, _no_segment)
        done = self._run_all(route, segment, deliveries, settlement)
        try:
            self._broker.settle(_taken(done, settlement), settlement, "segment")
        except Stalled:
            raise  # nothing can be settled, not even a failure
        except Exception as error:  # noqa: BLE001 - whatever one unit's commit raises must not stop the others
            if code_of(error) in COMES_AGAIN:
                return len(done)
            if len(done) == 1:
                self._settle_failure(route, channel, done[0], error)
            else:
                for delivery in done:
                    self._handle(route, channel, [delivery])
        else:
            self._meter.unit(Unit(channel, route.version, done, begun), settlement)
        return len(done)

    def _run_all(
        self, route: CompiledRoute, segment: Segment, deliveries: list[Delivery], into: Settlement
    ) -> list[Delivery]:
        """Run one after the other; those that are to be settled now."""
        done: list[Delivery] = []
        out = Trace()
        channel = segment.channel
        lines = self._ledger.lines(channel) if channel in route.lines and not into.line else {}
        for delivery in deliveries:
            if lines and _lines_up(route, delivery.message, lines, into):
                done.append(delivery)
                continue
            out.clear()
            splits = self._run_one(route, segment, delivery.message, out, into, first=not done)
            if splits and done:
                break  # a split is a unit of its own: settle what is ready, it comes first next time
            done.append(delivery)
            if splits:
                break
            if into.lined:
                lines |= {line: due for line, due, *_ in into.lined}
        return done

    def _unit(self, route: CompiledRoute, channel: str, first: Delivery) -> Settlement:
        """What is to be settled; a delivery with a position below 0 stands at the head of a line."""
        settlement = Settlement(channel, route.version)
        settlement.line = max(-first.position, 0)
        return settlement

    def _run_one(
        self, route: CompiledRoute, segment: Segment, message: Message, out: Trace, into: Settlement, *, first: bool
    ) -> bool:
        """Run one message and book its effects; true when it ended in a split (booked only when ``first``).

        ``out`` is empty, and nobody keeps it: a batch has one.
        """
        out.at = ""
        headers = message.headers
        try:
            if headers.expires_at or headers.id == NULL_ID:
                self._check_in(headers)
            segment.run(message, out)
            if len(out) == 1 and type(out[0][1]) is Send and type(message.body) is not Group:
                step, effect = out[0]
                if not effect.message.headers.copy:
                    book_one(route, message, effect, step, into)
                    return False
            verdict = primary(out, message)
            if route.splitters and any(type(effect) is Split for _, effect in out):
                if first:
                    self._split(route, (message, segment.channel), out, verdict, into)
                return True
            book(route, message, out, verdict, into)
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
        unit = splitting.SplitUnit(self._broker, self._ledger, route, channel)
        try:
            for step, effect in out:
                if isinstance(effect, Split):
                    parent = pinned(route, effect.message)
                    if not parent.headers.number:  # a copy: its parts are traced through the original
                        parent = parent.with_headers(number=message.headers.number)
                    into.open_batches.append(unit.store(step, parent))
            rest = Trace()
            rest.at = out.at
            rest.extend((step, effect) for step, effect in out if not isinstance(effect, Split))
            book(route, message, rest, verdict, into)
        except Exception as error:
            attempts, failed = route.spec.on_error.attempts, message.headers.attempt + 1
            if isinstance(error, Rejected) or not attempt_after(attempts, failed, code_of(error)):
                into.discards.extend(unit.cursors)
            raise

    # ------------------------------------------------------------ failures

    def _settle_failure(self, route: CompiledRoute, channel: str, delivery: Delivery, error: Exception) -> None:
        """The commit of this one unit was refused: commit its failure instead."""
        if code_of(error) in STORE_REFUSES:
            raise error  # the store, not the unit: it stays where it is and is taken again
        settlement = self._unit(route, channel, delivery)
        begun = time.monotonic()
        if isinstance(error, Rejected) and error.code == _UNREPORTABLE:
            alone = delivery.message.told().with_headers(version=route.version)
            bury(route, channel, alone, (error.code, error.message), "", settlement)
        else:
            self._fail(route, channel, delivery.message, error, "", settlement)
        self._broker.settle(_taken([delivery], settlement), settlement, "failure")
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
        failed = message.headers.attempt + 1
        policy = route.spec.on_error
        attempt = attempt_after(policy.attempts, failed, code)
        if not attempt:
            bury(route, channel, message, (code, f"{reason}; given up after {failed} attempts"), step, into)
            return
        if failed >= policy.attempts:
            into.cases.append(waiting_note(route, message, code, reason))
        again = message.with_headers(attempt=attempt)
        due = self._clock.now() + next_wait(policy.backoff, attempt, self._chance)
        line = line_of(route, channel, message)
        if line:
            into.lined.append((line, due, again, code, reason))
        else:
            into.deferred.append((due, channel, again, code, reason))
        into.events.append(Event(again, "deferred", step, code, reason))
        into.report(message, "deferred")

    def _reject(
        self, route: CompiledRoute, channel: str, message: Message, error: Rejected, step: str, into: Settlement
    ) -> None:
        """A refused record of a batch goes into the reject file; everything else is a dead letter with a case."""
        rule = route.gatherings.get("on_reject")
        body = message.body
        ours = message.headers.id == NULL_ID or error.code in _OUR_DAMAGE
        if rule is None or channel == rule.channel or ours:
            # A reject file that cannot be written is a dead letter: collected again, it would be refused for ever.
            bury(route, channel, message, (error.code, error.message), step, into)
            return
        if isinstance(body, Group):
            try:
                members = list(self._ledger.members(body))
            except Rejected:  # a damaged member: nothing may be taken out of the group
                members = []
            # What came in no batch would wait in the reject file of none, for ever.
            if not members or any(member.headers.sequence is None for member in members):
                bury(route, channel, message, (error.code, error.message), step, into)
                return
            into.closed_groups.append(body.number)
            for member in members:
                refuse(route, member.told(), error, into)
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
        notice = reject_record(None, error, document=message.headers.name)
        derived = splitting.derived(message, route.name, "on_reject", "document")
        with_body = Message(derived.headers, notice, message.properties).with_headers(copy=True)
        into.joins.append(
            (
                Join("on_reject", ("document", message.headers.id), with_body, complete=True),
                route.gatherings["on_reject"],
            )
        )


def _taken(done: list[Delivery], settlement: Settlement) -> list[Delivery]:
    """What the settlement takes off the channel; who stood at the head of a line is taken out of it instead."""
    return [] if settlement.line else done


def _of_one_version(deliveries: list[Delivery]) -> list[Delivery]:
    """Those at the beginning that are pinned to the same version of the route."""
    if len(deliveries) == 1:
        return deliveries
    version = deliveries[0].message.headers.version
    others = (n for n, delivery in enumerate(deliveries) if delivery.message.headers.version != version)
    return deliveries[: next(others, len(deliveries))]


def line_of(route: CompiledRoute, channel: str, message: Message) -> str:
    """The line in which the message stands, in a channel that keeps the order of each; else nothing."""
    find = route.lines.get(channel)
    try:
        return find(message) if find is not None else ""
    except BusError:
        return "*"  # it came without a key, from a version that had another


def _lines_up(route: CompiledRoute, message: Message, lines: dict[str, int], into: Settlement) -> bool:
    """Somebody of its key is still being tried: it waits behind."""
    line = line_of(route, into.place, message)
    if line not in lines:
        return False
    into.lined.append((line, lines[line], message, "", "waits for an earlier message of its key"))
    into.events.append(Event(message, "deferred", "", "", "waits for an earlier message of its key"))
    into.report(message, "waiting", batch=False)
    return True


def _no_segment(_message: Message, _out: Trace) -> None:
    raise Rejected("CFG167", "this version has no such segment any more", hint="bus cases retry moves it on")
