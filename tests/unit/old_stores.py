"""Stores as older programs left them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw

from bus.ledger.place import Place


def store_before(place: Place, migration: str) -> Any:
    """A connection to a new store of the program before the one whose migration has ``migration`` in its text."""
    kind = "sqlite" if isinstance(place, Path) else "postgres"
    scripts = sorted(files("bus.ledger").joinpath("migrations", kind).iterdir(), key=lambda script: script.name)
    texts = [script.read_text("utf-8") for script in scripts]
    before = next(number for number, text in enumerate(texts) if migration in text)
    if not isinstance(place, Path):
        from bus.ledger import postgres  # noqa: PLC0415 - an extra

        connection = postgres.connect(place)
        postgres.migrate(connection, before)
        return connection
    old = apsw.Connection(str(place))
    old.execute("PRAGMA journal_mode = WAL")
    for text in texts[:before]:
        old.execute(text)
    old.execute(f"PRAGMA user_version = {before}")
    return old
