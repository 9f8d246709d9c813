"""CODA: account statements of Belgian banks, versions 1 and 2."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, ClassVar, Literal

from bus import Format, FormatSpec, Inspection, StepResources
from transforms._lines import Encoding

_HEADER = re.compile(rb"\s*00000[0-9 ]{6}[0-9]{3}(?:05|  )[D ] {7}.{103}[12]?[\r\n]")


class CodaSpec(FormatSpec):
    """Account statements of Belgian banks (Febelfin, coded statement of account), versions 1 and 2.

    .. code-block:: yaml

        parse: {coda: {encoding: iso-8859-1}}

    Read are any number of statements: header 0, old balance 1, movements 21 to 23, information 31 to 33, new balance 8,
    free text 4, trailer 9. Records: ``entries`` or ``statements``. A collective movement is one entry, its details are
    the transactions of the entry and never counted again. Balances, and the number and sums of the trailer, must be
    right. Structured communications (``+++…+++``, RF, SEPA direct debit) are read, wrong check digits told.
    """

    key: ClassVar[str] = "coda"
    each_default: ClassVar[str] = "entries"

    encoding: Encoding = "utf-8"
    """Text encoding; many banks send ``iso-8859-1``."""
    balances: Literal["check", "ignore"] = "check"
    """Whether a file whose balances or trailers do not agree with its movements is refused."""

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is a header."""
        del name
        return 0.97 if _HEADER.match(head) else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms._statements.inspect`."""
        from transforms._statements import inspect  # noqa: PLC0415 - only reading needs it
        from transforms.coda.reader import CodaReader  # noqa: PLC0415 - as above

        return inspect(source, cls.key, CodaReader)

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """The encoding that fits all bytes."""
        from transforms._statements import guessed_encoding  # noqa: PLC0415 - only `bus inspect` needs it

        return {"encoding": guessed_encoding(source)}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader."""
        from transforms._statements import StatementFormat  # noqa: PLC0415 - keeps the spec light
        from transforms.coda.reader import CodaReader  # noqa: PLC0415 - as above

        del resources
        prove = self.balances == "check"
        return StatementFormat(self.key, lambda file: CodaReader(file, self.encoding), prove=prove)
