"""CODA: account statements of Belgian banks, versions 1 and 2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from transforms._statement_spec import StatementSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms._statements import Reader

_HEADER = re.compile(rb"\s*00000[0-9 ]{6}[0-9]{3}(?:05|  )[D ] {7}.{103}[12]?[\r\n]")


class CodaSpec(StatementSpec):
    """Account statements of Belgian banks (Febelfin, coded statement of account), versions 1 and 2.

    .. code-block:: yaml

        parse: {coda: {encoding: iso-8859-1}}

    Read are any number of statements: header 0, old balance 1, movements 21 to 23, information 31 to 33, new balance 8,
    free text 4, trailer 9. Records: ``entries`` or ``statements``. A collective movement is one entry, its details are
    the transactions of the entry and never counted again. Balances, and the number and sums of the trailer, must be
    right. Structured communications (``+++…+++``, RF, SEPA direct debit) are read, wrong check digits told.
    """

    key: ClassVar[str] = "coda"

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is a header."""
        del name
        return 0.97 if _HEADER.match(head) else 0.0

    @classmethod
    def reader(cls) -> Callable[[BinaryIO, str], Reader]:
        """What opens a file in an encoding."""
        from transforms.coda.reader import CodaReader  # noqa: PLC0415 - only reading needs it

        return CodaReader
