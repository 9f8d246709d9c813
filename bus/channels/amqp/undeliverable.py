"""What the broker gave up to hand out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.channels.amqp import legs
from bus.ports import CaseNote, Event, Settlement

if TYPE_CHECKING:
    from bus.channels.amqp.address import Address
    from bus.channels.amqp.wire import Consuming
    from bus.channels.store import StoreBroker

_AT_ONCE = 500


def bury(address: Address, consumer: Consuming, outbox: StoreBroker) -> int:
    """Whatever was handed out too often and never settled is a dead letter with a case; returns how many."""
    queue = address.undeliverable
    received = consumer.here(queue, _AT_ONCE)
    if not received:
        consumer.consume(queue)
        return 0
    settlement = Settlement(queue)
    for one in received:
        message = legs.read(one)
        died = (one.headers().get("x-death") or [{}])[0]
        channel = str(died.get("queue", "")).removeprefix(address.prefix)
        code, reason = "NET226", f"handed out {address.delivery_limit} times and never settled"
        headers = message.headers
        mark, context = f"{channel}:{code}:{headers.id}", {"file": headers.name, "message": headers.id}
        route = channel.partition("#")[0]
        note = CaseNote(code, reason, route, "", mark, headers.number, headers.correlation_id, context)
        settlement.dead.append((channel, message.with_headers(attempt=0), note))
        settlement.events.append(Event(message, "dead", "", code, reason))
        settlement.report(message, "dead")
    outbox.settle(settlement=settlement, deliveries=[], label="undeliverable")
    consumer.settle(queue, received)
    return len(received)
