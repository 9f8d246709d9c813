"""A file system that forgets: what was written and not flushed is gone, or half gone, when the power is cut.

``python -m tests.faults.volume TREE MOUNT`` shows the folder TREE at MOUNT until it is unmounted. Programs see what
they wrote; apart from that it is known what of it a disk would have: the content of a file as of its last ``fsync``,
the names in a folder as of its last ``fsync``. All of TREE counts as flushed at the start. The line ``cut SEED TARGET``
on standard input ends that: from then on every call fails, what a disk might have is written to the new folder TARGET,
and ``done`` is printed. Of unflushed content each block of 4 KB is there or not, by chance; a file may have its new
size and zeros in it; of unflushed names a beginning is there, in the order in which they were made, as in a journal.

The page cache of the kernel stays in use, or nobody could map a file; writes reach this process at once all the same.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys
import threading
from io import FileIO
from pathlib import Path
from random import Random
from typing import Any

from mfusepy import FUSE, Operations

BLOCK = 4096
_INDEX = "-shm"
"""Ends the name of a file that programs map into their memory; who has it mapped may go on reading it."""
_ATTRIBUTES = (
    "st_atime_ns", "st_ctime_ns", "st_gid", "st_mode", "st_mtime_ns", "st_nlink", "st_size", "st_uid", "st_ino",
)  # fmt: skip

Change = tuple[int, str, int | None]
"""Folder, name in it, and what has that name; None = nothing has it any more."""


class Disk:
    """What would be there after a power cut; files and folders are known by their inode numbers.

    Args:
        tree: what programs see.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._held: dict[int, int] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._content: dict[int, bytearray] = {}
        self._modes: dict[int, int] = {}
        self._dirty: dict[int, set[int]] = {}
        self._pending: list[tuple[Change, ...]] = []
        self.root = self._scan(tree)

    def _scan(self, path: Path) -> int:
        number = self.track(path)
        if path.is_dir():
            self._names[number] = {child.name: self._scan(child) for child in path.iterdir()}
        elif path.is_file():
            self._content[number] = bytearray(path.read_bytes())
        return number

    def track(self, path: Path) -> int:
        """Know a file or folder from now on; its inode number is not used again as long as this handle is open."""
        found = path.lstat()
        if found.st_ino not in self._held:
            self._held[found.st_ino] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
            self._modes[found.st_ino] = found.st_mode
            if stat.S_ISDIR(found.st_mode):
                self._names[found.st_ino] = {}
            elif stat.S_ISREG(found.st_mode):
                self._content[found.st_ino] = bytearray()
        return found.st_ino

    def changed(self, *changes: Change) -> None:
        """Names changed together; not flushed yet."""
        self._pending.append(changes)

    def written(self, number: int, begin: int, end: int) -> None:
        """Bytes of a file changed, up to ``end``; not flushed yet."""
        self._dirty.setdefault(number, set()).update(range(begin // BLOCK, -(-end // BLOCK)))

    def cut_off(self, number: int, size: int, before: int) -> None:
        """A file has another size, and had ``before``."""
        end = max(size, before, len(self._content.get(number, b"")))
        self.written(number, size, max(end, size + 1))

    def flush(self, number: int) -> None:
        """The content of a file is on the disk."""
        content = self._content[number]
        with self._seen(number) as file:
            _resize(content, os.fstat(file.fileno()).st_size)
            for block in self._dirty.pop(number, ()):
                _copy(file, block, content)

    def _seen(self, number: int) -> FileIO:
        return FileIO(f"/proc/self/fd/{self._held[number]}")

    def flush_names(self, folder: int) -> None:
        """The names in a folder are on the disk."""
        for changes in [changes for changes in self._pending if any(place == folder for place, _, _ in changes)]:
            self._apply(changes)
            self._pending.remove(changes)

    def _apply(self, changes: tuple[Change, ...]) -> None:
        for folder, name, number in changes:
            if number is None:
                self._names[folder].pop(name, None)
            else:
                self._names[folder][name] = number

    def survive(self, target: Path, chance: Random) -> None:
        """Write down what is there after a power cut now."""
        share = chance.choice((0.0, 0.0, chance.random()))
        for changes in self._pending[: round(share * len(self._pending))]:
            self._apply(changes)
        self._write(self.root, target, chance, share)

    def _write(self, number: int, path: Path, chance: Random, share: float) -> None:
        mode = self._modes[number]
        if stat.S_ISDIR(mode):
            path.mkdir()
            for name, child in self._names[number].items():
                self._write(child, path / name, chance, share)
        elif stat.S_ISREG(mode):
            path.write_bytes(self._torn(number, chance, share))
        else:
            return
        path.chmod(stat.S_IMODE(mode))

    def _torn(self, number: int, chance: Random, share: float) -> bytes:
        content = bytearray(self._content[number])
        dirty = self._dirty.get(number)
        if dirty is None:
            return bytes(content)
        with self._seen(number) as file:
            if chance.random() < share:
                _resize(content, os.fstat(file.fileno()).st_size)
            for block in sorted(dirty):
                if chance.random() < share:
                    _copy(file, block, content)
        return bytes(content)


def _copy(file: FileIO, block: int, content: bytearray) -> None:
    """Bring one block over, as far as there is room for it."""
    begin = block * BLOCK
    piece = os.pread(file.fileno(), max(0, min(BLOCK, len(content) - begin)), begin)
    content[begin : begin + len(piece)] = piece


def _resize(content: bytearray, size: int) -> None:
    if len(content) > size:
        del content[size:]
    content.extend(bytes(size - len(content)))


class Volume(Operations):  # type: ignore[misc]  # the library has no types
    """The calls of the kernel, passed on to the tree and told to the disk.

    Args:
        tree: folder with what programs see.
    """

    use_ns = True

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._disk = Disk(tree)
        self._gate = threading.Lock()
        self._dead = False

    def cut(self, seed: int, target: Path) -> None:
        """No call succeeds any more; write down what a disk might have."""
        with self._gate:
            self._dead = True
            self._disk.survive(target, Random(seed))  # noqa: S311 - repeatable

    def _at(self, path: str | None) -> Path:
        """Where it is in the tree; an open file may have no name any more."""
        if self._dead:
            raise OSError(errno.EIO, "no power")
        return self._tree / (path or "").lstrip("/")

    def _folder(self, path: str) -> tuple[int, str]:
        place = self._at(path)
        return place.parent.lstat().st_ino, place.name

    # ------------------------------------------------------------ looking

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        """Of a path or an open file."""
        place = self._at(path)
        found = os.lstat(place) if fh is None else os.fstat(fh)
        return {name.removesuffix("_ns"): getattr(found, name) for name in _ATTRIBUTES}

    def readdir(self, path: str, fh: int) -> list[str]:
        """All names."""
        del fh
        return [".", "..", *(found.name for found in self._at(path).iterdir())]

    def statfs(self, path: str) -> dict[str, int]:
        """Space."""
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"}

    def open(self, path: str, flags: int) -> int:
        """An open file."""
        handle = os.open(self._at(path), flags & ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_TRUNC | os.O_APPEND))
        if flags & os.O_TRUNC:
            self.truncate(path, 0, handle)
        return handle

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        """Some bytes."""
        if path is None or not path.endswith(_INDEX):
            self._at(path)
        return os.pread(fh, size, offset)

    def release(self, path: str | None, fh: int) -> int:
        """Nobody uses it any more."""
        del path
        os.close(fh)
        return 0

    # ------------------------------------------------------------ content

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        """Some bytes, in memory."""
        with self._gate:
            self._at(path)
            before = os.fstat(fh)
            count = os.pwrite(fh, data, offset)
            self._disk.written(before.st_ino, min(offset, before.st_size), offset + count)
            return count

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        """Another size, in memory."""
        with self._gate:
            place = self._at(path)
            before = place.stat() if fh is None else os.fstat(fh)
            os.truncate(place if fh is None else fh, length)
            self._disk.cut_off(before.st_ino, length, before.st_size)
            return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        """To the disk."""
        del datasync
        with self._gate:
            self._at(path)
            self._disk.flush(os.fstat(fh).st_ino)
            return 0

    # ------------------------------------------------------------ names

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        """The names of a folder to the disk."""
        del datasync, fh
        with self._gate:
            self._disk.flush_names(self._at(path).lstat().st_ino)
            return 0

    def create(self, path: str, mode: int, fi: int | None = None) -> int:
        """A new file, open."""
        with self._gate:
            place = self._at(path)
            handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            del fi
            self._disk.changed((*self._folder(path), self._disk.track(place)))
            return handle

    def mknod(self, path: str, mode: int, dev: int) -> int:
        """A file, or a socket."""
        with self._gate:
            place = self._at(path)
            os.mknod(place, mode, dev)
            self._disk.changed((*self._folder(path), self._disk.track(place)))
            return 0

    def mkdir(self, path: str, mode: int) -> int:
        """A folder."""
        with self._gate:
            place = self._at(path)
            place.mkdir(mode)
            self._disk.changed((*self._folder(path), self._disk.track(place)))
            return 0

    def link(self, target: str, source: str) -> int:
        """Another name."""
        with self._gate:
            place = self._at(target)
            os.link(self._at(source), place)
            self._disk.changed((*self._folder(target), self._disk.track(place)))
            return 0

    def rename(self, old: str, new: str) -> int:
        """Both names change together."""
        with self._gate:
            number = self._disk.track(self._at(old))
            self._at(old).rename(self._at(new))
            self._disk.changed((*self._folder(old), None), (*self._folder(new), number))
            return 0

    def unlink(self, path: str) -> int:
        """One name less."""
        with self._gate:
            self._at(path).unlink()
            self._disk.changed((*self._folder(path), None))
            return 0

    def rmdir(self, path: str) -> int:
        """One folder less."""
        with self._gate:
            self._at(path).rmdir()
            self._disk.changed((*self._folder(path), None))
            return 0

    def chmod(self, path: str, mode: int) -> int:
        """Rights; nobody here depends on them after a cut."""
        self._at(path).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Owner."""
        os.chown(self._at(path), uid, gid, follow_symlinks=False)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Times."""
        os.utime(self._at(path), ns=times)
        return 0


def _obey(volume: Volume) -> None:
    for line in sys.stdin:
        _, seed, target = line.split(maxsplit=2)
        volume.cut(int(seed), Path(target.strip()))
        sys.stdout.write("done\n")
        sys.stdout.flush()


def main(tree: str, mount: str) -> int:
    """Serve until it is unmounted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    volume = Volume(Path(tree))
    threading.Thread(target=_obey, args=(volume,), daemon=True).start()
    FUSE(volume, mount, foreground=True, nothreads=True, hard_remove=True, allow_other=True, default_permissions=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
