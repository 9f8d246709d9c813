"""Makes any XML file a plain one: seekable, UTF-8, without document type, comments, CDATA and processing instructions.

Plain files can be cut at the end tags of their records without parsing, because every ``<`` in them begins a tag. Most
files from banks are plain; they are only looked through. The others are copied, with what is more than tags and text
taken out. A document type declaration is refused here, in every encoding, before any XML parser sees it.
"""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple
from xml.sax.saxutils import escape

from bus import Rejected
from transforms._xml import broken_encoding, doctype_refused, not_well_formed, truncated

_BLOCK = 1 << 20
_IN_MEMORY = 8 << 20
_LONGEST_ODDITY = 16 << 20
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_EIGHT_BIT = ("us-ascii", "ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "latin1", "windows-1250", "windows-1252")
_ACCEPTED = ("utf-8", "utf-16", *_EIGHT_BIT)
_DECLARATION = re.compile(rb"<\?xml\s[^>]*?(?:encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*)?\?>")
_DECLARES = re.compile(rb"<\?xml[\s?]")
_RIGHT_DECLARATION = re.compile(
    rb"<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(\"1\.[0-9]+\"|'1\.[0-9]+')"
    rb"([ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(\"[A-Za-z][A-Za-z0-9._-]*\"|'[A-Za-z][A-Za-z0-9._-]*'))?"
    rb"([ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(\"(?:yes|no)\"|'(?:yes|no)'))?[ \t\r\n]*\?>"
)
_TARGET = rb"(?!(?i:xml)[\s?])[A-Za-z_\x80-\xff][A-Za-z0-9._\x80-\xff-]*+"
_BETWEEN = re.compile(
    rb"(?:[ \t\r\n]++|<!--(?:[^-]|-(?!-))*+-->|<\?" + _TARGET + rb"(?:[ \t\r\n](?:[^?]|\?(?!>))*+)?\?>)*+"
)
_ROOT = re.compile(rb"<[A-Za-z_\x80-\xff]")
_BEGUN = re.compile(rb"<[!?]")
_ODDITY = re.compile(rb"<!--(.*?)-->|<!\[CDATA\[(.*?)\]\]>|<\?(.*?)\?>", re.DOTALL)
_INSTRUCTION = re.compile(rb"<\?" + _TARGET + rb"[ \t\r\n?]")
_NO_CHARACTER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")


class Plain(NamedTuple):
    """A file whose bytes from ``start`` on are plain XML; ``line`` is the line (from 1) on which they begin."""

    file: BinaryIO
    start: int
    line: int


def plain(source: BinaryIO, max_size: int) -> Plain:
    """Look through a file, copy it when it is not plain.

    The source may be read again from its present position where it can seek; otherwise it is copied first.

    Raises:
        Rejected: ``SEC100`` (document type declaration), ``SEC102`` (over ``max_size`` bytes), ``SEC104`` (encoding not
            accepted), ``VAL400`` (not well-formed), ``VAL401`` (truncated), ``VAL402`` (empty), ``VAL407`` (bytes
            against the encoding).
    """
    file = source if source.seekable() else _copied(_blocks(source, max_size))
    begin = file.tell()
    head = file.read(_BLOCK)
    if not head.strip():
        raise Rejected("VAL402", "the file is empty", reason="FF01", hint="ask the sender for the file again")
    codec, skip = _encoding(head)
    root = _root(head, skip) if codec == "utf-8" else -1
    file.seek(begin)
    if root >= 0 and _is_plain(_blocks(file, max_size), root):
        return Plain(file, begin + root, head.count(b"\n", 0, root) + 1)
    file.seek(begin)
    return Plain(_copied(_Cleaner().clean(_as_utf8(_blocks(file, max_size), codec, skip))), 0, 1)


class Copy(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary copy that is gone when its reader is: documents are not closed by those who read them."""

    def __del__(self) -> None:
        self.close()


def _copied(blocks: Iterable[bytes]) -> BinaryIO:
    copy = Copy(_IN_MEMORY)
    for block in blocks:
        copy.write(block)
    copy.seek(0)
    return copy  # type: ignore[return-value]  # a spooled file has all that is used of BinaryIO


def _blocks(file: BinaryIO, max_size: int) -> Iterator[bytes]:
    size = 0
    while block := file.read(_BLOCK):
        size += len(block)
        if size > max_size:
            hint = "raise `max_size` of the format where such files are wanted"
            raise Rejected("SEC102", f"the file is larger than {max_size} bytes", hint=hint)
        yield block


def _encoding(head: bytes) -> tuple[str, int]:
    """Codec of a file and length of its byte order mark; the two and the declaration have to agree."""
    codec, skip = next(((name, len(bom)) for bom, name in _BOMS if head.startswith(bom)), ("", 0))
    if not codec and head[:2] in (b"<\0", b"\0<"):
        codec = "utf-16-le" if head[:1] == b"<" else "utf-16-be"
    wide = codec.startswith("utf-16")
    start = head[skip : skip + 400]
    begin = start.decode(codec, "ignore").encode() if wide else start
    declared = _DECLARATION.match(begin)
    if _DECLARES.match(begin) and b"?>" in begin and not _RIGHT_DECLARATION.match(begin):
        raise not_well_formed(1)
    name = declared[1].decode().lower() if declared and declared[1] else "utf-16" if wide else "utf-8"
    if name in ("utf-16", "utf-16le", "utf-16be"):
        if not wide:
            raise broken_encoding(1)
        return codec, skip
    if name not in (*_ACCEPTED, "utf8"):
        hint = f"send {', '.join(_ACCEPTED)}"
        raise Rejected("SEC104", "line 1: this text encoding is not accepted", place="line 1", hint=hint)
    if wide or (codec and name not in ("utf-8", "utf8")):
        raise broken_encoding(1)
    return "utf-8" if name == "utf8" else name, skip


def _root(head: bytes, start: int) -> int:
    """Offset of the root element when the file is plain up to there, else -1."""
    declared = _DECLARATION.match(head, start)
    between = _BETWEEN.match(head, declared.end() if declared else start)
    end = between.end() if between else start
    return end if _ROOT.match(head, end) and not _NO_CHARACTER.search(head, start, end) else -1


def _is_plain(blocks: Iterator[bytes], skip: int) -> bool:
    """Whether nothing in the file, ``skip`` bytes at its beginning apart, is more than tags and text."""
    before = b""
    for whole in blocks:
        block = whole[skip:]
        skip = 0
        # One byte is looked for first: that is a hundred times faster, and these two are rare in files of banks.
        if (b"!" in block and b"<!" in before + block) or (b"?" in block and b"<?" in before + block):
            return False
        before = block[-1:]
    return True


def _as_utf8(blocks: Iterator[bytes], codec: str, skip: int) -> Iterator[bytes]:
    """The file without its byte order mark, in UTF-8."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    line = 1
    for block in blocks:
        if codec == "utf-8":  # checked by the XML parser
            yield block[skip:]
        else:
            try:
                text = decoder.decode(block[skip:])
            except UnicodeDecodeError as error:
                raise broken_encoding(line + bytes(error.object).count(b"\n", 0, error.start)) from None
            line += text.count("\n")
            yield text.encode()
        skip = 0
    if decoder.getstate()[0]:
        raise truncated(line)


class _Cleaner:
    """Takes out of UTF-8 XML what is more than tags and text; lines stay what they were, text loses no character."""

    def __init__(self) -> None:
        self._kept = b""
        self._line = 1
        self._begins = True
        self._last = b">"

    def clean(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The whole file."""
        for block in blocks:
            yield from self._feed(self._kept + block)
            if len(self._kept) > _LONGEST_ODDITY:
                raise truncated(self._line)
        if self._kept:
            raise truncated(self._line)

    def _feed(self, data: bytes) -> Iterator[bytes]:
        position = 0
        while begun := _BEGUN.search(data, position):
            text = data[position : begun.start()]
            self._line += text.count(b"\n")
            self._last = text.rstrip()[-1:] or self._last
            yield text
            position = begun.start()
            self._begins = self._begins and not position
            whole = _ODDITY.match(data, position)
            if whole is None:
                self._must_be_unfinished(data[position : position + 9])
                break
            yield self._in_place_of(whole)
            self._line += whole[0].count(b"\n")
            self._begins = False
            position = whole.end()
        else:
            end = len(data) - data.endswith(b"<")
            text = data[position:end]
            self._line += text.count(b"\n")
            self._last = text.rstrip()[-1:] or self._last
            yield text
            position = end
        self._begins = self._begins and not position
        self._kept = data[position:]

    def _must_be_unfinished(self, begin: bytes) -> None:
        if begin.startswith((b"<!--", b"<![CDATA[", b"<?")) or b"<![CDATA[".startswith(begin) or begin == b"<!-":
            return
        if b"<!DOCTYPE".startswith(begin.upper()):
            if len(begin) == 9:
                raise doctype_refused(self._line)
            return
        raise not_well_formed(self._line)

    def _in_place_of(self, oddity: re.Match[bytes]) -> bytes:
        comment, characters, instruction = oddity.groups()
        if characters is not None:
            self._last = b"x" if characters.strip() else self._last
            return escape(characters.decode("latin-1")).encode("latin-1")
        if comment is not None and (b"--" in comment or comment.endswith(b"-") or _NO_CHARACTER.search(comment)):
            raise not_well_formed(self._line)
        right = (self._begins and _DECLARES.match(oddity[0])) or _INSTRUCTION.match(oddity[0])
        if instruction is not None and (not right or _NO_CHARACTER.search(instruction)):
            raise not_well_formed(self._line)
        # Within a text a line break would become a part of it.
        return b"\n" * oddity[0].count(b"\n") if self._last == b">" else b""
