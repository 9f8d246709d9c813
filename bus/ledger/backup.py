"""Backup and restore of a ledger with its documents, to and from one folder; the bus may run meanwhile.

A backup is ``backup.json`` (what is in it, with checksums), the ledger (``bus.db``, or one ``.copy`` file for each
table of a PostgreSQL database), and ``blobs/``. The ledger is one consistent moment. Documents are copied after it, and
none is collected meanwhile, so all that it refers to is there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.errors import NotAllowed, Unavailable
from bus.ledger import restored
from bus.ledger.blobs import hold_collection
from bus.ledger.folders import sync_folder
from bus.ledger.place import Place, schema_of
from bus.ledger.store import migration_count, open_reader

MANIFEST = "backup.json"
_FILE = "bus.db"
EPOCHS = 1_000_000
"""How far a restored ledger jumps ahead: its owners must not have the numbers that later owners had before the loss."""
Tell = Callable[[str, int, int], None]


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is."""

    store: str
    """``sqlite`` or ``postgres``."""
    schema: int
    at: int
    """Milliseconds since 1970 UTC; whatever was committed before then is in it."""
    files: dict[str, str]
    """Sha256 of each file of the ledger."""
    blobs: int
    blob_bytes: int
    sequences: dict[str, int] = {}


def back_up(place: Place, blobs: Path | None, target: Path, tell: Tell) -> Manifest:
    """Copy ledger and documents into the new folder ``target``, which appears when all is on disk.

    ``blobs`` None: documents are in a bucket, which has its own ways to keep them.

    Raises:
        NotAllowed: ``SYS143`` the folder exists already.
        Unavailable: ``SYS144`` it cannot be written; the ledger cannot be read.
    """
    if target.exists():
        raise NotAllowed("SYS143", f"{target} exists already", hint="name a new folder for each backup")
    partial = target.with_name(target.name + ".partial")
    with _swept(partial), _disk():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(mode=0o700)  # every payment stands in it, so it is open to others only when somebody says so
        (partial / "blobs").mkdir(mode=0o700)
        moment = time.time_ns() // 1_000_000  # before the copy: what was made since then may not be in it
        with hold_collection(blobs) if blobs is not None else nullcontext():
            sequences: dict[str, int] = {}
            if isinstance(place, Path):
                schema = migration_count()
                _copy_database(place, partial / _FILE, tell)
            else:
                from bus.ledger.postgres_backup import copy_out  # noqa: PLC0415 - an extra

                schema, sequences = copy_out(place, partial, tell)
            count, size = _copy_blobs(blobs, partial / "blobs", tell) if blobs is not None else (0, 0)
        ledger = {path.name: _digest(path) for path in sorted(partial.iterdir()) if path.is_file()}
        kind = "sqlite" if isinstance(place, Path) else "postgres"
        made = Manifest(kind, schema, moment, ledger, count, size, sequences)
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
        _sync(partial)
        partial.rename(target)
        sync_folder(target.parent)
    return made


def restore(source: Path, place: Place, blobs: Path | None, who: tuple[str, str], tell: Tell) -> Manifest:
    """Bring a backup to a place where nothing is; outputs are held from then on. who = (user, reason).

    Raises:
        NotAllowed: ``SYS145`` something is there already, ``SYS146`` no backup, a damaged one, or one of another store.
        Unavailable: ``SYS144`` the disk refuses.
    """
    manifest = read_manifest(source)
    kind = "sqlite" if isinstance(place, Path) else "postgres"
    if manifest.store != kind:
        raise NotAllowed(
            "SYS146", f"the backup is of a {manifest.store} ledger, this one is {kind}", hint="see `ledger:`"
        )
    with _disk():
        for name, digest in manifest.files.items():
            if _digest(source / name) != digest:
                raise NotAllowed("SYS146", f"{name} of the backup is damaged", hint="take another backup")
        if (blobs is not None and any(_blob_files(blobs))) or (isinstance(place, Path) and place.exists()):
            raise NotAllowed(
                "SYS145", "there is a ledger or there are documents already", hint="restore into an empty store"
            )
        if isinstance(place, Path) and (log := place.with_name(place.name + "-wal")).exists():
            # SQLite would take it for the log of the restored file and write its pages over it.
            hint = f"it belongs to the {place.name} that was here: keep the two together, elsewhere"
            raise NotAllowed("SYS145", f"there is still {log.name}, the log of another ledger", hint=hint)
        if not isinstance(place, Path) and schema_of(place):  # before a document is written beside those of its bus
            raise NotAllowed("SYS145", "there is a ledger in that database already", hint="restore into an empty one")
        with _taken_back(source / "blobs", blobs):
            if blobs is not None:
                _restore_blobs(source / "blobs", blobs, tell)
            if isinstance(place, Path):
                _restore_database(source / _FILE, place, manifest.at, who)
            else:
                from bus.ledger.postgres_backup import copy_in  # noqa: PLC0415 - an extra

                copy_in(source, place, manifest, who, tell)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """What a backup says of itself.

    Raises:
        NotAllowed: ``SYS146`` there is none, or it cannot be read.
    """
    try:
        return msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        hint = f"name the folder that `bus db backup` made; it has a {MANIFEST}"
        raise NotAllowed("SYS146", f"{source} is no backup", hint=hint) from None


def after_restore(execute: Callable[[str, tuple[Any, ...]], Any], moment: int, who: tuple[str, str]) -> None:
    """What is different in a restored ledger: outputs are held, its owners have new numbers, leases are free.

    ``moment``: when the backup was made, milliseconds since 1970 UTC.
    """
    restored.mark(execute, moment)
    now = time.time_ns() // 1_000_000
    execute("INSERT INTO meta VALUES ('hold_outputs', 1) ON CONFLICT (key) DO UPDATE SET value = 1", ())
    execute("UPDATE meta SET value = value + ? WHERE key = 'epoch'", (EPOCHS,))
    # A backup that is restored a second time is so later, by more milliseconds than it had owners.
    execute("UPDATE meta SET value = ? WHERE key = 'epoch' AND value < ?", (now, now))
    execute("DELETE FROM lease", ())
    execute("INSERT INTO audit (at, who, what, target, reason) VALUES (?, ?, 'restored', 'ledger', ?)", (now, *who))


# ---------------------------------------------------------------- SQLite


def _copy_database(path: Path, target: Path, tell: Tell) -> None:
    source = open_reader(path)
    copy = apsw.Connection(str(target))
    try:
        source.execute("BEGIN").fetchall()
        source.execute("SELECT 1 FROM meta").fetchall()  # from here on it is one moment, whatever the bus writes
        with copy.backup("main", source, "main") as running:
            while not running.done:
                running.step(500)
                tell("ledger", running.page_count - running.remaining, running.page_count)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        copy.close()
        source.close()


def _restore_database(source: Path, path: Path, moment: int, who: tuple[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(path.name + ".partial")
    with _swept(partial):
        shutil.copyfile(source, partial)
        connection = apsw.Connection(str(partial))
        connection.execute("PRAGMA synchronous = FULL").fetchall()
        with connection:
            after_restore(lambda sql, bindings: connection.execute(sql, bindings).fetchall(), moment, who)
        connection.close()
        _sync(partial.parent, partial)
        partial.rename(path)
        sync_folder(path.parent)


# ---------------------------------------------------------------- documents


def _blob_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("??/*") if path.is_file())


def _copy_blobs(folder: Path, target: Path, tell: Tell) -> tuple[int, int]:
    found = sorted(_blob_files(folder))
    size = 0
    for n, path in enumerate(found, start=1):
        copy = target / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        size += copy.stat().st_size
        tell("documents", n, len(found))
    return len(found), size


def _restore_blobs(source: Path, folder: Path, tell: Tell) -> None:
    """Each document's name is its checksum."""
    found = sorted(_blob_files(source))
    for path in found:
        if _digest(path) != path.name:
            raise NotAllowed(
                "SYS146", f"document {path.name[:12]} of the backup is damaged", hint="take another backup"
            )
    for n, path in enumerate(found, start=1):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(path, target)
        tell("documents", n, len(found))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sync(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path, *only: Path) -> None:
    """Everything below is on disk."""
    for path in only or [path for path in folder.rglob("*") if path.is_file()]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir() and not only)):
        sync_folder(path)


@contextmanager
def _swept(partial: Path) -> Iterator[None]:
    """Nothing unfinished of an earlier attempt is there at the beginning, and nothing of this one after a failure."""
    _remove(partial)
    try:
        yield
    except BaseException:
        _remove(partial)  # it would take the room that the next attempt needs
        raise


@contextmanager
def _taken_back(source: Path, folder: Path | None) -> Iterator[None]:
    """After a failure none of the documents that came is left, so that the restore can be tried again."""
    try:
        yield
    except BaseException:
        if folder is not None:
            for path in _blob_files(source):
                _remove(folder / path.parent.name / path.name)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _disk() -> Iterator[None]:
    """What disk and SQLite refuse, as ``SYS144``."""
    try:
        yield
    except OSError as error:
        raise _refused(error.strerror or type(error).__name__) from error
    except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError) as error:
        raise _refused(type(error).__name__) from error
    except apsw.Error as error:
        hint = "see: bus db check; of a damaged ledger take the last sound backup"
        raise Unavailable("SYS132", f"the ledger cannot be read: {type(error).__name__}", hint=hint) from error


def _refused(why: str) -> Unavailable:
    return Unavailable(
        "SYS144", f"the disk refused: {why}", hint="see free space and rights; nothing unfinished is left"
    )
