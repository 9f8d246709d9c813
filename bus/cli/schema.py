"""`bus schema`: the JSON Schema of the configuration files, for completion and checking in editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli.output import note
from bus.config.schema import SCHEMAS, json_schema
from bus.registry import Registry

if TYPE_CHECKING:
    from pydantic import BaseModel


@click.command()
@click.option("--kind", type=click.Choice(SCHEMAS), default="route", show_default=True, help="Kind of file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write to this file; a name without an ending is a folder, which gets one KIND.json a kind of file.",
)
def command(*, kind: str, out: Path | None) -> None:
    """Print the JSON Schema of a kind of configuration file, with all plug-ins that are installed.

    Point an editor to it with a first line such as

        # yaml-language-server: $schema=../.bus/schema/route.json
    """
    catalogue = Registry()
    if out is not None and not out.suffix:
        out.mkdir(parents=True, exist_ok=True)
        for each in SCHEMAS:
            _save(out / f"{each}.json", _text(each, catalogue))
    elif out is not None:
        _save(out, _text(kind, catalogue))
    else:
        click.echo(_text(kind, catalogue), nl=False)


def _text(kind: str, catalogue: Registry) -> str:
    model: type[BaseModel] | None = None
    if kind == "test":
        from bus.testing.routes import RouteTests  # noqa: PLC0415 - the test runner brings the whole engine with it

        model = RouteTests
    return json.dumps(json_schema(kind, catalogue, model), indent=2, ensure_ascii=False) + "\n"


def _save(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    note(f"wrote {path}")
