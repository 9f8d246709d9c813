"""Which landscape the demo plays."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bus.cli import main
from bus.cli.demo import _landscape
from bus.cli.output import config_folder


def test_without_a_landscape_the_one_that_comes_with_us_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (_landscape(config_folder()) / "bus.yaml").is_file()
    assert (_landscape(config_folder()) / "bank-gateway").is_dir()


def test_a_landscape_without_payments_is_refused_before_anything_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "bus.yaml").touch()
    done = CliRunner().invoke(main, ["-C", str(tmp_path), "demo", "--work", str(tmp_path / "work")])
    assert done.exit_code == 4
    assert "SYS209" in done.stderr
    assert not (tmp_path / "work").exists()


def test_one_that_is_here_or_named_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _landscape(Path("named")) == Path("named")
    (tmp_path / "bus.yaml").touch()
    assert _landscape(config_folder()) == Path()
