"""Where the channels are, remembered: who leaves a RabbitMQ leaves there what waits in its queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.ledger.cases import audit
from bus.ports import CaseNote

if TYPE_CHECKING:
    from bus.ledger.ledger import Ledger

EMBEDDED = "embedded"
"""The store itself, from which every other backbone takes over what waits."""
_WHAT = "backbone"
_LAST = f"SELECT target FROM audit WHERE what = '{_WHAT}' ORDER BY id DESC LIMIT 1"  # noqa: S608 - a constant


def rabbitmq(hosts: list[str], vhost: str, prefix: str) -> str:
    """The name of a RabbitMQ for :func:`remember`: ``rabbit-1,rabbit-2 vhost payments prefix north-``."""
    return " ".join([",".join(hosts), "vhost", vhost, *(["prefix", prefix] if prefix else [])])


def remember(ledger: Ledger, backbone: str) -> None:
    """Write down where the channels are from now on; a case tells when they were on another RabbitMQ before.

    A cluster is the same as long as one of its nodes is still named.
    """
    rows = ledger.read(_LAST, ())
    before = rows[0][0] if rows else EMBEDDED
    if before == backbone:
        return

    def work(tx: Any) -> None:
        audit(tx, ledger.clock.now(), "girobus", _WHAT, backbone, f"instead of {before}")
        if before != EMBEDDED and not _is_same(before, backbone):
            ledger.open_case(tx, _left(before, backbone))

    ledger.commit(_WHAT, work)


def _is_same(one: str, other: str) -> bool:
    """Whether both are the same queues of one cluster."""
    nodes, _, queues = one.partition(" ")
    other_nodes, _, other_queues = other.partition(" ")
    return queues == other_queues and bool(set(nodes.split(",")) & set(other_nodes.split(",")))


def _left(before: str, now: str) -> CaseNote:
    place = "in the store" if now == EMBEDDED else f"on RabbitMQ {now}"
    summary = f"channels are {place} now; what waits in the queues of RabbitMQ {before} stays there"
    return CaseNote("SYS169", summary, "", "", f"backbone:{before}", context={"before": before, "now": now})
