"""OFX as a stream of statements and transactions: version 2 is XML, version 1 SGML whose fields have no end tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from typing import Any, BinaryIO, Literal, NamedTuple

from lxml import etree

from bus import Rejected
from transforms._plain_xml import plain
from transforms._xml import MOST_DEPTH, doctype_refused, hardened, line_of, local, refusal, too_deep

_BLOCK = 1 << 16
_LONGEST_HEADER = 4096
_HEADER = re.compile(
    r"(ENCODING|CHARSET):[ \t]*([\w.-]*?)[ \t]*(?=CHARSET:|COMPRESSION:|OLDFILEUID:|\s|$)", re.IGNORECASE
)
_TOKEN = re.compile(r"<(/?)([A-Za-z][\w.-]*)\s*>([^<]*)")
_CHARSETS = {"1252": "cp1252", "ISO-8859-1": "cp1252", "8859-1": "cp1252", "NONE": "cp1252", "": "cp1252"}
_STATEMENTS = ("STMTRS", "CCSTMTRS")

Fields = dict[str, Any]
"""An aggregate: element name -> text or aggregate."""


class Event(NamedTuple):
    """``status`` (of the server), ``begin`` and ``end`` of a statement, ``entry``; ``line`` is 0 when not known."""

    kind: Literal["status", "begin", "entry", "end"]
    fields: Fields
    line: int


def malformed(place: str, message: str, hint: str = "ask the sender for the file again") -> Rejected:
    """The refusal of what is no OFX."""
    return Rejected("VAL855", f"{place}: {message}", hint=hint, reason="FF01", place=place)


def events(source: BinaryIO, encoding: str, max_size: int) -> Iterator[Event]:
    """Read a file from front to back.

    ``encoding`` is empty for the one that the file declares.

    Raises:
        Rejected: ``VAL855`` (no OFX, tags out of order, cut off), ``VAL302`` (empty), ``VAL863`` (encoding), ``SEC100``
            (document type declaration), ``SEC101`` (too deep), ``SEC102`` (too large), ``VAL400`` … of the XML reader.
    """
    head = source.read(1024)
    if not head.strip():
        raise Rejected("VAL302", "the file is empty", hint="ask the sender for the file again")
    source.seek(-len(head), 1)
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith((b"<?", b"\xff\xfe", b"\xfe\xff", b"<!")):
        return _xml_events(source, max_size)
    return _sgml_events(source, encoding, max_size)


class _Builder:
    """Aggregates in the making, and the events that their ends are."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Fields, int]] = [("", {}, 0)]
        self._begun = False
        self.closed = False

    @property
    def depth(self) -> int:
        """How many elements are open."""
        return len(self._stack) - 1

    def is_open(self, tag: str) -> bool:
        """Whether an element of that name is open."""
        return any(name == tag for name, _, _ in self._stack)

    def is_innermost(self, tag: str) -> bool:
        """Whether it is the element that was opened last."""
        return self._stack[-1][0] == tag

    def start(self, tag: str, line: int) -> Iterable[Event]:
        if self.depth >= MOST_DEPTH:
            raise too_deep(line)
        above = self._stack[-2:]
        self._stack.append((tag, {}, line))
        if tag != "STMTTRN" or self._begun or len(above) < 2 or above[0][0] not in _STATEMENTS:
            return ()
        self._begun = True
        return (Event("begin", {**above[0][1], above[1][0]: above[1][1]}, line),)

    def leaf(self, tag: str, text: str) -> None:
        self._stack[-1][1].setdefault(tag, text)

    def end(self, text: str = "") -> Iterable[Event]:
        """Close the innermost element; one without children is a field with ``text``."""
        tag, fields, line = self._stack.pop()
        self.closed = not self.depth
        if tag == "STMTTRN":
            return (Event("entry", fields, line),)
        if tag in _STATEMENTS:
            self._begun = False
            return (Event("end", fields, line),)
        self._stack[-1][1].setdefault(tag, fields or text)
        return (Event("status", fields, line),) if tag == "STATUS" else ()

    def merge(self) -> None:
        """Close an element that was no aggregate but an empty field: what followed it belongs to the one around."""
        tag, fields, _ = self._stack.pop()
        around = self._stack[-1][1]
        around.setdefault(tag, "")
        for name, value in fields.items():
            around.setdefault(name, value)


def _xml_events(source: BinaryIO, max_size: int) -> Iterator[Event]:
    file = plain(source, max_size)
    file.file.seek(file.start)
    pull = etree.XMLPullParser(events=("start", "end"), **hardened())
    builder = _Builder()
    while True:
        block = file.file.read(_BLOCK)
        try:
            pull.feed(block) if block else pull.close()
        except etree.XMLSyntaxError as error:
            raise refusal(error, b">" if block else b"", file.line - 1) from None
        happened: Any = pull.read_events()
        for action, element in happened:
            tag, line = local(element).upper(), line_of(element, file.line - 1)
            if builder.depth == 0 and action == "start" and tag != "OFX":
                raise malformed(f"line {line}", "the root element is not OFX", "the file is of another format")
            if action == "start":
                yield from builder.start(tag, line)
            else:
                yield from builder.end((element.text or "").strip())
                element.clear()
                if tag == "STMTTRN":
                    _forget_before(element)
        if not block:
            return


def _forget_before(element: etree._Element) -> None:
    """Take the element before out of the tree, so that it stays small."""
    before, above = element.getprevious(), element.getparent()
    if before is not None and above is not None:
        above.remove(before)


def _sgml_events(source: BinaryIO, encoding: str, max_size: int) -> Iterator[Event]:
    data = source.read(max_size + 1)
    if len(data) > max_size:
        hint = "raise `max_size` of the format where such files are wanted"
        raise Rejected("SEC102", f"the file is larger than {max_size} bytes", hint=hint)
    text = _decoded(data, encoding)
    begin = text.upper().find("<OFX>")
    if begin < 0:
        raise malformed("line 1", "no element OFX", "the file is of another format")
    builder, at, line = _Builder(), begin, 1 + text.count("\n", 0, begin)
    while at < len(text) and not builder.closed:
        token = _TOKEN.match(text, at)
        if not token:
            if text.startswith("<!DOCTYPE", at):
                raise doctype_refused(line)
            raise malformed(f"line {line}", "a `<` that begins no tag")
        closing, tag, value = token[1], token[2].upper(), token[3].strip()
        if closing:
            yield from _closed(builder, tag)
        elif value:
            builder.leaf(tag, unescape(value))
        else:
            yield from builder.start(tag, line)
        line += text.count("\n", at, token.end())
        at = token.end()
    if not builder.closed:
        raise malformed(f"line {line}", "the file ends before its last element is closed")


def _closed(builder: _Builder, tag: str) -> Iterable[Event]:
    """An end tag: fields may have one, and empty fields before it have none."""
    if not builder.is_open(tag):
        return ()
    while not builder.is_innermost(tag):
        builder.merge()
    return builder.end()


def _decoded(data: bytes, encoding: str) -> str:
    if not encoding:
        head = data[:_LONGEST_HEADER].partition(b"<")[0].decode("ascii", "replace")
        told = {name.upper(): value.upper() for name, value in _HEADER.findall(head)}
        unicode = told.get("ENCODING", "") in ("UTF-8", "UNICODE") or data.startswith(b"\xef\xbb\xbf")
        found = "utf-8" if unicode else _CHARSETS.get(told.get("CHARSET", ""))
        if found is None:
            raise Rejected(
                "VAL863",
                "the header names a character set that is not known here",
                hint="write `encoding` into the route, for instance `cp1252`",
                place="line 1",
            )
        encoding = found
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        message = f"line {line} holds bytes that are no {encoding}"
        hint = "many files say 1252 and are UTF-8: write `encoding` into the route"
        raise Rejected("VAL306", message, hint=hint, reason="FF01", place=f"line {line}") from None
