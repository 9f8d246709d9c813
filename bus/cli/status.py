"""`bus status`: what runs, what waits and what needs a person, without disturbing the bus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bus.cli.figures import RouteLine, Status, read_status
from bus.cli.moments import age, clock, stamp
from bus.cli.output import config_option, json_option, print_json, print_table
from bus.cli.site import Site, now

_ALWAYS = 4
"""First columns that are shown even when they are all 0."""


@click.command()
@config_option
@json_option
def command(*, config: Path, as_json: bool) -> None:
    """Show what runs, what waits and what needs a person.

    Reads the ledger only, so it works whether or not the bus runs. Counts of documents and amounts are since the ledger
    began; queues, holds and cases are of now.
    """
    site = Site.of(config)
    running = site.running()
    moment = now()
    if site.has_ledger:
        with site.reading() as reading:
            status = read_status(site, reading, running, moment)
    else:
        status = read_status(site, None, running, moment)
    if as_json:
        print_json(status)
    else:
        _print(status, moment)


def _print(status: Status, moment: int) -> None:
    click.echo(_headline(status, moment))
    places = [f"{what} {where}" for what, where in (("broker", status.broker), ("ledger", status.ledger)) if where]
    if places:
        click.echo(" · ".join(places))
    _table(
        ("process", "pid", "role", "version", "routes", "progress", "stalled", "memory MB", "since", "deaths"),
        [
            (
                line.place, line.pid, line.role, line.version, line.routes, line.progress, line.stalled,
                line.memory // 1_000_000, stamp(line.since), line.deaths,
            )
            for line in status.processes
        ],
    )  # fmt: skip
    _table(
        ("route", "state", "version", "in", "out", "filtered", "rejected", "held", "dead", "cases", "waits", "oldest"),
        [
            (
                line.route, line.state, line.version, line.came, line.out, line.filtered, line.rejected, line.held,
                line.dead, line.cases, _waits(line), age(line.oldest, moment) if line.oldest else "",
            )
            for line in status.routes
        ],
    )  # fmt: skip
    _table(
        ("route", "currency", "in", "out", "filtered", "rejected", "dead"),
        [
            (line.route, m.currency, m.came, m.out, m.filtered, m.rejected, m.dead)
            for line in status.routes
            for m in line.money
        ],
    )
    _table(
        ("outlet", "delivered", "last", "deferred", "next attempt", "in doubt", "dead", "cases", "waits", "oldest"),
        [
            (
                line.outlet, line.delivered, stamp(line.last), line.deferred,
                clock(line.next_attempt)[:8] if line.next_attempt else "", line.in_doubt, line.dead, line.cases,
                _about(line.queued, exact=line.exact), age(line.oldest, moment) if line.oldest else "",
            )
            for line in status.outlets
        ],
    )  # fmt: skip


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table; on a terminal without the columns that have nothing to tell, so that the rest has room."""
    if not rows:
        return
    print_table(columns, rows, always=_ALWAYS)


def _headline(status: Status, moment: int) -> str:
    if status.pid is None:
        head = f"{status.landscape}: no bus runs here · store {status.store}"
    else:
        since = f", for {age(status.since, moment)}" if status.since else ""
        head = f"{status.landscape}: running (pid {status.pid}{since}) · store {status.store}"
    parts = [head, f"{status.cases} open {'case' if status.cases == 1 else 'cases'}"]
    if status.hold_outputs:
        parts.append("outputs are held back")
    if status.unanswered:
        late = f", {status.overdue} of them late" if status.overdue else ""
        parts.append(f"{status.unanswered} payments wait for an answer{late}")
    return " · ".join(parts)


def _waits(line: RouteLine) -> str:
    """``12`` in queues, and what waits for something else than its turn."""
    parts = [_about(line.queued, exact=line.exact)]
    for count, word in (
        (line.deferred, "deferred"),
        (line.gathering, "gathering"),
        (line.resequencing, "out of order"),
        (line.loading, "files being split"),
    ):
        if count:
            parts.append(f"{count} {word}")
    return ", ".join(parts)


def _about(count: int, *, exact: bool) -> str:
    return str(count) if exact else f"about {count}"
