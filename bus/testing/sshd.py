"""A real OpenSSH server on loopback for tests: one chrooted user, ``internal-sftp``, stopped and removed at the end.

Needs root and Debian's package ``openssh-server``: a chroot needs folders that belong to root, all the way up, so the
server lives below ``/srv`` and its user is a system user made for the occasion.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from time import monotonic
from typing import Self

import asyncssh

PROGRAM = Path("/usr/sbin/sshd")
_CONFIG = """
ListenAddress 127.0.0.1
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
        self.home = Path(tempfile.mkdtemp(prefix="girobus-sshd-", dir="/srv"))
        self.home.chmod(0o755)
        _run(
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/mailbox",
            "--shell",
            "/usr/sbin/nologin",
            self.user,
        )
        # Without PAM, a user without a password counts as locked; `*` is no password and not locked.
        _run("usermod", "--password", "*", self.user)
        self.mailbox.mkdir(parents=True, mode=0o755)
        shutil.chown(self.mailbox, self.user)
        host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self.host_key = host.export_public_key().decode().strip()
        for name, key in (("host_key", host), ("user_key", user)):
            (self.home / name).write_bytes(key.export_private_key())
            (self.home / name).chmod(0o600)
        (self.home / "authorized_keys").write_bytes(user.export_public_key())
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        (self.home / "config").write_text(_CONFIG.format(port=self.port, home=self.home, user=self.user), "ascii")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

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
        deadline = monotonic() + 10
        while monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
        raise RuntimeError("sshd did not start:\n" + (self.home / "log").read_text(errors="replace"))

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
                shutil.chown(place, self.user)


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
