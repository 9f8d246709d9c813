"""Fixed-width files both ways, from a declared layout: bank and mainframe formats that have no reader of their own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import AliasChoices, Field, model_validator
from pydantic_core import PydanticCustomError

from bus import (
    Document,
    Finding,
    Format,
    FormatSpec,
    InspectedDocument,
    Inspection,
    Rejected,
    Size,
    Spec,
    StepResources,
    WriteContext,
)
from transforms._lines import EBCDIC, Encoding, Opened, blocks
from transforms.fixed_width import fields as codecs
from transforms.fixed_width.records import FixedWidthDocument, Layout, Record, Totals, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ENDS = {"lf": "\n", "crlf": "\r\n", "none": ""}
_DATES = (["DD", "MM", "YY"], ["DD", "MM", "YYYY"])
_SINGLE_BYTE = ("iso8859", "cp", "ascii", "koi8", "mac")


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": text})


class FieldSpec(Spec):
    """One field of a record: ``{name: amount, width: 13, type: amount, decimals: 2, sign: trailing}``.

    Fields follow each other; ``start`` (from 1) leaves a gap or checks the position.
    """

    name: str = ""
    """Key in the body; empty = filler, skipped when read and padding when written."""
    width: int = Field(ge=1, le=10_000, validation_alias=AliasChoices("width", "length"))
    """Characters."""
    start: int = Field(default=0, ge=0)
    """First character, counted from 1; 0 = right after the field before."""
    type: Literal["text", "number", "amount", "date"] = "text"
    """``number`` becomes int (Decimal with ``decimals``), ``amount`` Decimal, ``date`` an ISO date."""
    decimals: int = Field(default=0, ge=0, le=18)
    """Digits after the decimal point."""
    point: Literal["", ".", ","] = ""
    """Decimal point as it stands in the field; empty = implied, ``10010`` is 100.10."""
    sign: Literal["none", "leading", "trailing", "overpunch"] = "none"
    """Where the sign stands; ``overpunch`` = in the last digit (``{`` +0 … ``I`` +9, ``}`` -0 … ``R`` -9)."""
    plus: str = Field(default="+", min_length=1, max_length=1)
    """Character of a positive sign; a blank also means that it may be left out."""
    minus: str = Field(default="-", min_length=1, max_length=1)
    """Character of a negative sign."""
    pad: str = Field(default="", max_length=1)
    """Padding; empty = zeros for numbers, blanks for the others (``"0"`` at a date: zeros mean no date)."""
    align: Literal["", "left", "right"] = ""
    """Side on which the value stands; empty = left for text and dates, right for numbers."""
    format: str = "YYYYMMDD"
    """Of a date: ``YYYY`` or ``YY`` (1969 to 2068), ``MM``, ``DD`` and separators."""
    value: str | None = None
    """The field always holds this text."""
    optional: bool = False
    """Blank when read becomes null (text: empty); the body to be written may lack it."""
    cut: bool = False
    """Text that is too long is cut when written; without it, it is refused."""

    @model_validator(mode="after")
    def _consistent(self) -> FieldSpec:
        if self.name == "record":
            raise _problem("a field cannot be called `record`, that tells the kind of record")
        if self.type == "date" and sorted(codecs.date_tokens(self.format)) not in _DATES:
            raise _problem("`format` of a date has `YYYY` or `YY`, `MM` and `DD`, each once")
        if self.cut and self.type != "text":
            raise _problem("only text may be cut")
        if self.type in {"number", "amount"} and (self.pad or "0") not in " 0":
            raise _problem("numbers are padded with zeros or blanks")
        if self.type in {"number", "amount"} and self.width > 30:
            raise _problem("a number has at most 30 characters")
        if len(self.value or "") > self.width:
            raise _problem("`value` is longer than the field")
        return self


class RecordSpec(Spec):
    """One kind of record: ``{starts: "10", fields: [...]}``."""

    role: Literal["detail", "header", "trailer"] = "detail"
    """Data, the first record of the file, or its end."""
    starts: str = ""
    """What lines of this kind begin with …"""
    match: str = ""
    """… or a regular expression (RE2) that they match; neither = every line."""
    fields: tuple[FieldSpec, ...] = Field(min_length=1)
    """In their order."""

    @model_validator(mode="after")
    def _consistent(self) -> RecordSpec:
        if self.starts and self.match:
            raise _problem("write either `starts` or `match`")
        names = [f.name for f in self.fields if f.name]
        if len(set(names)) != len(names):
            raise _problem("two fields have the same name")
        if self.match:
            _pattern(self.match)
        at = 0
        for field in self.fields:
            if field.start and field.start <= at:
                raise _problem(f"`{field.name}` starts inside the field before it")
            at = (field.start or at + 1) - 1 + field.width
        return self


class TotalsSpec(Spec):
    """Control totals in the trailer: ``{count: records, sum: total, of: amount}``; or one per currency."""

    count: str = ""
    """Trailer field with the number of records …"""
    counting: Literal["details", "all"] = "details"
    """… of data, or of all records, header and trailer too."""
    sum: str = ""
    """Trailer field with the sum …"""
    of: str = ""
    """… of this data field."""
    currency: str = ""
    """Trailer field with the currency …"""
    in_: str = Field(default="", alias="in")
    """… of this data field."""

    @model_validator(mode="after")
    def _consistent(self) -> TotalsSpec:
        if bool(self.sum) != bool(self.of) or bool(self.currency) != bool(self.in_):
            raise _problem("`sum` and `of`, `currency` and `in` need each other")
        if not self.sum and not self.count:
            raise _problem("control totals tell a `count`, a `sum` or both")
        if self.currency and self.counting == "all":
            raise _problem("a count of all records cannot be told per currency")
        return self


class FixedWidthSpec(FormatSpec):
    """Files of fixed-width records, declared field by field.

    ```yaml
    fixed-width:
      length: 80
      records:
        payment: {starts: "10", fields: [{width: 2, value: "10"}, {name: amount, width: 13, type: amount}]}
    ```

    Read, each data record becomes ``{"record": its kind, field: value …}``; header fields become the document's head. A
    bad record is an error of its own; a missing header or trailer and wrong control totals refuse the file. Written,
    header and trailer take ``id``, ``created_at``, ``created_on`` and properties of the message by name.
    """

    key: ClassVar[str] = "fixed-width"

    records: dict[str, RecordSpec] = Field(min_length=1)
    """Kinds of records by name; the first kind that fits a line is it."""
    totals: TotalsSpec | None = None
    """Control totals that the trailer tells."""
    length: int = Field(default=0, ge=0, le=100_000)
    """Characters of every record; 0 = each kind as long as its fields."""
    line_end: Literal["lf", "crlf", "none"] = "lf"
    """Written at the end of records, any is read; ``none`` = records follow each other without one."""
    trimmed: bool = False
    """Lines that are too short because blanks at their end were cut are read."""
    encoding: Encoding = "iso8859-1"
    """How characters are bytes."""
    max_line: Size = Field(default=1_000_000, ge=1_000, le=64_000_000)
    """Longest line in bytes."""

    @model_validator(mode="after")
    def _consistent(self) -> FixedWidthSpec:
        roles = Counter(record.role for record in self.records.values())
        if roles["header"] > 1 or roles["trailer"] > 1 or not roles["detail"]:
            raise _problem("a layout has data records, and at most one kind of header and one of trailer")
        lengths = {name: _length(record, self.length) for name, record in self.records.items()}
        if self.length and set(lengths.values()) != {self.length}:
            raise _problem(f"the fields of a record go beyond its {self.length} characters")
        if self.line_end == "none":
            if len(set(lengths.values())) != 1 or not self._single_byte():
                raise _problem("records without line ends have one length and an encoding of one byte a character")
        elif self.encoding in EBCDIC:
            raise _problem("EBCDIC files have no line ends here; write `line_end: none`")
        self._check_totals()
        return self

    def _single_byte(self) -> bool:
        return self.encoding.startswith(_SINGLE_BYTE) and self.encoding != "cp932"

    def _check_totals(self) -> None:
        if self.totals is None:
            return
        told = {f.name for r in self.records.values() if r.role == "trailer" for f in r.fields}
        data = {f.name for r in self.records.values() if r.role == "detail" for f in r.fields}
        wanted = {self.totals.count, self.totals.sum, self.totals.currency} - told - {""}
        wanted |= {self.totals.of, self.totals.in_} - data - {""}
        if wanted:
            raise _problem(f"the control totals name a field that is not declared: `{min(wanted)}`")

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Unsure at most: lines of one length may be many things."""
        del name
        lines = head.splitlines()[:-1]
        lengths = {len(line) for line in lines}
        return 0.2 if len(lines) > 1 and len(lengths) == 1 and min(lengths) >= 20 and b"\0" not in head else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """Line lengths, and how many records begin with which two characters; fields are unknown without a layout."""
        return _inspect(source)

    def record_fields(self) -> dict[str, str]:
        """The named fields of all data records, and ``record``, the kind of record."""
        kinds = {"text": "text", "number": "number", "amount": "number", "date": "date"}
        details = [record for record in self.records.values() if record.role == "detail"]
        fields = {field.name: kinds[field.type] for record in details for field in record.fields if field.name}
        return {"record": "text", **fields}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _FixedWidth(self)


class _FixedWidth:
    """A declared layout as a format."""

    content_type = "text/plain"

    def __init__(self, spec: FixedWidthSpec) -> None:
        told, totals = spec.totals, None
        if told is not None:
            totals = Totals(told.count, told.counting == "all", told.sum, told.of, told.currency, told.in_)
        records = tuple(_record(name, record, spec.length) for name, record in spec.records.items())
        self._layout = Layout(records, spec.encoding, _ENDS[spec.line_end], spec.trimmed, spec.max_line, totals)

    def read(self, source: BinaryIO) -> Document:
        return FixedWidthDocument(source, self._layout)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        write(parts, target, context, self._layout)


def _length(record: RecordSpec, length: int) -> int:
    at = 0
    for field in record.fields:
        at = (field.start or at + 1) - 1 + field.width
    return max(at, length)


def _record(name: str, spec: RecordSpec, length: int) -> Record:
    fields: list[codecs.Field] = []
    at = 0
    for field in spec.fields:
        start = field.start - 1 if field.start else at
        if start > at:
            fields.append(_filler(at, start - at))
        fields.append(_field(field, start))
        at = start + field.width
    whole = _length(spec, length)
    if whole > at:
        fields.append(_filler(at, whole - at))
    starts = spec.starts
    is_mine: Callable[[str], bool] = (lambda text: text.startswith(starts)) if not spec.match else _pattern(spec.match)
    return Record(name, spec.role, tuple(fields), whole, is_mine)


def _pattern(text: str) -> Callable[[str], bool]:
    import re2  # noqa: PLC0415 - only layouts with patterns need it

    try:
        found = re2.compile(text)
    except re2.error:
        raise _problem("`match` is no regular expression (RE2)") from None
    return lambda line: found.search(line) is not None


def _filler(start: int, width: int, pad: str = " ") -> codecs.Field:
    return codecs.Field("", start, width, lambda _text: None, lambda _value: pad * width, "", optional=True)


def _field(spec: FieldSpec, start: int) -> codecs.Field:
    numeric = spec.type in {"number", "amount"}
    shape = codecs.Shape(
        width=spec.width,
        pad=spec.pad or ("0" if numeric else " "),
        right=spec.align == "right" or (numeric and not spec.align),
        optional=spec.optional,
        cut=spec.cut,
        decimals=spec.decimals,
        point=spec.point,
        whole=spec.type == "number" and not spec.decimals,
        sign=spec.sign,
        plus=spec.plus,
        minus=spec.minus,
    )
    if spec.value is not None:
        decode, encode = codecs.constant_codec(shape, spec.value)
    elif not spec.name:
        return _filler(start, spec.width, spec.pad or " ")
    elif numeric:
        decode, encode = codecs.number_codec(shape)
    elif spec.type == "date":
        decode, encode = codecs.date_codec(shape, spec.format)
    else:
        decode, encode = codecs.text_codec(shape)
    return codecs.Field(spec.name, start, spec.width, decode, encode, spec.value, spec.optional)


def _inspect(source: BinaryIO) -> Inspection:
    lengths: Counter[int] = Counter()
    kinds: Counter[bytes] = Counter()
    findings: list[Finding] = []
    try:
        for block in blocks(Opened(source, bom_allowed=True), 1_000_000):
            for raw in block:
                line = raw.rstrip(b"\r\n")
                if line.strip(b" \x1a"):
                    lengths[len(line)] += 1
                    kinds[line[:2] if len(kinds) < 1000 else b""] += 1
    except Rejected as error:
        findings.append(Finding(error.code, "error", error.place, error.message))
    if len(lengths) > 1:
        usual = lengths.most_common(1)[0][0]
        other = sum(lengths.values()) - lengths[usual]
        text = f"{other} of {sum(lengths.values())} records are not {usual} characters long"
        findings.append(Finding("VAL361", "warning", "", text))
    document = InspectedDocument("", None, None, None, ())
    return Inspection("fixed-width", "table" if lengths else None, (document,) if lengths else (), tuple(findings))
