"""What operators write of a queue to take from, or of an exchange to publish to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import (
    ConfigError,
    Duration,
    EndpointResources,
    EndpointSpec,
    ExpressionText,
    PollSpec,
    Rejected,
    Sink,
    Size,
    Source,
)
from endpoints.amqp.connection import AmqpConnection

if TYPE_CHECKING:
    from endpoints.amqp.template import Template

_IN = {"queue", "declare", "prefetch", "identity", "refused"}
_OUT = {
    "exchange", "routing_key", "headers", "forward", "content_type", "persistent", "mandatory", "unroutable", "unknown",
    "priority", "correlation_id", "reply_to", "type_", "expiration", "reply", "reply_queues",
}  # fmt: skip


class AmqpSpec(EndpointSpec):
    """Takes messages from a queue of somebody else's broker, or publishes messages there.

    Example::

        from:
          amqp: {connection: erp-broker, queue: payments.requested, prefetch: 100}

    and as an outlet::

        erp-answers:
          endpoint:
            amqp:
              connection: erp-broker
              exchange: payments
              routing_key: "answered.{p.country}"
              headers: {x-batch: "{p.batch}"}

    In: the body becomes the message's content, everything else stands under ``properties.amqp`` (``headers``,
    ``content_type``, ``correlation_id``, ``reply_to``, ``timestamp``, ``priority`` …) with its names and types, and can
    set no header of the bus.

    In braces stands an expression over ``p`` (the message's properties), ``body`` (where it is plain data), ``id``,
    ``correlation_id`` and ``name``; what it does not find refuses the message. Braces alone keep the value's type.

    Delivery: in, a message is acknowledged after its content is committed; its identity is ``identity``, else its
    message id: a second copy is the same arrival. Without either, known content is held as suspected duplicate, also
    when the broker hands it out again after a crash, because it may be another message that is equal. Out, a
    message is delivered when the broker has confirmed it; without an answer it is published again under the same
    message id, by which its receiver knows it.
    """

    key: ClassVar[str] = "amqp"

    poll: PollSpec = PollSpec(every=100)
    """How often a quiet queue is looked at; messages that are there come without a pause."""
    connection: str
    """Name of an ``amqp`` connection in ``connections.yaml``."""
    max_size: Size = 16_000_000
    """Largest body, in and out; a larger one is refused."""

    queue: str = Field(default="", max_length=255)
    """In: the queue to take from."""
    declare: Literal["passive", "quorum", "classic"] = "passive"
    """In: ``passive`` takes the queue as it is; the others make a durable one of that type where there is none."""
    prefetch: int = Field(default=200, ge=1, le=10_000)
    """In: most messages that are handed over and not acknowledged."""
    identity: ExpressionText = ""
    """In: what makes a message the same as another: an expression over ``headers``, ``properties`` and ``body`` (a JSON
    body). Without it the message id, and where there is none the content."""
    refused: Literal["keep", "reject"] = "keep"
    """In: what cannot be taken in (too big, hostile headers, no identity) is kept here and held with a case, or
    rejected to the dead letters of the queue; only write ``reject`` when the queue has a dead-letter exchange."""

    exchange: str = Field(default="", max_length=255)
    """Out: the exchange to publish to; empty = straight to the queue that ``routing_key`` names."""
    routing_key: str = ""
    """Out: the routing key, with expressions in braces."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Out: headers by name, with expressions in braces."""
    forward: tuple[str, ...] = ()
    """Out: patterns for names of headers that came in by AMQP and go out again; none by themselves."""
    content_type: str = ""
    """Out: media type of the body; empty = the message's own."""
    persistent: bool = True
    """Out: the broker keeps the message over a restart."""
    mandatory: bool = True
    """Out: a message that no queue takes comes back and is a failure of that message."""
    unroutable: Literal["dead-letter", "retry"] = "dead-letter"
    """Out: what happens to it then: a case at once, or tried again while everything of this outlet waits."""
    unknown: Literal["resend", "case"] = "resend"
    """Out: without an answer a message is sent again under the same message id, or a person decides."""
    priority: int | None = Field(default=None, ge=0, le=255)
    """Out: priority; none = that which came in by AMQP."""
    correlation_id: str = "{correlation_id}"
    """Out: Correlation Identifier, with expressions in braces."""
    reply_to: str = ""
    """Out: Return Address, the queue where the answer is expected."""
    type_: str = Field(default="", alias="type")
    """Out: type of the message, with expressions in braces."""
    expiration: Duration = 0
    """Out: the broker drops the message after this time; 0 = never."""
    reply: bool = False
    """Out: answer the request that came in by AMQP: its Return Address is the address, its correlation id (else its
    message id) the Correlation Identifier."""
    reply_queues: tuple[str, ...] = ("amq.gen-*", "amq.rabbitmq.reply-to.*")
    """Out, with ``reply``: patterns of queues that a requester may name; others are refused, because whoever sends a
    request could else have an answer put into any queue."""

    @model_validator(mode="after")
    def _one_address(self) -> AmqpSpec:
        if self.reply and (self.exchange or self.routing_key or "correlation_id" in self.model_fields_set):
            text = "`reply` takes address and correlation id from the request; leave the others out"
            raise PydanticCustomError("NET251", "{why}", {"why": text})
        return self

    def source(self, resources: EndpointResources) -> Source:
        """The queue as a source; nothing is connected yet."""
        from endpoints.amqp.source import AmqpSource  # noqa: PLC0415 - a circle otherwise

        self._no_words_of(_OUT, "an outlet")
        if not self.queue:
            raise ConfigError("NET251", f"`{resources.name}` takes from no queue", hint="write `queue: NAME`")
        return AmqpSource(self, self._connection(resources), resources)

    def sink(self, resources: EndpointResources) -> Sink:
        """The exchange as a sink; nothing is connected yet."""
        from endpoints.amqp.sink import AmqpSink  # noqa: PLC0415 - a circle otherwise

        self._no_words_of(_IN, "`from`")
        if not (self.reply or self.exchange or self.routing_key):
            text = f"`{resources.name}` publishes to no address"
            raise ConfigError("NET251", text, hint="write `exchange`, `routing_key` or both, or `reply: true`")
        return AmqpSink(self, self._connection(resources), resources)

    def template(self, name: str) -> Template:
        """One of the texts with braces, compiled.

        Raises:
            ConfigError: ``NET251`` an expression in braces is not understood.
        """
        from endpoints.amqp.template import Template  # noqa: PLC0415 - a circle otherwise

        try:
            return Template(getattr(self, name))
        except (ConfigError, Rejected) as error:
            raise ConfigError("NET251", f"`{name}`: {error.message}", hint=error.hint) from error

    def _connection(self, resources: EndpointResources) -> AmqpConnection:
        connection = resources.connection(self.connection)
        if not isinstance(connection, AmqpConnection):
            raise ConfigError("NET251", f"`{self.connection}` is no amqp connection", hint="name one that is")
        return connection

    def _no_words_of(self, other: set[str], where: str) -> None:
        wrong = sorted(self.model_fields_set & other)
        if wrong:
            text = f"`{wrong[0].rstrip('_')}` belongs to {where}"
            raise ConfigError("CFG135", text, hint="take it out here")
