"""NACHA, the files of the US automated clearing house (ACH), both ways: payments, direct debits, returns, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from bus import Document, Format, FormatSpec, Inspection, Part, Rejected, RuleBook, Spec, StepResources, WriteContext
from transforms._lines import EBCDIC, Encoding
from transforms._rules import rule_book
from transforms.nacha.records import is_routing_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from transforms.nacha.writer import Options

_RECORDS = ("payments", "statuses", "entries")


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": text})


def _routing(value: str) -> str:
    if value and not is_routing_number(value):
        raise _problem("no routing number: nine digits, the last of which checks the others")
    return value


def _line_encoding(value: str) -> str:
    if value in EBCDIC:
        raise _problem("NACHA files have ASCII line ends; convert the file before")
    return value


Routing = Annotated[str, AfterValidator(_routing)]


class InternationalSpec(Spec):
    """What written international entries (IAT) need besides the payment."""

    gateway: Routing = ""
    """Routing number of the gateway operator."""
    bank_name: str = Field("", max_length=35)
    """Name of the own bank."""
    bank_country: str = Field("US", min_length=2, max_length=2)
    """Its country."""
    exchange: Literal["FF", "FV", "VF"] = "FF"
    """``FF``: the receiver gets the same amount of the same currency; ``FV``: fixed US dollars, what arrives varies."""
    kind: str = Field("BUS", min_length=3, max_length=3)
    """Transaction type: ``BUS``, ``SAL``, ``PEN``, ``TAX``, ``LOA``, ``MIS`` …"""
    currency: str = Field("USD", min_length=3, max_length=3)
    """Currency in which the receiver gets the money."""


class NachaSpec(FormatSpec):
    """Files of the US clearing house ACH (Nacha Operating Rules): 94 characters a record, ten records a block.

    ```yaml
    nacha:
      destination: "121042882"
      origin: "1231380104"
      company_id: "1231380104"
      entry_class: PPD
      description: PAYROLL
    ```

    Read are all entry classes but ADV. Records: ``payments`` (canonical payments of credit entries, direct debits of
    debit entries; prenotes are left out), ``statuses`` (returns become ``RJCT`` with the ISO reason or the R code,
    notifications of change ``ACWC`` with the C code and the corrected data) and ``entries`` (everything, as the fields
    are called). Counts, entry hashes and sums of batches and file must be right; a bad entry is refused alone.

    Written are PPD, CCD, CTX, IAT, WEB and TEL entries in batches of one company, class, direction and day. The
    payment's ``local_instrument`` chooses the class, its ``end_to_end_id`` (15 characters) identifies the entry; the
    receiver's bank is ``agent: {member_id: routing number}``, the account ``{other: number, kind: CACC or SVGS}``.
    Bodies of the shape of ``entries`` are written as they say, so that returns, notifications of change and all other
    classes can be made too; counts, hashes and sums are always those of what was written. What breaks the rules of
    ``profile`` is refused alone.
    """

    key: ClassVar[str] = "nacha"
    each_default: ClassVar[str] = "payments"

    encoding: Annotated[Encoding, AfterValidator(_line_encoding)] = "ascii"
    """How characters of files that are read are bytes; written files are ASCII."""
    destination: Routing = ""
    """Routing number of the bank that gets the file. Needed for writing."""
    destination_name: str = Field("", max_length=23)
    """Its name."""
    origin: str = Field("", max_length=10)
    """Immediate origin as agreed with the bank, often ``1`` and the tax number. Needed for writing."""
    origin_name: str = Field("", max_length=23)
    """The sender's name."""
    company_id: str = Field("", max_length=10)
    """Company identification as agreed with the bank. Needed for writing."""
    company_name: str = Field("", max_length=16)
    """Name in the batches; empty = that of the payments' debtor (of direct debits: creditor)."""
    odfi: str = Field("", pattern="^([0-9]{8})?$")
    """First eight digits of the originating bank's routing number; empty = those of ``destination``."""
    entry_class: Literal["PPD", "CCD", "CTX", "IAT", "WEB", "TEL"] = "CCD"
    """Class of payments whose ``local_instrument`` names none."""
    description: str = Field("PAYMENT", min_length=1, max_length=10)
    """What the receiver reads on the statement."""
    descriptive_date: str = Field("", max_length=6)
    """What stands in the field of the descriptive date, such as ``SD1300`` for same-day settlement."""
    discretionary: str = Field("", max_length=20)
    """The company's own data in the batch header."""
    modifier: str = Field("A", pattern="^[A-Z0-9]$")
    """Tells files of one day apart; a message property ``file_id_modifier`` comes first."""
    cut_names: bool = False
    """Cut names that are too long (22 characters; CTX and companies 16) instead of refusing them."""
    line_end: Literal["lf", "crlf", "none"] = "lf"
    """Written at the end of records; any is read, also none."""
    international: InternationalSpec = InternationalSpec()
    """For written entries of class IAT."""
    profile: str = ""
    """Rule book of the bank that written payments (or direct debits, as it is about) have to keep."""

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the first record is a file header."""
        from transforms.nacha.inspection import detect  # noqa: PLC0415 - only `bus inspect` needs it

        del name
        return detect(head)

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """One document a batch; control totals of batches and file are proved."""
        from transforms.nacha.inspection import inspect  # noqa: PLC0415 - only `bus inspect` needs it

        return inspect(source)

    def ruled_models(self) -> tuple[str, ...]:
        """See :class:`bus.FormatSpec`: credit entries are payments, debit entries direct debits."""
        return ("payment", "direct-debit")

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer. Raises ConfigError ``VAL680`` when there is no such profile."""
        return _Nacha(self, rule_book(self.profile, resources))


class _Nacha:
    """NACHA as a format."""

    content_type = "text/plain"

    def __init__(self, spec: NachaSpec, book: RuleBook | None) -> None:
        self._spec, self._book = spec, book

    def read(self, source: BinaryIO) -> Document:
        return _NachaDocument(source, self._spec.encoding)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.nacha.writer import write  # noqa: PLC0415 - anyascii is not for readers

        write(parts, target, context, _options(self._spec), self._book)


def _options(spec: NachaSpec) -> Options:
    from transforms.nacha.foreign import Foreign  # noqa: PLC0415 - as above
    from transforms.nacha.writer import Options  # noqa: PLC0415 - as above

    odfi = spec.odfi or spec.destination[:8]
    more = spec.international
    return Options(
        destination=spec.destination,
        destination_name=spec.destination_name,
        origin=spec.origin,
        origin_name=spec.origin_name,
        company_id=spec.company_id,
        company_name=spec.company_name,
        odfi=odfi,
        entry_class=spec.entry_class,
        description=spec.description,
        descriptive_date=spec.descriptive_date,
        discretionary=spec.discretionary,
        modifier=spec.modifier,
        cut_names=spec.cut_names,
        line_end=spec.line_end,
        foreign=Foreign(more.gateway, odfi, more.bank_name, more.bank_country, more.exchange, more.kind, more.currency),
    )


class _NachaDocument:
    """A NACHA file being read; ``head`` is the file header."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        from transforms.nacha.reader import Reading  # noqa: PLC0415 - keeps the import of the spec light

        self._reading = Reading(source, encoding, _refuse)
        self.head = self._reading.head

    def parts(self, each: str) -> Iterator[Part]:
        """Stream ``payments``, ``statuses`` or ``entries``; bad entries are given whatever is asked for.

        Raises:
            Rejected: ``VAL301`` for other records; ``VAL781`` to ``VAL793``: the file as a whole is refused.
        """
        from transforms.nacha import canonical  # noqa: PLC0415 - as above

        if each not in _RECORDS:
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint=f"write {', '.join(_RECORDS)}")
        for entry in self._reading.entries():
            if entry.error is not None:
                yield Part(None, entry.place, entry.raw, entry.error)
            elif each == "entries":
                yield Part(canonical.plain(entry), entry.place, entry.raw)
            elif each == "payments" and canonical.is_order(entry):
                yield Part(canonical.order(entry, self.head), entry.place, entry.raw)
            elif each == "statuses" and canonical.is_answer(entry):
                yield Part(canonical.status(entry, self.head), entry.place, entry.raw)

    def whole(self) -> dict[str, Any]:
        """The file header and all entries; raises the first error of any."""
        entries = []
        for part in self.parts("entries"):
            if part.error is not None:
                raise part.error
            entries.append(part.body)
        return {**self.head, "entries": entries}


def _refuse(error: Rejected) -> None:
    raise error
