"""`bus db`: look after the ledger: bring it forward, check it, back it up, restore it, let outputs go again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bus.cli.output import Exit, config_option, json_option, leave, note, print_json, print_table
from bus.cli.site import Site, now, reason_for
from bus.runtime.socket import Request, user_name

Tell = Callable[[str, int, int], None]
_PATIENCE = 3600.0
"""Seconds that one query of a check may take."""


@click.group()
def command() -> None:
    """Look after the ledger: upgrade, check, backup, restore, purge."""


@command.command()
@config_option
@json_option
def upgrade(*, config: Path, as_json: bool) -> None:
    """Bring the ledger's schema forward to this program's. Makes an empty ledger where none is.

    `bus run` does it too. Do it by hand before several processes start, and stop those of an older version first.
    """
    from bus.ledger.place import open_store, schema_of  # noqa: PLC0415 - the store is loaded on use
    from bus.ledger.store import no_effect  # noqa: PLC0415

    site = Site.of(config)
    before = schema_of(site.place)
    if isinstance(site.place, Path):
        site.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    open_store(site.place, effect=no_effect).close()
    after = schema_of(site.place)
    if as_json:
        print_json({"before": before, "after": after})
    else:
        click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}, nothing to do")


@command.command()
@config_option
@json_option
def check(*, config: Path, as_json: bool) -> None:
    """Check the database, counts, money and documents.

    Counts and money are those of every batch, documents all that are referred to.

    Safe while the bus runs. Exit 1 when something is wrong.
    """
    from bus.ledger.place import open_reading  # noqa: PLC0415
    from bus.ledger.verify import look_through  # noqa: PLC0415

    site = Site.of(config)
    with open_reading(site.place, patience=_PATIENCE) as reading, _progress() as tell:
        findings = list(look_through(reading, site.blobs(), tell))
    if as_json:
        print_json({"findings": findings})
    elif findings:
        print_table(("code", "where", "what"), [(f.code, f.place, f.message) for f in findings])
    else:
        click.echo("All is well.")
    if findings:
        leave(Exit.FINDINGS)


@command.command()
@click.argument("target", type=click.Path(path_type=Path))
@config_option
@json_option
def backup(*, target: Path, config: Path, as_json: bool) -> None:
    """Copy ledger and documents to the new folder TARGET. It is a copy as of one moment; the bus may run.

    Keep connections.yaml, routes and keys in a backup of their own. Read a backup back from time to time.
    """
    from bus.ledger.backup import back_up  # noqa: PLC0415

    site = Site.of(config)
    begin = time.monotonic()
    with _progress() as tell:
        made = back_up(site.place, site.blob_folder, target, tell)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    told = {"backup": str(target), "schema": made.schema, "blobs": made.blobs, "bytes": size}
    if as_json:
        print_json({**told, "at": made.at})
    else:
        took = time.monotonic() - begin
        click.echo(f"{target}: {size / 1e6:,.1f} MB, {made.blobs} documents, in {took:.1f} s")


@command.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--reason", default="", help="Why; kept in the audit.")
@config_option
@json_option
def restore(*, source: Path, reason: str, config: Path, as_json: bool) -> None:
    """Bring the backup SOURCE to this landscape's empty store.

    The bus then starts only with --hold-outputs: the world has gone on since the backup. Compare what partners have
    with `bus status` and `bus trace`, settle the differences, then `bus db release-outputs --reason`.
    """
    from bus.ledger.backup import restore as bring_back  # noqa: PLC0415

    site = Site.of(config)
    who = (user_name(), reason_for("a restore", reason))
    with _progress() as tell:
        manifest = bring_back(source, site.place, site.blob_folder, who, tell)
    if as_json:
        print_json({"schema": manifest.schema, "blobs": manifest.blobs, "at": manifest.at, "outputs": "held"})
    else:
        click.echo(f"restored the ledger and {manifest.blobs} documents; outputs are held")
        note("next: bus db check, then bus run --hold-outputs")


@command.command("release-outputs")
@click.option("--reason", default="", help="What was compared; kept in the audit.")
@config_option
@json_option
def release_outputs(*, reason: str, config: Path, as_json: bool) -> None:
    """Let outputs go again after a restore. A bus that is running hears of it."""
    site = Site.of(config)
    answer = site.carry_out(Request("release-outputs", reason=reason_for("letting outputs go", reason)))
    if as_json:
        print_json(answer)
    else:
        click.echo("outputs are released" if answer["released"] else "outputs were not held")


@command.command()
@click.option("--dry-run", is_flag=True, help="Only tell how much would go.")
@config_option
@json_option
def purge(*, dry_run: bool, config: Path, as_json: bool) -> None:
    """Forget now what is older than `retention:` says. A running bus does it by itself, bit by bit.

    Nothing that still waits for something is forgotten, however old. Exit 6 when there is more to do.
    """
    site = Site.of(config)
    if dry_run:
        from bus.ledger.place import open_reading  # noqa: PLC0415
        from bus.ledger.upkeep import would_go  # noqa: PLC0415

        with open_reading(site.place, patience=_PATIENCE) as reading:
            told = would_go(reading, site.blobs(), site.landscape.spec.retention.model_dump(), now())
    else:
        told = site.carry_out(Request("purge"))
    if as_json:
        print_json(told)
    else:
        rows = [(table, count) for table, count in sorted(told["rows"].items()) if count]
        print_table(("table", "rows"), [*rows, ("documents", told["documents"])])
    if told["more"] and not dry_run:
        leave(Exit.PARTLY)


@contextmanager
def _progress() -> Iterator[Tell]:
    """Bars on a terminal's stderr, after the first second; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import Progress  # noqa: PLC0415

    begin = time.monotonic()
    tasks: dict[str, Any] = {}
    with Progress(console=Console(stderr=True), transient=True) as shown:

        def tell(what: str, done: int, total: int) -> None:
            if time.monotonic() - begin < 1:
                return
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total or None)
            shown.update(tasks[what], completed=done, total=total or None)

        yield tell
