"""The reading side of ``as: json``: a file of any message as plain data, whole or record by record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bus import Finding, Part, Rejected
from transforms._plain_xml import plain
from transforms.iso20022.envelope import envelope_data
from transforms.iso20022.generic import ElementReader
from transforms.iso20022.names import USUAL
from transforms.iso20022.passage import Beginning, Passage, Piece, beginning
from transforms.iso20022.validation import violations

if TYPE_CHECKING:
    from transforms.iso20022.document import ReadOptions

DOCUMENTS = "documents"


class GenericDocument:
    """A message being read as plain data.

    Attributes:
        head: ``message`` (such as ``camt.053.001.08``) and, where the file has them, ``namespace`` (a bank's own),
            ``schema_location``, ``envelope`` and ``header``.
        findings: elements and attributes that the schema does not know; violations with ``schema: report``.
    """

    def __init__(self, source: BinaryIO, options: ReadOptions) -> None:
        """Reads the first kilobytes.

        Raises:
            Rejected: see :func:`transforms.iso20022.passage.beginning`; ``VAL404`` (another message than wanted).
        """
        self._options = options
        self._file = plain(source, options.max_size)
        self._reader = ElementReader(self._file.line - 1)
        self.begun: Beginning = beginning(self._file, self._reader)
        _check_message(self.begun, options.message)
        self.head: dict[str, Any] = {"message": self.begun.message, **self.begun.outside}

    @property
    def findings(self) -> list[Finding]:
        """See the class."""
        return self._reader.findings

    def parts(self, each: str) -> Iterator[Part]:
        """Whole ``documents``, or the elements of a name that may repeat: ``Ntry``, ``PmtInf/CdtTrfTxInf``.

        Raises:
            Rejected: ``VAL609`` (no such element), ``VAL405`` (schema) and what
                :meth:`transforms.iso20022.passage.Passage.pieces` raises, perhaps only at the end.
        """
        if each in ("", USUAL, DOCUMENTS):
            yield from self._documents(Passage(self._file, self.begun, (), self._reader))
            return
        path = self.begun.model.path(each)
        if not path:
            known = ", ".join(f"`{name}`" for name in (DOCUMENTS, *self.begun.model.repeating()))
            text = f"{self.begun.message} has no repeating element `{each[:60]}`"
            raise Rejected("VAL609", text, hint=f"write for instance {known}")
        self._validate()
        names = tuple(element.name for element in path)
        passage = Passage(self._file, self.begun, path, self._reader)
        for piece in passage.pieces():
            if piece.error is not None:
                yield Part(None, piece.place, piece.raw, piece.error)
            elif piece.record is not None:
                yield Part({**self.head, **along(names, piece)}, piece.place)
        self._tell_what_is_behind(passage)

    def pieces(self, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """All of the message along a path, containers without records included, for writing it again.

        Raises:
            Rejected: as :meth:`parts`; a record that cannot be kept refuses all.
        """
        path = self.begun.model.path("/".join(names)) if names else ()
        if not path:
            for part in self.parts(DOCUMENTS):
                if part.error is not None:
                    raise part.error
                yield part.body
            return
        self._validate()
        chain = tuple(element.name for element in path)
        passage = Passage(self._file, self.begun, path, self._reader)
        for piece in passage.pieces():
            if piece.error is not None:
                raise piece.error
            yield {**self.head, **along(chain, piece)}
        self._tell_what_is_behind(passage)

    def whole(self) -> Any:
        """The only document of the file, with all of its envelope.

        Raises:
            Rejected: ``VAL611``: there are several.
        """
        passage = Passage(self._file, self.begun, (), self._reader)
        found = list(self._documents(passage))
        if len(found) != 1:
            raise Rejected("VAL611", f"the file has {len(found)} documents", hint="split it: `each: documents`")
        (part,) = found
        if part.error is not None:
            raise part.error
        body: dict[str, Any] = part.body
        if "envelope" in body and passage.outermost is not None:
            body["envelope"] = envelope_data(passage.outermost)
        return body

    def _tell_what_is_behind(self, passage: Passage) -> None:
        if passage.outermost is not None and envelope_data(passage.outermost) != self.head.get("envelope"):
            text = "the envelope has elements behind the document, which records do not carry"
            self.findings.append(Finding("VAL613", "warning", "envelope", text))

    def _documents(self, passage: Passage) -> Iterator[Part]:
        self._validate()
        for piece in passage.pieces():
            if piece.error is not None:
                yield Part(None, piece.place, piece.raw, piece.error)
            else:
                yield Part({**self.head, "document": piece.record}, piece.place)

    def _validate(self) -> None:
        wanted, begun = self._options.schema, self.begun
        if wanted == "off" or (wanted == "report" and not begun.is_iso):
            return
        if not begun.is_iso:
            text = "the namespace is not ISO's own, so there is no XML Schema to validate with"
            raise Rejected("VAL404", text, hint="set `validate: off` for this sender")
        found = violations(self._file, begun.message, begun.spaces, begun.prefix)
        if wanted == "report":
            self.findings.extend(found)
        elif found:
            text = f"{found[0].place}: {found[0].message}"
            raise Rejected("VAL405", text, reason="FF01", place=found[0].place, findings=tuple(found))


def along(names: tuple[str, ...], piece: Piece) -> dict[str, Any]:
    """The heads of a piece under the names of their elements, and the record under its own."""
    found: dict[str, Any] = dict(zip(names, piece.heads[1:], strict=False))
    if piece.record is not None:
        found[names[-1]] = piece.record
    return found


def _check_message(begun: Beginning, wanted: str) -> None:
    if not wanted:
        return
    exact = wanted.count(".") > 1
    if (begun.message != wanted or not begun.is_iso) if exact else begun.message[:8] != wanted:
        variant = "" if begun.is_iso else " (a bank's own variant)"
        text = f"the file is a {begun.message}{variant}, not a {wanted}"
        raise Rejected("VAL404", text, reason="FF01", hint="leave `message` out to take others")
