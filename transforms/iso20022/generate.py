"""Builds the XML Schemas of the ISO 20022 messages from the packages that carry them, at build time or by hand.

ISO publishes the schemas on iso20022.org. pyiso20022 carries them as Python classes, from which every rule of the
schemas can be read back; what it lacks is copied from sepaxml, which carries the files themselves. ``versions.csv``
lists what is built, from which release of which package, and the SHA-256 of the result: a build that gives anything
else fails. The schemas are shipped in the wheel and kept out of version control. Runs as build hook of hatchling (also
for editable installs) and as ``python transforms/iso20022/generate.py``; with ``--pin`` it writes the sums into the
table.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from html import escape
from importlib import import_module
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:

    class BuildHookInterface:
        """What is used of hatchling's interface."""

        root: str

else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface
    except ImportError:  # run by hand in an environment without the build tool
        BuildHookInterface = object

VERSIONS = Path(__file__).resolve().parent / "versions.csv"
"""The table of what is built: full name of the message, source package, its release, SHA-256 of the schema."""

SCHEMAS = Path(__file__).resolve().parent / "schemas"
_STAMP = "built-from.txt"

_CHOICES = frozenset({"CashAccountType2", "CashBalanceAvailabilityDate1"})
"""Types that are a choice although their name does not end in ``Choice`` (found by comparing with ISO's schemas)."""

_OPTIONAL_IN_CHOICES = {
    "MandateRelatedData1Choice": None,
    "MandateRelatedData2Choice": None,
    "MandateRelatedData3Choice": None,
    "References74Choice": frozenset({"CtrPtyMktInfrstrctrTxId"}),
}
"""Members of choices that ISO wrote with ``minOccurs="0"``, so that the choice may stay empty; None = all members."""

_NORMALISED_TIME = ".*Z"
"""The pattern of ISONormalisedDateTime, a point in time that pyiso20022 has as text."""

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
        root = "Document" if hasattr(self._module, "Document") else "AppHdr"
        self._complex(getattr(self._module, root))
        types = "".join(self._types[name] for name in sorted(self._types))
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<!-- ISO 20022 message definition (iso20022.org), from {source} -->\n"
            f'<xs:schema xmlns="{namespace}" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
            f'elementFormDefault="qualified" targetNamespace="{namespace}">\n'
            f'<xs:element name="{root}" type="{root}"/>\n{types}</xs:schema>\n'
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
        optional = _OPTIONAL_IN_CHOICES.get(name, frozenset())
        elements = (
            self._element(m, needed=choice and optional is not None and m.metadata["name"] not in optional)
            for m in members
        )
        return f"<xs:{model}>{''.join(elements)}</xs:{model}>"

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
            return f'<xs:any namespace={_quoted(meta["namespace"])} processContents="{process}"{occurs}/>'
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
        if member.metadata.get("pattern") == _NORMALISED_TIME:
            kind = "XmlDateTime"
        if kind in _BASES:
            return self._restricted(_BASES[kind], member)
        cls: type[Any] = getattr(self._module, kind)
        if is_dataclass(cls):
            return self._complex(cls)
        if not issubclass(cls, Enum):
            raise TypeError(f"pyiso20022 has a kind of type that this builder does not know: {kind}")
        values = "".join(f"<xs:enumeration value={_quoted(item.value)}/>" for item in cls)
        self._types[kind] = _simple_type(kind, "string", values)
        return kind

    def _restricted(self, base: str, member: Field[Any]) -> str:
        """A named simple type for a base and its facets; equal facets share one type."""
        facets = {xsd: member.metadata[key] for key, xsd in _FACETS.items() if key in member.metadata}
        if not facets:
            return f"xs:{base}"
        rules = "".join(f'<xs:{xsd} value="{escape(str(value), quote=False)}"/>' for xsd, value in facets.items())
        if base == "string" and set(facets) == {"minLength", "maxLength"} and facets["minLength"] == 1:
            name = f"Max{facets['maxLength']}Text"
        else:
            name = f"{base.capitalize()}_{hashlib.sha256(rules.encode()).hexdigest()[:8]}"
        self._types[name] = _simple_type(name, base, rules)
        return name


def _simple_type(name: str, base: str, rules: str) -> str:
    return f'<xs:simpleType name="{name}"><xs:restriction base="xs:{base}">{rules}</xs:restriction></xs:simpleType>\n'


def _quoted(text: str) -> str:
    return f'"{escape(text)}"'


def _annotation(member: Field[Any]) -> tuple[str, bool]:
    """Name of the type behind ``None | T``, ``T`` or ``list[T]``, and whether it is a list."""
    text = str(member.type).removeprefix("None | ")
    if text.startswith("list["):
        return text[5:-1], True
    return text, False


class Version(NamedTuple):
    """One row of the table; ``source`` is a package, ``release`` its version, ``sha256`` that of the schema file."""

    message: str
    source: str
    release: str
    sha256: str


def table(path: Path = VERSIONS) -> list[Version]:
    """What there is to build."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Version(**row) for row in csv.DictReader(file)]


def messages() -> list[str]:
    """The full names of all messages to build, such as ``pain.001.001.09``."""
    return [row.message for row in table()]


def schema_text(message: str, source: str = "pyiso20022") -> str:
    """The XML Schema of one message, from an installed package."""
    if source == "sepaxml":
        found = find_spec(source)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(source)
        return (Path(found.origin).parent / "schemas" / f"{message}.xsd").read_text("utf-8")
    name = message.replace(".", "_")
    module = import_module(f"pyiso20022.{message[:4]}.{name}.{name}")
    return _Schema(module).text(f"pyiso20022 {installed_version('pyiso20022')}")


class NotAsPinned(Exception):  # noqa: N818 - it says what is the matter
    """The build would ship another schema than the table of versions promises."""


def _made(row: Version, *, pinned: bool) -> bytes:
    """The schema of a row; ``pinned``: it has to be the one that the table promises."""
    installed = installed_version(row.source)
    if pinned and installed != row.release:
        raise NotAsPinned(f"{row.message}: {VERSIONS.name} wants {row.source} {row.release}, installed is {installed}")
    text = schema_text(row.message, row.source).encode()
    if pinned and hashlib.sha256(text).hexdigest() != row.sha256:
        raise NotAsPinned(f"{row.message}: another schema than the one with the SHA-256 in {VERSIONS.name}")
    return text


def generate(target: Path = SCHEMAS, versions: Path = VERSIONS) -> int:
    """Write all schemas into ``target`` and return how many were written; 0 when they are up to date.

    Raises:
        NotAsPinned: a package or a schema is not the one in the table.
    """
    stamp = "".join(hashlib.sha256(path.read_bytes()).hexdigest() + "\n" for path in (Path(__file__), versions))
    built = target / _STAMP
    wanted = table(versions)
    there = all((target / f"{row.message}.xsd").is_file() for row in wanted)
    if there and built.is_file() and built.read_text("utf-8") == stamp:
        return 0
    target.mkdir(parents=True, exist_ok=True)
    for left_over in set(target.glob("*.xsd")) - {target / f"{row.message}.xsd" for row in wanted}:
        left_over.unlink()
    for row in wanted:
        (target / f"{row.message}.xsd").write_bytes(_made(row, pinned=True))
    built.write_text(stamp, "utf-8")
    return len(wanted)


def pin(versions: Path = VERSIONS) -> int:
    """Write releases and sums of what is installed into the table; returns the number of rows."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(Version._fields)
    rows = table(versions)
    for row in rows:
        sum_of_it = hashlib.sha256(_made(row, pinned=False)).hexdigest()
        out.writerow((row.message, row.source, installed_version(row.source), sum_of_it))
    versions.write_text(text.getvalue(), "utf-8")
    return len(rows)


class CustomBuildHook(BuildHookInterface):
    """Generates the schemas before hatchling packs a wheel, a source distribution or an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; ``version`` is ``standard`` or ``editable``: both need the files in the source."""
        del version, build_data
        here = Path(self.root) / "transforms" / "iso20022"
        generate(here / "schemas", here / VERSIONS.name)


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, where xml.py would stand before Python's own
    if "--pin" in sys.argv[1:]:
        sys.stdout.write(f"{pin()} rows written to {VERSIONS}\n")
    sys.stdout.write(f"{generate()} schemas written to {SCHEMAS}\n")
