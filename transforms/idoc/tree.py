"""IDocs as trees of segments, read one after the other from XML or from flat records."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from lxml import etree

from bus import Rejected
from transforms._lines import Opened, Readable, blocks
from transforms._plain_xml import plain
from transforms._xml import children, hardened, line_of, local, refusal, too_deep
from transforms.idoc import segments as layouts

_BLOCK = 1 << 16
_MOST_SEGMENTS = 200_000
_MOST_DEPTH = 64
_LONGEST_LINE = 100_000

Layouts = Mapping[str, tuple[tuple[str, int, int], ...]]


class Options(NamedTuple):
    """How to read; ``layouts`` are the known segments of flat records."""

    encoding: str
    max_size: int
    layouts: Layouts


@dataclass(slots=True)
class Segment:
    """One segment: its fields by name, the segments below it; ``place`` says where it stands."""

    name: str
    place: str
    fields: dict[str, str] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)

    def all(self, name: str) -> list[Segment]:
        """The segments of that name right below."""
        return [found for found in self.segments if found.name == name]

    def plain(self) -> dict[str, Any]:
        """Fields, and lists of segments by their names."""
        body: dict[str, Any] = dict(self.fields)
        for found in self.segments:
            body.setdefault(found.name, []).append(found.plain())
        return body


def idocs(source: BinaryIO, options: Options) -> Iterator[Segment]:
    """Every IDoc of a file; its fields are those of the control record, its name is the basic type.

    Raises:
        Rejected: ``VAL800`` to ``VAL805``; ``VAL302`` (empty); what the XML reader raises.
    """
    head = source.read(64)
    if not head.strip():
        raise Rejected("VAL302", "the file is empty", hint="ask the sender for the file again")
    source.seek(-len(head), 1)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return _from_xml(source, options)
    return _from_records(source, options)


def refused(code: str, place: str, message: str, hint: str = "") -> Rejected:
    """A refusal with its place."""
    return Rejected(code, f"{place}: {message}", hint=hint, reason="FF01", place=place)


# ---------------------------------------------------------------- XML


def _from_xml(source: BinaryIO, options: Options) -> Iterator[Segment]:
    file = plain(source, options.max_size)
    file.file.seek(file.start)
    pull = etree.XMLPullParser(events=("start", "end"), **hardened())
    found, count = False, 0
    while True:
        block = file.file.read(_BLOCK)
        try:
            pull.feed(block) if block else pull.close()
        except etree.XMLSyntaxError as error:
            raise refusal(error, b">" if block else b"", file.line - 1) from None
        happened: Any = pull.read_events()
        for action, element in happened:
            count += 1
            if count > _MOST_SEGMENTS * 100:
                raise refused("VAL803", "file", "more elements than any IDoc has")
            if action == "end" and local(element) == "IDOC":
                found = True
                yield _idoc(element, file.line - 1)
                count = 0
                element.clear()
        if not block:
            break
    if not found:
        raise refused("VAL800", "line 1", "no element IDOC", "the file is of another format")


def _idoc(element: etree._Element, offset: int) -> Segment:
    place = f"line {line_of(element, offset)}, IDOC"
    controls = list(children(element, "EDI_DC40"))
    if len(controls) != 1:
        raise refused("VAL801", place, "an IDoc has one control record EDI_DC40")
    control = _segment(controls[0], offset, 1)
    idoc = Segment(control.fields.get("IDOCTYP", ""), place, control.fields)
    idoc.segments = [_segment(child, offset, 1) for child in element if child is not controls[0] and local(child)]
    return idoc


def _segment(element: etree._Element, offset: int, depth: int) -> Segment:
    """A segment of XML: elements with elements or the attribute SEGMENT are segments, the others fields."""
    if depth > _MOST_DEPTH:
        raise too_deep(line_of(element, offset))
    segment = Segment(local(element), f"line {line_of(element, offset)}, {local(element)}")
    for child in element:
        if not local(child):
            continue
        if len(child) or child.get("SEGMENT") is not None:
            segment.segments.append(_segment(child, offset, depth + 1))
        else:
            segment.fields[local(child)] = (child.text or "").strip()
    return segment


# ---------------------------------------------------------------- flat records


def _from_records(source: BinaryIO, options: Options) -> Iterator[Segment]:
    idoc: Segment | None = None
    open_segments: dict[str, Segment] = {}
    for place, text in _records(source, options):
        if text.startswith("EDI_DC40"):
            if idoc is not None:
                yield idoc
            fields = _fields(text, layouts.CONTROL)
            idoc, open_segments = Segment(fields["IDOCTYP"], place, fields), {}
        elif idoc is None:
            raise refused("VAL800", place, "the file does not begin with a control record EDI_DC40")
        else:
            _add(text, place, idoc, open_segments, options.layouts)
    if idoc is not None:
        yield idoc


def _add(text: str, place: str, idoc: Segment, known: dict[str, Segment], defined: Layouts) -> None:
    """A data record goes below the one whose number it names; 0 is the IDoc itself."""
    head = _fields(text, layouts.HEAD)
    if head["DOCNUM"].lstrip("0") != idoc.fields["DOCNUM"].lstrip("0"):
        raise refused("VAL802", place, "the record belongs to another IDoc than its control record")
    if head["SEGNUM"] in known or len(known) >= _MOST_SEGMENTS:
        raise refused("VAL803", place, "a segment number stands twice, or there are too many segments")
    name = layouts.usual_name(head["SEGNAM"])
    data = text[layouts.HEAD_LENGTH :]
    segment = Segment(name, f"{place}, {name}")
    fields = defined.get(name)
    if fields is None:
        segment.fields = {"SDATA": data.rstrip()}
    else:
        segment.fields = {name: value for name, value in _fields(data, fields).items() if value}
    parent = idoc if not head["PSGNUM"].strip("0") else known.get(head["PSGNUM"])
    if parent is None:
        raise refused("VAL803", place, "the segment above (PSGNUM) does not stand before")
    parent.segments.append(segment)
    known[head["SEGNUM"]] = segment


def _fields(text: str, fields: tuple[tuple[str, int, int], ...]) -> dict[str, str]:
    return {name: text[first:last].strip() for name, first, last in fields}


def _records(source: BinaryIO, options: Options) -> Iterator[tuple[str, str]]:
    """Records as (place, text): lines, or 524 characters of control and 1063 of data without line ends."""
    opened = Opened(source, bom_allowed=True)
    first = opened.read(2_000)
    carried = _Again(first, opened)
    if b"\n" in first or b"\r" in first:
        lines = chain.from_iterable(blocks(carried, _LONGEST_LINE))
        for number, raw in enumerate(lines, 1):
            if raw.strip(b"\r\n\x1a "):
                yield f"line {number}", _text(raw.rstrip(b"\r\n"), f"line {number}", options.encoding)
        return
    yield from _unbroken(carried, options.encoding)


def _unbroken(source: Readable, encoding: str) -> Iterator[tuple[str, str]]:
    """Records that follow each other; their lengths are in characters, whatever bytes those have."""
    decoder = codecs.getincrementaldecoder(encoding)()
    text, number, ended = "", 0, False
    while True:
        wanted = layouts.CONTROL_LENGTH if text.startswith("EDI_DC40") else layouts.DATA_LENGTH
        while len(text) < max(wanted, len("EDI_DC40")) and not ended:
            data = source.read(_BLOCK)
            ended = not data
            try:
                text += decoder.decode(data, final=ended)
            except UnicodeDecodeError:
                place = f"record {number + 1}"
                raise refused("VAL306", place, f"bytes that are no {encoding}", "declare what is sent") from None
            wanted = layouts.CONTROL_LENGTH if text.startswith("EDI_DC40") else layouts.DATA_LENGTH
        if not text.strip("\x1a "):
            return
        number += 1
        if len(text) < wanted:
            message = f"{len(text)} characters instead of {wanted}"
            raise refused("VAL804", f"record {number}", message, "the file is cut off")
        yield f"record {number}", text[:wanted]
        text = text[wanted:]


class _Again:
    """A stream of which the first bytes were read already."""

    def __init__(self, first: bytes, rest: Readable) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        """As a stream's ``read``."""
        if self._first:
            size = len(self._first) if size < 0 else size
            found, self._first = self._first[:size], self._first[size:]
            return found
        return self._rest.read(size)


def _text(raw: bytes, place: str, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise refused("VAL306", place, f"bytes that are no {encoding}", "declare what is sent") from None
