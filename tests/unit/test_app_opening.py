"""A bus that cannot begin leaves nothing open: the next attempt of the same process finds everything free."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bus.app import App
from bus.errors import Stalled
from bus.testing.rabbitmq import free_port

BUS = "name: early\nbroker: {url: 'amqp://127.0.0.1:PORT'}\n"
ROUTE = "route: flow\nfrom: {file: {path: in}}\nto: none\n"


def test_a_broker_that_is_away_leaves_neither_store_nor_thread_behind(tmp_path: Path) -> None:
    text = BUS.replace("PORT", str(free_port()))
    (tmp_path / "bus.yaml").write_text(text)
    (tmp_path / "flow.route.yaml").write_text(ROUTE)
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(Stalled, match="NET221"):
            App(tmp_path)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(0.2)
    assert threading.active_count() <= before
    (tmp_path / "bus.yaml").write_text(text.partition("broker")[0])
    App(tmp_path).close()
