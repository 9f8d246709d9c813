"""Writes plain-data rows as CSV: nothing cut, nothing guessed, quotes only where they are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from bus import Rejected, WriteContext
from transforms._totals import ControlTotals, number_text, unprovable
from transforms.csv.values import BadValueError

if TYPE_CHECKING:
    from transforms.csv.reader import Layout

_ROWS_A_WRITE = 500
# What spreadsheets take for a formula (OWASP, CSV injection), full-width forms included.
_FORMULA = re.compile("[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - the full-width signs are meant
_ALL_TEXT = {str}
_NUMBER = re.compile(r"-?[0-9]+(?:[.,][0-9]+)?")


class Output(NamedTuple):
    """What only the writer needs of the options; see the spec for their meaning.

    ``paths`` are (column, path in the body) pairs; ``flat`` means that each column is a key of the body and that bodies
    have no other keys.
    """

    paths: tuple[tuple[str, str], ...]
    flat: bool
    required: frozenset[str]
    line_end: str
    for_people: bool


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, layout: Layout, output: Output) -> None:
    """Write all parts as one file.

    Raises:
        Rejected: ``VAL330`` to ``VAL336``: a row cannot be written without losing or inventing something.
    """
    rows = iter(parts)
    if not output.paths:
        first = next(rows, None)
        if first is None:
            raise Rejected("VAL334", "there are no rows to take the column names from", hint="write `columns`")
        names = tuple(_mapping(first, 1))
        output = output._replace(paths=tuple((str(name), str(name)) for name in names), flat=True)
        rows = _again(first, rows)
    _Writer(target, layout, output).run(rows, context)


def _again(first: Any, rest: Iterable[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _mapping(body: Any, number: int) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        kind = type(body).__name__
        raise Rejected(
            "VAL335", f"record {number} is a {kind}, not a mapping", hint="translate it to named fields first"
        )
    return body


def _getter(path: str) -> Callable[[Any], Any]:
    """Follows a dotted path through mappings; None where it ends early."""
    keys = tuple(path.split("."))

    def get(body: Any) -> Any:
        for key in keys:
            if not isinstance(body, Mapping):
                return None
            body = body.get(key)
        return body

    return get


class _Writer:
    """One file in the making."""

    def __init__(self, target: BinaryIO, layout: Layout, output: Output) -> None:
        self._target = target
        self._layout = layout
        self._output = output
        self._columns = tuple(name for name, _ in output.paths)
        self._known = frozenset(self._columns)
        self._getters = [_getter(path) for _, path in output.paths]
        self._days = [
            (at, layout.types[name].write, name) for at, name in enumerate(self._columns) if name in layout.types
        ]
        self._lines: list[str] = []
        self._before = 0
        trailer = layout.trailer
        self._marks = {mark for mark in (layout.head_mark, trailer.mark if trailer else "") if mark}
        self._totals = ControlTotals(layout.point) if trailer else None
        self._amount_at = self._position(trailer.of if trailer else "")
        self._currency_at = self._position(trailer.currency if trailer else "")

    def run(self, rows: Iterable[Any], context: WriteContext) -> None:
        layout = self._layout
        if layout.encoding == "utf-8-sig":
            self._target.write(b"\xef\xbb\xbf")
        if layout.head_mark:
            self._line(_head_values(layout, context))
        if layout.header:
            self._line([self._shown(name) for name in self._columns])
        self._flush()
        for number, body in enumerate(rows, 1):
            self._line(self._values(_mapping(body, number), number))
            if len(self._lines) >= _ROWS_A_WRITE:
                self._flush()
        self._flush()
        self._write_trailer()
        self._flush()

    def _position(self, name: str) -> int:
        """Where a column of the control totals stands, -1 for none."""
        if name and name not in self._columns:
            message = f"the column `{name}` of the control totals is not written"
            raise Rejected("VAL330", message, hint="add it to `columns`")
        return self._columns.index(name) if name else -1

    # ------------------------------------------------------------ one row

    def _values(self, body: Mapping[str, Any], number: int) -> list[str]:
        output = self._output
        if output.flat:
            if not body.keys() <= self._known:
                unknown = ", ".join(f"`{key!s:.40}`" for key in body if key not in self._known)
                message = f"record {number} has fields that are no columns: {unknown}"
                raise Rejected("VAL330", message, hint="add them to `columns`")
            found: list[Any] = [body.get(name) for name in self._columns]
        else:
            found = [get(body) for get in self._getters]
        values: list[str] = found
        if set(map(type, found)) != _ALL_TEXT:
            point = self._layout.point
            values = [_text(v, name, number, point) for v, name in zip(found, self._columns, strict=True)]
        if self._days:
            values = self._with_days(values, number)
        if output.required:
            self._check_required(values, number)
        if self._totals is not None:
            self._count(values, number)
        if self._marks and values and values[0] in self._marks:
            message = f"record {number} begins with the mark of a header or trailer record"
            raise Rejected("VAL336", message, hint="choose another `mark`", place=self._columns[0])
        return [self._shown(value) for value in values] if output.for_people else values

    def _with_days(self, values: list[str], number: int) -> list[str]:
        """Days in the form of their columns."""
        values = list(values)
        for at, write_day, name in self._days:
            if write_day is not None and values[at]:
                try:
                    values[at] = write_day(values[at])
                except BadValueError as error:
                    raise Rejected("VAL332", f"record {number}: `{name}` {error}", place=name) from None
        return values

    def _check_required(self, values: list[str], number: int) -> None:
        for name, value in zip(self._columns, values, strict=True):
            if not value and name in self._output.required:
                raise Rejected("VAL331", f"record {number} has no `{name}`, which is required", place=name)

    def _shown(self, text: str) -> str:
        """Text that a spreadsheet will not run; plain negative numbers stay numbers."""
        if self._output.for_people and text and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
            return "'" + text
        return text

    def _line(self, values: list[str]) -> None:
        delimiter, quote, line = self._layout.delimiter, self._layout.quote, self._layout.delimiter.join(values)
        plain = (
            line.count(delimiter) == len(values) - 1
            and (not quote or quote not in line)
            and "\n" not in line
            and "\r" not in line
            and "\ufeff" not in line
            and line != ""
        )
        if not plain:
            line = delimiter.join([self._quoted(value, alone=len(values) == 1) for value in values])
        self._lines.append(line + self._output.line_end)

    def _quoted(self, text: str, *, alone: bool) -> str:
        """One field, in quotes where needed (RFC 4180 §2.6); an only field that is empty would be a blank line."""
        quote = self._layout.quote
        special = (self._layout.delimiter, quote or "\n", "\n", "\r", "\ufeff")
        needed = any(c in text for c in special) or (alone and not text)
        if not needed:
            return text
        if not quote:
            place = f"output record {self._before + len(self._lines) + 1}"
            message = f"{place}: a field holds the delimiter or a line end"
            raise Rejected("VAL332", message, hint="declare a `quote` character", place=place)
        return quote + text.replace(quote, quote * 2) + quote

    def _flush(self) -> None:
        encoding = "utf-8" if self._layout.encoding == "utf-8-sig" else self._layout.encoding
        text = "".join(self._lines)
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError as error:
            raise self._unwritable(error.start, f"a character that {self._layout.encoding} does not have") from None
        if "\0" in text:
            raise self._unwritable(text.index("\0"), "a NUL character")
        self._target.write(data)
        self._before += len(self._lines)
        self._lines.clear()

    def _unwritable(self, at: int, what: str) -> Rejected:
        """Names the output line (line ends inside fields not counted) in which position ``at`` of the buffer stands."""
        ends = accumulate(map(len, self._lines))
        place = f"output record {self._before + 1 + next(i for i, end in enumerate(ends) if at < end)}"
        return Rejected("VAL333", f"{place} holds {what}", hint="replace it in the mapping", place=place)

    # ------------------------------------------------------------ control totals

    def _count(self, values: list[str], number: int) -> None:
        totals = self._totals
        if totals is None:
            return
        currency = values[self._currency_at] if self._currency_at >= 0 else ""
        if self._currency_at >= 0 and not currency:
            raise unprovable(f"record {number}")
        totals.add_text(currency, values[self._amount_at] if self._amount_at >= 0 else "0", f"record {number}")

    def _write_trailer(self) -> None:
        trailer, totals = self._layout.trailer, self._totals
        if trailer is None or totals is None:
            return
        rows = totals.rows()
        if not rows and trailer.currency:
            raise Rejected("VAL334", "there are no records, so no currency to write a trailer for")
        for currency, count, total in rows or [("", 0, Decimal(0))]:
            told = {
                "mark": trailer.mark,
                "count": str(count),
                "currency": currency,
                "sum": f"{total:f}".replace(".", self._layout.point),
            }
            self._line([told.get(name, "") for name in trailer.columns])


def _head_values(layout: Layout, context: WriteContext) -> list[str]:
    """Fields of the header record: the mark, ``id``, ``created_at``, ``created_on``, else properties."""
    created = datetime.fromtimestamp(context.created_at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {"id": context.id, "created_at": created, "created_on": created[:10], **context.properties}
    missing = [name for name in layout.head_columns[1:] if name not in known]
    if missing:
        message = f"the header record has no value for `{missing[0]}`"
        raise Rejected("VAL331", message, hint="set a property of that name before", place=missing[0])
    return [layout.head_mark, *(_text(known[name], name, 0, layout.point) for name in layout.head_columns[1:])]


def _text(value: Any, name: str, number: int, point: str) -> str:
    """A value as text that reads back the same; what has no such text is refused."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    text = number_text(value)
    if text is not None:
        return text.replace(".", point)
    what, hint = f"a {type(value).__name__}", "name a path to a text, number or date"
    if isinstance(value, float):
        what, hint = "a binary float, which is not exact", "use a decimal number"
    elif isinstance(value, Mapping) and "value" in value:
        hint = f"write `{name}.value` as its path"
    raise Rejected("VAL332", f"record {number}: `{name}` is {what}", hint=hint, place=name)
