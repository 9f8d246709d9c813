"""``mt940_read``: an MT940 becomes JSON lines of canonical entries.

Floor: Python reads the lines and splits each at its colons.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.files import mt940
from bench.measure import Measurement, Memory, seconds, told, workplace
from bus.app import calm_collector
from bus.cli.records import record_line
from transforms.mt940 import Mt940Spec


def read(file: Path, target: Path) -> tuple[float, float]:
    """(seconds, peak growth in MB)."""
    form = Mt940Spec().build()
    calm_collector()

    def work() -> None:
        with file.open("rb") as source, target.open("wb") as out:
            for part in form.read(source).parts("entries"):
                if part.error is not None:
                    raise part.error
                out.write(record_line(part.body))

    with Memory() as memory:
        took = seconds(work)
    return took, memory.growth_mb


def floor(file: Path) -> float:
    """Seconds that Python takes to look at the lines."""

    def work() -> None:
        with file.open(encoding="latin-1") as lines:
            for line in lines:
                line.split(":")

    return seconds(work)


def main(lines: int) -> None:
    """One round."""
    with workplace() as folder:
        file = mt940(folder / "statement.sta", lines)
        below = floor(file)
        took, grown = read(file, folder / "entries.jsonl")
        with (folder / "entries.jsonl").open("rb") as told_lines:
            count = sum(1 for _ in told_lines)
    if count != lines // 4:
        raise SystemExit(f"{count} entries instead of {lines // 4}")
    rate = lines / took
    told(
        Measurement(
            "mt940_read",
            str(lines),
            round(rate),
            "lines/s",
            round(took, 3),
            grown,
            round(lines / below),
            round(below / took, 3),
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
