"""What every measurement shares: the record it leaves, peak memory, a folder to work in."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of ``build/bench.jsonl``; ``ratio`` = value / floor, both in ``unit``."""

    name: str
    size: str
    value: float
    unit: str
    seconds: float
    rss_mb: float
    floor: float
    ratio: float


class Memory:
    """Growth of resident memory of this process and its children over a baseline, in MB."""

    def __init__(self) -> None:
        self._baseline = _resident()
        self._peak = self._baseline
        self._children = _largest_child()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self._peak = max(self._peak, _resident())

    @property
    def growth_mb(self) -> float:
        """Peak since the start, less what was there."""
        largest = _largest_child()  # a child that an import started before does not count
        return round(self.own_growth_mb + (largest if largest > self._children else 0), 1)

    @property
    def own_growth_mb(self) -> float:
        """As :attr:`growth_mb`, without the children."""
        return (self._peak - self._baseline) / 2**20


def _largest_child() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def seconds(work: Callable[[], object]) -> float:
    """How long it takes once."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def told(measurement: Measurement) -> None:
    """Print as one JSON line, for the table's program to read."""
    sys.stdout.write(json.dumps(asdict(measurement)) + "\n")
    sys.stdout.flush()


def left_out(name: str, why: str) -> None:
    """Print that a measurement cannot be made here, for the table's program to tell."""
    sys.stdout.write(json.dumps({"name": name, "left_out": why}) + "\n")
    sys.stdout.flush()


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder on the disk that the project stands on (a RAM disk would make every flush free)."""
    root = Path("build")
    root.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
