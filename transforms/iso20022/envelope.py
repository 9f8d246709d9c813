"""What stands around a ``Document``: envelope of a network or bank, business application header (head.001)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

from lxml import etree

from bus import Rejected
from transforms._xml import local, namespace_of, parse, parser
from transforms.iso20022.generic import ElementReader, ElementWriter, WrongValue, xml_of
from transforms.iso20022.model import model
from transforms.iso20022.names import message_of
from transforms.iso20022.schemas import available

HEADER, DOCUMENT = "AppHdr", "Document"

ENVELOPES = {
    "BusMsg": "<BusMsg><AppHdr/><Document/></BusMsg>",
    "DataPDU": '<Saa:DataPDU xmlns:Saa="urn:swift:saa:xsd:saa.2.0"><Saa:Revision>2.0.13</Saa:Revision>'
    "<Saa:Body><AppHdr/><Document/></Saa:Body></Saa:DataPDU>",
    "Envelope": '<Envelope xmlns="urn:swift:xsd:envelope"><AppHdr/><Document/></Envelope>',
    "RequestPayload": "<RequestPayload><AppHdr/><Document/></RequestPayload>",
    "SOAP": '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    "<soap:Body><AppHdr/><Document/></soap:Body></soap:Envelope>",
}
"""Envelopes that are written when none was read; header and document stand in for their own."""

_MARKS = {HEADER: "girobus header", DOCUMENT: "girobus document"}


def header_data(header: etree._Element, reader: ElementReader) -> dict[str, Any]:
    """A header as plain data: by its schema when it is a head.001, else as XML."""
    message, is_iso = message_of(namespace_of(header))
    if not (is_iso and message.startswith("head.001") and available(message)):
        return {"xml": xml_of(header)}
    return {"message": message, HEADER: reader.read(header, model(message).root.type)}


def envelope_data(document: etree._Element) -> dict[str, str] | None:
    """Name and XML of the envelope around a document, which stands in it as an empty element, as does the header.

    None when the document is the root of the file.
    """
    chain = [document, *document.iterancestors()]
    if len(chain) == 1:
        return None
    inner: etree._Element | None = None
    for element, outer in pairwise(chain):
        around = _empty_copy(outer)
        for child in outer:
            if child is element:
                around.append(_empty(document) if inner is None else inner)
            else:
                around.append(_empty(child) if local(child) == HEADER else deepcopy(child))
        inner = around
    assert inner is not None  # noqa: S101 - the chain has two links at least
    return {"name": local(inner), "xml": xml_of(inner)}


def _empty_copy(element: etree._Element) -> etree._Element:
    spaces: Any = element.nsmap  # the stubs do not know that None stands for no prefix
    try:
        copy = etree.Element(element.tag, nsmap=spaces)
        for name, value in element.attrib.items():
            copy.set(name, value)
    except ValueError:  # braces, which lxml's own notation of names cannot hold
        raise Rejected("VAL403", "the envelope has a namespace that is no URI", reason="FF01") from None
    return copy


def _empty(element: etree._Element) -> etree._Element:
    return etree.Element(local(element))


def hull(body: dict[str, Any], wanted: str) -> tuple[str, str]:
    """What to write before and after a ``Document``: the envelope ``wanted``, or with ``keep`` that of the body.

    Raises:
        Rejected: ``VAL612``: an envelope that cannot be written; ``VAL604`` …: a header against its schema.
    """
    if wanted == "none":
        return "", ""
    envelope, header = body.get("envelope"), body.get("header")
    if wanted != "keep" and not (isinstance(envelope, dict) and envelope.get("name") == wanted):
        xml = ENVELOPES[wanted]
    elif envelope is None:
        if header is not None:
            raise _no_envelope("the body has a header and no envelope", f"name one: {', '.join(ENVELOPES)}, or `none`")
        return "", ""
    else:
        xml = str(envelope.get("xml", "")) if isinstance(envelope, dict) else ""
        if not xml:
            raise _no_envelope("`envelope.xml` is no text", "keep what was read, or name an envelope in the options")
    before, after = _around(xml, _header_xml(header))
    return before, after


def _around(xml: str, header: str) -> tuple[str, str]:
    try:
        root = parse(xml.encode(), parser())
    except (Rejected, UnicodeEncodeError):
        raise _no_envelope("`envelope.xml` is no XML", "keep what was read, or name an envelope") from None
    for name, mark in _MARKS.items():
        places = list(_named(root, name))
        if len(places) > 1 or any(place is root for place in places):
            raise _no_envelope(f"`envelope.xml` does not have one place for `{name}`", f"it stands there as <{name}/>")
        for place in places:
            parent = place.getparent()
            if parent is not None:
                parent.replace(place, etree.Comment(mark))
    before, found, after = xml_of(root).partition(f"<!--{_MARKS[DOCUMENT]}-->")
    if not found:
        raise _no_envelope("`envelope.xml` has no place for the document", "it stands there as <Document/>")
    gap = f"<!--{_MARKS[HEADER]}-->"
    if header and gap not in before:
        raise _no_envelope("`envelope.xml` has no place for the header", "it stands there as <AppHdr/>")
    return before.replace(gap, header), after


def _named(root: etree._Element, name: str) -> Iterator[etree._Element]:
    return root.iter(name, f"{{*}}{name}")


def _header_xml(header: Any) -> str:
    if header is None:
        return ""
    if not isinstance(header, dict):
        raise _no_envelope("`header` is no object", "a header is `{message: head.001.001.02, AppHdr: {…}}`")
    if "xml" in header:
        try:
            return xml_of(parse(str(header["xml"]).encode(), parser()))
        except (Rejected, UnicodeEncodeError):
            raise _no_envelope("`header.xml` is no XML", "write one element of XML") from None
    message = header.get("message")
    if not (isinstance(message, str) and message.startswith("head.001") and available(message)):
        raise _no_envelope("`header.message` is no version of head.001", "write for instance `head.001.001.02`")
    of = model(message)
    try:
        content = ElementWriter().content(header.get(HEADER), of.root.type)
    except WrongValue as problem:
        raise problem.refused("header", HEADER) from None
    return f'<{HEADER} xmlns="{of.namespace}">{content}</{HEADER}>'


def _no_envelope(problem: str, hint: str) -> Rejected:
    return Rejected("VAL612", problem, hint=hint)
