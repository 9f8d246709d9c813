"""Bank mailboxes and other folders behind SSH: the endpoint and the connection ``sftp``."""

from __future__ import annotations

import asyncio
import posixpath
import re
import threading
from contextlib import asynccontextmanager, suppress
from errno import EACCES, EEXIST, ENOENT, ENOSPC
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, TypeVar, cast

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

import certs
from bus import (
    BusError,
    ConfigError,
    ConnectionSpec,
    DropSpec,
    Duration,
    EndpointResources,
    EndpointSpec,
    Finding,
    FolderEntry,
    FolderSink,
    FolderSource,
    PickupSpec,
    Retryable,
    SecretRef,
    Sink,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from asyncssh import SFTPAttrs, SFTPClient, SFTPClientFile, SFTPName, SSHClientConnection, SSHKey

T = TypeVar("T")

_BLOCK = 1 << 18
_WINDOW = 4 << 20
_MOST_REQUESTS = 64
_FILE = re.compile(r"\$\{file:[^}]+\}")
_MOST_ENTRIES = 100_000
_GOODBYE = 2.0
# Status codes of draft-ietf-secsh-filexfer-13 §9.1; servers of version 3 answer most things with 4, "failure".
_LOST = {5, 6, 7}  # bad message, no connection, connection lost
_UNSUPPORTED = 8
_NOT_THERE, _FULL = (FileNotFoundError, ENOENT), (OSError, ENOSPC)
_REFUSALS: dict[int, tuple[type[OSError], int]] = {
    2: _NOT_THERE, 10: _NOT_THERE, 11: (FileExistsError, EEXIST), 14: _FULL, 15: _FULL,
}  # fmt: skip
# 5 = the server does not say
_KINDS: dict[int, Literal["file", "folder", "other"]] = {1: "file", 2: "folder", 5: "file"}
_NOWHERE = "/.girobus-b9d1c0a7e6f24d5c8f3a-no-such-file"
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", *_RSA)


class SftpConnection(ConnectionSpec):
    """An SFTP server and who we are there. Host keys are pinned; there is no trust on first use.

    Example::

        bank-north:
          sftp:
            host: sftp.bank-north.example
            user: acme
            key: ${file:certs/keys/bank-north}
            host_keys: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
    """

    key: ClassVar[str] = "sftp"
    examined: ClassVar[str] = "reached, host key as pinned, logged in, posix-rename and fsync"

    host: str
    """Name or address."""
    port: int = Field(default=22, ge=1, le=65535)
    """Port of the server."""
    user: str
    """Our name there."""
    private_key: SecretRef | None = Field(default=None, alias="key")
    """Our private key, OpenSSH or PEM."""
    passphrase: SecretRef | None = None
    """What the private key is encrypted with."""
    password: SecretRef | None = None
    """Our password; with a private key too where the partner wants both."""
    host_keys: tuple[str, ...]
    """The server's keys as you got them from the partner, by letter or portal, never from the network: fingerprints
    (``SHA256:…``), public keys (``ssh-ed25519 AAAA…``) or files of them (``${file:path}``). Several are allowed, for a
    planned change."""
    connect_timeout: Duration = 15_000
    """For reaching the server and logging in."""
    timeout: Duration = 30_000
    """For one answer."""
    transfer_timeout: Duration = 1_800_000
    """For one file."""
    keepalive: Duration = 15_000
    """How long the server may be silent during a transfer before it is asked if it is alive."""

    @model_validator(mode="after")
    def _complete(self) -> SftpConnection:
        if self.private_key is None and self.password is None:
            raise PydanticCustomError("CFG138", "write `key: ${file:…}`, or `password: ${env:…}` if you must")
        if not self.host_keys:
            raise PydanticCustomError("CFG138", "`host_keys` is empty; ask the partner for the server's fingerprint")
        for pin in self.host_keys:
            if not _FILE.fullmatch(pin) and _fingerprint(pin) is None:
                text = "a host key is `SHA256:` and 43 characters, or a public key line such as `ssh-ed25519 AAAA…`"
                raise PydanticCustomError("CFG138", text)
        return self

    def leads_to(self) -> tuple[str, ...]:
        """Server and user: many servers show each user folders of his own under the same names."""
        return self.host.lower(), str(self.port), self.user

    def pins(self) -> tuple[str, ...]:
        """``host_keys`` with references to files resolved, read anew so that a changed pin needs no restart.

        Raises:
            ConfigError: ``CFG142`` a file cannot be read, ``CFG138`` it holds no host key.
        """
        found = []
        for pin in self.host_keys:
            lines = SecretRef(pin).reveal().decode("utf-8", "replace").splitlines() if _FILE.fullmatch(pin) else [pin]
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not found or any(_fingerprint(pin) is None for pin in found):
            text = "a file named in `host_keys` holds no host key"
            raise ConfigError("CFG138", text, hint="put one public key on each line")
        return tuple(found)

    def examine(self, root: Path | None = None) -> list[Finding]:
        """Log in and look what the server can do, for ``bus doctor``. Blocks within the connection's timeouts."""
        del root  # its secrets are references with places of their own
        place = f"{self.host}:{self.port}"
        folder = SftpFolder(self)
        try:
            atomic, flushes = folder.atomic_rename, folder.announces_fsync()
        except BusError as error:
            return [Finding(error.code, "error", place, str(error))]
        finally:
            folder.close()
        missing = [] if atomic else [("NET110", "no posix-rename: a delivery that is interrupted needs a person")]
        if flushes is False:
            missing.append(("NET111", "no fsync: the server's power loss may empty a file just delivered"))
        return [Finding(code, "warning", place, text) for code, text in missing]


class SftpSpec(PickupSpec, DropSpec, EndpointSpec):
    """Takes files from an SFTP server, or puts files there.

    Example::

        from:
          sftp: {connection: erp, path: /outbox, match: "PAYRUN_*.csv", ready: {marker: "{name}.done"}}

    Delivery: in, a file is claimed by rename and moved to ``done`` after its content is committed; out, it is written
    to ``stage``, flushed, and made visible by one rename. What a crash in between means is read off the folder.
    """

    key: ClassVar[str] = "sftp"

    connection: str
    """Name of an ``sftp`` connection in ``connections.yaml``."""

    def source(self, resources: EndpointResources) -> Source:
        """The folder as a source; nothing is connected yet."""
        return FolderSource(self._folder(resources), self, resources)

    def sink(self, resources: EndpointResources) -> Sink:
        """The folder as a sink; nothing is connected yet."""
        return FolderSink(self._folder(resources), self, resources)

    def _folder(self, resources: EndpointResources) -> SftpFolder:
        connection = resources.connection(self.connection)
        if not isinstance(connection, SftpConnection):
            raise ConfigError("CFG138", f"`{self.connection}` is not an sftp connection", hint="name one that is")
        return SftpFolder(connection)


class SftpFolder:
    """A :class:`bus.Folder` on an SFTP server, connected at the first call and again after every failure.

    Each call has a wall-clock limit; when it is over, the connection is thrown away. Calls of several threads queue up.
    The event loop runs only inside calls, so there is no thread to stop and nothing happens behind the caller's back.
    """

    def __init__(self, connection: SftpConnection) -> None:
        self.durable: bool | None = None
        self._spec = connection
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: SSHClientConnection | None = None
        self._client: SFTPClient | None = None
        self._atomic: bool | None = None

    # ---------------------------------------------------------------- Folder

    @property
    def atomic_rename(self) -> bool:
        """True when the server takes posix-rename requests; asked once a connection, with names that do not exist."""

        async def ask(client: SFTPClient) -> bool:
            if self._atomic is None:
                self._atomic = await _takes_posix_rename(client)
            return self._atomic

        return self._run(ask)

    def list(self, path: str) -> list[FolderEntry]:
        """At most 100,000 entries; what is beyond comes when these are gone."""

        async def work(client: SFTPClient) -> list[FolderEntry]:
            found: list[FolderEntry] = []
            # Bytes, because one name that is not UTF-8 must not hide all the others.
            names = cast("AsyncGenerator[SFTPName]", client.scandir(path.encode()))
            while len(found) < _MOST_ENTRIES:
                try:
                    name = await self._answer(anext(names))
                except StopAsyncIteration:
                    return found
                if name.filename not in {b".", b".."}:
                    found.append(_entry(cast("bytes", name.filename), name.attrs))
            await self._answer(names.aclose())
            return found

        return self._run(work, self._spec.transfer_timeout)

    def stat(self, path: str) -> FolderEntry | None:
        """One entry, by lstat."""
        with suppress(FileNotFoundError):
            return _entry(posixpath.basename(path).encode(), self._run(lambda client: client.lstat(path)))
        return None

    def read(self, path: str, target: BinaryIO, limit: int) -> int:
        """Copy, many requests at a time."""
        entry = self.stat(path)
        if entry is None:
            raise FileNotFoundError(path)
        if entry.kind != "file":
            raise PermissionError(EACCES, "not a regular file")

        async def work(client: SFTPClient) -> int:
            size = min(_BLOCK, client.limits.max_read_len)
            count = 0
            async with self._opened(client, path, "rb") as source:
                while count <= limit:
                    sizes = _window(limit + 1 - count, size)
                    calls = [_fill(source, count + offset, wanted) for offset, wanted in sizes]
                    for (_, wanted), data in zip(sizes, await self._answer(asyncio.gather(*calls)), strict=True):
                        target.write(data)
                        count += len(data)
                        if len(data) < wanted:
                            return count
            return count

        return self._run(work, self._spec.transfer_timeout)

    def write(self, path: str, source: BinaryIO) -> None:
        """Create (never truncate), fill, fsync where the server offers it."""
        if self.stat(path) is not None:
            raise FileExistsError(path)

        async def work(client: SFTPClient) -> None:
            import asyncssh  # noqa: PLC0415 - 250 ms that only a connection should pay

            size = min(_BLOCK, client.limits.max_write_len)
            offset = 0
            async with self._opened(client, path, "xb") as target:
                while data := source.read(min(_WINDOW, size * _MOST_REQUESTS)):
                    parts = _window(len(data), size)
                    calls = (target.write(data[at : at + part], offset + at) for at, part in parts)
                    await self._answer(asyncio.gather(*calls))
                    offset += len(data)
                try:
                    await self._answer(target.fsync())
                    self.durable = True
                except asyncssh.SFTPOpUnsupported:
                    self.durable = False

        self._run(work, self._spec.transfer_timeout)

    def rename(self, old: str, new: str, *, strict: bool = False) -> None:
        """posix-rename after a look where offered and not ``strict``, else the plain rename, which never replaces."""
        atomic = not strict and self.atomic_rename
        if self.stat(new) is not None:
            raise FileExistsError(new)
        self._run(lambda client: client.posix_rename(old, new) if atomic else client.rename(old, new))

    def remove(self, path: str) -> bool:
        """Remove."""
        try:
            self._run(lambda client: client.remove(path))
        except FileNotFoundError:
            return False
        return True

    def make_folder(self, path: str) -> None:
        """With parents."""
        if path in {"", "/"} or self.stat(path) is not None:
            return
        self.make_folder(posixpath.dirname(path))
        self._run(lambda client: client.mkdir(path))

    def close(self) -> None:
        """Say goodbye for at most two seconds, then just hang up."""
        with self._lock:
            if self._loop is None:
                return
            self._loop.run_until_complete(self._hang_up(polite=True))
            self._loop.close()
            self._loop = None

    def announces_fsync(self) -> bool | None:
        """Whether the server announced fsync at the last call; None = cannot be told before a first write."""
        # asyncssh keeps the announced extensions to itself.
        return getattr(getattr(self._client, "_handler", None), "_supports_fsync", None)

    # ---------------------------------------------------------------- one call

    def _run(self, work: Callable[[SFTPClient], Awaitable[T]], limit: int = 0) -> T:
        """Connect if need be and do ``work`` within ``limit`` (default ``timeout``) milliseconds."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(self._guarded(work, limit or self._spec.timeout))

    async def _guarded(self, work: Callable[[SFTPClient], Awaitable[T]], limit: int) -> T:
        import asyncssh  # noqa: PLC0415 - see write

        client = await self._connected()
        where = f"{self._spec.host}:{self._spec.port}"
        try:
            async with asyncio.timeout(limit / 1000):
                return await work(client)
        except TimeoutError as error:
            await self._hang_up()
            raise Retryable("NET102", f"{where} did not answer in time", hint="is the partner slow today?") from error
        except (asyncssh.Error, ConnectionError) as error:
            if isinstance(error, asyncssh.SFTPError) and error.code not in _LOST:
                kind, number = _REFUSALS.get(error.code, (PermissionError, EACCES))
                raise kind(number, f"{type(error).__name__}: {error.reason}") from error
            await self._hang_up()
            raise Retryable("NET101", f"the connection to {where} broke", hint="the next attempt reconnects") from error

    async def _answer(self, call: Awaitable[T]) -> T:
        """One block of a transfer has ``timeout``, so that a stalled server is noticed long before the file's limit."""
        async with asyncio.timeout(self._spec.timeout / 1000):
            return await call

    @asynccontextmanager
    async def _opened(self, client: SFTPClient, path: str, mode: Literal["rb", "xb"]) -> AsyncIterator[SFTPClientFile]:
        # A block size of 0 makes one call one request; asyncssh's own pipeline fills holes with zeros and leaves tasks.
        file = await self._answer(client.open(path, mode, encoding=None, block_size=0))
        try:
            yield file
        except BaseException:
            await self._hang_up()  # and with it the handle
            raise
        await self._answer(file.close())

    # ---------------------------------------------------------------- connecting

    async def _connected(self) -> SFTPClient:
        """The open session, or a new one."""
        for _ in range(3):
            await asyncio.sleep(0)  # let the loop notice a connection that the server closed since the last call
        if self._client is not None and self._connection is not None and not self._connection.is_closed():
            return self._client
        await self._hang_up()
        presented: list[str] = []
        where = f"{self._spec.host}:{self._spec.port}"
        options = _options(self._spec, presented)
        import asyncssh  # noqa: PLC0415 - see write

        try:
            async with asyncio.timeout(self._spec.connect_timeout / 1000):
                self._connection = await asyncssh.connect(self._spec.host, self._spec.port, **options)
                self._client = await self._connection.start_sftp_client()
        except asyncssh.HostKeyNotVerifiable as error:
            text = f"{where} shows the host key {', '.join(presented) or '(unreadable)'}, which is not pinned"
            raise ConfigError("SEC111", text, hint="ask the partner before you add it to `host_keys`") from error
        except asyncssh.PermissionDenied as error:
            text = f"{where} refuses to log in {self._spec.user}"
            raise ConfigError("SEC112", text, hint="check user, key and password with the partner") from error
        except (asyncssh.Error, OSError) as error:
            await self._hang_up()
            raise Retryable("NET101", f"{where} cannot be reached", hint="it is tried again") from error
        return self._client

    async def _hang_up(self, *, polite: bool = False) -> None:
        """Throw the connection away; what was asked of it before and not answered stays unknown."""
        connection, self._connection, self._client, self._atomic = self._connection, None, None, None
        if connection is None:
            return
        if polite:
            connection.close()
        else:
            connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await connection.wait_closed()


def _window(left: int, size: int) -> list[tuple[int, int]]:
    """(offset, size) of the requests that are under way together."""
    end = min(left, _WINDOW, size * _MOST_REQUESTS)
    return [(at, min(size, end - at)) for at in range(0, end, size)]


async def _fill(source: SFTPClientFile, offset: int, size: int) -> bytes:
    """Read exactly ``size`` bytes, fewer only at the end; servers may answer with less than was asked for."""
    found = b""
    while len(found) < size:
        data: bytes = await source.read(size - len(found), offset + len(found))
        if not data:
            break
        found += data
    return found[:size]


def _entry(name: bytes, attributes: SFTPAttrs) -> FolderEntry:
    size = -1 if attributes.size is None else attributes.size
    text = name.decode("utf-8", "surrogateescape")
    return FolderEntry(text, size, attributes.mtime or 0, _KINDS.get(attributes.type, "other"))


async def _takes_posix_rename(client: SFTPClient) -> bool:
    """Ask for the posix-rename of a name that does not exist: any answer but *unsupported* means that it is offered."""
    import asyncssh  # noqa: PLC0415 - see write

    try:
        await client.posix_rename(_NOWHERE, f"{_NOWHERE}-2")
    except asyncssh.SFTPError as error:
        if error.code in _LOST:
            raise
        return error.code != _UNSUPPORTED
    return True


def _fingerprint(pin: str) -> str | None:
    """``SHA256:…`` of a pin in either form; None when it is neither."""
    if re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", pin):
        return pin.rstrip("=")
    if not pin.startswith((*(f"{name} " for name in _HOST_KEYS), "ssh-rsa ")):
        return None
    try:
        return certs.fingerprint(pin.encode())
    except ConfigError:
        return None


def _algorithms(pins: tuple[str, ...]) -> list[str]:
    """Host key algorithms to offer: those of the pins where all pins tell, else all; never certificates or SHA-1."""
    kinds = {pin.split()[0] for pin in pins}
    if any(kind.startswith("SHA256:") for kind in kinds):
        return list(_HOST_KEYS)
    return [name for name in _HOST_KEYS if name in kinds or (name in _RSA and "ssh-rsa" in kinds)]


def _options(spec: SftpConnection, presented: list[str]) -> dict[str, Any]:
    """What asyncssh needs; nothing is taken from ``~/.ssh``, an agent or the environment.

    Raises:
        ConfigError: ``CFG142`` a secret cannot be read, ``CFG134`` it is no private key.
    """
    import asyncssh  # noqa: PLC0415 - see write

    pinned = spec.pins()
    pins = {_fingerprint(pin) for pin in pinned}

    class Pinned(asyncssh.SSHClient):
        """Trusts the pinned keys and nothing else."""

        def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
            """True for a pinned key; remembers what was shown."""
            del host, addr, port
            found = key.get_fingerprint("sha256")
            presented.append(f"{key.get_algorithm()} {found}")
            return found in pins

    keys: list[SSHKey] = []
    if spec.private_key is not None:
        phrase = spec.passphrase.reveal().decode() if spec.passphrase is not None else None
        try:
            keys.append(asyncssh.import_private_key(spec.private_key.reveal(), phrase))
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            text = f"{spec.private_key.reference} is no private key that can be read"
            raise ConfigError(
                "CFG134", text, hint="give an OpenSSH or PEM key, with `passphrase` when encrypted"
            ) from error
    return {
        "client_factory": Pinned,
        "known_hosts": ([], [], []),
        "server_host_key_algs": _algorithms(pinned),
        "username": spec.user,
        "client_keys": keys or None,
        "password": spec.password.reveal().decode() if spec.password is not None else None,
        "agent_path": None,
        "gss_host": None,
        "x509_trusted_certs": None,
        "config": None,
        "disable_trivial_auth": True,
        "keepalive_interval": spec.keepalive / 1000,
    }
