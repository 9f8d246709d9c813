"""The figures of ``bus status``: the ledger's, put together by route and outlet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bus.cli.site import Site
from bus.config import route_hash
from bus.landscape import ChannelSource
from bus.ledger.reading import Reading, Total, moment, route_of
from bus.ledger.reading_status import Figures, Queue, read_figures

_NEVER_IN = frozenset({"received", "in", "deferred", "retried", "released", "discarded"})
"""Outcomes that are no unit's first way through the entry segment."""
_WAYS = {
    "sent": "out",
    "joined": "out",
    "filtered": "filtered",
    "ended": "filtered",
    "rejected": "rejected",
    "dead": "dead",
}


@dataclass(frozen=True, slots=True)
class Money:
    """What went which way in one currency since the ledger began. ``dead`` counts those too that were settled since."""

    currency: str
    came: Decimal
    out: Decimal
    filtered: Decimal
    rejected: Decimal
    dead: Decimal


@dataclass(frozen=True, slots=True)
class RouteLine:
    """One route: ``came`` to ``rejected`` since the ledger began, ``held`` to ``cases`` of now."""

    route: str
    state: str
    """``running``, ``paused``, ``draining``, or ``gone`` when its file is not there any more."""
    version: str
    came: int
    out: int
    filtered: int
    rejected: int
    held: int
    dead: int
    queued: int
    exact: bool
    loading: int
    oldest: datetime | None
    deferred: int
    next_attempt: datetime | None
    resequencing: int
    gathering: int
    cases: int
    last: datetime | None
    money: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class OutletLine:
    """One way out."""

    outlet: str
    queued: int
    exact: bool
    oldest: datetime | None
    deferred: int
    next_attempt: datetime | None
    dead: int
    in_doubt: int
    delivered: int
    last: datetime | None
    cases: int


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process of this machine's fleet."""

    place: int
    pid: int | None
    """None while another one is about to be started."""
    role: str
    version: str
    """Of the program."""
    routes: int
    """The newest version of a route that it has loaded; processes that differ here have not all reloaded yet."""
    progress: int
    """Effects since its start."""
    stalled: float
    """Seconds for which its slowest piece of work has had no effect."""
    memory: int
    since: datetime | None
    deaths: int
    """Of this place, lately."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole answer of ``bus status``."""

    at: datetime
    landscape: str
    pid: int | None
    """Process of the running bus, None when none runs."""
    since: datetime | None
    hold_outputs: bool
    store: str
    ledger: str
    """``PostgreSQL host/database``; empty when it is a file in the store."""
    broker: str
    """Address of RabbitMQ and, while a bus runs, its state; empty when the channels are in the ledger's database."""
    routes: tuple[RouteLine, ...]
    outlets: tuple[OutletLine, ...]
    cases: int
    unanswered: int
    """Payments that a partner has yet to answer."""
    overdue: int
    processes: tuple[ProcessLine, ...] = ()
    """Where several share the work."""


def read_status(site: Site, reading: Reading | None, running: dict[str, Any] | None, now: int) -> Status:
    """Put everything together; ``reading`` is None when the bus never ran, ``running`` when it does not run.

    Raises:
        Unavailable: the ledger does not answer.
    """
    figures = read_figures(reading, now) if reading is not None else Figures()
    outlets = set(site.landscape.spec.outlets)
    known = set(site.landscape.routes)
    told = {route_of(place) for place in [*figures.queues, *figures.held, *figures.dead, *figures.totals]}
    gone = {name for name in told - known - outlets if _stays(figures, name)}
    versions = _versions(site, reading, running)
    since = moment(running["since"]) if running else None
    return Status(
        at=moment(now),
        landscape=site.landscape.spec.name,
        pid=running["pid"] if running else None,
        since=since,
        hold_outputs=bool(running and running["hold_outputs"]),
        store=str(site.home),
        ledger=_ledger(site.place),
        broker=_broker(site, running),
        routes=tuple(_route(site, figures, name, versions.get(name, "")) for name in sorted(known | gone)),
        outlets=tuple(_outlet(figures, name) for name in sorted(outlets)),
        cases=sum(figures.cases.values()),
        unanswered=figures.unanswered,
        overdue=figures.overdue,
        processes=tuple(_process(told) for told in (running or {}).get("processes", ())),
    )


def _process(told: dict[str, Any]) -> ProcessLine:
    return ProcessLine(
        place=told["place"],
        pid=told.get("pid"),
        role=",".join(told.get("roles", ())),
        version=told.get("version", ""),
        routes=max(told.get("versions", {}).values(), default=0),
        progress=told.get("progress", 0),
        stalled=told.get("stalled", 0.0),
        memory=told.get("memory", 0),
        since=moment(told["since"]) if "since" in told else None,
        deaths=told["deaths"],
    )


def _ledger(place: Path | str) -> str:
    """Without user, password and options, which may hold secrets."""
    if isinstance(place, Path):
        return ""
    address = urlsplit(place)
    return f"PostgreSQL {address.netloc.rpartition('@')[2]}{address.path}"


def _broker(site: Site, running: dict[str, Any] | None) -> str:
    spec = site.landscape.spec.broker
    if spec is None:
        return ""
    prefix = f", prefix {spec.prefix}" if spec.prefix else ""
    state = running.get("broker", "") if running else ""
    return f"{spec.url}{prefix}" + (f": {state}" if state else "")


def _stays(figures: Figures, name: str) -> bool:
    """A route whose file is gone is worth a line while something of it is left."""
    places = figures.of_route(name)
    waiting = any(figures.queues.get(place, Queue()).depth for place in places)
    return waiting or bool(figures.cases.get(name)) or any(p in figures.held or p in figures.deferred for p in places)


def _versions(site: Site, reading: Reading | None, running: dict[str, Any] | None) -> dict[str, str]:
    """The version that new input takes: the running bus's, else what the files say."""
    if running is None or reading is None:
        return {name: route_hash(site.landscape, loaded)[:8] for name, loaded in site.landscape.routes.items()}
    hashes: dict[int, str] = dict(reading.rows("SELECT id, hash FROM route_version"))
    return {name: hashes.get(number, "")[:8] for name, number in running["versions"].items()}


def _route(site: Site, figures: Figures, name: str, version: str) -> RouteLine:
    places = figures.of_route(name)
    queues = [figures.queues.get(place, Queue()) for place in places]
    deferred = [figures.deferred[place] for place in places if place in figures.deferred]
    loaded = site.landscape.routes.get(name)
    gathered = figures.gathered.get(name)
    entry = figures.totals.get(name, [])
    if loaded is not None and isinstance(loaded.spec.from_, ChannelSource):
        came = _count(entry, {t.outcome for t in entry} - _NEVER_IN) - _count(entry, {"retried"})
    else:
        came = _count(entry, {"received"})
    totals = [total for place in places for total in figures.totals.get(place, [])]
    return RouteLine(
        route=name,
        state=figures.states.get(name, "running") if loaded is not None else "gone",
        version=version,
        came=came,
        out=_count(totals, {"sent"}),
        filtered=_count(totals, {"filtered", "ended"}),
        rejected=_count(totals, {"rejected"}),
        held=sum(figures.held[place].count for place in places if place in figures.held),
        dead=sum(figures.dead.get(place, 0) for place in places),
        queued=sum(queue.depth for queue in queues),
        exact=all(queue.exact for queue in queues),
        loading=sum(queue.hidden for queue in queues),
        oldest=min((queue.oldest for queue in queues if queue.oldest is not None), default=None),
        deferred=sum(waiting.count for waiting in deferred),
        next_attempt=min((waiting.next for waiting in deferred if waiting.next is not None), default=None),
        resequencing=sum(figures.parked.get(place, 0) for place in places),
        gathering=gathered.members if gathered else 0,
        cases=figures.cases.get(name, 0),
        last=max((figures.last[place] for place in places if place in figures.last), default=None),
        money=_money(entry, totals),
    )


def _count(totals: list[Total], outcomes: set[str]) -> int:
    return sum(total.count for total in totals if total.outcome in outcomes)


def _money(entry: list[Total], totals: list[Total]) -> tuple[Money, ...]:
    """By currency. What came in is what splits took apart; where nothing is split, what left the entry segment."""
    came = [total for total in totals if total.outcome == "in"]
    if not came:
        came = [total for total in entry if total.outcome not in _NEVER_IN]
    lines = []
    for currency in sorted({total.currency for total in totals if total.currency}):
        ways = dict.fromkeys(("out", "filtered", "rejected", "dead"), Decimal(0))
        for total in totals:
            if total.currency == currency and total.outcome in _WAYS:
                ways[_WAYS[total.outcome]] += total.amount
        whole = sum((total.amount for total in came if total.currency == currency), Decimal(0))
        lines.append(Money(currency, whole, **ways))
    return tuple(lines)


def _outlet(figures: Figures, name: str) -> OutletLine:
    queue = figures.queues.get(name, Queue())
    deferred = figures.deferred.get(name)
    return OutletLine(
        outlet=name,
        queued=queue.depth,
        exact=queue.exact,
        oldest=queue.oldest,
        deferred=deferred.count if deferred else 0,
        next_attempt=deferred.next if deferred else None,
        dead=figures.dead.get(name, 0) - figures.in_doubt.get(name, 0),
        in_doubt=figures.in_doubt.get(name, 0),
        delivered=_count(figures.totals.get(name, []), {"delivered"}),
        last=figures.last.get(name),
        cases=figures.cases.get(name, 0),
    )
