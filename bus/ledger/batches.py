"""Batches: the hidden children of a split, the moment they open, and who of them has been accounted for."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from bus.errors import Rejected, Retryable
from bus.money import exact_sum
from bus.ports import Cursor, MoneyTotalsByOutcome


def unfinished(tx: Any, parent_id: str) -> list[Cursor]:
    """All splits of a message that were begun and not opened."""
    sql = "SELECT id, lane, next_index FROM batch WHERE parent_id = ? AND state = 'loading'"
    return [Cursor(*row) for row in tx.execute(sql, (parent_id,))]


def begin(tx: Any, cursor: Cursor, parent: tuple[str, int], about: tuple[str, int], now: int) -> None:
    """A new batch in state loading, under a number never used; parent = (id, number), about = (step, version)."""
    step, version = about
    tx.execute(
        "INSERT INTO batch (id, parent_id, parent_number, step, version, lane, state, next_index, unreported, money,"
        " outcomes, at) VALUES (?, ?, ?, ?, ?, ?, 'loading', 0, 0, '[]', '[]', ?)",
        (cursor.batch, *parent, step, version, cursor.lane, now),
    )


def advance(tx: Any, cursor: Cursor, count: int, money: MoneyTotalsByOutcome, rejected: MoneyTotalsByOutcome) -> None:
    """``count`` more children are stored; ``money`` is their worth, ``rejected`` those the splitter refused.

    Raises:
        Retryable: ``SYS122`` the split does not stand at the cursor: while this process was frozen, another one went on
            with it or ended it. What is stored twice would be worked on twice.
    """
    row = tx.execute("SELECT money, outcomes FROM batch WHERE id = ?", (cursor.batch,)).fetchone() or ("[]", "[]")
    refused = sum(n for n, _ in rejected.values())
    gone_on = tx.execute(
        "UPDATE batch SET next_index = next_index + ?, unreported = unreported + ?, money = ?, outcomes = ? "
        "WHERE id = ? AND state = 'loading' AND next_index = ? RETURNING 1",
        (count, count - refused, _added(row[0], money), _added(row[1], rejected), cursor.batch, cursor.next_index),
    ).fetchone()
    if gone_on is None:
        raise Retryable("SYS122", "another process has gone on with this split", hint="nothing: it goes on there")


def discard(tx: Any, cursor: Cursor) -> MoneyTotalsByOutcome:
    """The document was refused as a whole: its batch never existed, nor did its groups; what to take off the tally."""
    money, outcomes = tx.execute("DELETE FROM batch WHERE id = ? RETURNING money, outcomes", (cursor.batch,)).fetchone()
    tx.execute("UPDATE gathering SET state = 'done', due = 0 WHERE batch = ?", (cursor.batch,))
    return {(o, c): (-n, Decimal(a).copy_negate()) for text in (money, outcomes) for o, c, n, a in json.loads(text)}


def open_batch(tx: Any, batch: int) -> bool:
    """Let the children go; true when nobody is left to report (an empty or wholly refused batch)."""
    tx.execute("UPDATE batch SET state = 'open' WHERE id = ?", (batch,))
    (unreported,) = tx.execute("SELECT unreported FROM batch WHERE id = ?", (batch,)).fetchone()
    return int(unreported) == 0


def report(tx: Any, batch: int, outcomes: MoneyTotalsByOutcome) -> bool:
    """Book the outcomes of children; true when this completes the batch.

    Raises:
        Rejected: ``INT121`` when more children report than there are.
    """
    row = tx.execute("SELECT unreported, outcomes FROM batch WHERE id = ? AND state = 'open'", (batch,)).fetchone()
    if row is None:
        raise Rejected("INT121", f"batch {batch} is not open, yet a child reports", hint="report this")
    left = row[0] - sum(n for n, _ in outcomes.values())
    if left < 0:
        raise Rejected("INT121", f"batch {batch} has fewer children than reports", hint="report this")
    tx.execute("UPDATE batch SET unreported = ?, outcomes = ? WHERE id = ?", (left, _added(row[1], outcomes), batch))
    return bool(left == 0)


def complete(tx: Any, batch: int) -> str | None:
    """Close a batch; a sentence when money or counts are not conserved (in = sum of outcomes), per currency."""
    row = tx.execute("SELECT money, outcomes FROM batch WHERE id = ?", (batch,)).fetchone()
    tx.execute("UPDATE batch SET state = 'complete' WHERE id = ?", (batch,))
    return difference(row[0], row[1], 0, amounts=True)


def difference(money: str, outcomes: str, unreported: int, *, amounts: bool) -> str | None:
    """A sentence when a batch's books do not add up, in counts and (``amounts``) in money."""
    came, went = _by_currency(money), _by_currency(outcomes)
    if sum(n for n, _ in came.values()) != sum(n for n, _ in went.values()) + unreported:
        return "the batch's count of children differs from the count of their outcomes"
    if "" in came or not amounts:  # some children had no readable amount when they were split: counts only
        return None
    for currency in sorted(came.keys() | went.keys()):
        before, after = came.get(currency, (0, Decimal(0))), went.get(currency, (0, Decimal(0)))
        if before != after:
            came_in, told = f"{before[0]} x {before[1]:f} {currency}", f"{after[0]} x {after[1]:f} {currency}"
            return f"{came_in} came in, {told} are accounted for"
    return None


def _by_currency(text: str) -> dict[str, tuple[int, Decimal]]:
    found: dict[str, tuple[int, Decimal]] = {}
    for _, currency, count, amount in json.loads(text):
        n, total = found.get(currency, (0, Decimal(0)))
        found[currency] = (n + count, exact_sum(total, Decimal(amount)))
    return found


def _added(text: str, more: MoneyTotalsByOutcome) -> str:
    book: MoneyTotalsByOutcome = {(o, c): (n, Decimal(a)) for o, c, n, a in json.loads(text)}
    for key, (count, amount) in more.items():
        n, total = book.get(key, (0, Decimal(0)))
        book[key] = (n + count, exact_sum(total, amount))
    return json.dumps([[o, c, n, f"{a:f}"] for (o, c), (n, a) in sorted(book.items())])
