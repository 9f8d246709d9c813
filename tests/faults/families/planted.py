"""Planted bugs under real faults: each must be found by what the partners have, and only where the bug is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults import power, stopped
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, beside_sound, fault
from tests.faults.gateway import Gateway
from tests.faults.kill_runs import aimed
from tests.faults.mailboxes import EMBEDDED, MANY, Site
from tests.faults.planted import BUGS

SHORT = ("no-stage-rule", "no-inbox", "no-fsync")
KILLED = tuple(name for name, bug in BUGS.items() if bug.killed_at)
"""Those that a kill at their effect shows."""
OTHERS = ("no-fencing", "no-fsync", "confirm-ignored")
"""Those with a fault of their own: a process that is stopped beyond its leases, a power cut, a broker that hangs."""
_KILLS = 3
_HANGS = 2.0
_PROMISED = ("source.done:after",) * 4
"""Where power is cut after a partner was told that its file is taken."""
_OUTLETS = 6
"""Whoever stages first is another outlet each time; a bank takes away what it is given, so there a second one shows."""


@fault(
    "planted", "bugs planted into a copy of the tree, under the real fault that shows them, and the same without", 240,
    power.missing, OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def planted(order: Order) -> Iterator[Result]:
    """Three in the short version, all that a real fault can show in the long one."""
    with RabbitCluster(1) as cluster, PostgresServer() as server:
        for bug in (*KILLED, *OTHERS) if order.full else SHORT:
            yield show(order, bug, cluster, server)


def show(order: Order, bug: str, cluster: RabbitCluster, server: PostgresServer) -> Result:
    """One bug under its fault, and the same without it."""

    def strike(source: Path, folder: Path) -> Result:
        with schema(server.url) as ledger:
            return _strike(replace(order, folder=folder), bug, source, (cluster, ledger))

    return beside_sound(bug, order.folder / bug, strike)


def _strike(order: Order, bug: str, source: Path, services: tuple[RabbitCluster, str]) -> Result:
    """What shows a bug, to a tree with or without it."""
    cluster, ledger = services
    if bug == "no-fsync":
        return power.run(order, _PROMISED, name=bug, source=source, patience=20.0)
    if bug == "no-fencing":
        site = Site(ledger=ledger, attempts=100)
        return stopped.run(order, site, ("sink.stage:before",) * _OUTLETS, name=bug, source=source)
    if "rabbitmq" not in BUGS[bug].how:
        return aimed(bug, order.seed, source, order.folder, EMBEDDED, order.tell)
    broker = {"url": cluster.url, "prefix": f"{bug}.{order.folder.name}.", "delivery_limit": MANY}
    site = Site(broker, ledger, attempts=100)
    if bug == "confirm-ignored":
        return _hanging(order, cluster, site, source)
    return aimed(bug, order.seed, source, order.folder, site, order.tell)


def _hanging(order: Order, cluster: RabbitCluster, site: Site, source: Path) -> Result:
    """The broker hangs for a moment, in which it takes what is sent without looking at it, and dies."""
    node = cluster.nodes[0]
    with Gateway(order, site, cluster, name="hanging") as gateway:
        processes = Fleet(gateway.boxes.landscape, source)
        try:
            processes.up(2)
            for _ in range(_KILLS):
                gateway.strike("SIGSTOP of the broker, then SIGKILL", lambda: _hang_and_die(cluster))
                node.start()
                gateway.breathe()
            return gateway.result("broker hangs and dies", "broker", processes, patience=30.0)
        finally:
            processes.close()


def _hang_and_die(cluster: RabbitCluster) -> None:
    node = cluster.nodes[0]
    node.freeze()
    time.sleep(_HANGS)
    node.kill()
