"""Text files as lines of bytes, in flat memory whatever the stream holds; shared by the line-based formats."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from bus import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 18
_UTF8_BOM = b"\xef\xbb\xbf"

# Byte encodings in which every ASCII byte means itself, so that lines can be cut before they are decoded.
_ASCII_LIKE = {
    "utf-8", "utf-8-sig", "ascii", "mac-roman", "koi8-r", "koi8-u", "shift_jis", "gb18030", "gbk", "big5", "euc_jp",
    "euc_kr", "cp437", "cp850", "cp852", "cp855", "cp857", "cp858", "cp860", "cp861", "cp863", "cp865", "cp866",
    "cp932",
    *(f"cp{n}" for n in range(1250, 1259)),
    *(f"iso8859-{n}" for n in range(1, 17)),
}  # fmt: skip
EBCDIC = frozenset({"cp037", "cp273", "cp500", "cp875", "cp1026", "cp1140"})
"""Encodings of mainframe files; their line ends are no ASCII bytes, so such files are read in blocks."""


def _encoding(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        found = ""
    if found not in _ASCII_LIKE | EBCDIC:
        raise PydanticCustomError(
            "value_error", "not an encoding of line files; write for instance `utf-8`, `iso-8859-15` or `cp1252`"
        )
    return found


Encoding = Annotated[str, AfterValidator(_encoding)]
"""Name of a text encoding in which bytes can be cut into lines (UTF-16 cannot; convert such files before)."""


class Readable(Protocol):
    """As much of a stream as reading forward needs."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; empty at the end."""


def blocks(source: Readable, most: int) -> Iterator[list[bytes]]:
    """Physical lines with their line ends (LF, CR LF or CR, also mixed), some hundred at a time.

    Args:
        source: where the bytes come from; read in pieces of 256 KiB.
        most: longest line in bytes; no more than this and one piece is ever held.

    Raises:
        Rejected: ``VAL303`` for a longer line, ``VAL304`` for a NUL byte; both name the line.
    """
    carry = b""
    before = 0
    while data := source.read(CHUNK):
        lines = (carry + data).splitlines(keepends=True)
        if b"\0" in data:
            where = before + 1 + next(i for i, line in enumerate(lines) if b"\0" in line)
            raise Rejected(
                "VAL304",
                f"line {where} holds a NUL byte",
                hint="a text file has none; perhaps it is UTF-16 or no text at all",
                place=f"line {where}",
            )
        # The last piece may go on in the next chunk; after CR the LF of the same line end may follow.
        carry = b"" if lines[-1].endswith(b"\n") else lines.pop()
        _check_lengths([*lines, carry], before, most)
        before += len(lines)
        yield lines
    if carry:
        yield [carry]


def _check_lengths(lines: list[bytes], before: int, most: int) -> None:
    if max(map(len, lines)) <= most:
        return
    where = before + 1 + next(i for i, line in enumerate(lines) if len(line) > most)
    raise Rejected(
        "VAL303",
        f"line {where} is longer than {most} bytes",
        hint="raise `max_line` if such lines are right",
        place=f"line {where}",
    )


class Opened:
    """A stream whose first bytes were looked at: refuses what is empty and what has an undeclared byte order mark."""

    def __init__(self, source: Readable, *, bom_allowed: bool) -> None:
        head = source.read(CHUNK)
        if head.startswith(_UTF8_BOM):
            if not bom_allowed:
                raise Rejected(
                    "VAL305",
                    "the file begins with a byte order mark that was not declared",
                    hint="write `encoding: utf-8-sig` where the format offers it, or have the mark left out",
                    place="line 1",
                )
            head = head[len(_UTF8_BOM) :] or source.read(CHUNK)
        if not head:
            raise Rejected("VAL302", "the file is empty (zero bytes)", hint="ask the sender for the file again")
        self._head = head
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        """As a stream's ``read``; the first piece is the one that was looked at."""
        if self._head:
            size = len(self._head) if size < 0 else size
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._source.read(size)
