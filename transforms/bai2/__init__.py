"""BAI2: balances and transactions of banks in the United States and elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from transforms._statement_spec import StatementSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms._statements import Reader

_HEADER = re.compile(rb"\s*01,[^,\r\n]{0,40},[^,\r\n]{0,40},[0-9]{6},")


class Bai2Spec(StatementSpec):
    """Cash management balance reporting of the BAI, version 2: balances and transactions of accounts.

    .. code-block:: yaml

        parse: bai2
        parse: {bai2: {balances: ignore}}

    Read are groups and accounts (one statement each) with continuation records, records that share a line, texts over
    several lines, all types of funds. Amounts have the decimals of their currency; the type code says credit or debit.
    Records: ``entries`` or ``statements``. Control totals and counts of accounts, groups and file must be right, and
    final balances agree with the entries. A record 16 that cannot be read is a bad record; records in a wrong order
    refuse the file.
    """

    key: ClassVar[str] = "bai2"

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is a file header."""
        del name
        if _HEADER.match(head):
            return 0.97
        return 0.7 if re.match(rb"\s*0[0123],[^,\r\n]{0,40},.{0,200}/\s*$", head, re.MULTILINE) else 0.0

    @classmethod
    def reader(cls) -> Callable[[BinaryIO, str], Reader]:
        """What opens a file in an encoding."""
        from transforms.bai2.reader import Bai2Reader  # noqa: PLC0415 - only reading needs it

        return Bai2Reader
