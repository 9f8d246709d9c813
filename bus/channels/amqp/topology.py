"""Queues as the routes need them: declared when missing, compared when there, never deleted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from secrets import token_hex
from typing import Any, NamedTuple

from pika import BlockingConnection
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from bus.channels.amqp.address import OWNER, UNDELIVERABLE, Address
from bus.channels.amqp.link import parameters
from bus.errors import ConfigError, Stalled
from bus.unreachable import Unreachable, why_unreachable

_PRECONDITION = 406
_NOT_FOUND = 404
_EXPIRES = 30_000
"""Milliseconds for which the empty queue behind new ones stays."""
_ARGUMENT = re.compile(r"inequivalent arg '([\w-]+)'")


class Seen(NamedTuple):
    """One queue at the broker: ``state`` is ``present``, ``missing`` or ``different`` (``detail`` says in what)."""

    channel: str
    queue: str
    state: str
    messages: int
    detail: str = ""


def declare(address: Address, channels: Iterable[str], others: Iterable[str] = ()) -> None:
    """Make the queues of channels exist. Idempotent; blocks; a connection of its own.

    Those of ``others`` are made where they are missing, and taken as they are where they are not.

    A node writes down where the log of a new quorum queue is up to a second later, or when the next one is made. One
    that is killed before comes back with a queue that has lost what was confirmed and confirms nothing any more. So
    behind new queues comes an empty one, which the broker takes away by itself.

    Raises:
        ConfigError: ``NET231`` a queue is there with other properties, ``NET233`` they are another ledger's; nothing is
            changed about them.
        Stalled: ``NET221`` the broker is away.
    """
    compared = set(channels)
    compared |= {UNDELIVERABLE} if compared else set()
    with _connected(address) as connection:
        if address.ledger:
            _claim(connection, address)
        missing = _missing(address, connection, {*compared, *others, UNDELIVERABLE})
        channel = connection.channel()
        for name in sorted(compared | missing):
            queue = address.queue(name)
            try:
                channel.queue_declare(queue, durable=True, arguments=_arguments(address, name))
            except ChannelClosedByBroker as error:
                raise _different(queue, error) from None
        if missing:
            short = {"x-queue-type": "quorum", "x-expires": _EXPIRES}
            channel.queue_declare(f"{address.prefix}~newest.{token_hex(4)}", durable=True, arguments=short)


def _claim(connection: BlockingConnection, address: Address) -> None:
    """Have the broker keep whose queues these are, or compare it: in an argument of a queue that is always empty."""
    mine = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": address.ledger}
    queue = address.queue(OWNER)
    try:
        arguments = _arguments(address, UNDELIVERABLE) | mine
        connection.channel().queue_declare(queue, durable=True, arguments=arguments)
    except ChannelClosedByBroker as error:
        if "'x-dead-letter-routing-key'" not in error.reply_text:
            raise _different(queue, error) from None
        text = f"the queues behind `{queue}` are of a bus with another ledger"
        hint = "give this one another prefix or vhost, or the same ledger: bus explain NET233"
        raise ConfigError("NET233", text, hint=hint) from None


def _missing(address: Address, connection: BlockingConnection, channels: Iterable[str]) -> set[str]:
    missing = set()
    channel = connection.channel()
    for name in channels:
        try:
            channel.queue_declare(address.queue(name), passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code == _NOT_FOUND:
                missing.add(name)
            channel = connection.channel()
    return missing


def look(address: Address, channels: Iterable[str]) -> list[Seen]:
    """Compare the broker's queues with what the channels need, and that of the undeliverable ones, changing nothing.

    Raises:
        ConfigError: ``NET233`` they are another ledger's.
        Stalled: ``NET221`` the broker is away.
    """
    found = []
    with _connected(address) as connection:
        if address.ledger and not _missing(address, connection, (OWNER,)):
            _claim(connection, address)
        for name in (*channels, UNDELIVERABLE):
            queue = address.queue(name)
            channel = connection.channel()
            try:
                count = channel.queue_declare(queue, passive=True).method.message_count
                channel.queue_declare(queue, durable=True, arguments=_arguments(address, name))
            except ChannelClosedByBroker as error:
                if error.reply_code == _NOT_FOUND:
                    found.append(Seen(name, queue, "missing", 0))
                else:
                    found.append(Seen(name, queue, "different", count, _detail(error)))
            else:
                found.append(Seen(name, queue, "present", count))
                channel.close()
    return found


def greeting(address: Address, seconds: float) -> tuple[str, str]:
    """(version of the broker, why it blocks those who publish; empty = it does not), waiting so long for the latter.

    RabbitMQ says that it is blocked to those who publish, so one message without a queue is published, to nobody.

    Raises:
        Stalled: ``NET221`` the broker is away.
    """
    why: list[str] = []
    with _connected(address) as connection:
        connection.add_on_connection_blocked_callback(lambda _c, frame: why.append(str(frame.method.reason)))
        connection.channel().basic_publish("", f"{address.prefix}~nobody", b"")
        connection.process_data_events(seconds)
        known: dict[str, Any] = connection._impl.server_properties or {}  # noqa: SLF001 - no other way
        return str(known.get("version", "unknown")), next(iter(why), "")


def _arguments(address: Address, name: str) -> dict[str, Any]:
    """A quorum queue; what was handed out too often goes, confirmed, to the undeliverable ones."""
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    if address.replicas:
        arguments["x-quorum-initial-group-size"] = address.replicas
    if name != UNDELIVERABLE:
        arguments |= {
            "x-delivery-limit": address.delivery_limit,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": address.undeliverable,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # what the strategy demands; there is no limit that it would apply to
        }
    return arguments


def _different(queue: str, error: ChannelClosedByBroker) -> ConfigError | Stalled:
    if error.reply_code != _PRECONDITION:
        return Stalled("NET221", f"queue `{queue}` cannot be declared: {error.reply_text}", hint="see the broker's log")
    return ConfigError(
        "NET231",
        f"queue `{queue}` is there, but {_detail(error)}",
        hint="empty and delete it yourself, or give this bus another prefix; girobus deletes no queue",
    )


def _detail(error: ChannelClosedByBroker) -> str:
    found = _ARGUMENT.search(error.reply_text)
    return f"its `{found[1]}` is another one" if found else "its properties are other ones"


def _connected(address: Address) -> BlockingConnection:
    trouble: Unreachable | None = None
    for host, port in address.hosts:
        try:
            return BlockingConnection(parameters(address, host, port, "topology"))
        except (ProbableAuthenticationError, ProbableAccessDeniedError) as error:
            raise ConfigError(
                "NET232",
                f"the broker {address.shown} refuses the login of `{address.user}` or its vhost",
                hint="see user, password and vhost of `broker` in bus.yaml",
            ) from error
        except (AMQPError, OSError) as error:
            trouble = trouble or _why(error)
    said, do = trouble or Unreachable("it has no host", "see `url`")
    raise Stalled("NET221", f"the broker {address.shown} is away: {said}", hint=do)


def _why(error: AMQPError | OSError) -> Unreachable:
    if isinstance(error, IncompatibleProtocolError):
        return Unreachable(
            "it hung up before a word", "does it want a certificate of ours? is it a port of AMQP 0-9-1?"
        )
    return why_unreachable(error)
