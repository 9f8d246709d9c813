"""kill -9 of the nodes of a RabbitMQ cluster: one after the other, and all three at once."""

from __future__ import annotations

import re
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
_QUORUM = 60.0
"""Seconds in which the members of a queue are with each other again, as a rule in five."""
_STATES = ("rabbit_quorum_queue", "all_replica_states")
_SERVING = re.compile(r"'(%2F_[^']+)' => (?:leader|follower)\b")
"""A queue whose member does its part there: RabbitMQ counts no other state as one that makes a majority."""
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
                    for number in gateway.until(10):
                        node = cluster.nodes[number % _NODES]
                        gateway.strike(f"kill -9 of {node.name}", node.kill)
                        node.start()
                        _whole(order, cluster, node)
                        processes.start()
                    for _again in gateway.until(1, spare=1):
                        gateway.strike("kill -9 of all nodes", cluster.kill, weight=_NODES)
                        cluster.start()
                        _whole(order, cluster, cluster.nodes[0])
                        processes.start()
                yield gateway.result("kill -9 of broker nodes", "broker", processes)
            finally:
                processes.close()


def _whole(order: Order, cluster: RabbitCluster, struck: RabbitNode) -> None:
    """Wait until no queue would lose its majority with the next node.

    A node of RabbitMQ may come up with a queue whose member is missing or does not find back to the others (its issues
    4512, 15725): then it is started once more, as a person would do, and that is told. Where nobody can tell which
    node that is, it is the one that was struck last.

    Raises:
        TimeoutError: the cluster does not become whole.
    """
    lame: dict[RabbitNode, str] = {}
    for _try in range(_NODES):
        for node, why in lame.items():
            order.tell(f"{node.name} {why}: it is started once more")
            node.kill()
            node.start()
        end = time.monotonic() + _QUORUM
        while time.monotonic() < end:
            if not any(_critical(node) for node in cluster.nodes):
                return
            time.sleep(0.2)
        lame = _lame(cluster) or {struck: "was struck, and no node is seen to fail its queues"}
    told = "; ".join(f"{node.name}: {node.call(*_MINIMUM)}, {node.call(*_STATES)}" for node in cluster.nodes)
    raise TimeoutError(f"the cluster does not become whole: {told}")


def _critical(node: RabbitNode) -> bool:
    """Whether some queue would be without a majority then, or nobody can tell."""
    return node.call(*_MINIMUM) != "[]"


def _lame(cluster: RabbitCluster) -> dict[RabbitNode, str]:
    """Nodes that fail queues which another one serves, and what is seen of that."""
    # One that does not answer in time is asked once more, and may be slow and whole all the same.
    told = {node: node.call(*_STATES) or node.call(*_STATES) for node in cluster.nodes}
    serving = {node: set(_SERVING.findall(text)) for node, text in told.items()}
    every = set().union(*serving.values())
    found: dict[RabbitNode, str] = {}
    for node in cluster.nodes:
        if not told[node]:
            if not (node.running() and node._serves()):
                found[node] = "is down"
        elif lacking := every - serving[node]:
            found[node] = f"does nothing for {len(lacking)} of {len(every)} queues"
    return found
