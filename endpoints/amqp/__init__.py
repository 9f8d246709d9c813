"""Other people's brokers by URL, through kombu: the endpoint and the connection ``amqp``."""

from endpoints.amqp.connection import AmqpConnection
from endpoints.amqp.spec import AmqpSpec

__all__ = ["AmqpConnection", "AmqpSpec"]
