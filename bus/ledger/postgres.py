"""The store on PostgreSQL: one transaction a unit, a pool of connections, lost answers to COMMIT resolved by asking."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumperUnknown

from bus.errors import Rejected, Retryable, Unavailable
from bus.ledger import history
from bus.ledger.postgres_refusal import unreachable
from bus.ledger.store import no_effect
from bus.ports import EffectHook, Hops, MoneyTotalsByOutcome

T = TypeVar("T")
Row = tuple[Any, ...]

_MINIMUM = 140_000  # oldest major version that its makers still mend
_NUMBERS_RESERVED = 10_000
_PATIENCE = 30.0
"""Seconds for which the outcome of a lost commit is asked for."""
_LONGEST = 6 * 3600.0
"""Seconds for which a connection is used; its mark is older than a week only when nobody uses it."""
_DEFAULTS = {
    "application_name": "girobus",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Of a connection, where its URL says nothing else: a server that is gone is noticed within half a minute."""
_SESSION = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    "SET lock_timeout = '30s'",
    "SET idle_in_transaction_session_timeout = '15s'",  # who is frozen in a commit keeps the others waiting no longer
)
_LOCK = "SELECT pg_advisory_xact_lock(k) FROM unnest(CAST(? AS BIGINT[])) AS k"
_LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(k) FROM unnest(CAST(? AS BIGINT[])) AS k"
_COLLISIONS = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable, errors.UniqueViolation)
_IMPOSSIBLE = (errors.ProgramLimitExceeded, errors.DataError, UnicodeEncodeError)
_GONE = (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction, errors.InternalError_)


class _Text(StrDumperUnknown):
    """Text that PostgreSQL can keep: it knows no NUL, which no bank sends on purpose either."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in obj else obj)


@cache
def translated(sql: str) -> bytes:
    """SQL in the words of SQLite as PostgreSQL takes it: ``$1`` for ``?`` and ``?1``, no hints to the planner."""
    pieces = re.split(r"('[^']*')", re.sub(r" INDEXED BY \w+", "", sql))
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${found[1] or count}"

    return "".join(p if n % 2 else re.sub(r"\?(\d*)", mark, p) for n, p in enumerate(pieces)).encode()


class _Transaction:
    """The part of a connection that is used inside a commit."""

    __slots__ = ("_connection",)

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def execute(self, sql: str, bindings: tuple[Any, ...] = ()) -> psycopg.Cursor[Row]:
        return self._connection.cursor(binary=True).execute(translated(sql), bindings)

    def executemany(self, sql: str, bindings: Iterable[tuple[Any, ...]]) -> None:
        """The last one by itself: behind a pipeline, which ends in a flush, the server's clock for idle ones stands."""
        rows = [*bindings]
        if len(rows) > 1:
            self._connection.cursor().executemany(translated(sql), rows[:-1])
        if rows:
            self.execute(sql, rows[-1])


class _Link:
    """A connection and the mark by which its last commit is known."""

    def __init__(self, connection: psycopg.Connection[Row], mark: str) -> None:
        self.connection = connection
        self.transaction = _Transaction(connection)
        self.mark = mark
        self.count = 0
        self.until = time.monotonic() + _LONGEST

    def begin(self) -> None:
        """One round trip: the transaction and its mark."""
        self.count += 1
        text = f"BEGIN ISOLATION LEVEL READ COMMITTED; UPDATE commit_mark SET n = {self.count} WHERE id = '{self.mark}'"  # noqa: S608 - a number and hex
        self.connection.execute(text.encode())


class PostgresStore:
    """Durable transactions in a PostgreSQL database that several processes may share.

    Thread-safe: each commit has a connection of its own while it lasts. A connection that breaks is replaced by the
    next call; the unit it broke under is not run again here but by its caller, who knows how: it gets a Retryable.

    Args:
        url: ``postgresql://user@host/database``; all that libpq takes.
        effect: called around every commit.

    Raises:
        Unavailable: ``SYS135`` the database cannot be used, ``SYS136`` it is too old, ``SYS105`` too new.
    """

    shared = True

    def __init__(self, url: str, *, effect: EffectHook = no_effect, patience: float = _PATIENCE) -> None:
        self.effect = effect
        self._url = url
        self._patience = patience
        self._gate = threading.Lock()
        self._numbering = threading.Lock()
        self._idle: list[_Link] = []
        self._closed = False
        self._next_number = self._last_reserved = 0
        self._scope = ""
        try:
            with connect(url) as connection:
                migrate(connection)
                connection.execute("DELETE FROM commit_mark WHERE made < now() - CAST('7 days' AS interval)")
                self._scope = str(connection.execute("SELECT current_database() || '.' || current_schema()").fetchone())
        except psycopg.Error as error:
            raise unreachable(error) from None

    # ------------------------------------------------------------ connections

    def _link(self) -> _Link:
        with self._gate:
            link = self._idle.pop() if self._idle else None
        if link is not None:
            if time.monotonic() < link.until:
                return link
            self._end(link)
        connection = connect(self._url)
        mark = uuid.uuid4().hex
        connection.execute("INSERT INTO commit_mark (id, n) VALUES ($1, 0)", (mark,))
        return _Link(connection, mark)

    def _back(self, link: _Link) -> None:
        """Keep a healthy connection for the next call."""
        idle = psycopg.pq.TransactionStatus.IDLE
        if link.connection.closed or link.connection.info.transaction_status != idle or self._closed:
            link.connection.close()
            return
        if time.monotonic() > link.until:
            self._end(link)
            return
        with self._gate:
            self._idle.append(link)

    def _end(self, link: _Link) -> None:
        """Part in good order, with the mark."""
        with suppress(psycopg.Error):
            link.connection.execute("DELETE FROM commit_mark WHERE id = $1", (link.mark,))
        link.connection.close()

    def _forget_idle(self) -> None:
        """The server is gone or another one now: what waits in the pool is broken too."""
        with self._gate:
            links, self._idle = self._idle, []
        for link in links:
            link.connection.close()

    # ------------------------------------------------------------ transactions

    def commit(self, label: str, work: Callable[[Any], T]) -> T:
        """Run ``work`` in a transaction and return its result once it is durable.

        Raises:
            Retryable: ``SYS111`` the database refuses or is gone, ``SYS123`` another process changed the same: nothing
                of the work is kept. ``SYS124`` the connection was lost in the commit and nobody could be asked what
                became of it; who takes the same input again will see.
            Rejected: ``SYS125`` the database can never keep this.
        """
        self.effect(f"commit.{label}:before")
        try:
            link = self._link()
        except psycopg.Error as error:
            raise _verdict(error) from None
        try:
            result = self._run(link, work)
        finally:
            self._back(link)
        self.effect(f"commit.{label}:after")
        return result

    def _run(self, link: _Link, work: Callable[[Any], T]) -> T:
        try:
            link.begin()
            result = work(link.transaction)
        except BaseException as error:
            self._roll_back(link)
            if isinstance(error, psycopg.Error | UnicodeEncodeError):
                raise _verdict(error) from error
            raise
        try:
            link.connection.execute(b"COMMIT")
        except psycopg.Error as error:
            if not link.connection.closed:  # an answer: the server refused
                self._roll_back(link)
                raise _verdict(error) from error
            self._resolve(link)
        return result

    def _roll_back(self, link: _Link) -> None:
        try:
            if not link.connection.closed:
                link.connection.execute(b"ROLLBACK")
        except psycopg.Error:
            link.connection.close()
        if link.connection.closed:
            self._forget_idle()

    def _resolve(self, link: _Link) -> None:
        """The connection died in COMMIT: ask whether it happened. Waits for a transaction that still goes on.

        Raises:
            Retryable: ``SYS111`` it did not, ``SYS124`` nobody answers.
        """
        self._forget_idle()
        end = time.monotonic() + self._patience
        while True:
            try:
                with connect(self._url) as connection:
                    asked = "SELECT n FROM commit_mark WHERE id = $1 FOR UPDATE"
                    row = connection.execute(asked, (link.mark,)).fetchone()
                break
            except psycopg.Error:
                if time.monotonic() > end:
                    raise Retryable(
                        "SYS124", "the connection was lost in a commit and the database does not come back",
                        hint="start the database; the bus finds out by itself what became of the unit",
                    ) from None  # fmt: skip
                time.sleep(0.1)
        if row is None or row[0] != link.count:
            raise Retryable("SYS111", "the connection was lost in a commit; it did not happen", hint="it runs again")

    def read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
        """All rows of a query over committed state; a connection that broke since its last use is replaced once.

        Raises:
            Retryable: ``SYS111`` the database is gone.
        """
        for again in (True, False):
            try:
                link = self._link()
                try:
                    return link.transaction.execute(sql, bindings).fetchall()
                finally:
                    self._back(link)
            except _GONE as error:
                self._forget_idle()
                if not again:
                    raise _verdict(error) from None
        raise AssertionError

    read_own = read

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        with self._gate:
            links, self._idle = self._idle, []
        for link in links:
            self._end(link)

    # ------------------------------------------------------------ where databases differ

    def lock(self, tx: Any, names: Iterable[str], *, share: bool = False) -> None:
        """Advisory locks until the end of the transaction, always taken in the same order."""
        keys = sorted({self._key(name) for name in names})
        if keys:
            tx.execute(_LOCK_SHARED if share else _LOCK, (keys,))

    def _key(self, name: str) -> int:
        return int.from_bytes(blake2b(f"{self._scope} {name}".encode(), digest_size=8).digest(), signed=True)

    def numbers(self, _tx: Any, count: int) -> int:
        """Reserve message numbers; in blocks of this process, committed before one of them is used."""
        with self._numbering:
            if self._next_number + count > self._last_reserved:
                wanted = max(count, _NUMBERS_RESERVED)
                sql = "UPDATE meta SET value = value + ? WHERE key = 'next_number' RETURNING value"
                ((end,),) = self.read(sql, (wanted,))
                self._next_number, self._last_reserved = end - wanted, end
            first = self._next_number
            self._next_number += count
        return first

    def serial(self, tx: Any, table: str) -> int:
        """A row number that no process ever gets again."""
        return int(tx.execute(f"SELECT nextval('{table}_number')").fetchone()[0])

    def add_history(self, tx: Any, part: Hops, tally: MoneyTotalsByOutcome) -> None:
        """Add a part as a row of its own: processes do not wait for each other at the newest one."""
        history.insert(tx, part)
        self.add_tally(tx, part.place, part.at, tally)

    def add_tally(self, tx: Any, place: str, now: int, tally: MoneyTotalsByOutcome) -> None:
        """Add to the running totals of a place, in rows that are mostly this connection's own."""
        if tally:
            tx.executemany(
                "INSERT INTO tally_part VALUES (?, ?, ?, pg_backend_pid() % 16, ?, ?, ?) "
                "ON CONFLICT (place, outcome, currency, part) DO UPDATE SET count = tally_part.count + excluded.count, "
                "amount = tally_part.amount + excluded.amount, last = excluded.last",
                [(place, *key, count, amount, now) for key, (count, amount) in sorted(tally.items())],
            )

    def known(self, legs: list[str]) -> set[str]:
        """Which of these legs stand in the inbox; one array instead of a binding for each."""
        return {row[0] for row in self.read_own("SELECT leg FROM inbox WHERE leg = ANY(CAST(? AS TEXT[]))", (legs,))}

    def enter(self, tx: Any, legs: list[str], now: int) -> int:
        """Write legs into the inbox; how many of them were not there.

        In their order, so that two who enter the same ones wait for each other instead of both for ever.
        """
        sql = (
            "INSERT INTO inbox (leg, at) SELECT leg, CAST(? AS BIGINT) FROM unnest(CAST(? AS TEXT[])) AS leg "
            "ON CONFLICT DO NOTHING"
        )
        return int(tx.execute(sql, (now, sorted(legs))).rowcount)

    def time(self, tx: Any) -> int:
        """The time of the database server."""
        return int(tx.execute("SELECT now_ms()").fetchone()[0])


def connect(url: str) -> psycopg.Connection[Row]:
    """An autocommit connection with what the ledger expects of a session."""
    asked: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in asked}
    connection: psycopg.Connection[Row] = psycopg.connect(
        psycopg.conninfo.make_conninfo(url, **defaults), autocommit=True, cursor_factory=psycopg.RawCursor
    )
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.adapters.register_dumper(str, _Text)
    connection.execute("; ".join(_SESSION).encode())
    return connection


def _verdict(error: Exception) -> Exception:
    """What a database error means for the unit; texts of the server stay out, they may quote payload.

    What is none of these is a mistake of ours and handed on as it is.
    """
    if isinstance(error, _COLLISIONS):
        return Retryable("SYS123", "another process changed the same at the same time", hint="it runs again by itself")
    if isinstance(error, _IMPOSSIBLE):
        hint = "shorten the key or value that is stored; see the documents of the code"
        return Rejected("SYS125", f"the database cannot keep this: {type(error).__name__}", hint=hint)
    if isinstance(error, _GONE):
        return Retryable(
            "SYS111", f"the store refused: {type(error).__name__}", hint="see whether the database is well"
        )
    return error


def migrate(connection: psycopg.Connection[Row], until: int | None = None) -> int:
    """Bring the schema forward by the numbered SQL files, in one transaction; one process does it at a time.

    Args:
        connection: to the database.
        until: number of the schema to stop at; None = this program's.

    Raises:
        Unavailable: ``SYS105`` the store was written by a newer girobus, ``SYS136`` the server is too old.
    """
    if connection.info.server_version < _MINIMUM:
        raise Unavailable(
            "SYS136", f"PostgreSQL {connection.info.server_version // 10_000} is too old", hint="use 14 on"
        )
    scripts = migrations()[:until]
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('girobus schema ' || current_schema(), 0))")
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number BIGINT PRIMARY KEY)")
        present = version(connection)
        if present > len(scripts):
            raise Unavailable(
                "SYS105", f"the store has schema {present}, this program knows {len(scripts)}", hint="upgrade girobus"
            )
        for number, text in enumerate(scripts[present:], start=present + 1):
            connection.execute(text.encode())
            connection.execute("INSERT INTO schema_version VALUES ($1)", (number,))
    return len(scripts)


def migrations() -> list[str]:
    """The numbered SQL files."""
    folder = files("bus.ledger").joinpath("migrations", "postgres")
    return [folder.joinpath(name).read_text("utf-8") for name in sorted(f.name for f in folder.iterdir())]


def version(connection: psycopg.Connection[Row]) -> int:
    """Number of the schema that the database has; 0 = none."""
    row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()
    return int(row[0]) if row else 0
