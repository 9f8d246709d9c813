"""Reads CSV records in flat memory: strict quoting, one error per bad line, control totals over all lines."""

from __future__ import annotations

import csv
from itertools import zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from bus import Part, Rejected
from transforms._lines import Opened, blocks
from transforms._totals import ControlTotals, plain_decimal, unprovable
from transforms.csv.values import BadValueError, Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Trailer(NamedTuple):
    """How control totals are written: ``columns`` of the trailer record, and which data columns they are about."""

    mark: str
    columns: tuple[str, ...]
    of: str
    currency: str


class Layout(NamedTuple):
    """What the reader and the writer need of the options; see the spec for their meaning."""

    delimiter: str
    quote: str
    encoding: str
    header: bool
    columns: tuple[str, ...]
    head_mark: str
    head_columns: tuple[str, ...]
    trailer: Trailer | None
    max_line: int
    point: str = "."
    thousands: str = ""
    preamble: int = 0
    footer: tuple[str, ...] = ()
    aliases: Mapping[str, str] = MappingProxyType({})
    types: Mapping[str, Column] = MappingProxyType({})


class CsvDocument:
    """A CSV file being read once, from front to back.

    Attributes:
        head: fields of the header record by name; empty where the format has none.
        columns: names of the fields, from the options or from the header line.
    """

    def __init__(self, source: BinaryIO, layout: Layout) -> None:
        """Read the header record and the header line.

        Raises:
            Rejected: ``VAL302`` to ``VAL316``: the beginning is not what the layout says.
        """
        self.head: dict[str, Any] = {}
        self.columns = layout.columns
        self._layout = layout
        self._taken: list[bytes] = []
        self._number = 0
        self._ended = False
        self._undecodable = self._footed = False
        opened = Opened(source, bom_allowed=layout.encoding == "utf-8-sig")
        self._rows = csv.reader(
            self._lines(opened), delimiter=layout.delimiter, quotechar=layout.quote or None, strict=True,
            quoting=csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE,
        )  # fmt: skip
        self._read_beginning()
        trailer = layout.trailer
        self._amount_at = self._position(trailer.of) if trailer else -1
        self._currency_at = self._position(trailer.currency) if trailer else -1

    def parts(self, each: str) -> Iterator[Part]:
        """Stream the records; ``each`` is ``rows``. A second call goes on where the first one stopped.

        A part's ``raw`` is the line (or lines) as they stood in the file, with line ends. The body of a bad line holds
        its fields as far as they could be read, every name of ``columns`` being there.

        Raises:
            Rejected: the file as a whole is refused: quotes never closed, NUL, over-long line, control totals wrong.
        """
        if each != "rows":
            raise Rejected("VAL301", "a CSV file has no such records", hint="write `each: rows`")
        names, width, taken = self.columns, len(self.columns), self._taken
        marks = {m for m in (self._layout.head_mark, self._layout.trailer.mark if self._layout.trailer else "") if m}
        totals = ControlTotals(self._layout.point) if self._layout.trailer else None
        declared = False
        footer, types = self._layout.footer, self._layout.types
        while True:
            row, fault = self._next()
            if row is None:
                break
            raw = taken[0] if len(taken) == 1 else b"".join(taken)
            place = f"line {self._number - len(taken) + 1}"
            if (not row and fault is None) or (footer and self._is_footer(row, place)):
                continue
            if marks and row and row[0] in marks:
                self._declare(row, totals, place, fault)
                declared = True
                continue
            if totals is not None:
                self._count(row, totals, place, after_trailer=declared)
            if fault is None and len(row) == width:
                body: dict[str, Any] = dict(zip(names, row, strict=True))
                yield Part(body, place, raw, self._typed(body, place) if types else None)
            else:
                fault = fault or _wrong_width(len(row), width, place)
                yield Part(self._salvage(row), place, raw, fault)
        if totals is not None:
            totals.check()

    def _is_footer(self, row: list[str], place: str) -> bool:
        """Whether a record is no data but stands below it; data may not follow."""
        if row and row[0].startswith(self._layout.footer):
            self._footed = True
        elif self._footed:
            raise Rejected("VAL323", f"{place}: data after the footer", hint="or correct `footer`", place=place)
        return self._footed

    def _typed(self, body: dict[str, Any], place: str) -> Rejected | None:
        """Texts of typed columns become values; the first that cannot stays text and is the error."""
        fault = None
        for name, column in self._layout.types.items():
            try:
                body[name] = column.read(body.get(name, ""))
            except BadValueError as error:
                where = f"{place}, column `{name}`"
                fault = fault or Rejected("VAL866", f"{where} {error}", reason="FF01", place=where)
        return fault

    def whole(self) -> list[dict[str, Any]]:
        """All records; raises the first error of any line."""
        found = []
        for part in self.parts("rows"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return found

    # ------------------------------------------------------------ records

    def _lines(self, opened: Opened) -> Iterator[str]:
        """Decoded lines for the parser; the bytes that one record took pile up in ``_taken``."""
        layout, taken = self._layout, self._taken
        encoding = "utf-8" if layout.encoding == "utf-8-sig" else layout.encoding
        size = 0
        for block in blocks(opened, layout.max_line):
            for raw in block:
                self._number += 1
                if self._number <= layout.preamble:
                    continue
                size = size + len(raw) if taken else len(raw)
                taken.append(raw)
                if size > layout.max_line and len(taken) > 1:
                    raise self._unclosed()
                try:
                    yield raw.decode(encoding)
                except UnicodeDecodeError:
                    # The parser still finds the fields, so that the line's amount can be counted.
                    self._undecodable = True
                    yield raw.decode(encoding, "replace")
        self._ended = True

    def _next(self) -> tuple[list[str] | None, Rejected | None]:
        """The next record (None at the end) and what is wrong with it."""
        self._taken.clear()
        try:
            row = next(self._rows, None)
        except csv.Error as error:
            # Where a quote runs over the line end or to the end of the file, the records after it are not known.
            if len(self._taken) > 1 or self._ended:
                raise self._unclosed() from None
            return self._misquoted(error)
        if self._undecodable:
            self._undecodable = False
            place = f"line {self._number - len(self._taken) + 1}"
            message = f"{place} holds bytes that are no {self._layout.encoding}"
            return row, Rejected(
                "VAL306", message, hint="declare the encoding that is sent", reason="FF01", place=place
            )
        return row, None

    def _misquoted(self, error: csv.Error) -> tuple[list[str], Rejected]:
        self._undecodable = False
        place = f"line {self._number}"
        text = self._taken[0].decode(self._layout.encoding, "replace").rstrip("\r\n")
        row = text.split(self._layout.delimiter)
        if "field limit" in str(error):
            message = f"{place} has a field of more than {csv.field_size_limit()} characters"
            return row, Rejected("VAL315", message, reason="FF01", place=place)
        message = f"{place}: after a closing quote stands something else than the delimiter"
        return row, Rejected("VAL313", message, hint="double a quote inside a quoted field", reason="FF01", place=place)

    def _unclosed(self) -> Rejected:
        place = f"line {self._number - len(self._taken) + 1}"
        return Rejected(
            "VAL312",
            f"the quote opened in {place} is not closed properly within the file or {self._layout.max_line} bytes",
            hint="close it, or double quotes inside a quoted field; the file is refused as a whole",
            place=place,
        )

    def _salvage(self, row: list[str]) -> dict[str, str]:
        """What can be told of a bad line: missing fields empty, surplus ones joined to the last."""
        width = len(self.columns)
        if len(row) > width > 0:
            row = [*row[: width - 1], self._layout.delimiter.join(row[width - 1 :])]
        return dict(zip_longest(self.columns, row, fillvalue=""))

    # ------------------------------------------------------------ beginning

    def _read_beginning(self) -> None:
        """The header record stands before or after the line of column names."""
        layout = self._layout
        mark = layout.head_mark
        if mark:
            row = self._first()
            if layout.header and row and row[0] != mark:
                self.columns = self._names(row)
                row = self._first()
            elif layout.header:
                self._take_head(row)
                self.columns = self._names(self._first())
                return
            self._take_head(row)
        elif layout.header:
            self.columns = self._names(self._first())

    def _first(self) -> list[str] | None:
        """The next record that is not blank, None at the end; a bad one refuses the file."""
        while True:
            row, fault = self._next()
            if fault is not None:
                raise fault
            if row is None or row:
                return row

    def _take_head(self, row: list[str] | None) -> None:
        names, place = self._layout.head_columns, f"line {max(self._number, 1)}"
        if not row or row[0] != self._layout.head_mark:
            message = f"{place}: the header record, marked `{self._layout.head_mark}`, is missing"
            raise Rejected("VAL316", message, hint="it is the first record of the file", place=place)
        if len(row) < len(names):
            message = f"{place}: the header record has {len(row)} fields instead of {len(names)}"
            raise Rejected("VAL316", message, place=place)
        self.head = dict(zip(names, row, strict=False))

    def _names(self, row: list[str] | None) -> tuple[str, ...]:
        """The column names of the header line, checked against the expected ones.

        Raises:
            Rejected: ``VAL311`` (no header, empty or double names), ``VAL310`` (other names than expected).
        """
        place = f"line {max(self._number, 1)}"
        expected = self._layout.columns
        if not row:
            raise Rejected("VAL311", "there is no header line", hint="expected the column names", place="line 1")
        if self._layout.aliases:
            row = [self._layout.aliases.get(name, name) for name in row]
        if tuple(row) == expected:
            return expected
        if expected:
            raise Rejected("VAL310", f"{place}: {difference(expected, row)}", hint="or correct `columns`", place=place)
        if not all(row) or len(set(row)) != len(row):
            at = next(i for i, name in enumerate(row, 1) if not name or name in row[: i - 1])
            message = f"{place}: the name of column {at} is empty or stands twice"
            raise Rejected("VAL311", message, hint="give every column its own name", place=place)
        return tuple(row)

    def _position(self, name: str) -> int:
        """Where a column of the control totals stands, -1 for none."""
        if not name:
            return -1
        if name not in self.columns:
            message = f"the column `{name}` of the control totals is not in the header"
            raise Rejected("VAL310", message, place="line 1")
        return self.columns.index(name)

    # ------------------------------------------------------------ control totals

    def _count(self, row: list[str], totals: ControlTotals, place: str, *, after_trailer: bool) -> None:
        if after_trailer:
            message = f"{place}: data after the trailer"
            raise Rejected("VAL323", message, hint="trailers are the last records of a file", place=place)
        at, currency_at, width = self._amount_at, self._currency_at, len(row)
        if at >= width or currency_at >= width:
            raise unprovable(place)
        currency = row[currency_at] if currency_at >= 0 else ""
        if currency_at >= 0 and not currency:
            raise unprovable(place)
        totals.add_text(currency, self._ungrouped(row[at]) if at >= 0 else "0", place)

    def _ungrouped(self, text: str) -> str:
        """An amount without what groups its digits."""
        return text.replace(self._layout.thousands, "") if self._layout.thousands else text

    def _declare(self, row: list[str], totals: ControlTotals | None, place: str, fault: Rejected | None) -> None:
        if fault is not None:
            raise fault
        trailer = self._layout.trailer
        if trailer is None or totals is None or row[0] != trailer.mark:
            raise Rejected("VAL316", f"{place}: a second header record", hint="one is allowed", place=place)
        told = dict(zip(trailer.columns, row, strict=False))
        count, total = told.get("count"), plain_decimal(self._ungrouped(told.get("sum", "0")), self._layout.point)
        surplus = any(row[len(trailer.columns) :])
        if (
            surplus
            or len(told) < len(trailer.columns)
            or total is None
            or not (count is None or (count.isascii() and count.isdigit() and len(count) < 20))
        ):
            raise Rejected(
                "VAL325",
                f"{place}: the trailer is not understood",
                hint=f"expected {self._layout.delimiter.join(trailer.columns)}, count in digits, sum as plain decimal",
                place=place,
            )
        totals.declare(
            told.get("currency", ""), None if count is None else int(count), total if "sum" in told else None, place
        )


def difference(expected: Sequence[str], found: Sequence[str]) -> str:
    """In words how a header line differs. Names found are told only where it is a header, not data by mistake."""
    missing = [f"`{name}`" for name in expected if name not in found]
    surplus = [f"`{name[:40]}`" for name in found if name not in expected]
    if len(missing) == len(expected):
        return f"the header line is missing or has none of the expected names; expected {', '.join(missing[:20])}"
    said = []
    if missing:
        said.append(f"the header lacks {', '.join(missing[:20])}")
    if surplus:
        said.append(f"the header has unexpected {', '.join(surplus[:20])}")
    if not said:
        at = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), len(expected))
        said.append(
            f"column {at + 1} of the header should be `{expected[at]}`"
            if at < len(expected)
            else f"the header repeats names: {len(found)} columns instead of {len(expected)}"
        )
    return "; ".join(said)


def _wrong_width(found: int, expected: int, place: str) -> Rejected:
    return Rejected(
        "VAL314",
        f"{place} has {found} fields instead of {expected}",
        hint="quote fields that contain the delimiter",
        reason="FF01",
        place=place,
    )
