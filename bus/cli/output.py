"""How verbs speak: tables, JSON, errors and exit codes, the same for all of them.

Results go to stdout, everything else to stderr. Without a terminal tables are tab-separated lines, and nothing has a
colour.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from bus.cli.tables import draw
from bus.errors import BusError, ConfigError, Held, InDoubt, NotAllowed, Rejected, Retryable, Unavailable

F = TypeVar("F", bound=Callable[..., Any])


class Exit(IntEnum):
    """Exit codes of every verb."""

    DONE = 0
    FINDINGS = 1
    """Check or test failed, a file was refused."""
    USAGE = 2
    """Wrong options, or nothing matched."""
    CHANGES = 3
    """Only with ``--exit-code``: there are changes."""
    NOT_ALLOWED = 4
    """A rule forbids it, or it waits for a person."""
    UNREACHABLE = 5
    """Partner, store or running bus cannot be reached."""
    PARTLY = 6
    """Some of a bulk is done, or the outcome of an outward effect is unknown."""
    BUG = 70
    INTERRUPTED = 130


_EXITS: tuple[tuple[type[BusError], Exit], ...] = (
    (NotAllowed, Exit.NOT_ALLOWED),
    (Held, Exit.NOT_ALLOWED),
    (Unavailable, Exit.UNREACHABLE),
    (Retryable, Exit.UNREACHABLE),
    (InDoubt, Exit.PARTLY),
    (ConfigError, Exit.FINDINGS),
    (Rejected, Exit.FINDINGS),
)


_NOTHING_THERE = ("CFG160", "CFG190", "CFG193", "CFG194", "CFG195", "CFG197")
"""No landscape, no file matched, no route or field of that name, an argument that is not what it should be."""


def exit_code(error: BusError) -> Exit:
    """The exit code that a raised error means."""
    if isinstance(error, ConfigError) and error.code in _NOTHING_THERE:
        return Exit.USAGE
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FINDINGS)


def leave(code: Exit) -> NoReturn:
    """End the running verb with this exit code."""
    click.get_current_context().exit(int(code))


# ---------------------------------------------------------------- options that verbs share


def config_option(function: F) -> F:
    """Decorator: ``-C/--config DIR`` as parameter ``config``, a :class:`pathlib.Path` from :func:`config_folder`."""

    def choose(ctx: click.Context, _option: click.Parameter, value: str | None) -> Path:
        return config_folder(value or ctx.find_root().obj)

    return click.option(
        "-C",
        "--config",
        metavar="DIR",
        callback=choose,
        help="Folder with bus.yaml; default: ./routes if it has one, else the current folder.",
    )(function)


def json_option(function: F) -> F:
    """Decorator: ``--json`` as parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def config_folder(given: str | None = None) -> Path:
    """The folder with ``bus.yaml``: as given, else ``./routes`` if it has one, else the current folder."""
    if given:
        return Path(given)
    return Path("routes") if Path("routes", "bus.yaml").is_file() else Path()


# ---------------------------------------------------------------- results on stdout


# Control characters, line separators, bidirectional overrides, and halves of characters (names that are no UTF-8).
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")


def clean(text: Any) -> str:
    """Text that may be shown on a terminal: what came from outside must not move the cursor or retitle the window."""
    return _HARMFUL.sub("\ufffd", str(text))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", always: int | None = None
) -> None:
    """Rows under headings: a table on a terminal, tab-separated lines with one heading line elsewhere.

    Cells that are numbers (``int``, ``Decimal``) stand right-aligned; None is shown empty.

    Args:
        columns: the headings.
        rows: the cells.
        title: above the table, on a terminal.
        always: so many first columns are always there; on a terminal the others only when they have something to tell.
    """
    cells = [list(row) for row in rows]
    if not sys.stdout.isatty():
        for line in [columns, *cells]:
            click.echo("\t".join("" if cell is None else clean(cell) for cell in line))
        return
    kept = [
        index for index in range(len(columns))
        if always is None or index < always or any(row[index] not in (None, 0, "", "0") for row in cells)
    ]  # fmt: skip
    if kept:
        shown = [[cells_of[index] for index in kept] for cells_of in cells]
        numeric = {
            n for n in range(len(kept)) if shown and all(isinstance(row[n], int | Decimal | None) for row in shown)
        }
        draw([columns[index] for index in kept], [[*map(_cell, row)] for row in shown], title=title, numeric=numeric)


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:,f}"
    return "" if value is None else clean(value)


def print_json(value: Any) -> None:
    """One JSON document: amounts as decimal strings, times RFC 3339 UTC, frozen values as objects."""
    click.echo(_HALVES.sub("\ufffd", json.dumps(value, default=_plain, indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    """One line of an NDJSON stream."""
    click.echo(json_line(value), nl=False)


def json_line(value: Any) -> bytes:
    """The line that :func:`print_json_line` prints, in UTF-8."""
    text = _encode_line(value)
    if not text.isascii():
        text = _HALVES.sub("\ufffd", text)
    return f"{text}\n".encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return _members(value)


def _members(value: Any) -> dict[str, Any]:
    """The fields of a dataclass or msgspec struct."""
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
    else:
        names = list(getattr(value, "__struct_fields__", ()))
    if not names:
        raise TypeError(f"{type(value).__name__} cannot be printed as JSON")
    return {name: getattr(value, name) for name in names}


_encode_line = json.JSONEncoder(default=_plain, ensure_ascii=False, separators=(",", ":")).encode


# ---------------------------------------------------------------- everything else on stderr


def note(text: str) -> None:
    """Something to know that is no result."""
    click.echo(text, err=True)


@contextmanager
def paths_from(folder: Path) -> Iterator[None]:
    """Files of a landscape that errors name are told as seen from the current folder, so that an editor opens them."""
    try:
        yield
    except ConfigError as error:
        if error.path:
            error.path = seen_from_here(folder / error.path)
        raise


def seen_from_here(path: Path) -> str:
    """A path relative to the current folder where it is below that, else as given."""
    near = Path(os.path.relpath(path))
    return (path if near.parts[:1] == ("..",) else near).as_posix()


def print_error(error: BusError) -> None:
    """``error[CODE] place  message`` with the hint below, on stderr."""
    place = ""
    if isinstance(error, ConfigError) and error.path:
        place = " " + ":".join(str(part) for part in (error.path, error.line, error.column) if part)
    elif isinstance(error, Rejected) and error.place and not error.message.startswith(f"{error.place}: "):
        place = f" {clean(error.place)}"
    head = click.style(f"error[{error.code}]", fg="red", bold=True)
    click.echo(f"{head}{place}  {clean(error.message)}", err=True)
    if error.hint:
        click.echo(f"    = {clean(error.hint)}", err=True)


def print_bug(error: Exception) -> None:
    """Report an unexpected exception: type and code places only, since its text and values may be payload."""
    root = Path(__file__).parents[2]
    frames = traceback.extract_tb(error.__traceback__)
    head = click.style("internal error", fg="red", bold=True)
    try:
        release = version()
    except Exception:  # noqa: BLE001 - what is broken may be just that; the report must come out
        release = "of unknown version"
    click.echo(f"{head}: {type(error).__name__}. This is a bug of girobus {release}, not of your files.", err=True)
    for frame in frames[-6:]:
        path = Path(frame.filename)
        shown = path.relative_to(root) if path.is_relative_to(root) else path.name
        click.echo(f"    {shown}:{frame.lineno} in {frame.name}", err=True)
    if os.environ.get("GIROBUS_DEBUG"):
        click.echo("".join(traceback.format_exception(error)), err=True)
    else:
        click.echo(
            "    = please report the lines above; GIROBUS_DEBUG=1 shows the whole traceback (with values)", err=True
        )


def version() -> str:
    """Version of the installed distribution, or of the source tree this runs from."""
    from bus.config import girobus_version  # noqa: PLC0415 - loads the configuration package

    return girobus_version()
