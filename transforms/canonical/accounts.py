"""Account and bank identifiers of canonical bodies; the IBAN (ISO 13616) fast enough for every account of a file."""

from __future__ import annotations

import re
from functools import lru_cache

from bus import is_bic, is_creditor_reference

__all__ = ["LENGTHS", "iban_problem", "is_bic", "is_creditor_reference"]

_REGISTERED = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
# Countries that use the form without an entry in the registry; banks take these accounts.
_UNREGISTERED = (
    "AO25 BF28 BJ28 CF27 CG27 CI28 CM27 CV25 DZ26 GA27 GQ27 GW25 IR26 KM27 MA28 MG27 ML28 MZ25 NE28 SN28 TD27 TG28"
)
LENGTHS = {item[:2]: int(item[2:]) for item in f"{_REGISTERED} {_UNREGISTERED}".split()}
"""Country -> length of its IBANs."""

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_TO_DIGITS = {ord(letter): str(number) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}


@lru_cache(maxsize=32_768)  # the same accounts are paid again and again
def iban_problem(text: str) -> str:
    """What is wrong with an IBAN in its electronic form; empty for a right one."""
    if not _IBAN.fullmatch(text):
        return "not of the form of an IBAN (capital letters and digits, no spaces)"
    length = LENGTHS.get(text[:2])
    if length is None:
        return "of a country that has no IBAN"
    if len(text) != length:
        return f"not of the {length} characters that the country's IBANs have"
    return "" if _are_right(text) else "wrong by its check digits"


def _are_right(text: str) -> bool:
    """ISO 7064 MOD 97-10 of a text that begins with country or prefix and check digits; those are 02 to 98."""
    return text[2:4] not in ("00", "01", "99") and int((text[4:] + text[:4]).translate(_TO_DIGITS)) % 97 == 1
