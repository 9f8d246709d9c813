"""Message history (EIP): one packed row per batch of units and segment, expanded when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from bus.message import Headers, Message
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
    _store(tx, (place, version, now), [_item(event, joined) for event in events])


def write_births(tx: Any, place: str, version: int, now: int, events: list[Event], joined: Joined = NOBODY) -> None:
    """As :func:`write`, for first events: with what must still be known when the message itself is long gone."""
    items = [_item(event, joined) for event in events]
    for item, event in zip(items, events, strict=True):
        headers = event.message.headers
        currency, amount = headers.worth or ("", "")
        facts = [headers.name, headers.place, headers.keys, currency, f"{amount:f}" if currency else ""]
        item.extend([[], facts] if len(item) == _PLAIN else [facts])
    _store(tx, (place, version, now), items)


def _item(event: Event, joined: Joined) -> list[Any]:
    headers = event.message.headers
    item = [
        headers.number,
        bytes.fromhex(headers.id),
        bytes.fromhex(headers.parent_id),
        bytes.fromhex(headers.correlation_id),
        event.outcome,
        event.step,
        headers.attempt,
        event.code,
        event.reason,
        [_output(channel, m, headers) for channel, m in event.outputs],
    ]
    if joined and headers.id in joined:
        item.append(joined[headers.id])
    return item


def _output(channel: str, message: Message, came: Headers) -> list[Any]:
    """Where a message went; the same message is not written twice."""
    headers = message.headers
    return [channel] if headers.id == came.id else [channel, headers.number, bytes.fromhex(headers.id)]


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
