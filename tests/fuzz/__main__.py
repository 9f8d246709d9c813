"""``python -m tests.fuzz``: fuzz for a while, or try one input again. Exit code 1 when something failed."""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import Plan, report, run
from tests.fuzz.entries import entries
from tests.fuzz.worker import ROOT, outcome

FOLDER = ROOT / "build" / "fuzz"


def main() -> int:
    """See the module."""
    names = sorted(entries())
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Feed mutated files to everything that reads."
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long altogether (60)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where inputs come from; it is printed")
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to go on where a run ended")
    parser.add_argument("--format", action="append", choices=names, help="only this entry; may be given again")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try a saved input again")
    given = parser.parse_args()
    if given.replay:
        name = given.format[0] if given.format else given.replay.name.rpartition("-")[0]
        wrong = outcome(entries()[name].run, given.replay.read_bytes())
        print("\n".join(wrong) if wrong else "nothing wrong")
        return 1 if wrong else 0
    result = run(given.format or names, given.seconds, Plan(given.seed, given.first))
    report(result, given.seed, FOLDER, print)
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
