"""Files of COBOL records: of one length, with record descriptor words, or as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from bus import Part, Rejected
from transforms._lines import Opened, Readable, blocks
from transforms.cobol.copybook import Item
from transforms.cobol.records import Coding, Reading, Writing, holds

_RDW = 4
_LONGEST_RDW = 32_760
_MOST_OF_A_LINE = 1_000_000


class Layout(NamedTuple):
    """All of a file; see the spec. ``length`` is that of records of one length."""

    roots: tuple[Item, ...]
    coding: Coding
    framing: str
    length: int
    line_end: bytes


class CobolDocument:
    """A file of records being read once, from front to back."""

    def __init__(self, source: BinaryIO, layout: Layout) -> None:
        """Begin.

        Raises:
            Rejected: ``VAL302`` for an empty file.
        """
        self.head: dict[str, Any] = {}
        self._layout = layout
        head = source.read(_RDW)
        if not head:
            raise Rejected("VAL302", "the file is empty (zero bytes)", hint="ask the sender for the file again")
        self._records = _frames(_Ahead(head, source), layout)

    def parts(self, each: str) -> Iterator[Part]:
        """Stream the records; with several kinds each body says which in ``record``.

        ``each`` is ``rows`` for all kinds, or the key of one; bad records are always given.

        Raises:
            Rejected: ``VAL301`` for another name; ``VAL830``, ``VAL831``: the file is cut off or of other lengths.
        """
        kinds = [root.key for root in self._layout.roots]
        if each != "rows" and each not in kinds:
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint=f"write rows or {', '.join(kinds)}")
        for number, raw in enumerate(self._records, 1):
            place = f"record {number}"
            kind, body, error = self._read(raw, place)
            if len(kinds) > 1:
                body = {"record": kind, **body}
            if each in ("rows", kind) or error is not None:
                yield Part(body, place, raw, error)

    def whole(self) -> list[Any]:
        """All records; raises the first error of any."""
        found = []
        for part in self.parts("rows"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return found

    def _read(self, raw: bytes, place: str) -> tuple[str, dict[str, Any], Rejected | None]:
        data = raw
        if self._layout.framing == "rdw":
            data = raw[_RDW:]
        elif self._layout.framing == "lines":
            data = raw.rstrip(b"\r\n")
        for root in self._layout.roots:
            reading = Reading(data, self._layout.coding, place)
            body = reading.record(root)
            condition = self._layout.coding.conditions.get(root.name)
            if condition and not holds(condition, reading.known):
                continue
            error = reading.error
            if error is None and data[reading.at :].strip(b"\x40\x00" if self._layout.coding.ebcdic else b" \x00"):
                message = f"{place} has {len(data)} bytes, {root.name} ends at {reading.at}"
                error = Rejected("VAL830", message, hint="the copybook is of another version", place=place)
            return root.key, body, error
        message = f"{place} is of no kind that the copybook describes"
        return "", {}, Rejected("VAL835", message, hint="add a condition in `when`", reason="FF01", place=place)


class _Ahead:
    """A stream of which the first bytes were read already."""

    def __init__(self, head: bytes, source: Readable) -> None:
        self._head = head
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        """As a stream's ``read``."""
        head, self._head = self._head, b""
        if not head:
            return self._source.read(size)
        return head + self._source.read(size - len(head) if size >= 0 else -1)


def _frames(source: Readable, layout: Layout) -> Iterator[bytes]:
    if layout.framing == "lines":
        lines = chain.from_iterable(blocks(Opened(source, bom_allowed=False), _MOST_OF_A_LINE))
        yield from (line for line in lines if line.strip(b"\r\n\x1a"))
    elif layout.framing == "rdw":
        yield from _described(source)
    else:
        number = 0
        while data := _exactly(source, layout.length):
            number += 1
            if len(data) < layout.length:
                if data.strip(b"\r\n\x1a\x00"):
                    place = f"record {number}"
                    message = f"{place} has {len(data)} bytes instead of {layout.length}"
                    raise Rejected("VAL830", message, hint="the file is cut off or has other lengths", place=place)
                return
            yield data


def _described(source: Readable) -> Iterator[bytes]:
    """Records behind their descriptor word: two bytes of length, itself counted, and two bytes of zero."""
    number = 0
    while head := _exactly(source, _RDW):
        number += 1
        place = f"record {number}"
        length = int.from_bytes(head[:2], "big")
        if len(head) < _RDW or head[2:] != b"\0\0" or not _RDW < length <= _LONGEST_RDW:
            hint = "the file was sent without record descriptor words, or as text"
            raise Rejected("VAL831", f"{place}: no record descriptor word", hint=hint, place=place)
        data = _exactly(source, length - _RDW)
        if len(data) < length - _RDW:
            message = f"{place} has {len(data)} bytes instead of {length - _RDW}"
            raise Rejected("VAL830", message, hint="the file is cut off", place=place)
        yield head + data


def _exactly(source: Readable, size: int) -> bytes:
    """That many bytes, fewer only at the end."""
    found = source.read(size)
    while found and len(found) < size:
        more = source.read(size - len(found))
        if not more:
            break
        found += more
    return found


def write(parts: Iterable[Any], target: BinaryIO, layout: Layout) -> None:
    """Write all parts.

    Raises:
        Rejected: ``VAL333``, ``VAL335``, ``VAL835``, ``VAL837``, ``VAL838``: a record cannot be written as it is.
    """
    kinds = {root.key: root for root in layout.roots}
    for number, body in enumerate(parts, 1):
        place = f"record {number}"
        if not isinstance(body, Mapping):
            message = f"{place} is a {type(body).__name__}, not a mapping"
            raise Rejected("VAL335", message, hint="translate it to named fields")
        name = body.get("record") if len(kinds) > 1 else next(iter(kinds))
        root = kinds.get(name) if isinstance(name, str) else None
        if root is None:
            hint = f"set `record` to {', '.join(kinds)}"
            raise Rejected("VAL835", f"{place} is of no kind that the copybook describes", hint=hint, place=place)
        data = Writing(layout.coding, place).record(root, body)
        target.write(_framed(data, layout, place))


def _framed(data: bytes, layout: Layout, place: str) -> bytes:
    if layout.framing == "lines":
        return data + layout.line_end
    if layout.framing == "rdw":
        if len(data) + _RDW > _LONGEST_RDW:
            raise Rejected("VAL837", f"{place} is longer than {_LONGEST_RDW} bytes", place=place)
        return (len(data) + _RDW).to_bytes(2, "big") + b"\0\0" + data
    return data.ljust(layout.length, b"\x40" if layout.coding.ebcdic else b" ")


def count_described(source: Readable) -> int:
    """Number of records of a file with record descriptor words."""
    return sum(1 for _ in _described(source))
