"""Simple types of the XML Schemas of ISO 20022: what a text has to be, and in plain words why it is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

_ZONE = r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00)?"
_CLOCK = r"(?:(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?|24:00:00(?:\.0+)?)"
_FORMS = {
    "string": re.compile(r".*", re.DOTALL),
    "decimal": re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII),
    "boolean": re.compile(r"true|false|1|0"),
    "date": re.compile(rf"\d{{4}}-\d\d-\d\d{_ZONE}", re.ASCII),
    "dateTime": re.compile(rf"\d{{4}}-\d\d-\d\dT{_CLOCK}{_ZONE}", re.ASCII),
    "time": re.compile(rf"{_CLOCK}{_ZONE}", re.ASCII),
    "gYear": re.compile(rf"\d{{4}}{_ZONE}", re.ASCII),
    "gYearMonth": re.compile(rf"\d{{4}}-(?:0[1-9]|1[0-2]){_ZONE}", re.ASCII),
    "base64Binary": re.compile(r"(?:(?:[A-Za-z0-9+/] ?){4})*(?:(?:[A-Za-z0-9+/] ?){2}(?:[A-Za-z0-9+/] ?|= ?)=)?"),
}
_WRITTEN = {
    "decimal": "a decimal number, as text such as `100.10`",
    "boolean": "`true` or `false`",
    "date": "a day such as `2026-11-24`",
    "dateTime": "a day and time such as `2026-11-24T10:00:00Z`",
    "time": "a time such as `10:00:00Z`",
    "gYear": "a year such as `2026`",
    "gYearMonth": "a month such as `2026-11`",
    "base64Binary": "base64",
}
_SPACES = re.compile(r"[ \t\r\n]+")
_DATES = ("date", "dateTime")
_MOST_CODES_TOLD = 8


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple type.

    Attributes:
        base: built-in type of XML Schema, such as ``string``, ``decimal`` or ``date``.
        shortest, longest: characters of a text; ``longest`` 0 = any number.
        patterns: regular expressions that the whole text has to match.
        codes: the only texts that are allowed; empty for any.
        digits, decimals: most digits in all, and after the point, of a decimal; -1 = any number.
        least: smallest decimal; None for none.
    """

    base: str
    shortest: int = 0
    longest: int = 0
    patterns: tuple[re.Pattern[str], ...] = ()
    codes: tuple[str, ...] = ()
    digits: int = -1
    decimals: int = -1
    least: Decimal | None = None

    def restricted(self, facets: Iterable[tuple[str, str]]) -> Simple:
        """This type with further facets, as pairs of name and value."""
        one: dict[str, str] = {}
        patterns, codes = list(self.patterns), []
        for name, value in facets:
            if name == "pattern":
                patterns.append(re.compile(value))
            elif name == "enumeration":
                codes.append(value)
            else:
                one[name] = value
        unknown = one.keys() - {"minLength", "maxLength", "length", "totalDigits", "fractionDigits", "minInclusive"}
        if unknown:
            raise ValueError(f"a facet that is not known here: {', '.join(sorted(unknown))}")
        exact = one.get("length")
        return Simple(
            self.base,
            int(one.get("minLength", exact or self.shortest)),
            int(one.get("maxLength", exact or self.longest)),
            tuple(patterns),
            tuple(codes) or self.codes,
            int(one.get("totalDigits", self.digits)),
            int(one.get("fractionDigits", self.decimals)),
            Decimal(one["minInclusive"]) if "minInclusive" in one else self.least,
        )

    def problem(self, text: str) -> str:
        """What a text should have been; empty when it is right. Never tells the text itself."""
        if self.base != "string":
            text = _SPACES.sub(" ", text).strip(" ")
        if not _FORMS[self.base].fullmatch(text):
            return f"not {_WRITTEN[self.base]}"
        if self.base == "string":
            return self._of_text(text)
        if self.base == "decimal":
            return self._of_number(text)
        if self.base in _DATES and not _is_day(text[:10]):
            return "no day of the calendar"
        return self._of_pattern(text)

    def _of_text(self, text: str) -> str:
        if self.codes and text not in self.codes:
            told = ", ".join(self.codes[:_MOST_CODES_TOLD]) + (", …" if len(self.codes) > _MOST_CODES_TOLD else "")
            return f"none of the codes {told}"
        if len(text) < self.shortest:
            return "empty" if self.shortest == 1 else f"shorter than {self.shortest} characters"
        if self.longest and len(text) > self.longest:
            return f"longer than {self.longest} characters"
        return self._of_pattern(text)

    def _of_pattern(self, text: str) -> str:
        for pattern in self.patterns:
            if not pattern.fullmatch(text):
                return f"not of the form `{pattern.pattern}`"
        return ""

    def _of_number(self, text: str) -> str:
        whole, _, part = text.lstrip("+-").partition(".")
        whole, part = whole.lstrip("0"), part.rstrip("0")
        if 0 <= self.decimals < len(part):
            return f"more than {self.decimals} decimals"
        if 0 <= self.digits < len(whole) + len(part):
            return f"more than {self.digits} digits"
        if self.least is not None and Decimal(text) < self.least:
            return f"less than {self.least}"
        return self._of_pattern(text)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
