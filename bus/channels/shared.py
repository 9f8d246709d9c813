"""Durable channels in a database that several processes share: they compete for messages, none is settled twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from bus.channels.store import SHIFT, Book, Channel, Rows, StoreBroker, lane_range
from bus.errors import Retryable
from bus.ports import Delivery, Settlement, Store, Transaction


class Holdings(Protocol):
    """The leases of this process; see :class:`bus.ledger.leases.Holdings`."""

    def mine(self, name: str) -> bool:
        """Whether this process may do it now."""

    def has(self, name: str) -> bool:
        """Whether this process holds it."""

    def token(self, name: str) -> int:
        """The token that it is held with; 0 = it is not."""

    def give_back(self, name: str) -> None:
        """Let somebody else have it."""

    def guard(self, tx: Any, name: str) -> None:
        """Refuse the transaction unless it still may."""


class SharedBroker(StoreBroker):
    """As :class:`StoreBroker`, for a store that other processes write too (PostgreSQL).

    Whoever removes the rows has settled them: a settlement that does not find all its rows changes nothing. That alone
    keeps everything right. So that processes do not do the same work in vain, each writes down what it has taken
    (table ``claim``); the claims of a process whose lease is over count no more. Outlets have an effect outside the
    database: only the process that holds the outlet's lease takes from their channels.

    Args:
        store: the transactions.
        book: the ledger.
        holdings: the leases of this process.
        owner: number of this process that no other process ever had.
    """

    def __init__(
        self,
        store: Store,
        book: Book,
        holdings: Holdings,
        owner: int,
        ready: Callable[[set[str]], None] = lambda _names: None,
    ) -> None:
        self._holdings = holdings
        self._owner = owner
        self._reserved: frozenset[str] = frozenset()
        self._alone = False
        self._workers = 1
        super().__init__(store, book, ready)

    def reserve(self, channels: Iterable[str]) -> None:
        """Name the channels that one process at a time may take from: the outlets."""
        self._reserved = frozenset(channels)

    def look_around(self) -> None:
        """Wake up for messages that other processes have sent."""
        sql = (
            "SELECT count(*) FILTER (WHERE name LIKE 'process %' AND name <> ?), "
            "count(*) FILTER (WHERE name LIKE 'worker %') FROM lease WHERE until > now_ms()"
        )
        ((others, workers),) = self._store.read(sql, (f"process {self._owner}",))
        self._alone, self._workers = others == 0, max(workers, 1)
        found = self.channels()
        if found:
            self.ready(set(found))

    def may_take(self, channel: str) -> bool:
        """Outlets are taken from by the holder of their lease alone."""
        if channel in self._reserved:
            return self._holdings.mine(f"outlet {channel}")
        if channel in self._serial and not self._holdings.has(f"channel {channel}"):
            return self._excess(channel) < 0 and self._holdings.mine(f"channel {channel}")
        return True

    def tenure(self, channel: str) -> int:
        """Of an outlet: the token of its lease; 0 = another process has it."""
        return self._holdings.token(f"outlet {channel}")

    def share(self, channel: str) -> None:
        """Between two batches: let another process have the partition if this one has more than its share."""
        if channel in self._serial and self._holdings.has(f"channel {channel}") and self._excess(channel) > 0:
            self._holdings.give_back(f"channel {channel}")

    def _excess(self, channel: str) -> int:
        """How many partitions this process has above its share; below 0 it may take one more."""
        step, mark, _ = channel.partition("~")
        if not mark:
            return -1 if not self._holdings.has(f"channel {channel}") else 0
        sides = [name for name in self._serial if name.startswith(f"{step}~")]
        has = sum(self._holdings.has(f"channel {name}") for name in sides)
        return has - -(-len(sides) // self._workers)

    def take(self, channel: str, most: int) -> list[Delivery]:
        """The oldest messages of a lane that no other live process has taken."""
        if not self.may_take(channel):
            return []
        self.refresh(channel)  # lanes are opened by others too
        return super().take(channel, most)

    def _begin(self, tx: Transaction, settlement: Settlement) -> None:
        """Only the holder of an outlet's lease settles what it sends; who was frozen too long gets a ``SYS122``."""
        if settlement.place in self._reserved:
            self._holdings.guard(tx, f"outlet {settlement.place}")
        elif settlement.place in self._serial:
            self._holdings.guard(tx, f"channel {settlement.place}")

    def _rows(self, channel: str, lane: int, most: int) -> Rows:
        """Take and write down what was taken; a claim need not survive a crash, so nobody waits for the disk.

        A claim is one range without anything of others in it: ranges that overlap would keep all from what is in both.
        Whoever takes again has settled what he took before, or given it up: his earlier claim ends. Where one process
        at a time takes, its lease is enough; the claim of who had it before would stay while that one lives.
        """
        if self._alone or channel in self._serial or channel in self._reserved:
            return self._oldest(lane, most)

        def work(tx: Any) -> Rows:
            tx.execute("SET LOCAL synchronous_commit = off")
            self._store.lock(tx, [f"claims {lane}"])
            for first, end in self._unclaimed(tx, lane):
                sql = "SELECT id, payload FROM queued WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
                rows: Rows = tx.execute(sql, (first, end, most)).fetchall()
                if rows:
                    tx.execute(
                        "INSERT INTO claim VALUES (?, ?, ?, ?) ON CONFLICT (lane, owner) DO UPDATE SET "
                        "first = excluded.first, last = excluded.last",
                        (lane, self._owner, rows[0][0], rows[-1][0]),
                    )
                    return rows
            tx.execute("DELETE FROM claim WHERE lane = ? AND owner = ?", (lane, self._owner))
            return []

        return self._store.commit("take", work)

    def _unclaimed(self, tx: Any, lane: int) -> list[tuple[int, int]]:
        """(first position, end) of what lies between the claims of other live processes."""
        first, end = lane_range(lane)
        sql = (
            "SELECT first, last FROM claim JOIN lease ON lease.name = 'process ' || claim.owner "
            "WHERE claim.lane = ? AND claim.owner <> ? AND lease.until > now_ms() ORDER BY first"
        )
        free = []
        for claimed, last in tx.execute(sql, (lane, self._owner)).fetchall():
            if first < claimed:
                free.append((first, claimed))
            first = max(first, last + 1)
        return [*free, (first, end)]

    def sweep(self) -> int:
        """Housekeeping, also of claims that count no more."""
        over = (
            "FROM claim WHERE NOT EXISTS (SELECT 1 FROM lane WHERE lane.id = claim.lane) OR NOT EXISTS "
            "(SELECT 1 FROM lease WHERE lease.name = 'process ' || claim.owner AND lease.until > now_ms())"
        )
        if self._store.read(f"SELECT EXISTS (SELECT 1 {over})")[0][0]:
            self._store.commit("sweep", lambda tx: tx.execute(f"DELETE {over}"))
        return super().sweep()

    def _remove(self, tx: Transaction, deliveries: list[Delivery]) -> None:
        """Only what was taken: another process may have sent something in between, under a number got earlier."""
        ids = [delivery.position for delivery in deliveries]
        gone = tx.execute("DELETE FROM queued WHERE id = ANY(CAST(? AS BIGINT[])) RETURNING 1", (ids,)).fetchall()
        if len(gone) != len(ids):
            raise Retryable("SYS122", "another process has settled this already", hint="nothing: it is done")

    def _append(self, tx: Transaction, channel: Channel, payloads: list[bytes]) -> None:
        """Positions come from the database, one after the other for all processes."""
        tx.execute(
            "INSERT INTO queued SELECT ? + nextval('queue_position'), payload "
            "FROM unnest(CAST(? AS BYTEA[])) AS sent (payload)",
            (channel.main << SHIFT, payloads),
        )
