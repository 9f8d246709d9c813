"""Where keys are kept and how they get there: owner-only, atomically, and never into a repository."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from bus.errors import ConfigError, NotAllowed, Unavailable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LARGEST = 1_000_000


def default_folder() -> Path:
    """``GIROBUS_CERTS`` if set, else ``~/.girobus/certs``."""
    chosen = os.environ.get("GIROBUS_CERTS", "")
    return Path(chosen).expanduser() if chosen else Path.home() / ".girobus" / "certs"


def check_name(name: str) -> str:
    """The name, when it may become a file name.

    Raises:
        ConfigError: ``SEC200``.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            "SEC200",
            "a key's name has 1 to 64 letters, digits, `.`, `_` or `-`, begins with a letter or digit and has no `..`",
            hint="write for instance `bank-north`",
        )
    return name


# ---------------------------------------------------------------- reading


def check_private(path: Path) -> None:
    """See that nobody but its owner can read or change a private key.

    Raises:
        ConfigError: ``SEC203`` when group or others have any permission, or another user owns it; ``SEC208`` when it
            cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    _check_owner_only(path, found)


def _check_owner_only(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError("SEC208", f"`{path}` is no file", hint="name the file of the private key", path=str(path))
    if found.st_mode & _OTHERS:
        raise ConfigError(
            "SEC203",
            f"the private key `{path}` is open to group or others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"chmod 600 {path}",
            path=str(path),
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            "SEC203", f"the private key `{path}` belongs to another user", hint="chown it to this user", path=str(path)
        )


def read_private(path: Path) -> bytes:
    """A private key's bytes, read through the same open file whose permissions were looked at.

    Raises:
        ConfigError: as :func:`check_private`; ``SEC207`` above 1 MB, which no key is.
    """
    try:
        with path.open("rb") as file:
            _check_owner_only(path, os.fstat(file.fileno()))
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    return _sized(path, content)


def read_public(path: Path) -> bytes:
    """A certificate's or public key's bytes.

    Raises:
        ConfigError: ``SEC208`` when it cannot be read, ``SEC207`` above 1 MB.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    return _sized(path, content)


def _sized(path: Path, content: bytes) -> bytes:
    if len(content) > _LARGEST:
        raise ConfigError("SEC207", f"`{path}` is too large for a key or certificate", path=str(path))
    return content


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "SEC208",
        f"`{path}` cannot be read: {os.strerror(error.errno or 0)}",
        hint="issue it with `bus certs issue`, or correct the path",
        path=str(path),
    )


# ---------------------------------------------------------------- writing


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a private key with mode 0600, whole or not at all; its folder is made with mode 0700.

    Raises:
        NotAllowed: ``SEC201`` inside a repository that does not ignore the file, ``SEC202`` when it is there already
            and ``replace`` is false, ``SEC204`` when everybody may write into the folder.
        Unavailable: ``SEC217`` when the disk refuses.
    """
    refuse_repository(path)
    _write(path, content, 0o600, replace=replace)


def write_public(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a certificate or public key with mode 0644, whole or not at all.

    Raises:
        NotAllowed: ``SEC202``, ``SEC204`` as :func:`write_private`.
        Unavailable: ``SEC217`` when the disk refuses.
    """
    _write(path, content, 0o644, replace=replace)


def _write(path: Path, content: bytes, mode: int, *, replace: bool) -> None:
    temp = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(path.parent)
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, mode)
                file.write(content)
                file.flush()
                os.fsync(handle)
            _place(temp, path, replace=replace)
        finally:
            with suppress(FileNotFoundError):
                temp.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(
            "SEC217",
            f"`{path}` cannot be written: {os.strerror(error.errno or 0)}",
            hint="look at disk and permissions",
        ) from None


def _place(temp: Path, path: Path, *, replace: bool) -> None:
    if replace:
        temp.replace(path)
        return
    try:
        # A link, unlike a rename, fails when the name is taken: no check that could be overtaken.
        os.link(temp, path)
    except FileExistsError:
        raise NotAllowed("SEC202", f"`{path}` is there already", hint="add `--replace` to rotate it") from None


def _check_folder(folder: Path) -> None:
    if folder.stat().st_mode & stat.S_IWOTH:
        raise NotAllowed(
            "SEC204",
            f"everybody may write into `{folder}`, so keys there could be exchanged",
            hint=f"chmod 700 {folder}",
        )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---------------------------------------------------------------- repositories


def refuse_repository(path: Path) -> None:
    """Refuse a place for a private key that git could commit.

    The nearest git work tree above the file must ignore it. What git cannot tell (not installed, someone else's
    repository) counts as not ignored.

    Raises:
        NotAllowed: ``SEC201``.
    """
    place = path.parent.resolve() / path.name
    tree = next((folder for folder in place.parents if (folder / ".git").exists()), None)
    if tree is None or _is_ignored(tree, place):
        return
    raise NotAllowed(
        "SEC201",
        f"`{place}` lies in the git repository `{tree}`, which does not ignore it",
        hint="choose a folder outside of it (the default is ~/.girobus/certs), or add it to .gitignore",
    )


def _is_ignored(tree: Path, place: Path) -> bool:
    # Variables such as GIT_DIR would make git answer for another repository than the one that was found.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    # fsmonitor is switched off because it would run a program that the repository names.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(tree), "check-ignore", "--quiet", "--", str(place)]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, timeout=20, check=False)  # noqa: S603 - fixed program, the path is one argument after `--`
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
