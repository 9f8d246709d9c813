"""``hop_restart`` and ``hop_long``: what a long queue and a long run do to the hop."""

from __future__ import annotations

import time
from pathlib import Path

from bench.measure import Measurement
from bench.peers.place import OUT, Place, processor_seconds
from bench.peers.runners import Runner, girobus, stop

_SHORT = 10_000
_LOOK = 0.02
_PATIENCE = 600.0
_MOST = 10.0
"""Seconds that a restart may take until the first delivery."""


def restart(place: Place, queued: int, log: Path) -> Measurement:
    """Seconds from the start of a process to its first message out, with a long queue; the ratio is to ten seconds."""
    runner = girobus("girobus_effectively_once", "effectively-once")
    place.empty()
    place.fill(runner.body(n) for n in range(queued))
    begin = time.monotonic()
    process = runner.start(place, 0, log)
    try:
        while not place.waiting(*OUT):
            if time.monotonic() - begin > _PATIENCE:
                raise SystemExit("nothing came out after the restart")
            time.sleep(_LOOK)
        took = time.monotonic() - begin
    finally:
        stop([process])
        place.empty()
    return Measurement(
        "hop_restart", str(queued), round(took, 2), "s", round(took, 2), 0.0, _MOST, round(took / _MOST, 3)
    )


def long_run(place: Place, count: int, log: Path) -> list[Measurement]:
    """Processor time a message and resident memory at the end, of a short and of a long run, for both guarantees.

    The floor of the long row is the short one: a ratio of 1.1 is ten per cent dearer.
    """
    found = []
    for guarantee in ("at-least-once", "effectively-once"):
        runner = girobus(f"girobus_{guarantee}", guarantee)
        short = 0.0
        for size in (_SHORT, count):
            micros, seconds, grown = _run(place, runner, size, log)
            short = short or micros
            name = f"hop_long_{guarantee.replace('-', '_')}"
            ratio = round(micros / short, 3)
            found.append(
                Measurement(
                    name, str(size), round(micros, 1), "us/msg", round(seconds, 1), grown, round(short, 1), ratio
                )
            )
    return found


def _run(place: Place, runner: Runner, size: int, log: Path) -> tuple[float, float, float]:
    """(processor time a message, seconds, growth in MB after the first tenth); input and output are kept short."""
    chunk = _SHORT
    place.empty()
    place.fill(runner.body(n) for n in range(chunk))
    process = runner.start(place, 0, log)
    try:
        _until(place, chunk)
        used, begin, resident = processor_seconds(process.pid), time.monotonic(), 0.0
        for first in range(0, size, chunk):
            place.empty()
            place.fill(runner.body(n) for n in range(first, first + chunk))
            _until(place, chunk)
            if not resident and first >= size // 10:
                resident = _resident_mb(process.pid)
        micros = (processor_seconds(process.pid) - used) / size * 1e6
        return micros, time.monotonic() - begin, round(_resident_mb(process.pid) - (resident or 0.0), 1)
    finally:
        stop([process])
        place.empty()


def _until(place: Place, count: int) -> None:
    end = time.monotonic() + _PATIENCE
    while place.waiting(*OUT) < count:
        if time.monotonic() > end:
            raise SystemExit("the run stopped")
        time.sleep(_LOOK)


def _resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024
