"""``peer_NAME``: another library reads the same file as we do, in the same run.

Both read it three times in one process; the last time counts. Floor: our own rate. The libraries stand in
``build/peers`` (``make bench-peers``); without it, or where one cannot run, it is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench import legacy, reading
from bench.files import camt053, mt940
from bench.measure import Measurement, left_out, told, workplace

PYTHON = Path("build/peers/bin/python")
READERS = Path(__file__).parent / "peers" / "readers.py"
ENTRIES = {"camt053": 20_000, "bankstatementparser": 20_000, "pyiso20022": 5_000}
LINES = 20_000
PASSES = 3


def main(name: str) -> None:
    """One peer, one round of each."""
    if not PYTHON.exists():
        left_out(f"peer_{name}", "there is no build/peers; make it with: make bench-peers")
        return
    with workplace() as folder:
        target = folder / "entries.jsonl"
        if name == "mt-940":
            count, unit = LINES, "lines/s"
            file = mt940(folder / "statement.sta", count)
            ours = [legacy.read(file, target)[0] for _ in range(PASSES)][-1]
        else:
            count, unit = ENTRIES[name], "entries/s"
            file = camt053(folder / "statement.xml", count)
            ours = [reading.read(file, target, 1)[0] for _ in range(PASSES)][-1]
        with target.open("rb") as lines:
            wanted = sum(1 for _ in lines)
        done = subprocess.run(
            [PYTHON, READERS, name, file, folder / "peer.jsonl", str(PASSES)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        left_out(f"peer_{name}", (done.stderr.strip().splitlines() or ["no word why"])[-1][:200])
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["count"] != wanted:
        left_out(f"peer_{name}", f"it found {found['count']} entries of {wanted}")
        return
    rate, below = count / found["seconds"], count / ours
    told(
        Measurement(
            f"peer_{name}",
            str(count),
            round(rate),
            unit,
            round(found["seconds"], 3),
            found["rss_mb"],
            round(below),
            round(rate / below, 3),
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
