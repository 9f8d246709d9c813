"""`bus routes`: list them, look at one, pause, resume and drain them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.output import clean, config_option, json_option, note, print_json, print_table
from bus.cli.site import Site
from bus.runtime.socket import Request

if TYPE_CHECKING:
    from bus.config import LoadedRoute

_STDOUT = "-"


@click.group()
def command() -> None:
    """List the routes, look at one, pause, resume and drain them."""


@command.command("list")
@config_option
@json_option
def list_(*, config: Path, as_json: bool) -> None:
    """List the routes with their state, version, source and ways out."""
    from bus.cli.sketch import sketch  # noqa: PLC0415 - loads the configuration package

    site = Site.of(config)
    states, versions = _states(site), _versions(site)
    rows = []
    for name, loaded in site.landscape.routes.items():
        drawn = sketch(loaded)
        source = drawn.source if drawn.source != "channel" else f"channel {loaded.spec.from_.channel}"
        rows.append(
            {
                "route": name,
                "state": states.get(name, "running"),
                "version": versions[name],
                "owner": drawn.owner,
                "source": source,
                "to": sorted(_ends(drawn)),
                "path": loaded.path,
                "summary": drawn.summary,
            }
        )
    if as_json:
        print_json(rows)
    elif rows:
        columns = ("route", "state", "version", "owner", "source", "to", "summary")
        shown = [{**row, "to": ", ".join(row["to"])} for row in rows]
        print_table(columns, [[row[column] for column in columns] for row in shown])
    else:
        note(f"There is no route in {site.folder}/ yet.")
    _warn(site)


def _ends(drawn: Any) -> set[str]:
    """Everything that a route sends to."""
    from bus.cli.sketch import END  # noqa: PLC0415 - loaded by the caller already

    def below(boxes: Any) -> set[str]:
        found = {box.copies_to for box in boxes}
        for box in boxes:
            for way in box.ways:
                found |= {way.to} | below(way.boxes)
        return found

    return (below(drawn.boxes) | {drawn.to, drawn.rejects_to}) - {"", END}


def _states(site: Site) -> dict[str, str]:
    if not site.has_ledger:
        return {}
    with site.reading() as reading:
        return dict(reading.rows("SELECT route, state FROM route_state"))


def _versions(site: Site) -> dict[str, str]:
    from bus.config import route_hash  # noqa: PLC0415 - loads the configuration package

    return {name: route_hash(site.landscape, loaded)[:8] for name, loaded in site.landscape.routes.items()}


def _warn(site: Site) -> None:
    broken = sum(problem.severity == "error" for problem in site.landscape.problems)
    if broken:
        note(
            f"The files have {broken} {'error' if broken == 1 else 'errors'}; what is broken is missing here: bus check"
        )


# ---------------------------------------------------------------- one route


@command.command()
@click.argument("route")
@click.option(
    "--svg", is_flag=False, flag_value=_STDOUT, default=None, metavar="[FILE]", help="As a picture, to FILE or stdout."
)
@config_option
@json_option
def show(*, route: str, svg: str | None, config: Path, as_json: bool) -> None:
    """Show a route: source, steps, conditions, ways out.

    `═ stored` stands where messages are committed before they go on.
    """
    from bus.cli.sketch import sketch, tree  # noqa: PLC0415 - loads the configuration package

    site = Site.of(config)
    loaded = _route(site, route)
    drawn = sketch(loaded)
    if svg is not None:
        from bus.cli.diagram import draw  # noqa: PLC0415 - only for pictures

        picture = draw(drawn)
        if svg == _STDOUT:
            click.echo(picture, nl=False)
        else:
            Path(svg).write_text(picture, "utf-8")
            note(f"Wrote {svg}.")
        return
    state, version = _states(site).get(route, "running"), _versions(site)[route]
    if as_json:
        print_json({**asdict(drawn), "state": state, "version": version, "path": loaded.path})
        return
    owner = f", owner {drawn.owner}" if drawn.owner else ""
    click.echo(f"{click.style(route, bold=True)}@{version}  {state}  {loaded.path}{owner}")
    for line in [drawn.summary, *tree(drawn)] if drawn.summary else tree(drawn):
        click.echo(clean(line))


def _route(site: Site, name: str) -> LoadedRoute:
    loaded = site.landscape.routes.get(name)
    if loaded is None:
        from difflib import get_close_matches  # noqa: PLC0415 - only after a slip

        near = get_close_matches(name, site.landscape.routes, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else "See: bus routes list"
        raise click.UsageError(f"There is no route `{clean(name[:63])}`. {hint}")
    return loaded


# ---------------------------------------------------------------- changes

_reason = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the audit.")


@command.command()
@click.argument("route")
@_reason
@config_option
@json_option
def pause(*, route: str, reason: str, config: Path, as_json: bool) -> None:
    """Stop a route. Nothing is taken in and nothing inside moves on, until `resume`. Survives a restart."""
    _change(config, Request("pause", route=route, reason=reason), as_json=as_json)


@command.command()
@click.argument("route")
@_reason
@config_option
@json_option
def resume(*, route: str, reason: str, config: Path, as_json: bool) -> None:
    """Let a paused or draining route run again."""
    _change(config, Request("resume", route=route, reason=reason), as_json=as_json)


@command.command()
@click.argument("route")
@_reason
@config_option
@json_option
def drain(*, route: str, reason: str, config: Path, as_json: bool) -> None:
    """Take nothing new in, but let what is inside go on to its end. Survives a restart."""
    _change(config, Request("drain", route=route, reason=reason), as_json=as_json)


def _change(config: Path, request: Request, *, as_json: bool) -> None:
    site = Site.of(config)
    _route(site, request.route)
    result = site.carry_out(request)
    if as_json:
        print_json(result)
    else:
        click.echo(f"{result['route']} is {result['state']}.")
