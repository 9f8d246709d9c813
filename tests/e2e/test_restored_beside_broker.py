"""A restored ledger is older than the queues of the broker: what they hold of later work is put aside, not mixed in."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from bus.app import App, Surroundings
from bus.channels.amqp.sorting import Sorting
from bus.cli import main
from bus.ledger.backup import back_up, restore
from bus.testing.clock import ManualClock

BUS = """\
name: twice
broker: {{url: '{url}', prefix: '{prefix}'}}
outlets:
  out: {{endpoint: {{file: {{path: out}}}}, format: json}}
"""
ROUTE = """\
route: flow
from: {file: {path: in, match: "*.jsonl", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows, keys: {id: id}}
  - aggregate: {name: file, complete: {batch: true}}
  - translate: {name: lines, to: {json: {document: list}}}
to: out
"""
HOUR = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


class Place:
    """A landscape whose channels are queues of a real broker; its clock stands until it is moved."""

    def __init__(self, root: Path, url: str, address: str) -> None:
        self.folder, self.backup = root / "landscape", root / "backup"
        self.home = self.folder / ".bus"
        self.address = address
        for name in ("in", "out"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "bus.yaml").write_text(BUS.format(url=url, prefix=f"t{uuid4().hex[:8]}."))
        (self.folder / "flow.route.yaml").write_text(ROUTE)
        self.clock = ManualClock(now() - HOUR)
        self.app = self.opened()

    def opened(self, *, hold_outputs: bool = False) -> App:
        app = App(self.folder, Surroundings(clock=self.clock), home=self.home, hold_outputs=hold_outputs)
        assert app.sort_out()
        return app

    def release(self, *, retry: bool = False) -> None:
        """Outputs may go; what was put aside may go on as well."""
        self.app.close()
        self.bus("db", "release-outputs", "--reason", "compared")
        if retry:
            self.bus("cases", "retry", "1", "--reason", "the file is not dropped again")
        self.app = self.opened()

    @property
    def ledger(self) -> Path | str:
        return self.address or self.home / "bus.db"

    def back_up(self) -> None:
        back_up(self.ledger, self.home / "blobs", self.backup, lambda *_: None)
        self.clock.advance(now() - 5_000 - self.clock.now())  # what is made now is younger, as clocks may differ

    def restore(self) -> None:
        """The store is lost and comes back as it was; outputs are held."""
        self.bring_back()
        self.app = self.opened(hold_outputs=True)

    def bring_back(self) -> None:
        self.app.close()
        shutil.rmtree(self.home)
        if self.address:
            with psycopg.connect(self.address, autocommit=True) as connection:
                ((schema,),) = connection.execute("SELECT current_schema()").fetchall()
                connection.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}".encode())
        restore(self.backup, self.ledger, self.home / "blobs", ("me", "the disk is lost"), lambda *_: None)
        self.clock.advance(HOUR)

    def drop(self, name: str, count: int) -> None:
        """A file is taken; it stands in the queue of the route."""
        text = "".join(json.dumps({"id": f"{name}{n}"}) + "\n" for n in range(count))
        (self.folder / "in" / f"{name}.jsonl").write_text(text)
        self.clock.advance(1_001)
        assert self.app.bus.poll_once("flow")
        self.app.broker.relay()

    def run(self, channel: str, met: Callable[[], Any]) -> None:
        """Work on one channel until something is so; what comes of it goes to its queue."""
        self.until(met, lambda: self.app.bus.run_batch(channel), 0)
        self.app.broker.relay()

    def until(self, met: Callable[[], Any], step: Callable[[], Any] | None = None, passes: int = 1_000) -> None:
        end = time.monotonic() + 30
        while not met():
            assert time.monotonic() < end, f"it did not happen in time; {self.cases()}"
            (step or self.app.bus.turn)()
            self.clock.advance(passes)
            time.sleep(0.01)  # a broker is another process

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.app.store.read(sql)

    def batches(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT id, state FROM batch ORDER BY id")

    def cases(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT code, fingerprint, count FROM cases WHERE state = 'open' ORDER BY id")

    def dead(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT channel, code, count(*) FROM dead GROUP BY channel, code ORDER BY channel")

    def out(self) -> list[list[str]]:
        """The ids in each document that went out, in their order."""
        paths = [path for path in (self.folder / "out").iterdir() if path.is_file()]
        return sorted([row["id"] for row in json.loads(path.read_text())] for path in paths)

    def bus(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["-C", str(self.folder), *words])
        assert done.exit_code == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(params=["file", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, rabbit: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    address = "" if request.param == "file" else request.getfixturevalue("postgres_url")
    monkeypatch.setenv("GIROBUS_LEDGER", address)
    made = Place(tmp_path, rabbit, address)
    yield made
    made.app.close()


def ids(name: str, count: int) -> list[str]:
    return [f"{name}{n}" for n in range(count)]


def test_what_was_under_way_goes_on_and_what_came_later_is_put_aside(place: Place) -> None:
    place.drop("a", 5)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.back_up()
    place.drop("b", 7)
    place.run("flow", lambda: len(place.batches()) == 2)
    place.drop("d", 3)  # its rows are not split yet
    place.restore()

    place.until(lambda: place.dead() == [("flow", "SYS149", 1), ("flow#rows", "SYS149", 7)])
    place.until(lambda: place.batches() == [(1, "complete")])
    assert sorted(count for _, _, count in place.cases()) == [1, 7]  # one case for each file
    place.drop("c", 9)  # its batch has the number that the lost one had
    place.until(lambda: place.batches() == [(1, "complete"), (2, "complete")])
    assert place.out() == []
    place.release()
    place.until(lambda: len(place.out()) == 2)
    assert place.out() == [ids("a", 5), ids("c", 9)]
    ((whole,),) = place.rows("SELECT id FROM cases WHERE fingerprint LIKE 'flow:%'")
    place.app.close()
    assert "SYS140" in place.bus("db", "check", code=1)  # the document of `d` is lost with the disk
    place.bus("cases", "discard", str(whole), "--reason", "the file is dropped again")
    assert "All is well" in place.bus("db", "check")


def test_what_was_put_aside_goes_on_by_itself_when_a_person_says_so(place: Place) -> None:
    place.back_up()
    place.drop("b", 7)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.restore()
    place.until(lambda: place.dead() == [("flow#rows", "SYS149", 7)])
    place.drop("c", 2)
    place.until(lambda: place.batches() == [(1, "complete")])
    place.release(retry=True)
    place.until(lambda: len(place.out()) == 2)
    assert place.out() == [ids("b", 7), ids("c", 2)]
    assert place.dead() == []


def test_a_lost_file_that_is_dropped_again_goes_out_once(place: Place) -> None:
    """Its document stands before the closed outlet already, and the one that is made again has the same id."""
    place.back_up()
    place.drop("b", 3)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.run("flow#rows", lambda: place.batches() == [(1, "complete")])
    place.run("flow#file", lambda: place.rows("SELECT 1 FROM gathering WHERE state = 'done'"))
    place.restore()
    (place.folder / "in" / "done").rename(place.folder / "earlier")
    place.drop("b", 3)
    place.until(lambda: place.batches() == [(1, "complete")])
    place.release()
    place.until(lambda: place.dead() == [("out", "SYS149", 1)])
    place.until(lambda: place.out() == [ids("b", 3)])
    assert place.rows("SELECT outcome FROM arrival") == [("accepted",)]


def test_rows_of_a_lost_file_and_those_that_are_made_again_are_told_apart(place: Place) -> None:
    place.back_up()
    place.drop("b", 3)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.drop("d", 2)  # not split yet
    place.restore()
    (place.folder / "in" / "done").rename(place.folder / "earlier")
    for name, count in {"b": 3, "d": 2}.items():
        place.drop(name, count)  # the same ids, in the same queues
    place.run("flow", lambda: len(place.batches()) == 2)
    place.release()
    place.until(lambda: len(place.out()) == 2)
    assert place.out() == [ids("b", 3), ids("d", 2)]
    assert place.dead() == [("flow", "SYS149", 1), ("flow#rows", "SYS149", 3)]
    for (case,) in place.rows("SELECT id FROM cases WHERE code = 'SYS149'"):
        place.app.bus.control.discard(case, "me", "it was dropped again")
    assert place.rows("SELECT outcome FROM arrival") == [("accepted",), ("accepted",)]


def test_what_is_held_in_the_ledger_goes_on_from_there_alone(place: Place) -> None:
    """It was let go after the backup and stands in a queue as well."""
    place.drop("a", 2)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.run("flow#rows", lambda: place.batches() == [(1, "complete")])
    place.run("flow#file", lambda: place.rows("SELECT 1 FROM gathering WHERE state = 'done'"))
    place.until(lambda: place.out() == [ids("a", 2)])
    place.drop("again", 2)
    text = (place.folder / "in" / "done").glob("a.jsonl*")
    (place.folder / "in" / "copy.jsonl").write_bytes(next(text).read_bytes())
    place.clock.advance(1_001)
    place.app.bus.poll_once("flow")
    ((case,),) = place.rows("SELECT id FROM cases WHERE code = 'DUP101' AND state = 'open'")
    place.back_up()
    place.app.bus.control.release(case, "me", "it is another one")
    place.app.broker.relay()
    place.restore()
    place.until(lambda: place.dead() == [("flow", "SYS149", 1)])
    assert place.rows("SELECT count(*) FROM held") == [(1,)]


def test_a_group_that_is_lost_is_never_another_one(place: Place) -> None:
    """Its number is another group's by now; a file of that one's members would go out a second time."""
    place.back_up()
    place.drop("b", 2)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.run("flow#rows", lambda: place.batches() == [(1, "complete")])
    place.restore()
    place.until(lambda: place.dead() == [("flow#file", "SYS149", 1)])
    place.drop("c", 2)
    place.until(lambda: place.batches() == [(1, "complete")])
    place.release(retry=True)
    place.until(lambda: place.out() == [ids("c", 2)])
    place.until(lambda: place.dead() == [("flow#file", "SYS139", 1)])


def test_a_ledger_may_be_restored_again(place: Place) -> None:
    place.back_up()
    place.drop("b", 3)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.restore()
    place.backup = place.backup.with_name("second")
    place.back_up()
    place.drop("c", 2)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.restore()
    place.drop("e", 4)
    place.until(lambda: place.batches() == [(1, "complete")])
    assert place.dead() == [("flow#rows", "SYS149", 5)]
    assert sorted(count for _, _, count in place.cases()) == [2, 3]
    place.release()
    place.until(lambda: place.out() == [ids("e", 4)])


def test_what_left_the_queues_in_the_lost_time_is_told(place: Place) -> None:
    """It was joined to a group that is lost; the batch would wait for it, and nobody would know."""
    place.drop("a", 5)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.back_up()
    place.run("flow#rows", lambda: place.batches() == [(1, "complete")])
    place.restore()
    assert [code for code, _, _ in place.cases()] == ["SYS149", "SYS150"]
    ((summary,),) = place.rows("SELECT summary FROM cases WHERE code = 'SYS150'")
    assert summary.startswith("5 of the records of a.jsonl had left the queue")


def test_what_the_ledger_tries_again_itself_goes_out_once(place: Place) -> None:
    """It was due in the lost time, and stands before the closed outlet when the ledger sends it there again."""
    place.drop("a", 2)
    (place.folder / "out").rmdir()
    (place.folder / "out").touch()  # no folder: nothing can be put there
    place.until(lambda: place.rows("SELECT 1 FROM deferred"))
    place.back_up()
    place.until(lambda: not place.rows("SELECT 1 FROM deferred"), place.app.bus.run_due, 10_000)
    place.app.broker.relay()
    place.restore()
    (place.folder / "out").unlink()
    (place.folder / "out").mkdir()
    assert place.dead() == [("out", "SYS149", 1)]
    place.release()
    place.until(lambda: place.out() == [ids("a", 2)])
    place.app.bus.turn()
    assert place.out() == [ids("a", 2)]


def test_bus_run_sorts_before_it_does_anything_else(place: Place) -> None:
    place.back_up()
    place.drop("b", 3)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.bring_back()
    place.bus("run", "--until-idle", "--hold-outputs")
    place.app = place.opened(hold_outputs=True)
    assert place.dead() == [("flow#rows", "SYS149", 3)]
    assert place.out() == []


def test_of_a_fleet_one_process_sorts_while_the_others_wait(
    tmp_path: Path, rabbit: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who began to work meanwhile would change the ledger by which the rest of the queues is judged."""
    monkeypatch.setenv("GIROBUS_LEDGER", postgres_url)
    place = Place(tmp_path, rabbit, postgres_url)
    place.back_up()
    place.drop("b", 700)
    place.run("flow", lambda: place.batches() == [(1, "open")])
    place.bring_back()
    sorting: list[str] = []
    run = Sorting.run

    def watched(self: Sorting, channels: Any) -> bool:
        sorting.append("begins")
        done = run(self, channels)
        sorting.append("ends")
        return done

    monkeypatch.setattr(Sorting, "run", watched)
    with ThreadPoolExecutor(3) as pool:
        apps = list(pool.map(lambda _: place.opened(hold_outputs=True), range(3)))
    place.app = apps[0]
    assert place.dead() == [("flow#rows", "SYS149", 700)]
    assert sorting == ["begins", "ends"]
    for app in apps:
        app.close()
