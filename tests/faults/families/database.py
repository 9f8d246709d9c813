"""kill -9 of PostgreSQL: of the whole server, of a process of ours in it, and in the middle of a COMMIT."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site

_COMMITTING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_PATIENCE = 10.0


@fault(
    "database", "kill -9 of PostgreSQL, also in the middle of COMMIT", 75,
    OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def database(order: Order) -> Iterator[Result]:
    """Twelve kills in the short version, 160 in the long one, half of them with the channels on RabbitMQ."""
    times = 80 if order.full else 6
    for with_broker in (True, False):
        with ExitStack() as opening:
            cluster = opening.enter_context(RabbitCluster(1)) if with_broker else None
            server = opening.enter_context(PostgresServer())
            ledger = opening.enter_context(schema(server.url))
            site = Site({} if cluster is None else {"url": cluster.url}, ledger, attempts=100)
            gateway = opening.enter_context(Gateway(order, site, cluster, name=f"broker-{with_broker}"))
            processes = Fleet(gateway.boxes.landscape)
            opening.callback(processes.close)
            processes.up(2)
            acts = {
                "the server": server.kill,
                "the server in the middle of COMMIT": lambda: in_commit(server),  # noqa: B023 - used at once
                "a process of ours in the server": server.kill_backend,
            }
            for number in gateway.until(times):
                name = list(acts)[number % len(acts)]
                gateway.strike(f"kill -9 of {name}", acts[name])
                server.start()
                gateway.breathe()
                processes.start()
            yield gateway.result("kill -9 of PostgreSQL", "database", processes)


def in_commit(server: PostgresServer) -> bool:
    """Have every COMMIT flush and then wait for a standby that does not exist; kill the server while some do.

    What they commit is durable, but nobody was told so. Returns whether there was one.
    """
    waits = False
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            end = time.monotonic() + _PATIENCE
            while not waits and time.monotonic() < end:
                waits = connection.execute(_COMMITTING).fetchone() != (0,)
                time.sleep(0.01)
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            server.kill()
    return waits
