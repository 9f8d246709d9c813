"""Messages of one key keep their order: through retries, reloads, two buses on one ledger, deaths and frozen owners."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from faulty import Partner, Troubles, catalogue

from bus import key_text
from bus.app import App, Surroundings
from bus.errors import ConfigError, Rejected, Retryable
from bus.ledger import instructions
from bus.message import Remember, decode
from bus.testing.clock import ManualClock
from bus.testing.endpoints import ScriptedArrival, ScriptedSource
from bus.testing.wire import MemoryRabbit, Misbehaviour

BUS = "name: order\nledger: ${env:TEST_LEDGER}\noutlets:\n  out: {endpoint: {file: {path: out}}, format: json}\n"
ROUTE = """\
route: flow
from: {file: {path: in, poll: {every: 1s}}}
batch: 7
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - partition: {name: accounts, by: account, partitions: 4}
  - trouble: {name: trouble}
to: out
on_error: {attempts: 9, backoff: {first: 10s, factor: 1}}
"""
ACCOUNTS = ("DE", "FR", "BE", "NL", "AT", "CH", "IT")
TERM = 3_000
"""Milliseconds of a lease in these tests."""


class Town:
    """Buses on one ledger that share a source and a partner, turned by hand."""

    def __init__(self, folder: Path, ledger: str, monkeypatch: pytest.MonkeyPatch, route: str = ROUTE) -> None:
        ledger, self.rabbit = ledger.removesuffix("+rabbit"), bad_rabbit() if ledger.endswith("+rabbit") else None
        monkeypatch.setenv("TEST_LEDGER", ledger)
        self.folder = folder
        (folder / "bus.yaml").write_text(BUS if ledger else BUS.replace("ledger: ${env:TEST_LEDGER}\n", ""))
        (folder / "flow.route.yaml").write_text(route)
        self.clock = ManualClock()
        self.troubles = Troubles()
        self.source = ScriptedSource()
        self.partner = Partner()
        self.sent: list[dict[str, Any]] = []
        self.apps: list[App] = []

    def bus(self) -> App:
        around = Surroundings(
            clock=self.clock,
            chance=random.Random(len(self.apps)),  # noqa: S311 - spreads retries, guards nothing
            catalogue=catalogue(self.troubles),
            source=lambda _spec, _resources: self.source,
            sink=lambda _spec, _resources: self.partner,
            wire=self.rabbit.wire() if self.rabbit else None,
        )
        app = App(self.folder, around, home=self.folder / "store")
        app.ledger.holdings.term = TERM
        self.apps.append(app)
        return app

    def send(self, name: str, rows: int) -> None:
        lines = [{"id": f"{name}-{n}", "account": ACCOUNTS[n * n % 7]} for n in range(rows)]
        self.sent += lines
        self.source.arrivals.append(ScriptedArrival(name, "".join(json.dumps(line) + "\n" for line in lines).encode()))

    def arrived(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.partner.order]

    def turn(self, *apps: App, until: int = 0) -> None:
        """Turn buses until everything, or so many lines, arrived; time passes, leases are renewed."""
        end = time.monotonic() + 30
        while len(self.partner.order) < (until or len(self.sent)):
            assert time.monotonic() < end, f"{len(self.partner.order)} of {len(self.sent)}"
            for app in apps:
                app.ledger.holdings.renew()
                app.bus.turn()
            self.clock.advance(1_000)

    def everything_in_order(self, besides: tuple[str, ...] = ()) -> None:
        found = self.arrived()
        assert sorted(r["id"] for r in found) == sorted(r["id"] for r in self.sent if r["id"] not in besides)
        for account in ACCOUNTS:
            came = [r["id"] for r in found if r["account"] == account]
            assert came == [r["id"] for r in self.sent if r["account"] == account and r["id"] not in besides], account


def bad_rabbit() -> MemoryRabbit:
    """A broker that hands out in any order and stores some messages twice."""
    return MemoryRabbit(random.Random(3), Misbehaviour(doubled=0.1, shuffled=True))  # noqa: S311 - repeatable


@pytest.fixture(params=["sqlite", "postgres", "sqlite+rabbit", "postgres+rabbit"])
def ledger(request: pytest.FixtureRequest) -> str:
    place, plus, backbone = request.param.partition("+")
    return ("" if place == "sqlite" else str(request.getfixturevalue("postgres_url"))) + plus + backbone


@pytest.fixture(params=["", "+rabbit"])
def shared(request: pytest.FixtureRequest, postgres_url: str) -> str:
    return postgres_url + str(request.param)


def spin(app: App) -> None:
    """Do all that can be done now."""
    while app.bus.turn():
        pass


def close(town: Town) -> None:
    for app in town.apps:
        app.close()


def test_a_failing_message_keeps_its_key_waiting_and_no_other(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, ledger, monkeypatch)
    app = town.bus()
    town.send("one", 40)
    town.send("two", 40)
    town.troubles.by_id = {"one-1": Retryable("NET001", "away"), "one-8": Retryable("NET001", "away")}  # both of FR
    stuck = [r["id"] for r in town.sent if r["account"] == "FR"]
    assert {"one-1", "one-8"} < set(stuck)
    spin(app)
    assert sorted(r["id"] for r in town.arrived()) == sorted(r["id"] for r in town.sent if r["account"] != "FR")
    assert len(app.store.read("SELECT 1 FROM deferred")) == len(stuck)
    del town.troubles.by_id["one-1"]
    town.clock.advance(15_000)
    spin(app)
    assert [r["id"] for r in town.arrived() if r["account"] == "FR"] == ["one-1", "one-6"], "up to the next that fails"
    town.troubles.by_id.clear()
    town.turn(app)
    town.everything_in_order()
    assert app.store.read("SELECT 1 FROM deferred") == []
    close(town)


def test_a_partner_who_fails_for_a_while_changes_no_order(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, ledger, monkeypatch)
    app = town.bus()
    for n in range(4):
        town.send(f"f{n}", 30)
        town.partner.away = Retryable("NET001", "away") if n % 2 else None
        town.partner.breaks = None if n % 2 else Retryable("NET001", "breaks off")
        spin(app)
        assert app.store.read("SELECT channel, line FROM deferred") == [("out", "*")]
        assert town.partner.order == []
        town.clock.advance(400)  # too early
        spin(app)
    town.partner.breaks = town.partner.away = None
    town.turn(app)
    town.everything_in_order()
    assert app.store.read("SELECT 1 FROM deferred") == []
    close(town)


def test_what_a_partner_never_takes_stands_aside_in_its_outlet(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, ledger, monkeypatch)
    app = town.bus()
    town.send("one", 30)
    town.partner.away = Retryable("NET001", "away")
    for _ in range(300):
        spin(app)
        town.clock.advance(600_000)
        if app.store.read("SELECT 1 FROM dead"):
            break
    town.partner.away = None
    ((dead,),) = app.store.read("SELECT payload FROM dead")
    town.turn(app, until=29)
    town.everything_in_order(besides=(decode(dead).body["id"],))
    close(town)


def test_a_rejected_message_stands_aside_and_its_key_goes_on(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, ledger, monkeypatch)
    app = town.bus()
    town.send("one", 20)
    town.troubles.by_id = {"one-1": Rejected("VAL001", "never"), "one-0": Retryable("NET001", "away")}
    town.turn(app, until=len([r for r in town.sent if r["account"] != "DE"]) - 1)
    town.clock.advance(200_000)
    for _ in range(12):  # nine attempts, then it is a dead letter
        app.bus.turn()
        town.clock.advance(20_000)
    spin(app)
    town.everything_in_order(besides=("one-0", "one-1"))
    assert app.store.read("SELECT count(*) FROM dead") == [(2,)]
    close(town)


def test_two_buses_share_the_partitions_and_one_dies(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, shared, monkeypatch)
    one, two = town.bus(), town.bus()
    for n in range(6):
        town.send(f"f{n}", 40)
    town.troubles.by_id = {"f0-1": Retryable("NET001", "away")}
    town.turn(one, two, until=20)
    held: list[int] = []
    end = time.monotonic() + 20
    while held != [2, 2]:
        assert time.monotonic() < end, f"each should have its share: {held}"
        for app in (one, two):
            app.ledger.holdings.renew()
            app.bus.turn()
        town.clock.advance(1_000)
        held = [sum(app.ledger.holdings.has(f"channel flow#accounts~4.{n}") for n in range(4)) for app in (one, two)]
    assert len(town.partner.order) < len(town.sent)
    town.troubles.by_id.clear()
    begin = time.monotonic()  # the first one is never turned again, nor gives anything back
    town.turn(two)
    assert time.monotonic() - begin < 20
    town.everything_in_order()
    close(town)


def test_a_frozen_owner_wakes_and_does_no_harm(tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(tmp_path, shared, monkeypatch)
    one, two = town.bus(), town.bus()
    for n in range(3):
        town.send(f"f{n}", 40)
    frozen: list[str] = []

    def freeze() -> None:
        """In the middle of a batch of the one, longer than its lease: the other does everything meanwhile."""
        if frozen:
            return
        frozen.append("f1-1")
        time.sleep(TERM / 1000 + 0.2)
        town.turn(two, until=len(town.sent))

    town.troubles.by_id = {"f1-1": freeze}
    for _ in range(40):
        one.ledger.holdings.renew()
        one.bus.turn()
        town.clock.advance(1_000)
    assert frozen
    town.everything_in_order()
    assert one.store.read("SELECT count(*) FROM queued") == [(0,)]
    close(town)


def test_the_number_of_partitions_changes_only_when_nothing_waits(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, ledger, monkeypatch)
    app = town.bus()
    town.send("one", 20)
    town.troubles.by_id = {"one-1": Retryable("NET001", "away")}
    spin(app)
    (tmp_path / "flow.route.yaml").write_text(ROUTE.replace("partitions: 4", "partitions: 3"))
    with pytest.raises(ConfigError) as caught:
        app.reload()
    assert caught.value.code == "SYS166"
    town.troubles.by_id.clear()
    town.turn(app)
    app.reload()
    town.send("two", 20)
    town.turn(app)
    town.everything_in_order()
    assert "flow#accounts~3.2" in app.bus.assembly.routes[0].channels
    close(town)


def test_buses_that_reload_at_different_moments_finish_what_came_in_under_the_old_version(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, shared, monkeypatch)
    one, two = town.bus(), town.bus()
    town.send("old", 30)
    town.turn(one, two, until=5)
    old = {r.version for r in one.bus.assembly.routes}
    (tmp_path / "flow.route.yaml").write_text(ROUTE.replace("to: out", "summary: new\nto: out"))
    two.reload()
    town.send("new", 30)
    town.turn(one, two, until=40)  # one still has the old version and works on messages of the new one
    assert {r.version for r in one.bus.assembly.routes} == old
    one.reload()
    town.send("newest", 30)
    town.turn(one, two)
    town.everything_in_order()
    late = town.bus()  # one that never saw the old version compiles it from the ledger
    assert late.bus.book.pinned("flow", min(old)).version in old
    close(town)


def test_what_stands_at_the_head_of_a_line_and_is_refused_by_its_commit_is_not_doubled(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = ROUTE.replace("  - trouble:", "  - idempotent: {name: once, key: id}\n  - trouble:")
    town = Town(tmp_path, ledger, monkeypatch, once)
    app = town.bus()
    town.send("one", 8)
    town.troubles.by_id = {"one-1": Retryable("NET001", "away")}
    spin(app)
    assert len(app.store.read("SELECT 1 FROM deferred")) == 2, "it and the one behind it, of the same key"

    def another_unit_is_faster() -> None:
        """Between the look at what is remembered and the commit."""
        town.troubles.by_id.clear()
        wish = Remember("idempotent/flow/once", key_text("one-1"), "f" * 32)
        app.ledger.commit("test", lambda tx: instructions.remember(tx, wish, town.clock.now()))

    town.troubles.by_id = {"one-1": another_unit_is_faster}
    for _ in range(6):
        town.clock.advance(20_000)
        spin(app)
    assert app.store.read("SELECT 1 FROM deferred") == []
    assert app.store.read("SELECT outcome, count FROM tally WHERE place LIKE '%~%' AND outcome = 'filtered'") == [
        ("filtered", 1)
    ], "the refused one runs again once, and finds its key known"
    town.everything_in_order(besides=("one-1",))
    close(town)


def test_a_bus_that_has_not_reloaded_works_on_messages_for_partitions_that_it_did_not_know(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(tmp_path, shared, monkeypatch)
    old = town.bus()
    town.send("one", 20)
    town.turn(old)
    (tmp_path / "flow.route.yaml").write_text(ROUTE.replace("partitions: 4", "partitions: 3"))
    new = town.bus()
    town.send("two", 60)
    end = time.monotonic() + 20
    while not old.store.read("SELECT 1 FROM batch WHERE state = 'open'"):  # taken in under the new version
        assert time.monotonic() < end
        new.bus.poll_once("flow")
        new.bus.run_batch("flow")
    new.ledger.holdings.release()
    for _ in range(40):
        old.bus.turn()
    assert all(old.broker.in_order(f"flow#accounts~3.{n}") for n in range(3))
    town.turn(old, new)
    town.everything_in_order()
    close(town)
