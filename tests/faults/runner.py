"""Real faults under payment runs, judged by what the partners have.

``python -m tests.faults [--full] [--only FAULT …] [--seed N]`` prints one table, appends a line for each row to
``build/faults.jsonl``, and ends with 1 when anything is lost, doubled, wrong, under way or left over, a planted bug
passed unnoticed, or less broke than a run promises; with 5 when all is well, but families were left out because this
machine lacks what they need.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import secrets
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.faults.frame import Fault, Order, Result, faults, keep_bytecode, summary
from tests.faults.planted import ROOT

LEAST = {"bus": 60, "broker": 12, "database": 12, "transfer": 40, "freeze": 6, "clock": 10, "power": 8, "partition": 6}
"""What a run of all families must break at least, and how often."""
_JOBS = 4
"""Most of a family's time is waiting; more families at once would wait for each other on two processors."""
_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""


def perform(name: str, seed: int, *, full: bool) -> list[Result]:
    """All results of a family; one that breaks off is a result that is not clean."""
    chosen = faults()[name]
    begin = time.perf_counter()
    found: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="girobus-faults-") as folder:
        try:
            found += chosen.work(Order(seed, full, Path(folder), name))
        except Exception:  # noqa: BLE001 - the other families go on; this one is told
            broken = Result(name, "", seed, seconds=time.perf_counter() - begin, stuck=traceback.format_exc())
            found.append(broken)
    return found


def play(chosen: list[Fault], seed: int, *, full: bool, jobs: int) -> list[Result]:
    """Families side by side, each in a process of its own; long ones begin first."""
    found: dict[str, list[Result]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _die_with_parent, max_tasks_per_child=1) as pool:
        waiting = {
            pool.submit(perform, one.name, seed, full=full): one.name
            for one in sorted(chosen, key=lambda one: -one.length)
        }
        for done in as_completed(waiting):
            name = waiting[done]
            found[name] = done.result()
            for result in found[name]:
                _tell(f"[{name}] {'as it must be' if result.good else 'NOT AS IT MUST BE'}\n{result.text()}")
    return [result for name in sorted(found) for result in found[name]]


def _die_with_parent() -> None:
    """Servers and processes of a family are ended by its context managers, also when the run is ended from outside."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def too_few(results: list[Result]) -> list[str]:
    """What broke less often than a whole run promises."""
    counts: Counter[str] = Counter()
    for one in results:
        if not one.planted:
            counts[one.counted] += one.kills
    return [f"{what}: {counts[what]} instead of {least}" for what, least in LEAST.items() if counts[what] < least]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    known = faults()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the long versions")
    parser.add_argument("--only", nargs="+", choices=list(known), metavar="FAULT", help=f"some of {', '.join(known)}")
    parser.add_argument("--seed", type=int, default=0, help="repeat the choices of an earlier run")
    parser.add_argument("--jobs", type=int, default=_JOBS, help="families side by side")
    options = parser.parse_args(arguments)
    wanted = [known[name] for name in options.only or known]
    lacking = {one.name: why for one in wanted if (why := one.missing())}
    chosen = [one for one in wanted if one.name not in lacking]
    left_out = "\n".join(f"LEFT OUT: {name}: {why}" for name, why in lacking.items())
    keep_bytecode()
    seed = options.seed or secrets.randbelow(10**6) + 1
    begin = time.perf_counter()
    _tell(f"seed {seed}\n{left_out}".rstrip())
    results = play(chosen, seed, full=options.full, jobs=options.jobs)
    _append(results)
    # A run without some families promises less than a whole one, so the code tells that it was none.
    few = [] if options.only or lacking else too_few(results)
    words = ["--full"] * options.full + (["--only", *options.only] if options.only else [])
    command = " ".join(["python -m tests.faults", *words, f"--seed {seed}"])
    _tell(f"\n{summary(results)}\n\n{command}: {time.perf_counter() - begin:.0f} s")
    _tell("\n".join(f"too few: {one}" for one in few))
    _tell("\n".join(f"{one.fault}: {one.text()}" for one in results if not one.good))
    _tell(left_out)
    if few or not all(one.good for one in results):
        return 1
    return 5 if lacking else 0


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n" if text else "")
    sys.stdout.flush()


def _append(results: list[Result]) -> None:
    path = ROOT / "build" / "faults.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one.line()) + "\n" for one in results)
