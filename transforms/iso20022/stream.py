"""A message as a stream of containers and records, in memory that does not grow with the file.

The file is cut at end tags of records; each stretch is put between the elements that are open there, parsed, and, where
asked for, validated against the XML Schema as a small document of its own. What only the whole can tell (control sums,
balances) is checked by the readers. A stretch whose records are all of known shapes is well-formed
(:mod:`transforms.iso20022.shapes`) and, if all values are of their types, valid: libxml2 is not asked about it, and no
tree of it is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import msgspec
from lxml import etree

from bus import Rejected
from transforms._ahead import one_ahead
from transforms._plain_xml import Plain
from transforms._xml import (
    broken_encoding,
    is_text,
    line_of,
    listener,
    must_be_well_formed,
    namespace_of,
    parse,
    parser,
    spelled,
)
from transforms.iso20022.model import Type, model, type_at
from transforms.iso20022.names import FAMILIES, message_of
from transforms.iso20022.opening import Opening, outside
from transforms.iso20022.shapes import Found, Node, Shapes, Values

_BLOCK = 128 * 1024
_BLOCK_OF_TREES = 256 * 1024
_LONGEST_RECORD = 32 << 20


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry or transaction, or the head of a container, as shape and values."""

    node: Node
    values: Values
    number: int
    """Of the record, or of the container, in the file, from 1; 0 where it makes no sense."""
    line: int
    """From 1; 0 when not known."""
    source: etree._Element | Segment
    """The element, or the segment in which it is found should somebody want it …"""
    at: int = 0
    """… and which of its records it is, from 0."""
    details: list[tuple[Node, Values]] = []
    """Parts of a record that was not read from its text, each for itself, because there may be thousands."""

    @property
    def element(self) -> etree._Element:
        """The element in the parsed tree."""
        source = self.source
        return source.record(self.at) if isinstance(source, Segment) else source

    def place(self) -> str:
        """For people: ``line 17, Ntry 3``."""
        named = f"{self.node.name} {self.number}" if self.number else self.node.name
        return f"line {self.line}, {named}" if self.line else named

    def raw(self) -> bytes:
        """The record as XML."""
        return etree.tostring(self.element, with_tail=False)


class Event(NamedTuple):
    """What comes next: ``message`` and ``container`` begin something, ``end`` says that a container is over.

    ``records`` are those of the container that is open; its own head is the only record of a ``container`` event, and
    the message element that of a ``message`` event.
    """

    kind: Literal["message", "container", "records", "end"]
    records: list[Record]


class Segment:
    """A well-formed stretch of the file inside the elements that are open around it.

    Attributes:
        text: the stretch alone.
        line: of the file, on which it begins.
        line_offset: what to add to lines in ``root`` to have those of the file.
        own_from: first line of ``root`` that is not a repetition of what earlier segments had.
        is_inner: it begins and ends with a record, and others go before it.
        record_tag: of its records.
        known: its records, where all are of known shapes and there is nothing else.
        is_valid: libxml2 found nothing in it, its envelope included, that is against the XML Schema.
    """

    __slots__ = (
        "_document",
        "_parser",
        "_root",
        "is_inner",
        "is_valid",
        "known",
        "line",
        "line_offset",
        "own_from",
        "record_tag",
        "text",
    )  # fmt: skip

    def __init__(self, document: bytes, using: etree.XMLParser, line: int, before: int) -> None:
        """From a whole small document, of which the first ``before`` lines are a repetition."""
        self.record_tag = "*"
        self.line, self.line_offset = line, line - 1 - before
        self.own_from = before + 1 if before else 0
        self.text = ""
        self.is_inner = self.is_valid = False
        self.known: list[Found] | None = None
        self._document, self._parser = document, using
        self._root: etree._Element | None = None

    @property
    def root(self) -> etree._Element:
        """The whole small document, parsed when it is asked for.

        Raises:
            Rejected: see :func:`transforms._xml.parse`.
        """
        if self._root is None:
            self._root = parse(self._document, self._parser, self.line_offset)
        return self._root

    def record(self, number: int) -> etree._Element:
        """One of its records by its number from 0."""
        return next(islice(self.root.iter(self.record_tag), number, None))


Check = Callable[[Segment], None]
"""Looks at each segment before its records are handed out, unless they are known to be right; may raise Rejected."""
Known = Callable[[str], list[Found] | None]
"""The records of a text that has nothing else and need not be parsed."""


class Cutter:
    """Cuts the file at end tags of records and knows the elements that are open there.

    Attributes:
        end: the end tag of a record.
        closing: the end tags of all elements that are open between two records.
        envelope: the elements that are open after the last stretch: head of the message, head of the container.
        last_container: where in the last stretch a container began last; -1 for none.
    """

    def __init__(self, file: Plain, begun: Opening, record: str, *, trees: bool, known: Known | None = None) -> None:
        """With ``trees`` a tree is made of every stretch whose records are not ``known`` to be right."""
        self._trees, self._known = trees, known
        self._file, self._line = file, file.line
        self.end = f"</{record}>".encode()
        self.closing = "".join(f"</{tag}>" for tag in reversed(begun.open_tags)).encode()
        self._container_start = re.compile(rb"<" + re.escape(begun.open_tags[-1].encode()) + rb"(?=[\s/>])")
        self._record_start = re.compile(rb"<" + re.escape(record.encode()) + rb"(?=[\s/>])")
        self._message_head: bytes | None = None
        self.envelope, self.last_container = b"", -1
        self._parser, self._listener = parser(), listener()

    def segments(self) -> Iterator[Segment]:
        """All of the file; every segment but the only one of a small file begins and ends with a record."""
        source = self._file.file
        source.seek(self._file.start)
        kept = bytearray()  # grows in place: a record without an end is a hostile one, and may be 32 MB
        enough = 0
        wrong: Rejected | None = None
        size = _BLOCK_OF_TREES if self._trees else _BLOCK
        while block := source.read(size):
            kept += block
            # The last record is kept back, so that what follows it is never without one: schemas want one.
            unseen = max(len(kept) - len(block) - len(self.end), 0) if not enough else 0
            last = kept.rfind(self.end, unseen) if len(kept) >= enough else -1
            cut = kept.rfind(self.end, 0, last) if last > 0 else -1
            if cut > 0:
                cut += len(self.end)
                try:
                    segment = self._segment(bytes(kept[:cut]), self.closing)
                except Rejected as error:
                    # The end tag may have been that of an element within a record; twice as much text tells.
                    wrong, enough = error, 2 * len(kept)
                else:
                    yield segment
                    del kept[:cut]
                    wrong, enough = None, 0
            if len(kept) > _LONGEST_RECORD:
                text = f"line {self._line}: one record is larger than {_LONGEST_RECORD} bytes"
                raise wrong or Rejected("SEC107", text)
        yield self._segment(bytes(kept), b"")

    def _segment(self, stretch: bytes, closing: bytes) -> Segment:
        before = self.envelope + b"\n" if self.envelope else b""
        document = b"".join((before, stretch, closing))
        segment = Segment(document, self._parser, self._line, before.count(b"\n"))
        segment.is_inner = bool(before and closing)
        text = _text(stretch)
        if text is not None and segment.is_inner and self._known is not None and is_text(stretch):
            segment.known = self._known(text)
        if segment.known is None:
            if segment.is_inner and not self._trees:
                must_be_well_formed(document, self._listener, segment.line_offset)
            else:
                _ = segment.root
        if text is None:
            raise broken_encoding(self._line)
        segment.text = text
        if segment.known:  # nothing but records: what is open stays open
            last = segment.known[-1]
            self._line += last.lines + text.count("\n", last.begin)
            return segment
        self._line += stretch.count(b"\n")
        if closing:
            self.advance(stretch)
        return segment

    def advance(self, stretch: bytes) -> None:
        """See what is open after the next stretch."""
        begin = None
        for begin in self._container_start.finditer(stretch):
            if self._message_head is None:
                self._message_head = stretch[: begin.start()]
        self.last_container = begin.start() if begin else -1
        if begin is not None:
            record = self._record_start.search(stretch, begin.end())
            end = record.start() if record else begin.end()
            self.envelope = (self._message_head or b"") + stretch[begin.start() : end]


def _text(stretch: bytes) -> str | None:
    """The text with line ends as XML 1.0 §2.11 wants them; None when the bytes are no UTF-8."""
    try:
        text = stretch.decode()
    except UnicodeDecodeError:
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def segments(file: Plain, begun: Opening, *, trees: bool = True, known: Known | None = None) -> Iterator[Segment]:
    """The stretches of a file, see :class:`Cutter`.

    Raises:
        Rejected: see :func:`transforms._xml.parse`; ``SEC107`` (a record over 32 MB).
    """
    if begun.open_tags:
        yield from Cutter(file, begun, record_name(begun), trees=trees, known=known).segments()
        return
    file.file.seek(file.start)
    yield Segment(file.file.read(), parser(), file.line, 0)


def record_name(begun: Opening) -> str:
    """Name of the record element with the prefix of this file."""
    prefix = spelled(begun.head).rpartition(":")[0]
    return f"{prefix}:{begun.family.record}" if prefix else begun.family.record


def events(
    file: Plain, begun: Opening, check: Check | None = None, before: int = 0, *, ahead: bool = True
) -> Iterator[Event]:
    """The whole message, in order; ``before`` records of it are known already, where it is the rest of another.

    Another thread parses the next stretch while one is used that was parsed too, for libxml2 does not hold up Python;
    ``ahead`` is false when the other cores have work.

    Raises:
        Rejected: see :func:`transforms._xml.parse`; ``SEC101`` (too deep), ``SEC107`` (a record over 32 MB).
    """
    record = record_name(begun)
    shapes = Shapes(record, len(begun.open_tags) + 1)
    reader = _Reader(begun, record, shapes, before) if begun.open_tags else None
    if check is None:
        found = segments(file, begun, trees=False, known=shapes.known)
    else:
        found = _Checked(begun, check, shapes).segments(file)
    for segment in one_ahead(found, lambda segment: segment.known is None) if ahead else found:
        if reader is not None:
            yield from reader.read(segment)
    if reader is None:
        yield Event("message", [_head(begun.head)])
    else:
        yield from reader.ended()


class _Checked:
    """Segments that were looked at, or need not be, because all records in them are known to keep the XML Schema."""

    def __init__(self, begun: Opening, check: Check, shapes: Shapes) -> None:
        self._begun, self._check, self._shapes = begun, check, shapes
        # Until something is found all shapes are those of valid records, and what is open around them is valid too.
        self._is_valid = True

    def segments(self, file: Plain) -> Iterator[Segment]:
        for segment in segments(file, self._begun, trees=True, known=self._known):
            if segment.known is None:
                self._check(segment)
                self._is_valid = self._is_valid and segment.is_valid
            yield segment

    def _known(self, text: str) -> list[Found] | None:
        record = self._record_type() if self._is_valid else None
        return self._shapes.known(text, record) if record is not None else None

    def _record_type(self) -> Type | None:
        """The type of the records by the elements that are open around them."""
        names = [tag.rpartition(":")[2] for tag in self._begun.open_tags]
        _, *inside = names[names.index("Document") :] if "Document" in names else [""]
        message = model(self._begun.message)
        return type_at(message.root.type, "/".join([*inside, self._begun.family.record])) if inside else None


def _head(element: etree._Element) -> Record:
    return Record(Node(str(element.tag)), ("",), 0, line_of(element), element)


class _Reader:
    """Turns segments into events."""

    def __init__(self, begun: Opening, record: str, shapes: Shapes, before: int) -> None:
        space = f"{{{begun.namespace}}}" if begun.namespace else ""
        self._message_tag = str(begun.head.tag)
        self._container_tag = space + begun.family.container if begun.has_container else ""
        self._family, self._namespace = begun.family, begun.namespace
        self._record_tag = space + begun.family.record
        self._end_tag = f"</{record}>"
        self._shapes = shapes
        self._number, self._containers = before, 0
        self._is_open = False
        self._is_first = True

    def read(self, segment: Segment) -> Iterator[Event]:
        """The events of one segment."""
        records = self._by_text(segment) if segment.is_inner else None
        if records is not None:
            yield Event("records", records)
            return
        containers = []
        for message in segment.root.iter(self._message_tag):
            within = message.iterchildren(self._container_tag) if self._container_tag else (message,)
            containers.append((message, [(c, list(c.iterchildren(self._record_tag))) for c in within]))
        total = sum(len(elements) for _, inside in containers for _, elements in inside)
        texts = segment.text.split(self._end_tag)
        # Equal numbers mean that text and tree speak of the same records, until a text turns out not to be one.
        agree = len(texts) == total + 1
        if not agree and sum(1 for _ in segment.root.iter(self._record_tag)) != total:
            raise outside(self._family, 0)
        if "Document" in segment.text:
            self._no_other_message(segment)
        pieces = iter(texts if agree else ())
        for place, (message, inside) in enumerate(containers):
            begins = place > 0 or self._is_first
            if begins:
                yield from self.ended()
                yield Event("message", [_head(message)])
            for inner, (container, elements) in enumerate(inside):
                if begins or inner:
                    yield from self.ended()
                    yield Event("container", [self._container(container, segment.line_offset)])
                if elements:
                    yield Event("records", self._records(elements, pieces, segment.line_offset))
        self._is_first = False

    def _by_text(self, segment: Segment) -> list[Record] | None:
        """The records of a segment that has nothing else; None when that cannot be told from its text."""
        text = segment.text
        known = segment.known or self._shapes.learned(text)
        if known is None:
            return None
        segment.record_tag = self._record_tag
        line, number = segment.line, self._number + 1
        self._number += len(known)
        return [
            Record(node, values, number + at, line + lines, segment, at)
            for at, (node, values, _, lines) in enumerate(known)
        ]

    def _no_other_message(self, segment: Segment) -> None:
        """Nothing that counts may stand where the events do not come by."""
        for document in segment.root.iter("{*}Document"):
            name = namespace_of(document)
            if name != self._namespace and message_of(name)[0][:8] in FAMILIES:
                line = line_of(document, segment.line_offset)
                raise Rejected(
                    "VAL417",
                    f"line {line}: a second message of another kind or version in the same file",
                    reason="FF01",
                    place=f"line {line}",
                    hint="ask the sender for one message a file",
                )

    def ended(self) -> Iterator[Event]:
        """Close the container that is open."""
        if self._is_open:
            self._is_open = False
            yield Event("end", [])

    def _container(self, element: etree._Element, line_offset: int) -> Record:
        self._is_open = True
        self._containers += 1
        node, values, _ = self._shapes.walk(element, self._family.record)
        return Record(node, values, self._containers, line_of(element, line_offset), element)

    def _records(self, elements: list[etree._Element], pieces: Iterator[str], offset: int) -> list[Record]:
        read, found = self._shapes.read, []
        for number, element in enumerate(elements, self._number + 1):
            text = next(pieces, None)
            known = read(text) if text is not None else None
            if known is not None:
                found.append(Record(known[0], known[1], number, line_of(element, offset), element))
                continue
            if text is not None and not self._shapes.is_one(text):
                for _ in pieces:  # the rest of the segment is walked too: its texts may not be its records
                    pass
            node, values, apart = self._shapes.walk(element, self._family.detail)
            details = [self._shapes.walk(detail)[:2] for detail in apart]
            found.append(Record(node, values, number, line_of(element, offset), element, 0, details))
        self._number += len(elements)
        return found
