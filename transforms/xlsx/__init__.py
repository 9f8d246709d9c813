"""XLSX workbooks as ERP and SaaS systems export them: rows below a header, exact numbers, ISO dates; read only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Document, Format, FormatSpec, Inspection, Rejected, Size, StepResources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bus import WriteContext

_RANGE = re.compile(r"[A-Z]{1,3}[1-9][0-9]{0,6}:[A-Z]{1,3}[1-9][0-9]{0,6}")


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": text})


class XlsxSpec(FormatSpec):
    """Excel workbooks (.xlsx), read row by row in flat memory; old .xls files and workbooks with a password are not.

    ```yaml
    xlsx: {sheet: Payments, header_row: 3, aliases: {amount: [Betrag, Amount EUR]}}
    ```

    Each row becomes ``{column name: value}`` (``each: rows``): texts, exact decimals to the 15 digits that Excel
    computes with, ``true`` and ``false``, dates as ``2026-11-24`` or ``2026-11-24T10:30:00``, null for an empty cell.
    Formulas give the value that Excel saved. A row with an error such as ``#N/A`` is refused alone; empty rows are left
    out. Sizes are looked at before anything is unpacked.
    """

    key: ClassVar[str] = "xlsx"

    sheet: str = ""
    """Name of the sheet, or its number from 1; empty = the first that is not hidden."""
    header: bool = True
    """Whether a row with the column names comes first."""
    header_row: int = Field(default=0, ge=0, le=1_048_576)
    """Number of that row; 0 = the first that is not empty."""
    columns: tuple[str, ...] = ()
    """Names that the header has to have, in any order; without a header the names from the first column on."""
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Other headings of a column: ``{amount: [Betrag, Total]}``."""
    range: str = ""
    """Cells that are looked at, such as ``B3:F500``; empty = all."""
    max_size: Size = 64_000_000
    """Largest file."""
    max_unpacked: Size = 500_000_000
    """Most bytes that all parts of it have unpacked."""
    max_cells: int = Field(default=20_000_000, ge=1)
    """Most cells of the sheet."""

    @model_validator(mode="after")
    def _consistent(self) -> XlsxSpec:
        if self.range and not _RANGE.fullmatch(self.range):
            raise _problem("no range of cells; write for instance `B3:F500`")
        if not self.header and (not self.columns or self.header_row or self.aliases):
            raise _problem("a sheet without header needs `columns`, and neither `header_row` nor `aliases`")
        if len(set(self.columns)) != len(self.columns) or not all(self.columns):
            raise _problem("`columns` names a column twice or not at all")
        return self

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure of a ZIP archive that begins like a workbook, or is called like one."""
        if not head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            return 0.0
        named = name.lower().endswith((".xlsx", ".xlsm", ".xls"))
        return 0.97 if named or b"[Content_Types].xml" in head or b"xl/" in head else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """One document a sheet: its rows below the header, sums where amounts and currencies are recognised."""
        from transforms.xlsx.sheets import inspect  # noqa: PLC0415 - lxml is heavy

        return inspect(source)

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader."""
        del resources
        return _Xlsx(self)


class _Xlsx:
    """XLSX as a format."""

    content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def __init__(self, spec: XlsxSpec) -> None:
        self._spec = spec

    def read(self, source: BinaryIO) -> Document:
        from transforms.xlsx.package import Limits  # noqa: PLC0415 - lxml is heavy
        from transforms.xlsx.sheets import Layout, XlsxDocument  # noqa: PLC0415 - as above

        spec = self._spec
        aliases = {other: name for name, others in spec.aliases.items() for other in others}
        layout = Layout(spec.sheet, spec.header, spec.header_row, spec.columns, aliases, spec.range)
        return XlsxDocument(source, layout, Limits(spec.max_size, spec.max_unpacked, spec.max_cells))

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        del parts, target, context
        raise Rejected("VAL854", "workbooks are read only", hint="write CSV with `for_people: true`")
