"""Message history (EIP): one packed row per batch of units and segment, expanded when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from bus.message import Message
from bus.money import exact_sum
from bus.ports import Event, MoneyTotalsByOutcome

SPAN = 4096
"""No packed row covers more message numbers than this, so that a range query needs one plain index."""

Joined = Mapping[str, list[int]]
"""Message id -> numbers of the gatherings that the message, or what was made of it, joined."""
NOBODY: Joined = {}
_PLAIN = 10
"""Fields of a packed event; after them stand the gatherings, then the facts of a birth, where there are any."""

_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder()


def write(tx: Any, place: str, version: int, now: int, events: list[Event], joined: Joined = NOBODY) -> None:
    """Store the events of one commit; numbers must be assigned. ``joined``: message id -> gatherings it went into."""
    _store(tx, (place, version, now), _items(events, joined))


def write_births(tx: Any, place: str, version: int, now: int, events: list[Event], joined: Joined = NOBODY) -> None:
    """As :func:`write`, for first events: with what must still be known when the message itself is long gone."""
    items = _items(events, joined)
    for item, event in zip(items, events, strict=True):
        headers = event.message.headers
        currency, amount = headers.worth or ("", "")
        facts = [headers.name, headers.place, headers.keys, currency, f"{amount:f}" if currency else ""]
        item.extend([[], facts] if len(item) == _PLAIN else [facts])
    _store(tx, (place, version, now), items)


def _items(events: list[Event], joined: Joined) -> list[list[Any]]:
    raw = bytes.fromhex
    above = {"": b""}  # most messages of a commit come from the same few
    items: list[list[Any]] = []
    for event in events:
        headers = event.message.headers
        identity, parent, correlation = headers.id, headers.parent_id, headers.correlation_id
        if parent not in above:
            above[parent] = raw(parent)
        if correlation not in above:
            above[correlation] = raw(correlation)
        outputs: list[list[Any]] = []
        for channel, message in event.outputs:
            outputs.append([channel] if message.headers.id == identity else _output(channel, message))
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


def _output(channel: str, message: Message) -> list[Any]:
    """Where another message than the one that came went; the same message is not written twice."""
    return [channel, message.headers.number, bytes.fromhex(message.headers.id)]


def _store(tx: Any, row: tuple[str, int, int], items: list[list[Any]]) -> None:
    """Pack ascending runs of numbers, none wider than SPAN."""
    run: list[list[Any]] = []
    first = last = 0
    for item in items:
        number = item[0]
        if run and not (number > last and number - first < SPAN):
            _insert(tx, row, first, last, run)
            run = []
        if not run:
            first = number
        last = number
        run.append(item)
    if run:
        _insert(tx, row, first, last, run)


def _insert(tx: Any, row: tuple[str, int, int], first: int, last: int, run: list[list[Any]]) -> None:
    place, version, now = row
    tx.execute(
        "INSERT INTO history (first, last, at, version, place, packed) VALUES (?, ?, ?, ?, ?, ?)",
        (first, last, now, version, place, _pack.encode(run)),
    )


def expand(row: tuple[Any, ...], number: int | None = None) -> Iterator[dict[str, Any]]:
    """Hops of a packed row ``(at, version, place, packed)``, of one message or of all."""
    at, version, place, packed = row
    for item in _unpack.decode(packed):
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


def add_tally(tx: Any, place: str, now: int, tally: MoneyTotalsByOutcome) -> None:
    """Add counts and sums to the running totals of a place; sums are exact decimals kept as text."""
    for (outcome, currency), (count, amount) in tally.items():
        row = tx.execute(
            "SELECT count, amount FROM tally WHERE place = ? AND outcome = ? AND currency = ?",
            (place, outcome, currency),
        ).fetchone()
        if row is None:
            tx.execute(
                "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?)", (place, outcome, currency, count, str(amount), now)
            )
        else:
            total = row[1] if not amount else str(exact_sum(Decimal(row[1]), amount))
            tx.execute(
                "UPDATE tally SET count = ?, amount = ?, last = ? WHERE place = ? AND outcome = ? AND currency = ?",
                (row[0] + count, total, now, place, outcome, currency),
            )
