"""A landscape that carries numbered lines from one folder to another over a shared ledger, and counts them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.ledger.place import open_reading

ROUTE = """\
route: flow
owner: desk
from: {file: {path: in, match: "*.jsonl", poll: {every: 1s}, ready: {suffix: .tmp}}}
batch: 10
steps:
  - parse: jsonl
  - split: {name: rows, each: rows, keys: {id: id}}
  - filter: {name: wanted, when: id != 'none'}
  - aggregate: {name: file, by: [to], complete: {batch: true}}
  - translate: {name: lines, to: {json: {document: list}}}
to: out
on_error: {attempts: 50, backoff: {first: 100ms, factor: 1}}
"""
PATIENCE = 40.0


class Town:
    """The folder of the landscape, what was sent into it, and what came out of it."""

    def __init__(self, folder: Path, url: str, bus: str, route: str = ROUTE) -> None:
        self.folder = folder
        self.url = url
        folder.mkdir()
        (folder / "bus.yaml").write_text(bus)
        (folder / "flow.route.yaml").write_text(route)
        for name in ("in", "out"):
            (folder / name).mkdir()
        self.sent: set[str] = set()

    def log(self) -> str:
        """The last words of all processes."""
        return "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*.log"))

    def send(self, file: int, lines: int) -> None:
        rows = [{"id": f"{file}-{n}", "to": "abc"[n % 3]} for n in range(lines)]
        self.sent |= {str(row["id"]) for row in rows}
        path = self.folder / "in" / f"{file}.jsonl"
        path.with_suffix(".tmp").write_text("".join(json.dumps(row) + "\n" for row in rows))
        path.with_suffix(".tmp").rename(path)

    def arrived(self) -> list[str]:
        """Ids of all lines in all files that came out."""
        found = []
        for path in sorted((self.folder / "out").iterdir()):
            if path.is_file():
                found += [str(row["id"]) for row in json.loads(path.read_text())]
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with open_reading(self.url) as reading:
            return reading.rows(sql)

    def wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"{len(set(self.arrived()))} of {len(self.sent)} arrived\n{self.log()}")
            time.sleep(0.1)

    def everything_arrived_once(self) -> None:
        self.wait(lambda: len(self.arrived()) >= len(self.sent))
        assert sorted(self.arrived()) == sorted(self.sent)
        self.wait(lambda: self.rows("SELECT count(*) FROM queued") == [(0,)])
        assert self.rows("SELECT code, summary FROM cases") == []
