"""The ledger of the bus: applies settlements, answers what steps and the engine ask; one for every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from bus.errors import Retryable
from bus.ledger import batches, cases, edges, gatherings, history, instructions, locks, versions, waiting
from bus.ledger.history import Stamp
from bus.ledger.leases import Holdings
from bus.message import Group, Hold, Message, Remember, Sequence, salvage
from bus.ports import CaseNote, Chunk, Clock, Cursor, Event, Receipt, Settlement, Store

T = TypeVar("T")
Puts = list[tuple[str, Message]]


class Ledger:
    """Message Store and Message History (EIP) in one database. Thread-safe; reads see committed state only.

    Where other processes write the same store, whatever is read and then changed is locked by name first. A commit
    takes its locks in one go and in one order, so that two of them do not wait for each other.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.read = store.read
        self.owner_of: Callable[[str], str] = lambda _place: ""
        """Who gets the cases of a route or outlet; the landscape knows."""
        self.epoch = self.next_epoch()
        self.holdings = Holdings(store, f"process {self.epoch}")

    # ------------------------------------------------------------ settlements

    def apply(self, tx: Any, settlement: Settlement) -> None:
        """Write everything a settlement says but its channel rows; adds released groups to ``settlement.puts``."""
        now = self.clock.now()
        if self.store.shared:
            self.store.lock(tx, locks.of_settlement(settlement))
        numbered = self._number(tx, settlement, now)
        self._facts(tx, settlement, numbered, now)
        self._keep(tx, settlement, now)
        joined = self._gather(tx, settlement, now)
        for sink, unit, message, receipt in settlement.outbound:
            state = str(receipt.get("state", "delivered"))
            edges.set_outbound(tx, (unit, sink, message.headers.number), state, receipt, now)
        events = settlement.events
        if numbered:
            events = [_renumbered(event, numbered) for event in events]
        stamp = Stamp(settlement.place, settlement.version, now)
        history.write(self.store, tx, stamp, history.hops(events, joined), settlement.tally)

    def _facts(self, tx: Any, settlement: Settlement, numbered: dict[str, Message], now: int) -> None:
        """What steps asked to be remembered; a conflict with another unit shows here, before all else is written."""
        for remember in settlement.remembers:
            instructions.remember(tx, remember, now)
        for register, message in settlement.registers:
            headers = numbered.get(message.headers.id, message).headers
            about = (headers.number, headers.correlation_id, _route(settlement.place))
            instructions.register(tx, register, about, now)
        for move in settlement.progress:
            instructions.progress(tx, move, now)
        for note in settlement.cases:
            self._case(tx, note, now)

    def _keep(self, tx: Any, settlement: Settlement, now: int) -> None:
        """Messages that stay here for now: held, dead, deferred, waiting for their predecessor."""
        for hold, channel, note in settlement.holds:
            waiting.hold(tx, hold, channel, self._case(tx, note, now) if note else None, now)
        for channel, message, reason in settlement.dead:
            waiting.bury(tx, channel, message, reason, self._case(tx, reason, now), now)
            if not settlement.apart:
                edges.arrival_outcome(tx, message.headers.id, "rejected")
        if settlement.deferred:
            waiting.defer(tx, settlement.deferred)
        if (settlement.line or settlement.lined) and not waiting.line_up(
            tx, settlement.place, settlement.line, settlement.lined
        ):
            raise Retryable("SYS122", "another process has settled this already", hint="nothing: it is done")
        for resequence, channel in settlement.resequences:
            settlement.puts.extend(waiting.resequence(tx, resequence, channel, now))

    def _gather(self, tx: Any, settlement: Settlement, now: int) -> history.Joined:
        """Aggregates and batches: joins first, so that the last report finds every member in its group."""
        opened, closed = settlement.open_batches, settlement.closed_groups
        if not (settlement.joins or settlement.reports or settlement.discards or opened or closed):
            return history.NOBODY
        route = _route(settlement.place)
        released, joined = gatherings.join(tx, route, settlement.joins, now)
        complete = [batch for batch, outcomes in settlement.reports.items() if batches.report(tx, batch, outcomes)]
        for cursor in settlement.discards:
            self.store.add_tally(tx, settlement.place, now, batches.discard(tx, cursor))
        complete += [cursor.batch for cursor in opened if batches.open_batch(tx, cursor.batch)]
        for batch in complete:
            problem = batches.complete(tx, batch)
            if problem is not None:
                self.open_case(tx, _breach(route, batch, problem))
            released.extend(gatherings.release(tx, group, now) for group in gatherings.of_batch(tx, batch))
        for group in closed:
            gatherings.close(tx, group)
        settlement.puts.extend(self._announce_releases(tx, released, now))
        return joined

    def _announce_releases(self, tx: Any, released: Puts, now: int) -> Puts:
        """Number released groups and write the first line of their history."""
        if not released:
            return []
        first = self.store.numbers(tx, len(released))
        out: Puts = []
        for n, (channel, message) in enumerate(released):
            numbered = message.with_headers(number=first + n)
            out.append((channel, numbered))
            headers = numbered.headers
            group: int = numbered.body.number
            gatherings.announced(tx, group, headers.number)
            event = Event(numbered, "released", outputs=((channel, numbered),))
            items = history.hops([event], {headers.id: [group]})
            history.write(self.store, tx, Stamp(channel, headers.version, now), items)
            history.write_keys(tx, [(headers.id, "message", headers.number)])
        return out

    def _number(self, tx: Any, settlement: Settlement, now: int) -> dict[str, Message]:
        """Give new messages (copies, wire taps) their number, first commit time and key index; by message id."""
        new = [message for _, message in settlement.puts if not message.headers.number]
        if settlement.joins or settlement.holds or settlement.resequences:
            stay = [j.message for j, _ in settlement.joins]
            stay += [h.message for h, _, _ in settlement.holds]
            stay += [r.message for r, _ in settlement.resequences]
            new += [message for message in stay if not message.headers.number]
        if not new:
            return {}
        fresh = {message.headers.id: message for message in new}
        first = self.store.numbers(tx, len(fresh))
        for n, (identity, message) in enumerate(list(fresh.items())):
            fresh[identity] = _with_number(message, first + n, now)
        settlement.puts[:] = [(ch, fresh.get(m.headers.id, m)) for ch, m in settlement.puts]
        settlement.joins[:] = [(_carrying(j, fresh), rule) for j, rule in settlement.joins]
        settlement.holds[:] = [(_carrying(h, fresh), ch, note) for h, ch, note in settlement.holds]
        settlement.resequences[:] = [(_carrying(r, fresh), ch) for r, ch in settlement.resequences]
        keys = [(v, k, m.headers.number) for m in fresh.values() for k, v in m.headers.keys]
        history.write_keys(tx, keys)
        return fresh

    # ------------------------------------------------------------ batches

    def cursor(self, parent_id: str, step: str) -> Cursor | None:
        """Where an interrupted split of this parent stands."""
        rows = self.read(
            "SELECT id, lane, next_index FROM batch WHERE parent_id = ? AND step = ? AND state = 'loading'",
            (parent_id, step),
        )
        return Cursor(*rows[0]) if rows else None

    def unfinished(self, tx: Any, parent_id: str) -> list[Cursor]:
        """Splits of a message that were begun and not opened."""
        return batches.unfinished(tx, parent_id)

    def begin_batch(self, tx: Any, chunk: Chunk, lane: int) -> Cursor:
        """Book the beginning of a split."""
        headers = chunk.parent.headers
        cursor = Cursor(self.store.serial(tx, "batch"), lane, 0)
        batches.begin(tx, cursor, (headers.id, headers.number), (chunk.step, headers.version), self.clock.now())
        return cursor

    def add_children(self, tx: Any, chunk: Chunk, cursor: Cursor) -> list[Message]:
        """Number a chunk's children, index their keys, write their birth into the history, book refused parts."""
        now = self.clock.now()
        settlement = chunk.settlement
        if self.store.shared:
            self.store.lock(tx, locks.of_settlement(settlement))
        first = self.store.numbers(tx, max(chunk.count, 1))
        place = {"first": first, "batch": cursor.batch, "from": cursor.next_index, "now": now}
        children = [_born(child, place) for child in chunk.children]
        settlement.joins[:] = [
            (msgspec.structs.replace(j, message=_born(j.message, place)), rule) for j, rule in settlement.joins
        ]
        everyone = [*children, *(j.message for j, _ in settlement.joins)]
        history.write_keys(tx, [(v, k, m.headers.number) for m in everyone for k, v in m.headers.keys])
        births = [Event(m, "split", chunk.step, outputs=((chunk.channel, m),)) for m in children]
        refused = [Event(_born(e.message, place), e.outcome, e.step, e.code, e.reason) for e in settlement.events]
        events = sorted(births + refused, key=lambda e: e.message.headers.number)
        _, joined = gatherings.join(tx, _route(settlement.place), settlement.joins, now)
        stamp = Stamp(settlement.place, settlement.version, now)
        history.write(self.store, tx, stamp, history.births(events, joined))
        for note in settlement.cases:
            self._case(tx, note, now)
        self.store.add_tally(tx, settlement.place, now, chunk.money)
        self.store.add_tally(tx, settlement.place, now, settlement.tally)
        batches.advance(tx, cursor, chunk.count, chunk.money, chunk.refused)
        return children

    # ------------------------------------------------------------ what steps may ask (bus.ports.Reader)

    def members(self, group: Group) -> Iterator[Message]:
        """The members of a released group in their order, lazily."""
        return gatherings.members(self.read, group)

    def recall(self, scope: str, key: str) -> str | None:
        """Value remembered under (scope, key), or None."""
        return instructions.recall(self.read, scope, key, self.clock.now())

    def instructions(self, where: dict[str, str]) -> list[dict[str, Any]]:
        """Registered instructions that match all given fields."""
        return instructions.find(self.read, where)

    # ------------------------------------------------------------ edges

    def known_arrival(
        self, endpoint: str, sha256: str, facts: tuple[str, int, int]
    ) -> tuple[edges.Arrival | None, int]:
        """(the unfinished arrival that this is, how often the content is known)."""
        return edges.known_arrival(self.read, endpoint, sha256, facts)

    def seen_name(self, endpoint: str, facts: tuple[str, int, int]) -> bool:
        """True when (name, size, mtime) was completed before."""
        return edges.seen_name(self.read, endpoint, facts)

    def took(self, endpoint: str, name: str) -> bool:
        """True when a thing of this name ever arrived at an endpoint."""
        return edges.took(self.read, endpoint, name)

    def admit(self, tx: Any, message: Message, arrival: tuple[Any, ...], place: str, note: CaseNote | None) -> Message:
        """Store an arrival; arrival = (endpoint, sha256, n, name, size, mtime, outcome, code, reason)."""
        now = self.clock.now()
        endpoint, sha256, n, name, size, mtime, outcome, code, reason = arrival
        number = self.store.numbers(tx, 1)
        numbered = _with_number(message, number, now)
        headers = numbered.headers
        edges.arrive(tx, (headers.id, endpoint, sha256, n, name, size, mtime, number, "stored", outcome, now))
        keys = [(headers.id, "message", number), (name, "file", number)]
        history.write_keys(tx, keys + [(v, k, number) for k, v in headers.keys])
        event = Event(
            numbered,
            "held" if outcome == "held" else "received" if outcome == "accepted" else "rejected",
            "",
            code,
            reason,
        )
        tally = {(event.outcome, ""): (1, Decimal(0))}
        history.write(self.store, tx, Stamp(place, headers.version, now), history.births([event]), tally)
        if note is not None:
            self.store.lock(tx, [locks.of_case(note)])
            case_id = self._case(tx, msgspec.structs.replace(note, number=number), now)
            if outcome == "held":
                waiting.hold(tx, Hold(numbered, code, reason), place, case_id, now)
        return numbered

    def open_case(self, tx: Any, note: CaseNote) -> None:
        """Open or count up a case."""
        self.store.lock(tx, [locks.of_case(note)])
        self._case(tx, note, self.clock.now())

    def _case(self, tx: Any, note: CaseNote, now: int) -> int:
        """Number of the case that is opened or counted up; it is never nobody's where somebody owns its place."""
        owned = note if note.owner else msgspec.structs.replace(note, owner=self.owner_of(note.route))
        return cases.open_case(tx, owned, now)

    def arrival_done(self, tx: Any, arrival: str) -> None:
        """The partner has been told."""
        edges.arrival_done(tx, arrival)

    def all_told(self, tx: Any, endpoint: str) -> None:
        """Mark everything stored as told to the partner."""
        edges.all_told(tx, endpoint)

    def outbound_state(self, unit: str, sink: str) -> tuple[str, Receipt] | None:
        """How far the effect of a unit at a sink has come, with its receipt."""
        return edges.outbound_state(self.read, unit, sink)

    def live_receipts(self, sink: str) -> list[Receipt]:
        """Receipts of unfinished effects."""
        return edges.live_receipts(self.read, sink)

    def commit(self, label: str, work: Callable[[Any], T]) -> T:
        """A durable transaction without channel rows."""
        return self.store.commit(label, work)

    # ------------------------------------------------------------ time

    def collect_due(self, tx: Any, most: int) -> Puts:
        """Everything whose time has come: attempts, holds, groups, gaps."""
        now = self.clock.now()
        self.store.lock(tx, ["due"])
        puts = waiting.take_due(tx, now, most) + waiting.take_held_due(tx, now, most)
        groups = gatherings.due(tx, now, most)
        if self.store.shared and groups:
            self.store.lock(tx, locks.of_groups(tx, groups))
            groups = [group for group in gatherings.due(tx, now, most) if group in groups]
        released = [gatherings.release(tx, group, now) for group in groups]
        puts.extend(self._announce_releases(tx, released, now))
        if self.store.shared:
            self.store.lock(tx, locks.of_streams(tx, now))
        for (step, key, missing, _version), gone in waiting.skip_gaps(tx, now):
            channel = gone[0][0]
            note = CaseNote(
                "SEQ101",
                f"number {missing} never came, later ones went on",
                _route(channel),
                "",
                f"gap:{channel}:{step}:{key}:{missing}",
                context={"step": step, "key": key, "number": missing},
            )
            self.open_case(tx, note)
            puts.extend(gone)
        return puts

    def next_due(self) -> int:
        """When :meth:`collect_due` would find something (milliseconds since 1970 UTC); 0 = nothing waits for a time."""
        sql = (
            "SELECT min(due) FROM (SELECT min(due) AS due FROM deferred WHERE line = '' "
            "UNION ALL SELECT min(until) FROM held WHERE until > 0 "
            "UNION ALL SELECT min(due) FROM gathering WHERE state = 'open' AND due > 0 "
            "UNION ALL SELECT min(due) FROM resequencing WHERE due > 0) AS waits"
        )
        return int(self.read(sql)[0][0] or 0)

    def bring_forward(self, longest: int) -> int:
        """Let run what waits longer for its next attempt than any may (milliseconds): the clock was set back since."""
        now = self.clock.now()
        sql = "SELECT EXISTS (SELECT 1 FROM deferred WHERE due > ?)"
        if not self.read(sql, (now + longest,))[0][0]:
            return 0

        def work(tx: Any) -> int:
            self.store.lock(tx, ["due"])
            return waiting.bring_forward(tx, now, longest)

        return self.commit("due", work)

    def line_heads(self, channel: str, most: int) -> list[tuple[int, Message]]:
        """What stands at the head of a line of the channel and may run now: (row, message)."""
        return waiting.heads(self.read, channel, self.clock.now(), most)

    def lines(self, channel: str) -> dict[str, int]:
        """The lines of a channel in which somebody stands: line -> when its first runs again."""
        return waiting.lines(self.read, channel)

    def lined_channels(self) -> set[str]:
        """Channels in which somebody stands in a line."""
        return {row[0] for row in self.read("SELECT DISTINCT channel FROM deferred WHERE line <> ''")}

    def lines_due(self) -> set[str]:
        """Channels in which somebody who stands in a line may run now."""
        sql = "SELECT DISTINCT channel FROM deferred WHERE line <> '' AND due <= ?"
        return {row[0] for row in self.read(sql, (self.clock.now(),))}

    def held_with_predicate(self, after: int, most: int) -> list[tuple[int, str, str, Message]]:
        """Held messages behind the one numbered ``after`` that a predicate may release: (id, channel, it, message)."""
        sql = "SELECT id, channel, predicate, payload FROM held WHERE predicate <> '' AND id > ? ORDER BY id LIMIT ?"
        return [(*row[:3], salvage(row[3])) for row in self.read(sql, (after, most))]

    def take_held(self, tx: Any, held: int) -> Puts:
        """Remove one held message whose predicate lets it go."""
        return waiting.take_held(tx, held, self.clock.now())

    def sweep(self, most: int = 2000) -> int:
        """Housekeeping in small commits; returns how many rows went."""
        now = self.clock.now()
        sql = (
            "SELECT EXISTS (SELECT 1 FROM gathering WHERE state = 'done') "
            "OR EXISTS (SELECT 1 FROM remembered WHERE until > 0 AND until <= ?)"
        )
        if not self.read(sql, (now,))[0][0]:
            return 0
        return self.commit("sweep", lambda tx: gatherings.sweep(tx, most) + instructions.forget_expired(tx, now, most))

    # ------------------------------------------------------------ expectations

    def last_arrival(self, endpoint: str) -> int:
        """When something last arrived at an endpoint, 0 = never."""
        return edges.last_arrival(self.read, endpoint)

    def first_used(self, route: str) -> int:
        """When the first version of a route came into use, 0 = never."""
        return versions.first_used(self.read, route)

    def unanswered(self) -> list[tuple[str, str, str, int, int]]:
        """(partner, message id, route, count, deadline) of files whose answer is overdue."""
        return instructions.unanswered(self.read, self.clock.now())

    def missed(self, note: CaseNote, remember: tuple[str, str]) -> None:
        """Open a case once for (scope, key), however many looked at the same time."""

        def work(tx: Any) -> None:
            self.store.lock(tx, [locks.of_case(note)])
            if not tx.execute("SELECT 1 FROM remembered WHERE scope = ? AND key = ?", remember).fetchall():
                instructions.remember(tx, Remember(*remember, "told"), self.clock.now())
                self.open_case(tx, note)

        self.commit("case", work)

    def answer_missed(self, note: CaseNote, message_id: str) -> None:
        """Open a case and stop watching the file's instructions."""

        def work(tx: Any) -> None:
            if instructions.stop_watching(tx, message_id):  # else somebody else has told it meanwhile
                self.open_case(tx, note)

        self.commit("case", work)

    # ------------------------------------------------------------ versions

    def store_version(self, route: str, digest: str, sources: dict[str, str]) -> int:
        """Number of a route version, stored with its texts."""

        def work(tx: Any) -> int:
            self.store.lock(tx, ["version"])
            return versions.store_version(tx, route, digest, sources, self.clock.now())

        return self.commit("version", work)

    def load_version(self, number: int) -> tuple[str, str, dict[str, str]] | None:
        """(route, hash, texts) of a version."""
        return versions.load_version(self.read, number)

    def route_states(self) -> dict[str, str]:
        """State of every route that was ever paused or drained."""
        return versions.route_states(self.read)

    def outputs_held(self) -> bool:
        """Whether the ledger was restored from a backup and nobody has let its outputs go yet."""
        return versions.outputs_held(self.read)

    def release_outputs(self, tx: Any) -> bool:
        """Let outputs go; false when they are not held."""
        sql = "UPDATE meta SET value = 0 WHERE key = 'hold_outputs' AND value = 1 RETURNING 1"
        return bool(tx.execute(sql).fetchall())

    def next_epoch(self) -> int:
        """A new number for an owner of the store; ``epoch`` is the one of this process."""
        return self.commit("epoch", versions.next_epoch)


def _route(place: str) -> str:
    return place.partition("#")[0]


def _with_number(message: Message, number: int, now: int) -> Message:
    return message.with_headers(number=number, created_at=message.headers.created_at or now)


def _carrying(wish: Any, fresh: dict[str, Message]) -> Any:
    """A Join, Hold or Resequence with its message numbered."""
    message = fresh.get(wish.message.headers.id)
    return wish if message is None else msgspec.structs.replace(wish, message=message)


def _renumbered(event: Event, fresh: dict[str, Message]) -> Event:
    outputs = tuple((channel, fresh.get(m.headers.id, m)) for channel, m in event.outputs)
    return msgspec.structs.replace(event, outputs=outputs, message=fresh.get(event.message.headers.id, event.message))


def _born(child: Message, place: dict[str, int]) -> Message:
    """A child with its number and its place in the batch; its index tells which number it gets."""
    sequence = child.headers.sequence
    index = sequence.index if sequence else place["from"]
    return child.with_headers(
        number=place["first"] + index - place["from"],
        created_at=place["now"],
        sequence=Sequence(place["batch"], index, sequence.reported if sequence else False),
    )


def _breach(route: str, batch: int, problem: str) -> CaseNote:
    return CaseNote("INT131", f"money is not conserved in batch {batch}: {problem}", route, "", f"conservation:{batch}")
