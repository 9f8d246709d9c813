"""What `bus doctor` looks at on this machine: program, limits, clock, store, keys, secrets."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import apsw
from pydantic import BaseModel

from bus.config import girobus_version
from bus.errors import ConfigError, Unavailable
from bus.ledger.place import open_reading, schema_of
from bus.ledger.store import migration_count
from bus.operating.certificates import surveyed
from bus.operating.doctor import Check, Found, shown_size
from bus.spec import Secret

if TYPE_CHECKING:
    from bus.config import Landscape

_SQLITE = (3, 51, 3)  # as in bus.ledger.store: older ones can corrupt a WAL file when it is reset
_FILES = 1024
_ROOM, _LITTLE = 2_000_000_000, 200_000_000
_NODES = 10_000
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs"})
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_AHEAD = 5_000
_WARN = (60, 30, 7, 1)
_PATIENCE = 20.0


def checks(landscape: Landscape, home: Path, place: Path | str, certificates: Path) -> list[Check]:
    """Everything that needs no network."""
    return [
        Check("program", "versions", versions),
        Check("program", "limits", limits),
        Check("program", "time zones", zones),
        Check("clock", "synchronised", synchronised),
        Check("configuration", "files", lambda: configuration(landscape)),
        Check("configuration", "secrets", lambda: secrets(landscape)),
        Check("store", "folder", lambda: folder(home)),
        Check("store", "disk", lambda: disk(home)),
        *([Check("ledger", "file", lambda: ledger_file(place))] if isinstance(place, Path) else []),
        Check("keys", "certificates", lambda: keys(landscape, certificates)),
    ]


# ---------------------------------------------------------------- program


def versions() -> Iterator[Found]:
    """Versions, and those that are known to be bad."""
    python = ".".join(str(n) for n in sys.version_info[:3])
    yield Found("program", "girobus", "ok", f"{girobus_version()} on Python {python}")
    sqlite = apsw.sqlite_lib_version()
    if tuple(int(n) for n in sqlite.split(".")) < _SQLITE:
        yield Found("program", "SQLite", "error", f"{sqlite} can corrupt the ledger", "SYS103", "pip install -U apsw")
    else:
        yield Found("program", "SQLite", "ok", sqlite)


def limits() -> Iterator[Found]:
    """Open files."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        do = "raise it: LimitNOFILE=4096 in the unit, or `ulimit -n 4096`"
        yield Found("program", "open files", "warning", f"at most {soft}", "SYS186", do)
    else:
        yield Found("program", "open files", "ok", f"at most {soft}")


def zones() -> Iterator[Found]:
    """The time zone database, which cut-off times need."""
    try:
        for name in ("Europe/Berlin", "America/New_York", "UTC"):
            ZoneInfo(name)
    except ZoneInfoNotFoundError:
        yield Found("program", "time zones", "error", "there is no time zone database", "SYS187", "pip install tzdata")
        return
    yield Found("program", "time zones", "ok", "known")


def synchronised() -> Iterator[Found]:
    """What the kernel knows of the clock."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        yield Found("clock", "synchronised", "skipped", "this system does not tell")
        return
    state = libc.adjtimex(ctypes.create_string_buffer(512))  # struct timex with modes 0: only read
    if state == _UNSYNCHRONISED:
        do = "run chrony or systemd-timesyncd; in a container the host has to"
        yield Found("clock", "synchronised", "warning", "nobody keeps this machine's clock right", "SYS188", do)
    elif state < 0:
        yield Found("clock", "synchronised", "skipped", "the system does not let us ask")
    else:
        yield Found("clock", "synchronised", "ok", datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ"))


# ---------------------------------------------------------------- configuration


def configuration(landscape: Landscape) -> Iterator[Found]:
    """What ``bus check`` would say, counted."""
    errors = [problem for problem in landscape.problems if problem.severity == "error"]
    for problem in errors[:5]:
        where = f"{problem.path}:{problem.line}"
        yield Found("configuration", where, "error", problem.message, problem.code, problem.hint or "see: bus check")
    if not errors:
        routes, outlets = len(landscape.routes), len(landscape.spec.outlets)
        count = f"{routes} {'route' if routes == 1 else 'routes'}, {outlets} {'outlet' if outlets == 1 else 'outlets'}"
        yield Found("configuration", "files", "ok", count)


def secrets(landscape: Landscape) -> Iterator[Found]:
    """Whether every secret can be read; none is shown."""
    count = 0
    for where, secret in _secrets(landscape):
        count += 1
        try:
            empty = not secret.reveal()
        except ConfigError as error:
            yield Found("configuration", where, "error", error.message, error.code, error.hint)
            continue
        if empty:
            yield Found("configuration", where, "error", f"{secret.reference} is empty", "CFG142", "set it")
        elif open_to_others(secret.reference):
            do = f"chmod 600 the file of {secret.reference}"
            yield Found("configuration", where, "warning", "others can read the file of a secret", "SEC203", do)
    yield Found("configuration", "secrets", "ok", f"{count} looked at")


def open_to_others(reference: str) -> bool:
    """Whether the file of a private secret may be read by others; public keys are nobody's secret."""
    if not reference.startswith("${file:") or reference.endswith(".pub}"):
        return False
    path = Path(os.path.expandvars(reference[7:-1])).expanduser()
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def _secrets(landscape: Landscape) -> Iterator[tuple[str, Secret]]:
    for name, connection in landscape.connections.items():
        yield from _inside(f"connection {name}", connection)
    yield from _inside("bus.yaml", landscape.spec)


def _inside(where: str, value: Any) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield where, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _inside(where, getattr(value, name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _inside(where, inner)


# ---------------------------------------------------------------- store


def folder(home: Path) -> Iterator[Found]:
    """Rights and place of the store's folder."""
    if not home.exists():
        yield Found("store", "folder", "info", f"{home} is made at the first start")
        return
    facts = home.stat()
    mode = stat.S_IMODE(facts.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Found("store", "folder", "warning", f"others may enter {home} ({mode:o})", "SYS189", f"chmod 700 {home}")
    elif not os.access(home, os.W_OK):
        do = "look as the user that runs the bus"
        yield Found("store", "folder", "error", f"{home} cannot be written", "SYS132", do)
    else:
        yield Found("store", "folder", "ok", f"{home} ({mode:o})")
    kind = _file_system(home)
    if kind in _REMOTE:
        do = "put the store on a local disk, or use a PostgreSQL ledger"
        yield Found("store", "file system", "error", f"{kind}: locks and flushes cannot be trusted", "SYS190", do)


def _file_system(home: Path) -> str:
    """Type of the file system that a folder is on; of ``/proc``, so on Linux alone."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    device = home.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    return next((line.rpartition(" - ")[2].split()[0] for line in lines if line.split()[2] == wanted), "")


def disk(home: Path) -> Iterator[Found]:
    """Room and inodes."""
    there = next(path for path in (home, *home.absolute().parents) if path.exists())
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    said = f"{shown_size(free)} free of {shown_size(shutil.disk_usage(there).total)}"
    if free < _ROOM:
        do = "make room: a full disk stops every commit (SYS111)"
        yield Found("store", "disk", "error" if free < _LITTLE else "warning", said, "SYS191", do)
    else:
        yield Found("store", "disk", "ok", said)
    if room.f_files and room.f_favail < _NODES:
        yield Found(
            "store", "inodes", "warning", f"{room.f_favail} left", "SYS191", "remove files, or enlarge the disk"
        )


def ledger_file(place: Path) -> Iterator[Found]:
    """Schema and structure of an SQLite ledger, and what it says of the clock."""
    if not place.exists():
        yield Found("ledger", "file", "info", "there is none yet: it is made at the first start")
        return
    try:
        yield from _structure(place)
    except Unavailable as error:  # a file that is there and cannot be read is no matter of waiting
        yield Found("ledger", "structure", "error", error.message, error.code, error.hint)


def _structure(place: Path) -> Iterator[Found]:
    present, known = schema_of(place), migration_count()
    if present > known:
        said = f"schema {present}, this program knows {known}"
        yield Found("ledger", "schema", "error", said, "SYS105", "upgrade girobus")
        return
    if present < known:
        said = f"schema {present}, this program has {known}"
        yield Found("ledger", "schema", "warning", said, "SYS105", "bus db upgrade, or start the bus")
        return
    with open_reading(place, patience=_PATIENCE) as reading:
        wrong = [row[0] for row in reading.rows("PRAGMA quick_check(5)") if row[0] != "ok"]
        newest = reading.one("SELECT max(last) FROM tally")
    if wrong:
        do = "bus db check, then restore from backup: bus db restore"
        yield Found("ledger", "structure", "error", f"damaged: {wrong[0][:100]}", "SYS132", do)
    else:
        yield Found("ledger", "structure", "ok", f"schema {present}, {shown_size(place.stat().st_size)}")
    ahead = (newest[0] if newest and newest[0] else 0) - time.time() * 1000
    if ahead > _AHEAD:
        do = "was it set back? what waits for a time waits longer"
        said = f"the ledger knows of things {ahead / 1000:.0f} s from now"
        yield Found("clock", "against the ledger", "warning", said, "SYS188", do)


# ---------------------------------------------------------------- keys


def keys(landscape: Landscape, certificates: Path) -> Iterator[Found]:
    """How long certificates last: those of the folder, and those that bus.yaml and connections.yaml name."""
    count = 0
    for item in surveyed(landscape, certificates):
        count += 1
        yield from _key(item)
    if not count:
        yield Found("keys", "certificates", "info", "there are none to look at")


def _key(item: Any) -> Iterator[Found]:
    if item.problem is not None:
        do = "see: bus explain " + item.problem.code
        yield Found("keys", item.name, "error", item.problem.message, item.problem.code, do)
    if item.days_left is None:
        return
    said = f"{item.kind}, ends in {item.days_left} days"
    if item.days_left < 0:
        yield Found("keys", item.name, "error", f"{item.kind}, expired", "SEC213", "issue or order a new one")
    elif item.days_left <= _WARN[0]:
        level = min(days for days in _WARN if item.days_left <= days)
        do = "order a new one" if level > 7 else "renew it now"
        yield Found("keys", item.name, "warning", said, "SEC212", do)
    else:
        yield Found("keys", item.name, "ok", said)
