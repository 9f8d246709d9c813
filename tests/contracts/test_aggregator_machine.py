"""Any history of members out of order, second copies, deaths and time-outs: every member is in exactly one group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from bus.message import Group, Headers, Join, Message, Sequence, child_id
from bus.ports import Chunk, Cursor, Delivery, Event, Gathering, Settlement
from tests.contracts.stateful import COMMITTED, MOMENTS, ROOT, Machine, message, play

RULES = {
    "batch": Gathering("out", batch=True),
    "size": Gathering("out", size=3),
    "after": Gathering("out", after=1_000),
    "every": Gathering("out", every=1_500),
    "when": Gathering("out"),
    "batch or size": Gathering("out", batch=True, size=2),
    "size or after": Gathering("out", size=4, after=700),
}
LONGEST = 20_000
"""Nothing waits longer than this for its time-out."""


class Groups(Machine):
    """``joined`` are the members by name, with the rule that they joined under; ``released`` what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.worth: dict[str, Decimal] = {}
        self.rules: dict[str, str] = {}
        self.files: dict[str, list[str]] = {}
        self.late: set[str] = set()
        self.done: set[str] = set()
        self.joined: list[str] = []
        self.released: list[list[str]] = []

    # ------------------------------------------------------------ members come

    @rule(
        values=st.lists(st.integers(1, 10**9), min_size=1, max_size=6),
        how=st.sampled_from(sorted(RULES)),
        chunks=st.integers(1, 3),
        moment=st.sampled_from(("", "", "commit.stage-batch:before", "commit.stage-batch:after", *MOMENTS)),
    )
    def split(self, values: list[int], how: str, chunks: int, moment: str) -> None:
        """A file becomes a batch of lines; where the process dies, the next one goes on with the same file."""
        file = f"file {len(self.files)}"
        names = [f"{file} line {n}" for n in range(len(values))]
        self.worth.update({name: Decimal(value).scaleb(-2) for name, value in zip(names, values, strict=True)})
        self.rules.update(dict.fromkeys(names, how))
        parent = message(file, number=1_000_000 + len(self.files))
        self.books.put("in", [parent])
        self.files[file] = names
        with self.books.dying(moment):
            self.store(names, chunks)
        self.store(names, chunks)

    def store(self, names: list[str], chunks: int) -> None:
        """Nothing, when it is stored already."""
        while deliveries := self.books.take("in", 1):
            taken = deliveries[0].message
            cursor = self.books.ledger.cursor(taken.headers.id, "lines") or Cursor(0, 0, 0)
            while cursor.next_index < len(names):
                page = names[cursor.next_index :][: -(-len(names) // chunks)]
                chunk = self.chunk(taken, page, cursor.next_index)
                cursor = self.books.broker.stage(chunk, cursor if cursor.batch else None)
            self.books.settle(deliveries, lambda s, cursor=cursor: s.open_batches.append(cursor))

    def chunk(self, parent: Message, page: list[str], first: int) -> Chunk:
        children = []
        for n, name in enumerate(page, first):
            headers = Headers(child_id(parent.headers.id, "in", "lines", n), ROOT, parent_id=parent.headers.id)
            worth = ("EUR", self.worth[name])
            numbered = Message(headers, {"name": name}).with_headers(sequence=Sequence(0, n), worth=worth)
            children.append(numbered)
        money = {("in", "EUR"): (len(page), self.sum(page))}
        return Chunk(parent, "lines", "in#next", len(page), children, money, {}, Settlement("in"))

    # ------------------------------------------------------------ members join

    @rule(
        most=st.integers(1, 4),
        fate=st.sampled_from(("join", "join", "join", "last", "filter", "defer")),
        moment=st.sampled_from(MOMENTS),
    )
    def work(self, most: int, fate: str, moment: str) -> None:
        deliveries: list[Delivery] = []
        done = False
        with self.books.dying(moment) as died:
            deliveries = self.books.take("in#next", most)
            if deliveries:
                done = self.books.settle(deliveries, lambda s: self.end(fate, deliveries, s), "in#next")
        if done or died[0] in COMMITTED:
            names = [str(delivery.message.body["name"]) for delivery in deliveries]
            self.done.update(() if fate == "defer" else names)
            self.late.update(names if fate == "defer" else ())
            self.joined += names if fate in ("join", "last") else []

    def end(self, fate: str, deliveries: list[Delivery], settlement: Settlement) -> None:
        for delivery in deliveries:
            found = delivery.message
            how = self.rules[found.body["name"]]
            if fate == "defer":
                later = found.with_headers(attempt=found.headers.attempt + 1)
                settlement.deferred.append((self.books.clock.now() + 500, "in#next", later, "NET104", "away"))
                settlement.report(found, "deferred")
            elif fate == "filter":
                settlement.report(found, "filtered")
            else:
                last = how == "when" and fate == "last"
                settlement.joins.append((Join("group", (how,), found, (), last), RULES[how]))
                settlement.report(found, "joined")
            settlement.events.append(Event(found, fate))

    @rule(passes=st.integers(0, 2_000), moment=st.sampled_from(("", "commit.due:before", "commit.due:after")))
    def time_passes(self, passes: int, moment: str) -> None:
        self.books.clock.advance(passes)
        with self.books.dying(moment):
            self.books.broker.transact("due", lambda tx: self.books.ledger.collect_due(tx, 100))

    @rule()
    def end_in_good_order(self) -> None:
        self.books.restart()

    # ------------------------------------------------------------ groups go

    @rule(moment=st.sampled_from(MOMENTS))
    def write(self, moment: str) -> None:
        """A released group is read and closed; its members are swept later."""
        deliveries: list[Delivery] = []
        members: list[str] = []
        done = False
        with self.books.dying(moment) as died:
            deliveries = self.books.take("out", 1)
            if deliveries:
                group = deliveries[0].message.body
                assert isinstance(group, Group)
                members = [m.body["name"] for m in self.books.ledger.members(group)]
                assert len(members) == group.count
                done = self.books.settle(deliveries, lambda s: s.closed_groups.append(group.number), "out")
        if members and (done or died[0] in COMMITTED):
            self.released.append(members)

    @precondition(lambda self: self.released)
    @rule()
    def sweep(self) -> None:
        while self.books.ledger.sweep():
            pass

    # ------------------------------------------------------------ what must hold

    @invariant()
    def no_member_is_released_twice_or_unasked(self) -> None:
        twice = [name for name, n in Counter(name for group in self.released for name in group).items() if n > 1]
        assert twice == []
        assert {name for group in self.released for name in group} <= set(self.joined)

    @invariant()
    def no_group_is_larger_than_its_rule_or_mixes_files(self) -> None:
        for group in self.released:
            how = self.rules[group[0]]
            assert {self.rules[name] for name in group} == {how}
            assert len(group) <= (RULES[how].size or len(group))
            if RULES[how].batch:
                assert len({name.partition(" line ")[0] for name in group}) == 1

    @invariant()
    def groups_know_what_is_in_them(self) -> None:
        sql = "SELECT sum(count) FROM gathering"
        assert (self.books.store.read(sql)[0][0] or 0) == len(self.joined)
        rows = self.books.store.read("SELECT parent_id, unreported, state FROM batch")
        told = {message(file).headers.id: names for file, names in self.files.items()}
        for parent, unreported, state in rows:
            left = [name for name in told[parent] if name not in self.done and name not in self.late]
            assert unreported == len(left)
            assert (state == "complete") == (not left)

    def finish(self) -> None:
        """When everybody has come and time has passed, everything was released, whole and to the cent."""
        if self.books.rabbit is not None:
            self.books.rabbit.misbehaviour.failing = frozenset()
        for _ in range(len(self.worth) + len(self.files) + 1):
            self.time_passes(LONGEST, "")
            self.work(100, "join", "")
            if self.done == set(self.worth):
                break
        self.time_passes(LONGEST, "")
        waiting = self.remaining_groups()
        for _ in range(len(self.worth) + 1):
            self.write("")
        self.no_member_is_released_twice_or_unasked()
        left = set(self.joined) - {name for group in self.released for name in group}
        assert {self.rules[name] for name in left} <= {"size", "when"}, "only what waits for more members is here"
        assert len(left) == waiting
        self.money_is_conserved(left)

    def sum(self, names: Iterable[str]) -> Decimal:
        return sum((self.worth[name] for name in names), Decimal(0))

    def remaining_groups(self) -> int:
        """How many members are in open groups."""
        return int(self.books.store.read("SELECT coalesce(sum(count), 0) FROM gathering WHERE state = 'open'")[0][0])

    def money_is_conserved(self, left: set[str]) -> None:
        read: Any = self.books.store.read
        total = self.sum(self.worth)
        came = read("SELECT sum(count) FROM tally WHERE outcome = 'in'")[0][0] or 0
        assert came == len(self.worth)
        sums = {
            o: Decimal(a) for o, a in read("SELECT outcome, amount FROM tally WHERE place = 'in' AND currency = 'EUR'")
        }
        assert sums.get("in", Decimal(0)) == total
        out = sum(self.sum(group) for group in self.released)
        gone = self.sum(self.done - set(self.joined))
        assert out + self.sum(left) + gone == total
        assert read("SELECT count(*) FROM cases") == [(0,)]


HISTORIES: dict[str, tuple[int, int]] = {
    "sqlite": (40, 40), "rabbitmq": (30, 40), "shuffled": (30, 40), "postgres": (6, 25),
}  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", HISTORIES)
def test_groups(kind: str, request: pytest.FixtureRequest) -> None:
    play(Groups.on(kind, request), *HISTORIES[kind])


@pytest.mark.full
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", HISTORIES)
def test_groups_for_long(kind: str, request: pytest.FixtureRequest) -> None:
    play(Groups.on(kind, request), 1_500 if kind != "postgres" else 150, 80)
