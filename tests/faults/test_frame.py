"""The frame of the fault runs: families are found, what breaks off is told, and what is not clean ends with 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bus.ledger.store import Store
from bus.testing.judge import Judgement
from tests.faults import families, runner
from tests.faults.books import Books
from tests.faults.frame import Fault, Order, Result, faults, summary
from tests.faults.partners import Partners


def family(name: str, *results: Result, breaks: bool = False, missing: str = "") -> Fault:
    def work(order: Order) -> Iterator[Result]:
        assert list(order.folder.iterdir()) == []
        yield from results
        if breaks:
            raise RuntimeError("the broker did not come back")

    return Fault(name, "made up", 1, work, lambda: missing)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Fault]:
    """Families of a test's own, run in this process."""
    known: dict[str, Fault] = {}
    monkeypatch.setattr(runner, "faults", lambda: known)
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(
        runner,
        "play",
        lambda chosen, seed, *, full, jobs: [r for one in chosen for r in runner.perform(one.name, seed, full=full)],  # noqa: ARG005 - as the original
    )
    return known


def lost() -> Judgement:
    return Judgement(lost=["E2E-1-1-1"])


def planted(bug: str = "x", *, kills: int = 3, **more: Any) -> Result:
    """Of a tree with a bug, beside a clean one of the sound tree."""
    twin = more.pop("twin", Result("cut", "gateway", 7, kills=3))
    return Result("cut", "gateway", 7, planted=bug, kills=kills, twin=twin, **more)


def test_every_file_of_the_folder_is_a_family() -> None:
    found = faults()
    files = {path.stem for path in Path(families.__path__[0]).glob("[a-z]*.py")}
    assert {one.work.__module__.rpartition(".")[2] for one in found.values()} == files
    assert "kill" in found


def test_a_clean_run_ends_with_0_and_leaves_a_line_for_each_row(only: dict[str, Fault], tmp_path: Path) -> None:
    only["one"] = family("one", Result("cut", "gateway", 7, kills=3), planted(verdict=lost()))
    assert runner.main(["--only", "one", "--seed", "7"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "build" / "faults.jsonl").read_text().splitlines()]
    assert [(line["fault"], line["lost"], line["good"], line["seed"]) for line in lines] == [
        ("cut", 0, True, 7),
        ("cut", 1, True, 7),
    ]


@pytest.mark.parametrize(
    "result",
    [
        Result("cut", "gateway", 7, verdict=lost()),
        Result("cut", "gateway", 7, verdict=Judgement(left_over=["erp/.stage/x"])),
        Result("cut", "gateway", 7, stuck="gave up"),
        Result("cut", "gateway", 7, missed=["sink.rename"]),
        planted("no-inbox"),
        planted("no-inbox", missed=["sink.rename"]),
        planted("no-inbox", verdict=Judgement(unfinished=["1 messages"]), stuck="gave up"),
        planted(verdict=lost(), kills=0),
        planted(verdict=lost(), twin=None),
        planted(verdict=lost(), twin=Result("cut", "gateway", 7)),
        planted(verdict=lost(), twin=Result("cut", "gateway", 7, kills=3, verdict=lost())),
        planted(verdict=lost(), twin=Result("cut", "gateway", 7, kills=3, stuck="gave up")),
    ],
)
def test_whatever_is_not_as_it_must_be_ends_with_1(only: dict[str, Fault], result: Result) -> None:
    only["one"] = family("one", Result("cut", "gateway", 7), result)
    assert runner.main(["--only", "one"]) == 1


def test_a_family_that_breaks_off_is_told_and_its_results_count(
    only: dict[str, Fault], capsys: pytest.CaptureFixture[str]
) -> None:
    only["one"] = family("one", Result("cut", "gateway", 7), breaks=True)
    only["two"] = family("two", Result("freeze", "gateway", 7))
    assert runner.main(["--only", "one", "two"]) == 1
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines() if line.endswith(("clean", "CLEAN"))] == [
        "cut",
        "one",
        "freeze",
    ]


@pytest.mark.parametrize(
    ("result", "code"), [(Result("cut", "gateway", 7), 5), (Result("cut", "gateway", 7, stuck="x"), 1)]
)
def test_a_family_that_lacks_a_service_is_left_out_and_a_run_without_it_is_never_clean(
    only: dict[str, Fault], result: Result, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    only["one"] = family("one", breaks=True, missing="no broker here")
    assert runner.main(["--only", "one"]) == 5
    only["two"] = family("two", result)
    assert runner.main([]) == code
    assert capsys.readouterr().out.endswith("LEFT OUT: one: no broker here\n")


def test_a_whole_run_that_broke_too_little_ends_with_1(only: dict[str, Fault], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LEAST", {"broker": 12})
    only["one"] = family("one", Result("cut", "gateway", 7, counted="broker", kills=11))
    assert runner.main([]) == 1
    only["one"] = family("one", Result("cut", "gateway", 7, counted="broker", kills=12))
    assert runner.main([]) == 0


def test_why_a_family_is_not_clean_stands_below_the_table(
    only: dict[str, Fault], capfd: pytest.CaptureFixture[str]
) -> None:
    """There the end of a long log still shows it."""
    only["one"] = family("one", Result("cut", "gateway", 7, stuck="the broker did not come back"))
    assert runner.main(["--only", "one"]) == 1
    assert "the broker did not come back" in capfd.readouterr().out.partition("NOT CLEAN")[2]


def test_only_a_bug_that_stops_something_is_found_by_what_never_ends() -> None:
    for bug, found in (("claim-never-recovered", True), ("no-stage-rule", False)):
        assert planted(bug, stuck="gave up").good is found


def test_the_table_says_of_a_planted_bug_whether_it_was_found() -> None:
    rows = summary([planted("no-inbox", verdict=lost()), planted("no-sweep")])
    assert [line.split("  ")[-1].strip() for line in rows.splitlines()[2:]] == ["found", "NOT FOUND"]


def test_who_moves_in_a_circle_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    partners, turns = Partners(tmp_path, 1), count()
    with pytest.raises(TimeoutError, match="until it is at rest"):
        partners.wait("it is at rest", lambda: False, 0.02, look=0.001, moves=lambda: next(turns))
    assert next(turns) > 15, "it was given time as long as it moved"


def test_a_ledger_that_does_not_come_back_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(Books):
        looks = 0

        def look(self, sql: str) -> list[tuple[Any, ...]] | None:
            self.looks += 1
            return super().look(sql)

    monkeypatch.setattr("tests.faults.books._PATIENCE", 0.5)
    place = tmp_path / "bus.db"
    place.write_bytes(b"what was not flushed is gone" * 1000)
    books = Counted(place)
    with pytest.raises(TimeoutError):
        books.read("SELECT count(*) FROM dead")
    assert books.looks > 1
    first = books.looks
    with pytest.raises(TimeoutError):
        books.read("SELECT count(*) FROM dead")
    assert books.looks == first + 1
    place.unlink()
    Store(place).close()
    assert books.read("SELECT count(*) FROM dead") == [(0,)], "it came back"
    books.close()
