"""What operators read: sentences for every place, times, and a service that a second Ctrl-C ends at once."""

from __future__ import annotations

import json
import logging
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import click
import pytest
from small_bank import SmallBank

from bus.cli.moments import Since, age, clock, span, stamp, step
from bus.cli.serving import Service
from bus.cli.telling import _SENTENCES, Circumstances, money, mood, sentence, step_name, title
from bus.ledger.reading import Total, moment
from bus.ledger.reading_places import Case, Where
from bus.ledger.reading_trace import Tracer
from bus.operating.logs import formatter

SINCE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NOW = int((SINCE + timedelta(hours=6, minutes=12)).timestamp() * 1000)
DELIVERED = "Delivered to bank, 2026-11-24 09:00:00 UTC"
AROUND = Circumstances(NOW, outlets=frozenset({"bank"}))
SOON = SINCE + timedelta(hours=6, minutes=13)


def at(kind: str, **facts: object) -> Where:
    return replace(Where(kind, "pay#lines", SINCE), **facts)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (at("queued"), "Waits for its turn in pay#lines since 2026-11-24 09:00:00 UTC"),
        (at("queued", place="bank"), "Waits to be sent to bank since 2026-11-24 09:00:00 UTC"),
        (at("loading"), "Its file is still being split; all its records go on at once"),
        (
            at("withdrawn", then=at("dead", code="VAL1", reason="bad trailer", case=3)),
            "Taken back: its file was refused as a whole · the file: Needs a person: bad trailer (VAL1) · case 3",
        ),
        (
            at("gathering", members=2, missing=3),
            "Waits in its group (2 so far) for the rest of its file: 3 records are on their way",
        ),
        (
            at("gathering", members=2, until=SOON),
            "Waits in its group (2 so far), which goes 2026-11-24 15:13:00 UTC (in 1 m)",
        ),
        (
            at("held", reason="above", code="POL100", case=7),
            "Held since 2026-11-24 09:00:00 UTC: above (POL100) · case 7",
        ),
        (at("held", until=SOON), "Held since 2026-11-24 09:00:00 UTC until 2026-11-24 15:13:00 UTC (in 1 m)"),
        (
            at("deferred", attempt=1, code="NET101", reason="away", until=SOON),
            "Failed 1 time: away (NET101). Runs again 2026-11-24 15:13:00 UTC (in 1 m)",
        ),
        (
            at("deferred", attempt=2, reason="away", until=SINCE),
            "Failed 2 times: away. Runs again 2026-11-24 09:00:00 UTC (now)",
        ),
        (at("resequencing", missing=4), "Waits for number 4 before it"),
        (
            at("in_doubt", code="NET901", reason="no answer", case=1),
            "In doubt whether the partner has it: no answer (NET901) · case 1",
        ),
        (at("split", members=1), "Split into 1 record, all accounted for"),
        (at("split", members=9, missing=2), "Split into 9 records, 2 still on the way"),
        (
            at("rejected", code="VAL1", reason="bad", then=at("delivered", outlet="erp", file="R.csv")),
            "Rejected: bad (VAL1) · reject file: Delivered to erp as R.csv, 2026-11-24 09:00:00 UTC",
        ),
        (at("filtered", step="wanted"), "Left out by step wanted of route pay"),
        (at("ended", step="to"), "Ended on purpose at step to of route pay"),
        (at("discarded", reason="a mistake"), "Thrown away by a person, 2026-11-24 09:00:00 UTC: a mistake"),
        (
            at("awaiting", outlet="bank", partner="bank", members=1, missing=1, until=SOON),
            f"{DELIVERED} · waits for the answer of bank until 2026-11-24 15:13:00 UTC (in 1 m)",
        ),
        (
            at("awaiting", outlet="bank", partner="bank", members=5, missing=2, overdue=True, case=4),
            f"{DELIVERED} · waits for the answer of bank (2 of 5 payments), overdue · case 4",
        ),
        (
            at("answered", partner="bank", status="RJCT", reason="AC04"),
            "bank answered: rejected (RJCT), reason AC04, 2026-11-24 09:00:00 UTC",
        ),
        (at("answered", partner="bank", status="XYZ"), "bank answered: XYZ, 2026-11-24 09:00:00 UTC"),
    ],
)
def test_every_place_has_its_sentence(where: Where, told: str) -> None:
    assert sentence(where, AROUND) == told


def test_sentences_say_when_nothing_moves() -> None:
    waiting, sending = at("queued"), at("queued", place="bank")
    assert sentence(waiting, replace(AROUND, states={"pay": "paused"})).endswith("· route pay is paused")
    assert sentence(waiting, replace(AROUND, running=False)).endswith("· no bus runs")
    assert sentence(sending, replace(AROUND, hold_outputs=True)).endswith("· outputs are held back")


def test_text_from_outside_cannot_play_with_the_terminal() -> None:
    for kind in _SENTENCES:
        told = sentence(at(kind, reason="\x1b[2J", file="\x1b[2J", code="X"), AROUND)
        assert "\x1b" not in told, kind


def test_the_corner_says_how_it_stands(tmp_path: Path) -> None:
    bank = SmallBank(tmp_path)
    bank.pays("E1;5.00;USD;;INV-1")
    bank.settles()
    with bank.reading() as reading:
        trace = Tracer(reading, bank.clock.now()).trace("INV-1")
    bank.close()
    assert trace is not None
    assert title(trace) == "invoice INV-1 · 5.00 USD · end_to_end_id E1 · RUN_1.csv line 2"
    for kind, facts, finished, word in (
        ("delivered", {}, True, "DONE"),
        ("queued", {}, False, "WAITS"),
        ("dead", {}, False, "STUCK 6 h 12 m"),
        ("held", {"case": 1}, False, "STUCK 6 h 12 m"),
        ("held", {}, False, "WAITS"),
        ("awaiting", {"overdue": True}, False, "STUCK 6 h 12 m"),
        ("answered", {"status": "RJCT"}, True, "REJECTED"),
        ("answered", {"status": "ACSC"}, True, "DONE"),
        ("discarded", {}, True, "REJECTED"),
    ):
        assert mood(replace(trace, where=at(kind, **facts), finished=finished), AROUND) == word


@pytest.mark.parametrize(
    ("code", "state", "waits", "word"),
    [
        ("VAL530", "open", 0, "DONE"),
        ("POL100", "open", 1, "STUCK 6 h 12 m"),
        ("POL100", "released", 0, "DONE"),
        ("SLA101", "open", 0, "STUCK 6 h 12 m"),
    ],
)
def test_a_file_is_stuck_by_what_waits_and_not_by_what_went_back(
    tmp_path: Path, code: str, state: str, waits: int, word: str
) -> None:
    bank = SmallBank(tmp_path)
    bank.pays("E1;5.00;USD;;INV-1")
    bank.settles()
    with bank.reading() as reading:
        trace = Tracer(reading, bank.clock.now()).trace("INV-1")
    bank.close()
    assert trace is not None
    case = Case(1, code, "told", state, "ops", "pay", SINCE, waits)
    assert mood(replace(trace, where=at("split", members=2), finished=True, cases=(case,)), AROUND) == word


def test_money_is_told_with_its_currency_and_counts_without() -> None:
    totals = (Total("in", "", 3, Decimal(0)), Total("in", "EUR", 2, Decimal("12480.00")))
    assert money(totals) == "2 (12,480.00 EUR), 3 without amount"
    assert money(totals[:1]) == "3"


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (-5, "0 s"),
        (999, "0 s"),
        (45_000, "45 s"),
        (60_000, "1 m"),
        (3_600_000, "1 h"),
        (22_320_000, "6 h 12 m"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_spans(milliseconds: int, told: str) -> None:
    assert span(milliseconds) == told


def test_moments() -> None:
    early = moment(1_795_420_800_114)
    assert clock(early) == "08:00:00.114"
    assert stamp(early) == "2026-11-23 08:00:00"
    assert stamp(None) == ""
    assert age(early, 1_795_420_805_114) == "5 s"
    assert [step(n) for n in (-3, 6, 1_840, 120_000)] == ["+0 ms", "+6 ms", "+1.8 s", "+2 m"]


def test_since_takes_spans_dates_and_times() -> None:
    kind = Since()

    def read(text: str) -> int:
        return kind.convert(text, None, None)

    now = datetime.now(UTC).timestamp() * 1000
    assert abs(read("2d") - (now - 172_800_000)) < 60_000
    assert read("2026-11-24") == read("2026-11-24T00:00Z") == read("2026-11-24T01:00+01:00")
    assert kind.convert(5, None, None) == 5
    for wrong in ("", "soon", "2 days", "24.11.2026", "9999999d"):
        with pytest.raises(click.BadParameter):
            read(wrong)


# ---------------------------------------------------------------- service


def test_a_second_interrupt_ends_at_once_and_signals_are_given_back(tmp_path: Path) -> None:
    bank = SmallBank(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    service = Service(bank.app)
    bank.bus.start = lambda: os.kill(os.getpid(), signal.SIGINT)  # type: ignore[method-assign]  # a bus that is told to stop
    bank.bus.stop = lambda _timeout=0: bool(os.kill(os.getpid(), signal.SIGINT))  # type: ignore[method-assign]  # and hangs
    with pytest.raises(KeyboardInterrupt):
        service.run()
    assert not service.at_rest, "so the store is left to the end of the process"
    assert signal.getsignal(signal.SIGINT) is before
    assert not (bank.app.home / "control.sock").exists()
    bank.close()


def test_log_lines_for_collectors_have_no_payload() -> None:
    error = ValueError("DE02 1203 0000 0000 2020 51")
    record = logging.LogRecord("girobus", logging.ERROR, "x", 1, "control: %s", ("retry",), (ValueError, error, None))
    line = json.loads(formatter("json").format(record))
    assert (line["level"], line["logger"], line["message"], line["error"]) == (
        "error",
        "girobus",
        "control: retry",
        "ValueError",
    )
    assert line["at"].endswith("Z")
    assert "DE02" not in json.dumps(line)


@pytest.mark.parametrize(
    ("named", "shown"),
    [("canonical", "canonical"), ("0", "1"), ("bank.north.2", "bank.north.3"), ("bank.north", "bank.north")],
)
def test_a_step_without_a_name_is_counted_from_one(named: str, shown: str) -> None:
    assert step_name(named) == shown
