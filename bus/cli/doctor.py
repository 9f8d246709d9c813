"""`bus doctor`: looks at everything that the bus needs and says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bus.cli.output import config_option, json_option, note, print_json, print_table

_MARKS = {"ok": "ok", "info": "·", "warning": "warning", "error": "ERROR", "away": "AWAY", "skipped": "skipped"}


@click.command()
@click.option("--offline", is_flag=True, help="Ask no partner, broker or database.")
@click.option("--write", "writing", is_flag=True, help="Also put a file into the stage folders and remove it.")
@click.option(
    "--timeout", default=20.0, show_default=True, type=click.FloatRange(1, 600), help="Seconds for each look."
)
@click.option("--strict", is_flag=True, help="Warnings count as findings (exit 1).")
@config_option
@json_option
def command(*, config: Path, offline: bool, writing: bool, timeout: float, strict: bool, as_json: bool) -> None:
    """Look at everything that the bus needs and say what to do; nothing is changed.

    Configuration, secrets, store, disk, clock, limits, versions, keys, ledger, broker, every partner: all at the same
    time. It works whether or not the bus runs; look as the user that runs it.

    Exit code: 0 all is well (warnings included), 1 something is wrong, 5 something cannot be reached.
    """
    from bus.cli.site import Site  # noqa: PLC0415 - the landscape is read on use
    from bus.operating import doctor, machine, partners  # noqa: PLC0415
    from certs.files import default_folder  # noqa: PLC0415

    site = Site.of(config)
    checks = machine.checks(site.landscape, site.home, site.place, default_folder())
    if not offline:
        checks += partners.ledger_checks(site.place)
        checks += partners.broker_checks(site.landscape, site.place)
        checks += partners.partner_checks(site.landscape, writing=writing)
    if not offline or isinstance(site.place, Path):
        checks += partners.state_checks(site.place)
    tell = _progress if sys.stderr.isatty() else lambda _check: None
    found = list(doctor.examine(checks, timeout, tell))
    if as_json:
        print_json([one._asdict() for one in found])
    else:
        print_table(
            ["", "area", "what", "found", "code", "do"],
            [(_MARKS[one.state], one.area, one.what, one.said, one.code, one.do) for one in found],
        )
    code = doctor.verdict(found)
    if strict and not code and any(one.state == "warning" for one in found):
        code = 1
    _sum_up([one.state for one in found])
    click.get_current_context().exit(code)


def _progress(check: object) -> None:
    """One line that is written over, on a terminal."""
    what = getattr(check, "what", "")
    click.echo(f"\r\033[Klooking at {what} …\r", nl=False, err=True)


def _sum_up(states: list[str]) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    words = (("error", "wrong"), ("away", "not reached"), ("warning", "to be looked at"), ("ok", "well"))
    note(" · ".join(f"{states.count(state)} {word}" for state, word in words if states.count(state)))
