"""kill -9 of working processes and of their supervisor, on RabbitMQ and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import MANY, Site

_NEEDS = (OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing)
_EVERY = 8
"""One kill in so many is the supervisor's."""


@fault("fleet", "kill -9 of workers and supervisor of `bus run --workers 2`", 165, *_NEEDS)
def fleet(order: Order) -> Iterator[Result]:
    """Twenty-six kills in the short version, two hundred and forty in the long one."""
    with RabbitCluster(1) as cluster, PostgresServer() as server, schema(server.url) as ledger:
        site = Site({"url": cluster.url, "prefix": "fleet.", "delivery_limit": MANY}, ledger, attempts=100)
        with Gateway(order, site, cluster) as gateway:
            processes = Fleet(gateway.boxes.landscape)
            try:
                processes.up(2)
                for number in range(240 if order.full else 26):
                    if number % _EVERY == _EVERY - 1:
                        gateway.strike("kill -9 of the supervisor", processes.kill_supervisor)
                    else:
                        gateway.strike("kill -9 of a worker", lambda: processes.kill_one(gateway.chance))
                    gateway.breathe()
                yield gateway.result("kill -9 of workers and supervisor", "bus", processes)
            finally:
                processes.close()
