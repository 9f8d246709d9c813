"""The control socket: what a person at this machine asks of the running bus, JSON lines over an owner-only socket."""

from __future__ import annotations

import logging
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from bus.errors import BusError, ConfigError, Held, InDoubt, NotAllowed, Rejected, Retryable, Unavailable
from bus.runtime.bus import Bus

log = logging.getLogger("girobus")

NAME = "control.sock"
_LONGEST = 64_000
"""Bytes of a request."""
_IDLE = 5.0
"""Seconds that a connected client may take to write its request."""
_PATIENCE = 60.0
"""Seconds that a client waits for the answer: a commit may stand behind a long one."""
_SUN_PATH = 100
"""Bytes of path that every system's socket address has room for."""
_STATES = {"pause": "paused", "resume": "running", "drain": "draining"}


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One control message (EIP Control Bus). Which fields count depends on ``do``."""

    do: Literal["ping", "pause", "resume", "drain", "release", "discard", "retry", "reload", "release-outputs", "purge"]
    route: str = ""
    case: int = 0
    reason: str = ""
    pinned: bool = False
    """Of a retry: in the version that the message came in with."""
    resolved_as: Literal["", "done", "not-done"] = ""
    """Of a retry: whether an effect in doubt happened."""
    on_behalf: str = ""
    """Who asked the process that hands this on; heard only from the parent process."""


class Desk:
    """Carries out requests on a bus, whether they came over the socket or from a command that holds the writer lock.

    Args:
        bus: started or not.
        reload: reads the landscape again; its ConfigError goes to whoever asked.
    """

    def __init__(self, bus: Bus, reload: Callable[[], object]) -> None:
        self._bus = bus
        self._reload = reload
        self._since = int(time.time() * 1000)

    def perform(self, request: Request, who: str) -> dict[str, Any]:
        """Do it and say what was done; ``who`` goes to the audit table.

        Raises:
            NotAllowed: a rule of :class:`bus.runtime.control.Control` or of the bus refuses it.
            ConfigError: a reload found an error; the running versions stay.
        """
        control = self._bus.control
        if request.do == "ping":
            versions = {route.name: route.version for route in self._bus.assembly.routes}
            held = self._bus.hold_outputs
            trouble: Callable[[], str] | None = getattr(self._bus.broker, "trouble", None)
            state = "" if trouble is None else trouble() or "connected"
            told = {"pid": os.getpid(), "since": self._since, "versions": versions, "hold_outputs": held}
            return {**told, "broker": state}
        if request.do == "reload":
            self._reload()
            return {"routes": len(self._bus.assembly.routes)}
        if request.do == "purge":
            return {} if self._bus.upkeep is None else self._bus.upkeep.everything()
        if request.do == "release-outputs":
            return {"released": self._bus.release_outputs(who, request.reason)}
        if request.do in _STATES:
            self._bus.set_state(request.route, _STATES[request.do], who, request.reason)
            return {"route": request.route, "state": _STATES[request.do]}
        if request.do == "release":
            moved = control.release(request.case, who, request.reason)
        elif request.do == "discard":
            moved = control.discard(request.case, who, request.reason)
        else:
            moved = control.retry(
                request.case, who, request.reason, pinned=request.pinned, resolved_as=request.resolved_as
            )
        return {"case": request.case, "messages": moved}


def user_name(uid: int | None = None) -> str:
    """The operating system's name of a user; None = who runs this process."""
    number = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


# ---------------------------------------------------------------- server


class ControlServer:
    """Answers requests in a thread of its own, one after the other, until stopped.

    Only the bus's own user and root are heard: the socket's file mode says so, and the peer is asked again.

    Args:
        home: folder of the store; the caller holds its writer lock, so an old socket there is a leftover.
        perform: :meth:`Desk.perform`.
        name: of the socket.
    """

    def __init__(self, home: Path, perform: Callable[[Request, str], dict[str, Any]], name: str = NAME) -> None:
        self._path = home / name
        self._perform = perform
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        """Begin to listen.

        Raises:
            Unavailable: ``SYS133`` when the socket cannot be made.
        """
        try:
            self._path.unlink(missing_ok=True)
            with _address(self._path) as address:
                self._listener.bind(address)
            self._path.chmod(0o600)
            self._listener.listen(8)
        except OSError as error:
            self._listener.close()
            hint = "the folder of the store must be on a local disk and writable"
            raise Unavailable("SYS133", f"no control socket at {self._path}: {error.strerror}", hint=hint) from None
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and remove the socket; a request in hand is finished."""
        with suppress(OSError):  # it may never have listened
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(_IDLE + 1)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # stopped
            with client:
                try:
                    self._answer(client)
                except OSError as error:
                    log.warning("a client of the control socket went away", extra={"error": type(error).__name__})

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(_IDLE)
        uid, pid = _peer(client)
        welcome = uid in (os.geteuid(), 0)
        if not welcome:
            log.warning("control: a user was turned away", extra={"code": "SYS210", "user": user_name(uid)})
        with client.makefile("rb") as lines:
            while line := lines.readline(_LONGEST):  # read even where it is refused, else the answer is cut off
                if not welcome:
                    hint = "ask as the user that runs it"
                    client.sendall(_refused(NotAllowed("SYS210", "this bus belongs to another user", hint=hint)))
                    return
                client.sendall(self._done(line, user_name(uid), trusted=pid == os.getppid()))

    def _done(self, line: bytes, who: str, *, trusted: bool) -> bytes:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            hint = "bus and command must be of the same version"
            return _refused(NotAllowed("SYS211", f"the request is not understood: {error}", hint=hint))
        try:
            who = request.on_behalf if request.on_behalf and trusted else who
            result = self._perform(request, who)
        except BusError as error:
            return _refused(error)
        except Exception as error:
            log.exception("control: unexpected error", extra={"code": "INT199", "do": request.do})
            return _refused(Unavailable("INT199", f"unexpected {type(error).__name__}", hint="see the log of the bus"))
        if request.do != "ping":
            log.info("control", extra={"do": request.do, "user": who, **result})
        return msgspec.json.encode({"ok": True, "result": result}) + b"\n"


def _refused(error: BusError) -> bytes:
    kind = next((name for name, known in _KINDS.items() if isinstance(error, known)), "Unavailable")
    told = {"kind": kind, "code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, ConfigError):
        told |= {"path": error.path, "line": str(error.line), "column": str(error.column)}
    return msgspec.json.encode({"ok": False, "error": told}) + b"\n"


_KINDS: dict[str, type[BusError]] = {
    kind.__name__: kind for kind in (ConfigError, Held, InDoubt, NotAllowed, Rejected, Retryable, Unavailable)
}


def _peer(connection: socket.socket) -> tuple[int, int]:
    """User and process id at the other end; where the system cannot tell, the file mode of the socket has to do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return os.geteuid(), 0
    pid, uid, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("iII")))
    return int(uid), int(pid)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A socket address of a path, however long: through a handle of its folder where the path alone is too long."""
    if len(os.fsencode(path)) <= _SUN_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


# ---------------------------------------------------------------- client


def ask(home: Path, request: Request, name: str = NAME) -> dict[str, Any] | None:
    """What the running bus answers; None when none runs on this store.

    Raises:
        Unavailable: ``SYS102`` it does not answer in time, or somebody else's process sits on its socket.
        BusError: what the bus refused the request with, as if it had been raised here.
    """
    path = home / name
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            with _address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except OSError as error:
            raise _silent(home, error) from None
        if _peer(connection)[0] not in (os.geteuid(), 0, home.stat().st_uid):
            raise Unavailable("SYS102", f"{path} belongs to another user", hint="see who put it there")
        try:
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise _silent(home, error) from None
    return _read(line, home)


def _read(line: bytes, home: Path) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Unavailable("SYS102", f"the bus on {home} stopped answering", hint="is it shutting down?") from None
    if answer.get("ok"):
        result: dict[str, Any] = answer["result"]
        return result
    told = answer["error"]
    kind = _KINDS.get(told.pop("kind", ""), Unavailable)
    place = {"path": told.pop("path", ""), "line": int(told.pop("line", 0)), "column": int(told.pop("column", 0))}
    if kind is ConfigError:
        raise ConfigError(**told, **place)
    raise kind(told["code"], told["message"], hint=told["hint"])


def _silent(home: Path, error: OSError) -> Unavailable:
    why = error.strerror or type(error).__name__
    return Unavailable("SYS102", f"the bus on {home} does not answer: {why}", hint="see its log; is it stopping?")
