"""Stores as older programs left them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import apsw


def store_before(path: Path, migration: str) -> apsw.Connection:
    """A new store of the program before the one whose migration has ``migration`` in its text."""
    scripts = sorted(files("bus.ledger").joinpath("migrations", "sqlite").iterdir(), key=lambda script: script.name)
    texts = [script.read_text("utf-8") for script in scripts]
    before = next(number for number, text in enumerate(texts) if migration in text)
    old = apsw.Connection(str(path))
    old.execute("PRAGMA journal_mode = WAL")
    for text in texts[:before]:
        old.execute(text)
    old.execute(f"PRAGMA user_version = {before}")
    return old
