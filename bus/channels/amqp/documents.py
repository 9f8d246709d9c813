"""Documents that messages in queues refer to, written down in the ledger: none is collected before its time.

A message in a queue is no row of any table. So the commit that ends the sender's own hold on a message (a row of the
outbox, or the input that it was made of) says which documents it refers to, after the broker has confirmed it. That
counts until the commit of its receiver has entered its leg into the inbox; see :mod:`bus.ledger.references`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bus.channels.amqp.frames import Outgoing, Received
from bus.message import Blob, Message, blobs_of, decode
from bus.ports import Delivery

_CLAIM = b'"sha256"'

Named = list[tuple[str, str, int]]
"""(leg of a message, sha256 and size of a document)."""


def may_name(message: Message, stored: bytes, *, claims: bool) -> bool:
    """Whether a message may refer to a document.

    Its stored form is searched, as few do and all others are many; not even that where no route ever checked a claim:
    it would be a tenth of what a message costs.
    """
    return type(message.body) is Blob or (claims and _CLAIM in stored)


def any_in(deliveries: Iterable[Delivery], received: Iterable[Received], *, claims: bool) -> bool:
    """Whether one of those that came may refer to a document."""
    return any(may_name(d.message, r.body, claims=claims) for d, r in zip(deliveries, received, strict=True))


def named(messages: Iterable[Message], out: Iterable[Outgoing], *, claims: bool = True) -> Named:
    """The documents of messages that go out."""
    return [
        (message.headers.leg, blob.sha256, blob.size)
        for message, sent in zip(messages, out, strict=True)
        if may_name(message, sent.body, claims=claims)
        for blob in blobs_of(decode(sent.body))
    ]


def noted(work: Callable[[Any], None], names: Named) -> Callable[[Any], None]:
    """What is done in a commit, with the documents written down behind it.

    In their order, so that two who write the same ones wait for each other instead of both for ever.
    """

    def both(tx: Any) -> None:
        work(tx)
        sql = "INSERT INTO under_way (leg, sha256, size) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        tx.executemany(sql, sorted(set(names)))

    return both if names else work
