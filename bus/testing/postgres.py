"""A real PostgreSQL server on loopback for tests: a temporary cluster of the distribution's binaries, or a container.

Where a Docker engine answers and ``testcontainers`` is installed, the server is a container (:func:`server` chooses).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Self

import psycopg

from bus.testing.containers import docker_answers

_IMAGE = "postgres:17-alpine"
_USER = "girobus"
# Tests kill processes, never the machine, so the disk need not be waited for.
_OPTIONS = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "listen_addresses=127.0.0.1",
    "log_timezone=UTC",
)


def binaries() -> Path | None:
    """Folder of the newest ``initdb`` and ``postgres`` here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


class PostgresServer:
    """``with PostgresServer() as server:`` serves ``server.url``; of a super-user that needs no password.

    Args:
        options: settings of the server, ``name=value``.
        standby_of: a server that it copies and follows, until it is promoted.
    """

    def __init__(self, *options: str, standby_of: PostgresServer | None = None) -> None:
        self._options = (*_OPTIONS, *options)
        self._primary = standby_of
        self.home = Path()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What this machine lacks to run it; empty when nothing."""
        return "" if binaries() else "no PostgreSQL server here (apt-get install postgresql)"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="girobus-pg-", dir="/tmp"))  # a socket's path must be short
        if os.geteuid() == 0:
            shutil.chown(self.home, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        try:
            if self._primary is None:
                made = self._run("initdb", "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
            else:
                made = self._run("pg_basebackup", "-d", self._primary.url, "-R", "-c", "fast", "--no-sync")
            made.wait(60)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Wait until the server takes connections; started where it does not run, also after :meth:`kill`."""
        settings = [
            part for option in (*self._options, f"unix_socket_directories={self.home}") for part in ("-c", option)
        ]
        end = monotonic() + 30
        while monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                # Right after a kill the old processes may hold the cluster for a moment.
                self._process = self._run("postgres", "-p", str(self.port), *settings)
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL did not start:\n" + (self.home / "log").read_text(errors="replace")[-2000:])

    def promote(self) -> None:
        """A standby takes writes from now on."""
        self._run("pg_ctl", "promote").wait(30)

    def stop(self) -> None:
        """Stop it in good order; at once when it takes longer than ten seconds."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL the postmaster and everything below it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            for child in _of_cluster(self.home):
                with suppress(ProcessLookupError):  # it notices by itself that the postmaster is gone, and ends
                    os.kill(child, signal.SIGKILL)
            self._process = None

    def kill_backend(self) -> bool:
        """SIGKILL one process that serves a client, if there is one: the server ends all others and recovers."""
        killed = False
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'girobus'"
            for (pid,) in connection.execute(sql).fetchall():
                with suppress(ProcessLookupError):  # its client left since
                    os.kill(pid, signal.SIGKILL)
                    killed = True
                    connection.execute("SELECT pg_sleep(30)")  # until the server notices, and ends this one as well
        return killed

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        folder = binaries()
        if folder is None:
            raise RuntimeError(self.missing())
        data = self.home / "data"
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command line
                [str(folder / program), "-D", str(data), *arguments],
                stdout=log,
                stderr=log,
                cwd=self.home,
                user="postgres" if os.geteuid() == 0 else None,
                start_new_session=True,
            )


def _of_cluster(home: Path) -> list[int]:
    """Processes whose working folder is below ``home``: children of PostgreSQL have sessions of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and home in (entry / "cwd").readlink().parents:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@contextmanager
def server() -> Iterator[str]:
    """URL of a server: a container where a Docker engine answers, else the distribution's own."""
    if docker_answers():
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only where there is an engine

        with PostgresContainer(_IMAGE, username=_USER, password=uuid.uuid4().hex, driver=None) as container:
            yield container.get_connection_url()
        return
    with PostgresServer() as own:
        yield own.url


def missing() -> str:
    """What this machine lacks for :func:`server`; empty when nothing."""
    return "" if docker_answers() else PostgresServer.missing()


@contextmanager
def schema(url: str) -> Iterator[str]:
    """URL of an empty schema of its own in that database; dropped at the end."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    try:
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())
