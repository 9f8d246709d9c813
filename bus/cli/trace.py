"""`bus trace`: the whole journey of a transaction, by whatever people know of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bus.cli.moments import clock, stamp, step
from bus.cli.output import Exit, clean, config_option, json_option, leave, note, print_json, print_json_line
from bus.cli.site import Site, now
from bus.cli.telling import Circumstances, money, mood, next_commands, sentence, step_name, title
from bus.ledger.reading import Reading
from bus.ledger.reading_body import texts_of_versions
from bus.ledger.reading_history import Hop
from bus.ledger.reading_trace import Trace, Tracer

_PAUSE = 0.5
"""Seconds between two looks with ``--follow``."""
_SHOWN = 200
_COLOURS = {"DONE": "green", "WAITS": "yellow", "STUCK": "red", "REJECTED": "magenta"}


@click.command()
@click.argument("key", metavar="KEY", callback=lambda _ctx, _option, key: key.strip())
@click.option("-f", "--follow", is_flag=True, help="Keep printing what happens until it is done; Ctrl-C ends it.")
@click.option("--fields", is_flag=True, help="Show which mapping made each field, of which source fields.")
@click.option("--values", is_flag=True, help="With --fields: show the values themselves, not only what they are.")
@config_option
@json_option
def command(*, key: str, follow: bool, config: Path, as_json: bool, **shown: bool) -> None:
    """Show the whole journey of a transaction: where it is, what it waits for, each hop, what it came from and became.

    KEY is what you have: an invoice number, end-to-end id, file name, message or correlation id.
    """
    if (shown["values"] and not shown["fields"]) or (shown["fields"] and follow):
        raise click.UsageError("--values goes with --fields, and --fields without --follow.")
    site = Site.of(config)
    with site.reading() as reading:
        around = circumstances(site, reading)
        found = Tracer(reading, around.now).trace(key)
        if found is None:
            _nothing(key, as_json=as_json)
        elif shown["fields"]:
            _fields(reading, found, around, as_json=as_json, values=shown["values"])
        elif follow:
            _follow(site, reading, found, as_json=as_json)
        elif as_json:
            versions = texts_of_versions(reading, [hop.version for hop in found.hops])
            print_json(as_data(found, around) | {"versions": versions})
        else:
            print_trace(found, around)


def _fields(reading: Reading, trace: Trace, around: Circumstances, *, as_json: bool, values: bool) -> None:
    """Where each field came from, by the versions that the message is pinned to."""
    from bus.cli.origins import origins, print_origins  # noqa: PLC0415 - loads the mappings

    found = origins(reading, trace, values=values)
    if as_json:
        told = {"title": title(trace), "headline": sentence(trace.where, around)}
        print_json({**told, "message": trace.subject.message, "mappings": [asdict(one) for one in found]})
        return
    print_headline(trace, around)
    print_origins(found)


def circumstances(site: Site, reading: Reading) -> Circumstances:
    """What is around a trace right now."""
    running = site.running()
    return Circumstances(
        now(),
        running is not None,
        bool(running and running["hold_outputs"]),
        dict(reading.rows("SELECT route, state FROM route_state")),
        frozenset(site.landscape.spec.outlets),
    )


def as_data(trace: Trace, around: Circumstances) -> dict[str, Any]:
    """A trace as one JSON object, with the headline in words."""
    told = {"title": title(trace), "mood": mood(trace, around), "headline": sentence(trace.where, around)}
    return told | asdict(trace)


def _nothing(key: str, *, as_json: bool) -> None:
    if as_json:
        print_json(None)
    note(f"Nothing is known of {clean(key)!r}. `bus find '{clean(key)[:20]}*'` looks for keys that begin so.")
    leave(Exit.USAGE)


# ---------------------------------------------------------------- text


def print_trace(trace: Trace, around: Circumstances) -> None:
    """Headline, hops, lineage, siblings, what to do."""
    print_headline(trace, around)
    print_hops(list(trace.hops[:_SHOWN]))
    if len(trace.hops) > _SHOWN:
        click.echo(f"  … {len(trace.hops) - _SHOWN} more hops: --json")
    for label, line in _lineage(trace, around):
        click.echo(f"{click.style(f'{label:<9}', bold=True)} {line}")
    commands = next_commands(trace)
    if commands:
        click.echo(f"{click.style('Next', bold=True)}      {' · '.join(commands)}")


def print_headline(trace: Trace, around: Circumstances) -> None:
    """Two lines: what it is and how it stands; where it is."""
    word = mood(trace, around)
    styled = click.style(word, fg=_COLOURS[word.split()[0]], bold=True)
    click.echo(f"{click.style(title(trace), bold=True)}   {styled}")
    click.echo(sentence(trace.where, around))


def print_hops(hops: list[Hop], before: Hop | None = None) -> None:
    """One line a hop; the first one, and each that begins a day, with its date."""
    places = [f"{hop.place}@{hop.version}" if hop.version else hop.place for hop in hops]
    width = min(max((len(place) for place in places), default=0), 48)
    for hop, place in zip(hops, places, strict=True):
        if before is None or before.at.date() != hop.at.date():
            click.echo(click.style(f"{hop.at.date()} UTC", dim=True))
        passed = step((hop.at - before.at).total_seconds() * 1000) if before is not None else ""
        click.echo(f"{clock(hop.at)} {passed:>9}  {place:<{width}}  {_what(hop)}".rstrip())
        before = hop


def _what(hop: Hop) -> str:
    parts = [hop.outcome]
    if hop.step:
        name = step_name(hop.step)
        parts.append(f"at {'step ' if name != hop.step else ''}{name}")
    if hop.onward:
        parts.append(f"→ {hop.onward}")
    copies = [out.channel for out in hop.outputs if out.number != hop.number]
    if copies:
        parts.append(f"· copies → {', '.join(copies)}")
    if hop.attempt:
        parts.append(f"· attempt {hop.attempt}")
    if hop.code or hop.reason:
        parts.append(f"· {' '.join(filter(None, (hop.code, clean(hop.reason))))}")
    return " ".join(parts)


def _lineage(trace: Trace, around: Circumstances) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    arrival = trace.arrival
    if arrival is not None:
        where = " ".join(filter(None, (clean(arrival.name), trace.subject.place)))
        told = "" if arrival.told else " · the partner is not told yet"
        size = f"{arrival.size:,} bytes, sha256 {arrival.sha256[:12]}"
        lines.append(
            ("From", f"{where} · {arrival.endpoint}, {stamp(arrival.at)} UTC · {size} · {arrival.outcome}{told}")
        )
    for out in trace.outgoing:
        answers = ", ".join(f"{count} {status or 'not answered'}" for status, count in sorted(out.payments.items()))
        size = f"{out.size:,} bytes, sha256 {out.sha256[:12]}" if out.sha256 else ""
        state = f"{out.state} {stamp(out.at)} UTC"
        parts = [out.outlet, clean(out.file), state, size, f"payments: {answers}" if answers else ""]
        lines.append(("Went out", " · ".join(part for part in parts if part)))
    for answer in trace.answers:
        named = clean(answer.file) or answer.message
        lines.append(("Answer", f"{named}, {stamp(answer.at)} UTC · {sentence(answer.where, around)}"))
    if trace.batch is not None:
        went = [f"{outcome} {text}" for outcome, text in _by_outcome(trace)]
        open_ = [f"{trace.batch.unreported} on their way"] if trace.batch.unreported else []
        lines.append(("Records", f"{money(trace.batch.came)} in the file · {', '.join(went + open_) or 'none yet'}"))
    for case in trace.cases:
        owner = f", {case.owner}" if case.owner else ""
        lines.append(("Case", f"{case.number} {case.code} {clean(case.summary)} ({case.state}{owner})"))
    lines += [("Also", f"{match.name} {clean(match.value)} · message number {match.number}") for match in trace.others]
    return lines


def _by_outcome(trace: Trace) -> list[tuple[str, str]]:
    went = trace.batch.went if trace.batch is not None else ()
    outcomes = sorted({total.outcome for total in went})
    return [(outcome, money(tuple(t for t in went if t.outcome == outcome))) for outcome in outcomes]


# ---------------------------------------------------------------- follow


def _follow(site: Site, reading: Reading, trace: Trace, *, as_json: bool) -> None:
    """Print hops as they come, until nothing more is to come."""
    around = circumstances(site, reading)
    if not as_json:
        print_headline(trace, around)
    seen: set[Hop] = set()
    last: Hop | None = None
    where = trace.where
    while True:
        fresh = [hop for hop in trace.hops if hop not in seen]
        seen.update(fresh)
        if as_json:
            for hop in fresh:
                print_json_line(hop)
        else:
            print_hops(fresh, last)
            last = fresh[-1] if fresh else last
            if trace.where != where:
                where = trace.where
                click.echo(sentence(where, around))
        if trace.finished:
            return
        time.sleep(_PAUSE)
        around = circumstances(site, reading)
        trace = Tracer(reading, around.now).of_number(trace.subject.number) or trace
