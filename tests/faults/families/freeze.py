"""What is there and does not answer: a worker stopped beyond its leases, a stopped broker, a broker out of memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from bus.ledger.leases import TERM
from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from bus.testing.sshd import OpenSshServer
from tests.faults import stopped
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site

_BEYOND = TERM / 1000 + 2
"""Seconds after which nobody holds a lease any more that is not renewed."""
_HOLDERS = "SELECT owner FROM lease WHERE owner <> '' GROUP BY owner ORDER BY count(*) DESC"
_ALARM = "set_vm_memory_high_watermark"
_DEADLINE = 5
"""Seconds after which the bus leaves a broker that does not answer."""


@fault(
    "freeze", "SIGSTOP of workers beyond their leases and of the broker; memory alarm", 170,
    OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def freeze(order: Order) -> Iterator[Result]:
    """Seven and three at chosen effects in the short version, fifty-six and seventy-two in the long one."""
    rounds = 8 if order.full else 1
    with ExitStack() as opening:
        cluster = opening.enter_context(RabbitCluster(1))
        server = opening.enter_context(PostgresServer())
        ledger = opening.enter_context(schema(server.url))
        node = cluster.nodes[0]
        broker = {"url": cluster.url, "deadline": f"{_DEADLINE}s", "heartbeat": "5s"}
        gateway = opening.enter_context(Gateway(order, Site(broker, ledger, attempts=100), cluster))
        processes = Fleet(gateway.boxes.landscape)
        opening.callback(processes.close)
        processes.up(2)
        for _ in range(rounds):
            for number in range(7):
                if number % 2 == 0:
                    gateway.strike("SIGSTOP of a worker", lambda: _stop_a_worker(gateway, processes))
                elif number == 3:
                    gateway.strike("memory alarm of the broker", lambda: node.control(_ALARM, "0.0001"))
                    _with_work(gateway, 2 * _DEADLINE)
                    node.control(_ALARM, "0.4")
                else:
                    gateway.strike("SIGSTOP of the broker", node.freeze)
                    _with_work(gateway, 3 * _DEADLINE)
                    node.thaw()
                gateway.breathe()
        yield gateway.result("freezes and memory alarm", "freeze", processes)
        effects = (
            stopped.EFFECTS * rounds
            if order.full
            else ("sink.stage:before", "source.fetch:after", "commit.stage-batch:before")
        )
        with schema(server.url) as other:
            yield stopped.run(order, Site(ledger=other, attempts=100), effects, name="stopped")


def _with_work(gateway: Gateway, seconds: float) -> None:
    """Time passes while more files come."""
    gateway.give_work()
    time.sleep(seconds)


def _stop_a_worker(gateway: Gateway, processes: Fleet) -> bool:
    """Stop one that holds leases if there is one, let the others take over, and let it wake; whether it was there."""
    owners = [row[0] for row in gateway.books.read(_HOLDERS)]
    up = processes.up()
    pid = next((one["pid"] for owner in owners for one in up if one.get("owner") == owner), up[0]["pid"])
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        _with_work(gateway, _BEYOND)
        os.kill(pid, signal.SIGCONT)
        return True
    return False
