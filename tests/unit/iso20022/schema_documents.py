"""Random documents of any message: valid ones made from its schema, and broken ones with exactly one fault."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET  # has the only canonicalisation that evens out prefixes

from lxml import etree

from transforms.iso20022.model import Element, Model, Type, model
from transforms.iso20022.simple import Simple

_SAMPLES = {
    "boolean": ("true", "false", "1", "0"),
    "date": ("2026-11-24", "2024-02-29", "2026-11-24Z", "2026-11-24+01:00"),
    "dateTime": ("2026-11-24T10:00:00", "2026-11-24T10:00:00.123Z", "2024-02-29T23:59:59+01:00"),
    "time": ("10:00:00", "23:59:59.5Z"),
    "gYear": ("2026", "2026Z"),
    "gYearMonth": ("2026-11", "2026-02Z"),
    "base64Binary": ("QUJD", "QUI=", "QQ=="),
}
_LETTERS = "abcXYZ019 -/?:().,'+äß€&<>\"中"
_ANYTHING = (
    '<x:Other xmlns:x="urn:example:other" x:a="1"><x:B> two  <x:C/> </x:B></x:Other>',
    '<Plain xmlns="urn:example:plain">text &amp; more</Plain>',
)
_SIGNED = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X/></ds:Signature>'

Place = tuple[etree._Element, Element]
"""An element of a document and what the schema says of it."""


class Maker:
    """Makes documents; the same seed makes the same ones."""

    def __init__(self, message: str, seed: int = 0) -> None:
        self.model: Model = model(message)
        self.chance = random.Random(f"{message} {seed}")  # noqa: S311 - repeatable, not secret
        self.places: list[Place] = []

    def valid(self, fullness: float = 0.35) -> etree._Element:
        """A document; ``fullness`` is how likely an optional element near the root is there."""
        self.places = []
        root = etree.Element(self._tag(self.model.root.name), nsmap={None: self.model.namespace})  # type: ignore[dict-item]
        self.places.append((root, self.model.root))
        self._fill(root, self.model.root.type, fullness)
        return root

    def _tag(self, name: str) -> str:
        return f"{{{self.model.namespace}}}{name}"

    def _fill(self, element: etree._Element, of: Type, fullness: float) -> None:
        if of.kind in ("text", "valued"):
            for name, (simple, _) in of.attributes.items():
                element.set(name, self._text(simple))
            element.text = self._text(of.simple)
        elif of.kind == "any":
            signed = element.tag.endswith("Sgntr") if isinstance(element.tag, str) else False
            element.append(etree.fromstring(_SIGNED if signed else self.chance.choice(_ANYTHING)))
        elif of.kind == "choice":
            self._add(element, self.chance.choice(list(of.elements.values())), fullness)
        else:
            for one in of.elements.values():
                if one.least or self.chance.random() < fullness:
                    self._add(element, one, fullness)

    def _add(self, parent: etree._Element, one: Element, fullness: float) -> None:
        most = min(one.most or 3, 3)
        for _ in range(max(one.least, self.chance.randint(1, most))):
            child = etree.SubElement(parent, self._tag(one.name))
            self.places.append((child, one))
            self._fill(child, one.type, fullness * 0.8)

    def _text(self, simple: Simple) -> str:
        if simple.codes:
            return self.chance.choice(simple.codes)
        if simple.base == "dateTime" and simple.patterns:
            return "2026-11-24T10:00:00Z"
        if simple.base == "decimal":
            return self._number(simple)
        if simple.base != "string":
            return self.chance.choice(_SAMPLES[simple.base])
        if simple.patterns:
            return _matching(simple.patterns[0], self.chance)
        longest = min(simple.longest or 20, 40)
        size = self.chance.randint(max(simple.shortest, 1), max(longest, simple.shortest))
        return "".join(self.chance.choice(_LETTERS) for _ in range(size))

    def _number(self, simple: Simple) -> str:
        decimals = self.chance.randint(0, max(simple.decimals, 0))
        whole = self.chance.randint(1, max(1, min(simple.digits, 18) - decimals)) if simple.digits > 0 else 4
        sign = "-" if simple.least is None and self.chance.random() < 0.2 else ""
        digits = "".join(self.chance.choice("123456789") for _ in range(whole))
        return (
            sign
            + digits
            + ("." + "".join(self.chance.choice("0123456789") for _ in range(decimals)) if decimals else "")
        )

    # ------------------------------------------------------------ faults

    def broken(self) -> tuple[str, etree._Element]:
        """A document with one fault, and the name of the fault."""
        while True:
            root = self.valid()
            name = self.chance.choice(list(FAULTS))
            places = list(self.places)
            self.chance.shuffle(places)
            if any(FAULTS[name](self, place) for place in places):
                return name, root

    def missing(self, place: Place) -> bool:
        """Take a required element out."""
        element, one = place
        parent = element.getparent()
        if parent is None or not one.least or len(parent.findall(element.tag)) > one.least:
            return False
        parent.remove(element)
        return True

    def extra(self, place: Place) -> bool:
        """Put an element in that the schema does not have there."""
        element, one = place
        if one.type.kind == "any":
            return False
        element.insert(0, etree.Element(self._tag("Xtra")))
        return True

    def order(self, place: Place) -> bool:
        """Put the last of different children first."""
        element, one = place
        if one.type.kind != "sequence" or len({child.tag for child in element}) < 2:
            return False
        element.insert(0, element[-1])
        return True

    def twice(self, place: Place) -> bool:
        """Repeat what may stand once."""
        element, one = place
        parent = element.getparent()
        if parent is None or one.most != 1:
            return False
        parent.insert(parent.index(element), etree.fromstring(etree.tostring(element)))
        return True

    def too_long(self, place: Place) -> bool:
        """A text with one character too many."""
        return self._text_fault(place, lambda s: "x" * (s.longest + 1) if s.longest else None)

    def pattern(self, place: Place) -> bool:
        """A text against its pattern."""
        return self._text_fault(place, lambda s: "~" if s.patterns and s.base == "string" else None)

    def code(self, place: Place) -> bool:
        """A code that is none."""
        return self._text_fault(place, lambda s: "ZZZZ" if s.codes else None)

    def decimals(self, place: Place) -> bool:
        """A number with too many decimals."""
        return self._text_fault(place, lambda s: "1." + "1" * (s.decimals + 1) if s.decimals >= 0 else None)

    def form(self, place: Place) -> bool:
        """A date, number or truth value that is none."""
        # libxml2 skips what is not of the base64 alphabet, in ISO's schemas as in ours.
        wrong = {"string": None, "base64Binary": "A="}
        return self._text_fault(place, lambda s: wrong.get(s.base, "2026-02-30"))

    def attribute(self, place: Place) -> bool:
        """An amount without its currency, or with one that is none."""
        element, one = place
        if not one.type.attributes:
            return False
        name = next(iter(one.type.attributes))
        if self.chance.random() < 0.5:
            del element.attrib[name]
        else:
            element.set(name, "eur")
        return True

    @staticmethod
    def _text_fault(place: Place, wrong: Callable[[Simple], str | None]) -> bool:
        element, one = place
        if one.type.kind not in ("text", "valued"):
            return False
        text = wrong(one.type.simple)
        if text is None:
            return False
        element.text = text
        return True


FAULTS: dict[str, Callable[[Maker, Place], bool]] = {
    "missing": Maker.missing,
    "extra": Maker.extra,
    "order": Maker.order,
    "twice": Maker.twice,
    "too long": Maker.too_long,
    "pattern": Maker.pattern,
    "code": Maker.code,
    "decimals": Maker.decimals,
    "form": Maker.form,
    "attribute": Maker.attribute,
}


_PART = re.compile(r"\((?P<group>[^()]*)\)|\[(?P<set>(?:\\.|[^\]])+)\]|(?P<char>\\.|[^\[\](){}])")
_TIMES = re.compile(r"\{(\d+)(?:,(\d+))?\}|(\+)")


def _matching(pattern: re.Pattern[str], chance: random.Random) -> str:
    """A text of a pattern; the patterns of ISO 20022 are sets, groups and numbers of repetitions."""
    text = _made(pattern.pattern, chance)
    assert pattern.fullmatch(text), pattern.pattern
    return text


def _made(pattern: str, chance: random.Random) -> str:
    found, position = "", 0
    while position < len(pattern):
        part = _PART.match(pattern, position)
        assert part is not None, pattern
        position = part.end()
        times = _TIMES.match(pattern, position)
        least, most = 1, 1
        if times:
            position = times.end()
            least = 1 if times[3] else int(times[1])
            most = 4 if times[3] else int(times[2] or times[1])
        for _ in range(chance.randint(least, most)):
            found += _one(part, chance)
    return found


def _one(part: re.Match[str], chance: random.Random) -> str:
    if part["group"] is not None:
        return _made(part["group"], chance)
    if part["set"] is None:
        return str(part["char"].removeprefix("\\"))
    members: list[str] = []
    for found in re.finditer(r"(\\?.)-(\\?.)|(\\?.)", part["set"]):
        if found[3]:
            members.append(found[3].removeprefix("\\"))
        else:
            members += [chr(code) for code in range(ord(found[1]), ord(found[2]) + 1)]
    return chance.choice(members)


def as_bytes(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def canonical(content: bytes) -> str:
    """A message in its canonical form (C14N 2.0) with prefixes evened out.

    Left aside: comments, processing instructions, and white space where the schema has no text.
    """
    using = etree.XMLParser(remove_comments=True, remove_pis=True, resolve_entities=False)
    root = etree.fromstring(content, using)
    for document in root.iter("{*}Document", "{*}AppHdr"):
        message = str(etree.QName(document).namespace).rpartition(":")[2]
        found = re.search(r"(pain|camt|pacs|head|remt)\.\d{3}\.\d{3}\.\d{2}", message)
        if found:
            _without_space(document, model(found[0]).root.type)
    for element in root.iter():
        if len(element) and not _inside(element):
            _strip(element)
    return ET.canonicalize(etree.tostring(root, encoding="unicode"), rewrite_prefixes=True)


def _inside(element: Any) -> bool:
    """Whether an element is a part of a document or header, and not around it."""
    return any(etree.QName(e).localname in ("Document", "AppHdr") for e in (element, *element.iterancestors()))


def _strip(element: Any) -> None:
    if element.text and element.text.isspace():
        element.text = None
    for child in element:
        if child.tail and child.tail.isspace():
            child.tail = None


def _without_space(element: Any, of: Type) -> None:
    if of.kind in ("text", "valued"):
        return
    _strip(element)
    for child in element:
        one = of.element(child.tag)
        if one is not None:
            _without_space(child, one.type)
