"""Durable channels inside the ledger's own database: taking, sending and the ledger's rows are one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from bus.errors import Rejected
from bus.message import NULL_ID, Message, Sequence, decode, salvage, sealed
from bus.ports import Chunk, Cursor, Delivery, Settlement, Store, Transaction

SHIFT = 35  # 34 billion positions a lane, 268 million lanes
_PURGE = 5_000
_AHEAD = 16
"""Messages that are read at once where few are taken at once …"""
_AHEAD_BYTES = 65_536
"""… as long as they are about so small together."""


Rows = list[tuple[int, bytes]]
"""(position, stored form) of messages on a channel."""


class Book(Protocol):
    """The ledger's side of a commit."""

    def apply(self, tx: Any, settlement: Settlement) -> None:
        """Write everything but the channel rows; may add to ``settlement.puts`` (released groups)."""

    def unfinished(self, tx: Any, parent_id: str) -> list[Cursor]:
        """Splits of a message that were begun and not opened."""

    def begin_batch(self, tx: Any, chunk: Chunk, lane: int) -> Cursor:
        """Book the beginning of a split."""

    def add_children(self, tx: Any, chunk: Chunk, cursor: Cursor) -> list[Message]:
        """Book a chunk; the children come back numbered."""


class Channel:
    """What memory knows of one channel; the rows themselves are only on disk."""

    __slots__ = ("ahead", "asked", "fit", "lanes", "last", "main", "next")

    def __init__(self, main: int, position: int) -> None:
        self.main = main
        self.next = position
        self.lanes: list[int] | None = None
        self.asked = 0
        """How often the lanes changed; what was read before the last change is not kept."""
        self.last = 0
        self.ahead: Rows = []
        """The oldest rows of a lane on disk, for the next takes; forgotten before one of them is taken away …"""
        self.fit = 1
        """… and how many of them to read."""


class StoreBroker:
    """Channels of the embedded bus. Thread-safe; one taker at a time per channel is the caller's duty.

    All channels that were ever declared in this store are there from the beginning: a message may still wait for its
    time, or for a person, that goes on in a step or a route which is no longer in the landscape.

    Args:
        store: the transactions.
        book: the ledger.
        ready: called with the names of channels that got messages, after the commit.
    """

    def __init__(self, store: Store, book: Book, ready: Callable[[set[str]], None] = lambda _names: None) -> None:
        self._store = store
        self._book = book
        self.ready = ready
        self.encode: Callable[[Message], bytes] = sealed
        """Makes the stored form of what is put on a channel; another one where this is the outbox of another broker."""
        self.fits: Callable[[str, int], None] = lambda _channel, _size: None
        """Refuses what a unit sends when it has too many bytes for where the channel is."""
        self._channels: dict[str, Channel] = {}
        self._alias: dict[str, str] = {}
        self._lock = threading.Lock()
        self._declaring = threading.Lock()
        self._serial: frozenset[str] = frozenset()
        self.declare(row[0] for row in store.read("SELECT channel FROM lane WHERE state = 'main' ORDER BY id"))

    def declare(self, channels: Iterable[str]) -> None:
        """Make channels exist (their main lane). Idempotent, durable."""
        with self._declaring:
            missing = [name for name in channels if name not in self._channels]
            if missing:
                self._declare(missing)

    def _declare(self, missing: list[str]) -> None:

        def work(tx: Transaction) -> dict[str, int]:
            lanes: dict[str, int] = {}
            self._store.lock(tx, ["lanes"])
            for name in missing:
                row = tx.execute("SELECT id FROM lane WHERE channel = ? AND state = 'main'", (name,)).fetchone()
                lanes[name] = row[0] if row else self._new_lane(tx, name, "main")
            return lanes

        for name, lane in self._store.commit("declare", work).items():
            self._channels[name] = Channel(lane, self._end(lane))

    def reserve(self, channels: Iterable[str]) -> None:
        """Name the channels that one process at a time may take from: the outlets."""

    def keep_order(self, channels: Iterable[str]) -> None:
        """Name channels that one process at a time takes from, message after message, file after file."""
        self._serial = self._serial.union(channels)

    def in_order(self, channel: str) -> bool:
        """Whether :meth:`keep_order` named it."""
        return channel in self._serial

    def share(self, channel: str) -> None:
        """Between two batches: let another process have the channel if this one has more than its share."""

    def look_around(self) -> None:
        """Wake what other processes have work for; here there are none."""

    def may_take(self, channel: str) -> bool:
        """Whether this process is the one to take from a channel; alone, it is of all."""
        del channel
        return True

    def tenure(self, channel: str) -> int:
        """Alone, it is the only one for ever."""
        del channel
        return 0

    def alias(self, names: dict[str, str]) -> None:
        """Other names under which channels are sent to (``from: {channel: …}`` of a route)."""
        self._alias = names

    def real(self, name: str) -> str:
        """The name of the channel that is sent to under ``name``."""
        return self._alias.get(name, name)

    def _end(self, lane: int) -> int:
        last = self._store.read("SELECT max(id) FROM queued WHERE id >= ? AND id < ?", lane_range(lane))[0][0]
        return (last + 1) if last is not None else lane << SHIFT

    def take(self, channel: str, most: int) -> list[Delivery]:
        """The oldest messages of one lane of the channel; lanes (files) take turns so that none starves."""
        state = self._channels[channel]
        for lane in self._turns(channel, state):
            rows = self._rows(channel, lane, most)
            if rows:
                state.last = 0 if channel in self._serial else lane
                try:
                    return [Delivery(channel, position, decode(payload)) for position, payload in rows]
                except Rejected:  # one of them is damaged
                    return [Delivery(channel, position, self._read(lane, payload)) for position, payload in rows]
        return []

    def _rows(self, channel: str, lane: int, most: int) -> Rows:
        """The oldest messages of a lane.

        Nobody else takes them away here, so where few are taken at once some more are read and known the next time.
        """
        if most > _AHEAD // 4:
            return self._oldest(lane, most)
        state = self._channels[channel]
        rows = state.ahead
        if len(rows) < most or rows[0][0] >> SHIFT != lane:
            rows = state.ahead = self._oldest(lane, max(most, state.fit))
            largest = max((len(payload) for _, payload in rows), default=_AHEAD_BYTES)
            state.fit = min(_AHEAD, _AHEAD_BYTES // max(largest, 1))
        return rows[:most]

    def _oldest(self, lane: int, most: int) -> Rows:
        sql = "SELECT id, payload FROM queued WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        return self._store.read_own(sql, (*lane_range(lane), most))

    def _read(self, lane: int, payload: bytes) -> Message:
        """A damaged child still belongs to the batch of its lane, which would wait for its report for ever."""
        message = salvage(payload)
        if message.headers.id != NULL_ID:
            return message
        batch = self._store.read("SELECT id FROM batch WHERE lane = ? AND state = 'open'", (lane,))
        return message.with_headers(sequence=Sequence(batch[0][0], 0)) if batch else message

    def _turns(self, channel: str, state: Channel) -> list[int]:
        lanes = state.lanes
        if lanes is None:
            asked = state.asked
            sql = "SELECT id FROM lane WHERE channel = ? AND state IN ('main', 'open') ORDER BY id"
            lanes = [row[0] for row in self._store.read(sql, (channel,))]
            with self._lock:
                if state.asked == asked:  # else a lane was opened while we looked
                    state.lanes = lanes
        if len(lanes) == 1:
            return lanes
        later = [lane for lane in lanes if lane > state.last]
        return later + [lane for lane in lanes if lane <= state.last]

    def settle(self, deliveries: list[Delivery], settlement: Settlement, label: str = "segment") -> None:
        """One commit: take the input away, write the ledger's rows, send the output."""
        state = self._channels.get(deliveries[0].channel) if deliveries else None
        ahead = state.ahead if state is not None else []
        self.settle_with(settlement, label, self.taking(deliveries))
        count = len(deliveries)
        if state is not None and len(ahead) > count and ahead[count - 1][0] == deliveries[-1].position:
            state.ahead = ahead[count:]

    def taking(self, deliveries: list[Delivery]) -> Callable[[Transaction], None]:
        """What takes deliveries away inside a commit."""
        return lambda tx: self._remove(tx, deliveries) if deliveries else None

    def settle_with(
        self, settlement: Settlement, label: str, take: Callable[[Transaction], None], own: int = 0
    ) -> None:
        """As :meth:`settle`, for input that is taken away in another way; the first ``own`` that it sends must fit."""

        def work(tx: Transaction) -> set[str]:
            self._begin(tx, settlement)
            take(tx)
            opened = {self._open_lane(tx, cursor.lane) for cursor in settlement.open_batches}
            if (settlement.dead or settlement.discards) and not settlement.apart:
                buried = [c for _, message, _ in settlement.dead for c in self._book.unfinished(tx, message.headers.id)]
                settlement.discards[:] = {c.batch: c for c in [*settlement.discards, *buried]}.values()
            for cursor in settlement.discards:
                tx.execute("UPDATE lane SET state = 'dead' WHERE id = ?", (cursor.lane,))
            self._book.apply(tx, settlement)
            return opened | self._put(tx, settlement.puts, own)

        self._announce(self._store.commit(label, work), lanes=bool(settlement.open_batches))

    def _begin(self, tx: Transaction, settlement: Settlement) -> None:
        """Refuse what this process may not settle; alone, it may settle everything."""

    def _remove(self, tx: Transaction, deliveries: list[Delivery]) -> None:
        """Rows that were taken together stand together: nothing is ever inserted between them."""
        self._channels[deliveries[0].channel].ahead = []
        first, last = deliveries[0].position, deliveries[-1].position
        tx.execute("DELETE FROM queued WHERE id BETWEEN ? AND ?", (first, last))

    def transact(self, label: str, work: Callable[[Any], list[tuple[str, Message]]]) -> int:
        """Run ledger work that yields messages, and put those on their channels, in one commit; returns how many."""

        def both(tx: Transaction) -> tuple[set[str], int]:
            puts = work(tx)
            return self._put(tx, puts), len(puts)

        names, count = self._store.commit(label, both)
        self._announce(names)
        return count

    def _announce(self, names: set[str], *, lanes: bool = False) -> None:
        if lanes:
            for name in names:
                self.refresh(name)
        if names:
            self.ready(names)

    def _put(self, tx: Transaction, puts: list[tuple[str, Message]], own: int = 0) -> set[str]:
        """Insert messages at the end of their channels; returns the names of the channels."""
        if not puts:
            return set()
        payloads: dict[str, list[bytes]] = {}
        for n, (name, message) in enumerate(puts):
            real = self._alias.get(name, name)
            if real not in payloads:
                payloads[real] = []
            stored = self.encode(message)
            if n < own:
                self.fits(real, len(stored))
            payloads[real].append(stored)
        for name, rows in payloads.items():
            state = self._channels.get(name)
            if state is None:
                raise Rejected("INT111", f"channel `{name}` was never declared", hint="report this")
            self._append(tx, state, rows)
        return set(payloads)

    def _append(self, tx: Transaction, channel: Channel, payloads: list[bytes]) -> None:
        """Payloads to the end of the main lane of a channel."""
        with self._lock:
            first = channel.next
            channel.next += len(payloads)
        insert(tx, first, payloads)

    def bring(self, channel: str, payloads: list[bytes]) -> None:
        """Messages in their stored form, as they are, to the end of a channel."""
        self._store.commit("home", lambda tx: self._append(tx, self._channels[channel], payloads))
        self._announce({channel})

    def give_legs(self, positions: list[int]) -> None:
        """Store messages again that were sent when no leg was needed, before there was another broker."""
        for channel in self._channels.values():
            channel.ahead = []

        def work(tx: Transaction) -> None:
            self._store.lock(tx, ["legs"])
            for position in positions:
                row = tx.execute("SELECT payload FROM queued WHERE id = ?", (position,)).fetchone()
                message = salvage(row[0]) if row else None
                if message is not None and not message.headers.leg:
                    tx.execute("UPDATE queued SET payload = ? WHERE id = ?", (self.encode(message), position))

        self._store.commit("legs", work)

    # ------------------------------------------------------------ batches

    def stage(self, chunk: Chunk, cursor: Cursor | None, meanwhile: Callable[[], None] | None = None) -> Cursor:
        """Store a chunk of a split durably, invisible to workers; the first call (no cursor) begins the batch."""

        def work(tx: Transaction) -> Cursor:
            at = cursor or self._book.begin_batch(tx, chunk, self._new_lane(tx, chunk.channel, "hidden"))
            children = self._book.add_children(tx, chunk, at)
            insert(tx, (at.lane << SHIFT) + at.next_index, [self.encode(child) for child in children])
            if meanwhile is not None:
                meanwhile()
            return Cursor(at.batch, at.lane, at.next_index + chunk.count)

        return self._store.commit("stage-batch", work)

    def _open_lane(self, tx: Transaction, lane: int) -> str:
        tx.execute("UPDATE lane SET state = 'open' WHERE id = ?", (lane,))
        return str(tx.execute("SELECT channel FROM lane WHERE id = ?", (lane,)).fetchone()[0])

    def refresh(self, channel: str) -> None:
        """Look for new lanes at the next take."""
        state = self._channels.get(channel)
        if state is not None:
            with self._lock:
                state.asked += 1
                state.lanes = None

    def _new_lane(self, tx: Transaction, channel: str, state: str) -> int:
        lane = self._store.serial(tx, "lane")
        tx.execute("INSERT INTO lane (id, channel, state) VALUES (?, ?, ?)", (lane, channel, state))
        return lane

    def sweep(self) -> int:
        """Housekeeping: delete rows of dead lanes in pieces and forget emptied ones; returns how many rows went."""
        empty_open = (
            f"SELECT id, channel FROM lane WHERE state = 'open' AND NOT EXISTS (SELECT 1 FROM queued "  # noqa: S608 - a constant
            f"WHERE queued.id >= lane.id << {SHIFT} AND queued.id < (lane.id + 1) << {SHIFT}) LIMIT 100"
        )
        dead = self._store.read("SELECT id FROM lane WHERE state = 'dead' LIMIT 1")
        done = self._store.read(empty_open)
        if not dead and not done:
            return 0

        def work(tx: Transaction) -> int:
            tx.executemany("DELETE FROM lane WHERE id = ?", ((lane,) for lane, _ in done))
            if not dead:
                return len(done)
            low, high = lane_range(dead[0][0])
            gone = tx.execute(
                "DELETE FROM queued WHERE id IN (SELECT id FROM queued WHERE id >= ? AND id < ? LIMIT ?) RETURNING 1",
                (low, high, _PURGE),
            ).fetchall()
            if len(gone) < _PURGE:
                tx.execute("DELETE FROM lane WHERE id = ?", (dead[0][0],))
            return len(gone) + len(done)

        count = self._store.commit("sweep", work)
        for _, channel in done:
            self.refresh(channel)
        return count

    def channels(self) -> list[str]:
        """Names of declared channels that hold visible messages."""
        inside = f"queued.id >= lane.id << {SHIFT} AND queued.id < (lane.id + 1) << {SHIFT}"
        sql = f"SELECT DISTINCT channel FROM lane WHERE state IN ('main', 'open') AND EXISTS (SELECT 1 FROM queued WHERE {inside})"  # noqa: E501, S608 - no input in it
        holding = {row[0] for row in self._store.read(sql)}
        return [name for name in self._channels if name in holding]

    def declared(self) -> Iterator[str]:
        """All declared names."""
        return iter(list(self._channels))

    def at_rest(self) -> bool:
        """Whether no channel holds anything."""
        return not self.channels()

    def forget(self, channels: Iterable[str]) -> None:
        """Remembering costs nothing here: it is in the same commit."""

    def start(self) -> None:
        """Commits of several threads are grouped by the store."""

    def relay(self) -> int:
        """Nothing has to be brought anywhere: the channels are here."""
        return 0

    def close(self) -> None:
        """The store is closed by its owner."""

    def depth(self, channel: str, most: int = 1_000_000) -> int:
        """How many messages wait, counted up to ``most``."""
        count = 0
        for lane in self._turns(channel, self._channels[channel]):
            sql = "SELECT count(*) FROM (SELECT 1 FROM queued WHERE id >= ? AND id < ? LIMIT ?) AS counted"
            count += self._store.read(sql, (*lane_range(lane), most - count))[0][0]
            if count >= most:
                break
        return count


def lane_range(lane: int) -> tuple[int, int]:
    """The positions of a lane: from the first on, below the second."""
    return lane << SHIFT, (lane + 1) << SHIFT


def insert(tx: Transaction, first: int, payloads: list[bytes]) -> None:
    """Store messages under consecutive positions."""
    if len(payloads) == 1:
        tx.execute("INSERT INTO queued VALUES (?, ?)", (first, payloads[0]))
        return
    tx.executemany("INSERT INTO queued VALUES (?, ?)", zip(range(first, first + len(payloads)), payloads, strict=True))
