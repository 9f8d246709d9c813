"""Answers that get lost between us and a partner: asked for, not guessed, and never a second effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import BinaryIO

import pytest

from bus.app import App, Surroundings
from bus.errors import InDoubt, Rejected, Retryable
from bus.ledger.store import Store
from bus.message import Message
from bus.ports import Receipt, Verdict
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

BUS = """\
name: small
outlets:
  out: {endpoint: {file: {path: out}}, on_error: {attempts: 4, backoff: {first: 1s, factor: 2, most: 1m}}}
"""
ROUTE = """\
route: pass
summary: Files go out as they came
owner: nobody
from: {file: {path: in}}
to: out
"""
LOST = InDoubt("NET109", "no answer to the rename")


@dataclass
class Partner(RecordingSink):
    """A sink that does what the test says at each publish, and knows the truth when it is asked."""

    script: list[str] = field(default_factory=list)
    asked: int = 0
    published: list[str] = field(default_factory=list)
    answering: bool = True

    def publish(self, receipt: Receipt) -> None:
        act = self.script.pop(0) if self.script else "well"
        if act == "refuses":
            raise Retryable("NET104", "refused")
        if act == "vanished":
            raise InDoubt("NET112", "the stage file vanished", ask=False)
        if act != "lost before":
            super().publish(receipt)
            self.published.append(receipt["id"])
        if act.startswith("lost"):
            raise LOST

    def probe(self, receipt: Receipt) -> Verdict:
        self.asked += 1
        if not self.answering:
            raise Retryable("NET101", "the partner cannot be reached")
        return super().probe(receipt)


@dataclass
class Flow:
    """The landscape, its one sink, and time."""

    app: App
    sink: Partner
    source: ScriptedSource
    clock: ManualClock

    def send(self, *names: str) -> None:
        self.source.arrivals += [ScriptedArrival(name, name.encode()) for name in names]
        self.later(0)

    def later(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        for _ in range(20):
            self.app.bus.turn()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.app.store.read(sql)


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Flow]:
    (tmp_path / "bus.yaml").write_text(BUS, "utf-8")
    (tmp_path / "pass.route.yaml").write_text(ROUTE, "utf-8")
    clock, sink, source = ManualClock(), Partner(), ScriptedSource()
    made: tuple[Callable[..., ScriptedSource], Callable[..., Partner]] = (lambda *_: source, lambda *_: sink)
    around = Surroundings(clock, Random(1), source=made[0], sink=made[1], store=Store(None))  # noqa: S311 - repeatable
    app = App(tmp_path, around, home=tmp_path / "home")
    yield Flow(app, sink, source, clock)
    app.close()
    assert sink.doubled == []


def test_a_lost_answer_of_what_happened_is_a_delivery(flow: Flow) -> None:
    flow.sink.script = ["lost after"]
    flow.send("a")

    assert flow.sink.asked == 1
    assert len(flow.sink.published) == 1
    assert flow.rows("SELECT state FROM outbound") == [("delivered",)]
    assert flow.rows("SELECT code FROM cases") == []


def test_a_lost_answer_of_what_did_not_happen_is_tried_again(flow: Flow) -> None:
    flow.sink.script = ["lost before"]
    flow.send("a")
    assert flow.rows("SELECT state FROM outbound") == [("staged",)]
    flow.later(5_000)

    assert len(flow.sink.published) == 1
    assert flow.rows("SELECT state FROM outbound") == [("delivered",)]


def test_who_cannot_be_asked_now_is_asked_before_the_next_attempt(flow: Flow) -> None:
    flow.sink.script = ["lost after"]
    flow.sink.answering = False
    flow.send("a")
    assert flow.rows("SELECT state FROM outbound") == [("requested",)]
    flow.sink.answering = True
    flow.later(5_000)

    assert len(flow.sink.published) == 1
    assert flow.rows("SELECT state FROM outbound") == [("delivered",)]


def test_where_asking_would_mislead_a_person_decides(flow: Flow) -> None:
    flow.sink.script = ["vanished"]
    flow.send("a")
    flow.later(60_000)

    assert flow.sink.asked == 0
    assert flow.rows("SELECT state FROM outbound") == [("in_doubt",)]
    assert flow.rows("SELECT code FROM cases") == [("NET112",)]


def test_a_refusal_puts_nothing_behind_it_in_doubt(flow: Flow) -> None:
    flow.sink.script = ["well", "refuses"]
    flow.send("a", "b", "c", "d")
    flow.later(5_000)

    assert flow.sink.asked == 0
    assert len(flow.sink.published) == len(set(flow.sink.published)) == 4
    assert flow.rows("SELECT DISTINCT state FROM outbound") == [("delivered",)]


def test_a_stage_folder_that_cannot_be_tidied_up_blocks_nobody(flow: Flow) -> None:
    refused: list[set[str]] = []

    def sweep(live: set[str]) -> None:
        refused.append(live)
        if len(refused) == 1:
            raise Retryable("NET104", "cannot look into .stage: refused")

    flow.sink.sweep = sweep  # type: ignore[attr-defined]  # an optional method of sinks
    flow.send("a")
    assert len(flow.sink.published) == 1
    flow.later(60_000)
    assert len(refused) == 2, "also when nothing more goes out"
    flow.send("b")
    flow.later(60_000)

    assert len(flow.sink.published) == 2
    assert len(refused) == 2


def test_who_never_lets_the_stage_folder_be_tidied_up_is_asked_less_and_less(flow: Flow) -> None:
    asked: list[int] = []

    def sweep(_live: set[str]) -> None:
        asked.append(flow.clock.now())
        raise Rejected("NET104", "no such folder")

    flow.sink.sweep = sweep  # type: ignore[attr-defined]  # an optional method of sinks
    flow.send("a")
    assert len(flow.sink.published) == 1
    for _second in range(600):
        flow.later(1_000)
    waits = [after - before for before, after in pairwise(asked)]

    assert waits[-1] > 10 * waits[0], "like other retries"
    assert 4 < len(asked) < 30
    flow.send("b")
    flow.later(5_000)
    assert len(flow.sink.published) == 2


def test_what_an_earlier_owner_staged_is_swept_once_it_is_staged_anew(flow: Flow) -> None:
    stages: set[str] = set()
    owner = ["1"]

    def prepare(message: Message, content: BinaryIO) -> Receipt:
        stage = f"{owner[0]}-{message.headers.id}"
        stages.add(stage)
        return {**Partner.prepare(flow.sink, message, content), "stage": stage}

    def publish(receipt: Receipt) -> None:
        Partner.publish(flow.sink, receipt)
        stages.remove(receipt["stage"])

    flow.sink.prepare = prepare  # type: ignore[method-assign]
    flow.sink.publish = publish  # type: ignore[method-assign]
    flow.sink.sweep = stages.intersection_update  # type: ignore[attr-defined]  # an optional method of sinks
    flow.sink.script = ["refuses"]
    flow.send("a")
    assert len(stages) == 1
    owner[0] = "2"
    flow.later(60_000)

    assert len(flow.sink.published) == 1
    assert stages == set()
