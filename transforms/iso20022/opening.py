"""What the first kilobytes of a file tell: which message, in which wrapping, what its header says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lxml import etree

from bus import Rejected
from transforms._plain_xml import Plain
from transforms._xml import children, hardened, line_of, local, namespace_of, refusal, spelled
from transforms.iso20022.names import BY_ELEMENT, FAMILIES, Family, message_of
from transforms.iso20022.shapes import walk

_BLOCK = 16 * 1024
_LONGEST_HEAD = 8 << 20
_SHOWN = re.compile(r"[\w:./$-]{1,120}")


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of a file.

    Attributes:
        family: which message it is.
        message: full name with version such as ``camt.053.001.08``; empty when no namespace tells it.
        is_iso: false for a bank's own variant of the namespace, and where ``message`` is empty.
        head: the message element with what stands before the first container.
        application_header: the ``AppHdr`` element (head.001) in front, where there is one.
        open_tags: elements open around the first record as the file spells them, outermost first; empty when the file
            has no container.
        has_container: false where records stand directly in the message element (pain.002 before version .03).
    """

    family: Family
    message: str
    is_iso: bool
    head: etree._Element
    application_header: etree._Element | None
    open_tags: tuple[str, ...]
    has_container: bool

    @property
    def namespace(self) -> str:
        """Namespace of the message's elements, empty for none."""
        return namespace_of(self.head)

    @property
    def is_wrapped(self) -> bool:
        """Whether ``Document`` is not the root of the file."""
        above = self.head.getparent()
        return above is not None and above.getparent() is not None

    def facts(self) -> dict[str, Any]:
        """The part of :attr:`bus.ports.Document.head` that all messages have."""
        node, values = walk(self.group_header(self.head))
        facts: dict[str, Any] = {
            "message": self.message or self.family.name,
            "message_id": values[node.index("MsgId|GrpId|Id")].strip(),
            "created": values[node.index("CreDtTm")].strip(),
        }
        if self.application_header is not None:
            facts["application_header"] = _application_header(self.application_header)
        return facts

    @staticmethod
    def group_header(message: etree._Element) -> etree._Element:
        """The ``GrpHdr`` of a message, or its ``Assgnmt``; an empty element when it has neither."""
        found = next(children(message, "GrpHdr"), None)
        return found if found is not None else next(children(message, "Assgnmt"), etree.Element("GrpHdr"))


def opening(file: Plain) -> Opening:
    """Read up to the first container.

    Raises:
        Rejected: ``VAL400`` … as :func:`transforms._xml.parse`; ``VAL403`` (no ISO 20022 message that is known
            here), ``SEC106`` (nothing of that within 8 MB).
    """
    file.file.seek(file.start)
    pull = etree.XMLPullParser(events=("start",), **hardened())
    search = _Search(file.line - 1)
    size = 0
    while size <= _LONGEST_HEAD:
        block = file.file.read(_BLOCK)
        size += len(block)
        try:
            pull.feed(block) if block else pull.close()
        except etree.XMLSyntaxError as error:
            # An error within the file says nothing about its end; one that only the end brings out means it came early.
            raise refusal(error, b">" if block else b"", file.line - 1) from None
        started: Any = pull.read_events()
        for _, element in started:
            found = search.see(element)
            if found:
                return found
        if not block:
            return search.ended()
    raise Rejected("SEC106", f"no statement or payment block within the first {_LONGEST_HEAD} bytes")


class _Search:
    """Looks at the start tags of a file until the first container; ``line_offset`` goes to the lines of elements."""

    def __init__(self, line_offset: int) -> None:
        self._line_offset = line_offset
        self._document: etree._Element | None = None
        self._message: etree._Element | None = None
        self._header: etree._Element | None = None
        self._family: Family | None = None
        self._named = ("", False)

    def see(self, element: etree._Element) -> Opening | None:
        name = local(element)
        if self._message is None:
            self._before_message(element, name)
        elif self._family is not None and element.getparent() is self._message:
            if name == self._family.container:
                return self._opening(element, has_container=True)
            if name == self._family.record:
                if self._family.container and self._family.name != "pain.002":
                    raise outside(self._family, line_of(element, self._line_offset))
                return self._opening(self._message, has_container=False)
        return None

    def _before_message(self, element: etree._Element, name: str) -> None:
        if name == "AppHdr":
            self._header = element
        named = message_of(namespace_of(element))
        if name == "Document":
            self._document, self._named = element, named
            self._family = FAMILIES.get(named[0][:8])
        elif name in BY_ELEMENT or (self._family is not None and element.getparent() is self._document):
            self._message, self._named = element, named
            self._family = BY_ELEMENT.get(name, self._family)

    def ended(self) -> Opening:
        """The whole file was seen and has no container."""
        message = self._message if self._message is not None else self._document
        if message is None or self._family is None:
            raise _no_message(message, self._line_offset)
        return Opening(self._family, *self._named, message, self._header, (), has_container=True)

    def _opening(self, innermost: etree._Element, *, has_container: bool) -> Opening:
        assert self._family is not None  # noqa: S101 - see() calls this with a known family only
        assert self._message is not None  # noqa: S101 - as above
        chain = [innermost, *innermost.iterancestors()]
        tags = tuple(spelled(element) for element in reversed(chain))
        return Opening(self._family, *self._named, self._message, self._header, tags, has_container)


def outside(family: Family, line: int) -> Rejected:
    """The refusal of a record that stands where no reader would look for it."""
    place = f"line {line}" if line else ""
    text = f"{place or 'the file'}: a {family.record} stands outside of a {family.container}"
    return Rejected("VAL416", text, reason="FF01", place=place, hint="ask the sender for a correct file")


def _no_message(document: etree._Element | None, line_offset: int) -> Rejected:
    known = ", ".join(FAMILIES)
    found, place = "no element `Document` with a message", "root element"
    if document is not None:
        place = f"line {line}" if (line := line_of(document, line_offset)) else "Document"
        uri = namespace_of(document)
        found = (
            f"`Document` has the namespace `{uri}`" if _SHOWN.fullmatch(uri) else "`Document` has no usable namespace"
        )
    text = f"{found}; known are {known}"
    return Rejected("VAL403", text, reason="FF01", place=place, hint="this is no message that girobus reads")


def _application_header(element: etree._Element) -> dict[str, str]:
    """Sender, receiver and identification of a head.001 business application header."""
    node, values = walk(element)
    paths = {
        "from": "Fr/FIId/FinInstnId/BICFI|Fr/OrgId/Id/OrgId/AnyBIC|Fr/OrgId/Id/OrgId/Othr/Id|Fr/OrgId/Nm|From/Type",
        "to": "To/FIId/FinInstnId/BICFI|To/OrgId/Id/OrgId/AnyBIC|To/OrgId/Id/OrgId/Othr/Id|To/OrgId/Nm|To/Type",
        "business_message_id": "BizMsgIdr|MsgRef",
        "message_definition": "MsgDefIdr|MsgName",
        "created": "CreDt|CrDate",
    }
    return {name: values[node.index(path)].strip() for name, path in paths.items()}
