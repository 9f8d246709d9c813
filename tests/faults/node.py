"""A bus in a process of its own that dies by SIGKILL exactly at a chosen effect: ``python -m tests.faults.node PLAN``.

PLAN is a JSON file (:class:`Plan`). What each thread does stands on a board in shared memory, so that whoever killed
the process can read afterwards what it hit. Commands come as JSON lines on standard input; its end stops the bus.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from bus.app import App, Surroundings
from bus.errors import BusError
from bus.runtime import splitting

SLOTS, WIDTH = 64, 64
SIZE = SLOTS * WIDTH
_CHUNK = 10
"""Parts of a split per commit, so that a payment run of these tests takes several."""


class Plan(msgspec.Struct):
    """What the process shall do.

    Attributes:
        landscape: folder with ``bus.yaml``.
        board: file of :data:`SIZE` bytes.
        label: effect to die at, as ``sink.rename:before``; empty = at none.
        hit: at which time that the effect is reached, from 1.
        lease: milliseconds that its leases last; 0 = as long as ever.
        number: of the signal to die by; SIGSTOP only stops it.
        linger: seconds that this thread waits there first, while others go on.
    """

    landscape: str
    board: str
    label: str = ""
    hit: int = 1
    lease: int = 0
    number: int = signal.SIGKILL
    linger: float = 0.0


class Board:
    """The last label of every thread, in memory that outlives the process.

    Args:
        path: a file of :data:`SIZE` bytes.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)
        self._local = threading.local()
        self._gate = threading.Lock()
        self._next = 0

    def write(self, label: str) -> None:
        """Say what this thread is at."""
        place: int | None = getattr(self._local, "place", None)
        if place is None:
            with self._gate:
                place, self._next = self._next, (self._next + 1) % SLOTS
            self._local.place = place
        at = place * WIDTH
        self._memory[at : at + WIDTH] = label.encode("ascii").ljust(WIDTH, b"\0")[:WIDTH]

    def read(self) -> list[str]:
        """What each thread is, or was, at."""
        found = (self._memory[n * WIDTH : (n + 1) * WIDTH].rstrip(b"\0").decode("ascii") for n in range(SLOTS))
        return [label for label in found if label]

    def clear(self) -> None:
        """Nobody is at anything."""
        self._memory[:] = bytes(SIZE)

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()


class Trigger:
    """The effect hook: writes the board, and dies where the plan says."""

    def __init__(self, plan: Plan) -> None:
        self._board = Board(Path(plan.board))
        self._label = plan.label
        self._left = plan.hit
        self._number, self._linger = plan.number, plan.linger
        self._gate = threading.Lock()

    def __call__(self, label: str) -> None:
        """An effect begins or has ended."""
        self._board.write(label)
        if label == self._label:
            with self._gate:
                self._left -= 1
                if not self._left:
                    time.sleep(self._linger)
                    os.kill(os.getpid(), self._number)


def obey(app: App, order: dict[str, Any]) -> None:
    """Do what a person asks for; an answer of *no* is none of our business."""
    control, who, why = app.bus.control, "operator", "asked by the test"
    try:
        if order["do"] == "release":
            control.release(order["case"], who, why)
        elif order["do"] == "discard":
            control.discard(order["case"], who, why)
        elif order["do"] == "retry":
            control.retry(order["case"], who, why)
        else:
            app.bus.set_state(order["route"], order["do"], who, why)
    except BusError as error:
        sys.stderr.write(f"{error}\n")


def main(path: str) -> int:
    """Run until standard input ends."""
    plan = msgspec.json.decode(Path(path).read_bytes(), type=Plan)
    splitting.CHUNK = _CHUNK
    app = App(Path(plan.landscape), Surroundings(effect=Trigger(plan)))
    app.ledger.holdings.term = plan.lease or app.ledger.holdings.term
    app.bus.start()
    for line in sys.stdin:
        obey(app, json.loads(line))
    clean = app.bus.stop()
    app.close()
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
