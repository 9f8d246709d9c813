"""`bus apply`: make the broker's queues what the routes need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli.output import Exit, config_option, json_option, leave, note, paths_from, print_json, print_table

if TYPE_CHECKING:
    from bus.config import Landscape


@click.command()
@click.option("--check", "only_look", is_flag=True, help="Change nothing; exit 3 when something would change.")
@json_option
@config_option
def command(*, config: Path, only_look: bool, as_json: bool) -> None:
    """Declare the queues that the routes need at the broker of `bus.yaml`; `bus run` does the same at its start.

    The one for what was handed out too often, `~undeliverable`, is among them. A queue that is there with other
    properties is named and left alone, and none is ever deleted. What keeps the order of a key behind a `partition` has
    no queue: it is in the ledger's database. Queues of another ledger are refused.

    Exit code: 0 all are there, 1 some differ, 3 some are missing (with --check), 5 the broker is away.
    """
    from bus.channels.amqp import address_of, topology  # noqa: PLC0415 - the client library, where it is used
    from bus.cli.site import Site  # noqa: PLC0415 - all plug-ins
    from bus.ledger.place import identity_at  # noqa: PLC0415 - as above

    with paths_from(config):
        site = Site.of(config)
        landscape = site.landscape.require()
    if landscape.spec.broker is None:
        note("the channels of this landscape are in its ledger's database: nothing to declare")
        return
    address = address_of(landscape.spec.broker, config, ledger=identity_at(site.place))
    channels = channels_of(landscape)
    seen = topology.look(address, channels)
    missing = [one.channel for one in seen if one.state == "missing"]
    if missing and not only_look:
        topology.declare(address, (), missing)
    shown = [one._replace(state="declared") if one.channel in missing and not only_look else one for one in seen]
    if as_json:
        print_json([one._asdict() for one in shown])
    else:
        print_table(["channel", "queue", "state", "messages", "detail"], [list(one) for one in shown])
    if any(one.state == "different" for one in shown):
        leave(Exit.FINDINGS)
    if missing and only_look:
        leave(Exit.CHANGES)


def channels_of(landscape: Landscape) -> list[str]:
    """All channels of a landscape that have a queue: its routes' segments and its outlets."""
    from bus.channels.amqp.kept import has_queue  # noqa: PLC0415
    from bus.runtime.pipeline import channels  # noqa: PLC0415

    found = [name for loaded in landscape.routes.values() for name in channels(loaded.spec)]
    return [*filter(has_queue, found), *landscape.spec.outlets]
