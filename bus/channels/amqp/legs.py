"""Legs: what tells a second copy of a message on a channel from the first (see :class:`bus.message.Headers`)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from bus.channels.amqp.frames import Received
from bus.errors import Rejected
from bus.message import NULL_ID, Message, decode, salvage
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


def passed_on(deliveries: list[Delivery], puts: Puts, real: Callable[[str], str]) -> tuple[list[str], bool]:
    """Give what came in and goes to one channel its next leg, in place.

    A batch that is run again may be cut otherwise and come out another way, straight to the broker or by the outbox:
    by its leg the receiver knows it either way.

    Returns:
        the legs given, and whether they are all: nothing else comes out, and no two of what came in are one.
    """
    came = {headers.id: headers.leg for headers in [d.message.headers for d in deliveries]}
    ids = [message.headers.id for _, message in puts]
    times = Counter(ids) if len(set(ids)) < len(ids) else {}
    names = {name: real(name) for name in {name for name, _ in puts}}
    replace = msgspec.structs.replace
    given = []
    for n, (name, message) in enumerate(puts):
        headers = message.headers
        leg = came.get(headers.id)
        if leg is None or not headers.number or (times and times[headers.id] > 1):
            continue
        leg = next_leg(leg, names[name])
        given.append(leg)
        puts[n] = (name, Message(replace(headers, leg=leg), message.body, message.properties))
    return given, 0 < len(given) == len(puts) and len(came) == len(deliveries)


def firsts(received: Sequence[Received]) -> tuple[list[tuple[Received, Message]], list[Received]]:
    """(the first of each leg, further copies)."""
    try:
        messages = [decode(one.body) for one in received]
    except Rejected:
        messages = [read(one) for one in received]
    found = dict(zip([message.headers.leg for message in messages], zip(received, messages, strict=True), strict=True))
    if len(found) == len(received):
        return list(found.values()), []
    found.clear()
    copies = []
    for one, message in zip(received, messages, strict=True):
        if found.setdefault(message.headers.leg, (one, message))[0] is not one:
            copies.append(one)
    return list(found.values()), copies
