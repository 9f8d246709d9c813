"""Texts that a bank takes: the SEPA character set by transliteration, or any character that XML can hold."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from anyascii import anyascii

from bus import Rejected

# EPC217-08: the characters that all SEPA participants support.
_LATIN = re.compile(r"[A-Za-z0-9/\-?:().,'+ ]*")
_OUTSIDE = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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


@lru_cache(maxsize=32_768)  # the same suppliers are paid again and again
def latin(text: str) -> str:
    """The text in the SEPA character set: ``Müller & Söhne`` becomes ``Muller + Sohne``.

    Raises:
        Rejected: ``VAL444``, reason ``RR10``: a character has no counterpart; nothing is left out silently.
    """
    if _LATIN.fullmatch(text):
        return text
    return _OUTSIDE.sub(_counterpart_found, unicodedata.normalize("NFC", text))


def _counterpart_found(match: re.Match[str]) -> str:
    return _counterpart(match[0])


@lru_cache(maxsize=4096)
def _counterpart(character: str) -> str:
    found = anyascii(character).translate(_TO_SPECIAL)
    if not found or not _LATIN.fullmatch(found):
        raise Rejected(
            "VAL444",
            f"the character U+{ord(character):04X} has no counterpart in the SEPA character set",
            reason="RR10",
            hint="replace it in the ERP, or set `charset: any` where the bank takes it",
        )
    return found


def unchanged(text: str) -> str:
    """The text as it is, when XML can hold it.

    Raises:
        Rejected: ``VAL444`` for control characters, reason ``RR10``.
    """
    found = _NOT_IN_XML.search(text)
    if found:
        text = f"the character U+{ord(found[0]):04X} cannot stand in an XML file"
        raise Rejected("VAL444", text, reason="RR10", hint="remove control characters in the ERP")
    return text
