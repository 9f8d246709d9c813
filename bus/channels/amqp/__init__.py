"""RabbitMQ as backbone: quorum queues, confirms in a window, one acknowledgement a batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from bus.channels.amqp.address import Address

if TYPE_CHECKING:
    import random
    import ssl
    from collections.abc import Callable

    from bus.channels.amqp.wire import AmqpWire
    from bus.landscape import BrokerSpec

_PORTS = {"amqp": 5672, "amqps": 5671}


def address_of(spec: BrokerSpec, root: Path, url: str = "", ledger: str = "") -> Address:
    """The address that ``broker:`` of ``bus.yaml`` means; paths are relative to ``root``.

    Args:
        spec: what the file says.
        root: folder of the file.
        url: an address to take instead of the one in the file.
        ledger: see :class:`Address`.
    """
    scheme, _, rest = (url or spec.url).partition("://")
    nodes, _, vhost = rest.partition("/")
    password = spec.password
    return Address(
        hosts=tuple(_host(node, _PORTS[scheme]) for node in nodes.split(",")),
        vhost=unquote(vhost) or "/",
        user=spec.user,
        password=(lambda: password.reveal().decode()) if password is not None else (lambda: "guest"),
        prefix=spec.prefix,
        tls=_tls(spec, root) if scheme == "amqps" else None,
        heartbeat=max(spec.heartbeat // 1000, 1),
        deadline=spec.deadline / 1000,
        window=spec.window,
        prefetch=spec.prefetch,
        delivery_limit=spec.delivery_limit,
        replicas=spec.replicas,
        ledger=ledger,
        max_message_size=spec.max_message_size,
    )


def wire_of(spec: BrokerSpec, root: Path, chance: random.Random, ledger: str = "") -> AmqpWire:
    """What leads to the broker that ``broker:`` of ``bus.yaml`` means, for that ledger."""
    from bus.channels.amqp.wire import AmqpWire  # noqa: PLC0415 - loads the client library

    return AmqpWire(address_of(spec, root, ledger=ledger), chance)


def _host(node: str, usual: int) -> tuple[str, int]:
    name, _, port = node.rpartition(":")
    found, number = (name, int(port)) if name and port.isdigit() else (node, usual)
    return found.strip("[]"), number


def _tls(spec: BrokerSpec, root: Path) -> Callable[[], ssl.SSLContext]:
    """A context that follows its files: a renewed certificate is used by the next connection, without a restart."""
    from certs.tls import Identity, reloading_client  # noqa: PLC0415 - only with TLS

    identity = Identity(root / spec.certificate, root / spec.key) if spec.certificate else None
    return reloading_client(trust=root / spec.trust if spec.trust else None, identity=identity).current


__all__ = ["Address", "address_of", "wire_of"]
