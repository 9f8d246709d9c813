"""Looking into the ledger from outside: short read-only queries, bounded in time, that never disturb the writer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import apsw

from bus.errors import Unavailable
from bus.ledger.store import migration_count, open_reader

Row = tuple[Any, ...]

_STEPS = 20_000
"""Virtual machine steps of SQLite between two looks at the clock, a few milliseconds."""


class Reading:
    """A read-only connection to a ledger. Every query sees committed state and ends within ``patience`` seconds.

    A read transaction lasts one query, so that it never stalls the writer's checkpoints.

    Raises:
        Unavailable: ``SYS104`` there is no ledger, ``SYS105`` it is of another schema, ``SYS132`` it cannot be read.
    """

    def __init__(self, path: Path, *, patience: float = 10.0) -> None:
        self.path = path
        self._patience = patience
        self._deadline = 0.0
        with _readable(path):
            self._connection = open_reader(path)
            self._connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _STEPS)
            self._deadline = time.monotonic() + patience
            present = _schema(self._connection)
        known = migration_count()
        if present != known:
            self.close()
            raise other_schema(present, known)

    def rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
        """All rows of a query that the caller has bounded.

        Raises:
            Unavailable: ``SYS131`` when it takes too long, ``SYS132`` when the ledger cannot be read.
        """
        self._deadline = time.monotonic() + self._patience
        try:
            with _readable(self.path):
                return self._connection.execute(sql, bindings).fetchall()
        except apsw.InterruptError:
            raise too_slow(self._patience) from None

    def one(self, sql: str, bindings: tuple[Any, ...] = ()) -> Row | None:
        """The first row, or None."""
        rows = self.rows(sql, bindings)
        return rows[0] if rows else None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All queries of the block see one moment of the ledger. Keep it short: the writer's log grows meanwhile."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        self.rows("BEGIN")

    def _end(self) -> None:
        self.rows("ROLLBACK")

    def integrity(self) -> list[str]:
        """What the database itself finds wrong with its file; looks at all of it."""
        rows = self.rows("PRAGMA integrity_check(20)") + self.rows("PRAGMA foreign_key_check")
        return [": ".join(str(value) for value in row) for row in rows if row != ("ok",)]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def file_schema(path: Path) -> int:
    """Number of the schema of a file; 0 = there is none.

    Raises:
        Unavailable: ``SYS132`` it cannot be read.
    """
    with _readable(path):
        if not path.exists():
            return 0
        connection = open_reader(path)
        try:
            return _schema(connection)
        finally:
            connection.close()


def _schema(connection: apsw.Connection) -> int:
    return int(str(connection.pragma("user_version")))


def other_schema(present: int, known: int) -> Unavailable:
    """``SYS105``, before anything is read."""
    hint = "upgrade girobus" if present > known else "start the bus once: it brings the ledger forward"
    return Unavailable("SYS105", f"the ledger has schema {present}, this program reads {known}", hint=hint)


def too_slow(patience: float) -> Unavailable:
    """``SYS131``: a query was given up."""
    hint = "narrow the search, or try again when the machine is less busy"
    return Unavailable("SYS131", f"the ledger gave no answer within {patience:g} s", hint=hint)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.InterruptError:
        raise
    except (apsw.Error, OSError) as error:
        hint = "read it as the user that runs the bus; if it is damaged, restore it from backup"
        raise Unavailable("SYS132", f"the ledger {path} cannot be read: {type(error).__name__}", hint=hint) from None


@dataclass(frozen=True, slots=True)
class Amount:
    """Exact money."""

    value: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.value:,f} {self.currency}"


@dataclass(frozen=True, slots=True)
class Total:
    """How many, and in ``currency`` how much, went which way; counts without an amount have the currency ``""``."""

    outcome: str
    currency: str
    count: int
    amount: Decimal


def moment(milliseconds: int) -> datetime:
    """A time of the ledger as a date, UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def maybe_moment(milliseconds: int | None) -> datetime | None:
    """As :func:`moment`; None for 0, which means never."""
    return moment(milliseconds) if milliseconds else None


def route_of(place: str) -> str:
    """Name of the route (or outlet) that a place belongs to."""
    return place.partition("#")[0]
