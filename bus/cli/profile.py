"""``bus profile``: the rule books that there are, and what one of them demands on a day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.output import clean, config_option, json_option, note, print_json, print_table
from bus.cli.rulebooks import profiles

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group()
def command() -> None:
    """List the profiles of schemes and banks, and show what one demands."""


@command.command(name="list")
@config_option
@json_option
def list_command(config: Path, *, as_json: bool) -> None:
    """List all profiles: shipped with girobus, or beside the routes."""
    from bus.registry import profile_support  # noqa: PLC0415 - loads the profiles

    every, shipped = profiles(config), profile_support().shipped_texts()
    rows = []
    for name in every.names():
        spec = every.spec(name)
        days = [dated.valid_from for dated in every.editions(name)]
        origin = "shipped" if name in shipped else "own"
        rows.append(
            {"profile": name, "from": origin, "extends": spec.extends, "editions": days, "summary": spec.summary}
        )
    if as_json:
        print_json(rows)
        return
    heads = ("profile", "from", "extends", "editions", "summary")
    print_table(heads, [[r["profile"], r["from"], r["extends"], len(r["editions"]), r["summary"]] for r in rows])


def _day(_ctx: click.Context, _option: click.Parameter, value: str | None) -> date:
    try:
        return date.fromisoformat(value) if value else date.today()  # noqa: DTZ011 - today, where the operator sits
    except ValueError:
        raise click.BadParameter("write a day such as 2026-11-24") from None


_date_option: Callable[..., Any] = click.option(
    "--date", "day", metavar="DAY", callback=_day, help="Day whose edition is shown; default: today."
)


@command.command()
@click.argument("name")
@_date_option
@config_option
@json_option
def show(name: str, day: date, config: Path, *, as_json: bool) -> None:
    """Show what a profile demands on a day. All that it extends is merged in."""
    from bus.registry import profile_support  # noqa: PLC0415 - loads the profiles

    every = profiles(config)
    editions = every.editions(name)
    valid = [dated for dated in editions if dated.valid_from is None or dated.valid_from <= day]
    if not valid:
        note(f"{clean(name)} has no edition for {day}; the first begins on {editions[0].valid_from}.")
        return
    dated = valid[-1]
    demands = profile_support().demands(dated.rules)
    if as_json:
        facts = {"profile": name, "date": day, "valid_from": dated.valid_from, "source": dated.source}
        print_json({**facts, "demands": [one._asdict() for one in demands]})
        return
    begun = f"since {dated.valid_from}" if dated.valid_from else "since ever"
    following = next((one.valid_from for one in editions if one.valid_from is not None and one.valid_from > day), None)
    click.echo(f"{clean(name)}, edition {begun}{f', until {following}' if following else ''}")
    if dated.source:
        click.echo(f"source: {clean(dated.source)}")
    print_table(("rule", "says", "breach", "reason"), [list(one) for one in demands])
