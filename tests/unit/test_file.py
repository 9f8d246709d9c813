"""The file endpoint on a real disk: the same words as sftp, and what only a local disk can do wrong."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from bus.errors import ConfigError, Retryable
from bus.message import Headers, Message
from bus.testing.clock import ManualClock
from bus.testing.folder import ScriptedResources
from endpoints.file import FileSpec, LocalFolder


@pytest.fixture
def resources(tmp_path: Path) -> ScriptedResources:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return ScriptedResources(ManualClock(), root=tmp_path)


def spec(**words: Any) -> FileSpec:
    return FileSpec.model_validate(words)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


MESSAGE = Message(Headers(id="ab" * 16, correlation_id="cd" * 16, name="A.csv"))


def test_a_file_comes_in_and_goes_out(resources: ScriptedResources) -> None:
    (resources.root / "in" / "A.csv").write_bytes(b"payload")
    (resources.root / "in" / "A.csv.done").touch()
    source = spec(path="in", match="*.csv", ready={"marker": "{name}.done"}, poll={"every": "1s"}).source(resources)
    sink = spec(path="out", name="{stem}_{id}.csv").sink(resources)
    (inbound,) = source.poll(10)
    content = io.BytesIO()
    inbound.fetch(content)
    content.seek(0)
    sink.publish(sink.prepare(MESSAGE, content))
    inbound.complete("done", "12345678")
    out = f"out/A_{'ab' * 16}.csv"
    assert files(resources.root) == ["in/done/A.csv", "in/done/A.csv.done", out]
    assert (resources.root / out).read_bytes() == b"payload"
    assert stat.S_IMODE((resources.root / out).stat().st_mode) & 0o007 == 0
    source.close()
    sink.close()


def test_paths_may_be_absolute_and_the_root_itself(resources: ScriptedResources, tmp_path: Path) -> None:
    (tmp_path / "A.csv").write_bytes(b"x")
    for path in (".", str(tmp_path)):
        source = spec(path=path, match="*.csv", ready={"suffix": ".tmp"}).source(resources)
        (inbound,) = source.poll(10)
        inbound.abandon()
    assert files(tmp_path) == ["A.csv"]


def test_links_and_pipes_are_left_alone(resources: ScriptedResources) -> None:
    secret = resources.root / "secret.csv"
    secret.write_bytes(b"never")
    (resources.root / "in" / "link.csv").symlink_to(secret)
    os.mkfifo(resources.root / "in" / "pipe.csv")
    source: Any = spec(path="in", match="*.csv", ready={"suffix": ".tmp"}).source(resources)
    assert list(source.poll(10)) == []
    assert [finding.code for finding in source.findings] == ["SEC114", "SEC114"]
    folder = LocalFolder(resources.root)
    for name in ("link.csv", "pipe.csv"):
        with pytest.raises(OSError, match=r".+"):
            folder.read(f"in/{name}", io.BytesIO(), 100)


def test_names_that_are_not_utf8_are_reported(resources: ScriptedResources) -> None:
    (resources.root / "in" / os.fsdecode(b"bad\xff.csv")).write_bytes(b"x")
    source: Any = spec(path="in", match="*.csv", ready={"suffix": ".tmp"}).source(resources)
    assert list(source.poll(10)) == []
    assert [finding.code for finding in source.findings] == ["SEC110"]


def test_a_missing_folder_is_named_and_not_made(resources: ScriptedResources) -> None:
    source = spec(path="nowhere", ready={"suffix": ".tmp"}, after="leave").source(resources)
    with pytest.raises(Retryable, match="NET103 cannot look into nowhere"):
        list(source.poll(10))
    assert not (resources.root / "nowhere").exists()


def test_a_stage_on_another_disk_is_a_coded_error(resources: ScriptedResources) -> None:
    if not os.path.ismount("/dev/shm"):
        pytest.skip("no second file system here")
    sink = spec(path="out", name="{id}", stage=f"/dev/shm/girobus-{os.getpid()}").sink(resources)
    receipt = sink.prepare(MESSAGE, io.BytesIO(b"x"))
    try:
        with pytest.raises(Retryable, match="NET104"):
            sink.publish(receipt)
        assert files(resources.root) == []
    finally:
        LocalFolder(resources.root).remove(receipt["stage"])
        Path(receipt["stage"]).parent.rmdir()


def test_a_full_disk_is_named(resources: ScriptedResources) -> None:
    class Full(io.RawIOBase):
        def read(self, _size: int = -1, /) -> bytes:
            raise OSError(28, "No space left on device")

    full: Any = Full()
    with pytest.raises(Retryable, match="NET105"):
        spec(path="out", name="{id}").sink(resources).prepare(MESSAGE, full)


def test_words_of_the_other_side_are_refused(resources: ScriptedResources) -> None:
    with pytest.raises(ConfigError, match="CFG135 `done`, `match`"):
        spec(path="out", name="{id}", match="*", done="d/").sink(resources)
