"""`bus lineage`: which routes, mappings and templates write or read a field, told from the configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli.output import Exit, clean, config_option, json_option, leave, note, print_json, seen_from_here

if TYPE_CHECKING:
    from bus.config.lineage import Use


@click.command()
@click.argument("field", metavar="FIELD")
@json_option
@config_option
def command(*, field: str, config: Path, as_json: bool) -> None:
    """Show which routes, mappings and templates write a field, and which read it.

    FIELD is a path such as `creditor.account.iban`, of any source or target; `payment.creditor.name` means the field
    of that canonical model. Nothing is run. Exit 2 when nothing knows the field.
    """
    from bus.config import load_landscape  # noqa: PLC0415 - loads pydantic
    from bus.config.lineage import known_fields, lineage  # noqa: PLC0415
    from bus.config.problems import nearest  # noqa: PLC0415

    landscape = load_landscape(config)
    written, read = lineage(landscape, field)
    if as_json:
        print_json({"field": field, "written": [asdict(use) for use in written], "read": [asdict(use) for use in read]})
    else:
        click.echo(click.style(clean(field), bold=True))
        _branch("written by", written, landscape.folder, last=False)
        _branch("read by", read, landscape.folder, last=True)
    if not written and not read:
        near = nearest(field, known_fields(landscape))
        note(f"Nothing knows the field {clean(field)!r}." + (f" Did you mean {near!r}?" if near else ""))
        leave(Exit.USAGE)


def _branch(title: str, uses: list[Use], folder: Path, *, last: bool) -> None:
    click.echo(f"{'└─' if last else '├─'} {title}{'' if uses else ' nothing'}")
    trunk = "   " if last else "│  "
    for number, use in enumerate(uses):
        final = number + 1 == len(uses)
        where = f"{seen_from_here(folder / use.path)}:{use.line}"
        click.echo(f"{trunk}{'└─' if final else '├─'} {_told(use)}   {click.style(where, dim=True)}")
        below = f"{trunk}{'   ' if final else '│  '}"
        if use.kind in ("mapping", "template") and use.routes:
            click.echo(f"{below}in {', '.join(use.routes)}")


def _told(use: Use) -> str:
    if use.kind == "mapping":
        onward = use.what if use.what.startswith("→") else f"← {use.what}"
        return clean(f"mapping {use.name}: {use.how}   {onward}")
    if use.kind == "template":
        return clean(f"template {use.name}")
    return clean(f"route {use.name}, {use.what}: {use.how}")
