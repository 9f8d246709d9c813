"""BAI2: balances and transactions of banks in the United States and elsewhere."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, ClassVar, Literal

from bus import Format, FormatSpec, Inspection, StepResources
from transforms._lines import Encoding

_HEADER = re.compile(rb"\s*01,[^,\r\n]{0,40},[^,\r\n]{0,40},[0-9]{6},")


class Bai2Spec(FormatSpec):
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
    each_default: ClassVar[str] = "entries"

    encoding: Encoding = "utf-8"
    """Text encoding."""
    balances: Literal["check", "ignore"] = "check"
    """Whether a file whose balances or control totals are wrong is refused."""

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is a file header."""
        del name
        if _HEADER.match(head):
            return 0.97
        return 0.7 if re.match(rb"\s*0[0123],[^,\r\n]{0,40},.{0,200}/\s*$", head, re.MULTILINE) else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms._statements.inspect`."""
        from transforms._statements import inspect  # noqa: PLC0415 - only reading needs it
        from transforms.bai2.reader import Bai2Reader  # noqa: PLC0415 - as above

        return inspect(source, cls.key, Bai2Reader)

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """The encoding that fits all bytes."""
        from transforms._statements import guessed_encoding  # noqa: PLC0415 - only `bus inspect` needs it

        return {"encoding": guessed_encoding(source)}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader."""
        from transforms._statements import StatementFormat  # noqa: PLC0415 - keeps the spec light
        from transforms.bai2.reader import Bai2Reader  # noqa: PLC0415 - as above

        del resources
        prove = self.balances == "check"
        return StatementFormat(self.key, lambda file: Bai2Reader(file, self.encoding), prove=prove)
