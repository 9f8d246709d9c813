"""Kinds of postal addresses, and which of them a profile takes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal

from transforms.canonical import Flaw
from transforms.profiles.flaws import ADDRESS_REASON, SEVERITIES, Check
from transforms.profiles.specs import AddressSpec

Kind = Literal["none", "structured", "hybrid", "unstructured"]
_HINT = "put town and country into their own fields, and the street too where it is known"


def kind_of(address: Any) -> Kind:
    """``none``, ``structured`` (fields only), ``hybrid`` (town, country, lines) or ``unstructured`` (other lines)."""
    if not isinstance(address, dict):
        return "none"
    if any(_lines(address)):
        return "hybrid" if address.get("town") and address.get("country") else "unstructured"
    if address.get("town") or address.get("country"):
        return "structured"
    return "structured" if any(value for name, value in address.items() if name not in ("lines", "type")) else "none"


def _lines(address: dict[str, Any]) -> list[str]:
    """The free lines that say anything."""
    lines = address.get("lines")
    return [line for line in lines if isinstance(line, str) and line.strip()] if isinstance(lines, list | tuple) else []


def address_check(role: str, spec: AddressSpec) -> Check:
    """The rule for one party."""
    verdicts = {kind: SEVERITIES.get(getattr(spec, kind)) for kind in ("none", "structured", "hybrid", "unstructured")}
    half, repeated = SEVERITIES.get(spec.half), SEVERITIES.get(spec.repeated)
    place, reason = f"{role}.address", ADDRESS_REASON[role]
    most = {"hybrid": spec.hybrid_lines, "unstructured": spec.lines}

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        party = payment[role]
        address = party.get("address")
        kind = kind_of(address)
        severity = verdicts[kind]
        if severity:
            text = f"the {_called(role)} has no address" if kind == "none" else f"the address is {kind}"
            flaws.append(Flaw("VAL684", severity, place, text, reason, _HINT))
        if kind == "structured":
            if half and not (address.get("town") and address.get("country")):
                missing = "country" if address.get("town") else "town"
                text = f"the address has no {missing}; both or none are wanted"
                flaws.append(Flaw("VAL685", half, f"{place}.{missing}", text, reason))
        elif kind != "none":
            lines = _lines(address)
            if len(lines) > most[kind]:
                text = f"the {kind} address has {len(lines)} lines, at most {most[kind]} are taken"
                at = f"{place}.lines[{most[kind]}]"
                flaws.append(Flaw("VAL685", "error", at, text, reason, _HINT))
            if repeated and kind == "hybrid":
                flaws.extend(_repetitions(address, place, reason, repeated))

    return check


def _repetitions(address: dict[str, Any], place: str, reason: str, severity: Any) -> list[Flaw]:
    found = []
    for number, line in enumerate(address["lines"]):
        for name in ("town", "country"):
            if isinstance(line, str) and _word(address[name], exact=name == "country").search(line):
                text = f"the line says the {name} again, which has a field of its own"
                found.append(Flaw("VAL685", severity, f"{place}.lines[{number}]", text, reason))
    return found


@lru_cache(maxsize=4096)
def _word(text: str, *, exact: bool) -> re.Pattern[str]:
    """A country code counts in capitals only: ``de`` and ``la`` are words of streets."""
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", re.NOFLAG if exact else re.IGNORECASE)


def _called(role: str) -> str:
    return role.replace("_", " ")
