"""Planted bugs under real faults: each must be found by what the partners have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults import stopped
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.kill_runs import control
from tests.faults.mailboxes import EMBEDDED, Site
from tests.faults.planted import BUGS, plant

SHORT = ("no-stage-rule", "claim-never-recovered", "no-inbox")
KILLED = (*SHORT, *(name for name, bug in BUGS.items() if bug.killed_at and name not in SHORT))
"""Those that a kill at their effect shows."""
_KILLS = 3
_HANGS = 2.0
_OUTLETS = 4
"""Whoever stages first is another outlet each time; a bank takes away what it is given, so there a second one shows."""


@fault(
    "planted", "bugs planted into a copy of the tree, under the real fault that shows them", 200,
    OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def planted(order: Order) -> Iterator[Result]:
    """Four in the short version, the others that a real fault can show in the long one besides."""
    with RabbitCluster(1) as cluster, PostgresServer() as server:
        for bug in KILLED if order.full else SHORT:
            with ExitStack() as opening:
                site = EMBEDDED
                if "rabbitmq" in BUGS[bug].how:
                    ledger = opening.enter_context(schema(server.url))
                    site = Site({"url": cluster.url, "prefix": f"{bug}."}, ledger)
                yield control(order.seed, order.folder / bug, bug, site, order.tell)
        if order.full:
            with schema(server.url) as ledger:
                yield _unfenced(order, Site(ledger=ledger, attempts=100))
        with schema(server.url) as ledger:
            yield _unconfirmed(
                order, cluster, Site({"url": cluster.url, "prefix": "unconfirmed."}, ledger, attempts=100)
            )


def _unfenced(order: Order, site: Site) -> Result:
    source = plant("no-fencing", order.folder / "unfenced")
    found = stopped.run(order, site, ("sink.stage:before",) * _OUTLETS, name="no-fencing", source=source)
    found.planted = "no-fencing"
    return found


def _unconfirmed(order: Order, cluster: RabbitCluster, site: Site) -> Result:
    """The broker hangs for a moment, in which it takes what is sent without looking at it, and dies."""
    source = plant("confirm-ignored", order.folder / "source")
    node = cluster.nodes[0]
    with Gateway(order, site, cluster, name="confirm-ignored") as gateway:
        processes = Fleet(gateway.boxes.landscape, source)
        try:
            processes.up(2)
            for _ in range(_KILLS):
                gateway.strike("SIGSTOP of the broker, then SIGKILL", lambda: _hang_and_die(cluster))
                node.start()
                gateway.breathe()
            found = gateway.result("broker hangs and dies", "broker", processes, patience=30.0)
        finally:
            processes.close()
    found.planted = "confirm-ignored"
    return found


def _hang_and_die(cluster: RabbitCluster) -> None:
    node = cluster.nodes[0]
    node.freeze()
    time.sleep(_HANGS)
    node.kill()
