"""`bus find`: messages by business key, file name, id or state."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from bus.cli.moments import Since, stamp
from bus.cli.output import config_option, json_option, note, print_json, print_table
from bus.cli.site import Site
from bus.cli.telling import Circumstances, sentence
from bus.cli.trace import circumstances
from bus.ledger.reading import Amount, Reading
from bus.ledger.reading_cases import list_stuck
from bus.ledger.reading_history import Hop, Match
from bus.ledger.reading_places import Where
from bus.ledger.reading_trace import QUIET, Tracer

_STATES = ("open", "done", "held", "deferred", "dead", "in-doubt", "rejected", "waiting")
_STUCK = ("held", "deferred", "dead")
_LOOKED = 5
"""So many more candidates than wanted are looked at, because a filter drops some."""


@dataclass(frozen=True, slots=True)
class Found:
    """One line of the answer."""

    message: str
    number: int
    keys: tuple[tuple[str, str], ...]
    worth: Amount | None
    file: str
    state: str
    """Kind of :class:`bus.ledger.reading_places.Where`."""
    where: str
    """In words."""
    routes: tuple[str, ...]
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for."""

    key: str | None
    named: str | None
    state: str | None
    since: int | None
    route: str | None
    limit: int


@click.command()
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--key", "named", metavar="NAME=VALUE", help="Only keys of this name, such as invoice=INV-17.")
@click.option("--state", type=click.Choice(_STATES), help="Only messages in this state; open = not finished.")
@click.option("--since", type=Since(), metavar="WHEN", help="Only what anything happened to since: 2d, 2026-11-24 …")
@click.option("--route", help="Only what passed this route.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most lines.")
@config_option
@json_option
def command(*, config: Path, as_json: bool, **asked: Any) -> None:
    """Find messages by business key, file name, end-to-end id or message id; a KEY may end in `*`.

    \b
        bus find INV-2026-00417
        bus find 'INV-2026-*' --state open
        bus find --key payment=P-17
        bus find --state dead --since 2d

    Without a key, the states held, deferred and dead can be listed, or open for all three of them.
    """  # noqa: D301 - the mark by which click keeps lines as they are
    question = Question(**asked)
    if question.key is None and question.named is None and question.state not in (*_STUCK, "open"):
        raise click.UsageError("Give a KEY or --key NAME=VALUE; without one, --state held, deferred, dead or open.")
    site = Site.of(config)
    with site.reading() as reading:
        found = list(_answers(site, reading, question))
    if as_json:
        print_json(found)
    elif found:
        columns = ("message", "keys", "amount", "file", "state", "last", "where")
        # On a terminal room is short, and a message that has keys is found by them.
        begin = 1 if sys.stdout.isatty() and all(line.keys for line in found) else 0
        print_table(columns[begin:], [_cells(line)[begin:] for line in found])
    else:
        note("Nothing found." + ("" if question.key and "*" in question.key else " A KEY may end in `*`."))
    if len(found) == question.limit:
        note(f"The first {question.limit}; --limit shows more.")


def _answers(site: Site, reading: Reading, question: Question) -> Iterator[Found]:
    around = circumstances(site, reading)
    tracer = Tracer(reading, around.now)
    left = question.limit
    for number, match in _candidates(reading, tracer, question).items():
        if not left:
            return
        hops = tracer.history.hops(number)
        where = tracer.where(number) if hops else None
        if where is not None and _wanted(question, hops, where):
            left -= 1
            yield _found(hops, where, around, match)


def _candidates(reading: Reading, tracer: Tracer, question: Question) -> dict[int, Match | None]:
    """Numbers of messages worth a look, newest first, with what they were found by."""
    most = question.limit * _LOOKED
    matches: list[Match] = []
    if question.key is not None:
        matches = tracer.history.find(question.key, most=most)
    if question.named is not None:
        name, equals, value = question.named.partition("=")
        if not equals or not value:
            raise click.UsageError("Write --key NAME=VALUE, for instance --key invoice=INV-17.")
        named = tracer.history.find(value, name=name.strip(), most=most)
        numbers = {match.number for match in named}
        matches = [m for m in matches if m.number in numbers] if question.key is not None else named
    if question.key is not None or question.named is not None:
        return {match.number: match for match in matches}
    states = _STUCK if question.state == "open" else (question.state or "",)
    found = {n for state in states for n in list_stuck(reading, state, question.since or 0, most)}
    return dict.fromkeys(sorted(found, reverse=True))


def _wanted(question: Question, hops: list[Hop], where: Where) -> bool:
    if question.since is not None and hops[-1].at.timestamp() * 1000 < question.since:
        return False
    if question.route is not None and question.route not in {hop.route for hop in hops}:
        return False
    return question.state is None or question.state in _states(where)


def _states(where: Where) -> set[str]:
    """The words of ``--state`` that are true of a place."""
    kind = where.kind.replace("_", "-")
    if where.kind in QUIET or (where.kind == "split" and not where.missing):
        return {"done", kind}
    needs_somebody = where.kind in ("dead", "in_doubt") or where.case is not None
    return {"open", kind} if needs_somebody else {"open", "waiting", kind}


def _found(hops: list[Hop], where: Where, around: Circumstances, match: Match | None) -> Found:
    born = next((hop.born for hop in hops if hop.born is not None), None)
    by = ((match.name, match.value),) if match is not None else ()
    return Found(
        hops[0].message, hops[0].number, (born.keys if born else ()) or by, born.worth if born else None,
        born.name if born else "", where.kind, sentence(where, around),
        tuple(dict.fromkeys(hop.route for hop in hops)), hops[0].at, hops[-1].at,
    )  # fmt: skip


def _cells(line: Found) -> tuple[Any, ...]:
    keys = " ".join(f"{name}={value}" for name, value in line.keys)
    return (line.message, keys, line.worth, line.file, line.state.replace("_", "-"), stamp(line.last), line.where)
