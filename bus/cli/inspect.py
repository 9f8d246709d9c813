"""``bus inspect``: what is in a bank or ERP file, without a project."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

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
from bus.cli.overview import HEADS, Overview, below
from bus.cli.records import record_line
from bus.cli.rulebooks import find_profile, profile_findings
from bus.errors import BusError, Finding, Rejected
from bus.ports import EncodedRecords, InspectedDocument, Inspection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bus.ports import InspectedTotal, RuleBook
    from bus.spec import FormatSpec

_HEAD = 4096
_IN_MEMORY = 16_000_000
_WORTH_A_BAR = 20_000_000
"""Bytes from which reading takes long enough for a progress bar."""
_WORTH_SHARING = 8_000_000
"""Bytes from which several processes are faster than one."""
_Money = dict[str, Any]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@json_option
@click.option("--profile", metavar="NAME", help="Check its payments by a profile too; `bus profile list` names them.")
@config_option
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="With --to: read a big file with so many processes; without it, with one for each core.",
)
@click.option(
    "--to",
    "target",
    type=click.Choice(["canonical"]),
    help="Print the records of the file instead, one canonical JSON object a line.",
)
def command(
    files: tuple[str, ...],
    target: str | None,
    profile: str | None,
    config: Path,
    processes: int | None,
    *,
    as_json: bool,
) -> None:
    """Tell what is in bank or ERP files: format, documents, counts, sums, balances, findings.

    Needs no project. The format is found by looking into the file. `-` reads standard input.

    A folder stands for all files below it, hidden ones left out: then a table tells each of them in a line a currency,
    with the worst of its findings, and a last line counts them (with `--json` on stderr).

    With `--profile` payments are checked as history: whether their day is over or a cut-off was missed is no matter.

    Exit code: 0 readable, 1 with errors among the findings or of unknown format, 2 when a file is missing.
    """
    book = find_profile(profile, config) if profile else None
    names = list(below(files))
    overview = Overview() if names != list(files) else None

    def tell(name: str, source: BinaryIO, size: int, stack: ExitStack) -> Exit:
        if target:
            return _print_canonical(name, source, processes or _processes(name, size))
        found = _inspected(name, _with_bar(source, name, size, stack), book)
        if overview:
            overview.add(name, found)
        if as_json or not overview:
            _print_inspection(name, found, as_json=as_json, several=len(names) > 1 or overview is not None)
        return _judged(found)

    worst = max([_told(name, tell) for name in names])
    if overview and not target:
        if not as_json:
            print_table(HEADS, overview.rows, always=4)
        (note if as_json else click.echo)(str(overview))
    leave(worst)


def _told(name: str, tell: Callable[[str, BinaryIO, int, ExitStack], Exit]) -> Exit:
    """Open a file and tell of it; one that cannot be read does not keep the others back."""
    try:
        with ExitStack() as stack:
            source, size = opened(name, stack)
            return tell(name, source, size, stack)
    except BrokenPipeError:
        raise  # the reader of our output left, which is nothing about the file
    except IsADirectoryError:
        note(f"error: {clean(name)}: there is no file in this folder")
        return Exit.USAGE
    except OSError as error:
        note(f"error: {clean(name)}: {error.strerror or 'cannot be read'}")
        return Exit.USAGE


# ---------------------------------------------------------------- the file


def opened(name: str, stack: ExitStack) -> tuple[BinaryIO, int]:
    """A file to seek in, at its beginning, and its size in bytes."""
    stream: BinaryIO = sys.stdin.buffer
    if name != "-":
        stream = stack.enter_context(Path(name).open("rb"))  # noqa: SIM115 - the stack closes it
        if stream.seekable():
            return stream, Path(name).stat().st_size
    spool = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - the stack closes it
    while block := stream.read(1 << 20):
        spool.write(block)
    size = spool.tell()
    spool.seek(0)
    return cast("BinaryIO", spool), size


def _with_bar(source: BinaryIO, name: str, size: int, stack: ExitStack) -> BinaryIO:
    """The same file, with a progress bar on stderr where somebody is looking and it takes a while."""
    if size < _WORTH_A_BAR or not sys.stderr.isatty():
        return source
    from rich.console import Console  # noqa: PLC0415 - only for big files on a terminal
    from rich.progress import wrap_file  # noqa: PLC0415

    bar = wrap_file(source, size, description=clean(name), console=Console(stderr=True), transient=True)
    return stack.enter_context(bar)


def detected(source: BinaryIO, name: str) -> type[FormatSpec] | None:
    """The format that is surest that the file is its own."""
    from bus.registry import Registry  # noqa: PLC0415 - loads every format
    from bus.spec import FormatSpec  # noqa: PLC0415 - loads pydantic

    head = source.read(_HEAD)
    source.seek(0)
    registry = Registry()
    sureness: list[tuple[float, type[FormatSpec]]] = []
    for key in registry.keys("format"):
        spec = registry.spec("format", key)
        if issubclass(spec, FormatSpec):
            sureness.append((spec.detect(head, Path(name).name), spec))
    best, found = max(sureness, key=lambda pair: pair[0], default=(0.0, None))
    return found if best > 0 else None


# ---------------------------------------------------------------- inspection


def _inspected(name: str, source: BinaryIO, book: RuleBook | None) -> Inspection:
    spec = detected(source, name)
    if spec is None:
        return _unknown(source)
    found = spec.inspect(source)
    if book is None:
        return found
    source.seek(0)
    options = with_options(spec, spec.guessed(source))
    source.seek(0)
    told = profile_findings(options.build().read(source).parts(spec.each_default), book)
    return Inspection(found.format, found.kind, found.documents, (*found.findings, *told))


def _print_inspection(name: str, found: Inspection, *, as_json: bool, several: bool) -> None:
    if as_json:
        (print_json_line if several else print_json)(_as_plain(name, found))
    else:
        _print_tables(name, found)


def _judged(found: Inspection) -> Exit:
    bad = found.kind is None or any(finding.severity == "error" for finding in found.findings)
    return Exit.FINDINGS if bad else Exit.DONE


def _unknown(source: BinaryIO) -> Inspection:
    if source.read(1):
        finding = Finding("VAL590", "error", "beginning of the file", "no format knows this file")
    else:
        finding = Finding("VAL591", "error", "beginning of the file", "the file is empty")
    return Inspection("", None, (), (finding,))


def _as_plain(name: str, found: Inspection) -> dict[str, Any]:
    return {
        "file": name,
        "format": found.format or None,
        "kind": found.kind,
        "documents": [_document(document) for document in found.documents],
        "findings": [
            {"code": f.code, "severity": f.severity, "place": f.place, "message": f.message} for f in found.findings
        ],
    }


def _document(document: InspectedDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "account": document.account,
        "opening": document.opening,
        "closing": document.closing,
        "totals": [_total(total) for total in document.totals],
    }


def _total(total: InspectedTotal) -> dict[str, Any]:
    return {
        "currency": total.currency,
        "count": total.count,
        "amount": total.amount,
        "credit": total.credit,
        "debit": total.debit,
    }


def _print_tables(name: str, found: Inspection) -> None:
    told = "" if found.findings else ", no findings"
    click.echo(f"{clean(name)}: {clean(found.format or 'unknown format')}, {clean(found.kind or 'not readable')}{told}")
    rows: list[list[Any]] = []
    for document in found.documents:
        first = [document.id, document.account, _balance(document.opening), _balance(document.closing)]
        for total in document.totals or (None,):
            if total is None:
                rows.append([*first, None, None, None, None, None])
            else:
                amount = total.amount if total.currency else None
                rows.append([*first, total.currency, total.count, amount, total.credit, total.debit])
            first = [None, None, None, None]
    if rows:
        heads = ("document", "account", "opening", "closing", "currency", "count", "amount", "credit", "debit")
        print_table(heads, rows, always=1 if any(document.id for document in found.documents) else 0)
    if found.findings:
        _print_findings(found.findings)


def _balance(balance: _Money | None) -> str | None:
    if balance is None:
        return None
    return " ".join(
        f"{balance[name]:,f}" if isinstance(balance[name], Decimal) and sys.stdout.isatty() else str(balance[name])
        for name in ("amount", "currency", "date")
        if balance.get(name) not in (None, "")
    )


def _print_findings(findings: Iterable[Finding]) -> None:
    """One line a kind of finding, with the first of its places: a bad file repeats the same finding on every line."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        message = finding.message.removeprefix(f"{finding.place}: ")
        kinds.setdefault((finding.code, finding.severity, message), []).append(finding.place)
    rows = [
        [severity, code, places[0] + (f" (and {len(places) - 1} more)" if len(places) > 1 else ""), message]
        for (code, severity, message), places in kinds.items()
    ]
    print_table(("severity", "code", "place", "finding"), rows)


# ---------------------------------------------------------------- records


def _processes(name: str, size: int) -> int:
    if name == "-" or size < _WORTH_SHARING:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_canonical(name: str, source: BinaryIO, processes: int) -> Exit:
    """Stream the records as JSON lines; what is wrong goes to stderr."""
    out = sys.stdout.buffer
    code = Exit.DONE
    try:
        for lines, refused in _records(name, source, processes):
            out.write(lines)
            for place, error, message in refused:
                code = Exit.FINDINGS
                note(f"error[{error}] {clean(name)}: {clean(place)}: {clean(message)}")
    except BusError as error:
        code = Exit.FINDINGS
        out.flush()
        print_error(error)
    out.flush()
    return code


def _records(name: str, source: BinaryIO, processes: int) -> Iterator[EncodedRecords]:
    spec = detected(source, name)
    if spec is None:
        (finding,) = _unknown(source).findings
        raise Rejected(finding.code, finding.message, place=clean(name))
    options = spec.guessed(source)
    source.seek(0)
    format_spec = with_options(spec, options)
    shared = format_spec.spread(Path(name), record_line, processes) if processes > 1 and name != "-" else None
    if shared is not None:
        yield from shared
        return
    for part in format_spec.build().read(source).parts(spec.each_default):
        if part.error is None:
            yield EncodedRecords(record_line(part.body), ())
        else:
            yield EncodedRecords(b"", ((part.place, part.error.code, part.error.message),))


def with_options(spec: type[FormatSpec], options: dict[str, Any]) -> FormatSpec:
    """The format with these options; raises Rejected ``VAL592`` where it needs others."""
    from pydantic import ValidationError  # noqa: PLC0415 - 80 ms that the other verbs need not pay

    try:
        return spec.model_validate(options)
    except ValidationError:
        why = f"the format `{spec.key}` cannot be read without options"
        raise Rejected("VAL592", why, hint="read it in a route: `parse: {FORMAT: {…}}`") from None
