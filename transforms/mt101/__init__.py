"""MT101: payment orders as a Swift message, for banks that take no ISO 20022 yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from bus import ConfigError, Document, Format, FormatSpec, Inspection, RuleBook, StepResources, WriteContext
from transforms._lines import Encoding
from transforms._rules import rule_book
from transforms.canonical.accounts import is_bic

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLOCK = re.compile(rb"\{2:[IO](\d{3})")
_TAG = re.compile(rb"^:(20|28D|32B|50[CFGHKL]|59[AF]?|21R?):", re.MULTILINE)


class Mt101Spec(FormatSpec):
    """Request for transfer of Swift (MT101), both ways.

    .. code-block:: yaml

        parse: mt101
        translate: {to: {mt101: {sender: COBADEFFXXX, receiver: DEUTDEFFXXX}}, profile: swift-mt101}

    Records: ``payments``. Read are files with Swift blocks and bare ones, any number of messages; chained messages must
    all be there. Written is a message for each run of payments that agree in debtor, account, bank and date; different
    debtors or dates never share one. Messages over 10 000 characters are chained. Texts are brought into the character
    set of Swift; a payment that does not fit its fields, or breaks the rules of ``profile``, is refused alone.
    """

    key: ClassVar[str] = "mt101"
    each_default: ClassVar[str] = "payments"

    encoding: Encoding = "utf-8"
    """Text encoding of files that are read; written ones are ASCII."""
    charset: Literal["transliterate", "strict"] = "transliterate"
    """Whether characters that Swift does not have are replaced (ä becomes a) or refused."""
    sender: str = ""
    """BIC for the blocks of the message; without it and ``receiver`` only the text of messages is written."""
    receiver: str = ""
    """BIC of the bank that the message goes to."""
    profile: str = ""
    """Rule book of the bank, about payments, that written ones have to keep."""

    @field_validator("sender", "receiver")
    @classmethod
    def _is_bic(cls, value: str) -> str:
        if value and not is_bic(value):
            raise PydanticCustomError("VAL432", "not a BIC; write 8 or 11 capital letters and digits")
        return value

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure for a block header of the message or fields that only this message has."""
        del name
        block = _BLOCK.search(head)
        if block:
            return 0.98 if block[1] == b"101" else 0.0
        tags = {found[1] for found in _TAG.finditer(head)}
        return 0.96 if {b"20", b"28D"} <= tags else 0.6 if b"32B" in tags and b"21" in tags else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms.mt101.reader.inspect`."""
        from transforms.mt101.reader import inspect  # noqa: PLC0415 - only reading needs it

        return inspect(source)

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """The encoding that fits all bytes."""
        from transforms._statements import guessed_encoding  # noqa: PLC0415 - only `bus inspect` needs it

        return {"encoding": guessed_encoding(source)}

    def ruled_models(self) -> tuple[str, ...]:
        """See :class:`bus.FormatSpec`."""
        return ("payment",)

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer.

        Raises:
            ConfigError: ``VAL680`` (there is no such profile), ``VAL717`` (it is about something else).
        """
        book = rule_book(self.profile, resources)
        if book is not None and book.model not in self.ruled_models():
            text = f"the profile `{book.name}` is about a {book.model}, an MT101 has payments"
            raise ConfigError("VAL717", text, hint="name a profile about payments, such as `swift-mt101`")
        return _Mt101(self, book)


class _Mt101:
    """The format at work."""

    content_type = "text/plain"

    def __init__(self, spec: Mt101Spec, book: RuleBook | None) -> None:
        self._spec, self._book = spec, book

    def read(self, source: BinaryIO) -> Document:
        from transforms.mt101.reader import Mt101Document  # noqa: PLC0415 - keeps the spec light

        return Mt101Document(source, self._spec.encoding)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.mt101.writer import Output, write  # noqa: PLC0415 - keeps the spec light

        spec = self._spec
        output = Output(spec.charset == "transliterate", spec.sender, spec.receiver, self._book)
        write(parts, target, context, output)
