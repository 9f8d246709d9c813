"""A crash after every single effect of the three routes loses nothing and doubles nothing; a planted bug is found."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bus.config import load_landscape
from bus.registry import Registry
from bus.runtime import splitting
from tests.faults.matrix import simulated
from tests.faults.planted import BUGS, ROOT, plant
from tests.faults.schedules import circumstances
from tests.faults.world import ROUTES, Remembering, World

SEED = 20261124


def simulation(*options: str, folder: Path = ROOT) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.simulation", "--json", "--seed", str(SEED), *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=1_500)
    assert out, errors[-2_000:]
    found: dict[str, Any] = json.loads(out)
    return found


def halves(*options: str) -> list[dict[str, Any]]:
    """The same walk by two processes that share its points."""
    return [told(process) for process in [simulation("--part", f"{part}/2", *options) for part in range(2)]]


@pytest.mark.timeout(1_200)
def test_a_crash_at_every_single_effect_loses_and_doubles_nothing() -> None:
    first, second = halves()

    assert first["red"] + second["red"] == []
    assert first["labels"] == second["labels"]
    reached = {label.partition(":")[0] for label in first["labels"]}
    assert {"source.claim", "source.fetch", "source.done", "blob.create", "sink.stage", "sink.rename"} <= reached
    assert {
        f"commit.{kind}" for kind in ("admit", "completed", "segment", "stage-batch", "requested", "delivered")
    } <= reached
    assert first["places"] == second["places"] >= 300
    assert first["schedules"] + second["schedules"] >= len(first["labels"])
    assert first["lives"] + second["lives"] >= first["places"]


@pytest.mark.timeout(1_200)
def test_a_crash_with_the_channels_on_rabbitmq_loses_and_doubles_nothing() -> None:
    """Every eighth effect here, every one with ``--full``; the broker stores one message in twenty twice."""
    options = ("--backbone", "rabbitmq", "--doubled", "0.05")
    parts = [told(process) for process in [simulation("--part", f"{part}/8", *options) for part in (3, 6)]]

    assert [one["red"] for one in parts] == [[], []]
    reached = {label.partition(":")[0] for label in parts[0]["labels"]}
    assert {"amqp.publish", "amqp.acknowledge", "commit.relay", "commit.segment", "commit.stage-batch"} <= reached
    assert sum(one["lives"] for one in parts) >= 100


@pytest.mark.timeout(1_200)
def test_lost_connections_and_crashes_together_lose_and_double_nothing() -> None:
    options = ("--backbone", "rabbitmq", "--doubled", "0.05", "--failing", "2,7,15,31,40", "--only", "nothing")
    first, second = halves(*options, "--pairs", "40", "--triples", "16")

    assert first["red"] + second["red"] == []
    assert first["crashes"] + second["crashes"] >= 110


@pytest.mark.timeout(600)
def test_crashes_during_the_recovery_lose_and_double_nothing() -> None:
    first, second = halves("--only", "nothing", "--pairs", "60", "--triples", "20")

    assert first["red"] + second["red"] == []
    assert first["crashes"] + second["crashes"] >= 170


@pytest.mark.parametrize("bug", [bug for bug in BUGS if BUGS[bug].shows_at])
@pytest.mark.timeout(600)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    assert simulated(bug, plant(bug, tmp_path)) == "found", BUGS[bug].story


@pytest.mark.timeout(600)
def test_worlds_by_chance_lose_and_double_nothing(tmp_path: Path) -> None:
    """One world of each kind; what they have in common is lived once, and an interrupted run goes on where it was."""
    record = tmp_path / "simulation.jsonl"
    options = ("--schedules", "6", "--jobs", "2", "--record", str(record))
    found = told(simulation(*options))
    lines = record.read_text("utf-8").splitlines(keepends=True)
    record.write_text("".join(lines[:-1]) + lines[-1][:20], "utf-8")
    continued = told(simulation(*options, "--continue"))

    assert continued["kinds"] == found["kinds"]
    assert len(record.read_text("utf-8").splitlines()) == len(lines) == 7

    assert found["red"] == []
    assert [row["schedules"] for row in found["kinds"]] == [1] * 6


def test_a_split_in_a_world_by_chance_takes_several_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "CHUNK", splitting.CHUNK)  # the world sets its own
    labels: list[str] = []
    catalogue = Registry()
    landscape = load_landscape(ROUTES, catalogue).require()
    with closing(Remembering()) as templates:
        world = World(tmp_path, landscape, catalogue, labels.append, circumstances(SEED, 0), templates)
        list(world.go_on())

    splits = world.store.read("SELECT count(*) FROM batch")[0][0]
    assert labels.count("commit.stage-batch:after") > splits > 0


@pytest.mark.full
@pytest.mark.timeout(3_600)
def test_a_crash_at_every_effect_on_rabbitmq() -> None:
    first, second = halves("--backbone", "rabbitmq", "--doubled", "0.05", "--pairs", "2000", "--triples", "1000")

    assert first["red"] + second["red"] == []


@pytest.mark.full
@pytest.mark.timeout(3_600)
def test_thousands_of_pairs_and_triples_of_crashes() -> None:
    first, second = halves("--only", "nothing", "--pairs", "4000", "--triples", "2000")

    assert first["red"] + second["red"] == []
