"""Looking into a PostgreSQL ledger from outside: read-only, each query bounded in time by the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors

from bus.errors import Unavailable
from bus.ledger.postgres import connect, migrations, translated, unreachable, version
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
            there = self._server.execute("SELECT to_regclass('schema_version')").fetchone()
            present = version(self._server) if there and there[0] else 0
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

    def close(self) -> None:
        """Close the connection."""
        self._server.close()
