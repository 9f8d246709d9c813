"""Brings messages from an outlet's channel to its partner: prepare, commit, publish, commit; asks before it repeats."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from posixpath import dirname
from typing import Any, BinaryIO, Protocol

import msgspec

from bus.errors import BusError, ConfigError, InDoubt, Rejected, Retryable
from bus.landscape import ErrorPolicySpec
from bus.message import NULL_ID, Blob, Message
from bus.ports import (
    Broker,
    CaseNote,
    Delivery,
    Event,
    Format,
    Receipt,
    Settlement,
    Sink,
    WriteContext,
)
from bus.runtime.meter import Unit
from bus.runtime.retry import SETTLED_ELSEWHERE, attempt_after, described, next_wait, resting
from bus.runtime.stores import Stores

log = logging.getLogger("girobus")
_LINE = "*"
"""The one line of an outlet that keeps its order."""


class Ledger(Protocol):
    """What a sender asks of the ledger."""

    @property
    def epoch(self) -> int:
        """Number of this process."""

    def outbound_state(self, unit: str, sink: str) -> tuple[str, Receipt] | None:
        """How far the effect has come."""

    def live_receipts(self, sink: str) -> list[Receipt]:
        """Receipts of unfinished effects."""

    def lines(self, channel: str) -> dict[str, int]:
        """The lines of a channel in which somebody stands: line -> when its first runs again."""

    def line_heads(self, channel: str, most: int) -> list[tuple[int, Message]]:
        """What stands at the head of a line of the channel and may run now: (row, message)."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """A named way out, built."""

    name: str
    sink: Sink
    format: Format | None
    batch: int
    policy: ErrorPolicySpec


@dataclass(slots=True)
class _Flight:
    """One delivery on its way out."""

    delivery: Delivery
    receipt: Receipt = field(default_factory=dict)
    error: Exception | None = None
    untouched: bool = False
    """Publishing it failed before anything happened."""
    earlier: Receipt | None = None
    """Of an owner before this one who was to publish it too."""


class Sender:
    """The unit of work of one outlet. One thread at a time.

    Args:
        outlet: where to; its channel has the outlet's name.
        stores: channels, ledger, blobs, time.
    """

    def __init__(self, outlet: Outlet, stores: Stores) -> None:
        self.outlet = outlet
        self._broker: Broker = stores.broker
        self._ledger: Ledger = stores.ledger
        self._blobs = stores.blobs
        self._clock = stores.clock
        self._chance = stores.chance
        self._meter = stores.meter
        self._begun = 0.0
        self.resting_until = 0
        """Back-pressure: while the partner is away nothing is taken."""
        self._swept = -1
        """The tenure of the outlet in which it was swept."""
        self.owes_sweep = False
        """A partner refused to have it swept: that is asked again, also when nothing more goes out."""
        self._unswept = 0
        """How often in a row."""
        self._sweep_again = 0

    def send_once(self) -> int:
        """Take a batch and bring it out; returns how many were settled (0 = nothing to do, or resting)."""
        if self.resting():
            return 0
        deliveries = self._take()
        if not deliveries:
            if self.owes_sweep:
                self._sweep_once()
            return 0
        self._begun = time.monotonic()
        self._sweep_once()
        try:
            ready, settled = self._prepare(deliveries)
            return settled + self._publish(ready)
        except Retryable:
            self._swept, self.owes_sweep = -1, True  # what lies with the partner may be of nobody now
            raise

    def _take(self) -> list[Delivery]:
        """A batch. In an outlet in order, what is tried again comes first and alone, when its time has come."""
        name = self.outlet.name
        if self._broker.in_order(name) and self._broker.may_take(name) and self._ledger.lines(name):
            return [Delivery(name, -row, message) for row, message in self._ledger.line_heads(name, 1)]
        return self._broker.take(name, self.outlet.batch)

    def _settle(self, deliveries: list[Delivery], settlement: Settlement, label: str) -> None:
        """Take them away, from the channel or from the head of the outlet's line (a position below 0)."""
        settlement.line = max(-deliveries[0].position, 0)
        self._broker.settle([] if settlement.line else deliveries, settlement, label)

    def resting(self) -> bool:
        """Whether the partner is being left alone."""
        return resting(self.resting_until, self._clock.now(), self.outlet.policy.backoff)

    def _prepare(self, deliveries: list[Delivery]) -> tuple[list[_Flight], int]:
        """Stage files for the longest run of deliveries that can be; what fails first is settled when it is alone."""
        flights: list[_Flight] = []
        for delivery in deliveries:
            try:
                flight = self._prepared(delivery)
            except Exception as error:  # noqa: BLE001 - the verdict on this delivery
                if not flights:
                    self._settle_failure(delivery, error)
                    return [], 1
                break
            if flight.earlier is not None and flights:
                break  # it goes alone
            flights.append(flight)
            if flight.earlier is not None:
                break
        staged = [flight for flight in flights if "happened" not in flight.receipt]
        if staged and not self._requested(staged):
            return [], 1
        return flights, 0

    def _prepared(self, delivery: Delivery) -> _Flight:
        """Staged; or asked for, where it was to be published before."""
        flight = _Flight(delivery)
        state = self._ledger.outbound_state(delivery.message.headers.id, self.outlet.name)
        if state is not None and state[0] == "requested" and not getattr(self.outlet.sink, "keyed", False):
            flight.receipt = state[1]
            self._asked(flight)
            return flight
        with self._content(delivery.message) as content:
            flight.receipt = self.outlet.sink.prepare(delivery.message, content)
        if state is not None and state[1].get("stage") not in (None, flight.receipt.get("stage")):
            self._swept, self.owes_sweep = -1, True  # an earlier owner's file, of which nothing comes
            if "tried" in state[1] and "stage" in flight.receipt:  # else the outlet is of another kind now
                flight.earlier = state[1]
        return flight

    def _requested(self, staged: list[_Flight]) -> bool:
        """Write down that they are staged, then that they are to be published; False when that one may not be."""
        try:
            self._mark(staged, "staged")
            if not self._taken_over(staged[0]):
                return False
            for flight in staged:
                flight.receipt["tried"] = self._ledger.epoch
            self._mark(staged, "requested")
        except Retryable as error:
            if error.code == SETTLED_ELSEWHERE:
                self._discard(staged)
            raise
        return True

    def _taken_over(self, flight: _Flight) -> bool:
        """Remove what an earlier owner was to publish, before it is published anew: he may be frozen, and wake.

        What is gone already he may have published; that is in doubt. False when this delivery is settled so.
        """
        earlier, sink = flight.earlier, self.outlet.sink
        if earlier is None:
            return True
        try:
            there = sink.discard(earlier)  # type: ignore[attr-defined]  # whoever stages can discard
            if there or dirname(earlier["stage"]) != dirname(flight.receipt["stage"]):
                return True
            sink.discard(flight.receipt)  # type: ignore[attr-defined]  # as above
            text = f"what was staged before for `{self.outlet.name}` is gone, and may be published"
            raise InDoubt("NET112", text, hint="ask the partner", ask=False)  # noqa: TRY301 - one verdict for all
        except (Retryable, InDoubt) as error:
            self._settle_failure(flight.delivery, error)
            return False

    def _discard(self, flights: list[_Flight]) -> None:
        """Tidy up what was prepared when another process had long taken over: whose request was never committed."""
        discard: Callable[[Receipt], None] | None = getattr(self.outlet.sink, "discard", None)
        with suppress(BusError):  # else it is swept when the outlet has another owner
            if discard is not None:
                for flight in flights:
                    discard(flight.receipt)
        self.outlet.sink.close()

    def _asked(self, flight: _Flight) -> None:
        """After a crash or a lost answer: did it happen?"""
        verdict = self.outlet.sink.probe(flight.receipt)
        if verdict == "unknown":
            raise InDoubt(
                "NET901",
                f"whether `{self.outlet.name}` got it cannot be known",
                hint="ask the partner, then bus cases retry --resolved-as",
            )
        flight.receipt = {**flight.receipt, "happened": verdict == "done"}

    def _publish(self, flights: list[_Flight]) -> int:
        done: list[_Flight] = []
        failed: _Flight | None = None
        for flight in flights:
            try:
                if not flight.receipt.pop("happened", False):
                    self._bring_out(flight)
            except Exception as error:  # noqa: BLE001 - the verdict on this delivery
                flight.error = error
                failed = flight
                break
            done.append(flight)
        if done:
            settlement = Settlement(self.outlet.name)
            for flight in done:
                message = flight.delivery.message
                settlement.outbound.append(
                    (self.outlet.name, message.headers.id, message, {**flight.receipt, "state": "delivered"})
                )
                settlement.events.append(Event(message, "delivered"))
                settlement.report(_untold(message), "delivered")
            deliveries = [f.delivery for f in done]
            self._settle(deliveries, settlement, "delivered")
            self._meter.unit(Unit(self.outlet.name, 0, deliveries, self._begun), settlement)
        if failed is not None and failed.error is not None:
            untouched = failed.receipt if failed.untouched else None
            self._settle_failure(failed.delivery, failed.error, untouched)
            self._take_back(flights[len(done) + 1 :])
        return len(done) + (failed is not None)

    def _bring_out(self, flight: _Flight) -> None:
        """Publish; where the answer was lost, ask. What cannot be asked now is asked before the next attempt."""
        try:
            self.outlet.sink.publish(flight.receipt)
        except Retryable:
            flight.untouched = True
            raise
        except InDoubt as lost:
            verdict = self.outlet.sink.probe(flight.receipt) if lost.ask else "unknown"
            if verdict == "unknown":
                raise
            if verdict == "not_done":
                flight.untouched = True
                raise Retryable(lost.code, lost.message, hint="it did not happen and is tried again") from lost

    def _take_back(self, flights: list[_Flight]) -> None:
        """What was requested and never tried, for the one before it failed, is only staged: nothing to doubt."""
        begun: Callable[[Receipt], bool] = getattr(self.outlet.sink, "begun", lambda _receipt: False)
        untried = [flight for flight in flights if "happened" not in flight.receipt and not begun(flight.receipt)]
        for flight in untried:
            flight.receipt = self._only_staged(flight.receipt)
        if untried:
            self._mark(untried, "staged")

    def _only_staged(self, receipt: Receipt) -> Receipt:
        """The receipt of what was to be published and was not: another process may be about to do it still."""
        if receipt.get("tried") != self._ledger.epoch:
            return receipt
        return {name: value for name, value in receipt.items() if name != "tried"}

    def _mark(self, flights: list[_Flight], state: str) -> None:
        settlement = Settlement(self.outlet.name)
        for flight in flights:
            message = flight.delivery.message
            settlement.outbound.append(
                (self.outlet.name, message.headers.id, message, {**flight.receipt, "state": state})
            )
        try:
            self._broker.settle([], settlement, state)
        except Retryable as error:
            if error.code == SETTLED_ELSEWHERE:
                self.outlet.sink.close()  # what is prepared there is another process's to publish
            raise

    def _settle_failure(self, delivery: Delivery, error: Exception, untouched: Receipt | None = None) -> None:
        """``untouched``: the receipt of an effect that was requested and certainly did not happen."""
        message = delivery.message
        settlement = Settlement(self.outlet.name)
        code, reason = (
            (error.code, error.message)
            if isinstance(error, BusError)
            else ("INT199", f"unexpected {type(error).__name__}")
        )
        failed = message.headers.attempt + 1
        attempt = attempt_after(self.outlet.policy.attempts, failed, code)
        final = isinstance(error, Rejected | InDoubt) or not attempt
        if final:
            note = self._note(message, code, reason)
            settlement.dead.append((self.outlet.name, message, note))
            outcome = "in_doubt" if isinstance(error, InDoubt) else "dead"
            if outcome == "in_doubt":
                state = self._ledger.outbound_state(message.headers.id, self.outlet.name)
                receipt = state[1] if state else {}
                settlement.outbound.append(
                    (self.outlet.name, message.headers.id, message, {**receipt, "state": "in_doubt"})
                )
        else:
            due = self._clock.now() + next_wait(self.outlet.policy.backoff, attempt, self._chance)
            again = message.with_headers(attempt=attempt)
            if self._broker.in_order(self.outlet.name):
                settlement.lined.append((_LINE, due, again, code, reason))
            else:
                settlement.deferred.append((due, self.outlet.name, again, code, reason))
            self.resting_until = due
            if isinstance(error, ConfigError):
                settlement.cases.append(self._note(message, code, reason))
            elif failed >= self.outlet.policy.attempts:  # one case, however many wait
                note = self._note(message, code, f"{reason}; it is tried until that is over")
                settlement.cases.append(msgspec.structs.replace(note, fingerprint=f"{self.outlet.name}:{code}"))
            message, outcome = again, "deferred"
        if untouched is not None:
            settlement.outbound.append(
                (self.outlet.name, message.headers.id, message, {**self._only_staged(untouched), "state": "staged"})
            )
        settlement.events.append(Event(message, outcome, "", code, reason))
        settlement.report(_untold(message), outcome)
        self._settle([delivery], settlement, "failure")
        self._meter.unit(Unit(self.outlet.name, 0, [delivery], self._begun), settlement)

    def _note(self, message: Message, code: str, reason: str) -> CaseNote:
        headers = message.headers
        mark = f"{self.outlet.name}:{code}:{headers.id}"
        context = {"outlet": self.outlet.name, "file": headers.name, "message": headers.id}
        return CaseNote(code, reason, self.outlet.name, "", mark, headers.number, headers.correlation_id, context)

    def _content(self, message: Message) -> BinaryIO:
        body = message.body
        if message.headers.id == NULL_ID:
            raise Rejected("INT101", "a stored message cannot be decoded", hint="its bytes are in the dead letter")
        if isinstance(body, Blob):
            return self._blobs.open(body)
        if isinstance(body, bytes):
            return io.BytesIO(body)
        if self.outlet.format is None:
            raise Rejected(
                "CFG168", f"outlet `{self.outlet.name}` has no format for plain data", hint="add format: json"
            )
        target = io.BytesIO()
        headers = message.headers
        self.outlet.format.write([body], target, WriteContext(headers.id, headers.created_at, message.properties))
        target.seek(0)
        return target

    def _sweep_once(self) -> None:
        """Remove stage files of earlier owners that no unfinished effect names, whenever it becomes ours.

        Who was cut off while another took over, and prepared files meanwhile, removes his own: the other one may have
        looked before they were there. What a refused commit names cannot become live any more by then.
        Where that fails it is tried again later, after a longer wait each time; this batch succeeds or fails by itself.
        """
        over = not self._broker.may_take(self.outlet.name)
        tenure, backoff = -1 if over else self._broker.tenure(self.outlet.name), self.outlet.policy.backoff
        if (self._swept == tenure and not over) or resting(self._sweep_again, self._clock.now(), backoff):
            return
        sweep: Callable[..., Any] | None = getattr(self.outlet.sink, "sweep", None)
        self.owes_sweep = True
        try:
            if sweep is not None:
                live = {str(r["stage"]) for r in self._ledger.live_receipts(self.outlet.name) if "stage" in r}
                sweep(live, over=True) if over else sweep(live)
        except Exception as error:  # noqa: BLE001 - nobody's payment depends on it
            self._unswept += 1
            self._sweep_again = self._clock.now() + next_wait(backoff, self._unswept, self._chance)
            if not isinstance(error, Retryable):
                code, why = described(error)
                log.warning("files nobody needs stay", extra={"code": code, "outlet": self.outlet.name, "why": why})
        else:
            self._swept, self.owes_sweep, self._unswept, self._sweep_again = tenure, False, 0, 0


def _untold(message: Message) -> Message:
    """Outlets do not report to batches: the route did when it sent."""
    if message.headers.sequence is None:
        return message
    return Message(msgspec.structs.replace(message.headers, sequence=None), message.body, message.properties)
