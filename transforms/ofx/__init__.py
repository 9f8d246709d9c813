"""OFX, the statement download of banks and card issuers: versions 1 (SGML) and 2 (XML) are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from bus import Document, Format, FormatSpec, InspectedDocument, Inspection, Part, Rejected, Size, StepResources
from transforms._lines import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bus import WriteContext
    from transforms.ofx.statements import Statement

_RECORDS = ("entries", "statements")
_SIGNS = re.compile(rb"OFXHEADER\s*[:=]|<OFX>", re.IGNORECASE)


class OfxSpec(FormatSpec):
    """Open Financial Exchange: statements of bank accounts and credit cards; investment statements are not read.

    ```yaml
    ofx: {duplicates: keep}
    ```

    Records: ``entries`` (canonical entries; the bank's FITID is the ``reference``) and ``statements`` (the ledger
    balance is the closing balance; OFX tells no opening balance, so there is nothing to prove it by). The encoding is
    the one that the file declares. Days are those of the time zone that a date names.
    """

    key: ClassVar[str] = "ofx"
    each_default: ClassVar[str] = "entries"

    encoding: Encoding | Literal[""] = ""
    """How characters of a version 1 file are bytes, where its header is wrong about it; empty = as the file says."""
    duplicates: Literal["refuse", "keep"] = "refuse"
    """What becomes of a transaction whose id (FITID) stood in the same statement before."""
    max_size: Size = 64_000_000
    """Largest file that is read."""

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """Sure when the header says OFX."""
        del name
        return 0.97 if _SIGNS.search(head[:2048]) else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """One document a statement; ids that stand twice and entries that correct others are told."""
        return _inspect(source)

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader."""
        del resources
        return _Ofx(self)


class _Ofx:
    """OFX as a format."""

    content_type = "application/x-ofx"

    def __init__(self, spec: OfxSpec) -> None:
        self._spec = spec

    def read(self, source: BinaryIO) -> Document:
        return _OfxDocument(source, self._spec)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        del parts, target, context
        raise Rejected("VAL864", "OFX files are read only", hint="write camt.053 or CSV")


class _OfxDocument:
    """An OFX file being read."""

    def __init__(self, source: BinaryIO, spec: OfxSpec) -> None:
        from transforms.ofx.syntax import events  # noqa: PLC0415 - lxml is heavy

        self.head: dict[str, Any] = {}
        self._events = events(source, spec.encoding, spec.max_size)
        self._keep = spec.duplicates == "keep"

    def parts(self, each: str) -> Iterator[Part]:
        """Stream ``entries`` or ``statements``.

        Raises:
            Rejected: ``VAL301`` for other records; the file as a whole is refused, perhaps only at its end.
        """
        from transforms.ofx.statements import place_of, statements  # noqa: PLC0415 - lxml is heavy

        if each not in _RECORDS:
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint=f"write {' or '.join(_RECORDS)}")
        for statement, event in statements(self._events):
            if event.kind == "end":
                statement.end(event)
                if each == "statements":
                    yield Part(statement.body, statement.place)
                continue
            place = place_of(event.line, "STMTTRN")
            try:
                body = statement.entry(event, twice=self._keep)
            except Rejected as error:
                if each == "entries":
                    yield Part(None, place, b"", error)
                continue
            if each == "entries":
                yield Part(body, place)

    def whole(self) -> list[Any]:
        """All statements."""
        return [part.body for part in self.parts("statements")]


def _inspect(source: BinaryIO) -> Inspection:
    from transforms._inspection import Findings, Sums  # noqa: PLC0415 - only `bus inspect` needs them
    from transforms.ofx.statements import place_of, statements, text  # noqa: PLC0415 - lxml is heavy
    from transforms.ofx.syntax import events  # noqa: PLC0415 - as above

    findings, sums = Findings(), Sums(signed=True)
    documents: list[InspectedDocument] = []
    begun = False
    try:
        for statement, event in statements(events(source, "", 1 << 30)):
            begun = True
            if event.kind == "end":
                statement.end(event)
                documents.append(_document(statement, sums))
                sums = Sums(signed=True)
                continue
            place = place_of(event.line, "STMTTRN")
            try:
                signed = statement.entry(event, twice=False)["signed"]
                sums.add(signed["currency"], signed["value"])
            except Rejected as error:
                findings.refused(error)
            if text(event.fields, "CORRECTFITID"):
                findings.add("VAL862", "info", place, "corrects or deletes an earlier transaction")
    except Rejected as error:
        findings.refused(error)
    return Inspection("ofx", "statement" if begun else None, tuple(documents), findings.told())


def _document(statement: Statement, sums: Any) -> InspectedDocument:
    account, closing = statement.account, statement.body["closing"]
    told = closing and {
        "amount": closing["amount"]["value"],
        "currency": closing["amount"]["currency"],
        "date": closing["date"],
        "type": closing["type"],
    }
    number = account.get("iban") or account.get("other")
    return InspectedDocument(statement.body["id"], number, None, told, sums.totals())
