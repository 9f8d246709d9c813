"""What a folder of files must be able to do, local or remote, and which names in it can be trusted."""

from __future__ import annotations

import hashlib
import posixpath
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from bus.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 230
"""Bytes in a partner's file name; file systems take 255, the rest is for our claim prefix and ``.suffix``."""


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """One line of a listing. ``mtime`` in whole seconds, all that SFTP 3 knows; ``size`` -1 where it is not told."""

    name: str
    size: int
    mtime: int
    kind: Literal["file", "folder", "other"] = "file"
    """``other`` is a link, pipe, socket or device: never read, never moved."""

    @property
    def facts(self) -> tuple[int, int]:
        """What changes when the file changes: (size, mtime)."""
        return self.size, self.mtime


class Folder(Protocol):
    """A file system with the few operations that pick-up and drop need. All methods block on it; one thread at a time.

    Paths are POSIX text. Every method raises ``OSError`` (``FileNotFoundError``, ``FileExistsError`` …) when the file
    system *answered no*: then nothing happened. It raises ``Retryable`` when there was *no answer*: then it may have.
    """

    @property
    def atomic_rename(self) -> bool:
        """True when a rename shows either the old or the new name, never both (posix-rename, local disks).

        A plain SFTP rename is link + unlink on OpenSSH; a server killed in between leaves both names.
        """

    durable: bool | None
    """False when the file system cannot be told to flush (no fsync extension); None = not asked yet."""

    def list(self, path: str) -> list[FolderEntry]:
        """Everything in a folder but ``.`` and ``..``, links not followed, names exactly as told."""

    def stat(self, path: str) -> FolderEntry | None:
        """One entry, links not followed; None when it is not there."""

    def read(self, path: str, target: BinaryIO, limit: int) -> int:
        """Copy a regular file, no more than ``limit`` + 1 bytes, links not followed; returns how many were copied."""

    def write(self, path: str, source: BinaryIO) -> None:
        """Create a new file, copy ``source`` into it and flush it to the disk.

        Raises ``FileExistsError`` or ``FileNotFoundError`` (the folder) before anything of ``source`` was read.
        """

    def rename(self, old: str, new: str, *, strict: bool = False) -> None:
        """Give a file another name that was looked at first: ``FileExistsError`` when taken.

        ``strict``: not even a file that appears in that very moment is replaced, at the price of atomicity.
        """

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents; nothing when it is there."""

    def close(self) -> None:
        """Disconnect; the next call connects again."""


def name_problem(name: str) -> str:
    """Why a name that a partner's server sent cannot be trusted; empty when it can.

    Servers hand out ``../x``, names with newlines or NUL, and undecodable bytes; no client library refuses them.
    """
    if name in {"", ".", ".."}:
        return "it is no file name"
    if "/" in name or "\\" in name:
        return "it has a path separator"
    if not name.isprintable():
        return "it has characters that cannot be printed, or is not UTF-8"
    if name[-1] in ". ":
        return "it ends in a dot or a space"
    if len(name.encode()) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    return ""


def shown(name: str) -> str:
    """An untrusted name in ASCII, shortened, safe in logs and terminals."""
    text = ascii(name)[1:-1]
    return text if len(text) <= 120 else text[:117] + "..."


def join(folder: str, name: str) -> str:
    """Path of ``name`` in ``folder``; an absolute ``name`` stays what it is."""
    return posixpath.normpath(posixpath.join(folder, name))


class Hashing:
    """A binary file that hashes and counts what runs through it: reads pass on, writes go nowhere."""

    def __init__(self, source: BinaryIO | None = None) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read from the source, remembering."""
        data = self._source.read(size) if self._source is not None else b""
        self.write(data)
        return data

    def write(self, data: bytes, /) -> int:
        """Only remember."""
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """Of everything so far, 64 hex characters."""
        return self._hash.hexdigest()


def digest(folder: Folder, path: str, size: int) -> str:
    """sha256 of a file that should be ``size`` bytes long; empty when it is longer or shorter."""
    sink: Any = Hashing()
    folder.read(path, sink, size)
    return sink.sha256 if sink.size == size else ""


@contextmanager
def answering(doing: str, path: str) -> Iterator[None]:
    """Turn the file system's *no* into a Retryable that says what was tried and where.

    Raises:
        Retryable: ``NET103`` not there, ``NET105`` full, ``NET104`` any other refusal.
    """
    try:
        yield
    except FileNotFoundError as error:
        hint = "create the folder, or correct `path`"
        raise Retryable("NET103", f"cannot {doing} {shown(path)}: not there", hint=hint) from error
    except OSError as error:
        if error.errno in {ENOSPC, EDQUOT}:
            raise Retryable("NET105", f"cannot {doing} {shown(path)}: no space left", hint="free space") from error
        why = shown(error.strerror or type(error).__name__)
        hint = "check the rights of our user there"
        raise Retryable("NET104", f"cannot {doing} {shown(path)}: refused ({why})", hint=hint) from error
