"""Bugs that no simulation in one thread can have are planted too, and must turn the test red that is about them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.matrix import REAL, passed, simulated
from tests.faults.planted import BEYOND, BUGS, ROOT, plant, with_bug
from tests.faults.power import missing


def outcome(test: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", test]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize("bug", [*BUGS, *BEYOND])
def test_every_bug_still_makes_a_program(bug: str) -> None:
    planted = {**BUGS, **BEYOND}[bug]
    assert with_bug(bug, planted) != (ROOT / planted.file).read_text("utf-8")


def test_what_simulator_or_real_faults_cannot_show_says_why() -> None:
    assert {name for name, bug in BUGS.items() if bug.cannot} == {
        name for name, bug in BUGS.items() if not bug.shows_at or name not in REAL
    }


@pytest.mark.parametrize(
    ("simulator", "real", "good"),
    [
        ("found", "found", True),
        ("found", "cannot show: nobody sees it", True),
        ("cannot occur: it has one process", "found", True),
        ("found", "NOT FOUND", False),
        ("NOT FOUND", "found", False),
        ("NOT FOUND: it is wrong undisturbed", "cannot show: nobody sees it", False),
    ],
)
def test_the_matrix_passes_only_what_both_show(simulator: str, real: str, good: object) -> None:
    assert passed(("bug", simulator, "1", real, "lost", "1")) is good


@pytest.mark.timeout(600)
def test_a_bug_that_shows_without_a_crash_is_not_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bug = "release-twice"
    monkeypatch.setitem(BUGS, bug, replace(BUGS[bug], shows_at="commit."))
    assert simulated(bug, plant(bug, tmp_path)) == "NOT FOUND: it is wrong undisturbed"


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("postgres_server")
@pytest.mark.parametrize("bug", BEYOND)
def test_a_planted_bug_turns_its_test_red(bug: str, tmp_path: Path) -> None:
    test = BEYOND[bug].shows_at
    if bug == "no-fsync" and missing():
        pytest.skip(missing())

    sound = outcome(test, ROOT)
    broken = outcome(test, plant(bug, tmp_path))

    assert sound.returncode == 0, sound.stdout[-2_000:]
    assert broken.returncode == 1, f"nobody noticed that {BEYOND[bug].story}\n{broken.stdout[-2_000:]}"
    assert "1 failed" in broken.stdout
