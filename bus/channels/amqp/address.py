"""Where the broker is and how to reach it: plain values, made by the composition root."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

UNDELIVERABLE = "~undeliverable"
"""What stands for a channel where a queue is meant that belongs to all: of messages that were handed out too often."""
OWNER = "~ledger"
"""As above: the queue, always empty, that says which ledger the others belong to."""


@dataclass(frozen=True, slots=True)
class Address:
    """One RabbitMQ vhost as this bus uses it. All times are seconds.

    Attributes:
        hosts: (host, port) of the nodes of one cluster; the next one is tried when one is away.
        vhost: virtual host; one for each environment.
        user: name to log in with.
        password: reads the password at every login, so that a changed one is taken without a restart.
        prefix: begins the name of every queue, so that several buses can share a vhost.
        tls: gives the context for the next connection; None = no TLS.
        heartbeat: the broker and we notice a dead peer after twice this time.
        deadline: a confirm, or any other answer, that takes longer ends the connection.
        window: most messages published and not yet confirmed.
        prefetch: most messages of one queue that are here and not settled.
        delivery_limit: a message that was handed out so often without being settled goes to the undeliverable ones.
        quiet: a queue from which nothing came for so long is subscribed to anew.
        replicas: nodes that keep a copy of each queue; 0 = the broker's own default.
        ledger: which ledger the queues belong to; empty = that is not asked.
        max_message_size: most bytes of a message.
    """

    hosts: tuple[tuple[str, int], ...]
    vhost: str = "/"
    user: str = "guest"
    password: Callable[[], str] = lambda: "guest"
    prefix: str = ""
    tls: Callable[[], ssl.SSLContext] | None = None
    heartbeat: int = 10
    deadline: float = 10.0
    window: int = 1000
    prefetch: int = 500
    delivery_limit: int = 100
    quiet: float = 30.0
    replicas: int = 0
    ledger: str = ""
    max_message_size: int = 16_000_000

    def queue(self, channel: str) -> str:
        """Name of the queue that is a channel."""
        return f"{self.prefix}{channel}"

    @property
    def undeliverable(self) -> str:
        """Name of the queue for messages that were handed out too often."""
        return self.queue(UNDELIVERABLE)

    @property
    def shown(self) -> str:
        """``amqps://host:5671/vhost``, without credentials."""
        host, port = self.hosts[0]
        scheme = "amqp" if self.tls is None else "amqps"
        return f"{scheme}://{host}:{port}/{self.vhost.removeprefix('/')}"
