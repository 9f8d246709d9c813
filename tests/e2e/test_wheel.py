"""What is installed is all that is needed: the wheel alone, away from any checkout, reads files and plays."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "site")
    return folder / "site"


def bus(installed: Path, place: Path, *words: str) -> str:
    program = f"import sys; sys.path.insert(0, {str(installed)!r}); from bus.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIROBUS_")}
    done = subprocess.run(  # noqa: PLW1510 - its answer is looked at below
        [sys.executable, "-c", program, *words], cwd=place, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_shows_help_and_reads_a_file(installed: Path, tmp_path: Path) -> None:
    assert "inspect" in bus(installed, tmp_path, "--help")
    sample = next((installed / "bus" / "testing" / "gateway").rglob("PAIN001_good.xml"))
    assert "pain.001" in bus(installed, tmp_path, "inspect", str(sample))


def test_a_wheel_plays_the_landscape_that_comes_with_it(installed: Path, tmp_path: Path) -> None:
    told = bus(installed, tmp_path, "demo", "--runs", "1", "--lines", "10")
    assert "0 unaccounted for" in told
    assert not list((installed / "bus" / "testing" / "gateway").rglob("*.db"))
