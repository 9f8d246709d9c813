"""``camt053_read``: a camt.053 becomes JSON lines of canonical entries in order, as by ``bus inspect --to canonical``.

With one process and with one for each core. Floor: lxml reads the same file and drops every entry, in one process.
*rss_mb* is the growth of that process which grows most.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from bench.files import camt053
from bench.measure import Measurement, Memory, seconds, told, workplace
from bench.statements import floor
from bus.app import calm_collector
from bus.cli.records import record_line
from transforms.iso20022 import Iso20022Spec


def read(file: Path, target: Path, processes: int) -> tuple[float, float]:
    """(seconds, growth in MB of one process)."""
    spec = Iso20022Spec()
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    calm_collector()

    def work() -> None:
        with target.open("wb") as out:
            if processes == 1:
                with file.open("rb") as source:
                    out.writelines(record_line(part.body) for part in spec.build().read(source).parts(""))
                return
            shared = spec.spread(file, record_line, processes)
            if shared is None:
                raise SystemExit("the file is not shared among processes")
            out.writelines(some.lines for some in shared)

    with Memory() as memory:
        took = seconds(work)
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return took, round(max(memory.own_growth_mb, child - baseline), 1)


def main(entries: int, processes: int) -> None:
    """One round; the file is made anew."""
    with workplace() as folder:
        file = camt053(folder / "statement.xml", entries)
        below = floor(file)
        target = folder / "entries.jsonl"
        took, grown = read(file, target, processes)
        with target.open("rb") as lines:
            count = sum(1 for _ in lines)
    if count != entries:
        raise SystemExit(f"{count} lines instead of {entries}")
    rate = entries / took
    size = f"{entries} in {processes}"
    told(
        Measurement(
            "camt053_read",
            size,
            round(rate),
            "entries/s",
            round(took, 3),
            grown,
            round(entries / below),
            round(below / took, 3),
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else len(os.sched_getaffinity(0)))
