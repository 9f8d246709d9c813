"""Planted bugs under real faults: each must be found by what the partners have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults import power, stopped
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.kill_runs import control
from tests.faults.mailboxes import EMBEDDED, Site
from tests.faults.planted import BUGS, plant

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
    "planted", "bugs planted into a copy of the tree, under the real fault that shows them", 190,
    power.missing, OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def planted(order: Order) -> Iterator[Result]:
    """Three in the short version, all that a real fault can show in the long one."""
    with RabbitCluster(1) as cluster, PostgresServer() as server:
        for bug in (*KILLED, *OTHERS) if order.full else SHORT:
            yield show(order, bug, cluster, server)


def show(order: Order, bug: str, cluster: RabbitCluster, server: PostgresServer) -> Result:
    """One bug under its fault."""
    with ExitStack() as opening:
        if bug == "no-fsync":
            return _unflushed(order)
        if bug == "no-fencing":
            return _unfenced(order, Site(ledger=opening.enter_context(schema(server.url)), attempts=100))
        if "rabbitmq" not in BUGS[bug].how:
            return control(order.seed, order.folder / bug, bug, EMBEDDED, order.tell)
        site = Site({"url": cluster.url, "prefix": f"{bug}."}, opening.enter_context(schema(server.url)))
        if bug == "confirm-ignored":
            return _unconfirmed(order, cluster, replace(site, attempts=100))
        return control(order.seed, order.folder / bug, bug, site, order.tell)


def _unfenced(order: Order, site: Site) -> Result:
    source = plant("no-fencing", order.folder / "unfenced")
    found = stopped.run(order, site, ("sink.stage:before",) * _OUTLETS, name="no-fencing", source=source)
    found.planted = "no-fencing"
    return found


def _unflushed(order: Order) -> Result:
    """The power of the bus' machine is cut."""
    source = plant("no-fsync", order.folder / "unflushed")
    found = power.run(order, _PROMISED, name="no-fsync", source=source, patience=20.0)
    found.planted = "no-fsync"
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
