"""What a hostile look at delivery found: each test is one way in which a message was lost, doubled or left standing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from houses import House, landscape

from bus.app import App, Surroundings
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

OUTLETS = ("out", "other", "rejects")
FILE = "from: {file: {path: in}}\n"
LINES = FILE + "steps:\n  - parse: {csv: {}}\n  - split: {name: lines}\n"
ROWS = FILE + "steps:\n  - parse: json\n  - split: {name: rows, each: rows}\n"


class Desk(House):
    """Routes with prepared sources and sinks that remember; it can be reloaded, and started again on the same store.

    Args:
        root: empty folder.
        files: file name without ``.route.yaml`` -> text without the route's name, or a whole file with its name.
    """

    def __init__(self, root: Path, files: dict[str, str], **around: Any) -> None:
        self.sources: dict[str, ScriptedSource] = {}
        self.sinks: dict[str, RecordingSink] = {}
        self.folder = root / "landscape"
        self.home = root / "home"
        self.write(files)
        edges = {
            "source": lambda _spec, resources: self.sources.setdefault(resources.name, ScriptedSource()),
            "sink": lambda _spec, resources: self.sinks.setdefault(resources.name, RecordingSink()),
        }
        super().__init__(root, self.folder, **edges, **around)
        self.edges = {**edges, **around}

    def write(self, files: dict[str, str], outlets: tuple[str, ...] = OUTLETS) -> None:
        """The landscape's files; those of before go."""
        for old in self.folder.glob("*.route.yaml"):
            old.unlink()
        named = {name if "." in name else f"{name}.route.yaml": text for name, text in files.items()}
        routes = {n: f"route: {n.partition('.')[0]}\n{t}" if ".route." in n else t for n, t in named.items()}
        ways = "".join(f"  {name}: {{endpoint: {{file: {{path: x}}}}, format: json}}\n" for name in outlets)
        landscape(self.folder, {"bus.yaml": f"name: desk\noutlets:\n{ways}", **routes})

    def again(self) -> None:
        """As after a crash: nothing of the old owner is left but the store."""
        chance = random.Random(1)  # noqa: S311 - spreads retries, guards nothing
        around = {"store": self.app.store, **self.edges}
        self.app = App(self.folder, Surroundings(clock=self.clock, chance=chance, **around), home=self.home)

    def send(self, content: str, route: str = "a", name: str = "f") -> None:
        """A file arrives."""
        self.sources[route].arrivals.append(ScriptedArrival(name, content.encode(), facts=(len(content), 1)))

    def got(self, outlet: str = "out") -> list[bytes]:
        """What was delivered, in order."""
        return list(self.sinks[outlet].delivered.values())

    def turn(self, turns: int = 1, step: int = 500) -> None:
        """Some turns, whatever is left."""
        for _ in range(turns):
            self.app.bus.turn()
            self.clock.advance(step)

    def left(self) -> dict[str, int]:
        """Rows that wait somewhere, by table."""
        return {t: n for t in ("queued", "deferred", "held", "dead", "member", "parked") if (n := self.count(t))}


# ---------------------------------------------------------------- units that are refused, groups


def test_a_unit_that_is_refused_sends_nothing(tmp_path: Path) -> None:
    """The second recipient's way changed the amount: the first one's message was out already when that was found."""
    way = "  - recipients:\n      - to: out\n      - {steps: [{translate: {mapping: m}}], to: other}\n"
    mapping = "mapping: m\nfields:\n  amount: money('1.00', 'EUR')\n"
    with Desk(tmp_path, {"a": ROWS + way, "m.mapping.yaml": mapping}) as desk:
        desk.send('{"rows": [{"amount": {"value": "2.00", "currency": "EUR"}}]}')
        desk.settle()
        assert desk.cases() == ["INT132"]
        assert (desk.got(), desk.got("other"), desk.left()) == ([], [], {"dead": 1})


@pytest.mark.parametrize("wait", ["delay: 1m", "hold: {until: release}"])
def test_a_group_that_waits_keeps_its_members(tmp_path: Path, wait: str) -> None:
    """The members were swept as soon as the group was put aside: the file came out empty."""
    steps = (
        f"  - aggregate: {{complete: {{batch: true}}}}\n  - {wait}\n  - translate: {{to: {{csv: {{columns: [id]}}}}}}\n"
    )
    with Desk(tmp_path, {"a": LINES + steps + "to: out\n"}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        assert desk.left() == {"held": 1, "member": 2}
        if wait.startswith("hold"):
            desk.app.bus.control.release(desk.case("POL100"), "me", "seen")
        desk.later(120_000)
        assert desk.got() == [b"id\n1\n2\n"]
        assert desk.left() == {}


def test_a_group_that_goes_to_another_route_keeps_its_members(tmp_path: Path) -> None:
    gather = LINES + "  - aggregate: {complete: {batch: true}}\nto: b\n"
    write = "from: {channel: b}\nsteps:\n  - delay: 1m\n  - translate: {to: {csv: {columns: [id]}}}\nto: out\n"
    with Desk(tmp_path, {"a": gather, "b": write}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        desk.later(120_000)
        assert (desk.got(), desk.left(), desk.cases()) == ([b"id\n1\n2\n"], {}, [])


def test_a_copy_of_a_group_cannot_leave_its_unit(tmp_path: Path) -> None:
    """Whoever comes second would find no members."""
    steps = "  - aggregate: {complete: {batch: true}}\n  - recipients: [{steps: []}, {steps: [{delay: 1m}]}]\n"
    with Desk(tmp_path, {"a": LINES + steps + "  - translate: {to: {csv: {columns: [id]}}}\nto: out\n"}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        assert (desk.cases(), desk.got(), desk.left()) == (["VAL505"], [], {"dead": 1, "member": 2})


def test_a_reject_file_that_cannot_be_written_is_a_dead_letter(tmp_path: Path) -> None:
    """It was collected and refused again every five seconds, for ever."""
    steps = "  - validate: {rules: [{that: \"id != '1'\", message: bad}]}\nto: out\n"
    back = "on_reject: {collect: batch, to: rejects, as: {csv: {columns: [nothing]}}}\n"
    with Desk(tmp_path, {"a": LINES + steps + back}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        assert (desk.cases(), desk.left(), desk.count("gathering")) == (
            ["VAL330", "VAL530"],
            {"dead": 1, "member": 1},
            1,
        )
