"""Any history of arrivals, retries, holds, decisions, forgetting and dying keeps every message in exactly one place."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from bus.errors import NotAllowed, Retryable
from bus.ledger import leases, retention
from bus.message import Hold, Message, decode
from bus.ports import CaseNote, Delivery, Event, Settlement
from tests.contracts.stateful import COMMITTED, MOMENTS, Machine, message, play

WORTH = Decimal("2.03")
KINDS = ("arrivals", "outbound", "instructions", "cases", "history", "inbox")
ADMITTING = ("", "", "commit.admit:before", "commit.admit:after")
DECIDING = ("", "", "commit.{}:before", "commit.{}:after")
OWNERS = ("a", "b")


class Book(Machine):
    """``places`` says where each message must be: ``in``, ``deferred``, ``held``, ``dead`` or an end."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, str] = {}
        self.told: set[str] = set()
        self.cases: dict[int, str] = {}
        self.tokens = dict.fromkeys(OWNERS, 0)
        self.holder = ""

    # ------------------------------------------------------------ arrivals

    @rule(moment=st.sampled_from(ADMITTING))
    def arrive(self, moment: str) -> None:
        """A file; where the bus died before it told the sender, the same file is looked at again."""
        name = f"f{len(self.places)}"
        with self.books.dying(moment):
            self.admit(name)
        self.admit(name)

    def admit(self, name: str) -> None:
        ledger, facts = self.books.ledger, (name, 3, 100)
        unfinished, known = ledger.known_arrival("mailbox", name, facts)
        if unfinished is None:
            assert known == 0, "the content is stored, so it is known again"
            row = ("mailbox", name, 0, *facts, "accepted", "", "")
            new = message(name, worth=("EUR", WORTH))
            self.books.broker.transact("admit", lambda tx: [("in", ledger.admit(tx, new, row, "in", None))])
        self.places[name] = "in"

    @rule(moment=st.sampled_from(("", "commit.completed:before", "commit.completed:after")))
    def tell(self, moment: str) -> None:
        for name in sorted(self.places.keys() - self.told)[:2]:
            with self.books.dying(moment) as died:
                self.books.ledger.commit(
                    "completed", lambda tx, name=name: self.books.ledger.arrival_done(tx, message(name).headers.id)
                )
            if not died[0].endswith(":before"):
                self.told.add(name)

    # ------------------------------------------------------------ units of work

    @rule(outcome=st.sampled_from(("ended", "deferred", "held", "dead")), moment=st.sampled_from(MOMENTS))
    def work(self, outcome: str, moment: str) -> None:
        """A unit ends in one of four ways, in one commit, or not at all."""
        deliveries: list[Delivery] = []
        done = False
        with self.books.dying(moment) as died:
            deliveries = self.books.take("in", 1)
            if deliveries:
                done = self.books.settle(deliveries, lambda s: self.end(outcome, deliveries[0].message, s))
        if deliveries and (done or died[0] in COMMITTED):
            name = _name(deliveries[0].message)
            assert self.places[name] == "in"
            self.places[name] = outcome
            self.find_case(name)

    def end(self, outcome: str, taken: Message, settlement: Settlement) -> None:
        name = _name(taken)
        note = CaseNote("TST100", "for a person", "in", "owner", f"case of {name} {taken.headers.attempt}")
        settlement.events.append(Event(taken, outcome))
        settlement.report(taken, outcome)
        if outcome == "deferred":
            later = taken.with_headers(attempt=taken.headers.attempt + 1)
            settlement.deferred.append((self.books.clock.now() + 1_000, "in", later, "NET104", "away"))
        elif outcome == "held":
            settlement.holds.append((Hold(taken, "TST100", "look"), "in", note))
        elif outcome == "dead":
            settlement.dead.append(("in", taken, note))

    def find_case(self, name: str) -> None:
        if self.places[name] in ("held", "dead"):
            sql = "SELECT max(id) FROM cases WHERE state = 'open' AND fingerprint LIKE ?"
            ((case,),) = self.books.store.read(sql, (f"case of {name} %",))
            self.cases[case] = name

    @rule(passes=st.integers(0, 2_000), moment=st.sampled_from(("", "commit.due:before", "commit.due:after")))
    def time_passes(self, passes: int, moment: str) -> None:
        books = self.books
        books.clock.advance(passes)
        ready = {row[0] for row in books.store.read("SELECT number FROM deferred WHERE due <= ?", (books.clock.now(),))}
        names = [_name(decode(p)) for n, p in books.store.read("SELECT number, payload FROM deferred") if n in ready]
        with books.dying(moment) as died:
            books.broker.transact("due", lambda tx: books.ledger.collect_due(tx, 100))
        if not died[0].endswith(":before"):
            self.places.update(dict.fromkeys(names, "in"))

    # ------------------------------------------------------------ people

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), what=st.sampled_from(("release", "retry", "discard")), how=st.sampled_from(DECIDING))
    def decide(self, data: st.DataObject, what: str, how: str) -> None:
        """Once, however often it is asked for; and only what fits."""
        case = data.draw(st.sampled_from(sorted(self.cases)))
        name = self.cases[case]
        fits = what == "discard" or self.places[name] == {"release": "held", "retry": "dead"}[what]
        act = getattr(self.books.control, what)
        if not fits:
            with pytest.raises(NotAllowed):
                act(case, "ann", "why")
            return
        with self.books.dying(how.format(what)) as died:
            act(case, "ann", "why")
        if died[0].endswith(":before"):
            return
        self.places[name] = "discarded" if what == "discard" else "in"
        del self.cases[case]
        with pytest.raises(NotAllowed, match="SYS202"):
            getattr(self.books.control, what)(case, "bob", "again")

    # ------------------------------------------------------------ housekeeping, leases

    @rule(moment=st.sampled_from(("", "commit.purge:before", "commit.purge:after")))
    def forget_everything_old(self, moment: str) -> None:
        """Whatever still waits is not forgotten, however old it is.

        What knows second copies must outlive every way to come again (SYS147): where a broker may send one, it stays.
        """
        self.books.clock.advance(1)
        limits = dict.fromkeys(KINDS, self.books.clock.now())
        if self.books.rabbit is not None:
            limits["inbox"] = 0
        with self.books.dying(moment):
            retention.purge(self.books.store, limits, ())

    @rule(owner=st.sampled_from(OWNERS), over=st.booleans())
    def take_over(self, owner: str, over: bool) -> None:  # noqa: FBT001 - drawn
        """A lease that is over its time is taken by whoever asks first; its holder before is fenced off."""
        store = self.books.store
        if over:
            store.commit("test", lambda tx: tx.execute("UPDATE lease SET until = 0 WHERE name = 'timer'"))
        token = store.commit("test", lambda tx: leases.acquire(store, tx, "timer", owner, 60_000))
        assert bool(token) == (over or self.holder in ("", owner))
        if token:
            assert token >= max(self.tokens.values())
            self.tokens[owner], self.holder = token, owner

    @rule(owner=st.sampled_from(OWNERS))
    def write_under_a_token(self, owner: str) -> None:
        store, token = self.books.store, self.tokens[owner]

        def write() -> None:
            store.commit("test", lambda tx: leases.guard(store, tx, "timer", token))

        if owner == self.holder:
            write()
        else:
            with pytest.raises(Retryable, match="SYS122"):
                write()

    @rule()
    def end_in_good_order(self) -> None:
        self.books.restart()

    # ------------------------------------------------------------ what must hold

    @invariant()
    def everything_is_in_one_place(self) -> None:
        read = self.books.store.read
        found: Counter[tuple[str, str]] = Counter()
        for place in ("deferred", "held", "dead"):
            found.update((_name(decode(row[0])), place) for row in read(f"SELECT payload FROM {place}"))  # noqa: S608
        if self.books.rabbit is None:
            found.update((_name(decode(row[0])), "in") for row in read("SELECT payload FROM queued"))
        kept = ("deferred", "held", "dead", *(() if self.books.rabbit else ("in",)))
        assert found == Counter((name, place) for name, place in self.places.items() if place in kept)

    @invariant()
    def nobody_is_forgotten_before_he_is_told(self) -> None:
        rows = self.books.store.read("SELECT name FROM arrival WHERE state = 'stored'")
        assert {row[0] for row in rows} == self.places.keys() - self.told

    @invariant()
    def open_cases_are_those_that_wait(self) -> None:
        rows = self.books.store.read("SELECT id FROM cases WHERE state = 'open'")
        assert {row[0] for row in rows} == set(self.cases)

    def finish(self) -> None:
        """What is on the channel can all be worked on, once each."""
        waiting = {name for name, place in self.places.items() if place == "in"}
        for _ in range(len(waiting)):
            self.work("ended", "")
        assert not [name for name in waiting if self.places[name] != "ended"]
        assert self.books.take("in", 9) == []
        self.everything_is_in_one_place()


def _name(found: Message) -> Any:
    return found.body["name"]


HISTORIES: dict[str, tuple[int, int]] = {"sqlite": (40, 40), "rabbitmq": (30, 40), "postgres": (6, 25)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", HISTORIES)
def test_ledger(kind: str, request: pytest.FixtureRequest) -> None:
    play(Book.on(kind, request), *HISTORIES[kind])


@pytest.mark.full
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", HISTORIES)
def test_ledger_for_long(kind: str, request: pytest.FixtureRequest) -> None:
    play(Book.on(kind, request), 1_500 if kind != "postgres" else 150, 80)
