"""Any ISO 20022 message as plain data and back, by its XML Schema.

An element is, by its type in the schema:

* a text: a string, exactly as it stands (``"100.10"``, ``"true"``, ``"2026-11-24"``);
* a text with attributes, as amounts are: ``{"Ccy": "EUR", "value": "100.10"}``;
* a sequence or choice: an object with one key an element that is there; one that may stand more than once is always a
  list, even of one;
* foreign XML (``xs:any``, in ``SplmtryData/Envlp``): a string, the XML itself.

Read leniently: an element that the schema does not know is kept as foreign XML, in a list under its name, with a
finding. Written strictly: order comes from the schema, and a key that is not known, one that is missing, a value of
another type or against the schema is refused with its path.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from bus import Finding, Rejected
from transforms._xml import line_of, local, parse, parser
from transforms.iso20022.model import Element, Type

VALUE = "value"
"""Key of the text of an element that has attributes."""

OUTSIDE = ("message", "namespace", "schema_location", "envelope", "header", "document")
"""Keys of a body that are no elements."""

_MOST_FINDINGS = 1_000
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHOWN = re.compile(r"[\w.:\-]{1,64}")


# ---------------------------------------------------------------- reading


class ElementReader:
    """Makes plain data of elements and collects what is odd about them."""

    def __init__(self, line_offset: int = 0) -> None:
        self.findings: list[Finding] = []
        self._line_offset = line_offset

    def read(self, element: etree._Element, of: Type) -> Any:
        """The content of an element.

        Raises:
            Rejected: ``VAL602``: what cannot be kept: text beside elements, an element twice that may stand once.
        """
        if of.kind == "text":
            if len(element) or element.attrib:
                self._beside_text(element, attributes=bool(element.attrib))
            return element.text or ""
        if of.kind == "valued":
            return self._valued(element, of)
        if of.kind == "any":
            return self._foreign(element)
        return self.children(element, of, iter(element))

    def children(self, element: etree._Element, of: Type, chosen: Iterator[etree._Element]) -> dict[str, Any]:
        """The content of an element of which only some children are wanted."""
        found: dict[str, Any] = {}
        find = of.element
        if element.attrib:
            self._attributes(element)
        if element.text and not element.text.isspace():
            raise self._refused(element, "text where only elements may stand")
        for child in chosen:
            if child.tail and not child.tail.isspace():
                raise self._refused(element, "text where only elements may stand")
            one = find(child.tag)
            if one is None:
                self._unknown(child, found)
                continue
            name = one.name
            value = self.read(child, one.type)
            if one.most != 1:
                if name in found:
                    found[name].append(value)
                else:
                    found[name] = [value]
            elif name in found:
                raise self._refused(child, "it stands twice where the schema has it once")
            else:
                found[name] = value
        return found

    def _valued(self, element: etree._Element, of: Type) -> dict[str, str]:
        if len(element):
            self._beside_text(element, attributes=False)
        found: dict[str, str] = {}
        for name, value in element.attrib.items():
            if name in of.attributes:
                found[str(name)] = str(value)
            else:
                self._tell(element, "VAL603", "an attribute that the schema does not know is left out")
        found[VALUE] = element.text or ""
        return found

    def _foreign(self, element: etree._Element) -> str | list[str]:
        if (element.text and not element.text.isspace()) or any(c.tail and not c.tail.isspace() for c in element):
            raise self._refused(element, "text where foreign XML may stand")
        if element.attrib:
            self._attributes(element)
        inside = [xml_of(child) for child in element]
        return inside[0] if len(inside) == 1 else inside

    def _unknown(self, child: etree._Element, found: dict[str, Any]) -> None:
        self._tell(child, "VAL601", "an element that the schema does not have here; kept as XML")
        kept = found.setdefault(local(child), [])
        if not isinstance(kept, list):
            raise self._refused(child, "it stands twice where the schema has it once")
        kept.append(xml_of(child))

    def _beside_text(self, element: etree._Element, *, attributes: bool) -> None:
        if len(element):
            raise self._refused(element, "elements where only text may stand")
        if attributes:
            self._attributes(element)

    def _attributes(self, element: etree._Element) -> None:
        self._tell(element, "VAL603", "an attribute that the schema does not know is left out")

    def _tell(self, element: etree._Element, code: str, message: str) -> None:
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(code, "warning", self.place(element), message))

    def place(self, element: etree._Element) -> str:
        """For people: ``line 17, PmtInf/CdtTrfTxInf/Amt``."""
        names = [local(e) for e in (element, *element.iterancestors())]
        inner = names[: names.index("Document") - 1] if "Document" in names[2:] else names
        line = line_of(element, self._line_offset)
        told = "/".join(n if _SHOWN.fullmatch(n) else "?" for n in reversed(inner or names[:1]))
        return f"line {line}, {told}" if line else told

    def _refused(self, element: etree._Element, why: str) -> Rejected:
        place = self.place(element)
        return Rejected("VAL602", f"{place}: {why}", reason="FF01", place=place, hint="ask the sender for a valid file")


def xml_of(element: etree._Element) -> str:
    """An element as XML that stands alone, with every namespace that it may speak of."""
    return etree.tostring(element, encoding="unicode", with_tail=False)


# ---------------------------------------------------------------- writing


class WrongValue(Exception):  # noqa: N818 - becomes a Rejected with its whole path where the path is known
    """A value that cannot be written, and its path from the inside out."""

    def __init__(self, code: str, problem: str, hint: str = "") -> None:
        super().__init__(code, problem)
        self.code, self.problem, self.hint = code, problem, hint
        self.path: list[str] = []

    def refused(self, *before: str) -> Rejected:
        """The refusal; ``before`` is the path of what was written."""
        place = ".".join((*before, *reversed(self.path))).replace(".[", "[")
        return Rejected(self.code, f"{place}: {self.problem}", hint=self.hint, reason="FF01", place=place)


class ElementWriter:
    """Makes XML of plain data, in the order of the schema; texts are checked against it when ``checked``."""

    def __init__(self, *, checked: bool = True) -> None:
        self._checked = checked

    def write(self, name: str, value: Any, of: Type) -> str:
        """One element.

        Raises:
            WrongValue: ``VAL604`` … ``VAL610``, ``VAL615``.
        """
        if of.kind == "text":
            return f"<{name}>{self._text(value, of)}</{name}>"
        if of.kind == "valued":
            return self._valued(name, value, of)
        if of.kind == "any":
            return f"<{name}>{self._foreign(value, of)}</{name}>"
        return f"<{name}>{self.content(value, of)}</{name}>"

    def content(self, value: Any, of: Type) -> str:
        """What stands inside an element of a sequence or choice."""
        given = present(value, of)
        out = [self.one(one, given[one.name]) for one in of.elements.values() if one.name in given]
        self.complete(given, of)
        return "".join(out)

    def one(self, element: Element, value: Any) -> str:
        """All occurrences of one element."""
        name = element.name
        try:
            if element.most == 1:
                return self.write(name, value, element.type)
            items = enumerate(_listed(value, element.most))
            return "".join(self._item(name, item, index, element.type) for index, item in items)
        except WrongValue as problem:
            problem.path.append(name)
            raise

    def _item(self, name: str, item: Any, index: int, of: Type) -> str:
        try:
            return self.write(name, item, of)
        except WrongValue as problem:
            problem.path.append(f"[{index}]")
            raise

    def complete(self, given: dict[str, Any], of: Type) -> None:
        """Check the keys of an object against the elements of its type."""
        if not given.keys() <= of.elements.keys():
            raise _unknown_key(given, of)
        if of.kind == "choice":
            if len(given) != 1 and not (of.is_optional and not given):
                told = "none" if not given else f"{len(given)} of them"
                raise WrongValue("VAL608", f"exactly one of {_some(of)} is wanted, there is {told}")
            return
        for name, element in of.elements.items():
            if element.least and name not in given:
                raise WrongValue("VAL605", f"`{name}` is missing", "the schema requires it")

    def _valued(self, name: str, value: Any, of: Type) -> str:
        if type(value) is not dict:
            wanted = ", ".join(f"`{key}`" for key in (*of.attributes, VALUE))
            raise WrongValue("VAL606", f"an object with {wanted} is wanted, this is {_kind_of(value)}")
        for key in value:
            if key != VALUE and key not in of.attributes:
                raise _unknown_key(value, of)
        if value.get(VALUE) is None:
            raise WrongValue("VAL605", f"`{VALUE}` is missing")
        attributes = ""
        for key, (simple, required) in of.attributes.items():
            one = value.get(key)
            if one is None:
                if required:
                    raise WrongValue("VAL605", f"`{key}` is missing", "for amounts it is the currency")
                continue
            self._known(one, Type("text", simple=simple), key)
            attributes += f" {key}={quoteattr(one)}"
        try:
            return f"<{name}{attributes}>{self._text(value[VALUE], of)}</{name}>"
        except WrongValue as problem:
            problem.path.append(VALUE)
            raise

    def _known(self, value: Any, of: Type, key: str) -> None:
        try:
            self._text(value, of)
        except WrongValue as problem:
            problem.path.append(key)
            raise

    def _text(self, value: Any, of: Type) -> str:
        text = value if type(value) is str else _spelled(value, of)
        if self._checked:
            problem = of.simple.problem(text)
            if problem:
                raise WrongValue("VAL607", problem)
        if _NOT_IN_XML.search(text):
            raise WrongValue("VAL607", "a character that cannot stand in XML")
        return escape(text, _RETURNS) if "\r" in text else escape(text)

    def _foreign(self, value: Any, of: Type) -> str:
        if value in ("", []) and of.is_optional:
            return ""
        if type(value) is not str:
            raise WrongValue("VAL606", f"one element of XML as text is wanted, this is {_kind_of(value)}")
        try:
            return xml_of(parse(value.encode(), parser()))
        except Rejected as error:
            raise WrongValue("VAL615", f"one element of XML is wanted ({error.code})") from None
        except UnicodeEncodeError:
            raise WrongValue("VAL615", "a character that cannot stand in XML") from None


def present(value: Any, of: Type) -> dict[str, Any]:
    """The keys of an object that say something: null and an empty list mean that the element is not there."""
    if type(value) is not dict:
        raise WrongValue("VAL606", f"an object with {_some(of)} is wanted, this is {_kind_of(value)}")
    return {key: one for key, one in value.items() if one is not None and one != []}


def _listed(value: Any, most: int) -> list[Any]:
    if type(value) is not list:
        raise WrongValue("VAL606", f"a list is wanted, this is {_kind_of(value)}", "it may stand more than once")
    if most and len(value) > most:
        raise WrongValue("VAL610", f"{len(value)} of them, the schema allows {most}")
    return value


_RETURNS = {"\r": "&#13;"}


def _spelled(value: Any, of: Type) -> str:
    """Numbers and truth values where the schema has them; never a binary float."""
    base = of.simple.base
    if base == "boolean" and type(value) is bool:
        return "true" if value else "false"
    if base == "decimal" and type(value) is int:
        return str(value)
    if base == "decimal" and type(value) is Decimal and value.is_finite():
        return f"{value:f}"
    raise WrongValue("VAL606", f"a text is wanted, this is {_kind_of(value)}", 'amounts are texts such as "100.10"')


def _kind_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", float: "a binary float"}
    return names.get(type(value), "a number" if isinstance(value, int | Decimal) else "no plain data")


def _some(of: Type) -> str:
    names = list(of.elements)
    return ", ".join(f"`{name}`" for name in names[:6]) + (", …" if len(names) > 6 else "")


def _unknown_key(value: dict[str, Any], of: Type) -> WrongValue:
    known = [*of.elements] if of.elements else [*of.attributes, VALUE]
    key = next(key for key in value if key not in known)
    shown = f"`{key}`" if isinstance(key, str) and _SHOWN.fullmatch(key) else "a key"
    near = difflib.get_close_matches(str(key)[:40], known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"the schema has {_some(of) or ', '.join(known)} here"
    return WrongValue("VAL604", f"{shown} is no element that the schema has here", hint)
