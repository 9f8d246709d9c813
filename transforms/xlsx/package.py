"""An XLSX file as a package of parts: limits are looked at before anything is unpacked, XML meets the hardened reader.

The format is ECMA-376 (Office Open XML), Part 1 SpreadsheetML and Part 2 packaging; parts are found by their
relationships and elements by their local names, so that the strict variant with its other namespaces is read too.
"""

from __future__ import annotations

import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, NamedTuple

from lxml import etree

from bus import Rejected
from transforms._plain_xml import Copy
from transforms._xml import children, doctype_refused, hardened, local

_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    OSError,
)
_OLD = b"\xd0\xcf\x11\xe0"
_IN_MEMORY = 8 << 20
_BLOCK = 1 << 20
_MOST_PARTS = 2_000
_RATIO = 250
_SMALL = 1 << 20
_LARGEST_ELEMENT = 16 << 20


class Limits(NamedTuple):
    """Most bytes of the file, most bytes of all its parts unpacked, most cells that are looked at."""

    size: int
    unpacked: int
    cells: int


def damaged(what: str, place: str = "") -> Rejected:
    """The refusal of a workbook that cannot be read."""
    hint = "save it again, or ask the sender for another copy"
    return Rejected("VAL846", f"{place + ': ' if place else ''}{what}", hint=hint, reason="FF01", place=place)


class Package:
    """The parts of a file by name."""

    def __init__(self, source: BinaryIO, limits: Limits) -> None:
        """Look at the directory of the file.

        Raises:
            Rejected: ``VAL845`` (no XLSX), ``VAL846`` (damaged), ``VAL847`` (over a limit), ``VAL302`` (empty).
        """
        file = _seekable(source, limits.size)
        try:
            self._zip = zipfile.ZipFile(file)
            self._parts = {info.filename: info for info in self._zip.infolist()}
        except _DAMAGES:
            raise damaged("the file is cut off or no ZIP archive inside") from None
        _check_limits(list(self._parts.values()), limits)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A part to read; an error of the archive becomes ``VAL846``."""
        if name not in self._parts:
            raise damaged("a part of the workbook is missing")
        try:
            with self._zip.open(self._parts[name]) as part:
                yield part
        except etree.XMLSyntaxError:
            raise damaged("a part of the workbook is no well-formed XML") from None
        except _DAMAGES:
            raise damaged("a part of the workbook cannot be unpacked") from None

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return name in self._parts

    def elements(self, name: str, *tags: str) -> Iterator[etree._Element]:
        """Every element of those local names in a part, in flat memory: each is gone when the next is asked for."""
        with self.open(name) as part:
            counted = _Counted(part)
            context: Any = etree.iterparse(counted, events=("end",), tag=[f"{{*}}{tag}" for tag in tags], **hardened())
            for _, element in context:
                if not counted.looked:
                    _refuse_doctype(element)
                    counted.looked = True
                counted.since = 0
                yield element
                element.clear()
                before, above = element.getprevious(), element.getparent()
                if before is not None and above is not None:
                    above.remove(before)

    def root(self, name: str) -> etree._Element:
        """A small part as a whole."""
        with self.open(name) as part:
            if self._parts[name].file_size > _LARGEST_ELEMENT:
                raise _too_large()
            root = etree.parse(part, etree.XMLParser(**hardened())).getroot()
        _refuse_doctype(root)
        return root

    def targets(self, name: str) -> dict[str, tuple[str, str]]:
        """Relationships of a part: id -> (last word of the type, name of the part)."""
        folder, _, file = name.rpartition("/")
        described = f"{folder}/_rels/{file}.rels".lstrip("/")
        if not self.has(described):
            return {}
        found = {}
        for child in children(self.root(described), "Relationship"):
            target = child.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            found[child.get("Id", "")] = (child.get("Type", "").rpartition("/")[2], path)
        return found


class _Counted:
    """A part being read, as long as its elements stay small: a tree of one of hundreds of megabytes has no room."""

    def __init__(self, part: IO[bytes]) -> None:
        self._part = part
        self.since = 0
        self.looked = False

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        data = self._part.read(size)
        self.since += len(data)
        if self.since > _LARGEST_ELEMENT:
            raise _too_large()
        return data


def _too_large() -> Rejected:
    message = f"a row, text or part of the workbook is larger than {_LARGEST_ELEMENT} bytes"
    return Rejected("VAL847", message, hint="no sheet of records has such; it may be an attack")


def _seekable(source: BinaryIO, most: int) -> IO[bytes]:
    """A copy of the file, at most ``most`` bytes, of which a ZIP directory can be read."""
    copy = Copy(_IN_MEMORY)
    size = 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > most:
            hint = "raise `max_size` of the format where such files are wanted"
            raise Rejected("SEC102", f"the file is larger than {most} bytes", hint=hint)
        copy.write(block)
    copy.seek(0)
    head = copy.read(4)
    if not head:
        raise Rejected("VAL302", "the file is empty (zero bytes)", hint="ask the sender for the file again")
    if head != b"PK\x03\x04":
        what = "a workbook with a password, or one of Excel before 2007 (.xls)" if head == _OLD else "no XLSX workbook"
        raise Rejected("VAL845", f"the file is {what}", hint="save it as .xlsx without a password", reason="FF01")
    copy.seek(0)
    return copy


def _check_limits(parts: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuse what would unpack to more than a workbook is worth; the sizes are those of the directory.

    Nothing can unpack to more: reading a part ends at the size that the directory tells for it.
    """
    whole = sum(part.file_size for part in parts)
    packed = any(p.file_size > _SMALL and p.file_size > _RATIO * max(p.compress_size, 1) for p in parts)
    if whole > limits.unpacked or packed or len(parts) > _MOST_PARTS:
        message = f"the workbook unpacks to {whole} bytes in {len(parts)} parts, or a part to {_RATIO} times its size"
        raise Rejected("VAL847", message, hint="raise `max_unpacked` if it is a real one; otherwise it is an attack")
    if any(p.flag_bits & 1 or p.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for p in parts):
        raise damaged("a part is encrypted, or packed in a way that workbooks are not")


def _refuse_doctype(element: etree._Element) -> None:
    if element.getroottree().docinfo.internalDTD is not None:
        raise doctype_refused(0)


__all__ = ["Limits", "Package", "children", "damaged", "local"]
