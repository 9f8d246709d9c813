"""Payment runs with bad lines, duplicates and broken files through the running bus, counted at the partners.

``python -m tests.faults.payment_runs [--runs 100 --lines 200] [--json]`` ends with 1 when anything differs from what
the ERP sent: a line that is not at exactly one end, a sum per currency, an output that ISO's own schema refuses (the
folder ``GIROBUS_XSD``, else the shipped schemas), an incomplete reject file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bus.app import App, Surroundings
from bus.testing.judge import CLASSES, Judgement, Scene, Sum, judge
from bus.testing.landscape import local_edges, schemas
from tests.faults.partners import Partners, table, troubled

ROUTES = Path(__file__).parents[2] / "routes"
_PATIENCE = 600


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found, and how long it took."""

    verdict: Judgement
    runs: int
    lines: int
    schemas: Path
    seconds: float

    @property
    def rejects(self) -> tuple[int, int]:
        """(bad lines that were sent, complete reject lines that came back)."""
        tables = (self.verdict.expected, self.verdict.found)
        sent, back = (sum(s.count for (name, _), s in sums.items() if name == "bad") for sums in tables)
        return sent, back

    def figures(self) -> dict[str, object]:
        """Everything that counts."""
        verdict = self.verdict
        return {
            "runs": self.runs,
            "lines": self.lines,
            "duplicates held": verdict.duplicates,
            "files refused whole": verdict.refused,
            "files to banks": verdict.files,
            "schema-valid, totals right": verdict.valid,
            "bad lines": self.rejects[0],
            "reject lines complete": self.rejects[1],
            "final statuses told": verdict.statuses,
            "entries booked": verdict.entries,
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "wrong": len(verdict.wrong),
            "under way": len(verdict.unfinished),
            "left over": len(verdict.left_over),
            "seconds": round(self.seconds, 1),
        }

    def text(self) -> Iterator[str]:
        """The report for people."""
        rows = []
        expected, found = self.verdict.expected, self.verdict.found
        for name, currency in sorted(expected.keys() | found.keys(), key=lambda key: (CLASSES.index(key[0]), key[1])):
            sent = expected.get((name, currency), Sum())
            there = found.get((name, currency), Sum())
            same = "yes" if sent == there else "NO"
            rows.append((name, currency, sent.count, sent.amount, there.count, there.amount, same))
        yield table(rows, ("class", "currency", "sent", "sum", "found", "sum found", "same"))
        yield ""
        yield from (f"{name:28}{value}" for name, value in self.figures().items())
        yield f"{'schemas':28}{self.schemas}"
        if self.verdict.story():
            yield "\n" + self.verdict.story()


def play(folder: Path, runs: int, lines: int, seed: int = 1) -> Report:
    """Run the shipped landscape with real threads over local folders, to rest, and judge it."""
    given = os.environ.get("GIROBUS_XSD")
    chosen = Path(given) if given else schemas()
    begin = time.perf_counter()
    partners = Partners(folder / "partners", seed)
    partners.local = local = folder / "partners" / "local" / ".bus"
    source, sink = local_edges(folder / "partners")
    app = App(ROUTES, Surroundings(source=source, sink=sink), home=folder / "home")
    try:
        with partners:
            for run in troubled(partners, runs, lines):
                partners.drop(run)
            app.bus.start()
            partners.wait("every payment has its final status", lambda: partners.quiet(app.store.read), _PATIENCE)
            partners.state_accounts()
            partners.wait("every entry is booked", lambda: partners.quiet(app.store.read), _PATIENCE)
            app.bus.stop()
        scene = Scene(partners.town, partners.runs, app.store.read, folder / "home", chosen, local)
        return Report(judge(scene), runs, lines, chosen, time.perf_counter() - begin)
    finally:
        app.bus.stop()
        app.close()


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.payment_runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="good payment runs")
    parser.add_argument("--lines", type=int, default=200, help="lines of each")
    parser.add_argument("--seed", type=int, default=1, help="of the ERP")
    parser.add_argument("--json", action="store_true", help="one line for programs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="girobus-runs-") as folder:
        report = play(Path(folder), options.runs, options.lines, options.seed)
    lines = [json.dumps(report.figures())] if options.json else report.text()
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if report.verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
