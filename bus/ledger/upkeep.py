"""Forgetting in a running bus and by command: rows by their retention, documents that nothing refers to any more."""

from __future__ import annotations

import time
from typing import Any

from bus.ledger import retention
from bus.ledger.place import Documents, Place, open_reading
from bus.ledger.reading import Reading
from bus.ledger.references import all_blobs, all_known
from bus.ledger.versions import identity
from bus.ports import Clock, Store

_A_MINUTE = 60_000
_AN_HOUR = 3_600_000
_A_DAY = 24 * _AN_HOUR
_PATIENCE = 600.0
_LONGEST = 30.0


class Upkeep:
    """Forgets what is older than its retention, an hour's worth at a time.

    Args:
        store: the ledger's.
        place: where the ledger is, for looks at one moment of it; None = documents are not collected.
        blobs: documents.
        clock: time.
        kept: setting -> milliseconds, as in ``retention:``.
    """

    def __init__(self, store: Store, place: Place | None, blobs: Documents, clock: Clock, kept: dict[str, int]) -> None:
        self._store = store
        self._place = place
        self._blobs = blobs
        self._clock = clock
        self.kept = kept
        self.spare: tuple[str, ...] = ()
        """Endpoints whose arrivals are kept for ever."""
        self._next_rows = 0
        self._next_look = 0
        self._next_documents = 0

    def turn(self) -> int:
        """A small piece of the work when it is time for it; how many rows and documents went."""
        now = self._clock.now()
        if now < self._next_rows <= now + _AN_HOUR:
            return 0
        gone = sum(self.purge().values())
        if not gone:
            self._next_rows = now + _AN_HOUR
            if not now < self._next_documents <= now + _A_DAY:
                self._next_documents = now + _A_DAY
                gone = self.collect()[0]
        return gone

    def everything(self) -> dict[str, Any]:
        """As much as can be done in half a minute: {"rows": by table, "documents", "bytes", "more" to do}."""
        rows: dict[str, int] = {}
        end = time.monotonic() + _LONGEST
        while gone := self.purge():
            for table, count in gone.items():
                rows[table] = rows.get(table, 0) + count
            if time.monotonic() > end:
                return {"rows": rows, "documents": 0, "bytes": 0, "more": True}
        documents, size = self.collect()
        return {"rows": rows, "documents": documents, "bytes": size, "more": False}

    def times(self) -> dict[str, int]:
        """Setting -> the time before which its rows are old."""
        return _times(self._store.read, self.kept, self._clock.now())

    def purge(self) -> dict[str, int]:
        """One small commit for each table that has something old; rows that went of each."""
        now, times = self._clock.now(), self.times()
        if not now < self._next_look <= now + _A_MINUTE:
            self._next_look = now + _A_MINUTE
            self._store.commit("purge", lambda tx: retention.look(tx, now, times["inbox"]))
        return retention.purge(self._store, times, self.spare)

    def collect(self) -> tuple[int, int]:
        """Forget documents that are old and that neither a row nor a message in a queue refers to; (how many, bytes).

        What refers is read from one moment of the ledger, after the list of old documents was made: a message that
        moves from one table to another is in one of them. A document that comes again is stored anew, so it is not old.

        Raises:
            ConfigError: ``SYS152`` the documents are another ledger's.
        """
        times = self.times()
        before = times["blobs"]
        if self._place is None or not all_known(self._store.read, times["inbox"]):
            return 0, 0
        old = self._blobs.old(before)
        if not old:
            return 0, 0
        with open_reading(self._place, patience=_PATIENCE) as reading:
            self._blobs.claim(identity(reading.rows))
            free = _unused(reading, old)
        sizes = [self._blobs.forget(digest, before) for digest in free]
        return sum(size > 0 for size in sizes), sum(sizes)


def _times(read: retention.Read, kept: dict[str, int], now: int) -> dict[str, int]:
    times = {kind: now - time for kind, time in kept.items()}
    return times | {"inbox": retention.sifted(read, now, kept["inbox"])}


def _unused(reading: Reading, digests: list[str]) -> list[str]:
    with reading.snapshot():
        used = all_blobs(reading.rows)
    return [digest for digest in digests if digest not in used]


def would_go(reading: Reading, blobs: Documents, kept: dict[str, int], now: int) -> dict[str, Any]:
    """What a purge would do now; sources that leave files where they are are counted too."""
    times = _times(reading.rows, kept, now)
    rows = retention.counted(reading.rows, times, ())
    free = _unused(reading, blobs.old(times["blobs"])) if all_known(reading.rows, times["inbox"]) else []
    return {"rows": rows, "documents": len(free), "bytes": 0, "more": False}
