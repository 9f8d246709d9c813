"""Files on a local disk: the endpoint ``file``, in and out, with the same words as ``sftp``."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from bus import (
    DropSpec,
    EndpointResources,
    EndpointSpec,
    FolderEntry,
    FolderSink,
    FolderSource,
    PickupSpec,
    Sink,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 1 << 20


class FileSpec(PickupSpec, DropSpec, EndpointSpec):
    """Takes files from a local folder, or puts files into one.

    Example::

        from:
          file: {path: inbox, match: "*.csv", ready: {marker: "{name}.done"}}

    Delivery: in, a file is claimed by rename and moved to ``done`` after its content is committed; out, it is written
    to ``stage``, flushed, and made visible by one rename.
    """

    key: ClassVar[str] = "file"

    def source(self, resources: EndpointResources) -> Source:
        """The folder as a source."""
        return FolderSource(LocalFolder(resources.root), self, resources)

    def sink(self, resources: EndpointResources) -> Sink:
        """The folder as a sink."""
        return FolderSink(LocalFolder(resources.root), self, resources)


class LocalFolder:
    """A :class:`bus.Folder` on a local file system; relative paths begin at ``root``. Links are never followed.

    Changes are on the disk, names included, when a method returns: files and their folders are fsynced.
    """

    atomic_rename = True
    durable: bool | None = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, path: str) -> list[FolderEntry]:
        """What is in the folder now; files that vanish meanwhile are left out."""
        found = []
        with os.scandir(self._root / path) as entries:
            for entry in entries:
                try:
                    found.append(_entry(entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
        return found

    def stat(self, path: str) -> FolderEntry | None:
        """One entry."""
        place = self._root / path
        try:
            return _entry(place.name, place.lstat())
        except FileNotFoundError:
            return None

    def read(self, path: str, target: BinaryIO, limit: int) -> int:
        """Copy."""
        # O_NONBLOCK: opening a pipe that was slipped in must not hang.
        handle = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as source:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise PermissionError("not a regular file")
            left = limit + 1
            while left > 0 and (data := source.read(min(_BLOCK, left))):
                target.write(data)
                left -= len(data)
        return limit + 1 - left

    def write(self, path: str, source: BinaryIO) -> None:
        """Create, fill, flush."""
        place = self._root / path
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        with os.fdopen(handle, "wb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
            target.flush()
            os.fsync(handle)
        _flush_folder(place.parent)

    def rename(self, old: str, new: str, *, strict: bool = False) -> None:
        """By one system call after a look; ``strict``: by link and unlink, which never replace anything."""
        before, after = self._root / old, self._root / new
        if strict:
            os.link(before, after, follow_symlinks=False)
            before.unlink()
        else:
            if os.path.lexists(after):
                raise FileExistsError(new)
            before.rename(after)
        _flush_folder(after.parent)
        _flush_folder(before.parent)

    def remove(self, path: str) -> bool:
        """Unlink."""
        place = self._root / path
        try:
            place.unlink()
        except FileNotFoundError:
            return False
        _flush_folder(place.parent)
        return True

    def make_folder(self, path: str) -> None:
        """With parents, each of them flushed: one that a power cut takes away takes all that is in it along."""
        place = self._root / path
        made = [place, *(parent for parent in place.parents if not parent.exists())]
        place.mkdir(parents=True, exist_ok=True)
        for folder in made:
            _flush_folder(folder.parent)

    def close(self) -> None:
        """Nothing stays open."""


def _entry(name: str, found: os.stat_result) -> FolderEntry:
    if stat.S_ISREG(found.st_mode):
        return FolderEntry(name, found.st_size, int(found.st_mtime))
    return FolderEntry(name, 0, int(found.st_mtime), "folder" if stat.S_ISDIR(found.st_mode) else "other")


def _flush_folder(place: Path) -> None:
    """Make the names in a folder durable."""
    with _opened(place) as handle:
        os.fsync(handle)


@contextmanager
def _opened(place: Path) -> Iterator[int]:
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
