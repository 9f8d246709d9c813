"""Channels and ledger keep their contract in every store alike, also for whoever opens it next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bus.channels.shared import SharedBroker
from bus.channels.store import NULL_ID, StoreBroker
from bus.errors import BusError, NotAllowed, Rejected, Retryable
from bus.landscape import RetentionSpec
from bus.ledger import backbone, cases, history, instructions, retention, waiting
from bus.ledger.decisions import Decisions
from bus.ledger.ledger import Ledger
from bus.ledger.postgres import PostgresStore
from bus.ledger.store import Store
from bus.message import (
    Group,
    Headers,
    Hold,
    Join,
    Message,
    Progress,
    Register,
    Remember,
    Resequence,
    Sequence,
    child_id,
    encode,
    settled,
)
from bus.ports import CaseNote, Chunk, Cursor, Delivery, Event, Gathering, Settlement
from bus.runtime.control import Control
from bus.testing.clock import ManualClock

ROOT = "6ba7b8119dad11d180b400c04fd430c8"


class Books:
    """Broker and ledger over one store: in memory (None), in a file, or in a PostgreSQL database.

    :meth:`reopened` is the next process.
    """

    def __init__(self, place: Path | str | None) -> None:
        self.place = place
        self.clock = ManualClock()
        self._open()

    def _open(self) -> None:
        self.store: PostgresStore | Store
        self.store = PostgresStore(self.place) if isinstance(self.place, str) else Store(self.place)
        self._build()

    def _build(self) -> None:
        self.ledger = Ledger(self.store, self.clock)
        self.broker = StoreBroker(self.store, self.ledger)
        if self.store.shared:
            self.broker = SharedBroker(self.store, self.ledger, self.ledger.holdings, self.ledger.epoch)
        self.broker.declare(["in", "in#next", "out"])

    def reopened(self) -> None:
        if self.place is None:
            self._build()
        else:
            self.store.close()
            self._open()

    def put(self, channel: str, *messages: Message) -> None:
        self.broker.transact("put", lambda _tx: [(channel, m) for m in messages])

    def ids(self, channel: str, most: int = 100) -> list[str]:
        return [d.message.headers.id for d in self.broker.take(channel, most)]

    def settle(self, deliveries: list[Delivery], fill: Callable[[Settlement], Any] = lambda _s: None) -> Settlement:
        settlement = Settlement("in")
        fill(settlement)
        self.broker.settle(deliveries, settlement, "segment")
        return settlement

    def taken(self, channel: str) -> list[Message]:
        """Take everything away from a channel."""
        found: list[Message] = []
        while got := self.broker.take(channel, 100):
            found += [d.message for d in got]
            self.settle(got)
        return found

    def due(self) -> list[tuple[str, Message]]:
        moved: list[tuple[str, Message]] = []

        def work(tx: Any) -> list[tuple[str, Message]]:
            moved.extend(self.ledger.collect_due(tx, 100))
            return moved

        self.broker.transact("due", work)
        return moved

    def commit(self, work: Callable[[Any], Any]) -> Any:
        return self.store.commit("test", work)

    def case_rows(self) -> list[tuple[Any, ...]]:
        return self.store.read("SELECT code, state, count FROM cases ORDER BY id")


@pytest.fixture(params=["memory", "file", "postgres"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    place = {"memory": lambda: None, "file": lambda: tmp_path / "bus.db"}.get(
        request.param, lambda: request.getfixturevalue("postgres_url")
    )
    made = Books(place())
    yield made
    made.store.close()


def message(name: str, body: Any = None, **headers: Any) -> Message:
    identity = child_id(ROOT, "test", "message", name)
    return Message(Headers(identity, headers.pop("correlation_id", identity), **headers), body)


def note(code: str, mark: str = "") -> CaseNote:
    return CaseNote(code, "summary", "in", "owner", f"in:{code}:{mark}")


# ---------------------------------------------------------------- channels


def test_messages_come_in_order_and_stay_until_they_are_settled(books: Books) -> None:
    sent = [message(str(n), {"n": n}) for n in range(5)]
    books.put("in", *sent)
    first = books.broker.take("in", 3)
    assert [d.message.body["n"] for d in first] == [0, 1, 2]
    assert books.ids("in", 3) == [m.headers.id for m in sent[:3]], "not settled: they come again"
    books.settle(first[:2])
    books.reopened()
    assert books.ids("in") == [m.headers.id for m in sent[2:]]
    books.put("in", message("late"))
    assert books.ids("in")[-1] == message("late").headers.id
    assert books.broker.depth("in") == 4
    assert books.broker.channels() == ["in"]


def test_messages_that_are_taken_one_by_one_come_once_and_in_order(books: Books) -> None:
    """Some of the next ones are known already; what is settled, refused, sent or left out meanwhile must show."""
    sent = [message(str(n), {"n": n}) for n in range(40)]
    books.put("in", *sent[:39])

    def take(most: int) -> tuple[list[int], Any]:
        deliveries = books.broker.take("in", most)
        return [d.message.body["n"] for d in deliveries], deliveries

    def refused(settlement: Settlement) -> None:
        settlement.puts.append(("nowhere", message("never")))

    for n in range(5):
        assert take(1)[0] == [n], "not settled: it comes again"
        books.settle(take(1)[1])
    with pytest.raises(Rejected):
        books.settle(take(1)[1], refused)
    assert take(2)[0] == [5, 6]
    books.settle(take(2)[1][1:])
    assert take(3)[0] == [5, 7, 8]
    books.put("in", sent[39])
    left = []
    while (found := take(1))[0]:
        left += found[0]
        books.settle(found[1])
    assert left == [5, *range(7, 40)]


def test_a_settlement_is_whole_or_not_at_all(books: Books) -> None:
    books.put("in", message("a"))
    got = books.broker.take("in", 1)

    def wrong(settlement: Settlement) -> None:
        settlement.puts.append(("out", message("b")))
        settlement.cases.append(note("TST101"))
        settlement.puts.append(("nowhere", message("c")))

    with pytest.raises(Rejected) as refused:
        books.settle(got, wrong)
    assert refused.value.code == "INT111"
    assert books.ids("in") == [message("a").headers.id]
    assert books.ids("out") == []
    assert books.case_rows() == []
    books.settle(got, lambda s: s.puts.append(("out", message("b"))))
    assert (books.ids("in"), books.ids("out")) == ([], [message("b").headers.id])


def test_an_alias_is_another_name_for_a_channel(books: Books) -> None:
    books.broker.alias({"statuses": "in"})
    books.put("statuses", message("a"))
    assert books.ids("in") == [message("a").headers.id]


def test_whoever_waits_for_messages_is_told_after_the_commit(books: Books) -> None:
    told: list[tuple[set[str], int]] = []
    books.broker.ready = lambda names: told.append((names, books.broker.depth("out")))
    books.put("out", message("a"))
    assert told == [({"out"}, 1)]


def test_a_damaged_row_does_not_stop_its_channel(books: Books) -> None:
    books.put("in", message("a"), message("b"))
    books.commit(
        lambda tx: tx.execute("UPDATE queued SET payload = ? WHERE id = (SELECT min(id) FROM queued)", (b"\0\xff",))
    )
    first, second = books.broker.take("in", 2)
    assert (first.message.headers.id, first.message.body) == (NULL_ID, b"\x00\xff")
    assert second.message.headers.id == message("b").headers.id


def test_new_messages_get_a_number_once(books: Books) -> None:
    books.settle([], lambda s: s.puts.extend([("in", message("a")), ("out", message("b"))]))
    numbers = [books.broker.take(c, 1)[0].message.headers.number for c in ("in", "out")]
    assert all(numbers)
    assert len(set(numbers)) == 2
    books.reopened()
    books.settle([], lambda s: s.puts.append(("in", message("c"))))
    assert books.broker.take("in", 2)[1].message.headers.number > max(numbers)


# ---------------------------------------------------------------- batches


def _chunk(parent: Message, names: list[str], worth: str = "1.00") -> Chunk:
    children = [
        message(name, {"n": n}, sequence=Sequence(0, n), worth=("EUR", Decimal(worth)), parent_id=parent.headers.id)
        for n, name in enumerate(names)
    ]
    money = {("in", "EUR"): (len(names), Decimal(worth) * len(names))}
    return Chunk(parent, "lines", "in#next", len(names), children, money, {}, Settlement("in"))


def _batch(books: Books, names: list[str]) -> tuple[Cursor, list[Message]]:
    """A file in channel ``in``, split into an open batch; its children."""
    parent = message(f"file-{names[0]}", number=7)
    books.put("in", parent)
    cursor = books.broker.stage(_chunk(parent, names), None)
    got = books.broker.take("in", 1)
    books.settle(got, lambda s: s.open_batches.append(cursor))
    return cursor, [d.message for d in books.broker.take("in#next", 100)]


def test_children_are_hidden_until_the_batch_opens(books: Books) -> None:
    parent = message("file", number=7)
    books.put("in", parent)
    cursor = books.broker.stage(_chunk(parent, ["a", "b"]), None)
    assert books.ids("in#next") == []
    books.reopened()
    assert books.ledger.cursor(parent.headers.id, "lines") == cursor
    chunk = _chunk(parent, ["a", "b", "c"])
    chunk.children, chunk.count = chunk.children[2:], 1
    cursor = books.broker.stage(chunk, cursor)
    books.settle(books.broker.take("in", 1), lambda s: s.open_batches.append(cursor))
    children = books.broker.take("in#next", 100)
    assert [d.message.headers.sequence for d in children] == [Sequence(cursor.batch, n) for n in range(3)]
    assert books.ledger.cursor(parent.headers.id, "lines") is None


def test_what_is_done_meanwhile_begins_when_only_the_commit_of_a_chunk_is_left(books: Books) -> None:
    parent = message("file", number=7)
    books.put("in", parent)
    seen: list[str] = []
    books.store.effect = seen.append
    cursor = books.broker.stage(_chunk(parent, ["a", "b"]), None, lambda: seen.append("meanwhile"))
    assert seen == ["commit.stage-batch:before", "meanwhile", "commit.stage-batch:after"]
    assert books.ledger.cursor(parent.headers.id, "lines") == cursor


def test_a_body_that_was_packed_before_is_the_same_message(books: Books) -> None:
    body = {"amount": {"value": Decimal("1.10"), "currency": "EUR"}, "lines": [1, None, "ä"]}
    bare = message("bare", body)
    packed = Message(bare.headers, settled(body), {"source": settled(body), "list": settled([body])})
    assert encode(packed) == encode(Message(bare.headers, body, {"source": body, "list": [body]}))
    books.put("in", packed)
    assert [d.message.body for d in books.broker.take("in", 1)] == [body]
    assert [settled(plain) for plain in ("text", 7, None, b"bytes")] == ["text", 7, None, b"bytes"]


def test_a_refused_file_leaves_no_child_and_no_money(books: Books) -> None:
    parent = message("file", number=7)
    books.put("in", parent)
    cursor = books.broker.stage(_chunk(parent, ["a", "b"]), None)
    books.settle(books.broker.take("in", 1), lambda s: s.discards.append(cursor))
    assert books.ids("in#next") == []
    assert books.store.read("SELECT count, amount FROM tally WHERE outcome = 'in'") == [(0, "0.00")]
    while books.broker.sweep():
        pass
    assert books.store.read("SELECT count(*) FROM queued") == [(0,)]


def test_the_place_of_a_file_that_is_not_through_is_not_given_to_another(books: Books) -> None:
    first, _ = _batch(books, ["a1", "a2"])
    books.settle(books.broker.take("in#next", 9))  # they went on elsewhere in the route: nothing is reported yet
    while books.broker.sweep():
        pass
    assert books.store.read("SELECT count(*) FROM lane WHERE id = ?", (first.lane,)) == [(0,)]
    books.reopened()
    second, _ = _batch(books, ["b1", "b2"])
    assert second.lane > first.lane


def test_files_take_turns(books: Books) -> None:
    _batch(books, ["a1", "a2"])
    _batch(books, ["b1", "b2"])
    order = []
    for _ in range(4):
        got = books.broker.take("in#next", 1)
        order.append(got[0].message.headers.id)
        books.settle(got, lambda s, got=got: s.report(got[0].message, "ended"))  # type: ignore[misc]  # bound now
    names = {message(n).headers.id: n for n in ("a1", "a2", "b1", "b2")}
    assert sorted(names[i][0] for i in order[:2]) == ["a", "b"]


def test_a_batch_is_complete_when_the_last_child_reported(books: Books) -> None:
    cursor, children = _batch(books, ["a", "b"])
    for child in children:
        (state,) = books.store.read("SELECT state FROM batch WHERE id = ?", (cursor.batch,))[0]
        assert state == "open"
        books.settle([], lambda s, child=child: s.report(child, "ended"))  # type: ignore[misc]  # bound now
    assert books.store.read("SELECT state, unreported FROM batch") == [("complete", 0)]
    assert books.case_rows() == []
    with pytest.raises(Rejected) as refused:
        books.settle([], lambda s: s.report(children[0], "ended"))
    assert refused.value.code == "INT121"


def test_a_cent_that_is_lost_on_the_way_is_a_case(books: Books) -> None:
    _, (child,) = _batch(books, ["a"])
    poorer = child.with_headers(worth=("EUR", Decimal("0.99")))
    books.settle([], lambda s: s.report(poorer, "ended"))
    assert books.case_rows() == [("INT131", "open", 1)]


# ---------------------------------------------------------------- groups


def _join(books: Books, rule: Gathering, *members: Message, key: tuple[Any, ...] = ("k",), **wish: Any) -> None:
    books.settle([], lambda s: s.joins.extend((Join("file", key, m, **wish), rule) for m in members))


def _groups(books: Books, channel: str = "out") -> list[list[str]]:
    return [
        [m.headers.id for m in books.ledger.members(m.body)] for m in books.taken(channel) if isinstance(m.body, Group)
    ]


def _ids(*names: str) -> list[str]:
    return [message(name).headers.id for name in names]


def test_a_group_is_released_when_it_is_full_the_rest_begins_a_new_one(books: Books) -> None:
    rule = Gathering("out", size=2)
    _join(books, rule, *(message(n) for n in "abc"))
    assert _groups(books) == [_ids("a", "b")]
    books.reopened()
    _join(books, rule, message("d"))
    assert _groups(books) == [_ids("c", "d")]


def test_groups_of_other_keys_are_other_groups(books: Books) -> None:
    rule = Gathering("out", size=2)
    _join(books, rule, message("a"), key=("x",))
    _join(books, rule, message("b"), key=("y",))
    assert _groups(books) == []
    _join(books, rule, message("c"), key=("x",))
    assert _groups(books) == [_ids("a", "c")]


def test_a_member_can_close_its_group(books: Books) -> None:
    _join(books, Gathering("out"), message("a"))
    _join(books, Gathering("out"), message("b"), complete=True)
    assert _groups(books) == [_ids("a", "b")]


def test_groups_wait_for_silence_or_for_their_age(books: Books) -> None:
    after, every = Gathering("out", after=1000), Gathering("out", every=1500)
    _join(books, after, message("a"), key=("after",))
    _join(books, every, message("x"), key=("every",))
    books.clock.advance(900)
    _join(books, after, message("b"), key=("after",))
    _join(books, every, message("y"), key=("every",))
    books.clock.advance(600)
    books.due()
    assert _groups(books) == [_ids("x", "y")]
    books.clock.advance(400)
    books.due()
    assert _groups(books) == [_ids("a", "b")]


def test_members_come_in_the_order_asked_for(books: Books) -> None:
    rule = Gathering("out", size=5)
    for name, order in (
        ("c", Decimal(10)),
        ("a", Decimal("-3.5")),
        ("b", 2),
        ("e", "x"),
        ("d", Decimal("10.000001")),
    ):
        _join(books, rule, message(name), order=(order,))
    assert _groups(books) == [_ids("a", "b", "c", "d", "e")]


def _joined(books: Books, child: Message) -> None:
    """A child joins its batch's group and reports."""

    def fill(settlement: Settlement) -> None:
        settlement.joins.append((Join("file", (), child), Gathering("out", batch=True)))
        settlement.report(child, "joined")

    books.settle([], fill)


def test_a_group_of_a_batch_is_released_with_the_last_report_a_late_child_forms_another(books: Books) -> None:
    _, (a, b, c) = _batch(books, ["a", "b", "c"])

    def later(settlement: Settlement) -> None:
        settlement.deferred.append((books.clock.now() + 9_000, "in", b, "NET104", "away"))
        settlement.report(b, "deferred")

    _joined(books, a)
    books.settle([], later)
    assert _groups(books) == []
    _joined(books, c)
    assert _groups(books) == [_ids("a", "c")], "one line never delays a file"
    books.clock.advance(9_000)
    ((channel, late),) = books.due()
    assert (channel, late.headers.id) == ("in", b.headers.id)
    _joined(books, late)
    books.clock.advance(5_000)
    books.due()
    assert _groups(books) == [_ids("b")]


def test_releases_have_the_same_ids_in_every_store(tmp_path: Path) -> None:
    found = []
    for path in (None, tmp_path / "x.db"):
        books = Books(path)
        _join(books, Gathering("out", size=1), message("a"), message("b"))
        found.append([m.headers.id for m in books.taken("out")])
        books.store.close()
    assert found[0] == found[1]
    assert len(set(found[0])) == 2


def test_members_of_finished_groups_are_swept(books: Books) -> None:
    _join(books, Gathering("out", size=2), message("a"), message("b"))
    (group,) = books.taken("out")
    books.settle([], lambda s: s.closed_groups.append(group.body.number))
    while books.ledger.sweep():
        pass
    assert books.store.read("SELECT count(*) FROM member") == [(0,)]
    assert books.store.read("SELECT state FROM gathering") == [("swept",)]


# ---------------------------------------------------------------- waiting


def test_what_is_deferred_comes_when_it_is_due(books: Books) -> None:
    now = books.clock.now()
    books.settle(
        [],
        lambda s: s.deferred.extend([(now + 20, "in", message("a"), "X", ""), (now + 10, "in", message("b"), "X", "")]),
    )
    assert books.ledger.next_due() == now + 10
    books.clock.advance(20)
    books.reopened()
    assert [m.headers.id for _, m in books.due()] == _ids("a", "b")
    assert books.ids("in") == _ids("a", "b")
    assert books.due() == []
    assert books.ledger.next_due() == 0


def test_no_attempt_waits_longer_than_any_may(books: Books) -> None:
    """The clock was set back since: what is further away than the longest wait is due now."""
    now = books.clock.now()
    books.settle(
        [],
        lambda s: s.deferred.extend([(now + 21, "in", message("a"), "X", ""), (now + 20, "in", message("b"), "X", "")]),
    )
    assert books.ledger.bring_forward(20) == 1
    assert books.ledger.bring_forward(20) == 0
    assert [m.headers.id for _, m in books.due()] == _ids("a")


def test_held_messages_wait_for_their_time_or_for_a_person(books: Books) -> None:
    until = books.clock.now() + 50
    books.settle(
        [],
        lambda s: s.holds.extend(
            [(Hold(message("t"), until=until), "in", None), (Hold(message("p"), "POL100", "why"), "in", note("POL100"))]
        ),
    )
    books.clock.advance(50)
    assert [m.headers.id for _, m in books.due()] == _ids("t")
    control = Control(books.broker, Decisions(books.ledger))
    assert control.release(1, "ann", "looked at it") == 1
    assert books.ids("in") == _ids("t", "p")
    assert books.case_rows() == [("POL100", "released", 1)]
    with pytest.raises(NotAllowed) as refused:
        control.release(1, "ann", "again")
    assert refused.value.code == "SYS202"
    assert books.store.read("SELECT who, what, target, reason FROM audit") == [
        ("ann", "released", "case 1", "looked at it")
    ]


def test_the_case_of_what_goes_on_by_itself_is_closed(books: Books) -> None:
    until = books.clock.now() + 50
    timed, asked = Hold(message("t"), "POL100", "why", until), Hold(message("p"), "POL100", "why", 0, "free")
    both = [(timed, "in", note("POL100", "t")), (asked, "in", note("POL100", "p"))]
    books.settle([], lambda s: s.holds.extend(both))
    books.clock.advance(50)
    assert [m.headers.id for _, m in books.due()] == _ids("t")
    assert books.case_rows() == [("POL100", "released", 1), ("POL100", "open", 1)]
    ((held, *_),) = books.ledger.held_with_predicate(0, 9)
    books.broker.transact("due", lambda tx: books.ledger.take_held(tx, held))
    assert books.ids("in") == _ids("t", "p")
    closed = books.store.read("SELECT state, closed_by, closing_reason FROM cases ORDER BY id")
    assert closed == [("released", "girobus", "its time came"), ("released", "girobus", "its condition came true")]


def test_dead_letters_are_retried_or_discarded_with_a_reason(books: Books) -> None:
    books.settle([], lambda s: s.dead.extend([("in", message("a"), note("VAL1")), ("in", message("b"), note("VAL2"))]))
    control = Control(books.broker, Decisions(books.ledger))
    refusals: list[tuple[str, Callable[[], int]]] = [
        ("SYS203", lambda: control.release(1, "ann", "why")),
        ("SYS204", lambda: control.discard(2, "ann", "")),
        ("SYS201", lambda: control.retry(9, "ann", "")),
    ]
    for code, call in refusals:
        with pytest.raises(NotAllowed) as refused:
            call()
        assert refused.value.code == code
    assert control.retry(1, "ann", "") == 1
    assert control.discard(2, "ann", "not ours") == 1
    assert books.ids("in") == _ids("a")
    assert books.store.read("SELECT count(*) FROM dead") == [(0,)]


def test_the_stage_file_of_a_doubt_stays_until_it_is_decided(books: Books) -> None:
    doubtful = message("d", number=7)

    def doubt(settlement: Settlement) -> None:
        settlement.dead.append(("bank", doubtful, note("NET901")))
        settlement.outbound.append(("bank", doubtful.headers.id, doubtful, {"stage": "s", "state": "in_doubt"}))

    books.settle([], doubt)
    assert [receipt["stage"] for receipt in books.ledger.live_receipts("bank")] == ["s"]
    assert Control(books.broker, Decisions(books.ledger)).discard(1, "ann", "it is paid by hand") == 1
    assert books.ledger.live_receipts("bank") == []


def test_what_never_went_out_and_is_discarded_is_forgotten_and_a_doubt_is_not(books: Books) -> None:
    """By how far it had come when it was buried; `waiting` still has its dead letter, `queued` never had one."""
    for n, (name, state) in enumerate(
        [("staged", "staged"), ("asked", "requested"), ("doubt", "in_doubt"), ("waiting", "in_doubt")], start=7
    ):
        buried = message(name, number=n)

        def bury(settlement: Settlement, buried: Message = buried, name: str = name, state: str = state) -> None:
            settlement.dead.append(("bank", buried, note("NET901", name)))
            settlement.outbound.append(("bank", buried.headers.id, buried, {"stage": name, "state": state}))

        books.settle([], bury)
    queued = message("queued", number=11)
    receipt = {"stage": "queued", "state": "requested"}
    books.settle([], lambda s: s.outbound.append(("bank", queued.headers.id, queued, receipt)))
    for case in (1, 2, 3):
        assert Control(books.broker, Decisions(books.ledger)).discard(case, "ann", "it is paid by hand") == 1
    kept = books.clock.now() + 1
    times = dict.fromkeys((rule.kind for rule in retention.RULES), kept)
    assert retention.counted(books.store.read, times, ())["outbound"] == 3
    assert retention.purge(books.store, times, ())["outbound"] == 3
    assert [receipt["stage"] for receipt in books.ledger.live_receipts("bank")] == ["waiting", "queued"]


def _number(books: Books, *numbers: int, timeout: int = 1000) -> list[int]:
    gone = []
    for n in numbers:
        wish = Resequence("order", "k", n, message(f"n{n}", {"n": n}), timeout)
        books.settle([], lambda s, wish=wish: s.resequences.append((wish, "out")))  # type: ignore[misc]  # bound now
        gone += [m.body["n"] for m in books.taken("out")]
    return gone


def test_messages_are_brought_in_order_a_gap_is_skipped_with_a_case(books: Books) -> None:
    assert _number(books, 2, 3, 1) == [1, 2, 3]
    assert _number(books, 6, 5) == []
    books.reopened()
    books.clock.advance(999)
    assert books.due() == []
    books.clock.advance(1)
    assert [m.body["n"] for _, m in books.due()] == [5, 6]
    assert books.case_rows() == [("SEQ101", "open", 1)]
    books.taken("out")
    assert _number(books, 4, 7) == [4, 7], "a late one goes at once"


# ---------------------------------------------------------------- cases, memory, instructions


def test_a_case_with_the_same_fingerprint_is_counted_until_it_is_closed(books: Books) -> None:
    now = books.clock.now()
    first = books.commit(lambda tx: [cases.open_case(tx, note("A", "x"), now) for _ in range(3)])
    assert first == [1, 1, 1]
    assert books.commit(lambda tx: cases.open_case(tx, note("A", "y"), now)) == 2
    books.commit(lambda tx: cases.close_case(tx, 1, "resolved", ("ann", "done"), now))
    assert books.commit(lambda tx: cases.open_case(tx, note("A", "x"), now)) == 3
    assert books.case_rows() == [("A", "resolved", 3), ("A", "open", 1), ("A", "open", 1)]


def test_two_units_cannot_remember_different_values(books: Books) -> None:
    def remember(value: str, **options: Any) -> None:
        books.settle([], lambda s: s.remembers.append(Remember("scope", "key", value, **options)))

    remember("one", until=books.clock.now() + 100)
    remember("one", until=books.clock.now() + 100)
    with pytest.raises(Retryable) as conflict:
        remember("two")
    assert conflict.value.code == "SYS121"
    assert books.ledger.recall("scope", "key") == "one"
    books.clock.advance(100)
    assert books.ledger.recall("scope", "key") is None, "what is over is forgotten, swept or not"
    remember("two")
    with pytest.raises(Retryable):
        remember("three", replace=True, seen="one")
    remember("three", replace=True, seen="two")
    remember("four", replace=True)
    books.reopened()
    assert books.ledger.recall("scope", "key") == "four"


def test_of_two_units_in_one_commit_the_second_sees_the_conflict(books: Books) -> None:
    books.put("in", message("a"), message("b"))
    got = books.broker.take("in", 2)
    with pytest.raises(Retryable):
        books.settle(got, lambda s: s.remembers.extend([Remember("s", "k", "1"), Remember("s", "k", "2")]))
    assert books.ids("in") == _ids("a", "b")
    assert books.ledger.recall("s", "k") is None


def _row(end_to_end: str) -> dict[str, Any]:
    return {
        "partner": "bank",
        "message_id": "M",
        "payment_information_id": "P",
        "end_to_end_id": end_to_end,
        "amount": Decimal("100.10"),
        "currency": "EUR",
    }


def test_instructions_are_registered_once_and_their_status_only_moves_forward(books: Books) -> None:
    sent = message("file", number=5)
    for _ in range(2):
        books.settle(
            [], lambda s: s.registers.append((Register((_row("E1"), _row("E2")), books.clock.now() + 10), sent))
        )
    found = books.ledger.instructions({"message_id": "M"})
    assert [(r["end_to_end_id"], r["amount"], r["status"]) for r in found] == [
        ("E1", "100.10", ""),
        ("E2", "100.10", ""),
    ]
    assert books.ledger.instructions({}) == []
    assert books.ledger.instructions({"partner": "other", "message_id": "M"}) == []

    def after(*statuses: str) -> str:
        for status in statuses:
            books.settle([], lambda s, status=status: s.progress.append(Progress(found[0]["id"], status, "R1")))  # type: ignore[misc]  # bound now
        return str(books.ledger.instructions({"end_to_end_id": "E1"})[0]["status"])

    assert after("ACCP") == "ACCP"
    assert after("RCVD") == "ACCP"
    assert after("ACSC", "ACSP") == "ACSC"
    assert after("RJCT") == "RJCT"
    assert after("ACSC", "CANC") == "RJCT"
    books.clock.advance(10)
    ((partner, message_id, _, count, _),) = books.ledger.unanswered()
    assert (partner, message_id, count) == ("bank", "M", 1), "E1 was answered"
    for _ in range(2):  # two processes have looked, one of them was frozen before it could tell
        books.ledger.answer_missed(note("SLA102"), "M")
        books.ledger.missed(note("SLA101", "late"), ("expect:in:09:00", "2026-11-23"))
    assert books.ledger.unanswered() == []
    assert sorted(books.case_rows()) == [("SLA101", "open", 1), ("SLA102", "open", 1)]


def test_a_status_that_moved_meanwhile_is_a_conflict(books: Books) -> None:
    books.settle([], lambda s: s.registers.append((Register((_row("E1"),)), message("file", number=5))))
    ((identity),) = [r["id"] for r in books.ledger.instructions({"message_id": "M"})]
    books.settle([], lambda s: s.progress.append(Progress(identity, "ACCP", seen="")))
    with pytest.raises(Retryable):
        books.settle([], lambda s: s.progress.append(Progress(identity, "ACSC", seen="")))


# ---------------------------------------------------------------- edges, versions, housekeeping


def test_an_arrival_is_known_again_by_content_and_unfinished_by_its_facts(books: Books) -> None:
    facts = ("a.csv", 3, 100)
    row = ("ep", "sha", 0, *facts, "accepted", "", "")
    books.broker.transact("admit", lambda tx: [("in", books.ledger.admit(tx, message("a"), row, "in", None))])
    found, known = books.ledger.known_arrival("ep", "sha", facts)
    assert (found is not None and found.id, known) == (message("a").headers.id, 1)
    assert books.ledger.known_arrival("ep", "sha", ("b.csv", 3, 100)) == (None, 1)
    assert books.ledger.known_arrival("other", "sha", facts) == (None, 0)
    books.commit(lambda tx: books.ledger.arrival_done(tx, message("a").headers.id))
    books.reopened()
    assert books.ledger.known_arrival("ep", "sha", facts) == (None, 1)
    assert books.ledger.seen_name("ep", facts)
    assert books.ledger.last_arrival("ep") == books.clock.now()


def test_the_number_of_an_arrival_is_not_used_again_when_earlier_ones_are_forgotten(books: Books) -> None:
    facts = ("a.csv", 3, 100)
    for n in range(2):
        found, known = books.ledger.known_arrival("ep", "sha", facts)
        assert (found, known) == (None, n)
        row = ("ep", "sha", known, *facts, "accepted", "", "")
        arrived = message(f"a{n}")
        books.commit(lambda tx, a=arrived, row=row: books.ledger.admit(tx, a, row, "in", None))
        books.commit(lambda tx, a=arrived: books.ledger.arrival_done(tx, a.headers.id))
        books.clock.advance(1_000)
    times = dict.fromkeys(RetentionSpec().model_dump(), books.clock.now() - 1_500)
    assert retention.purge(books.store, times, ())["arrival"] == 1
    assert books.ledger.known_arrival("ep", "sha", facts) == (None, 2)


def test_what_waits_in_a_group_or_for_its_predecessor_keeps_its_history(books: Books) -> None:
    def births() -> int:
        rows = books.store.read("SELECT at, version, place, packed FROM history")
        return sum(hop["outcome"] == "received" for row in rows for hop in history.expand(row))

    for n in range(4):
        row = ("ep", f"sha{n}", 0, f"{n}.csv", 3, 100, "accepted", "", "")
        note = message(f"m{n}")
        books.broker.transact("admit", lambda tx, m=note, row=row: [("in", books.ledger.admit(tx, m, row, "in", None))])
        books.clock.advance(1_000)  # what happens in one second may be kept together
    first, second, third, fourth = books.broker.take("in", 4)
    books.settle([first])
    books.settle([second], lambda s: s.resequences.append((Resequence("by", "k", 7, second.message, 9_000, 1), "out")))
    books.settle([third])
    books.settle([fourth], lambda s: s.joins.append((Join("by", (), fourth.message), Gathering("out", size=9))))
    times = dict.fromkeys(RetentionSpec().model_dump(), books.clock.now() + 1)
    retention.purge(books.store, times, ())
    assert births() == 3, "all but the first: what is younger than one that waits is kept"
    books.commit(lambda tx: tx.execute("DELETE FROM parked"))
    retention.purge(books.store, times, ())
    assert births() == 1


def test_versions_states_and_owners_survive(books: Books) -> None:
    first = books.ledger.store_version("in", "hash-1", {"a": "text"})
    assert books.ledger.store_version("in", "hash-1", {"a": "text"}) == first
    second = books.ledger.store_version("in", "hash-2", {"a": "other"})
    decisions = Decisions(books.ledger)
    books.commit(lambda tx: decisions.set_route_state(tx, "in", "paused"))
    epoch = books.ledger.next_epoch()
    books.reopened()
    assert books.ledger.load_version(first) == ("in", "hash-1", {"a": "text"})
    assert books.ledger.load_version(second + 1) is None
    assert books.ledger.route_states() == {"in": "paused"}
    assert books.ledger.next_epoch() > epoch


def test_an_error_in_one_work_leaves_nothing_of_it(books: Books) -> None:
    def work(tx: Any) -> None:
        waiting.defer(tx, [(1, "in", message("a"), "X", "")])
        instructions.remember(tx, Remember("s", "k", "v"), 1)
        raise BusError("TST100", "planted")

    with pytest.raises(BusError, match="TST100"):
        books.commit(work)
    assert books.store.read("SELECT count(*) FROM deferred") == [(0,)]
    assert books.ledger.recall("s", "k") is None


def test_history_and_tally_are_written_with_the_unit(books: Books) -> None:
    books.put("in", message("a", number=3, worth=("EUR", Decimal("1.10"))))
    (got,) = books.broker.take("in", 1)

    def fill(settlement: Settlement) -> None:
        settlement.events.append(Event(got.message, "filtered"))
        settlement.report(got.message, "filtered")

    books.settle([got], fill)
    assert books.store.read("SELECT first, last, place FROM history") == [(3, 3, "in")]
    assert books.store.read("SELECT place, outcome, currency, count, amount FROM tally") == [
        ("in", "filtered", "EUR", 1, "1.10")
    ]


@pytest.mark.parametrize(
    ("places", "left"),
    [
        ([backbone.EMBEDDED, backbone.EMBEDDED], []),
        ([backbone.EMBEDDED, backbone.rabbitmq(["a", "b"], "/", "")], []),
        ([backbone.rabbitmq(["a", "b"], "/", "x."), backbone.rabbitmq(["b", "c"], "/", "x.")], []),
        ([backbone.rabbitmq(["a"], "/", ""), backbone.EMBEDDED], ["a vhost /"]),
        ([backbone.rabbitmq(["a"], "/", ""), backbone.rabbitmq(["b"], "/", "")], ["a vhost /"]),
        ([backbone.rabbitmq(["a"], "/", ""), backbone.rabbitmq(["a"], "/", "x.")], ["a vhost /"]),
        ([backbone.rabbitmq(["a"], "/", ""), backbone.rabbitmq(["a"], "test", "")], ["a vhost /"]),
    ],
)
def test_who_leaves_a_rabbitmq_is_told_once_what_stays_there(books: Books, places: list[str], left: list[str]) -> None:
    for place in (*places, places[-1]):
        backbone.remember(books.ledger, place)
        books.reopened()
    found = books.store.read("SELECT code, summary, count FROM cases")
    assert [(code, count) for code, _, count in found] == [("SYS169", 1)] * len(left)
    for (case,) in books.store.read("SELECT id FROM cases"):
        Control(books.broker, Decisions(books.ledger)).discard(case, "ann", "nothing waited there")
    assert books.store.read("SELECT 1 FROM cases WHERE state = 'open'") == []
    assert all(f"queues of RabbitMQ {one} stays there" in text for one, (_, text, _) in zip(left, found, strict=True))
