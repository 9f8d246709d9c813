"""ISO 20022: statements, payment orders and status reports of banks; pain.001 also written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bus import (
    ConfigError,
    Document,
    EncodedRecords,
    Encoder,
    Finding,
    Format,
    FormatSpec,
    Inspection,
    Rejected,
    RuleBook,
    Size,
    StepResources,
    WriteContext,
)
from transforms._rules import rule_book
from transforms.iso20022.names import FAMILIES, MESSAGES, USUAL, WRITABLE, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from transforms.iso20022.document import ReadOptions
    from transforms.iso20022.generic_writing import GenericOptions
    from transforms.iso20022.write import WriteOptions


_VALIDATE = {"true": "strict", "false": "off"}


def _validate(value: Any) -> Any:
    text = str(value).lower()
    return _VALIDATE.get(text, text)


class Iso20022Spec(FormatSpec):
    """Messages of ISO 20022: orders, statuses, returns, cancellations and statements, read and written.

    .. code-block:: yaml

        parse: camt.053
        translate: {to: pain.001.001.09, profile: sepa-sct}
        parse: {iso20022: {message: camt.053.001.08, validate: strict}}

    Reading takes all versions and what banks really send: other namespaces of the same message, wrappers around
    ``Document``, any prefix. What concerns money is never lenient: amounts, control sums (pain.001, pain.008) and
    balances (camt.053: opening and booked entries give closing) must be right. Records: ``entries`` or ``statements``
    (camt.052, camt.053, camt.054), ``payments`` (pain.001, pain.008, pacs.008), ``statuses`` (pain.002, pacs.002,
    camt.029), ``cancellations`` (camt.055, camt.056, pain.007), ``returns`` (pacs.004).

    Written from canonical bodies: pain.001, pain.008, pain.002, pain.007, camt.029, camt.052 to camt.056, in every
    version. Payments and direct debits get one payment information block for each run of those that agree in the own
    side's account and bank, date, currency and kind; different accounts or dates never share one. Entries of a
    statement follow it; MsgId and missing references are made from the unit of work.
    """

    key: ClassVar[str] = "iso20022"
    shorthand: ClassVar[str] = "message"
    each_default: ClassVar[str] = USUAL

    as_: Literal["canonical", "json"] = Field("canonical", alias="as")
    """What records are as plain data: of the canonical shapes, or ``json``: any message element by element, as its XML
    Schema has it. Then ``each`` is ``documents`` or any element that repeats, such as ``Ntry`` or ``CdtTrfTxInf``.
    Messages that have no canonical shape are always read and written as ``json``."""
    message: str = ""
    """``pain.001.001.09`` (this version), ``camt.053`` (any version) or empty (any known message)."""
    schema_: Annotated[Literal["auto", "off", "report", "strict"], BeforeValidator(_validate)] = Field(
        "auto", alias="validate"
    )
    """XML Schema validation: ``off``, ``report`` (findings), ``strict`` (refused). ``auto``: off when reading, strict
    when writing."""
    max_size: Size = 2_000_000_000
    """Largest file that is read."""
    balances: Literal["check", "ignore"] = "check"
    """Whether a camt.053 whose balances do not agree with its entries is refused."""
    charset: Literal["latin", "any"] = "latin"
    """``latin``: written texts are brought into the SEPA character set (ä becomes a), what cannot be is refused."""
    profile: str = ""
    """Profile that written payments have to keep, such as ``sepa-sct``; its character set goes before ``charset``."""
    initiating_party: str = ""
    """Name in the header of written files; empty = name of the first debtor."""
    losses: Literal["refuse", "accept"] = "refuse"
    """What becomes of a field of a canonical body that the written version has no element for: the body is refused, or
    the field is left out."""
    envelope: Literal["keep", "none", "BusMsg", "DataPDU", "Envelope", "RequestPayload", "SOAP"] = "keep"
    """Written from ``json``: what stands around header and ``Document``; ``keep``: what the body has."""
    from_: str = Field("", alias="from")
    """Written from: empty = canonical shapes; ``json`` (as ``as: json``); or a message with or without version, such as
    ``pain.001.001.03``: then the body is a file of it and becomes ``message``, the same in another version."""
    on_loss: Literal["auto", "refuse", "report"] = "auto"
    """Converted ``from`` another version: whether a value that ``message`` has no place for refuses the file, or is
    left out and told in the property ``findings``. ``auto``: refuse for payments, report for the rest. Records,
    amounts, parties and accounts are never left out."""

    @field_validator("message")
    @classmethod
    def _known_message(cls, value: str) -> str:
        if value and not known(value):
            raise PydanticCustomError(
                "VAL408",
                "no message that girobus knows; write one of {families}, with or without version (`camt.053.001.08`)",
                {"families": ", ".join(MESSAGES)},
            )
        return value

    @field_validator("from_")
    @classmethod
    def _known_source(cls, value: str) -> str:
        if value not in ("", "canonical", "json") and not known(value):
            raise PydanticCustomError("VAL408", "write `json`, or a message such as `pain.001.001.03` or `pain.001`")
        return "" if value == "canonical" else value

    @model_validator(mode="after")
    def _converts_one_message(self) -> Iso20022Spec:
        if known(self.from_) and self.from_[:8] != self.message[:8]:
            why = "a {source} cannot become a {message}; map it: `translate: {mapping: NAME}`"
            raise PydanticCustomError("VAL624", why, {"source": self.from_, "message": self.message or "message"})
        return self

    @classmethod
    def from_name(cls, name: str) -> dict[str, Any] | None:
        """``pain.001.001.09`` and ``camt.053`` name the format with that message."""
        if name == cls.key:
            return {}
        return {"message": name} if known(name) else None

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when a known namespace stands in the head, half sure of any other XML with a ``Document``."""
        from transforms.iso20022.inspection import detect  # noqa: PLC0415 - lxml is heavy

        del name
        return detect(head)

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms.iso20022.inspection.inspect`."""
        from transforms.iso20022.inspection import inspect  # noqa: PLC0415 - lxml is heavy

        return inspect(source)

    def spread(self, file: Path, encode: Encoder, processes: int) -> Iterator[EncodedRecords] | None:
        """Statements are read by several processes, cut at their entries."""
        from transforms.iso20022.spread import spread  # noqa: PLC0415 - lxml is heavy

        return spread(file, self._reading(), encode, processes) if self.as_ == "canonical" else None

    def _reading(self) -> ReadOptions:
        from transforms.iso20022.document import ReadOptions  # noqa: PLC0415 - lxml is heavy

        return ReadOptions(
            message=self.message,
            schema="off" if self.schema_ == "auto" else self.schema_,
            max_size=self.max_size,
            prove_balances=self.balances == "check",
        )

    def ruled_models(self) -> tuple[str, ...]:
        """See :class:`bus.FormatSpec`: that of the message, unless it is written from plain data."""
        from transforms.iso20022.ruled import MODELS  # noqa: PLC0415 - lxml is heavy

        model = MODELS.get((self.message or "pain.001")[:8])
        return () if model is None or self.as_ == "json" or self.from_ else (model,)

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and, for a message that is written, the writer."""
        from transforms.iso20022.write import WriteOptions  # noqa: PLC0415 - lxml is heavy

        book = rule_book(self.profile, resources)
        _check_model(book, self)
        reading = self._reading()
        writing = WriteOptions(
            message=self.message,
            validate=self.schema_ != "off",
            latin=self.charset == "latin",
            profile=book,
            initiating_party=self.initiating_party,
            accepts_losses=self.losses == "accept",
        )
        if self.as_ == "json" or self.from_ or (self.message and self.message[:8] not in FAMILIES):
            from transforms.iso20022.generic_writing import GenericOptions  # noqa: PLC0415 - as above

            options = GenericOptions(self.message, self.schema_ != "off", self.envelope)
            if known(self.from_):
                return _Converter(replace(reading, message=self.from_, schema="off"), options, self.on_loss)
            return _AnyMessage(reading, options)
        return _Iso20022(reading, writing)


def _check_model(book: RuleBook | None, spec: Iso20022Spec) -> None:
    """Raises ConfigError ``VAL717`` when a profile says nothing of what is written."""
    if book is None or book.model in spec.ruled_models():
        return
    from transforms.iso20022.ruled import MODELS  # noqa: PLC0415 - lxml is heavy

    rules = " and ".join(f"{name} by one about a {model}" for name, model in MODELS.items())
    what = spec.message or "pain.001"
    what = "what is written from plain data" if spec.as_ == "json" or spec.from_ else what
    text = f"the profile `{book.name}` is about a {book.model}, {what} is not"
    raise ConfigError("VAL717", text, hint=f"written by a profile are {rules}, from canonical bodies")


class _Iso20022:
    """The format at work."""

    content_type = "application/xml"

    def __init__(self, reading: ReadOptions, writing: WriteOptions) -> None:
        self._reading, self._writing = reading, writing

    def read(self, source: BinaryIO) -> Document:
        from transforms.iso20022.document import Iso20022Document  # noqa: PLC0415 - lxml is heavy

        return Iso20022Document(source, self._reading)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.iso20022.write import write  # noqa: PLC0415 - lxml is heavy

        write(parts, target, context, self._writing)


class _AnyMessage:
    """The format at work on plain data that follows the XML Schema."""

    content_type = "application/xml"

    def __init__(self, reading: ReadOptions, writing: GenericOptions) -> None:
        self._reading, self._writing = reading, writing

    def read(self, source: BinaryIO) -> Document:
        from transforms.iso20022.generic_document import GenericDocument  # noqa: PLC0415 - lxml is heavy

        return GenericDocument(source, self._reading)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.iso20022.generic_writing import write  # noqa: PLC0415 - lxml is heavy

        del context
        write(parts, target, self._writing)


class _Converter(_AnyMessage):
    """The format at work on files of another version."""

    def __init__(self, reading: ReadOptions, writing: GenericOptions, on_loss: str) -> None:
        super().__init__(reading, writing)
        self._on_loss = on_loss

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        del parts, target, context
        text = f"`from: {self._reading.message}` converts a file, the body is plain data"
        raise Rejected("VAL627", text, hint="leave out `parse`, or write `from: json`")

    def convert(self, source: BinaryIO, target: BinaryIO) -> tuple[Finding, ...]:
        from transforms.iso20022.converting import convert  # noqa: PLC0415 - lxml is heavy
        from transforms.iso20022.generic_document import GenericDocument  # noqa: PLC0415 - as above

        return convert(GenericDocument(source, self._reading), target, self._writing, self._on_loss)


__all__ = ["WRITABLE", "Iso20022Spec"]
