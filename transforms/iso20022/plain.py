"""Makes any XML file a plain one: seekable, UTF-8, without document type, comments, CDATA and processing instructions.

Plain files can be cut at the end tags of their records without parsing, because every ``<`` in them begins a tag. Most
files from banks are plain; they are only looked through. The others are rewritten once, by the streaming expat parser.
"""

from __future__ import annotations

import re
import tempfile
from typing import BinaryIO, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape

from bus import Rejected
from transforms.iso20022.xml import (
    MOST_DEPTH,
    broken_encoding,
    doctype_refused,
    not_well_formed,
    too_deep,
    truncated,
    unknown_entity,
)

_BLOCK = 1 << 20
_IN_MEMORY = 8 << 20
_BOM = b"\xef\xbb\xbf"
_DECLARATION = re.compile(rb"<\?xml\s[^>]*?(?:encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*)?\?>")
_BETWEEN = re.compile(rb"(?:\s++|<!--(?:[^-]|-(?!-))*+-->|<\?(?!(?i:xml)\s)(?:[^?]|\?(?!>))*+\?>)*+")
_ROOT = re.compile(rb"<[A-Za-z_\x80-\xff]")
_ACCEPTED = (
    "utf-8",
    "utf8",
    "utf-16",
    "utf-16le",
    "utf-16be",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-15",
    "latin1",
    "windows-1250",
    "windows-1252",
)


def _codes(*names: str) -> frozenset[int]:
    return frozenset(expat.errors.codes[getattr(expat.errors, f"XML_ERROR_{name}")] for name in names)


_AT_THE_END = _codes("NO_ELEMENTS", "UNCLOSED_TOKEN", "PARTIAL_CHAR", "UNCLOSED_CDATA_SECTION")
_ENCODING = _codes("UNKNOWN_ENCODING", "INCORRECT_ENCODING")
_ENTITY = _codes("UNDEFINED_ENTITY", "RECURSIVE_ENTITY_REF")


class Plain(NamedTuple):
    """A file whose bytes from ``start`` on are plain XML; ``line`` is the line (from 1) on which they begin."""

    file: BinaryIO
    start: int
    line: int


def plain(source: BinaryIO, max_size: int) -> Plain:
    """Look through a file, rewrite it when it is not plain.

    The source may be read again from its present position where it can seek; otherwise it is copied first.

    Raises:
        Rejected: ``SEC100`` (document type declaration), ``SEC101`` (too deep), ``SEC102`` (over ``max_size`` bytes),
            ``SEC104`` (encoding not accepted), ``SEC105`` (entity), ``VAL400`` (not well-formed), ``VAL401``
            (truncated), ``VAL402`` (empty), ``VAL407`` (bytes against the encoding).
    """
    file = source if source.seekable() else _copied(source, max_size)
    begin = file.tell()
    head = file.read(_BLOCK)
    if not head.strip():
        raise Rejected("VAL402", "the file is empty", reason="FF01", hint="ask the sender for the file again")
    root = _root(head)
    file.seek(begin)
    if root < 0 or not _is_plain(file, max_size, skip=root):
        file.seek(begin)
        return _Rewriter(max_size).rewrite(file)
    return Plain(file, begin + root, head.count(b"\n", 0, root) + 1)


class _Copy(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary copy that is gone when its reader is: documents are not closed by those who read them."""

    def __del__(self) -> None:
        self.close()


def _copied(source: BinaryIO, max_size: int) -> BinaryIO:
    copy = _Copy(_IN_MEMORY)
    while block := source.read(_BLOCK):
        copy.write(block)
        if copy.tell() > max_size:
            raise _too_large(max_size)
    copy.seek(0)
    return copy  # type: ignore[return-value]  # a spooled file has all that is used of BinaryIO


def _too_large(max_size: int) -> Rejected:
    hint = "raise `max_size` of the format where such files are wanted"
    return Rejected("SEC102", f"the file is larger than {max_size} bytes", hint=hint)


def _root(head: bytes) -> int:
    """Offset of the root element when the file is plain up to there, else -1."""
    start = len(_BOM) if head.startswith(_BOM) else 0
    declared = _DECLARATION.match(head, start)
    if declared:
        if declared[1] and declared[1].upper() not in (b"UTF-8", b"UTF8"):
            return -1
        start = declared.end()
    between = _BETWEEN.match(head, start)
    end = between.end() if between else start
    return end if _ROOT.match(head, end) else -1


def _is_plain(file: BinaryIO, max_size: int, skip: int) -> bool:
    """Whether nothing in the file, ``skip`` bytes at its beginning apart, is more than tags and text."""
    size = 0
    before = b""
    while block := file.read(_BLOCK):
        size += len(block)
        if size > max_size:
            raise _too_large(max_size)
        block = block[skip:]
        skip = 0
        # One byte is looked for first: that is a hundred times faster, and these two are rare in files of banks.
        if (b"!" in block and b"<!" in before + block) or (b"?" in block and b"<?" in before + block):
            return False
        before = block[-1:]
    return True


class _Rewriter:
    """Copies a document as plain XML; tags stay on their lines, by line breaks in the place of what is left out."""

    def __init__(self, max_size: int) -> None:
        self._most = max_size
        self._depth = 0
        self._first_line = self._line = 0
        self._out = _Copy(_IN_MEMORY)
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def rewrite(self, file: BinaryIO) -> Plain:
        """Read the whole file and hand out its plain copy."""
        size = 0
        try:
            while block := file.read(_BLOCK):
                size += len(block)
                if size > self._most:
                    raise _too_large(self._most)
                self._parser.Parse(block, False)  # noqa: FBT003 - expat takes the flag by position only
            self._parser.Parse(b"", True)  # noqa: FBT003 - as above
        except expat.ExpatError as error:
            raise _refusal(error) from None
        self._out.seek(0)
        return Plain(self._out, 0, self._first_line)  # type: ignore[arg-type]  # a spooled file has all that is used of BinaryIO

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding and encoding.lower() not in _ACCEPTED:
            known = ", ".join(_ACCEPTED)
            raise Rejected("SEC104", "line 1: this text encoding is not accepted", place="line 1", hint=f"send {known}")

    def _doctype(self, *_of_it: object) -> None:
        raise doctype_refused(self._parser.CurrentLineNumber)

    def _start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        line = self._parser.CurrentLineNumber
        if self._depth > MOST_DEPTH:
            raise too_deep(line)
        if not self._first_line:
            self._first_line = self._line = line
        self._out.write(b"\n" * (line - self._line))
        self._line = line
        texts = (f' {key}="{_attribute(value)}"' for key, value in zip(attributes[::2], attributes[1::2], strict=True))
        self._out.write(f"<{name}{''.join(texts)}>".encode())

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._out.write(f"</{name}>".encode())

    def _text(self, text: str) -> None:
        if self._depth:
            self._line += text.count("\n")
            self._out.write(escape(text, {"\r": "&#13;"}).encode())


def _attribute(value: str) -> str:
    return escape(value, {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _refusal(error: expat.ExpatError) -> Rejected:
    if error.code in _AT_THE_END:
        return truncated(error.lineno)
    if error.code in _ENCODING:
        return broken_encoding(error.lineno)
    if error.code in _ENTITY:
        return unknown_entity(error.lineno)
    return not_well_formed(error.lineno)
