"""Backup of a PostgreSQL ledger: every table by COPY in one snapshot, read back into an empty schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from bus.errors import NotAllowed
from bus.ledger.postgres import connect, migrate, translated, version
from bus.ledger.postgres_refusal import unreachable

if TYPE_CHECKING:
    from bus.ledger.backup import Manifest

Tell = Callable[[str, int, int], None]
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r' "
    "AND relpersistence = 'p' AND relname NOT IN ('schema_version', 'commit_mark', 'lease') ORDER BY relname"
)
_SEQUENCES = "SELECT sequencename, coalesce(last_value, 0) FROM pg_sequences WHERE schemaname = current_schema()"


def copy_out(url: str, folder: Path, tell: Tell) -> tuple[int, dict[str, int]]:
    """Write ``TABLE.copy`` for each table as of one moment; (schema version, last values of sequences).

    Raises:
        Unavailable: ``SYS135`` the database cannot be used.
    """
    try:
        with connect(url) as connection:
            connection.execute(b"SET idle_in_transaction_session_timeout = 0")
            connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            present = version(connection)
            names = [row[0] for row in connection.execute(_TABLES)]
            for n, name in enumerate(names, start=1):
                question = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))
                with (folder / f"{name}.copy").open("wb") as file, connection.cursor().copy(question) as rows:
                    for data in rows:
                        file.write(data)
                tell("tables", n, len(names))
            sequences: dict[str, int] = dict(connection.execute(_SEQUENCES).fetchall())
            connection.execute(b"COMMIT")
    except psycopg.Error as error:
        raise unreachable(error) from None
    return present, sequences


def copy_in(folder: Path, url: str, manifest: Manifest, who: tuple[str, str], tell: Tell) -> None:
    """Make the schema of the backup in an empty one and fill it, in one transaction.

    Raises:
        NotAllowed: ``SYS145`` there is a ledger already.
        Unavailable: ``SYS135`` the database cannot be used.
    """
    from bus.ledger.backup import after_restore  # noqa: PLC0415 - each needs the other

    try:
        with connect(url) as connection, connection.transaction():
            connection.execute(b"SET LOCAL idle_in_transaction_session_timeout = 0")
            if connection.execute("SELECT to_regclass('schema_version')").fetchone() != (None,):
                raise NotAllowed(
                    "SYS145", "there is a ledger in that database already", hint="restore into an empty one"
                )
            migrate(connection, manifest.schema)
            names = [name for name in manifest.files if name.endswith(".copy")]
            for n, name in enumerate(names, start=1):
                table = sql.Identifier(name.removesuffix(".copy"))
                connection.execute(sql.SQL("DELETE FROM {}").format(table))  # what a migration put there
                question = sql.SQL("COPY {} FROM STDIN").format(table)
                with (folder / name).open("rb") as file, connection.cursor().copy(question) as rows:
                    while data := file.read(1 << 20):
                        rows.write(data)
                tell("tables", n, len(names))
            for name, last in manifest.sequences.items():
                if last:
                    connection.execute("SELECT setval(CAST(quote_ident($1) AS regclass), $2)", (name, last))
            after_restore(lambda text, bindings: connection.execute(translated(text), bindings), manifest.at, who)
    except psycopg.Error as error:
        raise unreachable(error) from None
