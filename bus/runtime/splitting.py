"""The unit of a split: stream the parts, store them hidden in chunks with a cursor, resume where a crash left it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, Protocol

from bus.message import Headers, Join, Message, Sequence, child_id, child_ids, settled
from bus.money import exact_sum
from bus.ports import Broker, CaseNote, Chunk, Cursor, Event, MoneyTotalsByOutcome, Part, Settlement
from bus.runtime.ahead import Ahead
from bus.runtime.pipeline import CompiledRoute
from bus.runtime.refusing import reject_record
from bus.runtime.worth import worth_of

CHUNK = 500
"""Parts per commit: enough to make the flush cheap, few enough to stay far from memory limits."""


class Ledger(Protocol):
    """What a split asks of the ledger."""

    def cursor(self, parent_id: str, step: str) -> Cursor | None:
        """Where an interrupted split of this parent stands."""


class SplitUnit:
    """All splits of one message. Nothing of them is visible before the parent is settled."""

    def __init__(self, broker: Broker, ledger: Ledger, route: CompiledRoute, place: str) -> None:
        self._broker = broker
        self._ledger = ledger
        self._route = route
        self._place = place
        self.cursors: list[Cursor] = []

    def store(self, step: str, message: Message) -> Cursor:
        """Store all parts of ``message``; the batch is complete but closed afterwards.

        Raises:
            Rejected: the document is refused as a whole; ``cursors`` names what to throw away.
        """
        splitter = self._route.splitters[step]
        cursor = self._ledger.cursor(message.headers.id, step)
        if cursor is not None:
            self.cursors.append(cursor)
        parts = enumerate(splitter.expand(message))
        if cursor is not None:
            parts = islice(parts, cursor.next_index, None)  # type: ignore[assignment]  # both are iterators of pairs
        with Ahead(lambda: self._chunk(step, message, islice(parts, CHUNK))) as chunks:
            while True:
                chunk = chunks.take()
                if not chunk.count and cursor is not None:
                    return cursor
                known, is_last = cursor is not None, chunk.count < CHUNK
                cursor = self._broker.stage(chunk, cursor, None if is_last else chunks.begin)
                if not known:
                    self.cursors.append(cursor)
                if is_last:
                    return cursor

    def _chunk(self, step: str, parent: Message, page: Iterator[tuple[int, Part]]) -> Chunk:
        """The next parts as children; each body is packed while the processor still has it at hand."""
        route = self._route
        chunk = Chunk(parent, step, route.after[step], 0, [], {}, {}, Settlement(self._place, route.version))
        splitter = route.splitters[step]
        keep_source = route.spec.on_reject is not None
        identity = child_ids(parent.headers.id, route.name, step)
        inherited = {k: v for k, v in parent.properties.items() if k != "document"}
        for index, part in page:
            chunk.count += 1
            body = part.body
            worth = worth_of(route, body)
            keys = splitter.child_keys(body) if body is not None else ()
            headers = _child(parent.headers, identity(index), Sequence(0, index), (part.place, keys, worth))
            _add(chunk.money, "in", worth)
            if part.error is not None:
                self._refused(chunk, Message(headers), part, worth)
                continue
            packed = settled(body)
            properties = {**inherited, "source": packed} if keep_source and isinstance(body, dict) else inherited
            chunk.children.append(Message(headers, packed, properties))
        return chunk

    def _refused(self, chunk: Chunk, child: Message, part: Part, worth: tuple[str, Decimal] | None) -> None:
        """A part that the reader itself refuses: into the reject file, or a case where the route has none."""
        error = part.error
        if error is None:
            return
        _add(chunk.refused, "rejected", worth)
        settlement = chunk.settlement
        settlement.events.append(Event(child, "rejected", chunk.step, error.code, error.message))
        settlement.report(child.with_headers(sequence=None), "rejected")
        rule = self._route.gatherings.get("on_reject")
        index = child.headers.sequence.index if child.headers.sequence else 0
        if rule is not None:
            record = reject_record(part.body if part.body is not None else part.raw, error)
            settlement.joins.append((Join("on_reject", (), Message(child.headers, record, {}), (index,)), rule))
        headers = child.headers
        name = self._route.name
        mark = f"{name}:{error.code}:{headers.correlation_id}"
        context = {"file": headers.name, "place": part.place, "keys": dict(headers.keys)}
        owner = self._route.spec.owner
        note = CaseNote(error.code, error.message, name, owner, mark, 0, headers.correlation_id, context)
        settlement.cases.append(note)


def _add(book: MoneyTotalsByOutcome, outcome: str, worth: tuple[str, Decimal] | None) -> None:
    currency, value = worth or ("", Decimal(0))
    count, total = book.get((outcome, currency), (0, Decimal(0)))
    book[(outcome, currency)] = (count + 1, exact_sum(total, value))


def _child(
    above: Headers, identity: str, sequence: Sequence, facts: tuple[str, tuple[tuple[str, str], ...], Any]
) -> Headers:
    place, keys, worth = facts
    return Headers(
        id=identity,
        correlation_id=above.correlation_id,
        parent_id=above.id,
        version=above.version,
        name=above.name,
        expires_at=above.expires_at,
        reply_to=above.reply_to,
        sequence=sequence,
        keys=keys,
        place=place,
        worth=worth,
    )


def derived(parent: Message, route: str, step: str, index: int | str) -> Message:
    """A message derived from another outside of any batch, under a deterministic id."""
    above = parent.headers
    headers = Headers(
        id=child_id(above.id, route, step, index),
        correlation_id=above.correlation_id,
        parent_id=above.id,
        version=above.version,
        name=above.name,
    )
    return Message(headers)
