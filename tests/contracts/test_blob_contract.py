"""Documents keep their contract in a folder and in a bucket: whole or not there, forgotten when they are old."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from bus.cli import main
from bus.errors import ConfigError, Rejected, Retryable
from bus.landscape import BlobsSpec
from bus.ledger.place import Documents, open_blobs
from bus.ledger.store import no_effect
from bus.message import Blob


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3-compatible server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> BlobsSpec:
    import boto3  # noqa: PLC0415 - comes with the server; makes the bucket, as an operator does

    monkeypatch.setenv("TEST_KEY", "key")
    monkeypatch.setenv("TEST_SECRET", "secret")
    name = f"b-{abs(hash(request.node.name))}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket=name)
    client.close()
    return BlobsSpec.model_validate({
        "bucket": name, "prefix": "prod", "endpoint": endpoint, "access_key": "${env:TEST_KEY}",
        "secret_key": "${env:TEST_SECRET}",
    })  # fmt: skip


@pytest.fixture(params=["folder", "bucket"])
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> Documents:
    chosen = request.getfixturevalue("bucket") if request.param == "bucket" else None
    return open_blobs(chosen, tmp_path / "blobs", effect=no_effect)


def plain(bucket: BlobsSpec) -> S3Store:
    """The bucket itself, without a prefix."""
    return S3Store(
        bucket.bucket, endpoint=bucket.endpoint, region="us-east-1", access_key_id="key", secret_access_key="secret",
        client_options={"allow_http": True},
    )  # fmt: skip


def store(documents: Documents, *parts: bytes) -> Blob:
    with documents.create() as target:
        target.writelines(parts)
    return target.blob


def now(seconds: float = 0) -> int:
    return round((time.time() + seconds) * 1000)


@pytest.mark.parametrize("size", [0, 1, 100_000, 12_000_000])
def test_what_is_stored_comes_back_under_its_checksum(documents: Documents, size: int) -> None:
    content = os.urandom(size)
    blob = store(documents, content[: size // 3], content[size // 3 :])
    assert blob == Blob(hashlib.sha256(content).hexdigest(), size)
    with documents.open(blob) as source:
        assert source.read(10) == content[:10]
        assert source.read() == content[10:]
        source.seek(0)
        assert source.readline() == content.split(b"\n")[0] + (b"\n" if b"\n" in content else b"")
    assert store(documents, content) == blob, "the same content is the same document"
    assert documents.old(now(60)) == [blob.sha256]


def test_a_document_that_failed_in_the_making_is_not_there(documents: Documents) -> None:
    def fails() -> None:
        with documents.create() as target:
            target.write(b"half")
            raise Rejected("VAL999", "no")

    with pytest.raises(Rejected):
        fails()
    assert documents.old(now(60)) == []


def test_documents_belong_to_one_ledger(documents: Documents) -> None:
    """Another one would remove what nothing of its own refers to."""
    blob = store(documents, b"kept")
    for _ in range(2):
        documents.claim("1" * 16)
    with pytest.raises(ConfigError, match="SYS152"):
        documents.claim("2" * 16)
    assert documents.old(now(60)) == [blob.sha256], "what says whose they are is no document"


def test_what_a_dead_process_was_writing_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    documents = open_blobs(None, tmp_path, effect=no_effect)
    killed = "import os; os.kill(os.getpid(), 9)"
    writes = f"from bus.ledger.blobs import FileBlobs; from pathlib import Path; w = FileBlobs(Path({str(tmp_path)!r}))"
    died = subprocess.run(
        [sys.executable, "-c", f"{writes}.create(); w.__enter__().write(b'half'); {killed}"], check=False
    )
    assert died.returncode == -9
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    with documents.create() as target:
        target.write(b"content")
        open_blobs(None, tmp_path, effect=no_effect)  # another process starts
        assert len(list((tmp_path / "tmp").iterdir())) == 1
    with documents.open(target.blob) as source:
        assert source.read() == b"content"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_missing_document_and_one_of_another_size_are_refused(documents: Documents) -> None:
    blob = store(documents, b"content")
    with pytest.raises(Rejected, match=r"INT102.*size"):
        documents.open(Blob(blob.sha256, 3))
    with pytest.raises(Rejected, match=r"INT102.*missing"):
        documents.open(Blob("0" * 64, 3))


@pytest.mark.parametrize("position", [0, 2_500_000, -1])
def test_a_document_with_a_flipped_bit_is_refused_before_its_first_byte(
    documents: Documents, request: pytest.FixtureRequest, tmp_path: Path, position: int
) -> None:
    content = os.urandom(5_000_000)
    blob = store(documents, content)
    documents.open(blob).close()
    changed = bytearray(content)
    changed[position] ^= 1
    place = f"{blob.sha256[:2]}/{blob.sha256}"
    if request.node.callspec.params["documents"] == "bucket":
        obstore.put(plain(request.getfixturevalue("bucket")), f"prod/{place}", bytes(changed))
    else:
        (tmp_path / "blobs" / place).write_bytes(changed)
    with pytest.raises(Rejected, match=r"INT103.*changed"):
        documents.open(blob)
    assert store(documents, content) == blob
    documents.open(blob).close()


def test_a_folder_that_refuses_for_a_while_is_no_missing_document(tmp_path: Path) -> None:
    documents = open_blobs(None, tmp_path, effect=no_effect)
    blob = store(documents, b"content")
    path = tmp_path / blob.sha256[:2] / blob.sha256
    path.unlink()
    path.symlink_to(path)  # whoever opens it gets ELOOP, also root
    with pytest.raises(Retryable, match="SYS112"):
        documents.open(blob)


def test_old_documents_are_forgotten_and_young_ones_are_not(documents: Documents) -> None:
    blob = store(documents, b"content")
    assert documents.old(now(-60)) == []
    assert documents.forget(blob.sha256, now(-60)) == 0
    assert documents.old(now(60)) == [blob.sha256]
    assert documents.forget(blob.sha256, now(60)) == 7
    assert documents.forget(blob.sha256, now(60)) == 0
    with pytest.raises(Rejected, match="INT102"):
        documents.open(blob)


def test_a_bucket_that_refuses_or_is_away_is_tried_again(bucket: BlobsSpec) -> None:
    nowhere = open_blobs(bucket.model_copy(update={"bucket": "no-such-bucket"}), Path(), effect=no_effect)
    with pytest.raises(Retryable, match="SYS112"):
        store(nowhere, b"content")


def test_documents_of_a_bucket_stand_under_their_prefix(bucket: BlobsSpec) -> None:
    blob = store(open_blobs(bucket, Path(), effect=no_effect), b"content")
    assert [found["path"] for page in obstore.list(plain(bucket)) for found in page] == [
        f"prod/{blob.sha256[:2]}/{blob.sha256}"
    ]


def test_a_landscape_keeps_its_documents_in_the_bucket(bucket: BlobsSpec, tmp_path: Path) -> None:
    text = bucket.model_dump_json()
    (tmp_path / "bus.yaml").write_text(
        f"name: far\noutlets:\n  out: {{endpoint: {{file: {{path: out}}}}}}\nblobs: {text}\n", "utf-8"
    )
    (tmp_path / "flow.route.yaml").write_text(
        'route: flow\nowner: desk\nfrom: {file: {path: in, match: "*", ready: {suffix: .tmp}, poll: {every: 1s}}}\n'
        "steps:\n  - hold: {name: person, until: release, reason: a person is asked}\nto: out\n",
        "utf-8",
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"a document" * 20_000)

    def bus(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["-C", str(tmp_path), *words])
        assert done.exit_code == code, done.output
        return done.stdout

    bus("run", "--until-idle")
    assert not (tmp_path / ".bus" / "blobs").exists()
    bus("db", "check")
    documents = open_blobs(bucket, Path(), effect=no_effect)
    (digest,) = documents.old(now(60))
    bus("db", "purge")
    assert documents.old(now(60)) == [digest]
    assert documents.forget(digest, now(60)) == 200_000
    assert "SYS140" in bus("db", "check", code=1)
