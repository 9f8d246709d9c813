"""Values that are certainly right: regular expressions for the simple types of a message.

What such an expression matches keeps its type of the XML Schema. What it does not match may do so too: libxml2 tells.
A value is looked at as it stands in the file, where an end tag or a quote follows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from transforms.iso20022.model import Type, type_at
from transforms.iso20022.simple import Simple

_ZONE = "(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])?"
_DATE = (
    "[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    "|[12][0-9](?:0[48]|[2468][048]|[13579][26])-02-29"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_PLAIN = {
    "boolean": "true|false|1|0",
    "date": f"(?:{_DATE}){_ZONE}",
    "dateTime": f"(?:{_DATE})T{_CLOCK}{_ZONE}",
}
_REFERENCE = "&(?:amp|lt|gt|quot|apos);"
# Sets, groups and repetitions mean the same in XML Schema and here; a group is not to become one of the whole.
_SAME = re.compile(r"(?:[A-Za-z0-9()\[\]{},+*-]|\\[+-])*")
_GROUP = re.compile(r"\[(?:\\.|[^\]\\])*\]|\(")
_TIGHT = 18


class Value(NamedTuple):
    """The place of a value within a pattern.

    Attributes:
        path: of its element below the record, ``A/B``.
        attribute: its name; empty for the text of the element.
        ends: the character behind the value, which it does not have itself.
    """

    path: str
    attribute: str
    ends: str

    def any(self) -> str:
        """What matches any value; line ends and tabs in an attribute are spaces (XML 1.0 §3.3.3), so not those."""
        return r"[^<]*+" if self.ends == "<" else rf"[^<{self.ends}\t\n]*+"

    def right(self, record: Type) -> str | None:
        """What matches only values that are right by the type of the record; None where that is not told so."""
        kind = type_at(record, self.path)
        if kind is None:
            return None
        if self.attribute:
            simple, _ = kind.attributes.get(self.attribute, (None, False))
            return right(simple, self.ends) if simple is not None else None
        # What has elements and none in this shape is valid as it is, with any space.
        return right(kind.simple, self.ends) if kind.kind in ("text", "valued") else r"[ \t\n]*+"


def right(simple: Simple, ends: str) -> str | None:
    """An expression for values of a simple type; None for a type that has none here."""
    if simple.base == "string":
        return _string(simple, ends)
    if simple.patterns or simple.codes:
        return None
    if simple.base == "decimal":
        return _decimal(simple, ends)
    return _PLAIN.get(simple.base)


def _string(simple: Simple, ends: str) -> str | None:
    if any(not _SAME.fullmatch(one.pattern) for one in simple.patterns) or len(simple.patterns) > 1:
        return None
    size = f"{{{simple.shortest},{simple.longest or ''}}}+"
    character = "[^<&]" if ends == "<" else rf"[^<&{ends}\t\n]"
    if simple.codes:
        return None if simple.patterns else "|".join(map(re.escape, simple.codes))
    if simple.patterns:
        pattern = _GROUP.sub(lambda m: "(?:" if m[0] == "(" else m[0], simple.patterns[0].pattern)
        return f"(?={character}{size}{ends}){pattern}"
    return f"{character}{size}|(?:{character}|{_REFERENCE}){size}"


def _decimal(simple: Simple, ends: str) -> str | None:
    if simple.least:
        return None
    most = simple.digits if simple.digits >= 0 else _TIGHT
    places = simple.decimals if simple.decimals >= 0 else most
    part = rf"(?:\.[0-9]{{1,{places}}}+)?" if places else ""
    # A point counts as a digit: that is never too many.
    return f"(?=[0-9.]{{1,{most}}}+{ends})[0-9]++{part}"


def pattern(pieces: Sequence[str | Value], record: Type | None = None) -> re.Pattern[str] | None:
    """The pattern of a shape from its tags and values, of right ones if the type of the record is given."""
    parts = []
    for piece in pieces:
        found = piece if isinstance(piece, str) else piece.any() if record is None else piece.right(record)
        if found is None:
            return None
        parts.append(found if isinstance(piece, str) else f"({found})")
    return re.compile(f"{''.join(parts)}()")
