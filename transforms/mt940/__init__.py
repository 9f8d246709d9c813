"""MT940 and MT942: account statements and reports within the day of banks all over the world."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from bus import Document, Format, FormatSpec, Inspection, Rejected, StepResources, WriteContext
from transforms._lines import Encoding
from transforms.canonical.accounts import is_bic

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLOCK = re.compile(rb"\{2:[IO](\d{3})")
_TAG = re.compile(rb"^:(20|25P?|28C?|60[FM]|61|62[FM]|6[45]|86|34F|90[DC]|13D?|NS):", re.MULTILINE)
_OTHERS = re.compile(rb"^:(28D|32[AB]|50[A-Z]|59[AF]?|23[BE]):", re.MULTILINE)


class Mt940Spec(FormatSpec):
    """Account statements of Swift: MT940 (booked) and MT942 (within the day).

    .. code-block:: yaml

        parse: mt940
        parse: {mt940: {message: mt942, encoding: iso-8859-15}}
        translate: {to: {mt940: {batches: sum}}}

    Read are files with Swift blocks and bare ones, any number of messages. Each keeps its own account; pages of one
    statement (``:62M:`` and ``:60M:``) are joined. Records: ``entries`` or ``statements``. The field ``:86:`` is
    understood in the structures of Germany (``?20``, ``EREF+``), Poland (``<20``) and the Netherlands (``/EREF/``);
    other texts are kept line by line. Opening balance and entries must give the closing balance, and the sums of
    an MT942 those of its entries. An entry that cannot be read is a bad record; a message without account or balances
    refuses the file.

    Written are canonical statements with their entries as MT940, details as code words of Swift. What has no place in
    it refuses the file; balances and entries have to agree.
    """

    key: ClassVar[str] = "mt940"
    shorthand: ClassVar[str] = "message"
    each_default: ClassVar[str] = "entries"

    message: Literal["mt940", "mt942", "any"] = "mt940"
    """Which of the two is read; ``any`` takes both, also mixed."""
    encoding: Encoding = "utf-8"
    """Text encoding; banks also send ``iso-8859-15``, ``cp1252`` or ``cp852``."""
    balances: Literal["check", "ignore"] = "check"
    """Whether a file whose balances or sums do not agree with its entries is refused."""
    charset: Literal["transliterate", "strict"] = "transliterate"
    """Whether written characters that Swift does not have are replaced (ä becomes a) or refused."""
    batches: Literal["refuse", "sum"] = "refuse"
    """Entries of several transactions, whose details an MT940 cannot hold: refused, or written as their sum."""
    losses: Literal["refuse", "accept"] = "refuse"
    """Fields that an MT940 has no place for, such as addresses and amounts on the way: refused by name, or left out."""
    sender: str = ""
    """BIC for the blocks of a written message; without it and ``receiver`` only the text is written."""
    receiver: str = ""
    """BIC of who gets the message."""

    @field_validator("sender", "receiver")
    @classmethod
    def _is_bic(cls, value: str) -> str:
        if value and not is_bic(value):
            raise PydanticCustomError("VAL432", "not a BIC; write 8 or 11 capital letters and digits")
        return value

    @classmethod
    def from_name(cls, name: str) -> dict[str, Any] | None:
        """``mt940`` and ``mt942`` name the format with that message."""
        return {"message": name} if name in ("mt940", "mt942") else None

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure for a block header of the message or fields that only statements have."""
        del name
        block = _BLOCK.search(head)
        if block:
            return 0.98 if block[1] in (b"940", b"942") else 0.0
        tags = {found[1] for found in _TAG.finditer(head)}
        if not tags or _OTHERS.search(head):
            return 0.0
        return 0.95 if len(tags) > 2 else 0.9

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms._statements.inspect`; both messages are taken."""
        from transforms._statements import inspect  # noqa: PLC0415 - only reading needs it
        from transforms.mt940.reader import MtReader  # noqa: PLC0415 - as above

        return inspect(source, cls.key, lambda file, encoding: MtReader(file, encoding, ""))

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """Both messages, and the encoding that fits all bytes."""
        from transforms._statements import guessed_encoding  # noqa: PLC0415 - only `bus inspect` needs it

        return {"message": "any", "encoding": guessed_encoding(source)}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _Mt940(self)


class _Mt940:
    """The format at work."""

    content_type = "text/plain"

    def __init__(self, spec: Mt940Spec) -> None:
        self._spec = spec

    def read(self, source: BinaryIO) -> Document:
        from transforms._statements import StatementDocument  # noqa: PLC0415 - keeps the spec light
        from transforms.mt940.reader import MtReader  # noqa: PLC0415 - as above

        spec = self._spec
        wanted = "" if spec.message == "any" else spec.message
        return StatementDocument(MtReader(source, spec.encoding, wanted), prove=spec.balances == "check")

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.mt940.write import Output, write  # noqa: PLC0415 - keeps the spec light

        spec = self._spec
        if spec.message == "mt942":
            hint = "write `mt940`, or a camt.052"
            raise Rejected("VAL450", "MT942 is not written", hint=hint)
        write(
            parts,
            target,
            context,
            Output(
                spec.charset == "transliterate",
                spec.batches == "sum",
                spec.losses == "accept",
                spec.sender,
                spec.receiver,
            ),
        )
