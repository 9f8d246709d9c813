"""What every measurement shares: the record it leaves, peak memory, a folder to work in."""

from __future__ import annotations

import json
import re
import resource
import shutil
import sys
import tempfile
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
    """Growth of resident memory of this process and its children over a baseline, in MB.

    The kernel keeps the peak, so nothing runs beside what is measured.
    """

    def __init__(self) -> None:
        self._baseline = self._peak = 0.0
        self._children = 0.0

    def __enter__(self) -> Self:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is as much as there is now: proc(5)
        self._baseline = self._peak = _peak()
        self._children = _largest_child()
        return self

    def __exit__(self, *_: object) -> None:
        self._peak = _peak()

    @property
    def growth_mb(self) -> float:
        """Peak since the start, less what was there."""
        largest = _largest_child()  # a child that an import started before does not count
        return round(self.own_growth_mb + (largest if largest > self._children else 0), 1)

    @property
    def own_growth_mb(self) -> float:
        """As :attr:`growth_mb`, without the children."""
        return self._peak - self._baseline


def _largest_child() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _peak() -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else 0.0


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
