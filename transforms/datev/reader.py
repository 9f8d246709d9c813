"""Reads DATEV files: bookings by key, the rows of all other categories by the names of their columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Any, BinaryIO

from bus import InspectedDocument, InspectedTotal, Inspection, Part, Rejected
from transforms._inspection import Findings, Sums
from transforms._lines import Opened, blocks
from transforms.datev.columns import COLUMNS, Column
from transforms.datev.fields import BadFieldError, decode, signed, split

BOOKINGS = "21"
_MOST_OF_A_LINE = 1_000_000
_KINDS = {"16": "master-data", "20": "accounts", BOOKINGS: "bookings"}
_HEADER = (
    "", "version", "category", "format", "format_version", "created", "", "origin", "exported_by", "", "consultant",
    "client", "fiscal_year_begin", "account_length", "from", "to", "label", "dictation", "kind", "purpose", "locked",
    "currency",
)  # fmt: skip
_DATES = ("fiscal_year_begin", "from", "to")


class DatevDocument:
    """A DATEV file being read; ``head`` holds what its header says, ``columns`` the names of its columns."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        """Read the two lines above the data.

        Raises:
            Rejected: ``VAL820`` (no DATEV header), ``VAL821`` (no column names); ``VAL302`` … as all line formats.
        """
        self._encoding = "utf-8" if encoding == "utf-8-sig" else encoding
        opened = Opened(source, bom_allowed=encoding == "utf-8-sig")
        self._lines = enumerate(chain.from_iterable(blocks(opened, _MOST_OF_A_LINE)), 1)
        self.head = _header(self._next(1))
        self.columns = self._next(2)
        if not any(self.columns):
            raise Rejected("VAL821", "line 2: the names of the columns are missing", reason="FF01", place="line 2")
        begin = self.head["fiscal_year_begin"]
        self._year_begin = date.fromisoformat(begin) if begin else date(1970, 1, 1)
        self._known = COLUMNS[: len(self.columns)] if self.head["category"] == BOOKINGS else ()

    def _next(self, number: int) -> list[str]:
        place = f"line {number}"
        _, raw = next(self._lines, (number, b""))
        try:
            return split(self._text(raw, place))
        except BadFieldError as error:
            raise Rejected("VAL820", f"{place}: {error}", reason="FF01", place=place) from None

    def _text(self, raw: bytes, place: str) -> str:
        try:
            return raw.decode(self._encoding).rstrip("\r\n")
        except UnicodeDecodeError:
            message = f"{place} holds bytes that are no {self._encoding}"
            raise Rejected("VAL306", message, hint="declare what is sent", reason="FF01", place=place) from None

    def parts(self, each: str) -> Iterator[Part]:
        """Every line below the column names; a bad one has an error.

        Raises:
            Rejected: ``VAL301`` when ``each`` is not ``rows``.
        """
        if each != "rows":
            raise Rejected("VAL301", "a DATEV file has no such records", hint="write `each: rows`")
        for number, raw in self._lines:
            if not raw.strip(b"\r\n\x1a "):
                continue
            place = f"line {number}"
            try:
                yield Part(*self._row(split(self._text(raw, place)), place), raw=raw)
            except Rejected as error:
                yield Part(None, place, raw, error)
            except BadFieldError as error:
                yield Part(None, place, raw, Rejected("VAL822", f"{place}: {error}", reason="FF01", place=place))

    def _row(self, cells: list[str], place: str) -> tuple[dict[str, Any], str]:
        if len(cells) != len(self.columns):
            text = f"{place} has {len(cells)} cells, there are {len(self.columns)} columns"
            raise Rejected("VAL822", text, reason="FF01", place=place)
        if not self._known:
            return {name: cell for name, cell in zip(self.columns, cells, strict=True) if name}, place
        body: dict[str, Any] = {}
        columns = [*self._known, *map(Column, self.columns[len(self._known) :])]
        for number, (cell, column) in enumerate(zip(cells, columns, strict=True), 1):
            try:
                value = decode(cell, column, self._year_begin)
            except BadFieldError as error:
                where = f"{place}, column {number}"
                message = f"{where}: `{column.key or column.name}` {error}"
                raise Rejected("VAL823", message, reason="FF01", place=where) from None
            if value is not None:
                body[column.key or column.name] = value
        body.setdefault("currency", self.head["currency"] or "EUR")
        return body, place

    def whole(self) -> list[Any]:
        """All rows; raises the first error."""
        found = []
        for part in self.parts("rows"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return found


def _header(cells: list[str]) -> dict[str, Any]:
    if len(cells) < 16 or cells[0] not in ("EXTF", "DTVF") or not cells[2].isdigit():
        hint = 'the first line begins with "EXTF";700;21 and has 31 fields'
        raise Rejected("VAL820", "line 1: no header of a DATEV file", hint=hint, reason="FF01", place="line 1")
    found: dict[str, Any] = {name: cell.strip() for name, cell in zip(_HEADER, cells, strict=False) if name}
    found.setdefault("currency", "")
    for name in _DATES:
        text = found.get(name, "")
        try:
            found[name] = date.fromisoformat(text).isoformat() if text else ""
        except ValueError:
            message = f"line 1: `{name}` is no day of the calendar"
            raise Rejected("VAL820", message, reason="DT01", place="line 1") from None
    return found


def inspect(source: BinaryIO) -> Inspection:
    """Read leniently: one document, named after the batch; debits and credits are those of the accounts booked."""
    findings, sums, count = Findings(), Sums(signed=True), 0
    head: dict[str, Any] = {}
    try:
        document = DatevDocument(source, "utf-8-sig" if _is_utf8(source) else "cp1252")
        head = document.head
        for part in document.parts("rows"):
            count += 1
            if part.error is not None:
                findings.refused(part.error)
            elif head["category"] == BOOKINGS:
                sums.add(part.body["currency"], signed(part.body.get("amount"), part.body.get("side")))
    except Rejected as error:
        findings.refused(error)
    if not head:
        return Inspection("datev", None, (), findings.told())
    totals = sums.totals() or ((InspectedTotal("", count, Decimal(0)),) if count else ())
    inspected = InspectedDocument(head.get("label", ""), None, None, None, totals)
    return Inspection("datev", _KINDS.get(head["category"], "table"), (inspected,), findings.told())


def _is_utf8(source: BinaryIO) -> bool:
    """Whether the file begins with a byte order mark; it is read again from its beginning."""
    head = source.read(3)
    source.seek(-len(head), 1)
    return head == b"\xef\xbb\xbf"
