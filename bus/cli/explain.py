"""`bus explain`: what an error code means, what a route does, what a configuration field takes."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.output import Exit, clean, config_option, json_option, leave, note, print_json
from bus.errors import ConfigError

if TYPE_CHECKING:
    from bus.cli.prose import Decision


@click.command()
@click.argument("what", metavar="CODE|route|field")
@click.argument("name", required=False, metavar="[ROUTE|FIELD]")
@click.option(
    "--body",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With `route`: a JSON file; shows each condition with its value for it.",
)
@click.option("--message", metavar="KEY", help="With `route`: the same for a message, by its invoice, file name or id.")
@config_option
@json_option
def command(
    *, what: str, name: str | None, body: Path | None, message: str | None, config: Path, as_json: bool
) -> None:
    """Explain an error code, a route or a configuration field.

    \b
        bus explain CFG101
        bus explain route supplier-payments-out
        bus explain route supplier-payments-out --message INV-2026-00417
        bus explain route supplier-payments-out --body payment.json
        bus explain field split.each
    """  # noqa: D301 - the mark by which click keeps lines as they are
    if (body or message) and what != "route":
        raise click.UsageError("--body and --message go with `bus explain route NAME`.")
    if body and message:
        raise click.UsageError("Give either --body or --message.")
    if what == "route" and message:
        _message(_needed(name, "route NAME"), message, config, as_json=as_json)
    elif what == "route":
        _route(_needed(name, "route NAME"), body, config, as_json=as_json)
    elif what == "field":
        _field(_needed(name, "field split.each"), as_json=as_json)
    elif name is not None:
        raise click.UsageError(f"Write `bus explain {what}`, `bus explain route {name}` or `bus explain field {name}`.")
    else:
        _code(what.upper(), as_json=as_json)


def _needed(name: str | None, form: str) -> str:
    if name is None:
        raise click.UsageError(f"Say which one: `bus explain {form}`.")
    return name


# ---------------------------------------------------------------- codes


def _code(code: str, *, as_json: bool) -> None:
    from bus.codes import codes  # noqa: PLC0415 - reads all code tables

    table = codes()
    if code not in table:
        note(f"There is no code {clean(code[:40])}. Codes look like CFG101; every message shows its own.")
        leave(Exit.USAGE)
    row = table[code]
    if as_json:
        print_json({"code": code, **row._asdict()})
        return
    click.echo(f"{click.style(code, bold=True)}  {row.title}")
    click.echo(f"  means  {row.means}")
    click.echo(f"  do     {row.do}")


# ---------------------------------------------------------------- routes


def _route(name: str, body: Path | None, folder: Path, *, as_json: bool) -> None:
    from bus.cli.explained import tables  # noqa: PLC0415 - loads the ledger
    from bus.cli.prose import explain_route, route_prose  # noqa: PLC0415
    from bus.config import load_landscape  # noqa: PLC0415

    landscape = load_landscape(folder)
    loaded = landscape.routes.get(name)
    if loaded is None:
        raise _no_route(name, landscape)
    if body is None:
        lines = route_prose(loaded)
        if as_json:
            print_json({"route": name, "path": loaded.path, "text": lines})
        else:
            click.echo("\n".join(clean(line) for line in lines))
        return
    decisions = explain_route(loaded.spec, _read(body), tables(landscape))
    if as_json:
        print_json([_as_data(decision) for decision in decisions])
        return
    _print_decisions(decisions)
    note("Each condition is worked out on the body as given; steps that change it are not run.")


def _message(name: str, key: str, folder: Path, *, as_json: bool) -> None:
    from bus.cli.explained import explain_message  # noqa: PLC0415 - loads the ledger
    from bus.cli.moments import clock  # noqa: PLC0415
    from bus.cli.site import Site  # noqa: PLC0415

    found = explain_message(Site.of(folder), name, key)
    if as_json:
        print_json({**asdict(found), "decisions": [_as_data(decision) for decision in found.decisions]})
        return
    width = max(len(clean(hop.step)) for hop in found.hops)
    for hop in found.hops:
        code = f"  {hop.code} {hop.reason}" if hop.code else ""
        click.echo(f"{clock(hop.at)}  {clean(hop.step):<{width}}  {clean(hop.outcome)}{clean(code)}")
    if not found.rests:
        note("The content of the message is not kept any more; --body FILE shows the conditions for another one.")
        return
    state = {"held": "is held", "deferred": "waits for its next attempt", "dead": "is dead"}[found.rests]
    stands = f"It {state} in front of {clean(found.channel)}, in version {found.version}."
    if not found.decisions:
        click.echo(f"{stands} No condition follows there.")
        return
    click.echo(f"{stands} With its values there:")
    _print_decisions(found.decisions)
    note("Steps that change the message are not run for this.")


def _as_data(decision: Decision) -> dict[str, Any]:
    from bus.cli.prose import shown  # noqa: PLC0415 - loads the configuration package

    return {**asdict(decision), "parts": [[text, shown(value)] for text, value in decision.parts]}


def _print_decisions(decisions: list[Decision]) -> None:
    from bus.cli.prose import shown  # noqa: PLC0415 - loads the configuration package

    before = ""
    for decision in decisions:
        if decision.step != before:
            click.echo(f"{click.style(decision.step, bold=True)} {decision.pattern}")
            before = decision.step
        (whole, value), *parts = decision.parts
        click.echo(f"  {clean(decision.where)}  {clean(whole)}  → {clean(shown(value))}")
        for text, part in parts:
            click.echo(f"      {clean(text)}  =  {clean(shown(part))}")


def _no_route(name: str, landscape: Any) -> ConfigError:
    from bus.config.problems import listed, nearest  # noqa: PLC0415 - only after a slip

    near = nearest(name, list(landscape.routes))
    hint = f"did you mean `{near}`?" if near else f"known: {listed(sorted(landscape.routes))}"
    broken = any(problem.severity == "error" for problem in landscape.problems)
    return ConfigError("CFG193", f"there is no route `{name}`", hint=hint + ("; see also: bus check" if broken else ""))


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError, RecursionError):
        raise ConfigError("CFG195", f"{file} is not JSON in UTF-8", hint="give one JSON document") from None


# ---------------------------------------------------------------- fields


def _field(path: str, *, as_json: bool) -> None:
    from bus.config.reference import look_up  # noqa: PLC0415 - loads the configuration package
    from bus.registry import Registry  # noqa: PLC0415

    entries = look_up(path, Registry())
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        click.echo(click.style(entry.path, bold=True))
        facts = [entry.takes, "required" if entry.required else f"default: {entry.default}" if entry.default else ""]
        click.echo("  " + " · ".join(fact for fact in facts if fact))
        inside = False
        for line in entry.text.splitlines():
            if line.startswith("```"):
                inside = not inside
            else:
                click.echo(f"  {'    ' if inside else ''}{line}".rstrip())
        width = max((len(key) for key in entry.keys), default=0)
        for key, text in entry.keys.items():
            click.echo(_in_column(f"    {key:<{width}}  ", text))


def _in_column(head: str, text: str) -> str:
    """A text beside its head, on a terminal in lines that fit; elsewhere in one line."""
    if not sys.stdout.isatty():
        return f"{head}{text}".rstrip()
    room = max(shutil.get_terminal_size().columns, len(head) + 30)
    return click.wrap_text(text or " ", room, head, " " * len(head)).rstrip()
