"""SAP IDocs, as XML or as flat records: payment orders, orders and invoices, and every other type as a tree."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from bus import Document, Format, FormatSpec, InspectedDocument, Inspection, Part, Rejected, Size, StepResources
from transforms._lines import EBCDIC, Encoding
from transforms.idoc import segments as layouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bus import WriteContext
    from transforms.idoc.tree import Options, Segment

_RECORDS = ("idocs", "payments", "documents")


def _line_encoding(value: str) -> str:
    if value in EBCDIC:
        raise PydanticCustomError("value_error", "flat IDocs have ASCII line ends; convert the file before")
    return value


class IdocSpec(FormatSpec):
    """IDocs of SAP systems, one or many in a file, as XML or as flat records (EDI_DC40, EDI_DD40).

    ```yaml
    idoc: {encoding: utf-8, segments: {Z1PAYINFO: "PURPOSE:4 LIMIT:15"}}
    ```

    Records: ``payments`` (PEXR2002: canonical payments), ``documents`` (ORDERS05, INVOIC02 and their relatives: head,
    dates, references and partners by qualifier, items, sums, numbers exact) and ``idocs`` (any type: ``control`` and
    lists of segments by name, fields as texts). Flat records are taken apart by the known layouts of ORDERS, INVOIC and
    SYSTAT and those in ``segments``; the data of other segments stays one text ``SDATA`` in its place. Of payments in
    flat records the dates, references, partners and banks (E1EDK02, E1EDK03, E1EDKA1, E1EDP02, E1IDB02) are known; the
    header E1IDKU1, the amounts E1IDKU5 (or E1IDPU5) and the texts E1IDT01 have to be declared, with the widths that
    transaction WE60 prints for the release. Written are trees of the same shape as ``idocs``, for instance
    acknowledgements (SYSTAT01).
    """

    key: ClassVar[str] = "idoc"
    each_default: ClassVar[str] = "idocs"

    encoding: Annotated[Encoding, AfterValidator(_line_encoding)] = "utf-8"
    """How characters of flat records are bytes; XML says it itself."""
    segments: dict[str, str] = Field(default_factory=dict)
    """Fields of further segments of flat records: segment type -> ``NAME:width NAME:width``."""
    form: Literal["xml", "flat"] = "xml"
    """What is written; both are read."""
    names: dict[str, str] = Field(default_factory=dict)
    """External names of segments in written flat records: ``{E1STATS: E2STATS002}``; others are ``E2…`` without a
    version."""
    line_end: Literal["lf", "crlf", "none"] = "lf"
    """Written at the end of flat records."""
    max_size: Size = 500_000_000
    """Largest file."""

    @field_validator("segments")
    @classmethod
    def _spelled(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            try:
                layouts.layout(text)
            except ValueError as error:
                told = {"name": name[:30], "why": str(error)}
                raise PydanticCustomError("value_error", "the segment {name}: {why}", told) from None
        return value

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure of a control record at the beginning, or of its name in the first kilobytes of XML."""
        del name
        if head.startswith(b"EDI_DC40"):
            return 0.99
        return 0.97 if b"<EDI_DC40" in head or b"<IDOC " in head or b"<IDOC>" in head else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """One document an IDoc, called by its number; sums are those of payments, of orders and invoices the items."""
        return _inspect(source)

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _Idoc(self)


def _options(spec: IdocSpec) -> Options:
    from transforms.idoc.tree import Options  # noqa: PLC0415 - lxml is heavy

    own = {name: layouts.layout(text) for name, text in spec.segments.items()}
    return Options("utf-8" if spec.encoding == "utf-8-sig" else spec.encoding, spec.max_size, layouts.SEGMENTS | own)


class _Idoc:
    """IDocs as a format."""

    content_type = "application/xml"

    def __init__(self, spec: IdocSpec) -> None:
        self._spec = spec

    def read(self, source: BinaryIO) -> Document:
        return _IdocDocument(source, _options(self._spec))

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        from transforms.idoc.writer import Output, write  # noqa: PLC0415 - keeps the import of the spec light

        spec, reading = self._spec, _options(self._spec)
        end = {"lf": "\n", "crlf": "\r\n", "none": ""}[spec.line_end]
        write(parts, target, context, Output(spec.form == "flat", reading.encoding, reading.layouts, spec.names, end))


class _IdocDocument:
    """A file of IDocs being read."""

    def __init__(self, source: BinaryIO, options: Options) -> None:
        from transforms.idoc.tree import idocs  # noqa: PLC0415 - lxml is heavy

        self.head: dict[str, Any] = {}
        self._idocs = idocs(source, options)

    def parts(self, each: str) -> Iterator[Part]:
        """Stream ``idocs``, ``payments`` or ``documents``; an IDoc of another type than asked for is an error.

        Raises:
            Rejected: ``VAL301`` for other records; ``VAL800`` to ``VAL804``: the file as a whole is refused.
        """
        if each not in _RECORDS:
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint=f"write {', '.join(_RECORDS)}")
        for idoc in self._idocs:
            try:
                yield Part(_body(idoc, each), idoc.place)
            except Rejected as error:
                yield Part(None, idoc.place, b"", error)

    def whole(self) -> list[Any]:
        """All IDocs."""
        return [part.body for part in self.parts("idocs")]


def _body(idoc: Segment, each: str) -> dict[str, Any]:
    from transforms.idoc import documents  # noqa: PLC0415 - lxml is heavy

    if each == "idocs":
        segments = idoc.plain()
        return {"control": idoc.fields, **{name: segments[name] for name in segments if name not in idoc.fields}}
    makes, fits = {
        "payments": (documents.payment, documents.is_payment),
        "documents": (documents.document, documents.is_document),
    }[each]
    if not fits(idoc):
        text = f"{idoc.place}: an IDoc of another type than {each}"
        raise Rejected("VAL805", text, hint="write `each: idocs`, or filter by `control.IDOCTYP`", place=idoc.place)
    return makes(idoc)


def _inspect(source: BinaryIO) -> Inspection:
    from transforms._inspection import Findings, Sums  # noqa: PLC0415 - only `bus inspect` needs them
    from transforms.idoc import documents  # noqa: PLC0415 - lxml is heavy
    from transforms.idoc.tree import idocs  # noqa: PLC0415 - as above

    findings, found, kinds = Findings(), [], set()
    try:
        for idoc in idocs(source, _options(IdocSpec(encoding="iso8859-1"))):
            sums = Sums(signed=False)
            try:
                if documents.is_payment(idoc):
                    kinds.add("payments")
                    worth = documents.payment(idoc)["amount"]
                    sums.add(worth["currency"], worth["value"])
                else:
                    kinds.add("documents" if documents.is_document(idoc) else "idocs")
                    body = documents.document(idoc) if documents.is_document(idoc) else {"items": []}
                    for item in body["items"]:
                        sums.add(item["currency"] or body["currency"], item["amount"] or Decimal(0))
            except Rejected as error:
                findings.refused(error)
            found.append(InspectedDocument(idoc.fields.get("DOCNUM", ""), None, None, None, sums.totals()))
    except Rejected as error:
        findings.refused(error)
    kind = (kinds.pop() if len(kinds) == 1 else "idocs") if found else None
    return Inspection("idoc", kind, tuple(found), findings.told())
