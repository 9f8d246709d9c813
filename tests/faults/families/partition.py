"""The network parts: one machine of two is cut off from the broker, the database, or all, beyond its leases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults.child import Child, Pair
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site
from tests.faults.network import Cut, Network, missing

_LEASE = 1_500
"""Milliseconds that leases last here."""
_BEYOND = 7.0
"""Seconds that a machine is cut off: beyond its leases, and the deadline and heartbeat of its broker."""
_DEADLINE = "4s"
_CUTS = (
    Cut(("broker",)), Cut(("database",)), Cut(("database", "broker")), Cut(("database",), outwards=False),
    Cut(("broker",), inwards=False), Cut(("database", "broker", "partners")), Cut(("partners",)),
)  # fmt: skip
_HOSTS = ("a", "b")
_LINES = 40
_PATIENT = {"connect_timeout": "3s", "timeout": "2s", "keepalive": "1s"}


@fault(
    "partition", "one machine of two is cut off from broker, database or partners beyond its leases", 100,
    missing, OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def partition(order: Order) -> Iterator[Result]:
    """Seven partitions in the short version, a hundred and five in the long one."""
    with ExitStack() as opening:
        cluster = opening.enter_context(RabbitCluster(1))
        server = opening.enter_context(PostgresServer())
        network = opening.enter_context(Network(*_HOSTS))
        database, broker = network.serve("database", server.port), network.serve("broker", cluster.nodes[0].port)
        reached = server.url.replace(f"127.0.0.1:{server.port}", f"{network.address('database')}:{database}")
        ledger = opening.enter_context(schema(reached))
        wire = {"url": f"amqp://{network.address('broker')}:{broker}", "deadline": _DEADLINE, "heartbeat": "5s"}
        site = Site(
            wire, ledger, attempts=100,
            connection={"host": network.address("partners"), **_PATIENT},
            reached=lambda _name, port: network.serve("partners", port),
        )  # fmt: skip
        gateway = opening.enter_context(Gateway(order, site, cluster, lines=_LINES))
        processes = Pair(
            *(Child(gateway.boxes.landscape, name=host, inside=network.inside(host), lease=_LEASE) for host in _HOSTS)
        )
        opening.callback(processes.close)
        processes.start()
        gateway.give_work()
        gateway.breathe(30.0)
        for number, cut in enumerate(_CUTS * (15 if order.full else 1)):
            host = _HOSTS[number % len(_HOSTS)]
            gateway.strike(f"{host} is cut off {cut.name}", lambda: network.cut(host, cut))  # noqa: B023 - used at once
            gateway.give_work()
            time.sleep(_BEYOND)
            network.heal(host)
            gateway.breathe()
        yield gateway.result("partition", "partition", processes)
