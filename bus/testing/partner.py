"""A partner's SFTP server on loopback, in a thread: one folder per user, and every bad habit a server can have.

Good enough as the bank of ``bus dev`` and the demo, and hostile enough for the tests. Needs no system user.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import asyncssh
from asyncssh import SFTPName, SFTPServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


@dataclass(slots=True)
class Account:
    """Who may log in and where that user's file system begins; ``key`` is a public key line."""

    folder: Path
    password: str = ""
    key: str = ""


@dataclass(slots=True)
class Habits:
    """What the server does wrong; change it while it runs.

    Attributes:
        posix_rename: offers posix-rename.
        fsync: offers fsync.
        names: names added to every listing, as raw bytes, with the facts of an empty file.
        delay: seconds that every read and write takes longer.
        cut_reading: the connection breaks when this byte of a file is asked for.
        cut_writing: the connection breaks when this byte of a file arrives.
        lie: bytes added to every size it tells.
        space: writing beyond this many bytes of a file fails, as on a full disk.
        refuse: requests that are denied: ``rename``, ``remove``, ``mkdir``, ``open``, ``list``.
        die_in_rename: ``between``: the server dies between link and unlink of a plain rename; ``after``: when the
            rename is done and not yet answered.
    """

    posix_rename: bool = True
    fsync: bool = True
    names: tuple[bytes, ...] = ()
    delay: float = 0.0
    cut_reading: int = -1
    cut_writing: int = -1
    lie: int = 0
    space: int = -1
    refuse: set[str] = field(default_factory=set)
    die_in_rename: str = ""


class Partner:
    """The server. ``with Partner({"bank": Account(folder, password="…")}) as partner:`` listens on ``partner.port``.

    Attributes:
        host_key: public key line, as ``host_keys`` of a connection takes it.
        fingerprint: the same as ``SHA256:…``.
        habits: what it does wrong.
        logins: how many logins succeeded, refused ones not counted.
        files: what its clients have open now.
    """

    host = "127.0.0.1"

    def __init__(self, accounts: dict[str, Account], *, port: int = 0, host_key: bytes = b"") -> None:
        self.accounts = accounts
        self.port = port
        self.habits = Habits()
        self.logins = 0
        self._key = asyncssh.import_private_key(host_key) if host_key else asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = self._key.export_public_key().decode().strip()
        self.fingerprint = self._key.get_fingerprint("sha256")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._open: set[asyncssh.SSHServerConnection] = set()
        self.files: set[Any] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when connections are taken. A stopped server starts again on the same port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp-partner", daemon=True)
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        """Break all connections, as a killed server does, and stop listening."""
        if self._loop is None or self._thread is None:
            return
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def hang_up(self) -> None:
        """Break all connections and go on listening."""
        self._do(self._abort())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise RuntimeError("the partner is not started")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._acceptor = await asyncssh.listen(
            self.host,
            self.port,
            server_factory=lambda: _Login(self),
            server_host_keys=[self._key],
            sftp_factory=lambda channel: _Server(channel, self),
            allow_scp=False,
            gss_host=None,
            config=None,
        )
        self.port = self._acceptor.get_port()

    async def _abort(self) -> None:
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.wait_closed()

    async def _close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        await self._abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for file in self.files:  # a session that was cancelled in a slow request does not tidy up
            file.close()
        self.files.clear()

    def joined(self, connection: asyncssh.SSHServerConnection) -> None:
        """A client connected."""
        self._open.add(connection)

    def left(self, connection: asyncssh.SSHServerConnection) -> None:
        """A client has gone."""
        self._open.discard(connection)


class _Login(asyncssh.SSHServer):
    """Checks one client's name, key and password."""

    def __init__(self, partner: Partner) -> None:
        self._partner = partner
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._partner.joined(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._partner.left(self._connection)

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def auth_completed(self) -> None:
        self._partner.logins += 1

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        account = self._partner.accounts.get(username)
        return account is not None and account.password != "" and account.password == password

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        account = self._partner.accounts.get(username)
        return account is not None and account.key != "" and asyncssh.import_public_key(account.key) == key


class _Server(SFTPServer):
    """One SFTP session in one user's folder, with the partner's habits of the moment."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], partner: Partner) -> None:
        connection = channel.get_connection()
        user = str(connection.get_extra_info("username"))
        super().__init__(channel, chroot=os.fsencode(partner.accounts[user].folder))
        self._connection = connection
        self._partner = partner
        self._habits = partner.habits

    def _allow(self, request: str) -> None:
        if request in self._habits.refuse:
            raise asyncssh.SFTPPermissionDenied(f"{request} is not allowed here")

    def _cut(self) -> None:
        """Break the connection in the middle of a request; the client gets no answer."""
        self._connection.abort()
        raise asyncssh.SFTPConnectionLost("the line was cut")

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        self._allow("open")
        file = super().open(path, pflags, attrs)
        self._partner.files.add(file)
        return file

    def close(self, file_obj: object) -> None:
        super().close(file_obj)
        self._partner.files.discard(file_obj)

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        await asyncio.sleep(self._habits.delay)
        cut = self._habits.cut_reading
        if 0 <= cut < offset + size:
            self._cut()
        data = super().read(file_obj, offset, size)
        return data if isinstance(data, bytes) else await data

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        await asyncio.sleep(self._habits.delay)
        cut, space = self._habits.cut_writing, self._habits.space
        if 0 <= cut < offset + len(data):
            super().write(file_obj, offset, data[: max(0, cut - offset)])
            self._cut()
        if 0 <= space < offset + len(data):
            super().write(file_obj, offset, data[: max(0, space - offset)])
            raise asyncssh.SFTPFailure("No space left on device")  # as OpenSSH says it in protocol version 3
        written = super().write(file_obj, offset, data)
        return written if isinstance(written, int) else await written

    def fsync(self, file_obj: object) -> None:
        if not self._habits.fsync:
            raise asyncssh.SFTPOpUnsupported("fsync is not known here")
        super().fsync(file_obj)

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        self._allow("list")
        for name in self._habits.names:
            yield SFTPName(name, attrs=asyncssh.SFTPAttrs(size=0, permissions=0o100644, atime=0, mtime=0))
        async for found in super().scandir(path):
            if found.attrs.size is not None:
                found.attrs.size += self._habits.lie
            yield found

    def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        found = super().lstat(path)
        if not isinstance(found, os.stat_result):
            raise asyncssh.SFTPFailure("no attributes")
        attributes = asyncssh.SFTPAttrs.from_local(found)
        if attributes.size is not None:
            attributes.size += self._habits.lie
        return attributes

    def remove(self, path: bytes) -> None:
        self._allow("remove")
        super().remove(path)

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        self._allow("mkdir")
        super().mkdir(path, attrs)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """By link and unlink, as OpenSSH does it."""
        self._allow("rename")
        old, new = os.fsdecode(self.map_path(oldpath)), os.fsdecode(self.map_path(newpath))
        os.link(old, new, follow_symlinks=False)
        if self._habits.die_in_rename == "between":
            self._cut()
        Path(old).unlink()
        if self._habits.die_in_rename == "after":
            self._cut()

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        if not self._habits.posix_rename:
            raise asyncssh.SFTPOpUnsupported("posix-rename is not known here")
        self._allow("rename")
        super().posix_rename(oldpath, newpath)
        if self._habits.die_in_rename == "after":
            self._cut()
