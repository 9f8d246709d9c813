"""A queue as a source: what is handed over is admitted, committed, and only then acknowledged."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec

from bus import BusError, Rejected, Retryable, compile_expression, key_text
from endpoints.amqp.link import Link
from endpoints.amqp.properties import plain_properties

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus import EndpointResources, Expression, Inbound
    from endpoints.amqp.connection import AmqpConnection
    from endpoints.amqp.spec import AmqpSpec

_FIRST, _NEXT = 0.05, 0.002
"""Seconds to wait for the first message of a look, and for each further one."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,119}")


class AmqpSource:
    """One consumer with a bounded prefetch; messages are handed out in the order they came. One thread at a time.

    What a cluster of RabbitMQ loses inside when a leader dies stays handed out to us until our channel is closed
    (rabbitmq-server issue 15473), so a channel over which nothing came for ``quiet`` seconds is closed and opened anew.
    """

    unsure = True
    """What is not handed out now may have been handed out before, and come again."""

    def __init__(self, spec: AmqpSpec, connection: AmqpConnection, resources: EndpointResources) -> None:
        self.spec = spec
        self.identity = compile_expression(spec.identity) if spec.identity else None
        self._link = Link(connection, resources.root)
        self._consumer: Any = None
        self._here: dict[Any, _Delivered] = {}
        self.quiet = 30.0
        self._heard = 0.0

    def poll(self, most: int) -> Iterator[Inbound]:
        """What is here and not acknowledged, oldest first; waits a moment for the first message."""
        with self._link.guarded():
            self._link.leave_if_slept()  # there are long pauses between two looks, or were
            self._consume()
            self._link.beat()
            wait = 0.0 if self._here else _FIRST
            while len(self._here) < most and self._link.drain(wait):
                wait = _NEXT
            self._look_after()
        yield from list(self._here.values())[:most]

    def settle(self, message: _Delivered, *, accept: bool) -> None:
        """Acknowledge or reject.

        Raises:
            Retryable: ``NET244`` the connection that it came by is gone; the broker hands it out again.
        """
        if self._here.get(message.tag) is not message:
            raise Retryable("NET244", "the connection is gone that a message came by", hint="it comes again")
        with self._link.guarded():
            channel = self._link.channel()
            if accept:
                channel.basic_ack(message.tag)
            else:
                channel.basic_reject(message.tag, requeue=False)
            del self._here[message.tag]

    def close(self) -> None:
        """Disconnect; the broker hands out again what was not acknowledged."""
        self._here.clear()
        self._consumer = None
        self._link.hang_up(polite=True)

    def _consume(self) -> None:
        if self._consumer is not None and self._link.open:
            return
        self._here.clear()
        import kombu  # noqa: PLC0415 - see Link

        channel, spec = self._link.channel(), self.spec
        if spec.declare == "passive" and self._link.spec.confirms:
            channel.queue_declare(spec.queue, passive=True)
        elif spec.declare != "passive":
            arguments = {"x-queue-type": spec.declare} if self._link.spec.confirms else None
            channel.queue_declare(spec.queue, durable=True, auto_delete=False, arguments=arguments)
        self._consumer = kombu.Consumer(
            channel,
            [kombu.Queue(spec.queue, no_declare=True)],
            auto_declare=False,
            prefetch_count=spec.prefetch,
            on_message=self._arrived,
        )
        self._consumer.consume()
        self._heard = time.monotonic()

    def _look_after(self) -> None:
        """See the top of this class."""
        if self._here or not self._link.spec.confirms or time.monotonic() - self._heard < self.quiet:
            return
        before, self._consumer = self._link.another(), None
        self._consume()  # first, for a queue may be deleted with its last consumer
        before.close()

    def _arrived(self, message: Any) -> None:
        if message.channel is not self._link.channel():
            return  # over the channel that is about to be closed: it comes again
        self._heard = time.monotonic()
        self._here[message.delivery_tag] = _Delivered(self, message)


class _Delivered:
    """One message (a :class:`bus.DescribedInbound`)."""

    def __init__(self, source: AmqpSource, message: Any) -> None:
        self.tag = message.delivery_tag
        self.refused: Rejected | None = None
        self.properties: dict[str, Any] = {}
        self.content_type = "application/octet-stream"
        self.identity: str | None = None
        self._source = source
        body = message.body
        self._body: bytes = body.encode() if isinstance(body, str) else bytes(body or b"")
        digest = hashlib.sha256(self._body).hexdigest()
        try:
            self._describe(message)
        except Rejected as error:
            self.refused = error
        own = (self.identity or "").removeprefix("id:")
        mark = hashlib.sha256(own.encode()).hexdigest() if own else digest
        self.name = own if _NAME.fullmatch(own) else f"{_named(source.spec.queue)}-{mark[:16]}"
        # In the place of a time of change, which messages do not have: what tells one content from another.
        self.facts = (len(self._body), int(digest[:12], 16))

    def fetch(self, target: BinaryIO) -> None:
        """The body.

        Raises:
            Rejected: ``NET249``, ``NET253`` or ``NET254`` where the spec wants what is refused back at the broker.
        """
        if self.refused is not None and self._source.spec.refused == "reject":
            raise self.refused
        target.write(self._body)

    def complete(self, outcome: Literal["done", "failed"], suffix: str) -> None:
        """Acknowledge, or reject to the dead letters of the queue."""
        del suffix
        self._source.settle(self, accept=outcome == "done")

    def abandon(self) -> None:
        """Nothing: it stays here and is handed out at the next look."""

    def _describe(self, message: Any) -> None:
        found = plain_properties(message)
        self.properties = {"amqp": found}
        self.content_type = found.get("content_type", self.content_type)
        if len(self._body) > self._source.spec.max_size:
            raise Rejected("NET253", f"a message is larger than `max_size` ({len(self._body)} bytes)")
        expression = self._source.identity
        own = _evaluated(expression, found, self._body) if expression else found.get("message_id")
        # The prefix keeps an id that somebody chose from being taken for the digest of a content.
        self.identity = f"id:{own}" if own else None


def _evaluated(expression: Expression, found: dict[str, Any], body: bytes) -> str:
    scope = {"headers": found["headers"], "properties": found, "body": None}
    try:
        if any(path and path[0] == "body" for path in expression.paths()):
            scope["body"] = msgspec.json.decode(body)
        value = expression(scope)
    except (msgspec.DecodeError, BusError) as error:
        raise Rejected("NET254", "`identity` cannot be evaluated on a message", hint="is its body JSON?") from error
    if value in (None, "", [], {}):
        raise Rejected("NET254", "`identity` finds nothing in a message", hint="ask its sender for it")
    return key_text(value)


def _named(queue: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]", "-", queue)[:80]
