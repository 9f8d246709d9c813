"""A process that is stopped beyond its leases in the middle of an effect and goes on afterwards does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.testing.sshd import OpenSshServer
from tests.conftest import needs
from tests.faults.frame import Order
from tests.faults.mailboxes import Site
from tests.faults.stopped import run


@pytest.mark.sshd
@pytest.mark.timeout(400)
def test_who_wakes_while_it_stages_leaves_nothing_behind(tmp_path: Path, postgres_url: str) -> None:
    needs(OpenSshServer.missing())
    order = Order(20261128, full=False, folder=tmp_path, name="stopped")

    found = run(order, Site(ledger=postgres_url, attempts=100), ("sink.stage:before",), name="stopped")

    assert found.clean, found.text()
    assert found.kills == 1
