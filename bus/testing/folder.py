"""A folder in memory that forgets what was not flushed, can be killed inside a rename, and breaks on demand.

With it the resources that an endpoint is built with, so that a folder can be driven without an engine.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bus.folder import FolderEntry

if TYPE_CHECKING:
    from bus.ports import Clock, EffectHook

Interruption = Callable[[str, str], None]
"""Called with (moment, path) at every moment of every change; raises to crash the client or the server there."""


def no_effect(_label: str) -> None:
    """An effect hook for runs without crashes."""


@dataclass(slots=True)
class ScriptedResources:
    """:class:`bus.ports.EndpointResources` for driving one endpoint by hand."""

    clock: Clock
    name: str = "bank"
    root: Path = Path()
    epoch: int = 1
    effect: EffectHook = no_effect
    connections: dict[str, Any] = field(default_factory=dict)

    def connection(self, name: str) -> Any:
        """A prepared connection; KeyError when there is none."""
        return self.connections[name]


@dataclass(slots=True)
class _Content:
    """An inode: two names may share it while a plain rename is under way."""

    data: bytes = b""
    flushed: bytes = b""
    mtime: int = 0


@dataclass(slots=True)
class MemoryFolder:
    """A :class:`bus.folder.Folder` that outlives its clients, deterministic, for simulations.

    Attributes:
        clock: gives files their time.
        atomic_rename: False = renames are link + unlink, as OpenSSH's plain rename.
        durable: False = the server cannot flush.
        interrupt: called with ``write:half``, ``rename:before``, ``rename:between``, ``rename:after``,
            ``remove:before``, ``remove:after``, ``list:after``; whatever it raises happens at that moment.
        refuse: operations that the server denies: ``rename``, ``remove``, ``write``, ``read``, ``make_folder`` …
        space: bytes left on the disk, None = endless.
        extra: entries that ``list`` adds, for hostile names and links.
        lies: sizes that are told instead of the true ones, by file name.
    """

    clock: Clock
    atomic_rename: bool = True
    durable: bool | None = True
    interrupt: Interruption | None = None
    refuse: set[str] = field(default_factory=set)
    space: int | None = None
    extra: list[FolderEntry] = field(default_factory=list)
    lies: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/"})
    _files: dict[str, _Content] = field(default_factory=dict)

    # ---------------------------------------------------------------- the partner's hands

    def put(self, path: str, data: bytes, *, mtime: int | None = None) -> None:
        """The partner writes a file (and its folder), all at once."""
        self._grow(posixpath.dirname(path))
        when = self.clock.now() // 1000 if mtime is None else mtime
        self._files[path] = _Content(data, data, when)

    def get(self, path: str) -> bytes:
        """What a file holds; KeyError when it is not there."""
        return self._files[path].data

    def take(self, path: str) -> bytes:
        """The partner reads a file and removes it."""
        return self._files.pop(path).data

    def paths(self, below: str = "/") -> list[str]:
        """All files below a folder."""
        prefix = below.rstrip("/") + "/"
        return sorted(path for path in self._files if path.startswith(prefix))

    def lose_power(self) -> None:
        """What was not flushed is gone: the names stay, the content does not."""
        for content in self._files.values():
            content.data = content.flushed

    # ---------------------------------------------------------------- Folder

    def list(self, path: str) -> list[FolderEntry]:
        """Files, folders and the extra entries."""
        self._allow("list", path)
        if path not in self.folders:
            raise FileNotFoundError(path)
        names = [p for p in [*self._files, *self.folders] if p != "/" and posixpath.dirname(p) == path]
        entries = [self.stat(name) for name in names]
        self._at("list:after", path)
        return [entry for entry in entries if entry is not None] + self.extra

    def stat(self, path: str) -> FolderEntry | None:
        """One entry."""
        name = posixpath.basename(path)
        if path in self.folders:
            return FolderEntry(name, 0, 0, "folder")
        content = self._files.get(path)
        return None if content is None else FolderEntry(name, self.lies.get(name, len(content.data)), content.mtime)

    def read(self, path: str, target: BinaryIO, limit: int) -> int:
        """Copy."""
        self._allow("read", path)
        if path not in self._files:
            raise FileNotFoundError(path)
        return target.write(self._files[path].data[: limit + 1])

    def write(self, path: str, source: BinaryIO) -> None:
        """Create, fill in two halves, flush."""
        self._allow("write", path)
        if posixpath.dirname(path) not in self.folders:
            raise FileNotFoundError(path)
        if path in self._files:
            raise FileExistsError(path)
        self._at("write:before", path)
        content = self._files[path] = _Content(mtime=self.clock.now() // 1000)
        data = source.read()
        if self.space is not None and len(data) > self.space:
            content.data = data[: self.space]
            raise OSError(ENOSPC, "No space left on device")
        content.data = data[: len(data) // 2]
        self._at("write:half", path)
        content.data = data
        self._at("write:unflushed", path)
        if self.durable is not False:
            content.flushed = data
        self._at("write:after", path)

    def rename(self, old: str, new: str, *, strict: bool = False) -> None:
        """In one go, or by link and unlink."""
        self._allow("rename", old)
        if new in self._files or new in self.folders:
            raise FileExistsError(new)
        if old not in self._files or posixpath.dirname(new) not in self.folders:
            raise FileNotFoundError(old)
        self._at("rename:before", old)
        if self.atomic_rename and not strict:
            self._files[new] = self._files.pop(old)
        else:
            self._files[new] = self._files[old]
            self._at("rename:between", old)
            self._files.pop(old, None)
        self._at("rename:after", old)

    def remove(self, path: str) -> bool:
        """Unlink."""
        self._allow("remove", path)
        if path not in self._files:
            return False
        self._at("remove:before", path)
        del self._files[path]
        self._at("remove:after", path)
        return True

    def make_folder(self, path: str) -> None:
        """With parents."""
        self._allow("make_folder", path)
        self._grow(path)

    def _grow(self, path: str) -> None:
        while path not in self.folders:
            self.folders.add(path)
            path = posixpath.dirname(path)

    def close(self) -> None:
        """Nothing is open."""

    def _allow(self, operation: str, path: str) -> None:
        if operation in self.refuse:
            raise PermissionError(path)

    def _at(self, moment: str, path: str) -> None:
        if self.interrupt is not None:
            self.interrupt(moment, path)
