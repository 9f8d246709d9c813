"""The bus as one child process that tells what each of its threads is doing; see :mod:`tests.faults.node`."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.node import SIZE, Board, Plan
from tests.faults.planted import ROOT


class Child:
    """Runs :mod:`tests.faults.node` on a landscape; beside its folder are board, plan and log.

    Args:
        landscape: folder with ``bus.yaml``.
        source: the tree that the bus is run from.
        name: of the files, when there are several.
        inside: words before its command.
        more: words of its :class:`tests.faults.node.Plan`.
    """

    def __init__(
        self, landscape: Path, source: Path = ROOT, name: str = "bus", *, inside: tuple[str, ...] = (), **more: Any
    ) -> None:  # fmt: skip
        self._source, self._inside = source, inside
        board = landscape.with_name(f"{name}.board")
        board.write_bytes(bytes(SIZE))
        self.board = Board(board)
        self.log, self._told = board.with_suffix(".log"), board.with_suffix(".json")
        self._plan = Plan(str(landscape), str(board), **more)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self.board.clear()
        self._told.write_bytes(msgspec.json.encode(self._plan))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._inside, sys.executable, "-m", "tests.faults.node", str(self._told)],
                cwd=self._source, stdin=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def stopped(self) -> bool:
        """Whether it is stopped by a signal."""
        return self._process is not None and _state(self._process.pid) == "T"

    def dead(self) -> bool:
        """Whether it ran and does no more."""
        return self._process is not None and self._process.poll() is not None

    def killed(self) -> bool:
        """Whether it died where its plan says, and did not end by itself."""
        return self._process is not None and self._process.poll() == -signal.SIGKILL

    def wake(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def doing(self, effect: str) -> bool:
        """Whether a thread is in the middle of an effect."""
        return f"{effect}:before" in self.board.read()

    def stop(self) -> str:
        """End in good order; what was wrong with that."""
        if self._process is None:
            return "it never ran"
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=60)
        code = self._process.poll()
        words = self.log.read_text("utf-8", "replace")[-2_000:]
        return "" if code == 0 else f"the bus ended with {code}:\n{words}"

    def close(self) -> None:
        """SIGKILL to whatever is left."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            if self._process.stdin is not None:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
        self.board.close()


class Pair:
    """Children that share a ledger, as on several machines."""

    def __init__(self, *children: Child) -> None:
        self._children = children

    def start(self) -> None:
        """Begin, unless they run."""
        for child in self._children:
            child.start()

    def stop(self) -> str:
        """End in good order; what was wrong with that."""
        return "; ".join(filter(None, [child.stop() for child in self._children]))

    def close(self) -> None:
        """End whatever is left."""
        for child in self._children:
            child.close()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
