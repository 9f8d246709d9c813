"""One process that feeds inputs to entries, within limits, and makes what fails small."""

from __future__ import annotations

import ctypes
import gc
import resource
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fuzz.entries import Entry, entries

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 2.0
"""Processor time that one input may take."""
MEMORY = 256 << 20
"""Most memory that the process may have in use while it reads one input, all of Python included."""
_LOADED = 150 << 20
"""What a process that has loaded all readers has in use."""
_PACKAGES = ("bus", "transforms", "endpoints")
_TRIES, _PATIENCE = 300, 10.0
ROOT = Path(__file__).parents[2]


class TooSlow(BaseException):
    """The processor time of an input is over."""


class Failure(NamedTuple):
    """What went wrong with one input; ``signature`` is the same for the same fault."""

    entry: str
    seed: int
    index: int
    signature: str
    trace: str
    data: bytes


class Slice(NamedTuple):
    """Some work: inputs of one entry from a number on, for so many seconds."""

    entry: str
    seed: int
    first: int
    seconds: float
    most: float = SECONDS
    """Processor seconds that one input may take."""


def made(name: str, entry: Entry, seed: int, index: int) -> bytes:
    """The input of that number; always the same."""
    return entry.make(entry.corpus, Random(f"{seed}/{name}/{index}"))  # noqa: S311 - inputs, no secrets


def work(connection: Connection, known: dict[str, Entry] | None = None) -> None:
    """Do slices until there are no more; tells ``("at", index)``, ``("failed", Failure)`` and ``("done", count)``."""
    found = entries() if known is None else known
    _limit()
    quick: set[str] = set()
    while (piece := connection.recv()) is not None:
        entry, ends, index = found[piece.entry], time.monotonic() + piece.seconds, piece.first
        while time.monotonic() < ends:
            connection.send(("at", index))
            data = made(piece.entry, entry, piece.seed, index)
            wrong = outcome(entry.run, data, piece.most)
            if wrong is not None and f"{piece.entry} {wrong[0]}" not in quick:
                quick.add(f"{piece.entry} {wrong[0]}")
                small = minimised(entry.run, data, wrong[0], piece.most)
                last = outcome(entry.run, small, piece.most) or wrong
                connection.send(("failed", Failure(piece.entry, piece.seed, index, wrong[0], last[1], small)))
                ends = max(ends, time.monotonic() + piece.seconds / 2)
            index += 1
        connection.send(("done", index))


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    gc.freeze()
    _give_back()
    _forget_peak()


def _give_back() -> None:
    """Give the system what the parent had freed: an input that is given such memory would not be seen to use it."""
    with suppress(OSError, AttributeError):  # a C library that has no such call
        ctypes.CDLL(None).malloc_trim(0)


def _too_slow(*_arguments: Any) -> None:
    raise TooSlow


def outcome(run: Callable[[bytes], None], data: bytes, most: float = SECONDS) -> tuple[str, str] | None:
    """(signature, trace) of what is wrong with an input, or None."""
    signal.signal(signal.SIGPROF, _too_slow)
    _forget_peak()
    before = _peak()
    begun = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, most, 0.05)
        try:
            run(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except TooSlow as error:
        return f"more than {most:g} s in {_place(error)}", traceback.format_exc()
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"{type(error).__name__} in {_place(error)}", traceback.format_exc()
    if time.process_time() - begun > most:
        return f"more than {most:g} s", ""
    peak = _peak()
    if peak - max(0, before - _LOADED) > MEMORY:  # what a process had in use before, beyond a usual one, is not counted
        return f"more than {MEMORY >> 20} MB", f"{peak >> 20} MB"
    return None


def _place(error: BaseException) -> str:
    """File and function of the project where it happened."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = [f for f in frames if Path(f.filename).is_relative_to(ROOT) and ".venv" not in f.filename]
    inside = [f for f in own if Path(f.filename).relative_to(ROOT).parts[0] in _PACKAGES] or own
    return f"{Path(inside[-1].filename).relative_to(ROOT)}:{inside[-1].name}" if inside else "a library"


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak() -> int:
    """Most resident memory since :func:`_forget_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def minimised(run: Callable[[bytes], None], data: bytes, signature: str, most: float = SECONDS) -> bytes:
    """The input without what is not needed to fail in the same way, as far as it can be found in a few seconds."""
    ends, tries = time.monotonic() + _PATIENCE, 0
    step = max(1, len(data) // 2)
    while step and len(data) > 1:
        at, shorter = 0, False
        while at < len(data):
            if tries >= _TRIES or time.monotonic() > ends:
                return data
            tries += 1
            less = data[:at] + data[at + step :]
            wrong = outcome(run, less, most)
            if wrong is not None and wrong[0] == signature:
                data, shorter = less, True
            else:
                at += step
        if not shorter or step > len(data):
            step = min(step // 2, max(len(data) // 2, 1)) if step > 1 else 0
    return data
