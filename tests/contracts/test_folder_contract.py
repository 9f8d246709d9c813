"""What every folder must do, in memory, on a local disk, behind the SFTP fake and behind a real OpenSSH server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.folder import Folder, FolderSink, FolderSource, PickupSpec
from bus.folder.words import DropSpec, ReadySpec
from bus.message import Headers, Message
from bus.testing.clock import ManualClock
from bus.testing.folder import MemoryFolder, ScriptedResources
from bus.testing.partner import Account, Partner
from bus.testing.sshd import OpenSshServer
from endpoints.file import LocalFolder
from endpoints.sftp import SftpConnection, SftpFolder

PASSWORD = "loopback-only"


@dataclass
class Place:
    """A folder under test, the path of an empty folder in it, and the partner's own hands."""

    folder: Folder
    home: str
    put: Callable[[str, bytes], None]
    disk: Path | None = None


@pytest.fixture(scope="module")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partner]:
    with Partner({"bank": Account(tmp_path_factory.mktemp("bank"), password=PASSWORD)}) as running:
        yield running


@pytest.fixture(
    params=["memory", "memory-plain", "local", "sftp", "sftp-plain", pytest.param("openssh", marks=pytest.mark.sshd)]
)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    kind = request.param
    if kind.startswith("memory"):
        memory = MemoryFolder(ManualClock(), atomic_rename=kind == "memory")
        memory.make_folder("/box")
        yield Place(memory, "/box", lambda name, data: memory.put(f"/box/{name}", data))
    elif kind == "local":
        yield Place(LocalFolder(tmp_path), ".", lambda name, data: _put(tmp_path / name, data), tmp_path)
    elif kind == "openssh":
        server: OpenSshServer = request.getfixturevalue("sshd")
        monkeypatch.setenv("KEY", server.private_key.read_text("ascii"))
        words = {"host": server.host, "port": server.port, "user": server.user, "host_keys": [server.host_key]}
        spec = SftpConnection.model_validate(words | {"key": "${env:KEY}"})
        sub = tmp_path.name
        (server.mailbox / sub).mkdir()
        server.put(f"{sub}/x", b"")
        (server.mailbox / sub / "x").unlink()
        folder = SftpFolder(spec)
        home = server.mailbox / sub
        yield Place(folder, f"/mailbox/{sub}", lambda name, data: server.put(f"{sub}/{name}", data), home)
        folder.close()
    else:
        fake: Partner = request.getfixturevalue("partner")
        fake.habits.posix_rename = kind == "sftp"
        monkeypatch.setenv("PASSWORD", PASSWORD)
        disk = fake.accounts["bank"].folder / tmp_path.name
        disk.mkdir()
        folder = SftpFolder(connect_to(fake))
        yield Place(folder, f"/{tmp_path.name}", lambda name, data: _put(disk / name, data), disk)
        folder.close()


def connect_to(fake: Partner) -> SftpConnection:
    return SftpConnection.model_validate(
        {
            "host": fake.host,
            "port": fake.port,
            "user": "bank",
            "password": "${env:PASSWORD}",
            "host_keys": [fake.fingerprint],
        }
    )


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def read(place: Place, name: str, limit: int = 1 << 30) -> bytes:
    target = io.BytesIO()
    count = place.folder.read(f"{place.home}/{name}", target, limit)
    assert count == len(target.getvalue())
    return target.getvalue()


def names(place: Place, below: str = "") -> set[str]:
    return {entry.name for entry in place.folder.list(f"{place.home}{below}")}


def test_a_listing_tells_names_sizes_times_and_kinds(place: Place) -> None:
    place.put("A.csv", b"abc")
    place.put("sub/B.csv", b"")
    listed = {entry.name: entry for entry in place.folder.list(place.home)}
    assert set(listed) == {"A.csv", "sub"}
    assert listed["A.csv"].size == 3
    assert listed["A.csv"].mtime > 1_600_000_000
    assert (listed["A.csv"].kind, listed["sub"].kind) == ("file", "folder")
    assert place.folder.stat(f"{place.home}/A.csv") == listed["A.csv"]


def test_an_empty_folder_lists_nothing_and_a_missing_one_says_no(place: Place) -> None:
    assert place.folder.list(place.home) == []
    assert place.folder.stat(f"{place.home}/none") is None
    with pytest.raises(FileNotFoundError):
        place.folder.list(f"{place.home}/none")


@pytest.mark.parametrize("size", [0, 1, 40_000, (4 << 20) + 3])
def test_what_is_written_is_read(place: Place, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    place.folder.write(f"{place.home}/new", io.BytesIO(data))
    assert read(place, "new") == data
    entry = place.folder.stat(f"{place.home}/new")
    assert entry is not None
    assert entry.size == size
    assert place.folder.durable is True


def test_reading_stops_one_byte_beyond_the_limit(place: Place) -> None:
    place.put("A", b"x" * 1000)
    assert len(read(place, "A", 99)) == 100
    assert len(read(place, "A", 1000)) == 1000


def test_reading_what_is_not_there_says_no(place: Place) -> None:
    with pytest.raises(FileNotFoundError):
        read(place, "none")


def test_writing_never_truncates_and_asks_before_it_reads(place: Place) -> None:
    place.put("A", b"old")
    for path, error in (("A", FileExistsError), ("none/A", FileNotFoundError)):
        source = io.BytesIO(b"new")
        with pytest.raises(error):
            place.folder.write(f"{place.home}/{path}", source)
        assert source.tell() == 0
    assert read(place, "A") == b"old"


@pytest.mark.parametrize("strict", [False, True])
def test_a_rename_keeps_content_and_facts_and_never_replaces(place: Place, *, strict: bool) -> None:
    place.put("A", b"a")
    place.put("B", b"bb")
    before = place.folder.stat(f"{place.home}/A")
    with pytest.raises(FileExistsError):
        place.folder.rename(f"{place.home}/A", f"{place.home}/B", strict=strict)
    assert (read(place, "A"), read(place, "B")) == (b"a", b"bb")
    place.folder.make_folder(f"{place.home}/sub")
    place.folder.rename(f"{place.home}/A", f"{place.home}/sub/A", strict=strict)
    after = place.folder.stat(f"{place.home}/sub/A")
    assert before is not None
    assert after is not None
    assert after.facts == before.facts
    assert names(place) == {"B", "sub"}


@pytest.mark.parametrize("strict", [False, True])
def test_renaming_what_is_not_there_says_no(place: Place, *, strict: bool) -> None:
    place.put("A", b"a")
    for old, new in (("none", "B"), ("A", "none/A")):
        with pytest.raises(FileNotFoundError):
            place.folder.rename(f"{place.home}/{old}", f"{place.home}/{new}", strict=strict)
    assert names(place) == {"A"}


def test_removing_is_idempotent(place: Place) -> None:
    place.put("A", b"a")
    place.folder.remove(f"{place.home}/A")
    place.folder.remove(f"{place.home}/A")
    assert names(place) == set()


def test_folders_are_made_with_parents_and_again(place: Place) -> None:
    place.folder.make_folder(f"{place.home}/one/two")
    place.folder.make_folder(f"{place.home}/one/two")
    assert names(place, "/one") == {"two"}


def test_names_are_kept_as_they_are(place: Place) -> None:
    for name in ("Zahlung März.csv", "a;b & c.xml", "'; drop --.csv"):
        place.put(name, b"x")
        place.folder.rename(f"{place.home}/{name}", f"{place.home}/2 {name}")
        assert read(place, f"2 {name}") == b"x"
    assert "2 Zahlung März.csv" in names(place)


def test_links_are_shown_as_such_and_never_read(place: Place) -> None:
    if place.disk is None:
        pytest.skip("memory has no links")
    place.put("real", b"x")
    (place.disk / "link").symlink_to("real")
    listed = {entry.name: entry.kind for entry in place.folder.list(place.home)}
    assert listed == {"real": "file", "link": "other"}
    with pytest.raises(OSError, match=r".+"):
        read(place, "link")


def test_a_closed_folder_opens_again(place: Place) -> None:
    place.put("A", b"a")
    place.folder.close()
    assert read(place, "A") == b"a"
    place.folder.close()
    place.folder.close()


def test_renames_are_atomic_where_the_server_offers_it(place: Place, request: pytest.FixtureRequest) -> None:
    plain = "plain" in request.node.callspec.id
    assert place.folder.atomic_rename is not plain


def test_a_file_travels_through_sink_and_source(place: Place) -> None:
    """The whole way on every folder: dropped with a marker, picked up by it, put away, nothing left over."""
    clock = ManualClock()
    drop = DropSpec.model_validate({"path": place.home, "name": "PAIN001_{id}.xml", "marker": "{name}.done"})
    sink = FolderSink(place.folder, drop, ScriptedResources(clock, "bank-out"))
    message = Message(Headers(id="ab" * 16, correlation_id="cd" * 16, created_at=clock.now()))
    receipt = sink.prepare(message, io.BytesIO(b"<Document/>"))
    assert names(place) == {".stage"}
    sink.publish(receipt)
    assert sink.probe(receipt) == "done"
    assert place.folder.list(f"{place.home}/.stage") == []
    pickup = PickupSpec(path=place.home, match="*.xml", ready=ReadySpec(marker="{name}.done"))
    source = FolderSource(place.folder, pickup, ScriptedResources(clock, "bank-in"))
    (inbound,) = source.poll(10)
    target = io.BytesIO()
    inbound.fetch(target)
    assert target.getvalue() == b"<Document/>"
    inbound.complete("done", "12345678")
    inbound.complete("done", "12345678")
    name = f"PAIN001_{'ab' * 16}.xml"
    assert names(place, "/done") == {name, f"{name}.done"}
    assert names(place) == {".stage", ".claim", "done"}
    assert place.folder.list(f"{place.home}/.claim") == []
    assert list(source.poll(10)) == []
