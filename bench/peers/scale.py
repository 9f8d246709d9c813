"""``hop_restart`` and ``hop_long``: what a long queue and a long run do to the hop."""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bench.measure import Measurement
from bench.peers.place import OUT, Place, processor_seconds
from bench.peers.runners import Runner, c_reference, girobus, stop

_SHORT = 10_000
_TENTHS = 10
_LOOK = 0.02
_PATIENCE = 600.0
_MOST = 10.0
"""Seconds that a restart may take until the first delivery."""
console = Console(stderr=True)


def restart(place: Place, queued: int, log: Path) -> Measurement:
    """Seconds from a start behind SIGKILL to the first message that comes out anew; the ratio is to ten seconds.

    The one before died with many messages in hand, some of them out already, and left a long queue.
    """
    runner = girobus("girobus_effectively_once", "effectively-once")
    place.empty()
    place.fill(runner.body(n) for n in range(_SHORT + queued))
    process = runner.start(place, 0, log)
    try:
        _until(place, _SHORT)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        place.rest()
        out, begin = place.waiting(*OUT), time.monotonic()
        process = runner.start(place, 0, log)
        _until(place, out + 1)
        took = time.monotonic() - begin
    finally:
        stop([process])
        place.empty()
    return Measurement(
        "hop_restart", str(queued), round(took, 2), "s", round(took, 2), 0.0, _MOST, round(took / _MOST, 3)
    )


@dataclass(slots=True)
class _Run:
    """A long run beside short ones.

    Attributes:
        long: processor time a message in millionths of a second, of each tenth of the long one, by who used it; and the
            ``seconds`` that this took.
        short: the same of short runs of other processes: before the first tenth, and behind every one.
        grown: MB of resident memory more after the first tenth of it.
    """

    long: list[dict[str, float]] = field(default_factory=list)
    short: list[dict[str, float]] = field(default_factory=list)
    grown: float = 0.0

    def ratio(self, who: str) -> float:
        """How much dearer a message is in the long run: the median of its tenths, each with the two runs beside it."""
        pairs = zip(self.long, itertools.pairwise(self.short), strict=True)
        return statistics.median(2 * tenth[who] / ((a[who] + b[who]) or 1) for tenth, (a, b) in pairs)


def long_run(place: Place, count: int, log: Path) -> list[Measurement]:
    """Processor time a message of the runner, the broker and the database, and memory: of a long run and of short ones.

    Between two tenths of the long run another process does a short one, in queues of its own at the same broker: a
    machine is not equally fast all the time. Floor of the long row is the short one. What the rows of the C reference
    grow by, the broker and the machine add; what ours grow by more is our own.
    """
    reference = c_reference()
    runners = [] if isinstance(reference, str) else [("c", reference)]
    runners += [(g.replace("-", "_"), girobus(f"girobus_{g}", g)) for g in ("at-least-once", "effectively-once")]
    found = []
    with place.beside() as other:
        for name, runner in runners:
            run = _beside(place, other, runner, count, log)
            tenths = ", ".join(f"{tenth['runner']:.1f}" for tenth in run.long)
            console.print(f"[dim]{name}: us/msg of the tenths: {tenths}[/dim]")
            for who in ("runner", "broker", "database")[: 3 if name == "effectively_once" else 2]:
                row = f"hop_long_{name}" if who == "runner" else f"hop_long_{who}_{name}"
                floor, value = (round(statistics.median(one[who] for one in part), 1) for part in (run.short, run.long))
                grown = run.grown if who == "runner" else 0.0
                took = round(statistics.median(one["seconds"] for one in run.short), 1)
                found.append(Measurement(row, str(_SHORT), floor, "us/msg", took, 0.0, floor, 1.0))
                took = round(sum(one["seconds"] for one in run.long), 1)
                figures = (value, "us/msg", took, grown, floor, round(run.ratio(who), 3))
                found.append(Measurement(row, str(count), *figures))
    return found


def _beside(place: Place, other: Place, runner: Runner, count: int, log: Path) -> _Run:
    """What one does while the other is measured, doing nothing, is the same for both."""
    run, resident = _Run(), []
    part = max(count // _TENTHS, _SHORT)
    processes = [_started(place, runner, log)]
    try:
        processes.append(_started(other, runner, log))
        run.short.append(_pieces(other, runner, processes[1], range(0, _SHORT, _SHORT)))
        for first in range(0, count, part):
            run.long.append(_pieces(place, runner, processes[0], range(first, min(first + part, count), _SHORT)))
            resident.append(_resident_mb(processes[0].pid))
            stop([processes.pop()])
            processes.append(_started(other, runner, log))
            run.short.append(_pieces(other, runner, processes[1], range(0, _SHORT, _SHORT)))
    finally:
        stop(processes)
        place.empty()
        other.empty()
    run.grown = round(resident[-1] - resident[0], 1)
    return run


def _started(place: Place, runner: Runner, log: Path) -> subprocess.Popen[bytes]:
    """A process that has done one piece, which is not measured."""
    place.empty()
    place.fill(runner.body(n) for n in range(_SHORT))
    process = runner.start(place, 0, log)
    try:
        _until(place, _SHORT)
    except BaseException:
        stop([process])
        raise
    return process


def _pieces(place: Place, runner: Runner, process: subprocess.Popen[bytes], firsts: range) -> dict[str, float]:
    """Piece by piece, so that input and output are kept short; processor time a message, by who used it."""
    begin, used = time.monotonic(), {"runner": processor_seconds(process.pid), **place.processor_seconds()}
    for first in firsts:
        place.empty()
        place.fill(runner.body(n) for n in range(first, first + _SHORT))
        _until(place, _SHORT)
    now = {"runner": processor_seconds(process.pid), **place.processor_seconds()}
    micros = {who: (now[who] - used[who]) / (len(firsts) * _SHORT) * 1e6 for who in now}
    return micros | {"seconds": time.monotonic() - begin}


def _until(place: Place, count: int) -> None:
    end = time.monotonic() + _PATIENCE
    while place.waiting(*OUT) < count:
        if time.monotonic() > end:
            raise SystemExit("the run stopped")
        time.sleep(_LOOK)


def _resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024
