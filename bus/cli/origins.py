"""Where the fields of one message came from: the mappings of the route versions it went through, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import click

from bus.cli.explained import kept_in, tables, unit
from bus.cli.output import clean, print_table
from bus.cli.prose import walk
from bus.config import landscape_from_sources
from bus.config.lineage import Assignment, assignments
from bus.errors import ConfigError, Rejected
from bus.expressions import compile_expression
from bus.ledger.reading_body import gathered, sources_of
from bus.message import Blob, Group, get_field
from bus.registry import mapping_support

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus.config import Landscape
    from bus.ledger.reading import Reading
    from bus.ledger.reading_history import Hop
    from bus.ledger.reading_trace import Trace

_KEEPING = frozenset(
    ("filter", "route", "recipients", "tap", "validate", "hold", "delay", "payment_duplicates", "case")
)
"""Steps that leave the body as it is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One target field.

    Attributes:
        target: the field.
        how: the expression or lookup that makes it, with its condition.
        reads: the source fields that decide about it.
        values: what those are, by name, where the source is kept; masked unless asked for.
        result: what came out, where it can be told: the value, ``nothing`` or the refusal.
    """

    target: str
    how: str
    reads: tuple[str, ...]
    values: dict[str, str]
    result: str | None


@dataclass(frozen=True, slots=True)
class MappedBy:
    """One mapping of a route that the message went through.

    Attributes:
        route: the route, with the beginning of its version's hash …
        version: … which the message is pinned to.
        step: id of the step.
        mapping: its name …
        content: … and the beginning of the hash of all that decides what it does.
        basis: ``before`` when worked out on the message as it is kept in front of the mapping, ``after`` when the
            values are those of the message behind it, ``static`` when the body is not kept.
        origins: the fields.
    """

    route: str
    version: str
    step: str
    mapping: str
    content: str
    basis: str
    origins: tuple[Origin, ...]


def origins(reading: Reading, trace: Trace, *, values: bool) -> list[MappedBy]:
    """For each mapping of the route versions of a traced message, hop by hop: where its fields came from.

    Args:
        reading: the ledger.
        trace: the message.
        values: show values as they are; otherwise only their kind and length.
    """
    found: list[MappedBy] = []
    for route, version in dict.fromkeys((hop.route, hop.version) for hop in trace.hops if hop.version):
        texts = sources_of(reading, version)
        if texts is None:
            continue
        try:
            landscape = landscape_from_sources(texts)
        except ConfigError:
            continue  # made with plug-ins that are gone
        if route in landscape.routes:
            hops = [hop for hop in trace.hops if hop.route == route]
            found += _Route(landscape, (route, version), _at_rest(reading, route, hops), values=values).mapped()
    return found


def _at_rest(reading: Reading, route: str, hops: list[Hop]) -> tuple[str, Any] | None:
    """(channel, body) where the message rests in a route: held, waiting, dead, or in a group; None when it is gone."""
    kept = kept_in(reading, route, hops)
    if kept is not None:
        return kept.channel, kept.message.body
    for hop in reversed(hops):
        member = gathered(reading, hop.groups[-1], hop.number) if hop.outcome == "joined" and hop.groups else None
        if member is not None:
            return f"{route}#{hop.step}", member.body
    return None


class _Route:
    """One version of a route, and the message where it rests in it."""

    def __init__(
        self, landscape: Landscape, name: tuple[str, str], rest: tuple[str, Any] | None, *, values: bool
    ) -> None:
        self._landscape = landscape
        self._route, self._version = name
        self._channel = rest[0] if rest is not None else ""
        self._body: Any = rest[1] if rest is not None else None
        self._values = values
        self._mappings = {known: loaded.spec for known, loaded in landscape.mappings.items()}

    def mapped(self) -> Iterator[MappedBy]:
        spec = self._landscape.routes[self._route].spec
        ahead = unit(spec, self._channel) if self._channel else set()
        changed = False
        begun = False
        for step, one in walk(spec.steps):
            begun = begun or step in ahead
            name = getattr(one, "mapping", "")
            if isinstance(name, str) and name in self._mappings:
                basis = "static"
                if isinstance(self._body, dict):
                    basis = ("static" if changed else "before") if step in ahead else "static" if begun else "after"
                yield self._one(step, name, basis, reverse=bool(getattr(one, "reverse", False)))
                changed = changed or begun
            elif begun and one.key not in _KEEPING:
                changed = True

    def _one(self, step: str, name: str, basis: str, *, reverse: bool) -> MappedBy:
        known = dict(self._mappings)
        if reverse:
            back, _ = mapping_support().reversed_mapping(
                known[name], tables=tables(self._landscape) or {}, mappings=known
            )
            known[name] = known[name] if back is None else back.model_copy(update={"mapping": name})
        body = self._body
        made = self._result(name, body, reverse=reverse) if basis == "before" else body if basis == "after" else None
        specs = {table: loaded.spec for table, loaded in self._landscape.tables.items()}
        parts = [known[part].content_hash(specs) for part in sorted(mapping_support().used([name], known))]
        content = sha256("".join(parts).encode()).hexdigest()[:8]
        found = tuple(self._origin(one, body if basis == "before" else None, made) for one in assignments(name, known))
        return MappedBy(self._route, self._version, step, name, content, basis, found)

    def _result(self, name: str, body: Any, *, reverse: bool) -> Any:
        around = tables(self._landscape) or {}
        convert = mapping_support().compile_named(
            name,
            mappings=self._mappings,
            expression=partial(compile_expression, tables=around),
            tables=around,
            reverse=reverse,
        )
        try:
            return convert(body)
        except Rejected as error:
            return error

    def _origin(self, one: Assignment, source: Any, made: Any) -> Origin:
        result: str | None = None
        if isinstance(made, Rejected):
            refused = made.place.split(".item")[0] == one.target
            result = f"refused: {made.code}" if refused else None
        elif isinstance(made, dict):
            result = self._shown(_at(made, one.target))
        values = {} if source is None else {read: self._shown(_at(source, read)) for read in one.reads}
        return Origin(one.target, f"{one.how} {one.when}".strip(), one.reads, values, result)

    def _shown(self, value: Any) -> str:
        if value is None:
            return "nothing"
        return clean(_text(value)) if self._values else masked(value)


def _at(body: Any, path: str) -> Any:
    """The value at a path; of a list of objects, the values in all of them."""
    head, star, rest = path.partition(".*.")
    if not star:
        return get_field(body, tuple(path.split(".")))
    items = get_field(body, tuple(head.split(".")))
    return [_at(item, rest) for item in items] if isinstance(items, list) else None


def _text(value: Any) -> str:
    if isinstance(value, Blob | Group):
        return type(value).__name__.lower()
    if isinstance(value, dict) and set(value) == {"value", "currency"}:
        return f"{_text(value['value'])} {value['currency']}"
    if isinstance(value, dict | list):
        return json.dumps(value, default=_text, ensure_ascii=False)
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def masked(value: Any) -> str:
    """What a value is, without telling it: ``text of 22``, ``number``, ``list of 3``."""
    if isinstance(value, str):
        return f"text of {len(value)}"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, list | dict):
        return f"{'list' if isinstance(value, list) else 'object'} of {len(value)}"
    return "number"


_BASES = {
    "before": "worked out on the message as it is kept",
    "after": "as the message is kept",
    "static": "the body is not kept: from the mapping alone",
}


def print_origins(found: list[MappedBy]) -> None:
    """A table for each mapping."""
    for one in found:
        head = click.style(f"{one.mapping}@{one.content}", bold=True)
        click.echo(f"{head} in {one.route}@{one.version}, step {clean(one.step)} ({_BASES[one.basis]})")
        rows = [[o.target, o.result, o.how, _reads(o)] for o in one.origins]
        print_table(("field", "value", "from", "reads"), rows, always=1)
    if not found:
        click.echo("No mapping is in the routes that it went through.")


def _reads(origin: Origin) -> str:
    return ", ".join(f"{name} = {origin.values[name]}" if name in origin.values else name for name in origin.reads)
