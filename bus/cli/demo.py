"""`bus demo`: play the main job against scripted partners and print what happened."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from bus.cli.output import Exit, config_option, leave, note, print_json, print_table

OUTCOMES = ("bank-north", "bank-south", "treasury", "bad")


@click.command()
@click.option("--runs", default=4, show_default=True, type=click.IntRange(1, 500), help="Payment runs.")
@click.option("--lines", default=200, show_default=True, type=click.IntRange(10, 10_000), help="Lines in each run.")
@click.option(
    "--work", default=".demo", show_default=True, type=click.Path(path_type=Path), help="Working folder; emptied."
)
@click.option(
    "--patience", default=180, show_default=True, type=click.IntRange(5, 3600), help="Seconds before giving up."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
def command(*, runs: int, lines: int, work: Path, patience: int, as_json: bool, config: Path) -> None:
    """Play the main job against scripted partners.

    An ERP drops payment runs on its SFTP server; the bus splits, checks and routes them, writes ISO 20022 files into
    the inboxes of two banks, which answer with pain.002 and camt.053. All of it is on loopback, in one folder.

    Without a landscape here the one that comes with the program is played.
    """
    from bus.app import calm_collector  # noqa: PLC0415 - the engine is only loaded when it is wanted
    from bus.operating.logs import quiet_unless_asked  # noqa: PLC0415
    from bus.testing.play import Play  # noqa: PLC0415

    with quiet_unless_asked():
        play = Play(_landscape(config), work, note)
        calm_collector()
        try:
            played = play.perform(runs, lines, float(patience))
            story = _story(play.app.store.read, played)
        finally:
            play.close()
    if as_json:
        print_json(story)
    else:
        _print_story(story, work)
    if story["unaccounted"]:
        leave(Exit.FINDINGS)


def _landscape(config: Path) -> Path:
    """The folder that was named or found; where nobody named one and none is here, the one that comes with us."""
    if config != Path() or Path("bus.yaml").is_file():
        return config
    testing = Path(str(files("bus.testing")))
    places = (testing / "gateway", testing.parents[1] / "routes")  # of an installed package, and of a checkout
    return next((place for place in places if (place / "bus.yaml").is_file()), config)


# ---------------------------------------------------------------- what happened


def _story(read: Any, played: Any) -> dict[str, Any]:
    """All that is printed, from the ledger and from what the ERP knows of its own files."""
    expected = {o: Counter[str]() for o in OUTCOMES}
    sums: dict[str, dict[str, Decimal]] = {o: {} for o in OUTCOMES}
    for run in played.runs:
        for line in (line for outcome in OUTCOMES for line in run.expected(outcome)):
            expected[line.outcome][line.currency] += 1
            if line.amount is not None:
                sums[line.outcome][line.currency] = sums[line.outcome].get(line.currency, Decimal(0)) + line.amount
    statuses = read(
        "SELECT partner, currency, status, count(*), group_concat(amount) FROM instruction GROUP BY 1, 2, 3"
    )
    paid = _by_bank(statuses)
    rejected = read("SELECT sum(count) FROM tally WHERE place LIKE 'payments-out%' AND outcome = 'rejected'")[0][0] or 0
    held = read("SELECT count(*) FROM held WHERE code <> 'DUP101'")[0][0]
    lines = sum(n for c in expected.values() for n in c.values())
    terminal = sum(row[3] for row in statuses) + rejected + held
    rates = read(
        "SELECT substr(place, 1, instr(place || '#', '#') - 1) AS name, outcome, sum(count) FROM tally "
        "WHERE outcome NOT IN ('joined', 'released') GROUP BY 1, 2 ORDER BY 1, 2"  # moves inside a route
    )
    return {
        "seconds": round(played.seconds, 1),
        "lines": lines,
        "terminal": terminal,
        "unaccounted": lines - terminal,
        "per_second": round(lines / played.seconds, 1),
        "classes": [
            {"class": o, "currency": c, "lines": n, "amount": sums[o].get(c)}
            for o in OUTCOMES
            for c, n in sorted(expected[o].items())
        ],
        "banks": paid,
        "routes": [{"place": p, "outcome": o, "messages": n} for p, o, n in rates],
        "traced": _traced(read),
        "held": _case(read, "POL100"),
        "rejected": _case(read, "REJ101"),
        "cases": [
            {"code": c, "open": n} for c, n in read("SELECT code, count(*) FROM cases WHERE state = 'open' GROUP BY 1")
        ],
    }


def _by_bank(rows: list[Any]) -> list[dict[str, Any]]:
    found = []
    for partner, currency, status, count, amounts in rows:
        total = sum((Decimal(text) for text in amounts.split(",")), Decimal(0))
        found.append({"bank": partner, "currency": currency, "status": status, "payments": count, "amount": total})
    return found


def _traced(read: Any) -> list[str]:
    """Three end-to-end ids worth a trace: settled at either bank, and refused by one."""
    wanted = [
        "SELECT end_to_end_id FROM instruction WHERE partner = 'bank-north' AND status <> 'RJCT' LIMIT 1",
        "SELECT end_to_end_id FROM instruction WHERE partner = 'bank-south' AND status <> 'RJCT' LIMIT 1",
        "SELECT end_to_end_id FROM instruction WHERE status = 'RJCT' LIMIT 1",
    ]
    return [rows[0][0] for sql in wanted if (rows := read(sql))]


def _case(read: Any, code: str) -> dict[str, Any] | None:
    rows = read("SELECT id, code, summary, owner, context FROM cases WHERE code = ? ORDER BY id LIMIT 1", (code,))
    if not rows:
        return None
    number, found, summary, owner, context = rows[0]
    return {"case": number, "code": found, "summary": summary, "owner": owner, "about": json.loads(context)}


# ---------------------------------------------------------------- for people


def _print_story(story: dict[str, Any], work: Path) -> None:
    click.echo()
    print_table(
        ["class", "currency", "lines", "amount"],
        [[c["class"], c["currency"], c["lines"], c["amount"]] for c in story["classes"]],
        title="What the ERP sent, by what must become of it",
    )
    print_table(
        ["bank", "currency", "status", "payments", "amount"],
        [[b["bank"], b["currency"], b["status"], b["payments"], b["amount"]] for b in story["banks"]],
        title="What the banks say of it",
    )
    print_table(
        ["place", "outcome", "messages"],
        [[r["place"], r["outcome"], r["messages"]] for r in story["routes"]],
        title="Routes and outlets",
    )
    _print_traces(story["traced"], work)
    for title, case in (("Held", story["held"]), ("Rejected by a bank", story["rejected"])):
        if case:
            about = case["about"]
            click.echo(f"\n{title}: case {case['case']} {case['code']} for {case['owner']}: {case['summary']}")
            click.echo(
                f"  {about.get('file', '')} {about.get('place', '')} {about.get('keys', {}).get('end_to_end_id', '')}"
            )
    click.echo(
        f"\n{story['lines']} lines, {story['terminal']} terminal, {story['unaccounted']} unaccounted for, "
        f"in {story['seconds']} s ({story['per_second']} payments a second, everything included)."
    )
    click.echo(f"Files: {work / 'partners'} (erp, bank-north, bank-south), ledger: {work / 'bus' / 'bus.db'}")
    click.echo(f"Look further: GIROBUS_STORE={shlex.quote(str(work / 'bus'))} {_own_name()} cases list")


def _own_name() -> str:
    """This program as it was called, for commands to copy."""
    return shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == "bus" else "bus"


def _print_traces(keys: list[str], work: Path) -> None:
    from bus.cli.telling import Circumstances  # noqa: PLC0415 - see command
    from bus.cli.trace import print_trace  # noqa: PLC0415
    from bus.ledger.reading import Reading  # noqa: PLC0415
    from bus.ledger.reading_trace import Tracer  # noqa: PLC0415

    now = time.time_ns() // 1_000_000
    with Reading(work / "bus" / "bus.db") as reading:
        for key in keys:
            trace = Tracer(reading, now).trace(key)
            if trace is not None:
                click.echo()
                print_trace(trace, Circumstances(now, running=False))
