"""The bus as one child process that tells what each of its threads is doing; see :mod:`tests.faults.node`."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from tests.faults.node import SIZE, Board, Plan
from tests.faults.planted import ROOT


class Child:
    """Runs :mod:`tests.faults.node` on a landscape; beside its folder are board, plan and log."""

    def __init__(self, landscape: Path, source: Path = ROOT) -> None:
        self._landscape, self._source = landscape, source
        board = landscape.with_name("board")
        board.write_bytes(bytes(SIZE))
        self.board = Board(board)
        self.log = landscape.with_name("bus.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self.board.clear()
        plan = self._landscape.with_name("plan.json")
        plan.write_bytes(msgspec.json.encode(Plan(str(self._landscape), str(self._landscape.with_name("board")))))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.node", str(plan)],
                cwd=self._source, stdin=subprocess.PIPE, stderr=log,
            )  # fmt: skip

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
