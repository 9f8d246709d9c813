"""CFONB 120: account statements of French banks, in records of 120 characters."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, ClassVar, Literal

from bus import Format, FormatSpec, Inspection, StepResources
from transforms._lines import Encoding

_FIRST = re.compile(rb"\s*0[1457][0-9 ]{5}.{9}[A-Z]{3}[0-9 ]", re.DOTALL)


class Cfonb120Spec(FormatSpec):
    """Account statements of French banks (CFONB, *relevé de compte sur support informatique*, 120 characters).

    .. code-block:: yaml

        parse: {cfonb120: {encoding: iso-8859-1}}

    Read are any number of statements: records 01 (opening balance), 04 (entry), 05 (its details, by qualifiers such as
    LIB, NPY, RCN, LCC), 07 (closing balance). Records: ``entries`` or ``statements``. Opening balance and entries must
    give the closing balance. An entry that cannot be read is a bad record; records in a wrong order refuse the file.
    """

    key: ClassVar[str] = "cfonb120"
    each_default: ClassVar[str] = "entries"

    encoding: Encoding = "utf-8"
    """Text encoding; banks also send ``iso-8859-1``."""
    balances: Literal["check", "ignore"] = "check"
    """Whether a file whose balances do not agree with its entries is refused."""

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is one of the format's."""
        del name
        return 0.95 if _FIRST.match(head) else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms._statements.inspect`."""
        from transforms._statements import inspect  # noqa: PLC0415 - only reading needs it
        from transforms.cfonb120.reader import CfonbReader  # noqa: PLC0415 - as above

        return inspect(source, cls.key, CfonbReader)

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """The encoding that fits all bytes."""
        from transforms._statements import guessed_encoding  # noqa: PLC0415 - only `bus inspect` needs it

        return {"encoding": guessed_encoding(source)}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader."""
        from transforms._statements import StatementFormat  # noqa: PLC0415 - keeps the spec light
        from transforms.cfonb120.reader import CfonbReader  # noqa: PLC0415 - as above

        del resources
        prove = self.balances == "check"
        return StatementFormat(self.key, lambda file: CfonbReader(file, self.encoding), prove=prove)
