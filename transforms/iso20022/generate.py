"""Builds the XML Schemas of the ISO 20022 messages from the dataclasses of ``pyiso20022``, at build time or by hand.

ISO publishes the schemas on iso20022.org; pyiso20022 carries them as Python classes, from which every rule of the
schemas can be read back. The result is shipped in the wheel and kept out of version control. Runs as build hook of
hatchling (also for editable installs) and as ``python transforms/iso20022/generate.py``.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:

    class BuildHookInterface:
        """What is used of hatchling's interface."""

        root: str

else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface
    except ImportError:  # run by hand in an environment without the build tool
        BuildHookInterface = object

VERSIONS: dict[str, tuple[int, ...]] = {
    "pain.001.001": tuple(range(3, 13)),
    "pain.002.001": tuple(range(3, 15)),
    "pain.008.001": (2, 3, 4, 5, 6, 7, 9, 10),
    "camt.052.001": tuple(range(2, 13)),
    "camt.053.001": tuple(range(2, 13)),
    "camt.054.001": tuple(range(2, 13)),
}
"""Message and version numbers to build; all that pyiso20022 1.6.2 has of the messages that girobus reads and writes."""

SCHEMAS = Path(__file__).resolve().parent / "schemas"
_STAMP = "built-from.txt"

_CHOICES = frozenset({"CashAccountType2", "CashBalanceAvailabilityDate1"})
"""Types that are a choice although their name does not end in ``Choice`` (found by comparing with ISO's schemas)."""

_OPTIONAL_CHOICES = frozenset({"MandateRelatedData1Choice", "MandateRelatedData2Choice", "MandateRelatedData3Choice"})
"""Choices whose members ISO wrote with ``minOccurs="0"``, so that the choice may stay empty."""

_BASES = {
    "str": "string",
    "Decimal": "decimal",
    "bool": "boolean",
    "bytes": "base64Binary",
    "XmlDate": "date",
    "XmlDateTime": "dateTime",
    "XmlTime": "time",
}
_FACETS = {
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
    "fraction_digits": "fractionDigits",
    "total_digits": "totalDigits",
    "min_inclusive": "minInclusive",
    "max_inclusive": "maxInclusive",
}


class _Schema:
    """One schema in the making: types are collected by name while the elements that use them are written."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._types: dict[str, str] = {}

    def text(self, source: str) -> str:
        """The whole schema; ``source`` is told in a comment."""
        namespace = self._module.__NAMESPACE__
        self._complex(self._module.Document)
        types = "".join(self._types[name] for name in sorted(self._types))
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<!-- ISO 20022 message definition (iso20022.org), from {source} -->\n"
            f'<xs:schema xmlns="{namespace}" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
            f'elementFormDefault="qualified" targetNamespace="{namespace}">\n'
            f'<xs:element name="Document" type="Document"/>\n{types}</xs:schema>\n'
        )

    def _complex(self, cls: type[Any]) -> str:
        name = cls.__name__
        if name in self._types:
            return name
        self._types[name] = ""  # a type may contain itself
        members = fields(cls)
        kinds = {m.metadata.get("type") for m in members}
        of_elements = kinds & {"Element", "Wildcard"}
        body = self._content(name, members) if of_elements else self._simple_content(members)
        self._types[name] = f'<xs:complexType name="{name}">{body}</xs:complexType>\n'
        return name

    def _content(self, name: str, members: tuple[Field[Any], ...]) -> str:
        choice = name.endswith("Choice") or name in _CHOICES
        model = "choice" if choice else "sequence"
        needed = choice and name not in _OPTIONAL_CHOICES
        return f"<xs:{model}>" + "".join(self._element(m, needed=needed) for m in members) + f"</xs:{model}>"

    def _element(self, member: Field[Any], *, needed: bool) -> str:
        """One element; ``needed`` is true in a choice, where being chosen means being there."""
        meta = member.metadata
        kind, many = _annotation(member)
        needed = needed or meta.get("required", False) or meta["type"] == "Wildcard"
        least = max(meta.get("min_occurs", 0), int(needed))
        most = meta.get("max_occurs", "unbounded") if many else 1
        occurs = ("" if least == 1 else f' minOccurs="{least}"') + ("" if most == 1 else f' maxOccurs="{most}"')
        if meta["type"] == "Wildcard":
            process = meta.get("process_contents", "lax")
            return f'<xs:any namespace={quoteattr(meta["namespace"])} processContents="{process}"{occurs}/>'
        return f'<xs:element name="{meta["name"]}" type="{self._type(kind, member)}"{occurs}/>'

    def _simple_content(self, members: tuple[Field[Any], ...]) -> str:
        (value,) = (m for m in members if "type" not in m.metadata)
        base = self._type(_annotation(value)[0], value)
        attributes = "".join(
            f'<xs:attribute name="{m.metadata["name"]}" type="{self._type(_annotation(m)[0], m)}"'
            + (' use="required"/>' if m.metadata.get("required") else "/>")
            for m in members
            if m is not value
        )
        return f'<xs:simpleContent><xs:extension base="{base}">{attributes}</xs:extension></xs:simpleContent>'

    def _type(self, kind: str, member: Field[Any]) -> str:
        if kind == "XmlPeriod":
            return "xs:gYear" if member.metadata["name"] == "Yr" else "xs:gYearMonth"
        if kind in _BASES:
            return self._restricted(_BASES[kind], member)
        cls: type[Any] = getattr(self._module, kind)
        if is_dataclass(cls):
            return self._complex(cls)
        if not issubclass(cls, Enum):
            raise TypeError(f"pyiso20022 has a kind of type that this builder does not know: {kind}")
        values = "".join(f"<xs:enumeration value={quoteattr(item.value)}/>" for item in cls)
        self._types[kind] = _simple_type(kind, "string", values)
        return kind

    def _restricted(self, base: str, member: Field[Any]) -> str:
        """A named simple type for a base and its facets; equal facets share one type."""
        facets = {xsd: member.metadata[key] for key, xsd in _FACETS.items() if key in member.metadata}
        if not facets:
            return f"xs:{base}"
        rules = "".join(f'<xs:{xsd} value="{escape(str(value))}"/>' for xsd, value in facets.items())
        if base == "string" and set(facets) == {"minLength", "maxLength"} and facets["minLength"] == 1:
            name = f"Max{facets['maxLength']}Text"
        else:
            name = f"{base.capitalize()}_{hashlib.sha256(rules.encode()).hexdigest()[:8]}"
        self._types[name] = _simple_type(name, base, rules)
        return name


def _simple_type(name: str, base: str, rules: str) -> str:
    return f'<xs:simpleType name="{name}"><xs:restriction base="xs:{base}">{rules}</xs:restriction></xs:simpleType>\n'


def _annotation(member: Field[Any]) -> tuple[str, bool]:
    """Name of the type behind ``None | T``, ``T`` or ``list[T]``, and whether it is a list."""
    text = str(member.type).removeprefix("None | ")
    if text.startswith("list["):
        return text[5:-1], True
    return text, False


def messages() -> list[str]:
    """The full names of all messages to build, such as ``pain.001.001.09``."""
    return [f"{family}.{number:02d}" for family, numbers in VERSIONS.items() for number in numbers]


def schema_text(message: str) -> str:
    """The XML Schema of one message, from the installed pyiso20022."""
    name = message.replace(".", "_")
    module = import_module(f"pyiso20022.{message[:4]}.{name}.{name}")
    return _Schema(module).text(f"pyiso20022 {installed_version('pyiso20022')}")


def generate(target: Path = SCHEMAS) -> int:
    """Write all schemas into ``target`` and return how many were written; 0 when they are up to date."""
    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    stamp = f"pyiso20022 {installed_version('pyiso20022')}\n{here}\n"
    built = target / _STAMP
    wanted = messages()
    if built.is_file() and built.read_text("utf-8") == stamp and all((target / f"{m}.xsd").is_file() for m in wanted):
        return 0
    target.mkdir(parents=True, exist_ok=True)
    for message in wanted:
        (target / f"{message}.xsd").write_text(schema_text(message), "utf-8")
    built.write_text(stamp, "utf-8")
    return len(wanted)


class CustomBuildHook(BuildHookInterface):
    """Generates the schemas before hatchling packs a wheel, a source distribution or an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; ``version`` is ``standard`` or ``editable``: both need the files in the source."""
        del version, build_data
        generate(Path(self.root) / "transforms" / "iso20022" / "schemas")


if __name__ == "__main__":
    sys.stdout.write(f"{generate()} schemas written to {SCHEMAS}\n")
