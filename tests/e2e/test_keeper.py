"""Who keeps the house is frozen and wakes when another process has long done it: nothing is done twice."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty import Partner, Troubles, catalogue

from bus.app import App, Surroundings
from bus.errors import Retryable
from bus.testing.clock import ManualClock
from bus.testing.endpoints import ScriptedArrival, ScriptedSource

LANDSCAPE = {
    "bus.yaml": "name: house\nledger: '{url}'\noutlets:\n  out: {endpoint: {file: {path: out}}}\n",
    "silent.route.yaml": """\
route: silent
from: {file: {path: never}}
expect: [{file_by: "08:01", weekdays: all}]
to: none
""",
    "flow.route.yaml": """\
route: flow
from: {file: {path: in, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - trouble: {name: trouble}
  - delay: {name: later, for: 1m}
  - resequence: {name: turn, by: [account], number: n, timeout: 2m}
  - aggregate: {name: file, by: [account], complete: {after: 30s}}
  - translate: {name: lines, to: {json: {document: list}}}
to: out
on_error: {attempts: 9, backoff: {first: 10s, factor: 1}}
""",
}
TERM = 1_000
ROWS = [{"id": f"{account}{n}", "account": account, "n": n} for account in "AB" for n in (1, 2, 4)]
"""Number 3 never comes."""


class House:
    """Two processes on one ledger; the first is frozen at a moment, longer than its leases, the second does it all."""

    def __init__(self, folder: Path, url: str, label: str, occurrence: int) -> None:
        for name, text in LANDSCAPE.items():
            (folder / name).write_text(text.replace("{url}", url))
        self.folder = folder
        self.clock = ManualClock()
        self.troubles = Troubles({"A1": Retryable("NET001", "away")})
        self.partner = Partner()
        self.sources = {"flow": ScriptedSource(), "silent": ScriptedSource()}
        self.moment, self.left = label, occurrence
        self.one, self.two = self._bus(self._freeze), self._bus(lambda _label: None)

    def _bus(self, effect: Callable[[str], None]) -> App:
        around = Surroundings(
            clock=self.clock,
            chance=random.Random(1),  # noqa: S311 - spreads retries, guards nothing
            effect=effect,
            catalogue=catalogue(self.troubles),
            source=lambda _spec, resources: self.sources[resources.name],
            sink=lambda _spec, _resources: self.partner,
        )
        app = App(self.folder, around, home=self.folder / "store")
        app.ledger.holdings.term = TERM
        return app

    def _freeze(self, label: str) -> None:
        if label != self.moment or self.left == 0:
            return
        self.left -= 1
        if self.left == 0:
            time.sleep(TERM / 1000 + 0.1)
            self.turn(self.two, 60)

    def turn(self, app: App, times: int) -> None:
        for _ in range(times):
            app.ledger.holdings._asked.clear()  # else it asks for a lease twice a second, of a clock that is not ours
            while app.bus.turn():
                pass
            self.troubles.by_id.clear()
            self.clock.advance(10_000)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.one.store.read(sql)


@pytest.mark.parametrize("label", ["commit.due:before", "commit.due:after", "commit.case:before", "commit.case:after"])
@pytest.mark.parametrize("occurrence", [1, 2, 3])
def test_a_frozen_keeper_does_nothing_twice(tmp_path: Path, postgres_url: str, label: str, occurrence: int) -> None:
    if "case" in label and occurrence > 1:
        pytest.skip("there is one case of that kind")
    house = House(tmp_path, postgres_url, label, occurrence)
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    house.sources["flow"].arrivals.append(ScriptedArrival("one.jsonl", content))
    house.turn(house.one, 60)
    house.turn(house.two, 10)
    house.turn(house.one, 10)
    assert house.left == 0, "it was frozen"
    came = [row["id"] for body in house.partner.order for row in json.loads(body)]
    assert sorted(came) == sorted(row["id"] for row in ROWS)
    assert sorted(house.rows("SELECT code, state, count FROM cases")) == [
        ("SEQ101", "open", 1), ("SEQ101", "open", 1), ("SLA101", "open", 1)
    ]  # fmt: skip
    for table in ("deferred", "held", "parked", "queued"):
        assert house.rows(f"SELECT 1 FROM {table}") == [], table  # noqa: S608 - names from above
    assert house.rows("SELECT DISTINCT state FROM gathering") == [("swept",)]
    for app in (house.one, house.two):
        app.close()
