"""Character sets that banks take, and texts brought into them: by transliteration, or refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache

from anyascii import anyascii

from bus import Rejected

SETS = {
    # EPC217-08: the characters that all SEPA participants support.
    "sepa-latin": r"A-Za-z0-9/\-?:().,'+ ",
    # Swiss Payment Standards, annex "character set": Basic Latin, Latin-1 Supplement, Latin Extended-A, and Ș ș Ț ț €.
    "latin-extended": r"\x20-\x7e\xa0-\u017f\u0218-\u021b\u20ac",
    # Swift, character set X of FIN, without its line breaks: an element of XML has one line.
    "swift-x": r"A-Za-z0-9/\-?:().,'+{} ",
    # Nacha Operating Rules, appendix "ACH record format specifications": what can be printed of ASCII.
    "ascii": r"\x20-\x7e",
    # What XML 1.0 can hold at all.
    "any": r"\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff",
}
"""Name of a character set -> its characters, as they stand between the brackets of a regular expression."""

_SPECIAL = {
    "&": "+",
    "@": "(at)",
    "_": "-",
    '"': "'",
    "`": "'",
    "*": ".",
    "!": ".",
    "#": ".",
    "%": ".",
    "=": "-",
    "~": "-",
    "^": ".",
    "$": "USD",
    "|": "/",
    "\\": "/",
    ";": ",",
    "<": "(",
    ">": ")",
    "[": "(",
    "]": ")",
    "{": "(",
    "}": ")",
    "\t": " ",
    "\n": " ",
    "\r": " ",
}
_TO_SPECIAL = {ord(character): other for character, other in _SPECIAL.items()}


@cache
def converter(name: str, *, transliterate: bool = True) -> Callable[[str], str]:
    """A function that brings texts into a character set.

    Into ``sepa-latin``, ``Müller & Söhne`` becomes ``Muller + Sohne``. The function raises ``Rejected`` (``VAL444``,
    reason ``RR10``) for a character that has no counterpart or may not be replaced: nothing is left out silently.
    """
    outside = re.compile(f"[^{SETS[name]}]")
    transliterate = transliterate and name != "any"

    @lru_cache(maxsize=4096)
    def counterpart(character: str) -> str:
        found = anyascii(character) if transliterate else ""
        found = found if name == "ascii" else found.translate(_TO_SPECIAL)
        if not found or outside.search(found):
            raise _refused(character, name, replaceable=transliterate)
        return found

    @lru_cache(maxsize=32_768)  # the same suppliers are paid again and again
    def convert(text: str) -> str:
        if not outside.search(text):
            return text
        return outside.sub(lambda match: counterpart(match[0]), unicodedata.normalize("NFC", text))

    return convert


def _refused(character: str, name: str, *, replaceable: bool) -> Rejected:
    told = f"the character U+{ord(character):04X}"
    if name == "any":
        return Rejected(
            "VAL444",
            f"{told} cannot stand in an XML file",
            reason="RR10",
            hint="remove control characters in the ERP",
        )
    called = "SEPA character set" if name == "sepa-latin" else f"character set `{name}`"
    text = f"{told} has no counterpart in the {called}" if replaceable else f"{told} is not in the {called}"
    hint = "replace it in the ERP, or use another character set where the bank takes it"
    return Rejected("VAL444", text, reason="RR10", hint=hint)
