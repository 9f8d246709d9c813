"""``hop_restart`` and ``hop_long``: what a long queue and a long run do to the hop."""

from __future__ import annotations

import os
import signal
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.measure import Measurement
from bench.peers.place import OUT, Place, processor_seconds
from bench.peers.runners import Runner, c_reference, girobus, stop

_SHORT = 10_000
_SHORT_RUNS = 3
"""One alone says little: it takes hardly longer than the processor times are exact. As many before the long run as
behind it, for a machine is not equally fast all the time."""
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


@dataclass(frozen=True, slots=True)
class _Long:
    """A run: processor time a message in millionths of a second, and what else it took.

    Attributes:
        own: of the runner.
        others: of the broker and of the database.
        seconds: how long it took.
        grown: MB of resident memory more after the first tenth of it.
        tenths: ``own`` of the first and of the last tenth; the same number when all is one piece.
    """

    own: float
    others: dict[str, float]
    seconds: float
    grown: float
    tenths: tuple[float, float]


def long_run(place: Place, count: int, log: Path) -> list[Measurement]:
    """Processor time a message of the runner, the broker and the database, and memory: of short runs and of a long one.

    The floor of the long row is the short one, the median of those before and behind it: a ratio of 1.1 is ten per cent
    dearer. What the rows of the C reference grow by, the broker and the machine add; what ours grow by more is our own.
    """
    reference = c_reference()
    runners = [] if isinstance(reference, str) else [("c", reference)]
    runners += [(g.replace("-", "_"), girobus(f"girobus_{g}", g)) for g in ("at-least-once", "effectively-once")]
    found = []
    for name, runner in runners:
        short = [_run(place, runner, _SHORT, log) for _ in range(_SHORT_RUNS)]
        long = _run(place, runner, count, log)
        short += [_run(place, runner, _SHORT, log) for _ in range(_SHORT_RUNS)]
        console.print(f"[dim]{name}: first tenth {long.tenths[0]:.1f}, last tenth {long.tenths[1]:.1f} us/msg[/dim]")
        for who in ("", "broker", "database") if name == "effectively_once" else ("", "broker"):
            of = [one.others.get(who, one.own) for one in (*short, long)]
            floor = statistics.median(of[:-1])
            row = f"hop_long_{who}_{name}" if who else f"hop_long_{name}"
            for size, value, one in ((_SHORT, floor, short[-1]), (count, of[-1], long)):
                figures = (round(value, 1), "us/msg", round(one.seconds, 1), 0.0 if who else one.grown, round(floor, 1))
                ratio = round(value / floor, 3) if floor else 0.0
                found.append(Measurement(row, str(size), *figures, ratio))
    return found


def _run(place: Place, runner: Runner, size: int, log: Path) -> _Long:
    """Piece by piece, so that input and output are kept short, after one piece that is not measured."""
    place.empty()
    place.fill(runner.body(n) for n in range(_SHORT))
    process = runner.start(place, 0, log)
    try:
        _until(place, _SHORT)
        begin, others = time.monotonic(), place.processor_seconds()
        resident: list[float] = []
        used = [processor_seconds(process.pid)]
        for first in range(0, size, _SHORT):
            place.empty()
            place.fill(runner.body(n) for n in range(first, first + _SHORT))
            _until(place, _SHORT)
            used.append(processor_seconds(process.pid))
            if first + _SHORT >= size // 10:
                resident.append(_resident_mb(process.pid))
        seconds, now = time.monotonic() - begin, place.processor_seconds()
    finally:
        stop([process])
        place.empty()
    tenth = max((len(used) - 1) // 10, 1)
    spans = ((used[tenth] - used[0]), (used[-1] - used[-1 - tenth]))
    tenths = (spans[0] / (tenth * _SHORT) * 1e6, spans[1] / (tenth * _SHORT) * 1e6)
    own, grown = (used[-1] - used[0]) / size, round(resident[-1] - resident[0], 1)
    return _Long(own * 1e6, {who: (now[who] - others[who]) / size * 1e6 for who in now}, seconds, grown, tenths)


def _until(place: Place, count: int) -> None:
    end = time.monotonic() + _PATIENCE
    while place.waiting(*OUT) < count:
        if time.monotonic() > end:
            raise SystemExit("the run stopped")
        time.sleep(_LOOK)


def _resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024
