"""Records of one fixed length, a line each or one after the other without line ends; for the formats of banks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bus import Rejected
from transforms._lines import Opened, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_LONGEST_LINE = 16_000_000


class Record(NamedTuple):
    """One record: ``text`` of the full length, ``place`` such as ``line 7``, its bytes, and what is wrong with them."""

    text: str
    place: str
    raw: bytes
    error: Rejected | None

    def at(self, first: int, last: int) -> str:
        """Characters ``first`` to ``last``, counted from 1 as the formats' own tables do, without outer blanks."""
        return self.text[first - 1 : last].strip()

    def where(self, column: int) -> str:
        """The place of a column, counted from 1."""
        return f"{self.place}, column {column}"


def records(source: BinaryIO, encoding: str, length: int) -> Iterator[Record]:
    """All records but blank lines; blanks at the end of a line may be cut off, nothing else.

    Raises:
        Rejected: ``VAL302``, ``VAL305`` (empty, byte order mark), ``VAL303``, ``VAL304`` (line too long, NUL).
    """
    opened = Opened(source, bom_allowed=encoding == "utf-8-sig")
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    number = 0
    for block in blocks(opened, _LONGEST_LINE):
        for line in block:
            number += 1
            content = line.rstrip(b"\r\n\x1a")
            if not content.strip():
                continue
            text = content.decode(codec, "replace")
            error = _wrong_bytes(content, codec, number) if "\ufffd" in text else None
            if len(text) > length and len(text) % length == 0:
                for at in range(0, len(text), length):
                    piece = text[at : at + length]
                    yield Record(piece, f"line {number}, record {at // length + 1}", piece.encode(codec), error)
                continue
            if len(text.rstrip()) > length:
                told = f"line {number}: a record of {len(text)} characters instead of {length}"
                error = error or Rejected("VAL361", told, reason="FF01", place=f"line {number}")
            yield Record(text[:length].ljust(length), f"line {number}", line, error)


def _wrong_bytes(content: bytes, codec: str, number: int) -> Rejected | None:
    try:
        content.decode(codec)
    except UnicodeDecodeError:
        place = f"line {number}"
        hint = "declare the encoding that the bank uses, for instance `iso-8859-15` or `cp1252`"
        return Rejected("VAL306", f"{place}: bytes that are no {codec}", reason="FF01", place=place, hint=hint)
    return None
