"""Reads and writes fixed-width records: strict lengths, one error per bad record, control totals checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, NoReturn

from bus import Part, Rejected, WriteContext
from transforms._lines import Opened, blocks
from transforms._totals import ControlTotals, number_text, plain_decimal, unprovable
from transforms.fixed_width.fields import BadFieldError, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


_ZERO = Decimal(0)


class Record(NamedTuple):
    """One kind of record: its ``fields`` in order, ``length`` in characters, and ``is_mine`` to tell its lines."""

    name: str
    role: str
    fields: tuple[Field, ...]
    length: int
    is_mine: Callable[[str], bool]


class Totals(NamedTuple):
    """What the trailer tells: names of its fields, and of the data fields that are counted."""

    count_field: str
    all_records: bool
    sum_field: str
    of: str
    currency: str
    currency_of: str


class Layout(NamedTuple):
    """All of a file: ``line_end`` is empty where records follow each other without one."""

    records: tuple[Record, ...]
    encoding: str
    line_end: str
    trimmed: bool
    max_line: int
    totals: Totals | None

    def of_role(self, role: str) -> list[Record]:
        """The records of a role, in their declared order."""
        return [record for record in self.records if record.role == role]


class FixedWidthDocument:
    """A fixed-width file being read once, from front to back; ``head`` holds the fields of the header record."""

    def __init__(self, source: BinaryIO, layout: Layout) -> None:
        """Read the header record, where the layout has one.

        Raises:
            Rejected: ``VAL302`` (empty), ``VAL305`` (byte order mark), ``VAL365`` (no header).
        """
        self.head: dict[str, Any] = {}
        self._layout = layout
        self._lines = self._read(Opened(source, bom_allowed=layout.encoding == "utf-8-sig"))
        self._records = 0
        self._expected = {record.role for record in layout.records}
        if "header" in self._expected:
            self._take_header()

    def parts(self, each: str) -> Iterator[Part]:
        """Stream the data records as ``{"record": its kind, field: value …}``.

        ``each`` is ``rows`` for all kinds, or the name of one; bad records are always given. ``raw`` is the record
        as it stood in the file, with its line end.

        Raises:
            Rejected: the file as a whole is refused: cut off, trailer missing, control totals wrong.
        """
        kinds = [record.name for record in self._layout.of_role("detail")]
        if each != "rows" and each not in kinds:
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint=f"write rows or {', '.join(kinds)}")
        totals = ControlTotals() if self._layout.totals else None
        lengths = {record.length for record in self._layout.records}
        ended = False
        for place, raw in self._lines:
            text, fault = self._text(raw, place)
            if not text.strip(" \x1a") and len(text) not in lengths:
                continue
            record = next((r for r in self._layout.records if r.is_mine(text)), None)
            self._records += 1
            if record is not None and record.role != "detail":
                self._take_trailer(record, text, fault, totals, place)
                ended = True
                continue
            if ended:
                hint = "trailers are the last records of a file"
                raise Rejected("VAL323", f"{place}: data after the trailer", hint=hint, place=place)
            part = self._part(record, text, fault, place, raw)
            if totals is not None:
                self._count(part, record, totals)
            if each == "rows" or part.error is not None or part.body["record"] == each:
                yield part
        if "trailer" in self._expected and not ended:
            hint = "perhaps it is cut off; ask for it again"
            raise Rejected("VAL320", "the file has no trailer", hint=hint, reason="AM10")
        if totals is not None:
            totals.check()

    def whole(self) -> list[dict[str, Any]]:
        """All data records; raises the first error of any."""
        found = []
        for part in self.parts("rows"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return found

    # ------------------------------------------------------------ records

    def _read(self, opened: Opened) -> Iterator[tuple[str, bytes]]:
        """Records as (place, bytes)."""
        if self._layout.line_end:
            lines = chain.from_iterable(blocks(opened, self._layout.max_line))
            yield from ((f"line {number}", raw) for number, raw in enumerate(lines, 1))
            return
        length = self._layout.records[0].length
        number, data = 0, b""
        while found := opened.read(length * 1000):
            data += found
            whole = len(data) - len(data) % length
            for at in range(0, whole, length):
                number += 1
                yield f"record {number}", data[at : at + length]
            data = data[whole:]
        if data.strip(b"\r\n\x1a"):
            place = f"record {number + 1}"
            message = f"{place} has {len(data)} bytes instead of {length}"
            raise Rejected("VAL364", message, hint="the file is cut off or has other record lengths", place=place)

    def _text(self, raw: bytes, place: str) -> tuple[str, Rejected | None]:
        encoding = "utf-8" if self._layout.encoding == "utf-8-sig" else self._layout.encoding
        end = "\r\n" if self._layout.line_end else ""
        try:
            return raw.decode(encoding).rstrip(end), None
        except UnicodeDecodeError:
            message = f"{place} holds bytes that are no {encoding}"
            fault = Rejected("VAL306", message, hint="declare what is sent", reason="FF01", place=place)
            return raw.decode(encoding, "replace").rstrip(end), fault

    def _part(self, record: Record | None, text: str, fault: Rejected | None, place: str, raw: bytes) -> Part:
        if record is None:
            message = f"{place} is of no declared kind"
            fault = fault or Rejected("VAL360", message, hint="add it to `records`", reason="FF01", place=place)
            return Part({"record": "", "text": text}, place, raw, fault)
        body, found = self._fields(record, text, place)
        return Part({"record": record.name, **body}, place, raw, fault or found)

    def _fields(self, record: Record, text: str, place: str) -> tuple[dict[str, Any], Rejected | None]:
        """All fields by name, unreadable ones as text, and the first thing that is wrong."""
        fault = None
        if len(text) != record.length:
            if self._layout.trimmed and len(text) < record.length:
                text = text.ljust(record.length)
            else:
                message = f"{place} has {len(text)} characters instead of {record.length}"
                fault = Rejected("VAL361", message, reason="FF01", place=place)
        body: dict[str, Any] = {}
        for field in record.fields:
            cell = text[field.start : field.start + field.width]
            try:
                value = field.decode(cell) if len(cell) == field.width else _cut_off()
            except BadFieldError as error:
                value = cell
                where = f"{place}, column {field.start + 1}"
                message = f"{where}: `{field.name or 'constant'}` {error}"
                fault = fault or Rejected("VAL362", message, reason="FF01", place=where)
            if field.name:
                body[field.name] = value
        return body, fault

    # ------------------------------------------------------------ header, trailer, totals

    def _take_header(self) -> None:
        place, raw = next(self._lines, ("line 1", b""))
        text, fault = self._text(raw, place)
        record = next((r for r in self._layout.records if r.is_mine(text)), None)
        if record is None or record.role != "header":
            message = f"{place}: the header record is missing"
            raise Rejected("VAL365", message, hint="it is the first record of the file", place=place)
        body, found = self._fields(record, text, place)
        if fault or found:
            raise fault or found  # type: ignore[misc]  # one of the two is an error here
        self.head = body
        self._records += 1

    def _take_trailer(
        self, record: Record, text: str, fault: Rejected | None, totals: ControlTotals | None, place: str
    ) -> None:
        if record.role == "header":
            raise Rejected("VAL365", f"{place}: a second header record", hint="one is allowed", place=place)
        body, found = self._fields(record, text, place)
        if fault or found:
            raise fault or found  # type: ignore[misc]  # one of the two is an error here
        layout = self._layout.totals
        if totals is None or layout is None:
            return
        count, total = body.get(layout.count_field), body.get(layout.sum_field)
        # Where all records count, the trailers themselves and the header stand in no currency's count.
        extra = self._records - sum(n for _, n, _ in totals.rows()) if layout.all_records else 0
        currency = str(body.get(layout.currency) or "")
        totals.declare(currency, None if count is None else int(count) - extra, total, place)

    def _count(self, part: Part, record: Record | None, totals: ControlTotals) -> None:
        layout = self._layout.totals
        if layout is None or record is None:
            raise unprovable(part.place)
        body = part.body
        if layout.currency_of and layout.currency_of not in body:
            return
        value = body.get(layout.of)
        currency = body.get(layout.currency_of) or ""
        if isinstance(value, str) or (layout.currency_of and not currency):
            raise unprovable(part.place)
        totals.add(currency, _ZERO if value is None else Decimal(value), part.place)


def _cut_off() -> NoReturn:
    raise BadFieldError("is cut off")


# ---------------------------------------------------------------- writing


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, layout: Layout) -> None:
    """Write header, data records and trailers; fields of header and trailer come from ``context``.

    Raises:
        Rejected: ``VAL330`` to ``VAL335``, ``VAL360``, ``VAL370``: a value cannot be written as it is.
    """
    created = datetime.fromtimestamp(context.created_at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {"id": context.id, "created_at": created, "created_on": created[:10], **context.properties}
    kinds = {record.name: record for record in layout.of_role("detail")}
    only = next(iter(kinds)) if len(kinds) == 1 else ""
    totals = ControlTotals()
    line = _Line(layout, target)
    for header in layout.of_role("header"):
        line.write(header, known, "the header")
    for number, body in enumerate(parts, 1):
        place = f"record {number}"
        if not isinstance(body, Mapping):
            message = f"{place} is a {type(body).__name__}, not a mapping"
            raise Rejected("VAL335", message, hint="translate it to named fields")
        record = kinds.get(body.get("record", only))
        if record is None:
            hint = f"set `record` to {', '.join(kinds)}"
            raise Rejected("VAL360", f"{place} is of no declared kind", hint=hint, place=place)
        unknown = body.keys() - {field.name for field in record.fields} - {"record"}
        if unknown:
            shown = ", ".join(f"`{key!s:.40}`" for key in sorted(map(str, unknown)))
            raise Rejected("VAL330", f"{place} has fields that are not declared: {shown}", place=place)
        line.write(record, body, place)
        _add(totals, layout.totals, body, place)
    for trailer in layout.of_role("trailer"):
        for told in _told(totals, layout.totals, line.count):
            line.write(trailer, {**known, **told}, "the trailer")


class _Line:
    """Writes records one by one and counts them."""

    def __init__(self, layout: Layout, target: BinaryIO) -> None:
        self.count = 0
        self._encoding = "utf-8" if layout.encoding == "utf-8-sig" else layout.encoding
        if layout.encoding == "utf-8-sig":
            target.write(b"\xef\xbb\xbf")
        self._end = layout.line_end
        self._target = target

    def write(self, record: Record, body: Mapping[str, Any], place: str) -> None:
        cells = []
        for field in record.fields:
            value = body.get(field.name) if field.name else None
            if value is None and field.name and field.constant is None and not field.optional:
                message = f"{place} has no `{field.name}`"
                raise Rejected("VAL331", message, hint="map it, or make the field `optional`", place=field.name)
            try:
                cells.append(field.encode(value))
            except BadFieldError as error:
                message = f"{place}: `{field.name or 'constant'}` {error}"
                hint = "nothing is cut here unless the field says `cut: true`"
                raise Rejected("VAL370", message, hint=hint, place=field.name) from None
        text = "".join(cells)
        try:
            self._target.write((text + self._end).encode(self._encoding))
        except UnicodeEncodeError:
            message = f"{place} holds a character that {self._encoding} does not have"
            raise Rejected("VAL333", message, hint="replace it in the mapping", place=place) from None
        self.count += 1


def _add(totals: ControlTotals, layout: Totals | None, body: Mapping[str, Any], place: str) -> None:
    if layout is None or (layout.currency_of and layout.currency_of not in body):
        return
    value = body.get(layout.of) if layout.of else None
    number = plain_decimal(value if isinstance(value, str) else number_text(value or 0) or "")
    if number is None:
        raise unprovable(place)
    totals.add(str(body.get(layout.currency_of) or ""), number, place)


def _told(totals: ControlTotals, layout: Totals | None, before: int) -> list[dict[str, Any]]:
    """Values of the trailers' own fields, one mapping per trailer."""
    if layout is None:
        return [{}]
    rows = totals.rows() or [("", 0, _ZERO)]
    if rows[0][0] == "" and layout.currency:
        raise Rejected("VAL334", "there are no records, so no currency to write a trailer for")
    return [
        {
            layout.count_field: before + 1 if layout.all_records else count,
            layout.sum_field: total,
            layout.currency: currency,
        }
        for currency, count, total in rows
    ]
