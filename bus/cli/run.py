"""`bus run`: run the routes of a folder until stopped."""

from __future__ import annotations

from pathlib import Path

import click

from bus.cli.output import Exit, config_option, leave


@click.command()
@click.option(
    "--hold-outputs", is_flag=True, help="Send nothing out; for instance after a restore, until it is reconciled."
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
@click.option("--until-idle", is_flag=True, help="Stop by itself when nothing is left to do.")
@config_option
def command(*, config: Path, hold_outputs: bool, workers: int, until_idle: bool) -> None:
    """Run the routes of a folder until stopped.

    Ctrl-C or SIGTERM finishes the batches in hand and ends with 0, a second Ctrl-C ends at once with 130; nothing is
    lost either way. SIGHUP reads the configuration again: new input takes the new versions, what is on its way keeps
    its own.
    """
    if workers > 1:
        from bus.cli.site import Site  # noqa: PLC0415 - the landscape is read on use

        if isinstance(Site.of(config).place, Path):
            raise click.UsageError(
                f"--workers {workers} needs a PostgreSQL ledger: the SQLite ledger of this store has one writing "
                "process. Write `ledger: postgresql://…` in bus.yaml, or leave the option out."
            )
        raise click.UsageError("start `bus run` once for each process, each with a store of its own (GIROBUS_STORE)")
    from bus.cli.serving import service  # noqa: PLC0415 - the engine is loaded on use

    with service(config, hold_outputs=hold_outputs) as bus:
        done = bus.run_until_idle() if until_idle else bus.run()
    if not done:
        leave(Exit.PARTLY)
