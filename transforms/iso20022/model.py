"""The content model of a message, read from its XML Schema: which elements, in which order, how often, of which type.

Everything that treats any message alike works from it: the plain data of :mod:`transforms.iso20022.generic`, the
conversion between versions. Choices hold elements only, and ``xs:any`` stands alone, in all schemas of ISO 20022 since
2009; a schema of another shape is refused when it is loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from lxml import etree

from transforms.iso20022.names import namespace
from transforms.iso20022.schemas import source
from transforms.iso20022.simple import Simple

_XS = "{http://www.w3.org/2001/XMLSchema}"
Kind = Literal["sequence", "choice", "text", "valued", "any"]


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """One element within a type; ``most`` 0 = any number of times."""

    name: str
    type: Type
    least: int
    most: int

    @property
    def repeats(self) -> bool:
        """Whether it may stand more than once, so that plain data has a list."""
        return self.most != 1


@dataclass(slots=True, eq=False)
class Type:
    """The content of an element.

    Attributes:
        kind: ``sequence`` (elements in this order), ``choice`` (one of them), ``text``, ``valued`` (text with
            attributes, as amounts are), ``any`` (foreign XML).
        elements: of a sequence or choice, in the order of the schema.
        simple: of a text or a valued type.
        attributes: of a valued type: name -> type and whether it is required.
        is_optional: a choice that may stay empty, and foreign XML that may.
    """

    kind: Kind
    elements: dict[str, Element] = field(default_factory=dict)
    simple: Simple = field(default_factory=lambda: Simple("string"))
    attributes: dict[str, tuple[Simple, bool]] = field(default_factory=dict)
    is_optional: bool = False
    by_tag: dict[str, Element | None] = field(default_factory=dict)
    """Tags with namespace that were met, for readers."""

    def element(self, tag: str) -> Element | None:
        """The element of a tag with any namespace; None when there is none."""
        try:
            return self.by_tag[tag]
        except KeyError:
            found = self.elements.get(tag.rpartition("}")[2])
            if found is not None or len(self.by_tag) < 1_000:
                self.by_tag[tag] = found
            return found


def type_at(kind: Type, path: str) -> Type | None:
    """The type at ``A/B`` below another; None when the version has no such element."""
    for name in path.split("/") if path else ():
        element = kind.elements.get(name)
        if element is None:
            return None
        kind = element.type
    return kind


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A message in one version.

    Attributes:
        message: full name such as ``pain.001.001.09``.
        root: ``Document`` or, for head.001, ``AppHdr``.
    """

    message: str
    root: Element

    @property
    def namespace(self) -> str:
        """The XML namespace."""
        return namespace(self.message)

    def path(self, name: str) -> tuple[Element, ...]:
        """The way from below the root to the nearest repeating element of that name, or along that path of names.

        ``Ntry``, ``PmtInf/CdtTrfTxInf``; empty when there is none.
        """
        wanted = tuple(name.split("/"))
        queue: deque[tuple[Element, ...]] = deque((one,) for one in self.root.type.elements.values())
        while queue:
            way = queue.popleft()
            if way[-1].repeats and tuple(e.name for e in way[-len(wanted) :]) == wanted:
                return way
            if len(way) < _DEEPEST:
                queue.extend((*way, one) for one in way[-1].type.elements.values() if one not in way)
        return ()

    def repeating(self) -> tuple[str, ...]:
        """Names of the elements that repeat near the root: the records and what groups them."""
        found: dict[str, None] = {}
        for top in self.root.type.elements.values():
            for one in top.type.elements.values():
                below = [e for e in one.type.elements.values() if e.repeats and e.type.kind == "sequence"]
                if one.repeats and one.type.kind == "sequence" and one.name != "SplmtryData":
                    found.update(dict.fromkeys([one.name, *(e.name for e in below if e.name != "SplmtryData")]))
        return tuple(found)


_DEEPEST = 8


@cache
def model(message: str) -> Model:
    """The model of a message such as ``pain.001.001.09``.

    Raises:
        ConfigError: ``VAL406`` when girobus has no schema of it.
    """
    return _Loader(source(message)).model(message)


class _Loader:
    """Reads one schema."""

    def __init__(self, schema: etree._Element) -> None:
        self._schema = schema
        self._named = {str(e.get("name")): e for e in schema if e.tag in (f"{_XS}complexType", f"{_XS}simpleType")}
        self._types: dict[str, Type] = {}

    def model(self, message: str) -> Model:
        root = self._schema.find(f"{_XS}element")
        if root is None:
            raise ValueError(f"{message}: a schema without an element")
        return Model(message, self._element(root))

    def _element(self, node: etree._Element) -> Element:
        most = str(node.get("maxOccurs", "1"))
        return Element(
            str(node.get("name")),
            self._type(str(node.get("type"))),
            int(node.get("minOccurs", "1")),
            0 if most == "unbounded" else int(most),
        )

    def _type(self, name: str) -> Type:
        if name in self._types:
            return self._types[name]
        node = self._named.get(name)
        if node is None or node.tag == f"{_XS}simpleType":
            made = self._types[name] = Type("text", simple=self._simple(name))
            return made
        extension = node.find(f"{_XS}simpleContent/{_XS}extension")
        if extension is not None:
            made = self._types[name] = self._valued(extension)
            return made
        made = self._types[name] = Type("sequence")  # known before it is complete, because it may contain itself
        self._fill(made, node)
        return made

    def _fill(self, made: Type, node: etree._Element) -> None:
        content = _only_group(node)
        members = list(content)
        if [str(m.tag) for m in members] == [f"{_XS}any"]:
            made.kind, made.is_optional = "any", members[0].get("minOccurs") == "0"
            return
        if any(m.tag != f"{_XS}element" for m in members):
            raise ValueError(f"{node.get('name')}: groups within groups")
        made.elements.update((one.name, one) for one in map(self._element, members))
        if content.tag == f"{_XS}choice":
            made.kind = "choice"
            made.is_optional = any(not one.least for one in made.elements.values())

    def _valued(self, extension: etree._Element) -> Type:
        attributes = {
            str(a.get("name")): (self._simple(str(a.get("type"))), a.get("use") == "required") for a in extension
        }
        return Type("valued", simple=self._simple(str(extension.get("base"))), attributes=attributes)

    def _simple(self, name: str) -> Simple:
        if name.startswith("xs:"):
            return Simple(name.removeprefix("xs:"))
        restriction = self._named[name].find(f"{_XS}restriction")
        if restriction is None:
            raise ValueError(f"{name}: a simple type that is no restriction")
        facets = ((str(f.tag).removeprefix(_XS), str(f.get("value"))) for f in restriction)
        return self._simple(str(restriction.get("base"))).restricted(facets)


def _only_group(node: etree._Element) -> etree._Element:
    """The sequence or choice of a complex type; a sequence that holds nothing but one group is that group."""
    groups = [child for child in _elements(node) if child.tag in (f"{_XS}sequence", f"{_XS}choice")]
    if len(groups) != 1 or len(list(_elements(node))) != 1:
        raise ValueError(f"{node.get('name')}: a complex type without one group")
    inside = list(_elements(groups[0]))
    if len(inside) == 1 and inside[0].tag in (f"{_XS}sequence", f"{_XS}choice"):
        return inside[0]
    return groups[0]


def _elements(node: etree._Element) -> Iterator[etree._Element]:
    return (child for child in node if isinstance(child.tag, str))
