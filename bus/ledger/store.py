"""The one SQLite file: a writer lock, group commit, numbered migrations, readers that never disturb the writer."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, TypeVar

import apsw

from bus.errors import Retryable, Unavailable
from bus.ledger.folders import make_folder
from bus.ledger.tail import SumOfTexts, Tail, add_tally, add_texts
from bus.ports import EffectHook, Hops, MoneyTotalsByOutcome

T = TypeVar("T")
Row = tuple[Any, ...]

_MINIMUM = (3, 51, 3)  # older versions can corrupt a WAL file when it is reset (sqlite.org/wal.html#walresetbug)
_NUMBERS_RESERVED = 10_000
_DISK = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.BusyError, apsw.NoMemError)
"""What a store that is full, gone or taken answers; no fault of the work, which can run again later."""

_LAST_SERIAL = {
    # A batch may be open when its lane is emptied and gone; what is damaged is told to the batch of its lane.
    "lane": "SELECT max(coalesce((SELECT max(id) FROM lane), 0), "
    "coalesce((SELECT lane FROM batch WHERE id = (SELECT max(id) FROM batch)), 0))",
    # Groups of a discarded batch are still remembered under its number.
    "batch": "SELECT max(coalesce((SELECT max(id) FROM batch), 0), coalesce((SELECT max(batch) FROM gathering), 0))",
}


def no_effect(_label: str) -> None:
    """The hook of a bus that nobody tests."""


class _Job:
    """One unit of work waiting for the next commit."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[apsw.Connection], Any]) -> None:
        self.work = work
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class Store:
    """Durable transactions over one database file (``synchronous=FULL``, WAL).

    Thread-safe. Whoever calls :meth:`commit` blocks until the work is on disk; works of several threads that wait at
    the same time share one flush. There is no writer thread: the first to wait runs the works of all.

    Args:
        path: the database file, or None for a database in memory (tests and simulation).
        effect: called around every commit.
    """

    shared = False

    def __init__(self, path: Path | None, *, effect: EffectHook = no_effect) -> None:
        version = tuple(int(n) for n in apsw.sqlite_lib_version().split("."))
        if version < _MINIMUM:
            raise Unavailable("SYS103", f"SQLite {apsw.sqlite_lib_version()} is too old", hint="pip install -U apsw")
        self.path = path
        self.effect = effect
        self._waiting: deque[_Job] = deque()
        self._gate = threading.Lock()
        self._writer = threading.RLock()
        self._local = threading.local()
        self._readers: list[apsw.Connection] = []
        self._next_number, self._last_reserved = 0, 0
        self._tail = Tail()
        self._serials: dict[str, int] = {}
        self._lock_file = _take_lock(path) if path else None
        self._connection = _open(path, readonly=False)
        try:
            migrate(self._connection)
        except BaseException:
            self.close()
            raise

    def commit(self, label: str, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in a transaction and return its result once it is durable.

        An error of ``work`` rolls back that work alone and is raised here.

        Raises:
            Retryable: ``SYS111`` when the disk refuses (full, read-only); nothing of any waiting work is kept.
        """
        self.effect(f"commit.{label}:before")
        job = _Job(work)
        self._waiting.append(job)
        with self._writer:
            if not job.done:  # only who holds the lock takes jobs away
                self._run([self._waiting.popleft() for _ in range(len(self._waiting))])
        if job.error is not None:
            raise job.error
        self.effect(f"commit.{label}:after")
        return job.result  # type: ignore[no-any-return]  # set by work, whose type is T

    def _run(self, jobs: list[_Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._work(job, alone=len(jobs) == 1)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except apsw.Error as error:
            self._rolled_back()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in jobs:
                job.error = job.error or Retryable(
                    "SYS111", f"the store refused a commit: {type(error).__name__}", hint="see free space and rights"
                )
        finally:
            for job in jobs:
                job.done = True

    def _work(self, job: _Job, *, alone: bool) -> None:
        """Run one work; where several share the transaction, its failure takes nothing of the others with it."""
        connection = self._connection
        if not alone:
            connection.execute("SAVEPOINT work")
        try:
            job.result = job.work(connection)
        except _DISK:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to its own caller, the others go on
            job.error = error
            self._rolled_back()
            connection.execute("ROLLBACK" if alone else "ROLLBACK TO work")
        if not alone:
            connection.execute("RELEASE work")

    def _rolled_back(self) -> None:
        """Forget what uncommitted work left: its reservation of numbers, which goes back with it, and what it wrote."""
        self._last_reserved = 0
        self._tail.forget()

    def read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
        """All rows of a query over committed state; results must be small, or paged by the caller."""
        if self.path is None:
            with self._writer:
                return self._connection.execute(sql, bindings).fetchall()
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _open(self.path, readonly=True)
            self._local.connection = connection
            with self._gate:
                self._readers.append(connection)
        return connection.execute(sql, bindings).fetchall()

    def read_own(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
        """As :meth:`read`, on the writer's connection: its page cache is warm, a reader's is not after a commit.

        For short queries of the engine itself; waits for a commit in progress.
        """
        with self._writer:
            return self._connection.execute(sql, bindings).fetchall()

    def numbers(self, tx: apsw.Connection, count: int) -> int:
        """Reserve ``count`` message numbers inside a transaction; the first is returned. Gaps are normal."""
        if self._next_number + count > self._last_reserved:
            ((stored,),) = tx.execute("SELECT value FROM meta WHERE key = 'next_number'").fetchall()
            start = max(int(str(stored)), self._next_number)
            self._last_reserved = start + max(count, _NUMBERS_RESERVED)
            tx.execute("UPDATE meta SET value = ? WHERE key = 'next_number'", (self._last_reserved,))
            self._next_number = start
        first = self._next_number
        self._next_number += count
        return first

    def lock(self, tx: apsw.Connection, names: Iterable[str], *, share: bool = False) -> None:
        """Nothing to do: there is one writer."""

    def serial(self, tx: apsw.Connection, table: str) -> int:
        """A row number that was never used by this process: somebody may still remember one that is gone."""
        (last,) = tx.execute(_LAST_SERIAL[table]).fetchall()[0]
        self._serials[table] = max(int(str(last)), self._serials.get(table, 0)) + 1
        return self._serials[table]

    def add_history(self, tx: apsw.Connection, part: Hops, tally: MoneyTotalsByOutcome) -> None:
        """Add a part to the newest row, or as a row of its own, with what it adds to the totals."""
        self._tail.add(tx, part, tally)

    def add_tally(self, tx: apsw.Connection, place: str, now: int, tally: MoneyTotalsByOutcome) -> None:
        """Add to the running totals of a place; SQLite has no exact decimals, so the sums are made here."""
        add_tally(tx, place, now, tally)

    def known(self, legs: list[str]) -> set[str]:
        """Which of these legs stand in the inbox."""
        marks = ", ".join("?" * len(legs))
        sql = f"SELECT leg FROM inbox WHERE leg IN ({marks})"  # noqa: S608 - question marks only
        return {str(row[0]) for row in self.read_own(sql, tuple(legs))}

    def enter(self, tx: apsw.Connection, legs: list[str], now: int) -> int:
        """Write legs into the inbox; how many of them were not there."""
        before = tx.total_changes()
        sql = "INSERT INTO inbox (leg, at) VALUES (?, ?) ON CONFLICT DO NOTHING"
        tx.executemany(sql, [(leg, now) for leg in legs])
        return tx.total_changes() - before

    def time(self, tx: apsw.Connection) -> int:
        """The time of this machine."""
        return int(str(tx.execute("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)").fetchall()[0][0]))

    def close(self) -> None:
        """Close all connections and give the writer lock back."""
        for connection in [*self._readers, self._connection]:
            connection.close()
        if self._lock_file is not None:
            self._lock_file.close()


def open_reader(path: Path) -> apsw.Connection:
    """A read-only connection for commands that only look; never disturbs the writer.

    Raises:
        Unavailable: ``SYS104`` when there is no store yet.
    """
    if not path.exists():
        raise Unavailable(
            "SYS104", f"no ledger at {path}", hint="start the bus first: bus run, or name its folder with -C"
        )
    return _open(path, readonly=True)


def _open(path: Path | None, *, readonly: bool) -> apsw.Connection:
    if path is None:
        connection = apsw.Connection(":memory:")
    else:
        flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=200)
    connection.set_busy_timeout(10_000)
    # Else a statement whose LIMIT is a parameter is compiled anew whenever it runs (sqlite.org/queryplanner-ng.html).
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.create_aggregate_function("sum_texts", SumOfTexts, 1)
    if not readonly:
        connection.create_scalar_function("add_texts", add_texts, 2, deterministic=True)
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA cache_size = -32000")
    return connection


def _take_lock(path: Path) -> IO[str]:
    """One writing process per store; the lock dies with its process, so a crash leaves nothing to clean."""
    make_folder(path.parent)
    handle = (path.parent / "writer.lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise Unavailable(
            "SYS101", f"another process writes this store (pid {owner})", hint="stop it, or let it do the work"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def migration_count() -> int:
    """Number of the schema of this program."""
    return sum(file.name.endswith(".sql") for file in files("bus.ledger").joinpath("migrations", "sqlite").iterdir())


def migrate(connection: apsw.Connection) -> None:
    """Bring the schema forward by the numbered SQL files, each in one transaction.

    Raises:
        Unavailable: ``SYS105`` when the store was written by a newer girobus.
    """
    scripts = sorted(
        f.name for f in files("bus.ledger").joinpath("migrations", "sqlite").iterdir() if f.name.endswith(".sql")
    )
    present = int(str(connection.execute("PRAGMA user_version").fetchall()[0][0]))
    if present > len(scripts):
        raise Unavailable(
            "SYS105", f"the store has schema {present}, this program knows {len(scripts)}", hint="upgrade girobus"
        )
    for number, name in enumerate(scripts, start=1):
        if number <= present:
            continue
        text = files("bus.ledger").joinpath("migrations", "sqlite", name).read_text("utf-8")
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(text)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
