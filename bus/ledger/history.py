"""Message history (EIP): one packed part per batch of units and segment, expanded when somebody asks.

A row of the table holds one part, or several small ones that were committed one after the other: then the indexes are
written once for all of them, and a commit changes nothing but the last page of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from bus.message import Message
from bus.ports import Event, Hops, MoneyTotalsByOutcome, Store

SPAN = 4096
"""No packed row covers more message numbers than this, so that a range query needs one plain index."""

Joined = Mapping[str, list[int]]
"""Message id -> numbers of the gatherings that the message, or what was made of it, joined."""
NOBODY: Joined = {}
NOTHING: MoneyTotalsByOutcome = {}
_PLAIN = 10
"""Fields of a packed event; after them stand the gatherings, then the facts of a birth, where there are any."""

_LENGTH = 4
"""Bytes in front of each part that tell its length."""
ARRAY = 0x80
"""First byte of a row of one part without its length, as they were written at first; a length is below."""

_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder()


class Stamp(NamedTuple):
    """Where, in which version of the route, and when (milliseconds since 1970 UTC) something was committed."""

    place: str
    version: int
    at: int


def births(events: list[Event], joined: Joined = NOBODY) -> list[list[Any]]:
    """As :func:`hops`, for first events: with what must still be known when the message itself is long gone."""
    items = hops(events, joined)
    for item, event in zip(items, events, strict=True):
        headers = event.message.headers
        currency, amount = headers.worth or ("", "")
        facts = [headers.name, headers.place, headers.keys, currency, f"{amount:f}" if currency else ""]
        item.extend([[], facts] if len(item) == _PLAIN else [facts])
    return items


def hops(events: list[Event], joined: Joined = NOBODY) -> list[list[Any]]:
    """The events of one commit as they are stored; numbers must be assigned. ``joined``: id -> gatherings of it."""
    raw = bytes.fromhex
    above = {"": b""}  # most messages of a commit come from the same few …
    onward: dict[str, list[list[Any]]] = {}  # … and go to the same few
    items: list[list[Any]] = []
    for event in events:
        headers = event.message.headers
        identity, parent, correlation = headers.id, headers.parent_id, headers.correlation_id
        if parent not in above:
            above[parent] = raw(parent)
        if correlation not in above:
            above[correlation] = raw(correlation)
        went = event.outputs
        if len(went) == 1 and went[0][1].headers.id == identity:
            channel = went[0][0]
            outputs = onward.get(channel) or onward.setdefault(channel, [[channel]])
        else:
            outputs = [_output(channel, message, identity) for channel, message in went]
        item = [
            headers.number,
            raw(identity),
            above[parent],
            above[correlation],
            event.outcome,
            event.step,
            headers.attempt,
            event.code,
            event.reason,
            outputs,
        ]
        if joined and identity in joined:
            item.append(joined[identity])
        items.append(item)
    return items


def _output(channel: str, message: Message, came: str) -> list[Any]:
    """Where a message went; the one that came is not written twice."""
    headers = message.headers
    return [channel] if headers.id == came else [channel, headers.number, bytes.fromhex(headers.id)]


def write(store: Store, tx: Any, stamp: Stamp, items: list[list[Any]], tally: MoneyTotalsByOutcome = NOTHING) -> None:
    """Store :func:`hops` or :func:`births`, and what their commit adds to the totals of its place.

    Ascending runs of numbers are packed together, none wider than SPAN; the totals go with the first.
    """
    run: list[list[Any]] = []
    first = last = 0
    for item in items:
        number = item[0]
        if run and not (number > last and number - first < SPAN):
            store.add_history(tx, _part(first, last, stamp, run), tally)
            run, tally = [], NOTHING
        if not run:
            first = number
        last = number
        run.append(item)
    if run:
        store.add_history(tx, _part(first, last, stamp, run), tally)
    elif tally:
        store.add_tally(tx, stamp.place, stamp.at, tally)


def _part(first: int, last: int, stamp: Stamp, run: list[list[Any]]) -> Hops:
    place, version, at = stamp
    packed = _pack.encode((at, version, place, run))
    return Hops(first, last, at, version, place, len(packed).to_bytes(_LENGTH, "big") + packed)


def insert(tx: Any, part: Hops) -> None:
    """A row of its own for a part."""
    tx.execute("INSERT INTO history (first, last, at, version, place, packed) VALUES (?, ?, ?, ?, ?, ?)", part)


def _parts(row: tuple[Any, ...]) -> Iterator[tuple[int, int, str, list[Any]]]:
    """(at, version, place, items) of a row ``(at, version, place, packed)``."""
    *stamp, packed = row
    if packed[0] >= ARRAY:
        yield (*stamp, _unpack.decode(packed))
        return
    begin = 0
    while begin < len(packed):
        end = begin + _LENGTH + int.from_bytes(packed[begin : begin + _LENGTH], "big")
        yield _unpack.decode(packed[begin + _LENGTH : end])
        begin = end


def expand(row: tuple[Any, ...], number: int | None = None) -> Iterator[dict[str, Any]]:
    """Hops of a packed row ``(at, version, place, packed)``, of one message or of all."""
    for part in _parts(row):
        at, version, place, items = part
        for item in items:
            if number is not None and item[0] != number:
                continue
            yield {
                "at": at,
                "place": place,
                "version": version,
                "number": item[0],
                "message": item[1].hex(),
                "parent": item[2].hex(),
                "correlation": item[3].hex(),
                "outcome": item[4],
                "step": item[5],
                "attempt": item[6],
                "code": item[7],
                "reason": item[8],
                "outputs": [_went(output, item) for output in item[9]],
                "groups": item[_PLAIN] if len(item) > _PLAIN else [],
                "born": _facts(item[_PLAIN + 1]) if len(item) > _PLAIN + 1 else None,
            }


def _went(output: list[Any], item: list[Any]) -> dict[str, Any]:
    channel, number, identity = output if len(output) > 1 else (*output, item[0], item[1])
    return {"channel": channel, "number": number, "message": identity.hex()}


def _facts(packed: list[Any]) -> dict[str, Any]:
    name, place, keys, currency, amount = packed
    worth = {"value": Decimal(amount), "currency": currency} if currency else None
    return {"name": name, "place": place, "keys": [(key, value) for key, value in keys], "worth": worth}


def write_keys(tx: Any, rows: list[tuple[str, str, int]]) -> None:
    """Index business keys: (value, name, message number)."""
    if rows:
        tx.executemany("INSERT INTO business_key VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)
