"""A file system that forgets: what was flushed is there after a power cut, what was not may be gone or torn."""

from __future__ import annotations

import os
import stat
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from bus.ledger.blobs import FileBlobs
from bus.ledger.store import Store
from endpoints.file import LocalFolder
from tests.conftest import needs
from tests.faults.power import ForgetfulDisk, missing


@pytest.fixture
def disk(tmp_path: Path) -> ForgetfulDisk:
    """Not mounted yet."""
    if os.geteuid() != 0:
        pytest.skip(missing())
    needs(missing())
    return ForgetfulDisk(tmp_path / "disk", tmp_path / "trees")


def flush(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def test_what_was_flushed_with_its_name_is_there_after_a_power_cut(disk: ForgetfulDisk, tmp_path: Path) -> None:
    home = tmp_path / "disk"
    content = Random(1).randbytes(10_000)  # noqa: S311 - repeatable
    with disk:
        (home / "in").mkdir()
        (home / "in" / "file").write_bytes(content)
        for place in (home / "in" / "file", home / "in", home):
            flush(place)
        (home / "in" / "file").chmod(0o600)
        disk.cut(7)
        assert (home / "in" / "file").read_bytes() == content
        assert stat.S_ISREG((home / "in" / "file").stat().st_mode)


@pytest.mark.parametrize("forgotten", ["content", "name", "folder", "rename", "growth"])
def test_what_was_not_flushed_is_gone_at_some_power_cut(disk: ForgetfulDisk, tmp_path: Path, forgotten: str) -> None:
    """Seeds differ in what survives; each of these must be lost at one of them."""
    home = tmp_path / "disk"
    lost = 0
    with disk:
        for seed in range(4):
            place = home / str(seed)
            (place / "old").mkdir(parents=True)
            flush(place)
            if forgotten != "folder":
                flush(home)
            file = place / "old" / "file"
            file.write_bytes(b"x" * 9_000)
            if forgotten != "content":
                flush(file)
            if forgotten != "name":
                flush(file.parent)
            if forgotten == "rename":
                file.rename(place / "new")
            if forgotten == "growth":
                with file.open("ab") as more:
                    more.write(b"y" * 9_000)
            disk.cut(seed)
            expected = (place / "new" if forgotten == "rename" else file, 18_000 if forgotten == "growth" else 9_000)
            found = expected[0].read_bytes() if expected[0].exists() else b""
            lost += len(found) != expected[1] or b"\0" in found
    assert lost


def test_a_rename_is_never_half_done(disk: ForgetfulDisk, tmp_path: Path) -> None:
    home = tmp_path / "disk"
    with disk:
        for seed in range(6):
            for name in ("one", "two"):
                (home / f"{name}{seed}").mkdir()
            file = home / f"one{seed}" / "file"
            file.write_bytes(b"x")
            for place in (file, file.parent, home):
                flush(place)
            file.rename(home / f"two{seed}" / "file")
            disk.cut(seed)
            assert file.exists() is not (home / f"two{seed}" / "file").exists()


def test_an_open_file_without_a_name_can_be_used(disk: ForgetfulDisk, tmp_path: Path) -> None:
    with disk, (tmp_path / "disk" / "file").open("w+b", buffering=0) as file:
        (tmp_path / "disk" / "file").unlink()
        file.write(b"xyz")
        os.fsync(file.fileno())
        file.seek(0)
        assert file.read() == b"xyz"


def test_who_still_uses_the_disk_of_before_gets_errors(disk: ForgetfulDisk, tmp_path: Path) -> None:
    home = tmp_path / "disk"
    with disk, (home / "file").open("wb", buffering=0) as file:
        file.write(b"x")
        disk.cut(7)
        with pytest.raises(OSError, match="Input/output error"):
            file.write(b"y")


SEEDS = range(4)
"""Some of them keep a part of what was not flushed, some nothing."""


def test_a_file_that_was_put_into_a_new_folder_is_there_after_a_power_cut(disk: ForgetfulDisk, tmp_path: Path) -> None:
    """The folder of an outlet was made with its stage folder, and its own name was never flushed."""
    home = tmp_path / "disk"
    with disk:
        for seed in SEEDS:
            folder = LocalFolder(home)
            folder.make_folder(f"out{seed}/.stage")
            folder.write(f"out{seed}/.stage/file", BytesIO(b"x" * 9_000))
            folder.rename(f"out{seed}/.stage/file", f"out{seed}/file")
            disk.cut(seed)
            assert (home / f"out{seed}" / "file").read_bytes() == b"x" * 9_000


def test_a_document_is_there_after_a_power_cut(disk: ForgetfulDisk, tmp_path: Path) -> None:
    home = tmp_path / "disk"
    with disk:
        for seed in SEEDS:
            with FileBlobs(home / f"blobs{seed}").create() as writing:
                writing.write(b"x" * 9_000)
            disk.cut(seed)
            with FileBlobs(home / f"blobs{seed}").open(writing.blob) as found:
                assert found.read() == b"x" * 9_000


def test_a_commit_is_there_after_a_power_cut(disk: ForgetfulDisk, tmp_path: Path) -> None:
    place = tmp_path / "disk" / "new" / "bus.db"
    with disk:
        for seed in SEEDS:
            store = Store(place)
            sql = "INSERT INTO meta VALUES (?, 'there')"
            store.commit("test", lambda tx: tx.execute(sql, (f"seed {seed}",)))  # noqa: B023 - used at once
            disk.cut(seed)
            store.close()
            store = Store(place)
            found = store.read("SELECT count(*) FROM meta WHERE value = 'there'")
            store.close()
            assert found == [(seed + 1,)]
