"""Records of BAI2 whatever lines they stand on: a code, fields with commas between, a slash at the end.

A text field may go on over lines and have no slash at its end; records may share a line when blanks stand between them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bus import Rejected
from transforms._lines import Opened, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_CODES = "01|02|03|16|49|88|98|99"
_BEGINS = re.compile(rf"({_CODES}),")
_MISSPELT = re.compile(rf"(?:{_CODES})[:;|\t]")
_NEXT = re.compile(rf"/([ \t]*)(?=(?:{_CODES}),)")
_WITH_TEXT = ("16", "88")
_LONGEST_LINE = 16_000_000
_MOST_LINES = 1_000


class Record(NamedTuple):
    """One record: its code, what follows the code without the slash, where it begins, its text as it stands."""

    code: str
    text: str
    place: str
    raw: str


class _Open:
    """The record whose lines are still being read."""

    def __init__(self, code: str, place: str) -> None:
        self.code, self.place = code, place
        self.pieces: list[str] = []
        self.raw: list[str] = []
        self.ended = False

    def add(self, piece: str, raw: str) -> None:
        kept = piece.rstrip()
        self.ended = kept.endswith("/")
        self.pieces.append(kept[:-1] if self.ended else piece)
        self.raw.append(raw)

    def record(self) -> Record:
        return Record(self.code, "".join(self.pieces), self.place, "".join(self.raw))


def records(source: BinaryIO, encoding: str) -> Iterator[Record | Rejected]:
    """All records; what is none is a refusal with its place.

    Raises:
        Rejected: ``VAL302``, ``VAL305`` (empty, byte order mark), ``VAL303``, ``VAL304`` (line too long, NUL),
            ``VAL741`` (a record of over a thousand lines).
    """
    opened = Opened(source, bom_allowed=encoding == "utf-8-sig")
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    number, reading = 0, _Reading()
    for block in blocks(opened, _LONGEST_LINE):
        for raw in block:
            number += 1
            line = raw.decode(codec, "replace")
            if "\ufffd" in line and (wrong := _wrong_bytes(raw, codec, number)):
                yield wrong
            yield from reading.line(line.strip("\x1a"), number)
    if reading.current is not None:
        yield reading.current.record()


class _Reading:
    """Puts lines together to records."""

    def __init__(self) -> None:
        self.current: _Open | None = None

    def line(self, line: str, number: int) -> Iterator[Record | Rejected]:
        """Take a line; gives the records that end with it."""
        for column, piece in _pieces(line, self.current):
            place = f"line {number}" + (f", column {column}" if column > 1 else "")
            begins = _BEGINS.match(piece)
            if begins:
                if self.current is not None:
                    yield self.current.record()
                self.current = _Open(begins[1], place)
                self.current.add(piece[3:].rstrip("\r\n"), piece)
            elif piece.strip():
                yield from self._more(piece, place)

    def _more(self, piece: str, place: str) -> Iterator[Rejected]:
        current = self.current
        if current is None or current.ended or _MISSPELT.match(piece):
            yield _fault(place, "this is no record; one begins with a code such as `16,`")
            return
        current.add(piece.rstrip("\r\n"), piece)
        if len(current.pieces) > _MOST_LINES:
            raise _fault(current.place, f"a record of over {_MOST_LINES} lines")


def _pieces(line: str, current: _Open | None) -> Iterator[tuple[int, str]]:
    """Parts of a line that each begin a record (but the first may go on with one), with their columns from 1.

    A slash and blanks before a code end a record. A slash alone does so only where no text can hold it.
    """
    begin = len(line) - len(line.lstrip(" \t"))
    code = current.code if current is not None and not _BEGINS.match(line, begin) else line[begin : begin + 2]
    for found in _NEXT.finditer(line):
        if not found[1] and code in _WITH_TEXT:
            continue
        yield begin + 1, line[begin : found.start() + 1]
        begin = found.end()
        code = line[begin : begin + 2]
    yield begin + 1, line[begin:]


def _wrong_bytes(raw: bytes, codec: str, number: int) -> Rejected | None:
    try:
        raw.decode(codec)
    except UnicodeDecodeError:
        place = f"line {number}"
        text = f"{place}: bytes that are no {codec}"
        return Rejected("VAL306", text, reason="FF01", place=place, hint="declare the encoding that the bank uses")
    return None


def _fault(place: str, text: str) -> Rejected:
    hint = "ask the bank for a correct file"
    return Rejected("VAL741", f"{place}: {text}", reason="FF01", place=place, hint=hint)
