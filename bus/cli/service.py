"""`bus service`: the unit file for systemd, made for this folder, store and program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bus.cli.output import config_option, note
from bus.cli.run import ROLES, must_be_shared, roles_of
from bus.errors import NotAllowed, Unavailable

_UNITS = Path("/etc/systemd/system")


@click.group()
def command() -> None:
    """Print or install the unit file for systemd."""


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--user", default="girobus", show_default=True, help="User that runs the bus."),
        click.option(
            "--writable",
            multiple=True,
            type=click.Path(path_type=Path),
            help="A folder beside the store that the bus writes to; may be repeated.",
        ),
        click.option(
            "--watchdog", default=60, show_default=True, type=click.IntRange(5, 3600), help="Seconds without a sign."
        ),
        click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="As of `bus run`."),
        click.option("--role", "roles", callback=roles_of, default="", metavar="LIST", help="As of `bus run`."),
        config_option,
    ):
        function = option(function)
    return function


@command.command("print")
@_options
def print_(*, config: Path, **wanted: Any) -> None:
    """Print the unit."""
    click.echo(_text(config, **wanted), nl=False)


@command.command()
@_options
@click.option("--name", default="girobus", show_default=True, help="Name of the unit.")
@click.option("--dir", "folder", default=_UNITS, type=click.Path(path_type=Path), help="Folder of the units.")
@click.option("--replace", is_flag=True, help="Write over a unit that this command has made.")
def install(*, config: Path, name: str, folder: Path, replace: bool, **wanted: Any) -> None:
    """Put the unit where systemd finds it; starts nothing."""
    from bus.operating.unit import MADE  # noqa: PLC0415 - loaded on use

    path = folder / f"{name}.service"
    text = _text(config, **wanted)
    try:
        if path.exists() and not path.read_text("utf-8").startswith(MADE):
            raise NotAllowed("SYS185", f"{path} is not of this command", hint="choose another --name, or remove it")
        if path.exists() and not replace:
            raise NotAllowed("SYS185", f"{path} is there already", hint="write --replace")
        fresh = path.with_suffix(".service.new")
        fresh.write_text(text, "utf-8")
        fresh.chmod(0o644)
        fresh.replace(path)
    except OSError as error:
        hint = "run it as root, or name a folder with --dir"
        raise Unavailable("SYS195", f"{path} cannot be written: {error.strerror}", hint=hint) from None
    note(f"{path} written; go on with: systemctl daemon-reload && systemctl enable --now {name}")


def _text(config: Path, *, user: str, writable: tuple[Path, ...], watchdog: int, **share: Any) -> str:
    from bus.cli.site import Site  # noqa: PLC0415 - the landscape is read on use
    from bus.operating.unit import Service, unit  # noqa: PLC0415
    from certs.files import default_folder  # noqa: PLC0415

    site = Site.of(config)
    folders = [path.absolute() for path in writable]
    folders += [config.absolute() / path for path in _local(site.landscape)]
    program = Path(sys.argv[0]).absolute()
    if program.name != "bus" or not os.access(program, os.X_OK):
        program = Path(sys.executable).with_name("bus")
    made = Service(
        program, config.absolute(), site.home.absolute(), user, default_folder().absolute(), tuple(folders), watchdog,
        _share(config, **share),
    )  # fmt: skip
    return unit(made)


def _share(config: Path, *, workers: int, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Words of the command line of `bus run` for more than one process.

    Raises:
        click.UsageError: the ledger is a file, which has one process.
    """
    words = ["--workers", str(workers)] if workers > 1 else []
    words += ["--role", ",".join(roles)] if len(roles) < len(ROLES) else []
    if words:
        must_be_shared(config, workers)
    return tuple(words)


def _local(landscape: Any) -> list[str]:
    """Folders of this machine that routes and outlets use."""
    ends = [loaded.spec.from_ for loaded in landscape.routes.values()]
    ends += [outlet.endpoint for outlet in landscape.spec.outlets.values()]
    return [end.path for end in ends if getattr(end, "key", "") == "file"]
