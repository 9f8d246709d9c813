"""`bus explain route R --message KEY`: what a route did with one message, and its conditions with its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bus.cli.prose import Decision, explain_route, walk
from bus.cli.site import Site, now
from bus.config import landscape_from_sources
from bus.errors import ConfigError
from bus.ledger.reading_body import Kept, kept, pinned_sources
from bus.ledger.reading_trace import Tracer
from bus.registry import mapping_support

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bus.config import Landscape
    from bus.landscape import RouteSpec
    from bus.ledger.reading import Reading
    from bus.ledger.reading_history import Hop


@dataclass(frozen=True, slots=True)
class Explained:
    """What is known of one message in one route.

    Attributes:
        hops: what happened to it there, in order.
        rests: ``held``, ``deferred`` or ``dead`` while the message itself is kept, else ``""``.
        channel: what it stands in front of.
        version: first characters of the hash of the route version it is pinned to.
        decisions: the conditions from there to the end of its unit of work, worked out on the message as it is kept.
    """

    hops: list[Hop]
    rests: str
    channel: str
    version: str
    decisions: list[Decision]


def explain_message(site: Site, route: str, key: str) -> Explained:
    """Look a message up by what people know of it.

    Raises:
        ConfigError: ``CFG197`` when nothing of that name went through the route.
        Unavailable: there is no ledger, or it cannot be read.
    """
    with site.reading() as reading:
        trace = Tracer(reading, now()).trace(key)
        hops = [hop for hop in trace.hops if hop.route == route] if trace is not None else []
        if not hops:
            message = f"nothing of that name went through the route `{route}`"
            raise ConfigError("CFG197", message, hint="bus trace KEY shows which routes it took")
        found = kept_in(reading, route, hops)
        if found is None:
            return Explained(hops, "", "", hops[-1].version, [])
        landscape = _pinned(reading, found, site.landscape)
    loaded = landscape.routes[route]
    decisions = explain_route(loaded.spec, found.message.body, tables(landscape))
    reached = unit(loaded.spec, found.channel)
    wanted = [decision for decision in decisions if decision.step in reached]
    return Explained(hops, found.state, found.channel, hops[-1].version, wanted)


def tables(landscape: Landscape) -> dict[str, Any] | None:
    """The value tables of a landscape as expressions look values up in them; None when it has none."""
    if not landscape.tables:
        return None
    support = mapping_support()
    return {name: support.ValueTable.of(loaded.spec) for name, loaded in landscape.tables.items()}


def kept_in(reading: Reading, route: str, hops: Iterable[Hop]) -> Kept | None:
    """The message where it rests in this route; of several the one that moved last."""
    for number in dict.fromkeys(hop.number for hop in reversed(list(hops))):
        found = kept(reading, number)
        if found is not None and found.channel.partition("#")[0] == route:
            return found
    return None


def _pinned(reading: Reading, found: Kept, present: Landscape) -> Landscape:
    """The landscape with the route as it was when the message came in."""
    texts = pinned_sources(reading, found.message.headers.version)
    return present if texts is None else landscape_from_sources(texts)


def unit(route: RouteSpec, channel: str) -> set[str]:
    """Ids of the steps from a segment's beginning up to the end of that unit of work."""
    steps = list(walk(route.steps))
    names = [name for name, _ in steps]
    _, _, after = channel.partition("#")
    begin = names.index(after) + 1 if after in names else 0
    found = set()
    for name, step in steps[begin:]:
        found.add(name)
        if step.boundary in ("split", "aggregate") and "." not in name:
            break
    return found
