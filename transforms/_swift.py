"""Swift MT messages as fields: block headers, ``:tag:`` fields with all their lines, ends of messages.

Fields begin at ``:tag:`` at the begin of a line, and go on until the next one. Which tags there are depends on the
message, so that a text line such as ``:26:37`` (the rest of a time) stays a part of its field.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bus import Rejected
from transforms._lines import Opened, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

HEADER = "{"
"""Tag of what is told of the blocks before the text of a message."""
END = "-"
"""Tag of the end of a message."""
STRAY = ""
"""Tag of text that belongs to no field."""

_LONGEST_LINE = 100_000
_MOST_LINES = 2_000
_CONTROL = b"\x01\x03\x1a"
_CONTROL_TEXT = _CONTROL.decode()
_BLOCK = re.compile(rb"[\x01\x03$ \t]*\{[1-5S]:")
_TEXT_BEGINS = b"{4:"
_TYPE = re.compile(r"\{2:[IO](\d{3})")
_END = re.compile(rb"-(?:\}.*)?[\x03\x1a$ \t]*\r?\n?", re.DOTALL)
_TIME = re.compile(rb":\d\d:\d\d(?!\d)")
_HOUR_BEFORE = re.compile(rb"[T ]\d\d\s*$")


class Field(NamedTuple):
    """One field: its ``tag``, the number of its first line, its lines as text without line ends, its bytes."""

    tag: str
    line: int
    lines: list[str]
    raw: list[bytes]

    @property
    def text(self) -> str:
        """All lines, with LF between."""
        return "\n".join(self.lines).rstrip("\n")

    @property
    def place(self) -> str:
        """Where it stands: ``line 7, :61:``."""
        return f"line {self.line}, :{self.tag}:" if self.tag.strip("{-") else f"line {self.line}"


class Tokens:
    """The fields of a file of messages.

    Attributes:
        undecodable: number of the first line of each field that holds bytes of another encoding.
    """

    def __init__(self, source: BinaryIO, tags: frozenset[str], encoding: str) -> None:
        """Looks at the first bytes.

        Raises:
            Rejected: ``VAL302`` (empty), ``VAL305`` (byte order mark that was not declared).
        """
        self._opened = Opened(source, bom_allowed=encoding == "utf-8-sig")
        self._encoding = "utf-8" if encoding == "utf-8-sig" else encoding
        self._tags = {tag.encode(): tag for tag in tags}
        self._begins = re.compile(rb":(" + b"|".join(sorted(self._tags, reverse=True)) + rb"):")
        self.undecodable: set[int] = set()

    def __iter__(self) -> Iterator[Field]:
        """Read on, in flat memory.

        Raises:
            Rejected: ``VAL303``, ``VAL304`` (line too long, NUL), ``VAL720`` (a field of thousands of lines).
        """
        tag, first, raw = STRAY, 0, list[bytes]()
        begins, number = self._begins.match, 0
        for block in blocks(self._opened, _LONGEST_LINE):
            for line in block:
                number += 1
                found = begins(line) if line[:1] == b":" else None
                if found and not (_TIME.match(line) and raw and _HOUR_BEFORE.search(raw[-1])):
                    yield from self._field(tag, first, raw)
                    tag, first, raw = self._tags[found[1]], number, [line]
                elif line[:1] in (b"-", b"{", b"\x01", b"\x03", b"$") and (marks := self._marks(line, number)):
                    yield from self._field(tag, first, raw)
                    yield from marks
                    tag, first, raw = STRAY, number, []
                elif raw or line.strip(_CONTROL + b" \t\r\n$"):
                    first = first if raw else number
                    raw.append(line)
                    self._not_endless(raw, first)
        yield from self._field(tag, first, raw)

    def _field(self, tag: str, first: int, raw: list[bytes]) -> Iterator[Field]:
        if not raw:
            return
        text = b"".join(raw).decode(self._encoding, "replace")
        if "\ufffd" in text:
            self._look_closer(raw, first)
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if text[-1:] in _CONTROL_TEXT:
            text = text.strip(_CONTROL_TEXT)
        yield Field(tag, first, (text[len(tag) + 2 :] if tag else text).split("\n"), raw)

    def _look_closer(self, raw: list[bytes], first: int) -> None:
        try:
            b"".join(raw).decode(self._encoding)
        except UnicodeDecodeError:
            self.undecodable.add(first)

    def _marks(self, line: bytes, number: int) -> list[Field]:
        """Ends and headers that a line holds: ``-``, ``-}``, ``{1:…}{2:…}{4:``, or one after the other."""
        found = []
        if _END.fullmatch(line):
            found.append(Field(END, number, [""], []))
        if _BLOCK.match(line) or (found and _TEXT_BEGINS in line):
            text = line.decode("latin-1").strip("\r\n")
            if _TEXT_BEGINS in line or not found:
                found.append(Field(HEADER, number, [text], [line]))
        elif not found and not line.strip(_CONTROL + b"$ \t\r\n"):
            found.append(Field(HEADER, number, [""], []))
        return found

    @staticmethod
    def _not_endless(raw: list[bytes], first: int) -> None:
        if len(raw) > _MOST_LINES:
            place = f"line {first}"
            text = f"{place}: a field of over {_MOST_LINES} lines"
            raise Rejected("VAL720", text, reason="FF01", place=place, hint="the file is no Swift MT message")


def message_type(header: Field) -> str:
    """``940`` of a block header; empty when it does not tell."""
    found = _TYPE.search(header.lines[0])
    return found[1] if found else ""


def framed(message: str, sender: str, receiver: str) -> tuple[str, str]:
    """What stands before and after the text of a message such as ``I101``: blocks where both BICs are known."""
    if not (sender and receiver):
        return "", "-\r\n"
    return f"{{1:F01{_logical(sender, 'A')}0000000000}}{{2:{message}{_logical(receiver, 'X')}N}}{{4:\r\n", "-}\r\n"


def _logical(bic: str, terminal: str) -> str:
    """A BIC as the address of a logical terminal: 8 characters, terminal code, branch."""
    return f"{bic[:8]}{terminal}{bic[8:] or 'XXX'}"
