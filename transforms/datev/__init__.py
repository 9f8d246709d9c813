"""DATEV format (EXTF): booking batches for German tax advisers are written; these and master data are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import Field

from bus import Document, Format, FormatSpec, Inspection, StepResources, WriteContext

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGIN = re.compile(rb'(?:\xef\xbb\xbf)?"?(?:EXTF|DTVF)"?;[0-9]{3};[0-9]{1,2};')


class DatevSpec(FormatSpec):
    """Files of the DATEV format with header version 700, as German tax advisers import them.

    ```yaml
    datev: {consultant: 1001, client: 456, fiscal_year_begin: 2026-01-01, account_length: 4, label: November}
    ```

    Written is a booking batch (category 21, version 13, all 125 columns) from bookings such as ``{amount, side: debit,
    account, contra_account, date, currency, tax_key, reference, text, cost_centre}``; ``side`` is that of ``account``.
    The period of the batch is that of its bookings, which all have to be in the fiscal year: the file has days without
    years. Read are bookings in the same form, and the rows of other categories by the names of their columns.
    """

    key: ClassVar[str] = "datev"

    encoding: Literal["cp1252", "utf-8-sig"] = "cp1252"
    """How characters are bytes; DATEV also takes UTF-8 with a byte order mark."""
    consultant: int = Field(default=0, ge=0, le=9_999_999)
    """Number of the consultant (Berater). Needed for writing."""
    client: int = Field(default=0, ge=0, le=99_999)
    """Number of the client (Mandant). Needed for writing."""
    fiscal_year_begin: str = Field(default="", pattern=r"^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]))?$")
    """First day of the fiscal year. Needed for writing."""
    account_length: int = Field(default=4, ge=4, le=8)
    """Digits of general ledger accounts; those of customers and suppliers have one more."""
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    """Currency of bookings that name none."""
    label: str = Field(default="", max_length=30)
    """Name of the batch; a message property ``label`` comes first."""
    origin: str = Field(default="RE", min_length=2, max_length=2)
    """Two letters for where it comes from."""
    exported_by: str = Field(default="", max_length=25)
    """Who exported it."""
    dictation: str = Field(default="", max_length=2)
    """Initials of the clerk."""
    chart: str = Field(default="", pattern="^([0-9]{2,4})?$")
    """Chart of accounts: ``03``, ``04`` …"""
    kind: Literal[1, 2] = 1
    """1 financial accounting, 2 annual accounts."""
    locked: bool = False
    """Whether the bookings cannot be changed after their import (Festschreibung)."""

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure of the letters EXTF or DTVF and the numbers behind them."""
        del name
        return 0.99 if _BEGIN.match(head) else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """One document: the batch with its debits and credits, or the number of rows of another category."""
        from transforms.datev.reader import inspect  # noqa: PLC0415 - only `bus inspect` needs it

        return inspect(source)

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _Datev(self)


class _Datev:
    """The DATEV format at work."""

    content_type = "text/csv"

    def __init__(self, spec: DatevSpec) -> None:
        self._spec = spec

    def read(self, source: BinaryIO) -> Document:
        from transforms.datev.reader import DatevDocument  # noqa: PLC0415 - keeps the import of the spec light

        return DatevDocument(source, self._spec.encoding)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.datev.writer import Options, write  # noqa: PLC0415 - as above

        spec = self._spec
        write(parts, target, context, Options(**{name: getattr(spec, name) for name in Options._fields}))
