"""`bus run --workers 2` as a child, killed and frozen, with its supervisor started again as a service manager would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from bus.errors import BusError
from bus.runtime.socket import Request, ask
from tests.faults.planted import ROOT

_COMMAND = "from bus.cli import main; main(prog_name='bus')"
_UP = 60.0


class Fleet:
    """A supervisor and its processes.

    Args:
        landscape: folder with ``bus.yaml``.
        source: the tree that the bus is run from.
        workers: processes; 1 = no supervisor.
        more: of its environment.
    """

    def __init__(
        self, landscape: Path, source: Path = ROOT, workers: int = 2, *, more: dict[str, str] | None = None
    ) -> None:
        self._landscape, self._source, self._workers = landscape, source, workers
        self._home = landscape / ".bus"
        self._more = more or {}
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._known: set[int] = set()
        self.log = landscape.with_name("bus.log")

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            return
        command = [sys.executable, "-c", _COMMAND, "run", "-C", str(self._landscape)]
        command += ["--workers", str(self._workers)] if self._workers > 1 else []
        with self.log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                command, cwd=self._source, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "GIROBUS_WORKERS": "2", **self._more},
            )  # fmt: skip

    def ended(self) -> int | None:
        """With which code the supervisor ended; None while it runs."""
        return None if self._supervisor is None else self._supervisor.poll()

    def processes(self) -> list[dict[str, Any]]:
        """The working processes that are up; the supervisor is started where it gave up."""
        self.start()
        answer = None
        with suppress(BusError):
            answer = ask(self._home, Request("ping")) if self._home.exists() else None
        found = [one for one in (answer or {}).get("processes", ()) if "version" in one]
        self._known |= {one["pid"] for one in found}
        return found

    def up(self, least: int = 1) -> list[dict[str, Any]]:
        """Wait for so many processes.

        Raises:
            TimeoutError: they do not come.
        """
        end = time.monotonic() + _UP
        while len(found := self.processes()) < least:
            if time.monotonic() > end:
                raise TimeoutError(f"the bus does not come up:\n{self.words()}")
            time.sleep(0.1)
        return found

    def kill_one(self, chance: Random) -> bool:
        """SIGKILL to one of the working processes; whether it was still there."""
        with suppress(ProcessLookupError):
            os.kill(chance.choice(self.up())["pid"], signal.SIGKILL)
            return True
        return False

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor; its children have to notice. Another one starts at once."""
        self.processes()
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor.wait(10)
        self.start()

    def stop(self) -> str:
        """End in good order; what was wrong with that."""
        self.processes()
        if self._supervisor is None:
            return "it never ran"
        self._supervisor.send_signal(signal.SIGTERM)
        try:
            code = self._supervisor.wait(60)
        except subprocess.TimeoutExpired:
            return "the bus does not stop"
        return f"the bus ended with {code}:\n{self.words()}" if code else ""

    def close(self) -> None:
        """SIGKILL to whatever is left."""
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor.wait(10)
        for pid in self._known:
            if _runs(pid, self._landscape):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def words(self) -> str:
        """The last words of the log."""
        return self.log.read_text("utf-8", "replace")[-2_000:] if self.log.exists() else ""


def _runs(pid: int, landscape: Path) -> bool:
    """Whether a process of ours still has that number."""
    with suppress(OSError):
        return str(landscape).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
