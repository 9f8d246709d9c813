"""`bus cases`: what needs a person; looked at without the bus, decided through it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from bus.cli.moments import Since, age, stamp
from bus.cli.output import (
    Exit,
    clean,
    config_option,
    json_option,
    leave,
    note,
    print_error,
    print_json,
    print_json_line,
    print_table,
)
from bus.cli.site import Site, now, reason_for
from bus.cli.telling import Circumstances, sentence
from bus.cli.trace import as_data, circumstances, print_headline
from bus.codes import codes
from bus.errors import BusError, NotAllowed
from bus.ledger.reading_cases import CaseFile, CaseRow, Stuck, Wanted, list_cases, read_case
from bus.ledger.reading_trace import Trace, Tracer
from bus.runtime.socket import Request

_reason = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the audit.")
_number = click.argument("number", type=click.IntRange(min=1), metavar="CASE")
_MOST = 1_000
"""Most cases that one command decides."""


class CaseNumbers(click.ParamType[range]):
    """A case number, or the first and last of several: ``4-10``."""

    name = "case"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        """The numbers meant."""
        if isinstance(value, range):
            return value
        first, _, last = str(value).partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            self.fail(f"{value!r} is no case number; write 4, or 4-10", param, ctx)
        numbers = range(int(first), int(last or first) + 1)
        if not 1 <= numbers.start < numbers.stop or len(numbers) > _MOST:
            self.fail(f"{value!r} names no cases, or more than {_MOST}", param, ctx)
        return numbers


_numbers = click.argument("numbers", type=CaseNumbers(), nargs=-1, required=True, metavar="CASE...")


@click.group()
def command() -> None:
    """List and settle what needs a person."""


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Closed ones too.")
@click.option("--route", default="", help="Only of this route or outlet.")
@click.option("--owner", default="", help="Only of this team.")
@click.option("--code", default="", help="Only with this error code.")
@click.option("--since", type=Since(), default=0, metavar="WHEN", help="Only what happened since: 2d, 2026-11-24 …")
@click.option("--before", type=int, default=0, metavar="CASE", help="Only cases with a smaller number: the next page.")
@click.option("--limit", "most", type=click.IntRange(1, 1000), default=100, show_default=True, help="Most lines.")
@config_option
@json_option
def list_(*, config: Path, as_json: bool, every: bool, **wanted: Any) -> None:
    """List open cases, newest first."""
    site = Site.of(config)
    question = Wanted(state="" if every else "open", **wanted)
    found = []
    if site.has_ledger:
        with site.reading() as reading:
            found = list_cases(reading, question)
    if as_json:
        print_json(found)
    elif found:
        columns = ("case", "state", "code", "route", "owner", "count", "opened", "age", "summary", "file")
        print_table(columns, [_cells(case, now()) for case in found])
    else:
        note("No case." if every else "No open case; --all lists closed ones too.")
    if len(found) == question.most:
        note(f"The first {question.most}; the next page: --before {found[-1].number}")


def _cells(case: CaseRow, moment: int) -> tuple[Any, ...]:
    return (
        case.number, case.state, case.code, case.route, case.owner, case.count, stamp(case.opened),
        age(case.opened, moment), case.summary, case.context.get("file") or None,
    )  # fmt: skip


@command.command()
@_number
@config_option
@json_option
def show(*, number: int, config: Path, as_json: bool) -> None:
    """Show all that is known of a case and what can be decided."""
    site = Site.of(config)
    with site.reading() as reading:
        found = read_case(reading, number)
        if found is None:
            note(f"There is no case {number}; see: bus cases list --all")
            leave(Exit.USAGE)
        around = circumstances(site, reading)
        stuck = (*found.held, *found.dead)
        trace = Tracer(reading, around.now).of_number(stuck[0].number if stuck else found.case.message)
    if as_json:
        journey = as_data(trace, around) if trace is not None else None
        print_json(asdict(found) | {"choices": found.choices, "trace": journey})
    else:
        _print(found, trace, around)


def _print(found: CaseFile, trace: Trace | None, around: Circumstances) -> None:
    case = found.case
    click.echo(click.style(f"Case {case.number}  {case.code}  {clean(case.summary)}", bold=True))
    times = f", {case.count} times, last {stamp(case.last)} UTC" if case.count > 1 else ""
    state = case.state if case.state == "open" else f"{case.state} by {case.closed_by}, {stamp(case.closed)} UTC"
    lines = [
        ("State", f"{state}{': ' + clean(case.closing_reason) if case.closing_reason else ''}"),
        ("Opened", f"{stamp(case.opened)} UTC ({age(case.opened, around.now)} ago){times}"),
        ("Route", f"{case.route}{', owner ' + case.owner if case.owner else ''}"),
        *(
            (name.capitalize(), _plain(value))
            for name, value in case.context.items()
            if value not in ("", {}, [], None)
        ),
        ("Held", _stuck(found.held, found.held_count)),
        ("Dead", _stuck(found.dead, found.dead_count)),
        *(("Audit", f"{stamp(a.at)} UTC {a.who} {a.what}: {clean(a.reason)}") for a in found.audit),
    ]
    for label, line in lines:
        if line:
            click.echo(f"{click.style(f'{label:<9}', bold=True)} {line}")
    if trace is not None:
        click.echo()
        print_headline(trace, around)
        for other in trace.answers:
            click.echo(f"Answer    {clean(other.file)}: {sentence(other.where, around)}")
    if found.choices:
        click.echo()
        if case.code in codes():
            click.echo(f"To do     {codes()[case.code].do}")
        click.echo(f"Explain   bus explain {case.code}")
        click.echo("Decide    " + " · ".join(_decision(choice, case.number) for choice in found.choices))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return clean(" ".join(f"{name}={item}" for name, item in value.items()))
    return clean(value)


def _stuck(messages: tuple[Stuck, ...], count: int) -> str:
    """``3 in payments-out#5, 400.10 EUR: invoice=INV-1, invoice=INV-2 …``."""
    if not count:
        return ""
    channels = ", ".join(sorted({message.channel for message in messages}))
    what = []
    for message in messages[:5]:
        keys = " ".join(f"{name}={clean(value)}" for name, value in message.keys) or message.message
        what.append(" ".join(filter(None, (keys, str(message.worth or "")))))
    return f"{count} in {channels}: {'; '.join(what)}{' …' if count > len(what) else ''}"


def _decision(choice: str, number: int) -> str:
    verb, _, options = choice.partition(" ")
    reason = "" if verb == "retry" and not options else " --reason …"
    return " ".join(filter(None, ("bus cases", verb, str(number), options))) + reason


# ---------------------------------------------------------------- decisions


@command.command()
@_numbers
@click.option("--pinned", is_flag=True, help="In the route version it came in with, instead of the present one.")
@click.option(
    "--resolved-as", type=click.Choice(["done", "not-done"]), help="What the partner says of an effect in doubt."
)
@_reason
@config_option
@json_option
def retry(*, config: Path, as_json: bool, numbers: tuple[range, ...], reason: str, **how: Any) -> None:
    """Run the dead letters of cases again.

    Where it is in doubt whether the partner has something, ask first, then say what was found with --resolved-as:
    `done` settles it, `not-done` sends it.
    """
    resolved: Literal["", "done", "not-done"] = how["resolved_as"] or ""
    request = Request("retry", reason=reason, pinned=how["pinned"], resolved_as=resolved)
    _decide_all(config, request, numbers, "run again", as_json=as_json)


@command.command()
@_numbers
@_reason
@config_option
@json_option
def release(*, numbers: tuple[range, ...], reason: str, config: Path, as_json: bool) -> None:
    """Let what cases hold go on, in the route version it came in with. CASE is a number or several: 4-10."""
    request = Request("release", reason=reason_for("a release", reason))
    _decide_all(config, request, numbers, "released", as_json=as_json)


@command.command()
@_numbers
@_reason
@config_option
@json_option
def discard(*, numbers: tuple[range, ...], reason: str, config: Path, as_json: bool) -> None:
    """Throw away what cases hold or have buried. Cases that hold nothing are closed; the history keeps it all."""
    request = Request("discard", reason=reason_for("a discard", reason))
    _decide_all(config, request, numbers, "discarded", as_json=as_json)


def _decide_all(config: Path, request: Request, numbers: tuple[range, ...], done: str, *, as_json: bool) -> None:
    """Each case is a decision of its own; one that is refused stops no other. Exit 6 when only some were done."""
    every = [number for some in numbers for number in some]
    site = Site.of(config)
    refused: list[BusError] = []
    for number in every:
        try:
            result = site.carry_out(msgspec.structs.replace(request, case=number))
        except NotAllowed as error:
            if len(every) == 1:
                raise
            refused.append(error)
            print_error(error)
            continue
        if as_json:
            (print_json if len(every) == 1 else print_json_line)(result | {"done": request.do})
            continue
        count = result["messages"]
        what = (
            f"{count} {'message' if count == 1 else 'messages'} {done}" if count else "closed, nothing was left in it"
        )
        click.echo(f"Case {number}: {what}.")
    if refused:
        leave(Exit.PARTLY if len(refused) < len(every) else Exit.NOT_ALLOWED)
