"""`bus status` says where channels and ledger are, when that is not the store's folder, and never a password."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bus.testing.rabbitmq import free_port
from tests.e2e.test_cli_operate import BUS, PAY, asked, bus, running, until


def site(folder: Path, more: str) -> Path:
    folder.mkdir()
    (folder / "bus.yaml").write_text(f"{BUS}{more}\n", "utf-8")
    (folder / "pay.route.yaml").write_text(PAY, "utf-8")
    return folder


def test_nothing_is_said_of_what_is_in_the_store(tmp_path: Path) -> None:
    folder = site(tmp_path / "site", "")
    status = asked(folder, "status")
    assert (status["broker"], status["ledger"]) == ("", "")
    assert "broker" not in bus(folder, "status").stdout.splitlines()[1]


def test_the_ledger_in_a_database_is_named_without_its_login(tmp_path: Path, postgres_url: str) -> None:
    folder = site(tmp_path / "site", f"ledger: {json.dumps(postgres_url)}")
    with running(folder, "run"):
        ledger = asked(folder, "status")["ledger"]
        assert ledger.startswith("PostgreSQL ")
        assert "@" not in ledger
        assert "?" not in ledger
        assert f"ledger {ledger}" in bus(folder, "status").stdout


def test_the_broker_is_named_with_its_state(tmp_path: Path, rabbit: str) -> None:
    folder = site(tmp_path / "site", f"broker: {{url: '{rabbit}', prefix: 'status.{os.getpid()}.'}}")
    assert asked(folder, "status")["broker"] == f"{rabbit}, prefix status.{os.getpid()}."
    with running(folder, "run"):
        until("it is connected", lambda: asked(folder, "status")["broker"].endswith(": connected"))


def test_a_broker_that_nobody_runs_is_only_named(tmp_path: Path) -> None:
    folder = site(tmp_path / "site", f"broker: {{url: 'amqp://127.0.0.1:{free_port()}'}}")
    assert asked(folder, "status")["broker"].startswith("amqp://127.0.0.1:")
