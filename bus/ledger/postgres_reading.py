"""Looking into a PostgreSQL ledger from outside: read-only, each query bounded in time by the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors

from bus.errors import Unavailable
from bus.ledger.postgres import connect, migrations, translated, version
from bus.ledger.postgres_refusal import unreachable
from bus.ledger.reading import Reading, Row, other_schema, too_slow

_HINT = "read it as a user who may; see that the server is well"


class PostgresReading(Reading):
    """As :class:`bus.ledger.reading.Reading`, over a database server.

    Raises:
        Unavailable: ``SYS104`` there is no ledger, ``SYS105`` it is of another schema, ``SYS135`` no connection.
    """

    def __init__(self, url: str, *, patience: float = 10.0) -> None:
        self.path = Path()
        self._patience = patience
        try:
            self._server = connect(url)
            self._server.execute(b"SET default_transaction_read_only = on")
            self._server.execute(f"SET statement_timeout = {round(patience * 1000)}".encode())
            present = _schema(self._server)
        except psycopg.Error as error:
            raise unreachable(error) from None
        if present != len(migrations()):
            self.close()
            if not present:
                raise Unavailable("SYS104", "no ledger in that database", hint="start the bus first: bus run")
            raise other_schema(present, len(migrations()))

    def rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
        """All rows of a query that the caller has bounded.

        Raises:
            Unavailable: ``SYS131`` when it takes too long, ``SYS132`` when the ledger cannot be read.
        """
        try:
            return self._server.cursor(binary=True).execute(translated(sql), bindings).fetchall()
        except errors.QueryCanceled:
            raise too_slow(self._patience) from None
        except psycopg.Error as error:
            raise Unavailable("SYS132", f"the ledger cannot be read: {type(error).__name__}", hint=_HINT) from None

    def _begin(self) -> None:
        self._server.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def _end(self) -> None:
        self._server.execute(b"ROLLBACK")

    def integrity(self) -> list[str]:
        """Indexes that are not valid, and tables that cannot be read to their end (a server with checksums tells)."""
        found = [
            f"index {name} is not valid"
            for (name,) in self.rows(
                "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "WHERE NOT i.indisvalid AND c.relnamespace = CAST(current_schema() AS regnamespace)"
            )
        ]
        tables = (
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace)"
        )
        for (name,) in self.rows(tables):
            try:
                self.rows(f'SELECT count(CAST(t AS TEXT)) FROM "{name}" AS t')  # noqa: S608 - names of our own tables
            except Unavailable as error:
                if error.code != "SYS132":
                    raise
                found.append(f"table {name} cannot be read")
        return found

    def close(self) -> None:
        """Close the connection."""
        self._server.close()


def schema(url: str) -> int:
    """Number of the schema in a database; 0 = there is none.

    Raises:
        Unavailable: ``SYS135`` no connection.
    """
    try:
        with connect(url) as connection:
            return _schema(connection)
    except psycopg.Error as error:
        raise unreachable(error) from None


def _schema(connection: psycopg.Connection[Row]) -> int:
    there = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    return version(connection) if there and there[0] else 0
