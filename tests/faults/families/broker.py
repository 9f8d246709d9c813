"""kill -9 of the nodes of a RabbitMQ cluster: one after the other, and all three at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster, RabbitNode
from bus.testing.sshd import OpenSshServer
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import MANY, Site

_NODES = 3
_QUORUM = 180.0
_MINIMUM = ("rabbit_quorum_queue", "list_with_minimum_quorum_for_cli")


@fault(
    "broker", "kill -9 of one node of three in rotation, and of all at once", 160,
    OpenSshServer.missing, RabbitCluster.missing, PostgresServer.missing,
)  # fmt: skip
def broker(order: Order) -> Iterator[Result]:
    """Ten kills of one and one of all three in the short version, eighty and eight in the long one."""
    rounds = 8 if order.full else 1
    with RabbitCluster(_NODES) as cluster, PostgresServer() as server, schema(server.url) as ledger:
        site = Site(
            {"url": cluster.url, "prefix": "cluster.", "replicas": _NODES, "delivery_limit": MANY}, ledger, attempts=100
        )
        with Gateway(order, site, cluster) as gateway:
            processes = Fleet(gateway.boxes.landscape)
            try:
                processes.up(2)
                for _ in range(rounds):
                    for number in range(10):
                        node = cluster.nodes[number % _NODES]
                        gateway.strike(f"kill -9 of {node.name}", node.kill)
                        node.start()
                        _whole(cluster)
                        processes.start()
                    gateway.strike("kill -9 of all nodes", cluster.kill, weight=_NODES)
                    cluster.start()
                    _whole(cluster)
                yield gateway.result("kill -9 of broker nodes", "broker", processes)
            finally:
                processes.close()


def _whole(cluster: RabbitCluster) -> None:
    """Wait until no queue would lose its majority with the next node.

    Raises:
        TimeoutError: the cluster does not become whole.
    """
    end = time.monotonic() + _QUORUM
    while any(_critical(node) for node in cluster.nodes):
        if time.monotonic() > end:
            told = "; ".join(f"{node.name}: {node.call(*_MINIMUM)}" for node in cluster.nodes)
            raise TimeoutError(f"the cluster does not become whole: {told}")
        time.sleep(0.2)


def _critical(node: RabbitNode) -> bool:
    """Whether some queue would be without a majority then, or nobody can tell."""
    return node.call(*_MINIMUM) != "[]"
