"""One pass over a file: the documents of any message, cut into heads and records along a path, in flat memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, NamedTuple

from lxml import etree

from bus import Rejected
from transforms._plain_xml import Plain
from transforms._xml import hardened, line_of, local, namespace_of, refusal, spelled
from transforms.iso20022.envelope import DOCUMENT, HEADER, envelope_data, header_data
from transforms.iso20022.generic import ElementReader, xml_of
from transforms.iso20022.model import Element, Model, model
from transforms.iso20022.names import message_of
from transforms.iso20022.schemas import available

_BLOCK = 64 * 1024
_FIRST = 4 * 1024
_LONGEST_HEAD = 8 << 20
_OPEN, _CLOSE = b"<_>", b"</_>"
_BEGINS_WITH_HEADER = re.compile(rb"\s*<(?:[\w.-]+:)?AppHdr[\s/>]")
_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first kilobytes of a file tell.

    Attributes:
        message: full name with version.
        namespace: of the document's elements.
        is_iso: whether that is ISO's own.
        outside: ``envelope``, ``header`` and what else a body tells besides the document, where there is any.
        is_pair: header and document follow each other without anything around them.
        prefix: of the document's elements, with colon; empty for none.
        spaces: XML namespaces in scope at the document.
    """

    message: str
    namespace: str
    is_iso: bool
    outside: dict[str, Any]
    is_pair: bool
    prefix: str
    spaces: dict[str | None, str]

    @property
    def model(self) -> Model:
        """The content model of the message."""
        return model(self.message)


def beginning(file: Plain, reader: ElementReader) -> Beginning:
    """Read up to the first element of the message.

    Raises:
        Rejected: what :func:`transforms._xml.parse` raises; ``VAL403`` (no ISO 20022 message), ``VAL600`` (a
            message that girobus has no schema of), ``SEC106`` (nothing of that within 8 MB).
    """
    file.file.seek(file.start)
    is_pair = bool(_BEGINS_WITH_HEADER.match(file.file.read(_FIRST)))
    header: etree._Element | None = None
    for element in _starts(file, _OPEN if is_pair else b""):
        if local(element) == HEADER:
            header = element
        parent = element.getparent()
        if parent is not None and local(parent) == DOCUMENT:
            return _begun(parent, header, reader, is_pair=is_pair)
    text = "no element `Document` with a message in it"
    raise Rejected("VAL403", text, reason="FF01", place="root element", hint="this is no message of ISO 20022")


def _begun(
    document: etree._Element, header: etree._Element | None, reader: ElementReader, *, is_pair: bool
) -> Beginning:
    namespace = namespace_of(document)
    message, is_iso = message_of(namespace)
    if not message:
        text = "the namespace of `Document` is not one of ISO 20022"
        hint = "expected for instance `urn:iso:std:iso:20022:tech:xsd:…`"
        raise Rejected("VAL403", text, reason="FF01", place="Document", hint=hint)
    if not available(message):
        text = f"girobus has no schema of {message}"
        raise Rejected("VAL600", text, reason="FF01", place="Document", hint="ask for another version")
    outside: dict[str, Any] = {} if is_iso else {"namespace": namespace}
    if document.get(_SCHEMA_LOCATION):
        outside["schema_location"] = str(document.get(_SCHEMA_LOCATION))
    envelope = None if is_pair else envelope_data(document)
    if envelope is not None:
        outside["envelope"] = envelope
    if header is not None:
        outside["header"] = header_data(header, reader)
    prefix = spelled(document).removesuffix(DOCUMENT)
    spaces = {space: str(uri) for space, uri in document.nsmap.items()}
    return Beginning(message, namespace, is_iso, outside, is_pair, prefix, spaces)


def _starts(file: Plain, before: bytes = b"") -> Iterator[etree._Element]:
    """Elements in the order in which they begin."""
    pull = etree.XMLPullParser(events=("start",), **hardened())
    size = 0
    for block in _blocks(file, before):
        size += len(block)
        _feed(pull, block, file)
        started: Any = pull.read_events()
        for _, element in started:
            yield element
        if size > _LONGEST_HEAD:
            raise Rejected("SEC106", f"no message within the first {_LONGEST_HEAD} bytes")


def _blocks(file: Plain, before: bytes = b"") -> Iterator[bytes]:
    """The file, its first kilobytes in a small block, and an empty one at its end."""
    file.file.seek(file.start)
    if before:
        yield before
    size = _FIRST
    while block := file.file.read(size):
        yield block
        size = _BLOCK
    if before:
        yield _CLOSE
    yield b""


def _feed(pull: Any, block: bytes, file: Plain) -> None:
    try:
        pull.feed(block) if block else pull.close()
    except etree.XMLSyntaxError as error:
        raise refusal(error, b">" if block else b"", file.line - 1) from None


class Piece(NamedTuple):
    """A record, or a container that has none.

    Attributes:
        heads: the open elements from the document inwards, each without the records.
        record: None for an empty container.
        number: of the record in the file, from 1.
        error: why the record cannot be taken; then it is ``raw``.
    """

    heads: tuple[dict[str, Any], ...]
    record: Any
    number: int
    place: str
    error: Rejected | None = None
    raw: bytes = b""


class _Level:
    """An element that is open along the path."""

    __slots__ = ("element", "head", "number", "taken")

    def __init__(self, element: etree._Element, number: int) -> None:
        self.element, self.number = element, number
        self.head: dict[str, Any] | None = None
        self.taken = 0


class Passage:
    """Walks the documents of a file along a path of elements; the last of the path are the records.

    An empty path makes whole documents the records. What stands behind the records in its container (additional
    information of a statement, supplementary data) belongs to its head all the same: where there is any, the file is
    walked twice.
    """

    def __init__(self, file: Plain, begun: Beginning, path: tuple[Element, ...], reader: ElementReader) -> None:
        self._file, self._begun, self._path, self._reader = file, begun, path, reader
        space = f"{{{begun.namespace}}}"
        self._tags = [f"{space}{DOCUMENT}", *(f"{space}{e.name}" for e in path)]
        self._types = [begun.model.root.type, *(e.type for e in path)]
        self._open: list[_Level] = []
        self._done: list[etree._Element] = []
        self._counts = [0] * len(self._tags)
        self._tails: dict[tuple[int, int], dict[str, Any]] = {}
        self._collecting = False
        self.outermost: etree._Element | None = None
        """The first document, once it was seen; its ancestors stay in memory with what stands beside it."""

    def pieces(self) -> Iterator[Piece]:
        """All records and empty containers, in order.

        Raises:
            Rejected: not well-formed; ``VAL602``: a head that cannot be kept; ``VAL611``: another message behind.
        """
        if self._path and self._may_have_tails():
            self._collecting = True
            for _ in self._walk():
                pass
            self._collecting = False
            self._open, self._done, self._counts = [], [], [0] * len(self._tags)
            self.outermost = None
        yield from self._walk()

    def _may_have_tails(self) -> bool:
        """Whether any start tag but the next of its kind follows an end tag of the path; more may be found than is."""
        names = [re.escape(self._begun.prefix + e.name).encode() for e in self._path]
        pattern = re.compile(
            b"|".join(rb"(?:</%b\s*>|<%b(?:\s[^<>]*)?/>)\s*<(?!/|%b[\s/>])" % (name, name, name) for name in names)
        )
        kept = b""
        for block in _blocks(self._file):
            kept += block
            if pattern.search(kept):
                return True
            kept = kept[-256:]
        return False

    def _walk(self) -> Iterator[Piece]:
        pull = etree.XMLPullParser(events=("start", "end"), tag=[*self._tags, "{*}Document"], **hardened())
        for block in _blocks(self._file, _OPEN if self._begun.is_pair else b""):
            _feed(pull, block, self._file)
            events: Any = pull.read_events()
            for event, element in events:
                if event == "start":
                    self._begin(element)
                elif self._open and self._open[-1].element is element:
                    yield from self._end(self._open.pop())
            self._forget()

    def _begin(self, element: etree._Element) -> None:
        depth = len(self._open)
        if depth == 0:
            if element.tag != self._tags[0]:
                if local(element) == DOCUMENT:
                    self._other_document(element)
                return
            if self.outermost is None:
                self.outermost = element
        else:
            outer = self._open[-1]
            if depth >= len(self._tags) or element.tag != self._tags[depth] or element.getparent() is not outer.element:
                return
            self._take_head(outer, depth - 1)
        self._counts[depth] += 1
        self._open.append(_Level(element, self._counts[depth]))

    def _other_document(self, element: etree._Element) -> None:
        name = message_of(namespace_of(element))[0]
        if name:
            place = f"line {line_of(element, self._file.line - 1)}"
            text = f"{place}: a second message of another kind or version in the same file"
            raise Rejected("VAL611", text, reason="FF01", place=place, hint="ask the sender for one message a file")

    def _take_head(self, level: _Level, depth: int) -> None:
        """The head of a container, at the first record in it."""
        if level.head is not None:
            return
        children = list(takewhile(lambda child: child.tag != self._tags[depth + 1], level.element))
        level.taken = len(children)
        if self._collecting:  # heads are read in the second pass, tails in this one
            level.head = {}
            return
        head = self._reader.children(level.element, self._types[depth], iter(children))
        level.head = _merged(head, self._tails.get((depth, level.number), {}))

    def _end(self, level: _Level) -> Iterator[Piece]:
        depth = len(self._open)
        self._done.append(level.element)
        if depth == len(self._path):
            if not self._collecting:
                yield self._record(level)
            return
        if level.head is None:
            if self._collecting:
                return
            children: Iterator[etree._Element] = iter(level.element)
            level.head = self._reader.children(level.element, self._types[depth], children)
            heads = (*self._heads(), level.head)
            yield Piece(heads, None, 0, self._reader.place(level.element))
            return
        behind = [c for c in islice(level.element, level.taken, None) if c.tag != self._tags[depth + 1]]
        if self._collecting and behind:
            tail = self._reader.children(level.element, self._types[depth], iter(behind))
            self._tails[(depth, level.number)] = tail
        elif behind and (depth, level.number) not in self._tails:
            place = self._reader.place(behind[0])
            text = f"{place}: it stands behind the records, spelled in another way than they"
            raise Rejected("VAL602", text, reason="FF01", place=place, hint="ask the sender for a valid file")

    def _heads(self) -> tuple[dict[str, Any], ...]:
        return tuple(level.head or {} for level in self._open)

    def _record(self, level: _Level) -> Piece:
        element = level.element
        heads = self._heads()
        line = line_of(element, self._file.line - 1)
        named = f"{local(element)} {level.number}"
        place = f"line {line}, {named}" if line else named
        try:
            return Piece(heads, self._reader.read(element, self._types[-1]), level.number, place)
        except Rejected as error:
            return Piece(heads, None, level.number, place, error, xml_of(element).encode())

    def _forget(self) -> None:
        """Take finished elements out of the tree, but for last children: the parser may still write behind them."""
        opened = [level.element for level in self._open]
        kept = []
        for element in self._done:
            parent = element.getparent()
            if parent is None or element is self.outermost:
                continue
            if element.getnext() is not None:
                parent.remove(element)
            elif element.tag == self._tags[0] or any(parent is one for one in opened):
                kept.append(element)
        self._done = kept


def _merged(head: dict[str, Any], tail: dict[str, Any]) -> dict[str, Any]:
    merged = dict(head)
    for name, value in tail.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(value, list) and isinstance(merged[name], list):
            merged[name] = [*merged[name], *value]
        else:
            raise Rejected("VAL602", f"{name}: it stands twice where the schema has it once", place=name, reason="FF01")
    return merged
