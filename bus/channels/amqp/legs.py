"""Legs: what tells a second copy of a message on a channel from the first (see :class:`bus.message.Headers`)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from bus.channels.amqp.consumer import Received
from bus.message import NULL_ID, Message, salvage
from bus.ports import Delivery

Puts = list[tuple[str, Message]]


def read(received: Received) -> Message:
    """A message that cannot be decoded has no leg: its bytes stand for it."""
    message = salvage(received.body)
    if message.headers.id != NULL_ID:
        return message
    return message.with_headers(leg=hashlib.blake2b(received.body, digest_size=16).hexdigest())


def next_leg(leg: str, channel: str) -> str:
    """The leg of what a unit passes on: the same whenever the unit runs with the same input.

    The running number at the end is kept, so that neighbours in the inbox stay neighbours.
    """
    return _lane(leg[:-16], channel) + leg[-16:]


@lru_cache(maxsize=10_000)
def _lane(origin: str, channel: str) -> str:
    """What the legs that came from one origin to one channel have in common."""
    return hashlib.blake2b(f"{origin}\x1f{channel}".encode(), digest_size=8).hexdigest()


def all_passed_on(deliveries: list[Delivery], puts: Puts) -> bool:
    """Whether all that comes out came in, each message to one channel."""
    came = {d.message.headers.id for d in deliveries}
    goes = {message.headers.id for _, message in puts}
    if len(came) < len(deliveries) or len(goes) < len(puts) or not goes <= came:
        return False
    return all(message.headers.number for _, message in puts)


def passed_on(deliveries: list[Delivery], puts: Puts, real: Callable[[str], str]) -> set[str]:
    """Give what came in and goes to one channel its next leg, in place; the legs given.

    A batch that is run again may be cut otherwise and come out another way, straight to the broker or by the outbox:
    by its leg the receiver knows it either way.
    """
    came = {d.message.headers.id: d.message.headers.leg for d in deliveries}
    times = Counter(message.headers.id for _, message in puts)
    given = set()
    for n, (name, message) in enumerate(puts):
        headers = message.headers
        leg = came.get(headers.id)
        if leg is not None and times[headers.id] == 1 and headers.number:
            leg = next_leg(leg, real(name))
            given.add(leg)
            puts[n] = (name, Message(msgspec.structs.replace(headers, leg=leg), message.body, message.properties))
    return given


def firsts(received: Iterable[Received]) -> tuple[list[tuple[Received, Message]], list[Received]]:
    """(the first of each leg, further copies)."""
    found: dict[str, tuple[Received, Message]] = {}
    copies = []
    for one in received:
        message = read(one)
        if message.headers.leg in found:
            copies.append(one)
        else:
            found[message.headers.leg] = (one, message)
    return list(found.values()), copies
