"""Is everything in the ledger as it must be: structure, counts, money, and every document that it refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bus.errors import Finding, Rejected, Retryable, Unavailable
from bus.ledger import batches, references
from bus.ledger.reading import Reading
from bus.message import Blob
from bus.ports import BlobStore

_PAGE = 1_000
Tell = Callable[[str, int, int], None]
"""Told what is looked at, how far it is, and of how many; 0 = not known."""


def look_through(reading: Reading, blobs: BlobStore, tell: Tell) -> Iterator[Finding]:
    """Everything that is wrong; nothing = all is well. Safe while the bus runs.

    Args:
        reading: the ledger; its patience must be enough for a look at the whole database.
        blobs: where documents are.
        tell: progress.
    """
    tell("structure", 0, 0)
    damages = _structure(reading)
    yield from damages
    if damages:
        return  # what such a database says of its contents is worth nothing
    with reading.snapshot():
        yield from _batches(reading, tell)
        yield from _groups(reading)
        yield from _lanes(reading)
        referred = references.all_blobs(reading.rows)
    yield from _blobs(referred, blobs, tell)


def _structure(reading: Reading) -> list[Finding]:
    try:
        found = reading.integrity()
    except Unavailable as error:
        if error.code != "SYS132":
            raise
        found = [error.message]
    return [Finding("SYS138", "error", "database", problem) for problem in found]


def _batches(reading: Reading, tell: Tell) -> Iterator[Finding]:
    """In = out, per currency, for every file that is through; and no file has more reports than records."""
    last, done = 0, 0
    ((total,),) = reading.rows("SELECT count(*) FROM batch")
    sql = f"SELECT id, state, unreported, money, outcomes FROM batch WHERE id > ? ORDER BY id LIMIT {_PAGE}"  # noqa: S608 - a constant
    while rows := reading.rows(sql, (last,)):
        for batch, state, unreported, money, outcomes in rows:
            problem = batches.difference(money, outcomes, unreported, amounts=state == "complete")
            if problem is not None:
                yield Finding("SYS139", "error", f"batch {batch}", problem)
        last, done = rows[-1][0], done + len(rows)
        tell("batches", done, total)


def _groups(reading: Reading) -> Iterator[Finding]:
    """An open group has as many members as it counts."""
    last = 0
    sql = f"SELECT id, count FROM gathering WHERE state = 'open' AND id > ? ORDER BY id LIMIT {_PAGE}"  # noqa: S608 - a constant
    while rows := reading.rows(sql, (last,)):
        for group, count in rows:
            ((there,),) = reading.rows(
                "SELECT count(*) FROM member WHERE id >= ? AND id < ?", (group << 30, group + 1 << 30)
            )
            if there != count:
                yield Finding("SYS139", "error", f"group {group}", f"it counts {count} members and has {there}")
        last = rows[-1][0]


def _lanes(reading: Reading) -> Iterator[Finding]:
    """Every message stands in a lane that somebody reads."""
    sql = "SELECT DISTINCT id >> 35 FROM queued WHERE NOT EXISTS (SELECT 1 FROM lane WHERE lane.id = queued.id >> 35)"
    for (lane,) in reading.rows(sql):
        yield Finding("SYS139", "error", f"lane {lane}", "messages stand in a lane that no channel has")


def _blobs(found: dict[str, int], blobs: BlobStore, tell: Tell) -> Iterator[Finding]:
    for n, (digest, size) in enumerate(sorted(found.items()), start=1):
        problem = _blob(blobs, Blob(digest, size))
        if problem is not None:
            yield problem
        tell("documents", n, len(found))


def _blob(blobs: BlobStore, blob: Blob) -> Finding | None:
    place = f"document {blob.sha256[:12]}"
    try:
        blobs.open(blob).close()
    except Rejected as damage:
        return Finding("SYS141" if damage.code == "INT103" else "SYS140", "error", place, damage.message)
    except Retryable as away:
        return Finding("SYS140", "error", place, f"cannot be read: {away.message}")
    return None
