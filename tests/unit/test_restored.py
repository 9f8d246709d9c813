"""What a restored ledger takes for its own of what the queues of a broker hold, and what it lacks."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bus.ledger import restored
from bus.ledger.backup import after_restore
from bus.ledger.leases import Holdings
from bus.ledger.ledger import Ledger
from bus.ledger.place import open_store
from bus.ledger.references import all_blobs, all_known
from bus.ledger.restored import Survey
from bus.ledger.store import Store, no_effect
from bus.message import Group, Headers, Message, Sequence, encode
from bus.testing.clock import ManualClock
from tests.unit.old_stores import store_before

ARRIVAL = "INSERT INTO arrival VALUES (?, 'flow', ?, 0, 'f', 1, 1, 7, 'completed', 'accepted', 1)"
BATCH = (
    "INSERT INTO batch (id, parent_id, parent_number, step, version, lane, state, next_index, unreported, money,"
    " outcomes, at) VALUES (?, ?, ?, 's', 1, 1, ?, 0, ?, '[]', '[]', 1)"
)
GROUP = (
    "INSERT INTO gathering (id, route, version, step, key, batch, release, channel, count, money, correlation, opened,"
    " due, state, message) VALUES (?, 'flow', 1, 's', ?, 0, 0, 'x', 2, '[]', '', 1, 0, 'released', ?)"
)
VERSION = "INSERT INTO route_version (hash, route, sources, first_used) VALUES ('h', 'flow', '{}', 1)"
BACKUP = 1_790_000_000_000
WAITING = {
    "deferred": "INSERT INTO deferred (due, channel, number, code, reason, payload) VALUES (0, 'c', ?, '', '', ?)",
    "held": "INSERT INTO held (channel, number, until, predicate, code, reason, since, payload)"
    " VALUES ('c', ?, 0, '', '', '', 0, ?)",
    "parked": "INSERT INTO parked VALUES (1, 1, ?, ?)",
    "dead": "INSERT INTO dead (channel, number, code, reason, at, case_id, payload) VALUES ('c', ?, '', '', 0, 1, ?)",
    "queued": "INSERT INTO queued VALUES (?, ?)",
}


def made(at: int = BACKUP + 1, **headers: Any) -> Message:
    body = headers.pop("body", {})
    known: dict[str, Any] = {"id": "m", "correlation_id": "old", "number": 7, "version": 1, "leg": "L"}
    return Message(Headers(created_at=at, **{**known, **headers}), body)


class Restored:
    """A ledger as it was at the backup: batches 1 (complete), 2 (loading) and 3 (open), group 1 let go as 70."""

    def __init__(self) -> None:
        self.store = Store(None)
        self.holdings = Holdings(self.store, "me")
        self.do(VERSION)
        self.do(ARRIVAL, "old", "a")
        for batch, (state, left) in enumerate([("complete", 0), ("loading", 3), ("open", 2)], 1):
            self.do(BATCH, batch, f"p{batch}", 100 + batch, state, left)
        self.do(GROUP, 1, "k", 70)
        self.store.commit("test", lambda tx: restored.mark(tx.execute, BACKUP))

    def do(self, sql: str, *values: Any) -> None:
        self.store.commit("test", lambda tx: tx.execute(sql, values))

    def survey(self) -> Survey:
        since = restored.since(self.store.read)
        assert since is not None
        return Survey(self.store, since, self.holdings, lambda: True)

    def missing(self, *found: Message) -> list[tuple[str, int]]:
        survey = self.survey()
        survey.judge(found)
        return [(note.summary.partition(" had ")[0], note.number) for note in survey.missing()]


@pytest.mark.parametrize(
    ("message", "goes_on"),
    [
        (made(), True),
        (made(number=8), False),  # made of the file since then: the ledger never gave that number
        (made(correlation_id="never"), False),
        (made(BACKUP - 60_000, correlation_id="forgotten"), True),
        (made(version=2), False),
        (made(sequence=Sequence(1, 0)), False),  # it is complete without …
        (made(sequence=Sequence(1, 0, reported=True)), True),  # … and was told already
        (made(sequence=Sequence(2, 0)), False),
        (made(sequence=Sequence(3, 0)), True),
        (made(BACKUP + 10**12, sequence=Sequence(3, 0)), True),  # whatever a clock says
        (made(sequence=Sequence(4, 0)), False),
        (made(BACKUP - 60_000, sequence=Sequence(4, 0)), False),
        (made(number=70, correlation_id="its own", body=Group(1, 2)), True),
        (made(number=71, correlation_id="its own", body=Group(1, 2)), False),
        (made(number=70, body=Group(2, 2)), False),
        (made(number=70, correlation_id="its own"), True),  # what was made of the group
        (made(number=0, copy=True), False),
        (made(BACKUP - 60_000, number=0, copy=True), True),
    ],
)
def test_what_was_under_way_goes_on(message: Message, *, goes_on: bool) -> None:
    copies, strangers = Restored().survey().judge([message])
    assert (copies, strangers) == (set(), set() if goes_on else {"L"})


@pytest.mark.parametrize("table", WAITING)
def test_what_the_ledger_goes_on_with_itself_is_not_taken_from_the_queue_as_well(table: str) -> None:
    ledger = Restored()
    ledger.do(WAITING[table], 7, encode(made(BACKUP - 60_000, leg="another")))
    copy = made(BACKUP - 60_000, id="c", parent_id="m", number=0, copy=True, leg="C")
    assert ledger.survey().judge([made(BACKUP - 60_000), copy]) == (set(), {"L", "C"})


def test_what_is_published_and_still_to_be_published_is_left_to_the_ledger() -> None:
    """The outbox sends it again under the same leg, which therefore must not be known yet."""
    ledger = Restored()
    ledger.do(WAITING["queued"], 7, encode(made()))
    assert ledger.survey().judge([made()]) == ({"L"}, set())


def test_what_stands_in_two_queues_goes_on_once() -> None:
    """It was published, and the ledger was lost before it was taken away where it came from."""
    survey, part = Restored().survey(), Sequence(3, 0)
    assert survey.judge([made(sequence=part), made(sequence=part, leg="N")]) == (set(), {"N"})
    assert survey.judge([made(sequence=part, leg="M")]) == (set(), {"M"})
    assert [note.summary.partition(" had ")[0] for note in survey.missing()][1].startswith("1 of the records")


def test_what_went_on_before_the_sorting_was_broken_off_is_not_done_again() -> None:
    ledger, owner = Restored(), "ab" * 8
    copy = made(BACKUP - 60_000, id="c", parent_id="m", number=0, copy=True, leg="C")
    ledger.survey().begin(owner)
    ledger.do(WAITING["queued"], 7, encode(made(leg=f"{owner}{1:016x}")))
    assert ledger.survey().judge([copy, made(leg="again")]) == (set(), {"again"})


def test_what_had_left_the_queues_is_missing() -> None:
    ledger = Restored()
    one = made(number=201, sequence=Sequence(3, 0), leg="1")
    other = made(number=202, sequence=Sequence(3, 1), leg="2")
    group, parent = made(number=70, body=Group(1, 2), leg="3"), made(0, number=102, leg="4")
    nothing = [("the rest of message 102", 102), ("2 of the records of message 103", 103)]
    assert ledger.missing() == [*nothing, ("what was gathered of message 70", 70)]
    assert ledger.missing(one, group) == [nothing[0], ("1 of the records of message 103", 103)]
    assert ledger.missing(one, other, group, parent) == []
    ledger.do(WAITING["parked"], 202, encode(other))
    ledger.do(WAITING["deferred"], 102, encode(parent))
    assert ledger.missing(one, group) == []


def test_a_ledger_that_never_was_restored_has_nothing_to_sort() -> None:
    assert restored.since(Store(None).read) is None


@pytest.mark.parametrize("backups", [(BACKUP, BACKUP + 9), (BACKUP + 9, BACKUP)])
def test_what_was_not_sorted_before_the_next_restore_is_sorted_then(backups: tuple[int, int]) -> None:
    store = Store(None)
    for backup in backups:
        store.commit("test", lambda tx, backup=backup: restored.mark(tx.execute, backup))
    assert restored.since(store.read) == BACKUP
    store.commit("test", lambda tx: tx.execute("INSERT INTO under_way VALUES ('a leg that is nowhere', 'd', 1)"))
    store.commit("test", restored.settled)
    assert restored.since(store.read) is None
    assert all_blobs(store.read) == {}


def test_who_works_on_a_backup_that_is_restored_again_has_a_number_that_nobody_had() -> None:
    """What one of the first life claimed at a partner's would else be taken for the claim of a later one."""
    owners = []
    for _ in range(2):
        store = Store(None)
        store.commit("test", lambda tx: after_restore(tx.execute, BACKUP, ("me", "the disk is lost")))
        ledger = Ledger(store, ManualClock())
        owners += [ledger.epoch, ledger.next_epoch()]
        time.sleep(0.01)
    assert sorted(set(owners)) == owners


def _beside(store: Store, what: str) -> None:
    audit = "INSERT INTO audit (at, who, what, target, reason) VALUES (1, 'a', ?, 'b', 'c')"
    store.commit("test", lambda tx: tx.execute(audit, (what,)))


def test_a_ledger_beside_a_broker_does_not_know_what_queues_refer_to_since_the_backup() -> None:
    """So no document is collected until they are sorted, or nothing of that time may stand in them any more."""
    now = time.time_ns() // 1_000_000
    for beside in ("backbone", "something else"):
        store = Store(None)
        _beside(store, beside)
        assert all_known(store.read, 0)
        store.commit("test", lambda tx: restored.mark(tx.execute, BACKUP))
        assert all_known(store.read, now - 60_000) == (beside != "backbone")
        assert all_known(store.read, now + 60_000)
        store.commit("test", restored.settled)
        assert all_known(store.read, 0)


@pytest.mark.parametrize("kind", ["file", "postgres"])
@pytest.mark.parametrize("beside", ["backbone", "something else"])
def test_a_ledger_that_is_brought_forward_does_not_know_what_stands_in_queues(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, beside: str
) -> None:
    place = tmp_path / "bus.db" if kind == "file" else str(request.getfixturevalue("postgres_url"))
    with closing(store_before(place, "CREATE TABLE under_way")) as old:
        old.execute(f"INSERT INTO audit (at, who, what, target, reason) VALUES (1, 'a', '{beside}', 'b', 'c')")  # noqa: S608
    with closing(open_store(place, effect=no_effect)) as store:
        assert all_known(store.read, 1) == (beside != "backbone")
