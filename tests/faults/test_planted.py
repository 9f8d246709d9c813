"""Bugs that no simulation in one thread can have are planted too, and must turn the test red that is about them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.planted import BEYOND, BUGS, ROOT, plant, with_bug
from tests.faults.power import missing


def outcome(test: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", test]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize("bug", [*BUGS, *BEYOND])
def test_every_bug_still_makes_a_program(bug: str) -> None:
    planted = {**BUGS, **BEYOND}[bug]
    assert with_bug(bug, planted) != (ROOT / planted.file).read_text("utf-8")


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
