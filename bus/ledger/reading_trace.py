"""Where a transaction is, what it waits for, where it came from, what became of it: the facts behind ``bus trace``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from bus.ledger import reading_places as places
from bus.ledger.reading import Amount, Reading, moment
from bus.ledger.reading_history import Born, History, Hop, Match, merged
from bus.ledger.reading_places import Batch, Case, Outgoing, Where

_DEEP = 20
"""Releases that a message is followed through; more would be a loop of routes."""
_MOST = 20
_LEFT = ("filtered", "ended", "discarded")

QUIET = frozenset({"delivered", "answered", "filtered", "ended", "rejected", "discarded", "withdrawn"})
"""Kinds of :class:`Where` after which nothing more is to come."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file or message as it reached the bus."""

    message: str
    endpoint: str
    name: str
    size: int
    sha256: str
    at: datetime
    outcome: str
    """``accepted``, ``held``, ``released``, ``discarded`` or ``rejected``."""
    told: bool
    """The partner knows that it was taken (file moved, message acknowledged)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The message that was asked for."""

    message: str
    number: int
    correlation: str
    parent: str
    keys: tuple[tuple[str, str], ...]
    place: str
    worth: Amount | None
    copy: bool
    """A wire tap's or recipient list's copy of the message ``parent``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A later message that speaks of the same payment: status report, statement entry."""

    message: str
    key: str
    value: str
    file: str
    at: datetime
    where: Where


@dataclass(frozen=True, slots=True)
class Trace:
    """All of it. Lists are bounded; ``others`` names further messages that the same words find."""

    asked: str
    found_by: str
    subject: Subject
    where: Where
    finished: bool
    hops: tuple[Hop, ...]
    arrival: Arrival | None
    batch: Batch | None
    outgoing: tuple[Outgoing, ...]
    answers: tuple[Answer, ...]
    cases: tuple[Case, ...]
    others: tuple[Match, ...]


class Tracer:
    """Puts a trace together from many small queries.

    Args:
        reading: the ledger.
        now: milliseconds since 1970 UTC, to tell what is overdue.
    """

    def __init__(self, reading: Reading, now: int) -> None:
        self._reading = reading
        self._now = now
        self.history = History(reading)

    def trace(self, text: str) -> Trace | None:
        """The journey of what ``text`` names: an invoice, end-to-end id, file name, message or correlation id.

        Where several messages have the key, the payment that went out comes before what answers it, and what needs
        somebody before what is finished. None when nothing is found.

        Raises:
            Unavailable: the ledger does not answer.
        """
        firsts: dict[int, Match] = {}
        for match in self.history.find(text, most=_MOST):
            firsts.setdefault(match.number, match)
        traces = [found for match in firsts.values() if (found := self._followed(match.number, text, match.name))]
        if not traces:
            return None
        chosen = min(traces, key=_rank)
        answers = self._answers(chosen.subject, text)
        told = {chosen.subject.message, *(answer.message for answer in answers)}
        others = tuple(firsts[t.subject.number] for t in traces if t.subject.message not in told)
        return replace(chosen, answers=answers, others=others)

    def of_number(self, number: int) -> Trace | None:
        """The journey of a message by its ledger number."""
        return self._followed(number, str(number), "number") if number else None

    def where(self, number: int) -> Where | None:
        """Only where it is now."""
        hops = self.history.hops(number)
        return self._position(hops, _keys(hops), set())[0] if hops else None

    # ------------------------------------------------------------ the journey

    def _followed(self, number: int, asked: str, found_by: str) -> Trace | None:
        hops = self.history.hops(number)
        if not hops:
            return None
        first = hops[0]
        born = next((hop.born for hop in hops if hop.born is not None), Born("", "", (), None))
        where, chain = self._position(hops, _keys(hops), set())
        batch = places.batch_of(self._reading, first.message)
        releases = self._releases(batch)
        carriers = {hop.number: hop for hop in [*hops, *chain, *releases]}
        worth = born.worth
        if worth is None and first.outcome == "released" and first.groups:
            worth = places.worth_of_group(self._reading, first.groups[0])
        codes = None if where.kind == "split" else {hop.code for hop in [*hops, *chain] if hop.code}
        numbers = {w.case for w in (where, where.then) if w is not None and w.case is not None}
        copy = first.born is None and bool(first.parent) and first.outcome != "released"
        return Trace(
            asked=asked,
            found_by=found_by,
            subject=Subject(first.message, number, first.correlation, first.parent, born.keys, born.place, worth, copy),
            where=where,
            finished=where.kind in QUIET or (where.kind == "split" and not where.missing),
            hops=tuple(merged([*hops, *chain])),
            arrival=self._arrival(first.correlation) or self._arrival(first.parent),
            batch=places.batch_of(self._reading, first.parent) or batch,
            outgoing=tuple(out for n in sorted(carriers) for out in places.outgoing(self._reading, carriers[n])),
            answers=(),
            cases=tuple(places.cases_about(self._reading, first.correlation, codes, numbers)),
            others=(),
        )

    def _releases(self, batch: Batch | None) -> list[Hop]:
        """Of a file: the groups that its records went on in."""
        if batch is None:
            return []
        groups = places.groups_of(self._reading, batch.number)
        hops = (self.history.hops(group.message) for group in groups if group.message)
        return [found[0] for found in hops if found]

    def _arrival(self, identity: str) -> Arrival | None:
        row = self._reading.one(
            "SELECT id, endpoint, name, size, sha256, at, outcome, state FROM arrival WHERE id = ?", (identity,)
        )
        if row is None:
            return None
        message, endpoint, name, size, sha256, at, outcome, state = row
        return Arrival(message, endpoint, name, size, sha256, moment(at), outcome, state == "completed")

    def _answers(self, subject: Subject, asked: str) -> tuple[Answer, ...]:
        """Later messages with one of the subject's keys, that came in with another file."""
        found: dict[int, Answer] = {}
        values = {value for _, value in subject.keys} | {asked}
        for value in sorted(values):
            for match in self.history.find(value, most=_MOST) if not value.endswith("*") else []:
                if match.number <= subject.number or match.number in found:
                    continue
                hops = self.history.hops(match.number)
                if not hops or hops[0].correlation == subject.correlation or hops[0].outcome == "received":
                    continue
                arrival = self._arrival(hops[0].correlation)
                where, _ = self._position(hops, _keys(hops), set())
                name = arrival.name if arrival else ""
                found[match.number] = Answer(hops[0].message, match.name, match.value, name, hops[0].at, where)
        return tuple(found[number] for number in sorted(found))

    # ------------------------------------------------------------ where it is

    def _position(self, hops: list[Hop], keys: set[str], seen: set[int]) -> tuple[Where, list[Hop]]:
        """Where the message of these hops is, and the hops of what it became part of."""
        last = hops[-1]
        seen.add(last.number)
        if last.outcome == "joined":
            return self._in_group(last, keys, seen)
        if last.outcome == "rejected":
            return self._into_reject_file(last, seen)
        return self._resting(last, keys), []

    def _resting(self, last: Hop, keys: set[str]) -> Where:
        """The place of a message that did not become part of another one."""
        if last.outcome in places.WAITING:
            return places.WAITING[last.outcome](self._reading, last)
        if last.outcome == "delivered":
            return places.at_partner(self._reading, last, keys, self._now)
        if last.outcome == "split":
            if last.onward:
                return self._taken_back(places.unborn(self._reading, last), last) or places.queued(last)
            return places.taken_apart(self._reading, last)
        return _left(last) if last.outcome in _LEFT else places.queued(last)

    def _taken_back(self, where: Where | None, last: Hop) -> Where | None:
        """A record that never was: what became of its file."""
        if where is None or where.kind != "withdrawn":
            return where
        row = self._reading.one("SELECT number FROM arrival WHERE id = ?", (last.parent,))
        hops = self.history.hops(row[0]) if row is not None else []
        return replace(where, then=self._resting(hops[-1], set())) if hops else where

    def _in_group(self, last: Hop, keys: set[str], seen: set[int]) -> tuple[Where, list[Hop]]:
        """A member is in its open group, or where the message is that the group was released as."""
        group = places.group(self._reading, last.groups[-1]) if last.groups else None
        if group is None:
            return places.queued(last), []
        onward = self._onward(group.message, seen)
        if not onward:
            return places.gathering(group, last, places.batch_of(self._reading, last.parent)), []
        where, chain = self._position(onward, keys, seen)
        return where, [*onward, *chain]

    def _into_reject_file(self, last: Hop, seen: set[int]) -> tuple[Where, list[Hop]]:
        """A refused record, or a refused group of records, is told to the sender in the reject file of its batch."""
        where = _left(last)
        number = 0
        if last.groups:
            group = places.group(self._reading, last.groups[-1])
            number = group.message if group is not None else 0
        number = number or places.reject_file(self._reading, last.route, last.parent)
        onward = self._onward(number, seen)
        if not onward:
            return where, []
        then, chain = self._position(onward, set(), seen)
        return replace(where, then=then), [*onward, *chain]

    def _onward(self, number: int, seen: set[int]) -> list[Hop]:
        if not number or number in seen or len(seen) > _DEEP:
            return []
        return self.history.hops(number)


def _left(last: Hop) -> Where:
    return Where(last.outcome, last.place, last.at, code=last.code, reason=last.reason, step=last.step)


def _keys(hops: list[Hop]) -> set[str]:
    return {value for hop in hops if hop.born is not None for _, value in hop.born.keys}


def _rank(trace: Trace) -> tuple[bool, bool, bool, int]:
    """Payments that went out first, copies last, what waits for somebody before what is finished, the newest first."""
    registered = any(out.payments for out in trace.outgoing)
    return (not registered, trace.subject.copy, trace.finished, -trace.subject.number)
