"""Where somebody else's broker is, who we are there, and which transports can be trusted with money."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import BusError, ConnectionSpec, Duration, Finding, SecretRef

if TYPE_CHECKING:
    from pathlib import Path

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+]*)://(?P<hosts>[^@/\s?#]*)(?:/(?P<vhost>[^/\s?#]*))?")
_AMQP = ("amqp", "amqps")
_REDIS = ("redis", "rediss")
_BY_SERVER = ("sqs", "azureservicebus", "gcpubsub")
"""Their servers keep a message until it is acknowledged; their own client libraries have to be installed."""


class AmqpConnection(ConnectionSpec):
    """A message broker of a partner or of another department: RabbitMQ, Redis, and what else keeps messages safe.

    Example::

        erp-broker:
          amqp:
            url: amqps://broker.erp.example:5671/finance
            user: girobus
            password: ${file:secrets/erp-broker}
            trust: certs/erp-ca.pem

    RabbitMQ gives the full guarantee: publications are confirmed, what no queue takes comes back. Redis is weaker: it
    confirms nothing, it may lose what it has not yet written (``appendfsync``), what a dead reader held comes back only
    after ``redelivery``, and it speaks kombu's own envelope. Transports that forget what a killed reader held
    (``memory``, ``filesystem``, ``sqlalchemy`` and others) are refused.
    """

    key: ClassVar[str] = "amqp"
    examined: ClassVar[str] = "reached, logged in"

    url: str
    """``amqp://host:port/vhost``, ``amqps://…``, ``redis://host:port/0``, ``rediss://…``, ``sqs://``,
    ``azureservicebus://`` or ``gcpubsub://``; nodes of one cluster with commas between; never with a password in it. A
    slash in the name of a vhost is written ``%2F``."""
    user: str = ""
    """Name to log in with."""
    password: SecretRef | None = None
    """Its password, read at every login."""
    trust: str = ""
    """PEM file of the CAs to believe with TLS; empty = those of the operating system."""
    certificate: str = ""
    """PEM file of our certificate, for a broker that asks for one; needs ``key``."""
    key_file: str = Field(default="", alias="key")
    """PEM file of its private key."""
    heartbeat: Duration = 60_000
    """A dead broker is noticed after twice this time; longer than the admission of one batch takes."""
    deadline: Duration = 10_000
    """A broker that does not answer or confirm for so long is left, whatever else it still sends."""
    redelivery: Duration = 300_000
    """Redis: after so long what a reader holds is handed out again."""

    @model_validator(mode="after")
    def _sound(self) -> AmqpConnection:
        found = _URL.fullmatch(self.url)
        if found is None:
            text = "write `amqp://host:port/vhost` or the like; user and password stand beside it, not in it"
            raise PydanticCustomError("NET241", "{why}", {"why": text})
        scheme = found["scheme"]
        if scheme not in (*_AMQP, *_REDIS, *_BY_SERVER):
            text = (
                f"`{scheme}` is refused: it is not known to keep what a killed reader had taken and not acknowledged; "
                f"use one of {', '.join((*_AMQP, *_REDIS, *_BY_SERVER))}"
            )
            raise PydanticCustomError("NET242", "{why}", {"why": text})
        if bool(self.certificate) != bool(self.key_file) or ((self.trust or self.certificate) and not self.tls):
            text = "`certificate` and `key` need each other, and all three need `amqps://` or `rediss://`"
            raise PydanticCustomError("NET241", "{why}", {"why": text})
        if self.deadline < 1:
            raise PydanticCustomError("NET241", "`deadline` is longer than nothing, such as `10s`")
        return self

    @property
    def scheme(self) -> str:
        """What the URL begins with."""
        return self.url.partition("://")[0]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted by us."""
        return self.scheme in ("amqps", "rediss")

    @property
    def confirms(self) -> bool:
        """Whether the broker confirms each publication, and gives back what no queue takes."""
        return self.scheme in _AMQP

    @property
    def hosts(self) -> tuple[tuple[str, int | None], ...]:
        """(name, port) of the nodes; one nameless host where the URL has none."""
        found = _URL.fullmatch(self.url)
        return tuple(_host(node) for node in (found["hosts"] if found else "").split(","))

    @property
    def vhost(self) -> str:
        """Virtual host, or number of the Redis database."""
        found = _URL.fullmatch(self.url)
        return unquote((found["vhost"] if found else "") or "") or ("0" if self.scheme in _REDIS else "/")

    def examine(self, root: Path | None = None) -> list[Finding]:
        """Log in, and tell what the transport cannot promise, for ``bus doctor``. Blocks within ``deadline``."""
        from pathlib import Path  # noqa: PLC0415 - only doctors ask

        from endpoints.amqp.link import Link  # noqa: PLC0415 - as above

        link = Link(self, root or Path())
        try:
            with link.guarded():
                link.channel()
        except BusError as error:
            return [Finding(error.code, "error", self.url, str(error))]
        finally:
            link.hang_up()
        if self.confirms:
            return []
        return [Finding("NET243", "warning", self.url, f"`{self.scheme}` confirms no publication")]


def _host(node: str) -> tuple[str, int | None]:
    name, _, port = node.rpartition(":")
    return (name.strip("[]"), int(port)) if name and port.isdigit() else (node.strip("[]"), None)
