"""Every planted bug under the simulator and under the real fault that shows it, in one table.

``python -m tests.faults.matrix [--only BUG …] [--seed N]`` ends with 1 unless each bug is found by both of them, or is
one that the simulator cannot have or no real fault shows. Found is only what the tree without the bug does not do.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bus.testing.postgres import PostgresServer
from bus.testing.rabbitmq import RabbitCluster
from tests.faults.families.planted import KILLED, OTHERS, show
from tests.faults.frame import Order, Result, keep_bytecode
from tests.faults.partners import table
from tests.faults.planted import BUGS, ROOT, plant

HEADS = ("bug", "simulator", "seconds", "real fault", "shown by", "seconds")
REAL = ("ack-before-commit", *KILLED, *OTHERS)
_SEED = 20261124
_LIMIT = 900


def simulated(bug: str, folder: Path) -> str:
    """What the simulator says of it: found is what crashes, or else refusals and failures, bring to light."""
    at = BUGS[bug].shows_at
    if not at:
        return f"cannot occur: {BUGS[bug].cannot}"
    red = _red(bug, folder)
    undisturbed = _red(bug, ROOT) if at == "nothing" else [one for one in red if not one["points"]]
    return "NOT FOUND" if not red else "NOT FOUND: it is wrong undisturbed" if undisturbed else "found"


def _red(bug: str, folder: Path) -> list[dict[str, Any]]:
    """What is wrong with a tree under the options that show the bug."""
    words = ["--json", "--seed", str(_SEED), "--only", BUGS[bug].shows_at, "--stop", *BUGS[bug].how]
    command = [sys.executable, "-m", "tests.faults.simulation", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT, check=False)
    red: list[dict[str, Any]] = json.loads(done.stdout)["red"]
    return red


def _real(bug: str, order: Order, cluster: RabbitCluster, server: PostgresServer) -> Result | None:
    return show(order, bug, cluster, server) if bug in REAL else None


def rows(bugs: list[str], seed: int) -> Iterator[tuple[str, ...]]:
    """A row for each bug, as :data:`HEADS`."""
    with ExitStack() as opening:
        place = opening.enter_context(tempfile.TemporaryDirectory(prefix="girobus-matrix-"))
        cluster, server = opening.enter_context(RabbitCluster(1)), opening.enter_context(PostgresServer())
        for bug in bugs:
            folder = Path(place) / bug
            folder.mkdir()
            begin = time.perf_counter()
            told = simulated(bug, plant(bug, folder / "simulated"))
            between = time.perf_counter()
            real = _real(bug, Order(seed, full=False, folder=folder, name=bug), cluster, server)
            verdict = f"cannot show: {BUGS[bug].cannot}" if real is None else "found" if real.good else "NOT FOUND"
            sys.stdout.write("" if real is None or real.good else f"{real.text()}\n")
            shown = ", ".join(sorted(real.findings)) if real else ""
            yield bug, told, f"{between - begin:.0f}", verdict, shown, f"{real.seconds:.0f}" if real else ""


def passed(row: tuple[str, ...]) -> bool:
    """Whether simulator and real fault each found the bug, or cannot."""
    return all(said == "found" or said.startswith("cannot ") for said in (row[1], row[3]))


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(BUGS), metavar="BUG", help="some of them")
    parser.add_argument("--seed", type=int, default=_SEED, help="of the real faults")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are ended by their context managers
    keep_bytecode()
    found = []
    for row in rows(options.only or list(BUGS), options.seed):
        sys.stdout.write("  ".join(row) + "\n")
        sys.stdout.flush()
        found.append(row)
    sys.stdout.write("\n" + table(found, HEADS) + "\n")
    return 0 if all(map(passed, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
