"""Structures of :86: that Swiss banks use beside code words.

UBS writes its three-character code of the transaction and a question mark before the text (``Z04?…``). Zürcher
Kantonalbank writes ``?ZKB:2214`` before lines of text, and behind them ``?ZI:?3:1,132886?9:4``: 3 is an exchange rate,
4 the charges, 9 the number of transactions.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.mt940.details import Details

_KEYED = re.compile(r"\?[A-Z]{2,5}:(\d{4})(?: |$)", re.ASCII)
_CODED = re.compile(r"([A-Z]\d\d|[A-Z]{2}\d)\?", re.ASCII)
_FURTHER = "?ZI:"
_PART = re.compile(r"\?(\d):([^?]*)", re.ASCII)
_WORTH = re.compile(r"([A-Z]{3})(\d{1,15}(?:,\d{0,5})?)", re.ASCII)
_RATE = re.compile(r"\d{1,12}(?:,\d{1,10})?", re.ASCII)


def swiss(lines: list[str], supplement: str, found: Details) -> bool:
    """Read a :86: in one of these structures; false when it has none of them.

    ``supplement`` is the second line of :61:. Where it says the first line of the text again, behind a colon, that is
    the name of the other side (``eBanking: Muster AG, Zürich``).
    """
    begin = _KEYED.match(lines[0]) or _CODED.match(lines[0])
    if begin is None:
        return False
    found.code = begin[1]
    texts = [text for line in (lines[0][begin.end() :], *lines[1:]) if (text := line.strip())]
    if begin.re is _KEYED:
        further = next((n for n, text in enumerate(texts) if text.startswith(_FURTHER)), len(texts))
        _further("".join(texts[further:]).removeprefix(_FURTHER), found)
        texts = texts[:further]
        told = supplement.partition(": ")[2]
        if texts and told.startswith(texts[0]) and told[len(texts[0]) :][:1] in ("", ","):
            found.name = texts[0]
    found.texts = texts
    return True


def _further(text: str, found: Details) -> None:
    parts = _PART.findall(text)
    for key, value in parts:
        charges = worth(value) if key == "4" else None
        if charges:
            found.told["total_charges"] = charges
        elif key == "9" and value.isdecimal():
            if value.lstrip("0") not in ("", "1"):
                found.references.append({"id": value, "scheme": "BTCH"})
        elif key == "3" and _RATE.fullmatch(value):
            found.references.append({"id": value, "scheme": "exchange-rate"})
        elif value:
            found.references.append({"id": value, "scheme": f"ZI{key}"})
    if text and not parts:
        found.references.append({"id": text, "scheme": "ZI"})


def worth(text: str) -> dict[str, Any] | None:
    """``CHF2,50`` as an amount; None when it is none."""
    said = _WORTH.fullmatch(text)
    return {"value": Decimal(said[2].rstrip(",").replace(",", ".")), "currency": said[1]} if said else None


def rate(text: str) -> Decimal | None:
    """``1,132886`` as a number; None when it is none."""
    return Decimal(text.replace(",", ".")) if _RATE.fullmatch(text) else None
