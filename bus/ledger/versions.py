"""Route versions that messages are pinned to, and whether a route runs, is paused or drains."""

from __future__ import annotations

import json
from typing import Any


def store_version(tx: Any, route: str, digest: str, sources: dict[str, str], now: int) -> int:
    """Number of a route version; stored with all texts needed to compile it again."""
    row = tx.execute("SELECT id FROM route_version WHERE hash = ?", (digest,)).fetchone()
    if row is None:
        row = tx.execute(
            "INSERT INTO route_version (hash, route, sources, first_used) VALUES (?, ?, ?, ?) RETURNING id",
            (digest, route, json.dumps(sources), now),
        ).fetchone()
    return int(row[0])


def load_version(read: Any, number: int) -> tuple[str, str, dict[str, str]] | None:
    """(route, hash, sources) of a version."""
    rows = read("SELECT route, hash, sources FROM route_version WHERE id = ?", (number,))
    return (rows[0][0], rows[0][1], json.loads(rows[0][2])) if rows else None


def first_used(read: Any, route: str) -> int:
    """When the first version of a route came into use, 0 = never."""
    return int(read("SELECT min(first_used) FROM route_version WHERE route = ?", (route,))[0][0] or 0)


def set_route_state(tx: Any, route: str, state: str, now: int) -> None:
    """Remember running, paused or draining over restarts, and since when."""
    tx.execute(
        "INSERT INTO route_state VALUES (?, ?, ?) ON CONFLICT (route) DO UPDATE SET state = excluded.state, "
        "at = excluded.at WHERE route_state.state <> excluded.state",
        (route, state, now),
    )


def route_states(read: Any) -> dict[str, str]:
    """State of every route that was ever paused."""
    return dict(read("SELECT route, state FROM route_state"))


def outputs_held(read: Any) -> bool:
    """Whether the ledger was restored from a backup and nobody has let its outputs go yet."""
    return bool(read("SELECT 1 FROM meta WHERE key = 'hold_outputs' AND value = 1"))


def next_epoch(tx: Any) -> int:
    """A number for this owner of the store; grows with every start, so that its stage files can be told apart."""
    return int(tx.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value").fetchone()[0])


def identity(read: Any) -> str:
    """Which ledger this is: given by chance when it was made, and kept by its backups."""
    ((number,),) = read("SELECT value FROM meta WHERE key = 'identity'", ())
    return f"{number:016x}"


def any_with(read: Any, word: str) -> bool:
    """Whether a word stands anywhere in the texts of a version that was ever used."""
    return bool(read("SELECT 1 FROM route_version WHERE sources LIKE ? LIMIT 1", (f"%{word}%",)))
