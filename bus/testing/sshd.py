"""A real OpenSSH server on loopback for tests: one chrooted user, ``internal-sftp``, stopped and removed at the end.

Where a Docker engine answers it may run in a container; see :func:`server`. Else it needs root and Debian's package
``openssh-server``: a chroot needs folders that belong to root, all the way up, so the server lives below ``/srv`` and
its user is a system user made for the occasion.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Self

import asyncssh

from bus.testing.containers import docker_answers

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

PROGRAM = Path("/usr/sbin/sshd")
_CONFIG = """
ListenAddress {address}
Port {port}
HostKey {home}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
StrictModes yes
Subsystem sftp internal-sftp
AllowUsers {user}
AuthorizedKeysFile {home}/authorized_keys
ChrootDirectory {home}/jail
ForceCommand internal-sftp -d /mailbox
"""
_INSIDE = Path("/srv/girobus")
# Its user has the number of ours, so that each side may rename and remove what the other wrote.
_IMAGE = f"""
FROM debian:12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends openssh-server && mkdir -p /run/sshd {_INSIDE}/jail
ARG NUMBER
RUN useradd --uid $NUMBER --home-dir /mailbox --shell /usr/sbin/nologin --password '*' girobus
CMD ["/usr/sbin/sshd", "-D", "-e", "-f", "{_INSIDE}/config"]
"""


class OpenSshServer:
    """``with OpenSshServer() as server:`` serves ``server.mailbox`` as ``/mailbox`` to ``server.user``.

    Attributes:
        mailbox: the folder on this machine that the user sees as ``/mailbox`` and may write to.
        host_key: public key line to pin.
        private_key: file with the user's private key, OpenSSH format.
    """

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.user = f"girobus-{os.urandom(4).hex()}"
        self._owner: str | int = self.user
        self.home = Path()
        self.port = 0
        self.host_key = ""
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What this machine lacks to run it; empty when nothing."""
        if not PROGRAM.exists():
            return "no OpenSSH server here (apt-get install openssh-server)"
        if os.geteuid() != 0:
            return "an OpenSSH server with a chroot needs root"
        return ""

    @property
    def mailbox(self) -> Path:
        """The user's folder, seen from outside."""
        return self.home / "jail" / "mailbox"

    @property
    def private_key(self) -> Path:
        """File of the user's private key."""
        return self.home / "user_key"

    def __enter__(self) -> Self:
        # Without PAM, a user without a password counts as locked; `*` is no password and not locked.
        words = ("--no-create-home", "--home-dir", "/mailbox", "--shell", "/usr/sbin/nologin", "--password", "*")
        _run("useradd", "--system", *words, self.user)
        self._make_home("/srv", self.host)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make_home(self, below: str | None, address: str, seen: Path | None = None) -> None:
        """Folder, keys and configuration of a server that has its files at ``seen``."""
        self.home = Path(tempfile.mkdtemp(prefix="girobus-sshd-", dir=below))
        self.home.chmod(0o755)
        self.mailbox.mkdir(parents=True, mode=0o755)
        shutil.chown(self.mailbox, self._owner)
        host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self.host_key = host.export_public_key().decode().strip()
        for name, key in (("host_key", host), ("user_key", user)):
            (self.home / name).write_bytes(key.export_private_key())
            (self.home / name).chmod(0o600)
        (self.home / "authorized_keys").write_bytes(user.export_public_key())
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        words = {"address": address, "port": self.port, "home": seen or self.home, "user": self.user}
        (self.home / "config").write_text(_CONFIG.format_map(words), "ascii")

    def __exit__(self, *_: object) -> None:
        try:
            self.kill()
        finally:
            _run("userdel", "--force", self.user)
            shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it takes connections; also after :meth:`kill`."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [str(PROGRAM), "-D", "-f", str(self.home / "config"), "-E", str(self.home / "log")]
        self._process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own command line
        self._wait()

    def _wait(self) -> None:
        deadline = monotonic() + 10
        while monotonic() < deadline:
            with suppress(OSError), socket.create_connection((self.host, self.port), 1) as probe:
                if probe.recv(4) == b"SSH-":  # an engine takes connections before anybody in the container does
                    return
            sleep(0.01)
        raise RuntimeError("sshd did not start:\n" + self._log())

    def _log(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL the server and all its sessions."""
        if self._process is None:
            return
        self.send(signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server and all its sessions (SIGSTOP freezes them)."""
        if self._process is None:
            return
        for process in [self._process.pid, *_children(self._process.pid)]:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue

    def put(self, name: str, data: bytes) -> None:
        """The partner writes a file that the user may rename and read."""
        path = self.mailbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for place in (path, *path.parents):
            if self.mailbox in place.parents:
                shutil.chown(place, self._owner)


class OpenSshContainer(OpenSshServer):
    """The same in a container, for whoever is no root; of an engine on this machine, whose folder the mailbox is."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self._owner = "girobus", os.geteuid() or 1000
        self._container: DockerContainer | None = None

    def __enter__(self) -> Self:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only where Docker is
        from testcontainers.core.image import DockerImage  # noqa: PLC0415 - as above

        self._make_home(None, "0.0.0.0", _INSIDE)  # noqa: S104 - of the container
        try:
            (self.home / "Dockerfile").write_text(_IMAGE, "ascii")
            tag, arguments = f"girobus-sshd:{self._owner}", {"NUMBER": str(self._owner)}
            with DockerImage(self.home, tag=tag, buildargs=arguments, clean_up=False):  # the next run finds it made
                # The port is chosen here: what an engine chooses is another one after each start.
                self._container = DockerContainer(tag).with_bind_ports(self.port, self.port)
            for name in ("config", "host_key", "authorized_keys", "jail/mailbox"):
                self._container.with_volume_mapping(self.home / name, f"{_INSIDE}/{name}", "rw")
            self._container.start()
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start it after :meth:`kill`, and wait until it takes connections."""
        self._told("start")
        self._wait()

    def kill(self) -> None:
        """SIGKILL the server and all its sessions."""
        self._told("kill")

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP freezes the server and all its sessions, SIGCONT thaws them."""
        self._told({signal.SIGSTOP: "pause", signal.SIGCONT: "unpause"}[number])

    def _told(self, word: str) -> None:
        if self._container is not None:
            getattr(self._container.get_wrapped_container(), word)()

    def _log(self) -> str:
        return "" if self._container is None else b"".join(self._container.get_logs()).decode(errors="replace")


def server() -> OpenSshServer:
    """In a container where a Docker engine answers, else the distribution's own."""
    return OpenSshContainer() if docker_answers() else OpenSshServer()


def missing() -> str:
    """What this machine lacks for :func:`server`; empty when nothing."""
    return "" if docker_answers() else OpenSshServer.missing()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command line


def _children(pid: int) -> list[int]:
    """Processes below one, deepest last."""
    found = []
    # A thread of its own has no children here: sshd has one thread, whose number is the process's.
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:  # it ended while we looked
        return []
    for child in children:
        found += [int(child), *_children(int(child))]
    return found
