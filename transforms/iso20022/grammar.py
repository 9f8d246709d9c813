"""The rules of one message version as its XML Schema has them: which elements an element has, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from lxml import etree

from transforms.iso20022 import schemas

_XS = "{http://www.w3.org/2001/XMLSchema}"
_LONG = 1 << 30


@dataclass(slots=True, eq=False)
class Kind:
    """One type of a schema.

    Attributes:
        elements: name of each element -> its type, in the order in which they have to stand; empty for texts.
        codes: what a text may be, where the schema lists it.
        longest: characters that a text may have.
        base: ``string``, ``decimal``, ``date``, ``dateTime``, ``boolean`` …
    """

    elements: dict[str, Kind] = field(default_factory=dict)
    codes: frozenset[str] = frozenset()
    longest: int = _LONG
    base: str = "string"

    def below(self, path: str) -> Kind | None:
        """The type at ``A/B`` below this one; None when the version has no such element."""
        found: Kind | None = self
        for name in path.split("/") if path else ():
            found = found.elements.get(name) if found is not None else None
        return found

    def takes(self, code: str) -> bool:
        """Whether a text can be one of the schema's codes."""
        return code in self.codes if self.codes else len(code) <= self.longest


@cache
def grammar(message: str) -> Kind:
    """The type of the element ``Document`` of a message such as ``pain.001.001.09``.

    Raises:
        ConfigError: ``VAL406`` when girobus has no schema of it.
    """
    root = schemas.source(message)
    return _Reader({str(one.get("name")): one for one in root if one.get("name")}).kind("Document")


class _Reader:
    """Reads types by name, each once: some contain themselves."""

    def __init__(self, found: dict[str, etree._Element]) -> None:
        self._found = found
        self._made: dict[str, Kind] = {}

    def kind(self, name: str) -> Kind:
        if name in self._made:
            return self._made[name]
        made = self._made[name] = Kind()
        one = self._found.get(name)
        if one is None:  # a type of XML Schema itself
            made.base = name.rpartition(":")[2]
            return made
        for element in one.iter(f"{_XS}element"):
            made.elements[str(element.get("name"))] = self.kind(str(element.get("type")))
        for restriction in one.iter(f"{_XS}restriction", f"{_XS}extension"):
            base = self.kind(str(restriction.get("base")))
            made.base = base.base
            made.codes = frozenset(str(e.get("value")) for e in restriction.iter(f"{_XS}enumeration"))
            for length in restriction.iter(f"{_XS}maxLength"):
                made.longest = int(str(length.get("value")))
        return made
