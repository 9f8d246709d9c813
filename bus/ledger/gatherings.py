"""The aggregator's groups: members arrive one by one, a group is released once, its members are read in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

from bus.errors import Rejected
from bus.message import Group, Headers, Join, Message, decode, edge_id, sealed
from bus.money import exact_sum
from bus.ports import Gathering

_SHIFT = 30
_PAGE = 500
_ABOVE = Decimal(10) ** 30
"""Added to sort numbers, so that negative ones sort as text too."""
_LATE_AFTER = 5_000
"""Milliseconds without a newcomer after which a group of late children goes, when the route names no time itself."""


def join(
    tx: Any, route: str, joins: list[tuple[Join, Gathering]], now: int
) -> tuple[list[tuple[str, Message]], dict[str, list[int]]]:
    """Add members; returns the releases this completes as (channel, message), and which message joined what."""
    released: list[tuple[str, Message]] = []
    joined: dict[str, list[int]] = {}
    buckets: dict[tuple[str, str, int, int], list[tuple[Join, Gathering]]] = {}
    for wish, rule in joins:
        headers = wish.message.headers
        batch = 0
        if rule.batch and headers.sequence is not None:
            late = headers.sequence.reported or (headers.copy and _is_complete(tx, headers.sequence.batch))
            batch = -headers.sequence.batch if late else headers.sequence.batch
        bucket = (wish.step, json.dumps(wish.key, default=str), batch, headers.version)
        buckets.setdefault(bucket, []).append((wish, rule))
    for (step, key, batch, version), members in buckets.items():
        while members:
            group, room = _open_group(tx, (route, version, step, key, batch), members[0][1], now)
            taken, members = _until_full(members, room)  # noqa: PLW2901 - the rest goes into the next release
            count = _add(tx, group, taken, now)
            for wish, _ in taken:
                headers = wish.message.headers
                joined.setdefault(headers.parent_id if headers.copy else headers.id, []).append(group)
            rule = taken[-1][1]
            if taken[-1][0].complete or (rule.size and count >= rule.size):
                released.append(release(tx, group, now))
    return released, joined


def _is_complete(tx: Any, batch: int) -> bool:
    """A batch does not wait for copies; one that comes when it is complete would join a group that nobody releases."""
    row = tx.execute("SELECT state FROM batch WHERE id = ?", (batch,)).fetchone()
    return row is None or row[0] == "complete"


def _open_group(tx: Any, identity: tuple[str, int, str, str, int], rule: Gathering, now: int) -> tuple[int, int]:
    """(group, free places)."""
    route, version, step, key, batch = identity
    row = tx.execute(
        "SELECT id, count FROM gathering WHERE route = ? AND step = ? AND key = ? AND batch = ? AND version = ? "
        "AND state = 'open'",
        (route, step, key, batch, version),
    ).fetchone()
    if row is None:
        (past,) = tx.execute(
            "SELECT coalesce(max(release), -1) + 1 FROM gathering "
            "WHERE route = ? AND step = ? AND key = ? AND batch = ?",
            (route, step, key, batch),
        ).fetchone()
        due = now + rule.every if rule.every else 0
        row = tx.execute(
            "INSERT INTO gathering (route, version, step, key, batch, release, channel, count, money,"
            " correlation, opened, due, state) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '[]', '', ?, ?, 'open') RETURNING id, 0",
            (route, version, step, key, batch, past, rule.channel, now, due),
        ).fetchone()
    return row[0], (rule.size - row[1]) if rule.size else 1 << _SHIFT


def _until_full(
    members: list[tuple[Join, Gathering]], room: int
) -> tuple[list[tuple[Join, Gathering]], list[tuple[Join, Gathering]]]:
    end = min(room, len(members))
    for n in range(end):
        if members[n][0].complete:
            end = n + 1
            break
    return members[:end], members[end:]


def _add(tx: Any, group: int, taken: list[tuple[Join, Gathering]], now: int) -> int:
    count, money, correlation, due, batch, opened = tx.execute(
        "SELECT count, money, correlation, due, batch, opened FROM gathering WHERE id = ?", (group,)
    ).fetchone()
    totals = {c: (n, Decimal(v)) for c, n, v in json.loads(money)}
    base = (group << _SHIFT) + count
    rows = []
    for n, (wish, _) in enumerate(taken):
        headers = wish.message.headers
        currency, value = headers.worth or ("", Decimal(0))
        before = totals.get(currency, (0, Decimal(0)))
        totals[currency] = (before[0] + 1, exact_sum(before[1], value))
        if not correlation:
            correlation = headers.correlation_id
        elif correlation != headers.correlation_id:
            correlation = "many"
        order = _sort_key(wish.order)
        if batch and headers.sequence is not None:  # the number of a copy tells only when it was made
            order += f"\x1f{headers.sequence.index:012}"
        rows.append((base + n, order, headers.number, sealed(wish.message)))
    tx.executemany("INSERT INTO member VALUES (?, ?, ?, ?)", rows)
    rule = taken[-1][1]
    after = rule.after or (_LATE_AFTER if batch < 0 else 0)
    if after and not rule.every and (batch <= 0 or rule.after):
        due = now + after
    elif after and rule.every:
        due = min(opened + rule.every, now + after)
    text = json.dumps([[c, n, f"{v:f}"] for c, (n, v) in sorted(totals.items())])
    tx.execute(
        "UPDATE gathering SET count = ?, money = ?, correlation = ?, due = ? WHERE id = ?",
        (count + len(taken), text, correlation, due, group),
    )
    return int(count) + len(taken)


def _sort_key(order: tuple[Any, ...]) -> str:
    """Text that sorts as the values do: numbers by value, then texts."""
    parts = []
    with localcontext(prec=60):
        for value in order:
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                parts.append(f"0{Decimal(value) + _ABOVE:050.15f}")
            else:
                parts.append(f"1{value}")
    return "\x1f".join(parts)


def release(tx: Any, group: int, now: int) -> tuple[str, Message]:
    """Close a group for newcomers and make the message that stands for it. Deterministic id."""
    route, version, step, key, batch, number, channel, count, correlation = tx.execute(
        "SELECT route, version, step, key, batch, release, channel, count, correlation FROM gathering WHERE id = ?",
        (group,),
    ).fetchone()
    tx.execute("UPDATE gathering SET state = 'released', due = 0 WHERE id = ?", (group,))
    parent = ""
    if batch:
        row = tx.execute("SELECT parent_id FROM batch WHERE id = ?", (abs(batch),)).fetchone()
        parent = row[0] if row is not None else ""
    # The batch's ledger number differs from store to store; its parent's id does not.
    about = parent or (f"forgotten batch {abs(batch)}" if batch else "")
    identity = edge_id(route, step, key, about, "late" if batch < 0 else "", str(number))
    headers = Headers(
        id=identity,
        correlation_id=identity if correlation in ("", "many") else correlation,
        parent_id=parent,
        version=version,
        created_at=now,
    )
    return channel, Message(headers, Group(group, count, tuple(json.loads(key))), {"release": number + 1})


def announced(tx: Any, group: int, number: int) -> None:
    """Remember the ledger number of the message that a group was released as."""
    tx.execute("UPDATE gathering SET message = ? WHERE id = ?", (number, group))


def due(tx: Any, now: int, most: int) -> list[int]:
    """Open groups whose time has come."""
    sql = "SELECT id FROM gathering WHERE state = 'open' AND due > 0 AND due <= ? ORDER BY due LIMIT ?"
    return [row[0] for row in tx.execute(sql, (now, most))]


def of_batch(tx: Any, batch: int) -> list[int]:
    """Open groups that wait for the end of a batch, in the order they were opened."""
    return [
        r[0] for r in tx.execute("SELECT id FROM gathering WHERE batch = ? AND state = 'open' ORDER BY id", (batch,))
    ]


def close(tx: Any, group: int) -> None:
    """The group's release is settled: its members may be swept."""
    tx.execute("UPDATE gathering SET state = 'done' WHERE id = ?", (group,))


def sweep(tx: Any, most: int) -> int:
    """Delete members of finished groups, at most ``most`` rows of at most a hundred groups; returns how many went."""
    gone = 0
    sql = "DELETE FROM member WHERE id IN (SELECT id FROM member WHERE id >= ? AND id < ? LIMIT ?) RETURNING 1"
    for (group,) in tx.execute("SELECT id FROM gathering WHERE state = 'done' LIMIT 100").fetchall():
        low, high = group << _SHIFT, (group + 1) << _SHIFT
        gone += len(tx.execute(sql, (low, high, most - gone)).fetchall())
        if gone >= most:
            return gone
        tx.execute("UPDATE gathering SET state = 'swept' WHERE id = ?", (group,))
        gone += 1
    return gone


def members(read: Any, group: Group) -> Iterator[Message]:
    """Members in the order asked for (``order_by``), else as they joined; read page by page.

    Those of a batch come in the order of the document they were split from, whichever worker was faster.

    Raises:
        Rejected: ``SYS139`` they are not as many as when the group was released.
    """
    low, high = group.number << _SHIFT, (group.number + 1) << _SHIFT
    rows = read(
        "SELECT member.id, sort, CASE WHEN batch = 0 THEN 0 ELSE member.number END FROM member, gathering "
        "WHERE gathering.id = ? AND member.id >= ? AND member.id < ?",
        (group.number, low, high),
    )
    ids = [row[0] for row in sorted(rows, key=lambda row: (row[1], row[2], row[0]))]
    if len(ids) != group.count:
        why = f"group {group.number} has {len(ids)} members, it was released with {group.count}"
        raise Rejected("SYS139", why, hint="nothing is written of a part")
    for begin in range(0, len(ids), _PAGE):
        page = ids[begin : begin + _PAGE]
        marks = ", ".join("?" * len(page))
        sql = f"SELECT id, payload FROM member WHERE id IN ({marks})"  # noqa: S608 - question marks only
        payloads = dict(read(sql, tuple(page)))
        for member in page:
            yield decode(payloads[member])
