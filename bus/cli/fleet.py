"""`bus run --workers N`: the supervisor of N processes, and the control socket that speaks for all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bus.cli.output import Exit, note, version
from bus.cli.serving import LINK
from bus.errors import Unavailable
from bus.operating.logs import logging_to_stderr
from bus.operating.notify import Watchdog, notify
from bus.runtime.socket import ControlServer, Request, ask
from bus.runtime.supervisor import Limits, Supervisor
from bus.settings import load_settings

_FATAL = frozenset({int(Exit.FINDINGS), int(Exit.USAGE), int(Exit.NOT_ALLOWED)})
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SYSTEMD = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""The supervisor alone speaks to the service manager; it watches over its processes itself."""
_HARD, _BASE = 2, 256_000_000
"""The system refuses a process more data than so many times its limit, and what program and threads reserve."""


class Fleet:
    """The processes of this machine as one bus.

    Args:
        home: folder of control sockets and blobs.
        count: how many processes.
        options: words of the command line that each process gets.
    """

    def __init__(self, home: Path, count: int, options: list[str]) -> None:
        settings = load_settings()
        limits = replace(Limits(), stalled=settings.stalled_after / 1000, memory=settings.worker_memory)
        self._home, self._options, self._limits = home, options, limits
        self.supervisor = Supervisor(count, self._start, limits, fatal=_FATAL)
        self._since = time.time_ns() // 1_000_000
        self._roles = set(options[options.index("--role") + 1].split(",")) if "--role" in options else {"api"}

    def run(self) -> int:
        """Until somebody says stop; the exit code.

        Raises:
            Unavailable: ``SYS160`` processes die again and again.
        """
        settings = load_settings()
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        count = len(self.supervisor.places)
        note(f"girobus {version()}: supervisor of {count} processes · store {self._home} · pid {os.getpid()}")
        with logging_to_stderr(settings.log_level, settings.log_format), self._signals(), self._control():
            watchdog = Watchdog(self.supervisor.stuck)
            watchdog.start()
            notify(READY=1, STATUS=f"{count} processes")
            try:
                return self.supervisor.run()
            finally:
                watchdog.stop()

    def _start(self, place: int, link: socket.socket) -> subprocess.Popen[bytes]:
        """A fresh interpreter: nothing of this process is copied into it but the link and the standard streams."""
        memory = self._limits.memory
        given = f"{place}:{link.fileno()}:{memory and memory * _HARD + _BASE}"
        return subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-c", "from bus.cli import main; main(prog_name='bus')", "run", *self._options],
            env={**{k: v for k, v in os.environ.items() if k not in _SYSTEMD}, LINK: given},
            pass_fds=(link.fileno(),),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C comes to the supervisor, which hands it on
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {n: signal.signal(n, lambda number, _frame: self.supervisor.wish(number)) for n in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _control(self) -> Iterator[None]:
        if "api" not in self._roles:
            yield
            return
        server = ControlServer(self._home, self.perform)
        server.start()
        try:
            yield
        finally:
            server.stop()

    # ------------------------------------------------------------ control

    def perform(self, request: Request, who: str) -> dict[str, Any]:
        """Answer for the whole fleet: decisions are made by one process, a reload by all of them.

        Raises:
            BusError: what the process refused it with; ``SYS165`` none of them answers.
        """
        if request.do == "ping":
            return self._ping()
        asked = msgspec.structs.replace(request, on_behalf=who)
        answer: dict[str, Any] | None = None
        for place in self.supervisor.places:
            told = ask(self._home, asked, f"control-{place.number}.sock")
            answer = answer if told is None else told
            if answer is not None and request.do != "reload":
                return answer
        if answer is None:
            raise Unavailable(
                "SYS165", "no process of this bus answers at the moment", hint="try again in some seconds"
            )
        return answer

    def _ping(self) -> dict[str, Any]:
        processes = self.supervisor.processes()
        versions: dict[str, int] = {}
        for process in processes:
            for name, number in process.get("versions", {}).items():
                versions[name] = max(number, versions.get(name, 0))
        held = any(process.get("hold_outputs", False) for process in processes)
        about = {"pid": os.getpid(), "since": self._since, "versions": versions, "hold_outputs": held}
        return {**about, "processes": processes}
