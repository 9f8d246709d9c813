"""CFONB 120: account statements of French banks, in records of 120 characters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from transforms._statement_spec import StatementSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms._statements import Reader

_FIRST = re.compile(rb"\s*0[1457][0-9 ]{5}.{9}[A-Z]{3}[0-9 ]", re.DOTALL)


class Cfonb120Spec(StatementSpec):
    """Account statements of French banks (CFONB, *relevé de compte sur support informatique*, 120 characters).

    .. code-block:: yaml

        parse: {cfonb120: {encoding: iso-8859-1}}

    Read are any number of statements: records 01 (opening balance), 04 (entry), 05 (its details, by qualifiers such as
    LIB, NPY, RCN, LCC), 07 (closing balance). Records: ``entries`` or ``statements``. Opening balance and entries must
    give the closing balance. An entry that cannot be read is a bad record; records in a wrong order refuse the file.
    """

    key: ClassVar[str] = "cfonb120"

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is one of the format's."""
        del name
        return 0.95 if _FIRST.match(head) else 0.0

    @classmethod
    def reader(cls) -> Callable[[BinaryIO, str], Reader]:
        """What opens a file in an encoding."""
        from transforms.cfonb120.reader import CfonbReader  # noqa: PLC0415 - only reading needs it

        return CfonbReader
