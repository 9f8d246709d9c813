"""A bus on local folders that a test turns by hand, in one thread, under a clock that stands."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Self

from bus.app import App, Surroundings
from bus.ledger.store import Store
from bus.message import decode
from bus.testing.clock import ManualClock
from bus.testing.landscape import local_edges

ROUTES = Path(__file__).parents[2] / "routes"
SAMPLES = ROUTES / "bank-gateway" / "samples" / "tests"


def landscape(folder: Path, files: dict[str, str]) -> Path:
    """Write the files of a landscape."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


class House:
    """A landscape whose partners are folders below ``root/partners``; ``file`` endpoints are in ``partners/local``.

    Args:
        root: empty folder.
        folder: the landscape.
        around: other surroundings, such as hostile sources.
    """

    def __init__(self, root: Path, folder: Path = ROUTES, **around: Any) -> None:
        self.partners = root / "partners"
        self.clock = ManualClock()
        source, sink = local_edges(self.partners)
        for partner in (
            "erp/outbox",
            "erp/inbox",
            *(f"bank-{b}/{box}" for b in ("north", "south") for box in ("inbox", "outbox")),
        ):
            (self.partners / partner).mkdir(parents=True, exist_ok=True)
        (self.partners / "local" / "in").mkdir(parents=True, exist_ok=True)
        chance = random.Random(1)  # noqa: S311 - spreads retries, guards nothing
        made = {"source": source, "sink": sink, "store": Store(None), "chance": chance, **around}
        self.app = App(folder, Surroundings(**{"clock": self.clock, **made}), home=root / "home")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()

    def drop(self, path: str, content: bytes) -> None:
        """A partner puts a file (with its marker, where the ERP does) into a folder."""
        place = self.partners / path
        place.write_bytes(content)
        if path.startswith("erp/"):
            place.with_name(place.name + ".done").touch()

    def settle(self, turns: int = 300) -> None:
        """Turn until nothing happens any more, although every source was looked at again."""
        quiet = 0
        for _ in range(turns):
            quiet = 0 if self.app.bus.turn() else quiet + 1
            self.clock.advance(500)
            if quiet > 14:
                return
        raise AssertionError("the bus did not come to rest")

    def later(self, milliseconds: int) -> None:
        """Time passes, then all there is to do is done."""
        self.clock.advance(milliseconds)
        self.settle()

    def rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        """Rows of the ledger."""
        return self.app.store.read(sql, bindings)

    def cases(self) -> list[str]:
        """Codes of the open cases, sorted."""
        return sorted(row[0] for row in self.rows("SELECT code FROM cases WHERE state = 'open'"))

    def case(self, code: str) -> int:
        """Number of the open case with that code."""
        return int(self.rows("SELECT id FROM cases WHERE state = 'open' AND code = ?", code)[0][0])

    def dead(self) -> list[Any]:
        """Bodies of the dead letters."""
        return [decode(row[0]).body for row in self.rows("SELECT payload FROM dead ORDER BY id")]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - names of the test

    def files(self, folder: str) -> dict[str, bytes]:
        """What lies in a partner's folder, without what is hidden."""
        place = self.partners / folder
        found = sorted(place.iterdir()) if place.exists() else []
        return {path.name: path.read_bytes() for path in found if path.is_file() and not path.name.startswith(".")}
