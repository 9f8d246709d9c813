"""Rows of a sheet as records by the names of its header, and what ``bus inspect`` tells of a workbook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

from bus import InspectedDocument, InspectedTotal, Inspection, Part, Rejected
from transforms._inspection import AMOUNT_NAMES, CURRENCY_NAMES, Findings, Sums
from transforms.xlsx.cells import Value, column_letters, position
from transforms.xlsx.package import Limits
from transforms.xlsx.workbook import Row, Sheet, Workbook


class Layout(NamedTuple):
    """What the route says; see the spec. ``aliases`` maps a heading to the name of its column."""

    sheet: str
    header: bool
    header_row: int
    columns: tuple[str, ...]
    aliases: dict[str, str]
    range: str


class XlsxDocument:
    """A sheet being read; ``head`` has the name of the sheet and those of its columns."""

    def __init__(self, source: BinaryIO, layout: Layout, limits: Limits) -> None:
        """Find the sheet and read its header.

        Raises:
            Rejected: ``VAL845`` to ``VAL848``; ``VAL849`` for a header that is not as expected.
        """
        book = Workbook(source, limits)
        sheet = _chosen(book, layout.sheet)
        self._rows = _within(book.rows(sheet), layout.range)
        self._first = position(layout.range.partition(":")[0])[1] or 1
        self._columns = self._header(layout)
        self.head: dict[str, Any] = {"sheet": sheet.name, "columns": list(self._columns.values())}

    def _header(self, layout: Layout) -> dict[int, str]:
        """Column number -> name."""
        if not layout.header:
            return dict(enumerate(layout.columns, self._first))
        for row in self._rows:
            if row.number < layout.header_row or not _filled(row):
                continue
            if layout.header_row and row.number > layout.header_row:
                break
            return _named(row, layout)
        place = f"row {layout.header_row}" if layout.header_row else "sheet"
        raise Rejected("VAL849", f"{place}: there is no header", hint="name its row in `header_row`", place=place)

    def parts(self, each: str) -> Iterator[Part]:
        """Every row that is not empty; place is its number.

        Raises:
            Rejected: ``VAL301`` when ``each`` is not ``rows``; ``VAL853`` (too many cells), ``VAL846`` (damaged).
        """
        if each != "rows":
            raise Rejected("VAL301", "a workbook has no such records", hint="write `each: rows`")
        for row in self._rows:
            if not _filled(row):
                continue
            place = f"row {row.number}"
            body: dict[str, Value] = {name: row.values.get(column) for column, name in self._columns.items()}
            beyond = [c for c, value in row.values.items() if value not in (None, "") and c not in self._columns]
            error = row.error
            if beyond and error is None:
                where = f"{column_letters(beyond[0])}{row.number}"
                message = f"{where}: a value in a column without a heading"
                error = Rejected("VAL849", message, hint="give it one, or narrow `range`", place=where)
            yield Part(body, place, b"", error)

    def whole(self) -> list[Any]:
        """All rows; raises the first error."""
        found = []
        for part in self.parts("rows"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return found


def _chosen(book: Workbook, wanted: str) -> Sheet:
    if not wanted:
        found = [sheet for sheet in book.sheets if not sheet.hidden] or book.sheets
    else:
        found = [sheet for sheet in book.sheets if sheet.name == wanted]
        if not found and wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:9]) <= len(book.sheets):
            found = [book.sheets[int(wanted[:9]) - 1]]
    if not found:
        hint = f"the workbook has {len(book.sheets)} sheets; write the name or number of one"
        raise Rejected("VAL848", "there is no such sheet", hint=hint)
    return found[0]


def _within(rows: Iterator[Row], cells: str) -> Iterator[Row]:
    """Rows and cells inside a range."""
    if not cells:
        yield from rows
        return
    corners = [position(corner) for corner in cells.split(":")]
    (top, left), (bottom, right) = map(min, zip(*corners, strict=True)), map(max, zip(*corners, strict=True))
    for row in rows:
        if row.number > bottom:
            return
        if row.number >= top:
            yield row._replace(values={c: value for c, value in row.values.items() if left <= c <= right})


def _filled(row: Row) -> bool:
    return row.error is not None or any(value not in (None, "") for value in row.values.values())


def _named(row: Row, layout: Layout) -> dict[int, str]:
    place = f"row {row.number}"
    if row.error is not None:
        raise Rejected("VAL849", f"{place}: a heading is an error", hint="correct it", place=place)
    texts = {c: str(value).strip() for c, value in sorted(row.values.items()) if value not in (None, "")}
    names = {c: layout.aliases.get(name, name) for c, name in texts.items()}
    twice = [name for name, times in Counter(names.values()).items() if times > 1]
    if twice:
        raise Rejected("VAL849", f"{place}: a heading stands twice", hint="give every column its own", place=place)
    missing = [name for name in layout.columns if name not in names.values()]
    if missing:
        shown = ", ".join(f"`{name}`" for name in missing)
        raise Rejected("VAL849", f"{place}: the header lacks {shown}", hint="or write `aliases`", place=place)
    return names


def inspect(source: BinaryIO) -> Inspection:
    """Look through all sheets; the header is the first row that is not empty."""
    findings = Findings()
    documents: list[InspectedDocument] = []
    try:
        book = Workbook(source, Limits(1 << 30, 1 << 30, 20_000_000))
        for sheet in book.sheets:
            documents.append(_document(book, sheet, findings))
            if sheet.hidden:
                findings.add("VAL848", "info", sheet.name, "the workbook hides this sheet")
    except Rejected as error:
        findings.refused(error)
    return Inspection("xlsx", "table" if documents else None, tuple(documents), findings.told())


def _document(book: Workbook, sheet: Sheet, findings: Findings) -> InspectedDocument:
    sums, count = Sums(signed=False), 0
    amount = currency = 0
    for row in book.rows(sheet):
        if not _filled(row):
            continue
        if row.error is not None:
            findings.refused(row.error, f"{sheet.name}!{row.error.place}")
        count += 1
        if count == 1:
            amount, currency = (_like(row, names) for names in (AMOUNT_NAMES, CURRENCY_NAMES))
            continue
        value, code = row.values.get(amount), row.values.get(currency)
        if isinstance(value, Decimal) and isinstance(code, str):
            sums.add(code, value)
    totals = sums.totals() or ((InspectedTotal("", count - 1, Decimal(0)),) if count > 1 else ())
    return InspectedDocument(sheet.name, None, None, None, totals)


def _like(row: Row, names: Any) -> int:
    return next((c for c, value in row.values.items() if isinstance(value, str) and names.search(value)), 0)
