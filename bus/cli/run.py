"""`bus run`: the bus in the foreground, in one process or in several."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli.output import Exit, config_option, leave

if TYPE_CHECKING:
    from bus.ledger.place import Place

ROLES = ("worker", "intake", "scheduler", "api")


def roles_of(_ctx: click.Context, _option: click.Parameter, value: str) -> tuple[str, ...]:
    """A comma list, in the order of the table.

    Raises:
        click.BadParameter: a word that is no role.
    """
    wanted = {part.strip() for part in value.split(",")} if value else set(ROLES)
    strange = sorted(wanted - set(ROLES))
    if strange:
        raise click.BadParameter(f"`{strange[0]}` is no role; write some of {','.join(ROLES)}")
    return tuple(role for role in ROLES if role in wanted)


@click.command()
@click.option(
    "--hold-outputs", is_flag=True, help="Send nothing out; for instance after a restore, until it is reconciled."
)
@click.option("--held-by-ledger", is_flag=True, hidden=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--role", "roles", callback=roles_of, default="", metavar="LIST",
    help="What the processes do: some of worker,intake,scheduler,api; default: all of it.",
)  # fmt: skip
@click.option("--until-idle", is_flag=True, help="Stop by itself when nothing is left to do.")
@config_option
def command(
    *, config: Path, hold_outputs: bool, held_by_ledger: bool, workers: int, roles: tuple[str, ...], until_idle: bool
) -> None:
    """Run the routes of a folder until stopped.

    Ctrl-C or SIGTERM finishes the batches in hand and ends with 0, a second Ctrl-C ends at once with 130; nothing is
    lost either way. SIGHUP reads the configuration again: new input takes the new versions, what is on its way keeps
    its own.

    With --workers N a supervisor starts N processes and replaces those that end, hang or grow too big. worker runs
    steps and outlets, intake the sources, scheduler what waits for a time, api answers the other verbs.
    """
    if until_idle and (workers > 1 or len(roles) < len(ROLES)):
        raise click.UsageError("--until-idle is for one process that does everything")
    if workers > 1 or len(roles) < len(ROLES):
        must_be_shared(config, workers)
    if workers > 1:
        from bus.cli.fleet import Fleet  # noqa: PLC0415 - only here
        from bus.cli.site import Site  # noqa: PLC0415 - as above

        site = Site.of(config)
        options = ["-C", str(config), "--role", ",".join(roles), *(holding(site.place) if hold_outputs else [])]
        click.get_current_context().exit(Fleet(site.home, workers, options).run())
    from bus.cli.serving import Member, service  # noqa: PLC0415 - the engine is loaded on use

    held = None if held_by_ledger else hold_outputs
    with service(config, hold_outputs=held, roles=frozenset(roles), member=Member.of_environment()) as bus:
        done = bus.run_until_idle() if until_idle else bus.run()
    if not done:
        leave(Exit.PARTLY)


def holding(place: Place) -> list[str]:
    """How the processes of a fleet hold their outputs; after a restore only until somebody lets them go.

    What started them would hold those again that come in the place of others later.

    Raises:
        Unavailable: the ledger cannot be had.
    """
    from bus.ledger.place import open_store  # noqa: PLC0415 - loads a database client
    from bus.ledger.store import no_effect  # noqa: PLC0415 - as above
    from bus.ledger.versions import outputs_held  # noqa: PLC0415 - as above

    with closing(open_store(place, effect=no_effect)) as store:
        return ["--held-by-ledger" if outputs_held(store.read) else "--hold-outputs"]


def must_be_shared(config: Path, workers: int) -> None:
    """Several processes need a ledger that several may write.

    Raises:
        click.UsageError: this one is a file.
    """
    from bus.cli.site import Site  # noqa: PLC0415 - the landscape is read on use

    if isinstance(Site.of(config).place, Path):
        wish = f"--workers {workers}" if workers > 1 else "--role"
        raise click.UsageError(
            f"{wish} needs a PostgreSQL ledger: the SQLite ledger of this store has one writing "
            "process. Write `ledger: postgresql://…` in bus.yaml, or leave the option out."
        )
