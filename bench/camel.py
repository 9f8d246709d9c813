"""``camel_camt053_read``: Apache Camel with a route in YAML alone makes JSON lines of fourteen fields of each entry.

The third pass of a warm JVM counts. Floor: our own third reading of the same file, on all cores, in the same run. The
libraries stand in ``build/camel-files`` (``make bench-peers``, with Java 17 and Maven); without them this is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

from bench import reading
from bench.files import camt053
from bench.measure import Measurement, left_out, told, workplace

LIBRARIES = Path("build/camel-files")
CONFIGURATION = Path(__file__).parent / "peers" / "camel_files"
_TOLD = re.compile(r"read - (begin|end) (\S+)")
_ROUNDS = 3
_LONGEST = 300
"""Seconds after which it is given up."""
_OPTIONS = ["-Xmx512m", "-XX:+UseParallelGC"]


def read(folder: Path, target: Path) -> tuple[float, float]:
    """(seconds of the last pass, peak memory in MB) for the files in ``folder``."""
    environment = os.environ | {
        "BENCH_ROUTES": str(CONFIGURATION / "routes.yaml"),
        "BENCH_IN": str(folder),
        "BENCH_OUT": str(target),
    }
    command = ["java", *_OPTIONS, "-cp", f"{CONFIGURATION}:{LIBRARIES}/*", "org.apache.camel.main.Main"]
    passes: list[dict[str, datetime]] = [{}]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as java:
        watchdog = threading.Timer(_LONGEST, java.kill)
        watchdog.start()
        for line in java.stdout or ():
            found = _TOLD.search(line)
            if found is None:
                continue
            passes[-1][found[1]] = datetime.fromisoformat(found[2])
            if found[1] == "end" and len(passes) == _ROUNDS:
                break
            if found[1] == "end":
                passes.append({})
        watchdog.cancel()
        status = Path(f"/proc/{java.pid}/status").read_text("ascii")
        java.kill()
    last = passes[-1]
    if set(last) != {"begin", "end"}:
        raise SystemExit("Camel ended before it had read the file three times")
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    return (last["end"] - last["begin"]).total_seconds(), round(int(peak[1]) / 1024, 1) if peak else 0.0


def main(entries: int) -> None:
    """One round of each."""
    if not LIBRARIES.exists() or shutil.which("java") is None:
        left_out("camel_camt053_read", "there is no build/camel-files, or no java; see: make bench-peers")
        return
    with workplace() as folder:
        inbox = folder.resolve() / "in"
        inbox.mkdir()
        file = camt053(folder / "statement.xml", entries)
        for number in range(_ROUNDS):
            os.link(file, inbox / f"{number}.xml")
        target = folder.resolve() / "camel.jsonl"
        took, peak = read(inbox, target)
        with target.open("rb") as lines:
            count = sum(1 for _ in lines)
        if count < _ROUNDS * entries:
            raise SystemExit(f"Camel wrote {count} lines instead of {_ROUNDS * entries}")
        cores = len(os.sched_getaffinity(0))
        ours = [reading.read(file, folder / "entries.jsonl", cores)[0] for _ in range(_ROUNDS)][-1]
    told(
        Measurement(
            "camel_camt053_read",
            str(entries),
            round(entries / took),
            "entries/s",
            round(took, 3),
            peak,
            round(entries / ours),
            round(ours / took, 3),
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
