"""Read models over the ledger: where a transaction is at every moment, what is counted, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from small_bank import SmallBank

from bus.errors import Unavailable
from bus.ledger.reading import Amount, Reading, Total
from bus.ledger.reading_cases import Wanted, list_cases, list_stuck, read_case
from bus.ledger.reading_places import Where
from bus.ledger.reading_status import Queue, next_moment, read_figures
from bus.ledger.reading_trace import Trace, Tracer

HOUR = 3_600_000


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[SmallBank]:
    made = SmallBank(tmp_path)
    yield made
    made.close()


def trace(bank: SmallBank, key: str) -> Trace:
    with bank.reading() as reading:
        found = Tracer(reading, bank.clock.now()).trace(key)
    assert found is not None, key
    return found


def where(bank: SmallBank, key: str) -> Where:
    return trace(bank, key).where


def outcomes(found: Trace) -> list[str]:
    return [hop.outcome for hop in found.hops]


# ---------------------------------------------------------------- the way of a payment


def test_a_payment_is_told_at_every_station_of_its_way(bank: SmallBank) -> None:
    bank.pays("E1;100.10;EUR;;INV-1", "E2;7.00;EUR;;INV-2")
    with bank.reading() as reading:
        assert Tracer(reading, 0).trace("INV-1") is None
    arrived = trace(bank, "RUN_1.csv")
    assert (arrived.where.kind, arrived.where.place, arrived.found_by) == ("queued", "pay", "file")
    assert arrived.arrival is not None
    assert (arrived.arrival.name, arrived.arrival.told) == ("RUN_1.csv", True)

    bank.runs("pay")
    queued = trace(bank, "INV-1")
    assert (queued.where.kind, queued.where.place) == ("queued", "pay#lines")
    assert queued.subject.worth == Amount(Decimal("100.10"), "EUR")
    assert queued.subject.keys == (("invoice", "INV-1"), ("end_to_end_id", "E1"))
    assert queued.subject.place == "line 2"

    bank.runs("pay#lines")
    member = where(bank, "INV-1")
    assert (member.kind, member.members, member.missing) == ("gathering", 1, 1)
    assert where(bank, "INV-2").place == "pay#lines"

    bank.settles()
    gone = trace(bank, "INV-1")
    assert (gone.where.kind, gone.where.outlet, gone.where.partner) == ("awaiting", "bank", "bank")
    assert gone.where.until is not None
    assert not gone.where.overdue
    assert outcomes(gone)[-4:] == ["joined", "released", "sent", "delivered"]
    assert all(len(hop.version) == 8 for hop in gone.hops if hop.outcome != "delivered")
    (out,) = gone.outgoing
    assert (out.outlet, out.state, out.payments) == ("bank", "delivered", {"": 2})
    assert out.file.endswith(f"{out.message}.txt")


def test_the_partner_answers_each_payment_by_itself_and_is_late_when_he_does_not(bank: SmallBank) -> None:
    bank.pays("E1;100.10;EUR;;INV-1", "E2;7.00;EUR;;INV-2", "E3;1.00;EUR;;INV-3")
    bank.settles()
    bank.answers("E1;ACSC;", "E2;RJCT;AC04")
    bank.settles()
    settled, refused = trace(bank, "INV-1"), trace(bank, "E2")
    assert (settled.where.kind, settled.where.status, settled.finished) == ("answered", "ACSC", True)
    assert (refused.where.status, refused.where.reason) == ("RJCT", "AC04")
    assert refused.subject.keys[0] == ("invoice", "INV-2"), "the payment, not the status that speaks of it"
    (answer,) = refused.answers
    assert (answer.file, answer.where.kind, answer.where.outlet) == ("STATUS_1.csv", "delivered", "erp")

    assert where(bank, "INV-3").kind == "awaiting"
    bank.clock.advance(5 * HOUR)
    assert where(bank, "INV-3").overdue
    bank.settles()  # housekeeping opens the case, and stops watching
    late = where(bank, "INV-3")
    assert late.overdue
    assert late.case is not None


def test_a_file_of_payments_is_found_by_its_message_id_and_by_its_name(bank: SmallBank) -> None:
    bank.pays("E1;100.10;EUR;;INV-1", "E2;7.00;EUR;;INV-2")
    bank.settles()
    identity = trace(bank, "INV-1").outgoing[0].message
    for key in (identity, f"/inbox/{identity}.txt", identity.upper()):
        found = trace(bank, key)
        assert found.subject.message == identity
        assert found.subject.worth == Amount(Decimal("107.10"), "EUR")
        assert outcomes(found)[0] == "released"
    bank.answers("E1;ACSC;", "E2;RJCT;AC04")
    bank.settles()
    mixed = where(bank, identity)
    assert (mixed.status, mixed.reason) == ("PART", "1 ACSC, 1 RJCT AC04")


def test_a_record_is_found_by_its_own_message_id_though_it_is_not_indexed(bank: SmallBank) -> None:
    bank.pays(*(f"E{n};1.00;USD;;INV-{n}" for n in range(1, 20)))
    bank.settles()
    identity = trace(bank, "INV-7").subject.message
    dashed = "-".join((identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:]))
    assert trace(bank, identity).subject.keys[0] == ("invoice", "INV-7")
    assert trace(bank, dashed).subject.message == identity
    with bank.reading() as reading:
        assert Tracer(reading, 0).trace("0" * 32) is None


def test_ways_that_end_on_purpose(bank: SmallBank) -> None:
    bank.pays("E1;1;EUR;TEST;INV-1", "E2;1;JPY;;INV-2", "E3;1.00;USD;;INV-3")
    bank.settles()
    left_out, ended, sent = where(bank, "INV-1"), where(bank, "INV-2"), where(bank, "INV-3")
    assert (left_out.kind, left_out.step) == ("filtered", "wanted")
    assert (ended.kind, ended.step) == ("ended", "where.nowhere.to")
    assert (sent.kind, sent.outlet) == ("delivered", "abroad")


def test_a_copy_is_told_as_such_and_never_hides_the_message(bank: SmallBank) -> None:
    bank.sinks["abroad"].mood = "away"
    bank.pays("E1;1.00;USD;SEEN;INV-1")
    bank.settles()
    found = trace(bank, "INV-1")
    assert (found.subject.copy, found.where.kind) == (False, "deferred")
    (copy,) = found.others
    with bank.reading() as reading:
        told = Tracer(reading, bank.clock.now()).of_number(copy.number)
    assert told is not None
    assert (told.subject.copy, told.where.outlet) == (True, "watch")
    assert told.subject.parent == found.subject.message


# ---------------------------------------------------------------- what goes wrong


def test_a_refused_record_leads_to_its_reject_file(bank: SmallBank) -> None:
    bank.pays("E1;1.00;GBP;;INV-1", "E2;7.00;EUR;;INV-2")
    bank.runs("pay")
    bank.runs("pay#lines")
    refused = where(bank, "INV-1")
    assert (refused.kind, refused.code, refused.step, refused.then) == ("rejected", "VAL501", "where", None)
    bank.settles()
    told = where(bank, "INV-1")
    assert told.then is not None
    assert (told.then.kind, told.then.outlet) == ("delivered", "rejects")
    assert [case.code for case in trace(bank, "INV-1").cases] == ["VAL501"]
    assert trace(bank, "INV-2").cases == ()


def test_a_refused_group_tells_its_records_in_a_second_reject_file(bank: SmallBank) -> None:
    """The batch is complete when the group's file is refused; the sender must hear of it all the same."""
    bank.pays("E1;1.00;GBP;;INV-1", "E2;-2.00;EUR;;INV-2", "E3;7.00;EUR;;INV-3")
    bank.settles()
    first = set(bank.sinks["rejects"].delivered)
    assert len(first) == 1
    refused = where(bank, "INV-3")
    assert (refused.kind, refused.code, refused.then) == ("rejected", "VAL540", None)
    bank.clock.advance(10_000)
    bank.settles()
    (second,) = set(bank.sinks["rejects"].delivered) - first
    lines = bank.sinks["rejects"].delivered[second].decode().splitlines()[1:]
    assert [line.split(";")[0] for line in lines] == ["E2", "E3"]
    assert all(";AM12;" in line for line in lines)
    told = where(bank, "INV-3").then
    assert told is not None
    assert (told.kind, told.file) == ("delivered", f"/inbox/{second}.txt")


def test_a_file_that_is_refused_at_its_end_takes_its_records_back(bank: SmallBank) -> None:
    lines = [f"E{n};1.00;EUR;;INV-{n}" for n in range(600)]  # more than one chunk, so that some are stored by then
    bank.pays(*lines, trailer=5)
    bank.runs("pay")
    record, file = trace(bank, "INV-1"), trace(bank, "RUN_1.csv")
    assert record.where.kind == "withdrawn"
    assert record.where.then is not None
    assert record.where.then.kind == file.where.kind == "dead"
    assert [case.number for case in record.cases] == [file.where.case]
    with bank.reading() as reading:
        totals = read_figures(reading, 0).totals["pay"]
    assert Total("in", "EUR", 0, Decimal("0.00")) in totals, "what came in was taken back"


def test_a_payment_whose_partner_is_away_runs_again_and_in_the_end_needs_a_person(bank: SmallBank) -> None:
    bank.sinks["abroad"].mood = "away"
    bank.pays("E1;5.00;USD;;INV-1")
    bank.settles()
    waiting = where(bank, "INV-1")
    assert (waiting.kind, waiting.attempt, waiting.code, waiting.place) == ("deferred", 1, "NET101", "abroad")
    with bank.reading() as reading:
        assert waiting.until is not None
        assert next_moment(reading) == waiting.until.timestamp() * 1000
        assert list_stuck(reading, "deferred", 0, 10) == [trace(bank, "INV-1").subject.number]
    for _ in range(3):
        bank.clock.advance(60_000)
        bank.settles()
    dead = where(bank, "INV-1")
    assert (dead.kind, dead.code) == ("dead", "NET101")
    assert dead.case is not None
    with bank.reading() as reading:
        file = read_case(reading, dead.case)
        assert list_stuck(reading, "dead", 0, 10) == [trace(bank, "INV-1").subject.number]
    assert file is not None
    assert (file.dead_count, file.held_count, file.choices) == (1, 0, ("retry", "discard"))
    assert file.dead[0].keys == (("invoice", "INV-1"), ("end_to_end_id", "E1"))

    bank.sinks["abroad"].mood = "well"
    bank.bus.control.retry(dead.case, "ann", "the partner is back")
    assert where(bank, "INV-1").kind == "queued"
    bank.settles()
    assert where(bank, "INV-1").kind == "delivered"
    with bank.reading() as reading:
        closed = read_case(reading, dead.case)
    assert closed is not None
    assert (closed.case.state, closed.case.closed_by, closed.choices) == ("retried", "ann", ())
    assert [(a.who, a.what, a.reason) for a in closed.audit] == [("ann", "retried", "the partner is back")]


def test_a_doubt_is_told_apart_from_a_failure(bank: SmallBank) -> None:
    bank.sinks["abroad"].mood = "silent"
    bank.pays("E1;5.00;USD;;INV-1")
    bank.settles()
    doubt = where(bank, "INV-1")
    assert doubt.kind == "in_doubt"
    assert doubt.case is not None
    with bank.reading() as reading:
        file = read_case(reading, doubt.case)
        figures = read_figures(reading, bank.clock.now())
    assert file is not None
    assert file.dead[0].in_doubt
    assert file.choices[:2] == ("retry --resolved-as done", "retry --resolved-as not-done")
    assert figures.in_doubt == {"abroad": 1}


def test_holds_of_every_kind(bank: SmallBank) -> None:
    bank.pays("E1;2000.00;EUR;;INV-1", "E2;5.00;USD;LATE;INV-2")
    bank.settles()
    person, time = where(bank, "INV-1"), where(bank, "INV-2")
    assert (person.kind, person.reason, person.until) == ("held", "above the limit", None)
    assert person.case is not None
    assert (time.kind, time.case) == ("held", None)
    assert time.until is not None
    with bank.reading() as reading:
        file = read_case(reading, person.case)
        assert [case.number for case in list_cases(reading, Wanted(owner="treasury"))] == [person.case]
        assert list_cases(reading, Wanted(route="answers")) == []
        assert list_cases(reading, Wanted(before=person.case)) == []
        assert read_case(reading, 999) is None
    assert file is not None
    assert file.choices == ("release", "discard")
    assert file.held[0].worth == Amount(Decimal("2000.00"), "EUR")
    bank.bus.control.discard(person.case, "ann", "a mistake")
    thrown = where(bank, "INV-1")
    assert (thrown.kind, thrown.reason) == ("discarded", "a mistake")
    bank.clock.advance(130_000)
    bank.bus.run_due()
    assert (where(bank, "INV-2").kind, where(bank, "INV-2").place) == ("queued", "pay#later")


def test_content_that_arrives_again_is_held_as_a_whole(bank: SmallBank) -> None:
    for name in ("RUN_1.csv", "AGAIN.csv"):
        bank.pays("E1;5.00;USD;;INV-1", name=name)
        bank.settles()
    again = where(bank, "AGAIN.csv")
    assert (again.kind, again.code) == ("held", "DUP101")
    assert again.case is not None
    bank.bus.control.release(again.case, "ann", "twice on purpose")
    bank.settles()
    assert where(bank, "AGAIN.csv").kind == "split"
    found = trace(bank, "INV-1")
    assert found.arrival is not None
    assert found.arrival.name == "AGAIN.csv", "the newest of two that are alike"
    assert [match.value for match in found.others] == ["INV-1"]


def test_who_waits_for_a_predecessor_says_for_which(bank: SmallBank) -> None:
    bank.arrives("numbers-in", "N.csv", "number\n2\n1\n4\n")
    bank.settles()
    assert where(bank, "1").kind == "delivered"
    assert where(bank, "2").kind == "delivered"
    four = where(bank, "4")
    assert (four.kind, four.missing) == ("resequencing", 3)
    with bank.reading() as reading:
        assert read_figures(reading, 0).parked == {"ordered#row": 1}


# ---------------------------------------------------------------- figures and finding


def test_figures_count_what_waits_and_what_went_with_its_money(bank: SmallBank) -> None:
    bank.pays("E1;100.10;EUR;;INV-1", "E2;5.00;USD;;INV-2", "E3;2000.00;EUR;;INV-3", "E4;1;GBP;;INV-4")
    bank.runs("pay")
    with bank.reading() as reading:
        figures = read_figures(reading, bank.clock.now())
    assert figures.queues["pay#lines"].depth == 4
    assert figures.queues["pay#lines"].exact
    assert figures.queues["pay#lines"].oldest is not None
    assert figures.queues["pay"] == Queue()
    bank.settles()
    with bank.reading() as reading:
        figures = read_figures(reading, bank.clock.now())
    assert figures.held["pay#limit"].count == 1
    assert figures.cases == {"pay": 2}
    assert Total("delivered", "USD", 1, Decimal("5.00")) in figures.totals["abroad"]
    assert Total("joined", "EUR", 1, Decimal("100.10")) in figures.totals["pay#lines"]
    assert Total("in", "EUR", 2, Decimal("2100.10")) in figures.totals["pay"]
    assert figures.unanswered == 1
    assert figures.overdue == 0
    assert figures.states == {}
    assert "pay#limit" in figures.of_route("pay")
    bank.bus.set_state("pay", "paused", "ann", "lunch")
    with bank.reading() as reading:
        assert read_figures(reading, bank.clock.now() + 5 * HOUR).overdue == 1
        assert read_figures(reading, 0).states == {"pay": "paused"}


def test_a_long_queue_is_estimated_not_counted(bank: SmallBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.ledger.reading_status._COUNTED", 5)
    bank.pays(*(f"E{n};1.00;USD;;INV-{n}" for n in range(30)))
    bank.runs("pay")
    with bank.reading() as reading:
        queue = read_figures(reading, 0).queues["pay#lines"]
    assert (queue.depth, queue.exact) == (30, False)


def test_finding_by_prefix_and_by_the_name_of_a_key(bank: SmallBank) -> None:
    bank.pays("E1;1.00;USD;;INV-1", "E2;1.00;USD;;INV-2", "INV-2;1.00;USD;;X-1")
    bank.settles()
    with bank.reading() as reading:
        history = Tracer(reading, 0).history
        assert {m.value for m in history.find("INV-*")} == {"INV-1", "INV-2"}
        assert [m.name for m in history.find("INV-2", name="invoice")] == ["invoice"]
        assert len(history.find("INV-2")) == 2
        assert history.find("INV-", name="invoice") == []
        assert len(history.find("*", most=2)) == 2
        assert history.find("%") == []


# ---------------------------------------------------------------- what cannot be read


def test_readers_say_why_they_cannot_read(bank: SmallBank, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="SYS104"):
        Reading(tmp_path / "nowhere.db")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database at all, " * 500)
    with pytest.raises(Unavailable, match="SYS132"):
        Reading(damaged)
    other = tmp_path / "other.db"
    with apsw.Connection(str(other)) as made:
        made.execute("PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match=r"SYS105.*99"):
        Reading(other)
    with bank.reading() as reading, pytest.raises(Unavailable, match="SYS132"):
        reading.rows("SELECT nothing FROM nowhere")


def test_a_reader_gives_up_in_time_and_cannot_write(bank: SmallBank) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with Reading(bank.app.home / "bus.db", patience=0.05) as reading:
        with pytest.raises(Unavailable, match="SYS131"):
            reading.rows(endless)
        assert reading.rows("SELECT 1") == [(1,)], "the next query has its own time"
        with pytest.raises(Unavailable, match="SYS132"):
            reading.rows("DELETE FROM history")


def test_reading_never_keeps_the_bus_from_writing(bank: SmallBank) -> None:
    with bank.reading() as reading:
        before = reading.rows("SELECT count(*) FROM history")
        bank.pays("E1;1.00;USD;;INV-1")
        bank.settles()
        assert reading.rows("SELECT count(*) FROM history") > before
