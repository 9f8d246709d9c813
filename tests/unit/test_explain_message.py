"""`bus explain route R --message KEY` on the ledger of a bus that ran: held, dead, finished and unknown messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bus.app import App, Surroundings
from bus.cli import main
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

ROUTE = """\
route: reviews
from: {file: {path: in}}
money: amount
steps:
  - parse: json
  - split: {name: items, each: payments, keys: {invoice: invoice}}
  - hold: {name: desk, until: release, when: amount.value > 1000, reason: large}
  - route:
      name: way
      branches:
        - when: lookup('limits', country) == 'high' && amount.value >= 500
          to: none
        - otherwise: out
"""
TABLE = "table: limits\nrows: [{key: NO, value: high}, {key: DE, value: low}]\n"
PAYMENTS = [
    {"invoice": "INV-BIG", "country": "NO", "amount": {"value": 2000, "currency": "EUR"}},
    {"invoice": "INV-ODD", "country": "XX", "amount": {"value": 10, "currency": "EUR"}},
    {"invoice": "INV-FINE", "country": "DE", "amount": {"value": 10, "currency": "EUR"}},
]


@pytest.fixture
def landscape(tmp_path: Path) -> Path:
    """A landscape whose bus took one file and came to rest."""
    (tmp_path / "bus.yaml").write_text("outlets: {out: {endpoint: {file: {path: out}}, format: json}}\n")
    (tmp_path / "reviews.route.yaml").write_text(ROUTE)
    (tmp_path / "limits.table.yaml").write_text(TABLE)
    source = ScriptedSource(
        [ScriptedArrival("payments.json", json.dumps({"payments": PAYMENTS}).encode(), facts=(9, 9))]
    )
    clock = ManualClock(1_795_000_000_000)
    around = Surroundings(
        clock=clock, source=lambda _spec, _around: source, sink=lambda _spec, _around: RecordingSink()
    )
    app = App(tmp_path, around)
    for _ in range(200):
        if not app.bus.turn():
            break
        clock.advance(1)
    app.close()
    # Edited since: what is explained is the version that the message is pinned to.
    (tmp_path / "reviews.route.yaml").write_text(ROUTE.replace(">= 500", ">= 9999"))
    return tmp_path


def explain(folder: Path, key: str, *args: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(folder), "explain", "route", "reviews", "--message", key, *args])


def test_a_held_message_shows_where_it_would_go_in_its_own_version(landscape: Path) -> None:
    done = explain(landscape, "INV-BIG")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("It is held in front of reviews#desk, in version ") for line in lines)
    assert "way route" in lines
    assert "  [0].when  lookup('limits', country) == 'high' && amount.value >= 500  → yes" in lines
    assert "      amount.value  =  2000" in lines
    assert "desk hold" not in lines, "that step is behind it"


def test_a_dead_message_shows_the_condition_that_was_refused(landscape: Path) -> None:
    done = explain(landscape, "INV-ODD", "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["rests"] == "dead"
    refused = [part for decision in report["decisions"] for part in decision["parts"] if "refused: VAL" in part[1]]
    assert refused


def test_a_finished_message_has_its_history_only(landscape: Path) -> None:
    done = explain(landscape, "INV-FINE")
    assert done.exit_code == 0, done.stderr
    assert "not kept any more" in done.stderr
    assert done.stdout


def test_an_unknown_key_is_a_usage_error(landscape: Path) -> None:
    done = explain(landscape, "INV-NONE")
    assert done.exit_code == 2
    assert "error[CFG197]" in done.stderr
    assert explain(landscape, "INV-BIG", "--body", str(landscape / "bus.yaml")).exit_code == 2


def test_without_a_ledger_there_is_nothing_to_look_into(tmp_path: Path) -> None:
    (tmp_path / "bus.yaml").write_text("")
    assert explain(tmp_path, "INV-BIG").exit_code == 5
