"""``bus convert``: an ISO 20022 file in another version or as JSON, and JSON as a message, without a project."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from bus.cli.inspect import detected, opened
from bus.cli.output import Exit, clean, leave, note, print_error
from bus.errors import BusError, Finding, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bus.spec import FormatSpec

_MOST_SHOWN = 50


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--to", "target", required=True, metavar="NAME", help="`json`, or a message such as pain.001.001.09.")
@click.option("--out", metavar="PATH", help="Write to this file instead of standard output.")
@click.option("--report", is_flag=True, help="Convert even if values are lost; they are listed.")
def command(file: str, target: str, out: str | None, *, report: bool) -> None:
    """Turn an ISO 20022 file into another version or into JSON, or such JSON into a message.

    What the other version has no place for is listed on standard error, field by field. A payment that would lose
    something is refused without `--report`; records, amounts, parties and accounts are never left out.

    Exit code: 0 written, 1 refused, 2 when the file is missing.
    """
    try:
        with ExitStack() as stack:
            source, _ = opened(file, stack)
            with _output(out) as written:
                findings = _convert(file, source, target, written, report=report)
    except BrokenPipeError:
        raise  # the reader of our output left, which is nothing about the file
    except OSError as error:
        note(f"error: {clean(error.filename or file)}: {error.strerror or 'cannot be read or written'}")
        leave(Exit.USAGE)
    except BusError as error:
        _tell(error.findings if isinstance(error, Rejected) else ())
        print_error(error)
        leave(Exit.FINDINGS)
    _tell(findings)


@contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that is there only when all of it is written."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    place = Path(path)
    with NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as file:
        made = Path(file.name)
        try:
            yield cast("BinaryIO", file)
        except BaseException:
            made.unlink()
            raise
    made.replace(place)


def _convert(name: str, source: BinaryIO, target: str, out: BinaryIO, *, report: bool) -> Sequence[Finding]:
    from bus.ports import FileConverter, WriteContext  # noqa: PLC0415 - loads what only verbs at work need

    found = detected(source, name)
    if found is None:
        raise _cannot("no format knows the file")
    context = WriteContext("0" * 32, 0)
    if found.key == "json":
        body = _with(found, {}).build().read(source).whole()
        _chosen(target, {"from": "json"}).build().write((body,), out, context)
        return ()
    document: Any = _with(found, {"as": "json"}).build().read(source)
    if target == "json":
        _chosen("json", {"indent": 2}).build().write((document.whole(),), out, context)
        out.write(b"\n")
        return tuple(document.findings)
    options = {"from": document.head["message"], "on_loss": "report" if report else "auto"}
    source.seek(0)
    form = _chosen(target, options).build()
    if not isinstance(form, FileConverter):
        raise _cannot("nothing is converted into that")
    return form.convert(source, out)


def _chosen(name: str, options: dict[str, Any]) -> FormatSpec:
    """The format of a name with options."""
    from bus.registry import Registry  # noqa: PLC0415 - loads every format
    from bus.spec import FormatSpec  # noqa: PLC0415 - loads pydantic

    registry = Registry()
    for key in registry.keys("format"):
        spec = registry.spec("format", key)
        known = spec.from_name(name) if issubclass(spec, FormatSpec) else None
        if known is not None and issubclass(spec, FormatSpec):
            return _with(spec, {**known, **options})
    raise _cannot("there is no format of that name")


def _with(spec: type[FormatSpec], options: dict[str, Any]) -> FormatSpec:
    from pydantic import ValidationError  # noqa: PLC0415 - 80 ms that the other verbs need not pay

    try:
        return spec.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        why = "nothing is converted into or from that" if first["type"] == "extra_forbidden" else str(first["msg"])
        raise _cannot(why) from None


def _cannot(why: str) -> Rejected:
    hint = "files of ISO 20022 become another version or `json`, such JSON becomes a message"
    return Rejected("VAL628", why, hint=hint)


def _tell(findings: Sequence[Finding]) -> None:
    """One line each on standard error."""
    for finding in findings[:_MOST_SHOWN]:
        note(f"{finding.severity}[{finding.code}] {clean(finding.place)}: {clean(finding.message)}")
    if len(findings) > _MOST_SHOWN:
        note(f"and {len(findings) - _MOST_SHOWN} more")
