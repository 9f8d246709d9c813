"""The short names of our packages belong to nobody else in an environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.app import _own_packages
from bus.errors import ConfigError


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("top_level.txt", "alpha\nbus\n"),
        ("RECORD", "alpha.py,,\ntransforms/csv.py,sha256=x,1\n"),
        ("RECORD", "bus.py,,\n"),
    ],
)
def test_another_distribution_with_one_of_them_is_named(
    file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "omnibus-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: omnibus\nVersion: 1.0\n")
    (other / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"SYS106.*omnibus"):
        _own_packages.__wrapped__()


def test_longer_names_and_files_below_others_are_nobodys_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "omnibus-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: omnibus\nVersion: 1.0\n")
    (other / "RECORD").write_text("omni/bus/__init__.py,,\nbusy/__init__.py,,\nbus_driver.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    _own_packages.__wrapped__()
