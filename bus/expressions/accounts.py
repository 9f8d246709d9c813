"""Identifiers of accounts, banks, firms and payments, and what an IBAN's country says about SEPA."""

from __future__ import annotations

import re
from functools import cache
from string import ascii_uppercase, digits
from typing import Any

from bus.errors import Rejected
from bus.expressions.values import name_of
from bus.identifiers import REFERENCES, national_iban_problem, uetr_problem
from bus.identifiers import is_bic as _is_bic
from bus.identifiers import is_creditor_id as _is_creditor_id
from bus.identifiers import is_lei as _is_lei
from bus.identifiers import is_routing_number as _is_routing_number

# IBAN country codes of the SEPA schemes' geographical scope with the length of their IBANs. Source: EPC409-09 "EPC List
# of SEPA Scheme Countries", version 8.0 of 24 December 2025: EU 27; IS LI NO; AD AL CH GB MC MD ME MK RS SM VA; GI.
# Guernsey, Jersey and the Isle of Man have GB IBANs, the French territories FR, Åland FI, the Canaries ES.
SEPA = {
    **dict.fromkeys(["NO"], 15),
    **dict.fromkeys(["BE"], 16),
    **dict.fromkeys(["DK", "FI", "NL"], 18),
    **dict.fromkeys(["MK", "SI"], 19),
    **dict.fromkeys(["AT", "EE", "LT", "LU"], 20),
    **dict.fromkeys(["CH", "HR", "LI", "LV"], 21),
    **dict.fromkeys(["BG", "DE", "GB", "IE", "ME", "RS", "VA"], 22),
    **dict.fromkeys(["GI"], 23),
    **dict.fromkeys(["AD", "CZ", "ES", "MD", "RO", "SE", "SK"], 24),
    **dict.fromkeys(["PT"], 25),
    **dict.fromkeys(["IS"], 26),
    **dict.fromkeys(["FR", "GR", "IT", "MC", "SM"], 27),
    **dict.fromkeys(["AL", "CY", "HU", "PL"], 28),
    **dict.fromkeys(["MT"], 31),
}
_SHAPE = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_VALUES = {ord(sign): str(value) for value, sign in enumerate(digits + ascii_uppercase)}


def _text(function: str, value: Any) -> str:
    """``value`` without the spaces of its printed form; '' for null."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected("VAL221", f"{function}() takes a text, this is {name_of(value)}")
    return value.replace(" ", "") if " " in value else value


def is_sepa(iban: Any) -> bool:
    """Whether the IBAN's country belongs to SEPA, as typed: spaces and small letters are taken.

    Country code and length are looked at, check digits are not.
    """
    text = iban if type(iban) is str else _text("is_sepa", iban)
    if len(text) == SEPA.get(text[:2]):
        return True
    text = _text("is_sepa", text).upper()
    return len(text) == SEPA.get(text[:2])


def iban_country(iban: Any) -> str | None:
    """The ISO 3166 country code of an IBAN, null for what does not look like an IBAN."""
    text = _text("iban_country", iban)
    return text[:2] if _SHAPE.fullmatch(text) else None


def is_iban(value: Any) -> bool:
    """Country, length, structure and check digits by ISO 13616 and the SWIFT IBAN registry."""
    text = _text("is_iban", value)
    if not _SHAPE.fullmatch(text) or not "02" <= text[2:4] <= "98":
        return False
    structure = _structure(text[:2])
    if structure is None or len(text) != structure[0] or not structure[1].fullmatch(text[4:]):
        return False
    return int((text[4:] + text[:4]).translate(_VALUES)) % 97 == 1


@cache
def _structure(country: str) -> tuple[int, re.Pattern[str]] | None:
    """Length of the country's IBANs and the pattern of what follows the check digits."""
    from schwifty import IBAN  # noqa: PLC0415 - its registry costs 200 ms, and only is_iban() needs it
    from schwifty.exceptions import SchwiftyException  # noqa: PLC0415

    try:
        spec = IBAN(f"{country}00", allow_invalid=True).spec
    except SchwiftyException:
        return None
    # Formats that a country only announced are in no registry, and no bank takes them.
    return None if spec.aspirational else (spec.iban_length, spec.regex)


def is_bic(value: Any) -> bool:
    """Form of ISO 9362 and a country of ISO 3166; whether the bank exists is not looked up."""
    return _is_bic(_text("is_bic", value))


def iban_problem(value: Any) -> str | None:
    """What is wrong with an IBAN, national check digits included; null for a right one."""
    return national_iban_problem(_text("iban_problem", value)) or None


def is_lei(value: Any) -> bool:
    """A legal entity identifier."""
    return _is_lei(_text("is_lei", value))


def is_creditor_id(value: Any) -> bool:
    """A SEPA creditor identifier."""
    return _is_creditor_id(_text("is_creditor_id", value))


def is_routing_number(value: Any) -> bool:
    """A US routing transit number."""
    return _is_routing_number(_text("is_routing_number", value))


def is_reference(value: Any, kind: str) -> bool:
    """A payment reference of a kind."""
    check = REFERENCES.get(kind)
    if check is None:
        raise Rejected("VAL221", f"is_reference() takes one of {', '.join(REFERENCES)}")
    return check(_text("is_reference", value))


def verify_kind(literals: list[Any]) -> None:
    """Refuse a kind of reference that nobody knows before anything runs."""
    kind = literals[1] if len(literals) > 1 else None
    if kind is not None:
        is_reference("", kind)


def is_uetr(value: Any) -> bool:
    """A UUID of version 4 in small letters."""
    return value is not None and not uetr_problem(_text("is_uetr", value))
