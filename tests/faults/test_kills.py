"""SIGKILL of the bus and of its partners' servers: payments are counted per EndToEndId in the banks' own journals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bus.app import App, Surroundings
from bus.config import load_landscape
from bus.ledger.store import Store
from bus.testing.clock import ManualClock
from bus.testing.judge import Scene, judge
from bus.testing.landscape import BANKS, ERP, Town, schemas
from bus.testing.partner import Account, Partner
from bus.testing.sshd import OpenSshServer
from endpoints.sftp import SftpConnection
from tests.conftest import needs
from tests.faults.frame import beside_sound
from tests.faults.kill_runs import Series, aimed, run
from tests.faults.mailboxes import ROUTES
from tests.faults.planted import BUGS

HIT = ("source.done", "sink.rename", "commit.segment", "commit.delivered")


@pytest.fixture
def sshd() -> None:
    needs(OpenSshServer.missing())


@pytest.mark.sshd
@pytest.mark.usefixtures("sshd")
@pytest.mark.timeout(300)
def test_a_killed_bus_loses_and_doubles_nothing(tmp_path: Path) -> None:
    found = run(Series(seed=20261124, effects=HIT, by_chance=1, lines=40), tmp_path)

    assert found.clean, found.text()
    assert found.kills >= len(HIT)
    assert found.verdict.statuses > 0
    assert found.verdict.entries > found.verdict.files > 0


@pytest.mark.sshd
@pytest.mark.usefixtures("sshd")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", ["ack-before-commit"])
def test_kills_find_a_planted_bug(bug: str, tmp_path: Path) -> None:
    found = beside_sound(bug, tmp_path, lambda source, folder: aimed(bug, 5, source, folder))

    assert found.good, f"nobody noticed that {BUGS[bug].story}\n{found.text()}"


# ---------------------------------------------------------------- the partners' servers


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Partner]]:
    """Servers without posix-rename of which the session dies in every single rename, between link and unlink."""
    monkeypatch.setenv("PASSWORD", "made-up")
    with ExitStack() as opening:
        found = {}
        for name in (ERP, *BANKS):
            folder = tmp_path / "partners" / name
            folder.mkdir(parents=True)
            partner = opening.enter_context(Partner({"bus": Account(folder, password="made-up")}))
            partner.habits.posix_rename = False
            partner.habits.die_in_rename = "between"
            found[name] = partner
        yield found


def test_servers_that_die_between_link_and_unlink_of_every_rename(tmp_path: Path, servers: dict[str, Partner]) -> None:
    clock = ManualClock()
    town = Town(tmp_path / "partners", clock, seed=3)
    loaded = load_landscape(ROUTES).require()
    secret = {"user": "bus", "password": "${env:PASSWORD}"}
    connections: dict[str, Any] = {
        name: SftpConnection.model_validate({"host": s.host, "port": s.port, "host_keys": [s.fingerprint], **secret})
        for name, s in servers.items()
    }
    local = tmp_path / "local"

    def sink(spec: Any, resources: Any) -> Any:
        if spec.key == "file":
            spec = spec.model_copy(update={"path": str(local / Path(spec.path).name)})
        return spec.sink(resources)

    store = Store(None)
    around = Surroundings(clock, Random(1), sink=sink, store=store)  # noqa: S311 - repeatable
    app = App(ROUTES, around, home=tmp_path / "home", landscape=replace(loaded, connections=connections))
    good = town.erp.payment_run(1, 30)
    runs = [good, good.duplicate("PAYRUN_20261124_AGAIN.csv")]
    for one in runs:
        town.erp.drop(one)

    for step in range(3):
        for _ in range(60):
            app.bus.turn()
            clock.advance(360_000)  # longer than a source rests after many failures in a row
        if step == 0:
            assert town.work_once()
            town.work_once()
        elif step == 1:
            for bank in town.banks.values():
                bank.statement(date(2026, 11, 24))
    app.bus.stop()
    verdict = judge(Scene(town, runs, store.read, tmp_path / "home", schemas(), local))
    app.close()

    assert verdict.clean, verdict.story()
    assert verdict.files > 2
