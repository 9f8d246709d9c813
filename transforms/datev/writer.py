"""Writes plain bookings as a DATEV booking batch (EXTF, category 21)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, BinaryIO, NamedTuple

from bus import Rejected, WriteContext
from transforms._plain_xml import Copy
from transforms.datev.columns import COLUMNS, REQUIRED, VERSION, Column
from transforms.datev.fields import BadFieldError, encode

_IN_MEMORY = 8 << 20
_BLOCK = 1 << 20
_KEYS = {column.key or column.name for column in COLUMNS}
_LABEL = Column("label", "text", 30)


class Options(NamedTuple):
    """What the header says; see the spec."""

    consultant: int
    client: int
    fiscal_year_begin: str
    account_length: int
    currency: str
    label: str
    origin: str
    exported_by: str
    dictation: str
    chart: str
    kind: int
    locked: bool
    encoding: str


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, options: Options) -> None:
    """Write all parts as one batch; its period is that of the bookings.

    Raises:
        Rejected: ``VAL824`` to ``VAL827``, ``VAL333``, ``VAL334``, ``VAL335``: a booking cannot be written as it is.
    """
    begin = _begin(options)
    rows = Copy(_IN_MEMORY)
    first, last = "", ""
    for number, body in enumerate(parts, 1):
        if not isinstance(body, Mapping):
            message = f"record {number} is a {type(body).__name__}, not a mapping"
            raise Rejected("VAL335", message, hint="translate it to a booking first")
        line = _line(body, number, options)
        day = str(body["date"])
        _check_day(day, begin, number)
        first, last = min(first or day, day), max(last, day)
        rows.write(_encoded(line, number, options.encoding))
    if not first:
        raise Rejected("VAL334", "there are no bookings to write", hint="filter empty batches out before")
    header = _header(options, context, first, last)
    names = ";".join(column.name for column in COLUMNS)
    if options.encoding == "utf-8-sig":
        target.write(b"\xef\xbb\xbf")
    target.write(_encoded(header, 0, options.encoding) + _encoded(names, 0, options.encoding))
    rows.seek(0)
    while block := rows.read(_BLOCK):
        target.write(block)


def _begin(options: Options) -> date:
    missing = [name for name in ("consultant", "client", "fiscal_year_begin") if not getattr(options, name)]
    if missing:
        message = f"the format has no `{missing[0]}`, which a booking batch needs"
        raise Rejected("VAL827", message, hint="write it into the route; the tax adviser tells it")
    return date.fromisoformat(options.fiscal_year_begin)


def _line(body: Mapping[str, Any], number: int, options: Options) -> str:
    unknown = [str(key)[:40] for key in body if key not in _KEYS]
    if unknown:
        message = f"record {number} has fields that are no columns: `{'`, `'.join(unknown[:5])}`"
        raise Rejected("VAL824", message, hint="keys are those of the reference, or the names of columns")
    missing = [name for name in REQUIRED if body.get(name) in (None, "")]
    if missing:
        raise Rejected("VAL824", f"record {number} has no `{missing[0]}`", place=missing[0])
    cells = []
    for column in COLUMNS:
        key = column.key or column.name
        value = body.get(key)
        if key == "currency" and value == options.currency:
            value = ""  # the header says it
        try:
            cells.append(encode(value, column, options.account_length))
        except BadFieldError as error:
            raise Rejected("VAL825", f"record {number}: `{key}` {error}", place=key) from None
    return ";".join(cells)


def _check_day(text: str, begin: date, number: int) -> None:
    """The file has days without years: one outside of the fiscal year would be booked in another one."""
    day = date.fromisoformat(text)
    end = begin.replace(year=begin.year + 1) if (begin.month, begin.day) != (2, 29) else date(begin.year + 1, 3, 1)
    if not begin <= day < end:
        message = f"record {number}: the date is not in the fiscal year that begins on {begin}"
        raise Rejected("VAL826", message, hint="write a batch for each fiscal year", place="date")


def _header(options: Options, context: WriteContext, first: str, last: str) -> str:
    created = datetime.fromtimestamp(context.created_at / 1000, UTC)
    stamp = f"{created:%Y%m%d%H%M%S}{context.created_at % 1000:03}"
    label = str(context.properties.get("label", options.label))
    try:
        texts = [encode(t, _LABEL, 0) for t in (options.origin, options.exported_by, label, options.dictation)]
        origin, exported_by, label, dictation = texts
    except BadFieldError as error:
        raise Rejected("VAL825", f"the header: a text {error}", place="label") from None
    plain = [day.replace("-", "") for day in (options.fiscal_year_begin, first, last)]
    begin, first, last = plain
    return (
        f'"EXTF";700;21;"Buchungsstapel";{VERSION};{stamp};;{origin};{exported_by};"";{options.consultant};'
        f"{options.client};{begin};{options.account_length};{first};{last};{label};{dictation};{options.kind};0;"
        f'{int(options.locked)};"{options.currency}";;"";;;"{options.chart}";;;"";""'
    )


def _encoded(line: str, number: int, encoding: str) -> bytes:
    try:
        return (line + "\r\n").encode("utf-8" if encoding == "utf-8-sig" else encoding)
    except UnicodeEncodeError:
        message = f"record {number} holds a character that {encoding} does not have"
        raise Rejected("VAL333", message, hint="replace it in the mapping", place=f"record {number}") from None
