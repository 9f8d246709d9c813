"""What a restored ledger makes of the queues of its broker, which are younger than it is.

The embedded channels are in the ledger and as old as it is. The queues of a RabbitMQ are not in the backup: they hold
what was under way then, what came of it since, and files that the ledger knows nothing of. So all of it is looked at
before a restored ledger does anything else, while it still stands as it was at the backup.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from bus.errors import Retryable
from bus.ledger.leases import Holdings
from bus.ledger.references import PARKED, messages_in
from bus.message import Group, Headers, Message
from bus.ports import CaseNote, Store

if TYPE_CHECKING:
    from bus.ledger.ledger import Ledger

_NUMBERS = 1_000_000_000
"""How far the numbers of messages jump ahead: those of the lost time are not given to others."""
_SKEW = 10_000
"""Milliseconds by which the clocks of machines may differ."""
_SINCE = "restored_since"
"""In the table ``meta`` from a restore until the queues are sorted: when the backup was made, ms since 1970 UTC."""
_SORTER = "restored_by_"
"""There as well: what the legs begin with of a process that sorts, or began to."""
_UNKNOWN = (
    "INSERT INTO meta SELECT 'under_way_since', CAST(? AS BIGINT) "
    "WHERE EXISTS (SELECT 1 FROM audit WHERE what = 'backbone') "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
"""Queues of a broker hold messages of the lost time, whose documents the ledger does not know."""
_TOLD = ("held", "dead")
"""Of what stands there its batch knows."""
_CASES = 200
"""Opened in one commit: each of them is locked by its name."""
_LEASE = "restored queues"
"""Of the process that sorts them."""


def mark(execute: Callable[[str, tuple[Any, ...]], Any], backup: int) -> None:
    """Write down that the ledger is a backup of that time, before it gives a number to anything."""
    execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value ="
        " CASE WHEN excluded.value < meta.value THEN excluded.value ELSE meta.value END",
        (_SINCE, backup),
    )
    execute("UPDATE meta SET value = value + ? WHERE key = 'next_number'", (_NUMBERS,))
    execute(_UNKNOWN, (time.time_ns() // 1_000_000,))


def since(read: Any) -> int | None:
    """When the backup was made whose queues are not sorted yet; None where there is none."""
    rows = read("SELECT value FROM meta WHERE key = ?", (_SINCE,))
    return int(rows[0][0]) if rows else None


def settled(tx: Any) -> None:
    """The queues are sorted and empty; of what is in them from now on the ledger knows what it refers to."""
    tx.execute("DELETE FROM meta WHERE key LIKE 'restored_%' OR key = 'under_way_since'")
    tx.execute("DELETE FROM under_way")


@contextmanager
def sorting(ledger: Ledger, goes_on: Callable[[], bool]) -> Iterator[Survey | None]:
    """The queues of the broker as an unsorted ledger sees them; None while another process sorts them.

    The block ends early when another one takes over: where this one was frozen, or cut off from the database.
    """
    holdings = ledger.holdings
    if not holdings.mine(_LEASE):
        yield None
        return
    try:
        with holdings.renewing():
            backup = since(ledger.read)  # what it is now that nobody else sorts
            yield Survey(ledger.store, backup, holdings, goes_on) if backup is not None else None
    except Retryable as error:
        if error.code != "SYS122":
            raise
    holdings.give_back(_LEASE)


def sorted_out(ledger: Ledger, survey: Survey) -> None:
    """The queues are sorted; cases tell what is missing."""
    missing = list(survey.missing())

    def tell(tx: Any, notes: list[CaseNote]) -> None:
        survey.guard(tx)
        for note in notes:
            ledger.open_case(tx, note)

    def settle(tx: Any) -> None:
        survey.guard(tx)
        settled(tx)

    for first in range(0, len(missing), _CASES):
        ledger.commit("missing", partial(tell, notes=missing[first : first + _CASES]))
    ledger.commit("sorted", settle)


class Verdict(NamedTuple):
    """Legs of messages."""

    copies: set[str]
    """The ledger has the very same still to publish."""
    strangers: set[str]
    """It cannot know them, or goes on with them from a place of its own."""


class Survey:
    """The queues as a ledger sees them that stands as it was at the backup: nothing else may change it meanwhile.

    Args:
        store: the ledger's.
        since: when the backup was made, milliseconds since 1970 UTC.
        holdings: has the lease.
        goes_on: whether the sorting is to go on; asked all the time.
    """

    def __init__(self, store: Store, since: int, holdings: Holdings, goes_on: Callable[[], bool]) -> None:
        self.goes_on = goes_on
        self._store = store
        self._read = read = store.read
        self._since = since
        self._holdings = holdings
        # Versions that are younger were written by the process that asks; others have their numbers in the queues.
        versions = "SELECT coalesce(max(id), 0) FROM route_version WHERE first_used <= ?"
        self._version: int = read(versions, (since,))[0][0]
        self._batch: int = read("SELECT coalesce(max(id), 0) FROM batch", ())[0][0]
        self._stood = {row[0] for row in read("SELECT message FROM gathering WHERE message > 0", ())}
        """Numbers of messages that stand, or stood, for groups."""
        self._legs: set[str] = set()
        """Of what is still to be published."""
        self._kept: set[int] = set()
        """Numbers of what the ledger goes on with from a place of its own, or has gone on with already …"""
        self._again: set[str] = set()
        """… and ids: copies of it are made again."""
        self._seen: set[int] = set()
        self._unreported: Counter[int] = Counter()
        sorters = {
            key.removeprefix(_SORTER) for (key,) in read("SELECT key FROM meta WHERE key LIKE ?", (_SORTER + "%",))
        }
        for table in ("queued", "deferred", PARKED, "held", "dead"):
            for headers in (message.headers for message in messages_in(read, table)):
                self._kept.add(headers.number)
                if headers.leg[:16] not in sorters:  # else it went on before the sorting was broken off
                    self._again.add(headers.id)
                if table == "queued":
                    self._legs.add(headers.leg)
                if table not in _TOLD:
                    self._note(headers)
        self._kept.discard(0)
        self._legs.discard("")

    def begin(self, owner: str) -> None:
        """Whose legs begin with ``owner`` sorts now; what goes on has them."""

        def work(tx: Any) -> None:
            self.guard(tx)
            tx.execute("INSERT INTO meta VALUES (?, 0) ON CONFLICT DO NOTHING", (_SORTER + owner,))

        self._store.commit("sorting", work)

    def judge(self, messages: Sequence[Message]) -> Verdict:
        """What of some messages is strange, or a copy; the rest goes on.

        Of a message that stands in two queues, as it was published and not yet taken away where it came from, one is
        strange: where both went on, no leg would tell them apart.
        """
        facts = _Facts(self._read, messages)
        copies, strangers = set(), set()
        for message in messages:
            headers = message.headers
            if headers.leg in self._legs:
                copies.add(headers.leg)
            elif headers.number in self._kept or headers.version > self._version or not self._known(message, facts):
                strangers.add(headers.leg)
            else:
                self._note(headers)
                if headers.number:
                    self._kept.add(headers.number)
        return Verdict(copies, strangers)

    def guard(self, tx: Any) -> None:
        """Refuse a commit when another process sorts now.

        Raises:
            Retryable: ``SYS122`` it does.
        """
        self._holdings.guard(tx, _LEASE)

    def missing(self) -> Iterator[CaseNote]:
        """What was under way at the backup and is neither in the queues, which are empty now, nor in the ledger."""
        there = self._seen | self._kept
        for batch, parent, number, version, state, left in self._read(
            "SELECT id, parent_id, parent_number, version, state, unreported FROM batch WHERE state <> 'complete'", ()
        ):
            gone = left - self._unreported[batch]
            if state == "open" and gone > 0:
                yield self._note_of(f"{gone} of the records of", f"batch {batch}", (number, parent), version)
            elif state == "loading" and number not in there:
                yield self._note_of("the rest of", f"batch {batch}", (number, parent), version)
        for group, number, correlation, version in self._read(
            "SELECT id, message, correlation, version FROM gathering WHERE state = 'released' AND message > 0", ()
        ):
            if number not in there:
                yield self._note_of("what was gathered of", f"group {group}", (number, correlation), version)

    def _note_of(self, what: str, mark: str, about: tuple[int, str], version: int) -> CaseNote:
        number, correlation = about
        named = self._read("SELECT name FROM arrival WHERE id = ?", (correlation,))
        name = named[0][0] if named else f"message {number}"
        routes = self._read("SELECT route FROM route_version WHERE id = ?", (version,))
        route = routes[0][0] if routes else ""
        text = f"{what} {name} had left the queue when the ledger was restored: nobody knows what became of it"
        return CaseNote("SYS150", text, route, "", f"{mark}:SYS150", number, correlation, {"file": name})

    def _note(self, headers: Headers) -> None:
        self._seen.add(headers.number)
        part = headers.sequence
        if part is not None and not part.reported and not headers.copy:
            self._unreported[part.batch] += 1

    def _known(self, message: Message, facts: _Facts) -> bool:
        headers, body = message.headers, message.body
        old: bool = headers.created_at <= self._since - _SKEW
        part = headers.sequence
        if type(body) is Group:
            return headers.number == facts.released.get(body.number)
        if headers.copy and not (old and self._again.isdisjoint((headers.parent_id, headers.correlation_id))):
            return False
        if part is not None:
            if part.batch not in facts.batches:
                return part.batch <= self._batch  # it is forgotten, or never was
            state = facts.batches[part.batch]
            return state == "open" or (state == "complete" and part.reported)
        return old or headers.number in facts.arrivals or headers.number in self._stood


class _Facts:
    """What the ledger has of some messages.

    Attributes:
        arrivals: numbers of files.
        batches: batch -> its state.
        released: group -> number of the message that stands for it.
    """

    def __init__(self, read: Any, messages: Sequence[Message]) -> None:
        def rows(sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
            bindings = tuple(values)
            return read(sql.format(", ".join("?" * len(bindings))), bindings) if bindings else []

        heads = [message.headers for message in messages]
        groups = {message.body.number for message in messages if type(message.body) is Group}
        parts = {one.sequence.batch for one in heads if one.sequence is not None}
        arrivals = rows("SELECT number FROM arrival WHERE id IN ({})", {one.correlation_id for one in heads})
        self.arrivals: set[int] = {row[0] for row in arrivals}
        self.batches: dict[int, str] = dict(rows("SELECT id, state FROM batch WHERE id IN ({})", parts))
        released = "SELECT id, message FROM gathering WHERE state = 'released' AND id IN ({})"
        self.released: dict[int, int] = dict(rows(released, groups))
