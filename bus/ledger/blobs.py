"""Content-addressed files for what is too big for a row: written once, fsynced, renamed into place."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bus.errors import ConfigError, Rejected, Retryable
from bus.ledger.folders import make_folder, sync_folder
from bus.ledger.store import no_effect
from bus.message import Blob
from bus.ports import EffectHook

OWNER = "ledger"
"""Name of what says which ledger the documents beside it belong to."""


class Writing:
    """A blob in the making (a :class:`bus.ports.BlobWriter`) on a file that is there already."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self.blob = Blob("", 0)

    def write(self, data: bytes, /) -> int:
        """Append."""
        self._hash.update(data)
        self._size += len(data)
        return self._file.write(data)

    def writelines(self, lines: Iterable[bytes], /) -> None:
        """Append all."""
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        """From now on ``blob`` tells what was written."""
        self.blob = Blob(self._hash.hexdigest(), self._size)


class FileBlobs:
    """Blobs as files ``ab/abcdef…`` below a folder. Thread-safe; several processes may share the folder.

    Args:
        folder: made when it is missing; leftovers of a crash in ``tmp/`` are removed. A process locks what it writes.
        effect: called around making a blob durable.
    """

    def __init__(self, folder: Path, *, effect: EffectHook = no_effect) -> None:
        self._folder = folder
        self._temporary = folder / "tmp"
        self._effect = effect
        self._flushed: set[str] = set()
        make_folder(self._temporary)
        for leftover in self._temporary.iterdir():
            _remove_left_over(leftover)

    @contextmanager
    def create(self) -> Iterator[Writing]:
        """A new blob; durable when the block ends without an error, else gone.

        Raises:
            Retryable: ``SYS112`` when the disk refuses.
        """
        try:
            with self._new() as (file, path):
                writer = Writing(file)
                yield writer
                self._effect("blob.create:before")
                file.flush()
                os.fsync(file.fileno())
                writer.finish()
                self._settle(path, writer.blob)
            self._effect("blob.create:after")
        except OSError as error:
            raise _refused(error) from error

    @contextmanager
    def _new(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A locked file, and where it is until the block ends."""
        path = self._temporary / uuid.uuid4().hex
        try:
            with path.open("xb", buffering=1 << 18) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not os.fstat(file.fileno()).st_nlink:  # another process took it for a leftover a moment ago
                    raise Retryable("SYS112", "a new document was swept away", hint="nothing: it is written again")
                yield file, path
        finally:
            with suppress(OSError):  # what refuses this as well is told already, and removed at the next start
                path.unlink()

    def _settle(self, path: Path, blob: Blob) -> None:
        final = self._path(blob)
        if final.parent.name not in self._flushed or not final.parent.exists():
            final.parent.mkdir(exist_ok=True)  # or another thread made it a moment ago, and it is not on disk yet
            sync_folder(self._folder)
            self._flushed.add(final.parent.name)
        with _locked(self._folder, fcntl.LOCK_SH):  # nobody judges the old file of that name now
            path.replace(final)
        sync_folder(final.parent)

    def open(self, blob: Blob) -> BinaryIO:
        """Read a blob; it is compared with its checksum before the first byte is handed out.

        Raises:
            Rejected: ``INT102`` when it is missing or of another size, ``INT103`` when its content has changed.
            Retryable: ``SYS112`` when the disk refuses.
        """
        path = self._path(blob)
        try:
            return as_stored(path.open("rb"), blob, "restore the blob folder from backup")
        except FileNotFoundError:
            raise Rejected(
                "INT102", f"blob {blob.sha256[:12]} is missing", hint="restore the blob folder from backup"
            ) from None
        except OSError as error:
            raise _refused(error) from error

    def _path(self, blob: Blob) -> Path:
        return self._folder / blob.sha256[:2] / blob.sha256

    def claim(self, ledger: str) -> None:
        """Keep whose documents these are, or compare it.

        Raises:
            ConfigError: ``SYS152`` another ledger's, which would collect ours as we would its.
            Retryable: ``SYS112`` when the disk refuses.
        """
        try:
            with self._new() as (file, path):
                file.write(f"{ledger}\n".encode())
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(path, self._folder / OWNER)
            sync_folder(self._folder)
            compare(ledger, (self._folder / OWNER).read_bytes(), f"folder {self._folder}")
        except OSError as error:
            raise _refused(error) from error

    def old(self, before: int) -> list[str]:
        """Sha256 of documents that were last stored before a time, in milliseconds since 1970 UTC."""
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime * 1000 < before:
                    found.append(path.name)
        return found

    def forget(self, digest: str, before: int) -> int:
        """Remove a document unless it was stored again meanwhile, or a backup runs; bytes that were freed."""
        path = self._path(Blob(digest, 0))
        with suppress(FileNotFoundError, BlockingIOError), _locked(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            found = path.stat()
            if found.st_mtime * 1000 < before:
                path.unlink()
                return found.st_size
        return 0


def compare(ledger: str, found: bytes, where: str) -> None:
    """Raises ConfigError ``SYS152`` unless documents are of this ledger."""
    if found.decode("ascii", "replace").strip() != ledger:
        hint = "give this one a folder, bucket or prefix of its own, or the same ledger: bus explain SYS152"
        raise ConfigError("SYS152", f"the documents in {where} are of a bus with another ledger", hint=hint)


def as_stored(file: BinaryIO, blob: Blob, hint: str) -> BinaryIO:
    """The file at its beginning, when it holds what was stored; else it is closed.

    Each time anew, since a disk forgets without telling: hashing is cheap beside everything that is made of a document.

    Raises:
        Rejected: ``INT102`` when it is of another size, ``INT103`` when its content has changed.
    """
    with ExitStack() as closing:
        closing.enter_context(file)
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # the stub wants readinto
        if file.tell() != blob.size:
            raise Rejected("INT102", f"blob {blob.sha256[:12]} has another size", hint=hint)
        if found != blob.sha256:
            raise Rejected("INT103", f"blob {blob.sha256[:12]} has changed since it was stored", hint=hint)
        file.seek(0)
        closing.pop_all()
    return file


def _remove_left_over(path: Path) -> None:
    """Remove what a dead process was writing; what a living one writes is locked. Who may only read leaves it."""
    with suppress(FileNotFoundError, BlockingIOError, PermissionError), path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # on NFS only who may write locks so
        path.unlink()


def _refused(error: OSError) -> Retryable:
    return Retryable("SYS112", f"the blob store refused: {error.strerror}", hint="see free space and rights")


@contextmanager
def hold_collection(folder: Path) -> Iterator[None]:
    """While the block lasts, no document is collected; several may hold it."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as handle:  # on NFS only who may read shares a lock
        fcntl.flock(handle, how)
        yield
