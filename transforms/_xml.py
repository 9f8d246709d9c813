"""The one place where XML from outside is parsed: nothing is fetched or expanded, errors are coded and have a line.

No format read here has a document type declaration, so any is refused (:mod:`transforms._plain_xml` sees it first,
in every encoding); that leaves entities, external or exploding, without a place to be declared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lxml import etree

from bus import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DEPTH = 64
"""Levels of elements; a real message has fewer than 20."""

_ENCODING = frozenset(
    {
        etree.ErrorTypes.ERR_INVALID_ENCODING,
        etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING,
        etree.ErrorTypes.ERR_UNKNOWN_ENCODING,
        etree.ErrorTypes.I18N_CONV_FAILED,
    }
)
_ENTITY = frozenset(
    {
        etree.ErrorTypes.ERR_UNDECLARED_ENTITY,
        etree.ErrorTypes.WAR_UNDECLARED_ENTITY,
        etree.ErrorTypes.ERR_ENTITY_LOOP,
        etree.ErrorTypes.ERR_ENTITY_PROCESSING,
    }
)
_LINES_TOLD_BY_LIBXML2 = 65_535
_NO_CHARACTERS = bytes(set(range(0x20)) - set(b"\t\n\r"))
_NO_CHARACTER = re.compile(b"\xef\xbf[\xbe\xbf]")
_OTHER_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)")


def hardened() -> dict[str, Any]:
    """Options of every parser: no network, no DTD, no entities, libxml2's limits (10 MB of text, 256 levels) kept."""
    return {
        "resolve_entities": False,
        "no_network": True,
        "load_dtd": False,
        "dtd_validation": False,
        "huge_tree": False,
        "collect_ids": False,
    }


def parser() -> etree.XMLParser:
    """A fresh hardened parser."""
    return etree.XMLParser(**hardened())


def parse(content: bytes, using: etree.XMLParser, line_offset: int = 0) -> etree._Element:
    """Parse a whole document or a stretch of one that was wrapped into its envelope.

    ``line_offset`` is added to the lines of errors.

    Raises:
        Rejected: ``VAL400`` (not well-formed), ``VAL401`` (truncated), ``VAL407`` (bytes against the encoding),
            ``SEC100`` (document type declaration), ``SEC103`` (huge text, too deep), ``SEC105`` (entity).
    """
    try:
        root = etree.fromstring(content, using)
    except etree.XMLSyntaxError as error:
        raise refusal(error, content, line_offset) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise doctype_refused(0)
    return root


class _Nothing:
    """What a parser makes of elements that nobody wants to see."""

    def close(self) -> None:
        """Nothing was made."""


def listener() -> etree.XMLParser:
    """A fresh hardened parser that makes no tree, for :func:`must_be_well_formed`."""
    nothing: Any = _Nothing()  # a target without methods for what it does not want to see
    return etree.XMLParser(target=nothing, **hardened())


def must_be_well_formed(content: bytes, using: etree.XMLParser, line_offset: int = 0) -> None:
    """As :func:`parse`, in a third of the time, with a parser of :func:`listener`; prefixes are not resolved.

    Raises:
        Rejected: as :func:`parse`.
    """
    try:
        etree.fromstring(content, using)
    except etree.XMLSyntaxError as error:
        raise refusal(error, content, line_offset) from None


def is_text(content: bytes) -> bool:
    """Whether UTF-8 has, its tags apart, nothing against XML 1.0 §2.2 and §2.4; false also for what is only unusual.

    No forbidden character, no ``]]>``, no reference but to the five entities that every XML has.
    """
    return not (
        len(content.translate(None, _NO_CHARACTERS)) < len(content)
        # One byte is looked for first: that is much faster, and these are rare.
        or (b"]" in content and b"]]>" in content)
        or (b"&" in content and _OTHER_REFERENCE.search(content))
        or (b"\xef" in content and _NO_CHARACTER.search(content))
    )


def refusal(error: etree.XMLSyntaxError, content: bytes, line_offset: int = 0) -> Rejected:
    """The coded refusal for an error of libxml2 in ``content``; its text is left out, for it may quote the document."""
    line = max(1, (error.lineno or 1) + line_offset)
    place = f"line {line}"
    code = getattr(error, "code", 0)
    if code == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
        text = f"{place}: over a limit of the XML reader (10 MB in one text, 256 levels)"
        return Rejected("SEC103", text, place=place)
    if code in _ENTITY:
        return unknown_entity(line)
    cut_off = not content.rstrip().endswith(b">") and code != etree.ErrorTypes.ERR_DOCUMENT_END
    if cut_off or code == etree.ErrorTypes.ERR_TAG_NOT_FINISHED:
        return truncated(line)
    return broken_encoding(line) if code in _ENCODING else not_well_formed(line)


def not_well_formed(line: int) -> Rejected:
    """The refusal of what is no XML."""
    place = f"line {line}"
    return Rejected(
        "VAL400",
        f"{place}: the file is no well-formed XML",
        reason="FF01",
        place=place,
        hint="open it in an XML editor; ask the sender for a whole file",
    )


def truncated(line: int) -> Rejected:
    """The refusal of a document that ends before its root element is closed."""
    place = f"line {line}"
    return Rejected(
        "VAL401",
        f"{place}: the document ends too early",
        reason="FF01",
        place=place,
        hint="the transfer broke off; ask the sender for the file again",
    )


def broken_encoding(line: int) -> Rejected:
    """The refusal of bytes that are not of the encoding that the file declares."""
    place = f"line {line}"
    return Rejected(
        "VAL407",
        f"{place}: bytes that do not fit the declared encoding",
        reason="FF01",
        place=place,
        hint="the sender has to declare the encoding that it writes; UTF-8 is the usual one",
    )


def unknown_entity(line: int) -> Rejected:
    """The refusal of an entity other than the five that every XML has."""
    place = f"line {line}"
    return Rejected("SEC105", f"{place}: a reference to an entity that XML does not define itself", place=place)


def doctype_refused(line: int) -> Rejected:
    """The refusal of a document type declaration; ``line`` 0 = not known."""
    place = f"line {line}" if line else ""
    return Rejected(
        "SEC100",
        f"{place or 'prolog'}: a document type declaration is not accepted",
        place=place,
        hint="the formats read here have none; treat the file as hostile until the sender explains it",
    )


def too_deep(line: int) -> Rejected:
    """The refusal of elements nested deeper than any message nests them."""
    place = f"line {line}" if line else ""
    return Rejected("SEC101", f"{place or 'the file'}: elements nested deeper than {MOST_DEPTH} levels", place=place)


def local(element: etree._Element) -> str:
    """Name of an element without its namespace; empty for a comment or processing instruction."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def namespace_of(element: etree._Element) -> str:
    """Namespace of an element, empty for none.

    Raises:
        Rejected: ``VAL403``: it has braces, which no URI has and which lxml's own notation of names cannot hold.
    """
    uri = str(element.tag)[1:].rpartition("}")[0]
    if "{" in uri or "}" in uri:
        place = f"line {line_of(element)}"
        raise Rejected("VAL403", f"{place}: a namespace that is no URI", reason="FF01", place=place)
    return uri


def spelled(element: etree._Element) -> str:
    """Name of an element as the file spells it, with its prefix."""
    return f"{element.prefix}:{local(element)}" if element.prefix else local(element)


def children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Child elements of that local name, of any namespace."""
    return element.iterchildren(f"{{*}}{name}")


def line_of(element: etree._Element, line_offset: int = 0) -> int:
    """Line of an element in the file; 0 when libxml2 does not know it (it counts to 65535)."""
    line: Any = element.sourceline
    if line is None:
        return 0
    return line + line_offset if 0 < line < _LINES_TOLD_BY_LIBXML2 else 0
