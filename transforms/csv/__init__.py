"""CSV both ways: strict quoting, declared encoding, header and control totals checked, streamed in flat memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Document, Format, FormatSpec, Inspection, Size, Spec, StepResources, WriteContext
from transforms._lines import EBCDIC, Encoding
from transforms.csv.reader import CsvDocument, Layout, Trailer
from transforms.csv.values import column, is_type
from transforms.csv.writer import Output, write

if TYPE_CHECKING:
    from collections.abc import Iterable


def _one_character(value: str) -> str:
    value = {"tab": "\t", "\\t": "\t"}.get(value, value)
    if len(value) > 1 or (value and (value in "\r\n\0\ufeff" or not value.isascii())):
        raise PydanticCustomError("value_error", "not one ASCII character; write for instance `;`, `,`, `|` or `tab`")
    return value


Character = Annotated[str, AfterValidator(_one_character)]


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": text})


class TrailerSpec(Spec):
    """Control totals at the end of the file: one trailer record per currency, over all lines of it, bad ones too.

    ``{mark: T, columns: [mark, count, currency, sum], of: amount, in: currency}``
    """

    mark: str = Field(min_length=1)
    """What the first column of a trailer record holds."""
    columns: tuple[str, ...] = ("mark", "count", "currency", "sum")
    """Fields of a trailer record in order: ``mark`` first, then ``count``, ``currency``, ``sum``."""
    of: str = ""
    """Data column whose exact sum the trailer tells."""
    in_: str = Field(default="", alias="in")
    """Data column with the currency; empty = one trailer for the whole file."""

    @model_validator(mode="after")
    def _consistent(self) -> TrailerSpec:
        if self.columns[:1] != ("mark",) or len(set(self.columns)) != len(self.columns):
            raise _problem("`columns` of a trailer begins with `mark` and names each field once")
        if not {"count", "sum"} & set(self.columns):
            raise _problem("a trailer tells a `count`, a `sum` or both")
        if ("sum" in self.columns) != bool(self.of):
            raise _problem("`sum` among the trailer's columns and `of`, the column it sums, need each other")
        if ("currency" in self.columns) != bool(self.in_):
            raise _problem("`currency` among the trailer's columns and `in`, the currency column, need each other")
        return self


class HeaderRecordSpec(Spec):
    """A first record about the file itself: ``{mark: H, columns: [mark, run_id, created_at]}``."""

    mark: str = Field(min_length=1)
    """What the first column of the header record holds."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Names of its fields, the mark included; they become the document's head. When written, ``id``, ``created_at`` and
    ``created_on`` come from the unit, the others from properties of the message."""


class CsvSpec(FormatSpec):
    """Comma-separated values (RFC 4180) and their relatives with other delimiters.

    ```yaml
    csv: {delimiter: ";", trailer: {mark: T, columns: [mark, count, currency, sum], of: amount, in: currency}}
    ```

    Read, every record becomes a mapping of texts (``each: rows``), or of values where ``types`` says so. A bad line is
    an error of its own, the good ones go on; a file with wrong control totals, an unclosed quote or an unexpected
    header is refused whole.
    """

    key: ClassVar[str] = "csv"

    delimiter: Character = Field(default=",", min_length=1)
    """Between fields; ``tab`` for tabs."""
    quote: Character = '"'
    """Around fields that hold the delimiter, a quote or a line end; empty = quotes mean nothing."""
    encoding: Encoding = "utf-8"
    """How characters are bytes; ``utf-8-sig`` allows a byte order mark and writes one."""
    header: bool = True
    """Whether a line with the column names comes before the data."""
    columns: tuple[str, ...] | dict[str, str] = ()
    """Column names in order, the header must match; needed when ``header`` is false. For writing also
    ``{column: path.in.body}``."""
    required: tuple[str, ...] = ()
    """Columns that are never written empty."""
    header_record: HeaderRecordSpec | None = None
    """A marked first record about the file."""
    trailer: TrailerSpec | None = None
    """Control totals at the end."""
    decimal: Literal[".", ","] = "."
    """Decimal point of amounts, in control totals and in numbers written."""
    thousands: Literal["", ".", ",", " ", "'"] = ""
    """What may group the digits of numbers in threes when read; never written."""
    types: dict[str, str] = Field(default_factory=dict)
    """Columns that are more than texts: ``{amount: number, due: DD.MM.YYYY}``. Numbers become exact decimals, days ISO
    dates, empty fields null; written days have that form again."""
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Other names of columns in the header line that is read: ``{amount: [Betrag, Amount EUR]}``."""
    preamble: int = Field(default=0, ge=0, le=1_000)
    """Lines before the header line that are passed over when read."""
    footer: tuple[str, ...] = ()
    """What records at the end begin with that are no data, such as ``Total``; passed over when read."""
    line_end: Literal["lf", "crlf"] = "lf"
    """Written at the end of lines; any line end is read."""
    max_line: Size = Field(default=1_000_000, ge=1_000, le=64_000_000)
    """Longest record in bytes."""
    for_people: bool = False
    """Written for a spreadsheet: what it would run as a formula gets a ``'`` in front. Never for machines."""

    @model_validator(mode="after")
    def _consistent(self) -> CsvSpec:
        names = tuple(self.columns)
        if len(set(names)) != len(names) or not all(names):
            raise _problem("`columns` names a column twice or not at all")
        if not self.header and not names:
            raise _problem("a file without header line needs `columns`")
        if self.delimiter == self.quote or self.delimiter == self.decimal == ",":
            raise _problem("`delimiter`, `quote` and `decimal` are different characters")
        if self.encoding in EBCDIC:
            raise _problem("a CSV file is not EBCDIC; convert it before")
        self._check_values(names)
        marks = [s.mark for s in (self.header_record, self.trailer) if s]
        if len(set(marks)) != len(marks):
            raise _problem("header record and trailer need different marks")
        wanted = [*self.required, *((self.trailer.of, self.trailer.in_) if self.trailer else ())]
        for name in filter(None, wanted) if names else ():
            if name not in names:
                raise _problem(f"`{name}` is not among `columns`")
        return self

    def _check_values(self, names: tuple[str, ...]) -> None:
        if self.thousands == self.decimal or (self.thousands and self.thousands == self.delimiter):
            raise _problem("`thousands`, `decimal` and `delimiter` are different characters")
        for name, kind in self.types.items():
            if not is_type(kind):
                raise _problem(f"the type of `{name}` is neither `number` nor a form of days such as `DD.MM.YYYY`")
            if names and name not in names:
                raise _problem(f"`{name}` is not among `columns`")
        others = [other for found in self.aliases.values() for other in found]
        if len(set(others)) != len(others) or not all(self.footer):
            raise _problem("an alias or a footer is empty or stands twice")

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the name says so and lines agree in their number of fields."""
        from transforms.csv.inspection import detect  # noqa: PLC0415 - only `bus inspect` needs it

        return detect(head, name)

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """Read leniently: delimiter, encoding, header and totals are guessed; what looks wrong becomes a finding."""
        from transforms.csv.inspection import inspect  # noqa: PLC0415 - only `bus inspect` needs it

        return inspect(source)

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """Delimiter, encoding, header and trailer as :meth:`inspect` finds them."""
        from transforms.csv.inspection import guessed  # noqa: PLC0415 - only `bus inspect` needs it

        return guessed(source)

    def record_fields(self) -> dict[str, str]:
        """The declared columns; all of them are text."""
        return dict.fromkeys(self.columns, "text") if isinstance(self.columns, tuple) else {}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _Csv(self)


class _Csv:
    """CSV as a format."""

    content_type = "text/csv"

    def __init__(self, spec: CsvSpec) -> None:
        record, trailer = spec.header_record, spec.trailer
        self._layout = Layout(
            delimiter=spec.delimiter,
            quote=spec.quote,
            encoding=spec.encoding,
            header=spec.header,
            columns=tuple(spec.columns),
            head_mark=record.mark if record else "",
            head_columns=record.columns if record else (),
            trailer=Trailer(trailer.mark, trailer.columns, trailer.of, trailer.in_) if trailer else None,
            max_line=spec.max_line,
            point=spec.decimal,
            thousands=spec.thousands,
            preamble=spec.preamble,
            footer=spec.footer,
            aliases={other: name for name, others in spec.aliases.items() for other in others},
            types={name: column(kind, spec.decimal, spec.thousands) for name, kind in spec.types.items()},
        )
        flat = not isinstance(spec.columns, dict)
        self._output = Output(
            paths=tuple(spec.columns.items())
            if isinstance(spec.columns, dict)
            else tuple((n, n) for n in spec.columns),
            flat=flat,
            required=frozenset(spec.required),
            line_end={"lf": "\n", "crlf": "\r\n"}[spec.line_end],
            for_people=spec.for_people,
        )

    def read(self, source: BinaryIO) -> Document:
        return CsvDocument(source, self._layout)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        write(parts, target, context, self._layout, self._output)
