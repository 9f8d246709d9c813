"""A run of the fuzzer: entries shared out among processes, processes watched, failures kept and told."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.worker import SECONDS, Failure, Slice, made, work

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tests.fuzz.entries import Entry

PROCESSES = 2
_STUCK = 20.0
"""Processor seconds after which a process that cannot be interrupted is ended."""
_ROUNDS = 2


class Result(NamedTuple):
    """What a run did."""

    inputs: dict[str, int]
    """Number of inputs by entry."""
    failures: tuple[Failure, ...]


class Plan(NamedTuple):
    """What the inputs are and how long each may take."""

    seed: int
    first: int = 0
    """Number of the first input of each entry: runs that follow each other see new inputs."""
    most: float = SECONDS
    """Processor seconds for one input."""


class _Process:
    """A worker and what it is at."""

    def __init__(self, known: dict[str, Entry] | None) -> None:
        context = multiprocessing.get_context("fork" if known is not None else "spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, known), daemon=True)
        self.process.start()
        theirs.close()
        self.piece: Slice | None = None
        self.index, self._cpu = 0, 0.0

    def take(self, piece: Slice) -> None:
        """Begin a slice."""
        self.piece, self.index, self._cpu = piece, piece.first, self._spent()
        self.connection.send(piece)

    def at(self, index: int) -> None:
        """The worker began this input."""
        self.index, self._cpu = index, self._spent()

    def stuck(self) -> bool:
        """Whether the input of now takes so long that only killing helps."""
        return self._spent() - self._cpu > _STUCK

    def _spent(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Stop it."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def run(names: Iterable[str], seconds: float, plan: Plan, known: dict[str, Entry] | None = None) -> Result:
    """Fuzz these entries for so long altogether; ``known`` are other entries than the project's own."""
    names = list(names)
    share = seconds * PROCESSES / len(names) / _ROUNDS
    at = dict.fromkeys(names, plan.first)
    waiting = [name for _ in range(_ROUNDS) for name in names]
    found: dict[str, Failure] = {}
    workers = [_Process(known) for _ in range(min(PROCESSES, len(names)))]
    try:
        while waiting or any(worker.piece for worker in workers):
            for number, worker in enumerate(workers):
                busy = {other.piece.entry for other in workers if other.piece}
                free = next((name for name in waiting if name not in busy), None)
                if worker.piece is None and free is not None:
                    waiting.remove(free)
                    worker.take(Slice(free, plan.seed, at[free], share, plan.most))
                _listen(worker, at, found)
                if not worker.process.is_alive() or worker.stuck():
                    workers[number] = _replaced(worker, at, found, known)
            time.sleep(0.005)
    finally:
        for worker in workers:
            worker.end()
    return Result({name: at[name] - plan.first for name in names}, tuple(found.values()))


def _listen(worker: _Process, at: dict[str, int], found: dict[str, Failure]) -> None:
    try:
        while worker.connection.poll():
            what, value = worker.connection.recv()
            if what == "at":
                worker.at(value)
            elif what == "failed":
                found.setdefault(f"{value.entry} {value.signature}", value)
            elif worker.piece is not None:
                at[worker.piece.entry], worker.piece = value, None
    except (EOFError, OSError):
        return


def _replaced(
    worker: _Process, at: dict[str, int], found: dict[str, Failure], known: dict[str, Entry] | None
) -> _Process:
    """A new process for one that died or cannot be interrupted; the input it was at is the failure."""
    if worker.piece is not None:
        from tests.fuzz.entries import entries  # noqa: PLC0415 - the parent needs them only now

        name, seed = worker.piece.entry, worker.piece.seed
        entry = (entries() if known is None else known)[name]
        how = "does not end" if worker.process.is_alive() else f"ends the process ({worker.process.exitcode})"
        failure = Failure(name, seed, worker.index, how, "", made(name, entry, seed, worker.index))
        found.setdefault(f"{name} {how}", failure)
        at[name] = worker.index + 1
    worker.end()
    return _Process(known)


def keep(failure: Failure, folder: Path) -> Path:
    """Save an input that fails, with what is known of it; the path of the input."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{failure.entry}{failure.signature}".encode()).hexdigest()[:8]
    path = folder / f"{failure.entry}-{digest}.bin"
    path.write_bytes(failure.data)
    about = failure._asdict() | {"data": failure.data[:200].hex()}
    path.with_suffix(".json").write_text(json.dumps(about, indent=2), "utf-8")
    return path


def report(result: Result, seed: int, folder: Path, tell: Callable[[str], None]) -> None:
    """Print what was done and what failed."""
    tell(f"{'entry':<20} {'inputs':>9}")
    for name, count in sorted(result.inputs.items()):
        tell(f"{name:<20} {count:>9}")
    count = sum(result.inputs.values())
    tell(f"seed {seed}: {count} inputs, {len(result.inputs)} entries, {len(result.failures)} faults")
    for failure in result.failures:
        path = keep(failure, folder)
        tell(f"\n{failure.entry} input {failure.index}: {failure.signature}\n{failure.trace}")
        tell(f"{len(failure.data)} bytes in {path}; again with: python -m tests.fuzz --replay {path}")
