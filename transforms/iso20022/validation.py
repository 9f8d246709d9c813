"""Streaming XML Schema validation of whole files of any message, in any envelope, in flat memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from lxml import etree

from bus import Finding
from transforms._plain_xml import Plain
from transforms._xml import hardened
from transforms.iso20022.schemas import schema, without_values

_BLOCK = 64 * 1024
_MOST_FINDINGS = 1_000


def violations(file: Plain, message: str, spaces: Mapping[str | None, str], prefix: str = "") -> list[Finding]:
    """What the documents of a well-formed file break of their schema, ``VAL405`` each, at most 1000, with their lines.

    ``spaces`` are the XML namespaces in scope at the first ``Document``, ``prefix`` is what stands before its name,
    with its colon. libxml2 tells no lines when it validates a stream, so a file that is not valid is read again line
    by line.
    """
    if not any(True for _ in _Validation(message, spaces, prefix).of(_pieces(file, by_line=False))):
        return []
    found = []
    for line, text in _Validation(message, spaces, prefix).of(_pieces(file, by_line=True)):
        found.append(Finding("VAL405", "error", f"line {line}", without_values(text)))
        if len(found) >= _MOST_FINDINGS:
            break
    return found


def _pieces(file: Plain, *, by_line: bool) -> Iterator[tuple[int, bytes]]:
    """The bytes of a file in blocks or lines, with the line on which they begin."""
    file.file.seek(file.start)
    line = file.line
    while piece := file.file.readline(_BLOCK) if by_line else file.file.read(_BLOCK):
        yield line, piece
        line += piece.count(b"\n")


class _Validation:
    """Feeds the documents of a file, without what stands around them, to a validating parser."""

    def __init__(self, message: str, spaces: Mapping[str | None, str], prefix: str) -> None:
        self._schema, self._spaces = schema(message), spaces
        name = re.escape(f"{prefix}Document".encode())
        self._begin = re.compile(rb"<" + name + rb"(?=[\s/>])")
        self._end = re.compile(rb"</" + name + rb"\s*>")
        self._pull: Any = None
        self._root: etree._Element | None = None
        self._told = 0

    def of(self, pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, str]]:
        """Line and words of each violation, as soon as it is found."""
        kept = b""
        for line, piece in pieces:
            kept += piece
            while True:
                if self._pull is None:
                    begin = self._begin.search(kept)
                    if begin is None or b">" not in kept[begin.start() :]:
                        kept = kept[begin.start() if begin else max(kept.rfind(b"<"), 0) :]
                        break
                    kept = self._started(kept[begin.start() :], begin.end() - begin.start())
                end = self._end.search(kept)
                cut = end.end() if end else max(kept.rfind(b"<"), 0)
                if cut:
                    yield from self._feed(kept[:cut], line, last=end is not None)
                kept = kept[cut:]
                if end is None:
                    break

    def _started(self, kept: bytes, name_end: int) -> bytes:
        """A new document; what is declared around it is declared at its own start tag."""
        self._pull = etree.XMLPullParser(events=("start",), tag="{*}Document", schema=self._schema, **hardened())
        self._root, self._told = None, 0
        tag = kept[: kept.index(b">")]
        declared = b""
        for space, uri in self._spaces.items():
            name = f"xmlns:{space}" if space else "xmlns"
            if not re.search(rb"\s%s\s*=" % re.escape(name.encode()), tag):
                declared += f" {name}={quoteattr(uri)}".encode()
        return kept[:name_end] + declared + kept[name_end:]

    def _feed(self, data: bytes, line: int, *, last: bool) -> Iterator[tuple[int, str]]:
        pull = self._pull
        try:
            pull.feed(data)
        except etree.XMLSyntaxError:  # whoever reads the file tells where it is not well-formed
            return
        for _, element in pull.read_events():
            self._root = element
        log = pull.feed_error_log
        for entry in log[self._told :] if len(log) > self._told else ():
            yield line, entry.message
        self._told = len(log)
        if self._root is not None:
            _prune(self._root)
        if last:
            self._pull = None


def _prune(root: etree._Element) -> None:
    """Take out what is finished: at each level all children but the last, which the parser may still fill."""
    element = root
    while len(element):
        last = element[-1]
        for child in list(element)[:-1]:
            element.remove(child)
        element = last
