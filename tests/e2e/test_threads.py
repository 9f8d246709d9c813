"""The engine at work: threads, pauses, reloads, absent partners, poison, duplicates, time; one behaviour a test."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from faulty import Partner, Partners, Troubles, catalogue
from houses import SAMPLES, House, landscape

from bus.app import App, Surroundings, SystemClock
from bus.errors import ConfigError, Held, InDoubt, NotAllowed, Rejected, Retryable
from bus.ledger.store import Store
from bus.runtime.pipeline import CompiledRoute
from bus.testing.endpoints import ScriptedArrival

FLOW = {
    "bus.yaml": """\
name: flow
outlets:
  out:
    endpoint: {file: {path: out}}
    format: json
    on_error: {attempts: 3, backoff: {first: 1s, factor: 2, most: 10s}}
  other:
    endpoint: {file: {path: other}}
    format: json
  back:
    endpoint: {file: {path: back}}
    format: json
""",
    "flow.route.yaml": """\
route: flow
owner: desk
from: {file: {path: in, match: "*", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows, keys: {id: id}}
  - trouble: {name: trouble}
  - aggregate: {name: file, by: [to], complete: {batch: true}}
  - translate: {name: lines, to: {json: {document: list}}}
to: out
on_error: {attempts: 3, backoff: {first: 1s, factor: 1, most: 1s}}
""",
    "wait.route.yaml": """\
route: wait
owner: desk
from: {file: {path: wait, match: "*", ready: {suffix: .tmp}, poll: {every: 1s}}}
expires_after: 1h
steps:
  - parse: json
  - delay: {name: while, until: due}
  - hold: {name: person, until: release, when: ask, reason: a person is asked}
to: other
""",
}
DEADLINE = 20.0


class Flow(House):
    """The landscape of these tests with partners that fail on demand."""

    def __init__(self, root: Path, **around: Any) -> None:
        self.troubles = Troubles()
        self.all = Partners()
        folder = landscape(root / "landscape", FLOW)
        known = catalogue(self.troubles)
        super().__init__(root, folder, source=self.all.source, sink=self.all.sink, catalogue=known, **around)

    @property
    def out(self) -> Partner:
        """The partner behind the outlet ``out``."""
        return self.all.sinks["out"]

    def send(self, name: str, *ids: str, route: str = "flow") -> None:
        """A file with a line for each id arrives."""
        self.all.send(route, name, b"".join(_line(i) for i in ids))

    def got(self) -> list[list[str]]:
        """Ids in each delivered file, in the order of delivery."""
        return [[row["id"] for row in json.loads(content)] for content in self.out.order]

    def reason(self, code: str) -> str:
        """Summary of the open case with that code."""
        return str(self.rows("SELECT summary FROM cases WHERE code = ? AND state = 'open'", code)[0][0])


def _line(identity: str) -> bytes:
    return json.dumps({"id": identity, "to": "x", "amount": {"value": "1.10", "currency": "EUR"}}).encode() + b"\n"


def _tried(house: House, seconds: int) -> None:
    """Time passes while there is always something to try."""
    for _ in range(seconds):
        for _turn in range(6):
            house.app.bus.turn()
        house.clock.advance(1_000)


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Flow]:
    with Flow(tmp_path) as made:
        yield made


# ---------------------------------------------------------------- poison and retries


def test_one_bad_line_delays_no_other_and_ends_as_a_dead_letter_after_its_attempts(flow: Flow) -> None:
    flow.troubles.by_id["b"] = Retryable("NET104", "the partner is away")
    flow.send("f", "a", "b", "c")
    flow.app.bus.turn()
    for _ in range(6):
        flow.app.bus.turn()
    assert flow.got() == [["a", "c"]], "the file goes at once, without the line that is tried again"
    flow.settle()
    assert flow.troubles.seen.count("b") == 3
    assert flow.cases() == ["NET104"]
    assert flow.reason("NET104") == "the partner is away; given up after 3 attempts"
    assert [body["id"] for body in flow.dead()] == ["b"]
    flow.troubles.by_id.clear()
    assert flow.app.bus.control.retry(flow.case("NET104"), "ann", "partner is back") == 1
    flow.later(6_000)
    assert flow.got() == [["a", "c"], ["b"]], "a late line forms a group of its own"
    assert flow.cases() == []


@pytest.mark.parametrize("where", ["step", "outlet"])
def test_nothing_is_given_up_because_the_store_of_documents_is_away(flow: Flow, where: str) -> None:
    """A full disk, or a bucket without an answer, is no fault of the messages, however long it lasts."""
    refused = Retryable("SYS112", "the blob store refused: No space left on device")
    if where == "step":
        flow.troubles.by_id |= dict.fromkeys("ab", refused)
    flow.out.away = refused if where == "outlet" else None
    flow.send("f", "a", "b")
    _tried(flow, 120)
    assert (flow.count("dead"), flow.got(), flow.cases()) == (0, [], ["SYS112"])
    flow.troubles.by_id.clear()
    flow.out.away = None
    _tried(flow, 15)
    assert sorted(one for file in flow.got() for one in file) == ["a", "b"]
    assert flow.count("deferred") == 0


def test_a_source_is_not_left_alone_long_because_the_house_takes_nothing_in(tmp_path: Path) -> None:
    """Its rest spares a partner who is away; here he waits for us."""
    route = "route: a\nfrom: {file: {path: in, match: '*', ready: {suffix: .tmp}, poll: {every: 1s}}}\nto: none\n"
    folder = landscape(tmp_path / "landscape", {"bus.yaml": "name: a\n", "a.route.yaml": route})
    with House(tmp_path, folder) as house:
        temporary = tmp_path / "home" / "blobs" / "tmp"
        temporary.rmdir()
        temporary.write_bytes(b"")  # no folder: every new document is refused, even to root
        house.drop("local/in/f", b"x")
        _tried(house, 600)
        assert (house.cases(), house.count("arrival")) == (["SYS112"], 0)
        temporary.unlink()
        temporary.mkdir()
        _tried(house, 40)
        assert house.count("arrival") == 1


def test_a_line_that_recovers_in_time_comes_late_and_once(flow: Flow) -> None:
    flow.troubles.by_id["b"] = Retryable("NET104", "the partner is away")
    flow.send("f", "a", "b")
    for _ in range(6):
        flow.app.bus.turn()
    flow.troubles.by_id.clear()
    flow.later(10_000)
    assert flow.got() == [["a"], ["b"]]
    assert (flow.cases(), flow.count("dead"), flow.count("deferred")) == ([], 0, 0)


@pytest.mark.parametrize(
    ("trouble", "code", "table"),
    [
        (Rejected("VAL999", "a rule is broken"), "VAL999", "dead"),
        (Held("POL199", "somebody has to look"), "POL199", "held"),
        (KeyError("CANARY-7431"), "INT199", "dead"),
        (ZeroDivisionError("CANARY-7431"), "INT199", "dead"),
    ],
    ids=["rejected", "held", "foreign", "arithmetic"],
)
def test_poison_is_isolated_in_its_batch(
    flow: Flow, caplog: pytest.LogCaptureFixture, trouble: Exception, code: str, table: str
) -> None:
    caplog.set_level(logging.DEBUG)
    ids = [f"n{n}" for n in range(150)]
    flow.troubles.by_id["n77"] = trouble
    flow.send("f", *ids)
    flow.settle()
    assert flow.got() == [[i for i in ids if i != "n77"]], "all others, in order, in one file"
    assert flow.cases() == [code]
    assert flow.count(table) == 1
    assert "CANARY" not in flow.reason(code) + caplog.text
    assert flow.rows("SELECT sum(count) FROM tally WHERE place = 'flow' AND outcome = 'in'") == [(150,)]


# ---------------------------------------------------------------- partners that are away


def test_an_absent_partner_is_left_alone_and_gets_everything_once_he_is_back(flow: Flow) -> None:
    flow.out.away = Retryable("NET101", "nobody answers")
    flow.send("f1", "a")
    flow.send("f2", "b")
    flow.all.send("wait", "w", b'{"ask": false, "due": "2026-11-23"}')
    for _ in range(20):
        flow.app.bus.turn()
    assert flow.out.asked == 1, "he rests: no knocking at every turn, not for the second file either"
    assert len(flow.all.sinks["other"].delivered) == 1, "other partners are not slower for it"
    flow.clock.advance(1_200)
    for _ in range(10):
        flow.app.bus.turn()
    assert flow.out.asked == 2
    flow.out.away = None
    flow.settle()
    assert sorted(flow.got()) == [["a"], ["b"]]
    assert flow.cases() == []


def test_a_partner_who_stays_away_costs_so_many_attempts_and_a_case_then_a_person_retries(flow: Flow) -> None:
    flow.out.away = Retryable("NET101", "nobody answers")
    flow.send("f1", "a")
    flow.later(60_000)
    assert flow.out.asked == 3
    assert flow.cases() == ["NET101"]
    assert flow.count("dead") == 1
    flow.out.away = None
    flow.app.bus.control.retry(flow.case("NET101"), "ann", "")
    flow.settle()
    assert flow.got() == [["a"]]


def test_an_absent_source_is_polled_less_often_becomes_a_case_and_recovers(flow: Flow) -> None:
    box = flow.all.sources["flow"]
    box.away = Retryable("NET101", "nobody answers")
    flow.send("f1", "a")
    for _ in range(40):
        flow.app.bus.turn()
        flow.clock.advance(100)
    assert box.polls <= 6
    assert flow.cases() == ["NET101"]
    box.away = None
    flow.settle()
    assert flow.got() == [["a"]]


class _Stubborn(ScriptedArrival):
    """A file that cannot be fetched."""

    def fetch(self, target: BinaryIO) -> None:
        """Never."""
        del target
        raise Retryable("NET104", "the connection is lost")


def test_a_file_that_cannot_be_fetched_does_not_keep_the_others_waiting(flow: Flow) -> None:
    """As on a line that breaks now and then: each look has trouble, and most files come through."""
    box, stubborn = flow.all.sources["wait"], _Stubborn("bad", b"")
    for n in range(300):
        if stubborn not in box.arrivals:
            box.arrivals.append(stubborn)
        flow.all.send("wait", f"f{n}", json.dumps({"id": n, "due": "2099-01-01T00:00:00Z"}).encode())
        flow.app.bus.turn()
        flow.clock.advance(1_000)
    assert flow.count("arrival") > 290
    assert flow.cases() == ["NET104"]  # a person is told all the same


@pytest.mark.parametrize(("resolved", "delivered"), [("not-done", [["a"]]), ("done", [])])
def test_a_doubt_is_never_retried_blindly(flow: Flow, resolved: str, delivered: list[list[str]]) -> None:
    flow.out.breaks = InDoubt("NET109", "no answer to the rename")
    flow.send("f1", "a")
    flow.later(60_000)
    assert flow.cases() == ["NET109"]
    assert flow.rows("SELECT state FROM outbound WHERE sink = 'out'") == [("in_doubt",)]
    flow.out.breaks = None
    control, case = flow.app.bus.control, flow.case("NET109")
    for undecided in ("", "perhaps"):
        with pytest.raises(NotAllowed) as refused:
            control.retry(case, "ann", "asked the bank", resolved_as=undecided)
        assert refused.value.code == "SYS205"
    with pytest.raises(NotAllowed) as refused:
        control.retry(case, "ann", "", resolved_as=resolved)
    assert refused.value.code == "SYS204", "a decision without a reason is none"
    assert flow.cases() == ["NET109"], "a refused decision changes nothing"
    assert control.retry(case, "ann", "asked the bank", resolved_as=resolved) == 1
    flow.settle()
    assert flow.got() == delivered
    assert (flow.cases(), flow.count("dead")) == ([], 0)


# ---------------------------------------------------------------- time


def test_a_message_waits_for_its_time_then_for_a_person(flow: Flow) -> None:
    flow.all.send("wait", "w", b'{"ask": true, "due": "2026-11-23T08:30:00Z"}')
    flow.settle(40)
    assert flow.cases() == []
    assert flow.count("held") == 1
    flow.later(30 * 60_000)
    assert flow.cases() == ["POL100"]
    assert flow.all.sinks["other"].delivered == {}
    assert flow.app.bus.control.release(flow.case("POL100"), "ann", "looked") == 1
    flow.settle()
    assert len(flow.all.sinks["other"].delivered) == 1


def test_an_expired_message_is_a_dead_letter(flow: Flow) -> None:
    flow.all.send("wait", "w", b'{"ask": false, "due": "2026-11-23T09:30:00Z"}')
    flow.settle(40)
    flow.later(2 * 3_600_000)
    assert flow.cases() == ["POL151"]
    assert flow.all.sinks["other"].delivered == {}
    assert flow.count("dead") == 1


def test_expectations_are_told_once(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        house.drop("erp/outbox/PAYRUN_1.csv", (SAMPLES / "PAYRUN_again.csv").read_bytes())
        house.settle()
        house.later(5 * 3_600_000)
        house.later(3_600_000)
        assert house.cases() == ["SLA102"], "one bank has not answered; a file came, so nobody misses one"
        house.later(86_400_000)
        assert house.cases() == ["SLA102"], "it is not 18:00 yet"
        house.later(5 * 3_600_000)
        assert house.cases() == ["SLA101", "SLA102"]
        house.later(86_400_000)
        assert house.cases() == ["SLA101", "SLA101", "SLA102"], "the next day is another one"


# ---------------------------------------------------------------- duplicates


@pytest.mark.parametrize("name", ["f", "another"])
@pytest.mark.parametrize("later", [0, 40 * 86_400_000], ids=["at once", "40 days later"])
def test_known_content_is_held_whatever_its_name_and_day(flow: Flow, name: str, later: int) -> None:
    flow.send("f", "a", "b")
    flow.settle()
    flow.clock.advance(later)
    flow.send(name, "a", "b")
    flow.settle()
    assert flow.cases() == ["DUP101"]
    assert flow.got() == [["a", "b"]]
    ids = flow.rows("SELECT id, outcome FROM arrival ORDER BY n")
    assert [outcome for _, outcome in ids] == ["accepted", "held"]
    flow.app.bus.control.release(flow.case("DUP101"), "ann", "it is another run")
    flow.settle()
    assert flow.got() == [["a", "b"], ["a", "b"]]
    assert len(flow.out.delivered) == 2, "the second runs under ids of its own"
    assert flow.rows("SELECT outcome FROM arrival ORDER BY n") == [("accepted",), ("released",)]


def test_a_discarded_duplicate_goes_nowhere(flow: Flow) -> None:
    for name in ("f", "g"):
        flow.send(name, "a")
        flow.settle()
    with pytest.raises(NotAllowed):
        flow.app.bus.control.discard(flow.case("DUP101"), "ann", "")
    assert flow.app.bus.control.discard(flow.case("DUP101"), "ann", "sent twice by mistake") == 1
    flow.settle()
    assert flow.got() == [["a"]]
    assert flow.rows("SELECT outcome FROM arrival ORDER BY n") == [("accepted",), ("discarded",)]
    assert flow.count("held") == 0


def test_a_released_payment_duplicate_goes_to_the_bank(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        for number, sample in enumerate(("PAYRUN_good", "PAYRUN_again")):
            house.drop(f"erp/outbox/PAYRUN_{number}.csv", (SAMPLES / f"{sample}.csv").read_bytes())
            house.settle()
        assert house.cases() == ["DUP111"]
        before = set(house.files("bank-north/inbox"))
        house.app.bus.control.release(house.case("DUP111"), "ann", "a second invoice")
        house.later(10_000)
        (new,) = set(house.files("bank-north/inbox")) - before
        assert house.files("bank-north/inbox")[new].count(b"<EndToEndId>E2E-1</EndToEndId>") == 1


# ---------------------------------------------------------------- pause, drain, reload, restart


def test_a_paused_route_stands_still_a_draining_one_takes_nothing_new(flow: Flow) -> None:
    bus = flow.app.bus
    flow.send("f1", "a")
    bus.turn()
    assert bus.state("flow") == "running"
    bus.set_state("flow", "paused", "ann", "the bank asked")
    flow.send("f2", "b")
    flow.settle()
    assert flow.got() == []
    bus.set_state("flow", "draining", "ann", "")
    flow.settle()
    assert flow.got() == [["a"]], "what is inside goes on"
    assert len(flow.all.sources["flow"].arrivals) == 1
    bus.set_state("flow", "running", "ann", "")
    flow.settle()
    assert flow.got() == [["a"], ["b"]]
    with pytest.raises(NotAllowed) as refused:
        bus.set_state("nowhere", "paused", "ann", "")
    assert refused.value.code == "SYS207"
    assert [row[:2] for row in flow.rows("SELECT who, what FROM audit")] == [
        ("ann", "paused"),
        ("ann", "draining"),
        ("ann", "running"),
    ]


def test_a_reload_serves_new_input_while_what_waits_keeps_its_version(flow: Flow) -> None:
    path = flow.app.folder / "wait.route.yaml"
    flow.all.send("wait", "old", b'{"ask": true, "due": "2026-11-23", "n": 1}')
    flow.settle()
    path.write_text(FLOW["wait.route.yaml"].replace("to: other", "to: back"), "utf-8")
    flow.app.reload()
    flow.all.send("wait", "new", b'{"ask": false, "due": "2026-11-23", "n": 2}')
    flow.settle()
    path.write_text(FLOW["wait.route.yaml"].replace("to: other", "to: nowhere"), "utf-8")
    with pytest.raises(ConfigError):
        flow.app.reload()
    flow.app.bus.control.release(flow.case("POL100"), "ann", "fine")
    flow.all.send("wait", "newer", b'{"ask": false, "due": "2026-11-23", "n": 3}')
    flow.settle()
    to = {name: [json.loads(c)["n"] for c in partner.order] for name, partner in flow.all.sinks.items()}
    assert to == {"out": [], "other": [1], "back": [2, 3]}


def test_an_old_version_is_kept_in_memory_while_somebody_asks_for_it(flow: Flow) -> None:
    """However often the files are read again; what waits without being asked for is compiled when its turn comes."""

    def reload(owner: str) -> None:
        text = FLOW["wait.route.yaml"].replace("to: other", "to: back")
        path.write_text(text.replace("owner: desk", f"owner: {owner}"), "utf-8")
        flow.app.reload()

    def in_memory() -> set[str]:
        gc.collect()
        return {r.spec.owner for r in gc.get_objects() if type(r) is CompiledRoute} & {"ann", "ben", "cleo", "dora"}

    path = flow.app.folder / "wait.route.yaml"
    flow.all.send("wait", "old", b'{"ask": true, "due": "2026-11-23", "n": 1}')
    flow.settle()
    reload("ann")
    flow.all.send("wait", "new", b'{"ask": false, "due": "2026-11-23", "n": 2}')
    flow.settle()
    reload("ben")
    assert in_memory() == {"ann", "ben"}, "messages on their way have the one before"
    reload("cleo")
    reload("dora")
    assert in_memory() == {"cleo", "dora"}
    flow.app.bus.control.release(flow.case("POL100"), "ann", "fine")
    flow.settle()
    assert [json.loads(content)["n"] for content in flow.all.sinks["other"].order] == [1], (
        "in the version it began with"
    )


def test_a_restart_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    first = Flow(tmp_path, store=Store(tmp_path / "bus.db"))
    first.out.away = Retryable("NET101", "nobody answers")
    first.send("f1", "a", "b")
    for _ in range(8):
        first.app.bus.turn()
    first.app.bus.set_state("wait", "paused", "ann", "")
    first.app.close()
    first.out.away = None
    around = Surroundings(
        clock=first.clock,
        source=first.all.source,
        sink=first.all.sink,
        catalogue=catalogue(first.troubles),
        store=Store(tmp_path / "bus.db"),
    )
    first.app = App(first.app.folder, around, home=tmp_path / "home")
    assert first.app.bus.state("wait") == "paused"
    first.later(10_000)
    assert first.got() == [["a", "b"]]
    first.app.close()


# ---------------------------------------------------------------- with threads


def until(reached: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not reached():
        assert time.monotonic() < end, "gave up waiting"
        pause.wait(0.005)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Flow]:
    made = Flow(tmp_path, store=Store(tmp_path / "bus.db"), clock=SystemClock())
    try:
        yield made
    finally:
        made.app.bus.stop(5)
        made.app.close()


def test_threads_bring_everything_out_once_and_stop_cleanly(running: Flow) -> None:
    running.app.bus.start()
    names = [f"f{n}" for n in range(8)]
    for name in names:
        running.send(name, *(f"{name}-{n}" for n in range(300)))
    until(lambda: len(running.out.delivered) == len(names) and running.app.bus.idle())
    assert sorted(running.got()) == sorted([f"{name}-{n}" for n in range(300)] for name in names)
    assert running.cases() == []
    assert running.app.bus.stop(10)
    assert not [t for t in threading.enumerate() if t.name.startswith(("segment", "edge-", "scheduler"))]


def test_a_stop_finishes_the_batch_in_hand(running: Flow) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def block() -> None:
        inside.set()
        assert go_on.wait(DEADLINE)

    running.troubles.by_id["b"] = block
    running.send("f", "a", "b", "c")
    running.app.bus.start()
    assert inside.wait(DEADLINE)
    assert not running.app.bus.stop(0.05), "it tells that something is still at work"
    assert running.rows("SELECT count(*) FROM member") == [(0,)], "nothing of the batch is committed yet"
    go_on.set()
    assert running.app.bus.stop(10)
    assert running.rows("SELECT count(*) FROM member") == [(3,)], "the batch in hand is whole"


def test_a_partner_who_comes_back_is_served_by_the_threads(running: Flow) -> None:
    running.out.away = Retryable("NET101", "nobody answers")
    running.app.bus.start()
    running.send("f", "a")
    until(lambda: running.out.asked > 0)
    running.out.away = None
    until(lambda: running.got() == [["a"]])


def test_a_slow_partner_slows_nobody_else(running: Flow) -> None:
    gate = threading.Event()
    out = running.out

    original = out.prepare

    def slow(message: Any, content: Any) -> Any:
        assert gate.wait(DEADLINE)
        return original(message, content)

    out.prepare = slow  # type: ignore[method-assign]  # the partner of this test alone
    running.app.bus.start()
    running.send("f", "a")
    running.all.send("wait", "w", b'{"ask": false, "due": "2026-11-23"}')
    until(lambda: len(running.all.sinks["other"].delivered) == 1)
    assert running.got() == []
    gate.set()
    until(lambda: running.got() == [["a"]])


def test_a_route_that_is_paused_and_resumed_under_load_loses_and_doubles_nothing(running: Flow) -> None:
    bus = running.app.bus
    bus.start()
    for n in range(4):
        running.send(f"f{n}", *(f"{n}-{i}" for i in range(200)))
        bus.set_state("flow", ("paused", "running", "draining", "running")[n], "ann", "")
        running.app.reload()
    until(lambda: len(running.out.delivered) == 4)
    assert sorted(i for file in running.got() for i in file) == sorted(f"{n}-{i}" for n in range(4) for i in range(200))
