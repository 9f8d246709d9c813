"""``python -m bench [NAME…]``: run the measurements one after another and print a table.

Each is a line of ``build/bench.jsonl``; the table of this run stands in ``build/bench.md``, for the documentation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MEASUREMENTS = [
    ("embedded_hop", "bench.hop", ["1", "10", "100", "1000"]),
    ("camt053_store", "bench.statements", ["10000", "100000"]),
    ("camt053_store_xsd", "bench.statements", ["100000 strict"]),
    ("camt053_read", "bench.reading", ["100000 1", "100000", "1000000"]),
    ("pain001_from_csv", "bench.payments", ["10000", "100000"]),
    ("pain001_write", "bench.writing", ["pain001_write 100000"]),
    ("pain001_write_xsd", "bench.writing", ["pain001_write_xsd 100000"]),
    ("mt940_read", "bench.legacy", ["20000"]),
    ("peers", "bench.compared", ["camt053", "bankstatementparser", "pyiso20022", "mt-940"]),
    ("camel", "bench.camel", ["100000"]),
    ("help", "bench.command", ["help"]),
    ("check", "bench.command", ["check"]),
]
_FIELDS = ["name", "size", "value", "unit", "seconds", "rss_mb", "floor", "ratio"]
_COLUMNS = ["name", "size", "value", "unit", "seconds", "MB over start", "floor", "ratio"]


def main(wanted: list[str]) -> int:
    """Each measurement runs in a process of its own, so that memory counts for it alone."""
    console = Console(stderr=True)
    rows = []
    for name, module, arguments in MEASUREMENTS:
        for argument in arguments if not wanted or name in wanted else []:
            console.print(f"[dim]{name} {argument} …[/dim]")
            command = [sys.executable, "-m", module, *argument.split()]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                console.print(done.stderr[-2000:] or done.stdout[-2000:], style="red")
                return 1
            row = json.loads(done.stdout.strip().splitlines()[-1])
            if "left_out" in row:
                console.print(f"{row['name']} is left out: {row['left_out']}", style="yellow")
                continue
            rows.append(row)
    Path("build").mkdir(exist_ok=True)
    with Path("build/bench.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    cells = [_COLUMNS, *([_cell(row[name]) for name in _FIELDS] for row in rows)]
    Path("build/bench.md").write_text(_markdown(cells), "utf-8")
    table = Table(*_COLUMNS)
    for line in cells[1:]:
        table.add_row(*line)
    Console(width=110).print(table)
    return 0


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown(cells: list[list[str]]) -> str:
    """The table as ``docs/performance.md`` has it."""
    head, *lines = cells
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *lines])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
