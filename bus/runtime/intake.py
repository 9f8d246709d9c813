"""Takes what a source hands out into the bus: content to a durable blob, one commit, then the partner is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from bus.errors import BusError, ConfigError, Rejected, Retryable
from bus.message import Blob, Headers, Message, edge_id
from bus.ports import Broker, CaseNote, DescribedInbound, Inbound, Source
from bus.runtime.pipeline import CompiledRoute
from bus.runtime.retry import DOCUMENTS_AWAY, STORE_REFUSES, code_of, next_wait, resting
from bus.runtime.stores import Stores

T = TypeVar("T")
_AWAY = 5
"""So many arrivals in a row that fail mean that the partner is away, not that they are bad."""


class KnownArrival(Protocol):
    """An arrival whose partner has not been told yet."""

    id: str
    outcome: str


class Holdings(Protocol):
    """The leases of this process; see :class:`bus.ledger.leases.Holdings`."""

    def guard(self, tx: Any, name: str) -> None:
        """Refuse the transaction unless this process holds the lease."""

    def sure(self, name: str) -> bool:
        """Whether nobody else can have taken the lease meanwhile."""


class Ledger(Protocol):
    """What intake asks of the ledger."""

    @property
    def holdings(self) -> Holdings:
        """The leases of this process."""

    def commit(self, label: str, work: Callable[[Any], T]) -> T:
        """A durable transaction without channel rows."""

    def known_arrival(self, endpoint: str, sha256: str, facts: tuple[str, int, int]) -> tuple[KnownArrival | None, int]:
        """(the unfinished arrival that this is, how often the content is known)."""

    def seen_name(self, endpoint: str, facts: tuple[str, int, int]) -> bool:
        """True when (name, size, mtime) was completed before."""

    def took(self, endpoint: str, name: str) -> bool:
        """True when a thing of this name ever arrived."""

    def admit(self, tx: Any, message: Message, arrival: tuple[Any, ...], place: str, note: CaseNote | None) -> Message:
        """Store an arrival."""

    def arrival_done(self, tx: Any, arrival: str) -> None:
        """The partner has been told."""

    def all_told(self, tx: Any, endpoint: str) -> None:
        """Mark everything stored as told."""

    def open_case(self, tx: Any, note: CaseNote) -> None:
        """Open or count up a case."""


class Intake:
    """The receiving end of one route. One thread at a time.

    Args:
        route: gives the current compiled version.
        source: the endpoint.
        stores: channels, ledger, blobs, time.
    """

    def __init__(self, route: Callable[[], CompiledRoute], source: Source, stores: Stores) -> None:
        ledger: Ledger = stores.ledger
        self._route = route
        self._source = source
        self._broker: Broker = stores.broker
        self._ledger = ledger
        self._blobs = stores.blobs
        self._clock = stores.clock
        self._chance = stores.chance
        self._failures = self._fruitless = 0
        """How many looks had trouble, and how many of them took nothing in, one after the other."""
        self._told = False
        self.resting_until = 0
        endpoint = route().name
        if hasattr(source, "known"):
            source.known = lambda name, size, mtime: ledger.seen_name(endpoint, (name, size, mtime))
        if hasattr(source, "took"):
            source.took = lambda name: ledger.took(endpoint, name)

    def poll_once(self, most: int = 100) -> int:
        """Look at the source and admit what is ready; returns how many things were taken in.

        A partner that is away is left alone for a while; what is wrong with one arrival stops no other, and does not
        make the pauses longer as long as others come.
        """
        if resting(self.resting_until, self._clock.now(), self._route().spec.on_error.backoff):
            return 0
        count = 0
        trouble: BusError | None = None
        try:
            failed = 0
            for inbound in self._source.poll(most):
                try:
                    count += self._one(inbound)
                    failed = 0
                except Retryable as error:
                    trouble, failed = error, failed + 1
                    if failed == _AWAY:
                        break
            if trouble is None and not self._told and not count and not getattr(self._source, "unsure", False):
                self._all_told()
        except (Retryable, ConfigError) as error:
            trouble = error
        if trouble is None:
            self._failures = self._fruitless = 0
        else:
            self._told = False
            self._failures, self._fruitless = self._failures + 1, 1 if count else self._fruitless + 1
            self._rest(trouble)
        self._report_findings()
        return count

    def _all_told(self) -> None:
        """What is stored and not handed out any more was told to the partner: only its mark is missing.

        That happens when an owner died after the move, or when the answer to it was lost. Without this, the same file
        sent again on another day would be taken for the arrival that was never finished.
        """
        name = self._route().name

        def work(tx: Any) -> None:
            self._ledger.holdings.guard(tx, f"source {name}")  # else it may be another's arrival, not told yet
            self._ledger.all_told(tx, name)

        self._ledger.commit("told", work)
        self._told = True

    def _one(self, inbound: Inbound) -> int:
        try:
            with self._blobs.create() as writer:
                inbound.fetch(cast("BinaryIO", writer))
        except Rejected as error:
            self._refuse(inbound, error)
            return 1
        except Retryable:
            self._give_back(inbound)
            raise
        self.admit(inbound, writer.blob)
        return 1

    def admit(self, inbound: Inbound, blob: Blob) -> None:
        """Commit an arrival, then tell the partner, then remember that he knows.

        A file that is still there is the one whose move was not finished. Of a message without an id that cannot be
        told: what a broker hands out again may as well be an equal one that was waiting behind it, and is no duplicate.
        """
        route = self._route()
        identity = inbound.identity or blob.sha256
        facts = (inbound.name, *inbound.facts)
        own = inbound.identity is not None
        try:
            unfinished, known = self._ledger.known_arrival(route.name, identity, facts)
            if unfinished is not None and (own or not isinstance(inbound, DescribedInbound)):
                arrival = unfinished.id
            elif known and own and self._ledger.seen_name(route.name, facts):
                arrival = edge_id(route.name, identity, "0")  # a redelivery under the partner's own unique id
            else:
                arrival = self._store(inbound, blob, route, (identity, known))
        except Retryable:  # the store refuses: whether it was kept or not, the same thing comes again and is known
            self._give_back(inbound)
            raise
        inbound.complete("done", arrival[:8])
        self._ledger.commit("completed", lambda tx: self._ledger.arrival_done(tx, arrival))

    def _give_back(self, inbound: Inbound) -> None:
        """Who was cut off leaves it claimed: another may have taken it over, and it would look like a new arrival."""
        if self._ledger.holdings.sure(f"source {self._route().name}"):
            inbound.abandon()

    def _store(self, inbound: Inbound, blob: Blob, route: CompiledRoute, content: tuple[str, int]) -> str:
        identity, known = content
        arrival = edge_id(route.name, identity, str(known))
        spec = route.spec
        told = inbound if isinstance(inbound, DescribedInbound) else None
        headers = Headers(
            arrival,
            arrival,
            version=route.version,
            name=inbound.name,
            content_type=told.content_type if told else "application/octet-stream",
            expires_at=self._clock.now() + spec.expires_after if spec.expires_after else 0,
        )
        message = Message(headers, blob, {"name": inbound.name, **(told.properties if told else {})})
        code, reason, summary = _doubt(inbound, known, spec.duplicates)
        hold = bool(code)
        note = None
        if hold:
            context = {"file": inbound.name, "message": arrival, "sha256": blob.sha256}
            mark = f"{route.name}:{code}:{arrival}"
            note = CaseNote(code, summary, route.name, spec.owner, mark, 0, arrival, context)
        row = (route.name, identity, known, inbound.name, *inbound.facts, "held" if hold else "accepted", code, reason)

        def work(tx: Any) -> list[tuple[str, Message]]:
            self._ledger.holdings.guard(tx, f"source {route.name}")  # who was frozen too long takes nothing in
            numbered = self._ledger.admit(tx, message, row, route.name, note)
            return [] if hold else [(route.name, numbered)]

        self._broker.transact("admit", work)
        return arrival

    def _refuse(self, inbound: Inbound, error: Rejected) -> None:
        """Not even taken in (too big, hostile): a case first, then into the partner's failed folder, whole."""
        note = self._note(error, f"{inbound.name}:{inbound.facts}", {"file": inbound.name})
        self._ledger.commit("refuse", lambda tx: self._ledger.open_case(tx, note))
        inbound.complete("failed", edge_id(self._route().name, inbound.name, str(inbound.facts))[:8])

    def _rest(self, error: BusError) -> None:
        policy = self._route().spec.on_error
        # It is not the partner who must be spared when the house itself took nothing in.
        own = code_of(error) in STORE_REFUSES or code_of(error) == DOCUMENTS_AWAY
        times = min(self._fruitless, policy.attempts) if own else self._fruitless
        wait = next_wait(policy.backoff, times, self._chance)
        self.resting_until = self._clock.now() + wait
        if isinstance(error, ConfigError) or self._failures == policy.attempts:
            note = self._note(error, "source", {})
            self._open(note)

    def _report_findings(self) -> None:
        """Names that must not be touched, told by the source: one case each."""
        findings = getattr(self._source, "findings", None)
        while findings:
            finding = findings.pop(0)
            note = self._note(Rejected(finding.code, finding.message), finding.place, {"file": finding.place})
            self._open(note)

    def _note(self, error: BusError, mark: str, context: dict[str, Any]) -> CaseNote:
        route = self._route()
        return CaseNote(
            error.code, error.message, route.name, route.spec.owner, f"{route.name}:{error.code}:{mark}", 0, "", context
        )

    def _open(self, note: CaseNote) -> None:
        self._ledger.commit("case", lambda tx: self._ledger.open_case(tx, note))

    def close(self) -> None:
        """Disconnect."""
        self._source.close()


def _doubt(inbound: Inbound, known: int, duplicates: str) -> tuple[str, str, str]:
    """(code, reason, summary of the case) of an arrival that waits for a person; empty for one that may run."""
    refused: Rejected | None = getattr(inbound, "refused", None)
    if refused is not None:
        return refused.code, refused.message, refused.message
    if not known:
        return "", "", ""
    if inbound.identity is not None:
        reason = "a message with the same identity and another content arrived before"
        return "NET259", reason, reason
    if duplicates != "hold":
        return "", "", ""
    reason = f"the same content arrived {'once' if known == 1 else f'{known} times'} before"
    return "DUP101", reason, f"suspected duplicate: {reason}"
