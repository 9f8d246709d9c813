"""Records that a COBOL copybook describes, both ways: EBCDIC and ASCII, zoned, packed and binary numbers, tables."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import (
    Document,
    Finding,
    Format,
    FormatSpec,
    InspectedDocument,
    InspectedTotal,
    Inspection,
    Rejected,
    StepResources,
    WriteContext,
)
from transforms._lines import EBCDIC, Encoding
from transforms.cobol.copybook import CopybookError, Item, parse
from transforms.cobol.files import CobolDocument, Layout, count_described, write
from transforms.cobol.records import Coding

if TYPE_CHECKING:
    from collections.abc import Iterable

_SINGLE_BYTE = ("iso8859", "cp", "ascii", "koi8", "mac")


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": text})


class CobolSpec(FormatSpec):
    """Mainframe files of fixed records, described by the copybook of the program that writes or reads them.

    ```yaml
    cobol:
      encoding: cp037
      copybook: |
        01 PAYMENT-RECORD.
           05 PAYMENT-ID   PIC X(12).
           05 AMOUNT       PIC S9(9)V99 COMP-3.
           05 CURRENCY     PIC X(3).
    ```

    Names become keys in lower case with ``_`` (``payment_id``), groups mappings, ``OCCURS`` lists; numbers are exact,
    ``int`` where the picture has no decimals; filler is left out. With several records (level 01) each body says in
    ``record`` which it is. A bad record is an error of its own that names record, offset and field.
    """

    key: ClassVar[str] = "cobol"

    copybook: str = Field(min_length=1)
    """Data description entries, fixed or free form: levels, PICTURE X, A, 9, S, V, USAGE DISPLAY, BINARY, COMP, COMP-3,
    COMP-4, COMP-5, PACKED-DECIMAL, SIGN, OCCURS, REDEFINES; what is not understood is refused."""
    encoding: Encoding = "cp037"
    """Texts and digits as bytes: EBCDIC (``cp037``, ``cp273``, ``cp500``, ``cp1140``) or ASCII of one byte each."""
    framing: Literal["fixed", "rdw", "lines"] = "fixed"
    """``fixed``: records of one length without anything between; ``rdw``: each behind its record descriptor word;
    ``lines``: lines of text."""
    length: int = Field(default=0, ge=0, le=1_000_000)
    """Bytes of records of one length; 0 = as long as the longest record of the copybook."""
    when: dict[str, dict[str, str | tuple[str, ...]]] = Field(default_factory=dict)
    """Which record, and which of items that share bytes (REDEFINES): ``{DETAIL-B: {REC-TYPE: [B, C]}}``. The first
    whose items have one of these values is it; else the first without a condition."""
    native: Literal["big", "little"] = "big"
    """Byte order of COMP-5; all other binary numbers are big-endian."""
    blank_numbers: bool = False
    """Whether a DISPLAY number that is blank or all zero bytes is null; otherwise it is an error."""
    line_end: Literal["lf", "crlf"] = "lf"
    """Written at the end of lines; any is read."""

    @model_validator(mode="after")
    def _consistent(self) -> CobolSpec:
        try:
            items = [item for root in self.records for item in root.items()]
        except CopybookError as error:
            raise _problem(f"the copybook is not understood, {error}") from None
        if not (self.encoding in EBCDIC or self.encoding.startswith(_SINGLE_BYTE)) or self.encoding == "cp932":
            raise _problem("records have an encoding of one byte a character")
        unknown = set(self.when) - {item.name for item in items}
        unknown |= {name for condition in self.when.values() for name in condition} - {item.name for item in items}
        if unknown:
            raise _problem(f"`when` names an item that the copybook does not have: `{min(unknown)}`")
        longest = max(root.size() for root in self.records)
        if self.length and self.length < longest:
            raise _problem(f"`length` is less than the {longest} bytes of the longest record")
        binary = any(item.usage in ("packed", "binary", "native") for item in items)
        if self.framing == "lines" and (binary or self.encoding in EBCDIC):
            raise _problem("lines of text hold no packed or binary numbers and are not EBCDIC; write `framing: rdw`")
        if self.framing == "fixed" and not self.length and any(item.depending for item in items):
            raise _problem(
                "records of varying length need `framing: rdw` or `lines`, or the `length` they are filled to"
            )
        return self

    @cached_property
    def records(self) -> list[Item]:
        """The records of the copybook."""
        return parse(self.copybook)

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Fairly sure of a chain of record descriptor words; other such files tell nothing of themselves."""
        del name
        at = found = 0
        while at + 4 <= len(head):
            length = int.from_bytes(head[at : at + 2], "big")
            if length <= 4 or head[at + 2 : at + 4] != b"\0\0":
                return 0.0
            at, found = at + length, found + 1
        return 0.5 if found > 2 or (found and at == len(head)) else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """The number of records; what is in them only the copybook tells."""
        try:
            count = count_described(source)
        except Rejected as error:
            return Inspection("cobol", None, (), (Finding(error.code, "error", error.place, error.message),))
        rows = (InspectedTotal("", count, Decimal(0)),)
        told = Finding("VAL839", "info", "", "records with descriptor words; their fields need a copybook")
        return Inspection("cobol", "table", (InspectedDocument("", None, None, None, rows),), (told,))

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _Cobol(self)


class _Cobol:
    """Described records as a format."""

    content_type = "application/octet-stream"

    def __init__(self, spec: CobolSpec) -> None:
        conditions = {
            name: {item: (values,) if isinstance(values, str) else tuple(values) for item, values in told.items()}
            for name, told in spec.when.items()
        }
        coding = Coding(spec.encoding, spec.encoding in EBCDIC, spec.native == "little", conditions, spec.blank_numbers)
        roots = tuple(spec.records)
        length = spec.length or max(root.size() for root in roots)
        self._layout = Layout(roots, coding, spec.framing, length, b"\r\n" if spec.line_end == "crlf" else b"\n")

    def read(self, source: BinaryIO) -> Document:
        return CobolDocument(source, self._layout)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        del context
        write(parts, target, self._layout)
