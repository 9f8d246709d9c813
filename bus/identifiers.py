"""Check digits of identifiers and payment references; each function takes the electronic form, without blanks.

Whether somebody has that identifier is not looked up. Formulas are stated with their source; two of them, MOD 97-10 and
modulus 10 (Luhn), serve several identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from uuid import UUID

_ALL_COUNTRIES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
    "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK "
    "ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK"
)
COUNTRIES = frozenset(_ALL_COUNTRIES.split())
"""ISO 3166-1 codes of two letters, and XK, which banks use for Kosovo."""

_TO_DIGITS = {ord(letter): str(number) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}
_BIC = re.compile(r"[A-Z0-9]{4}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_RF = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_CREDITOR = re.compile(r"([A-Z]{2}[0-9]{2})[A-Z0-9]{3}([A-Z0-9]{1,28})")
_OGM = re.compile(r"(\+{3}|\*{3}|)([0-9]{3})/?([0-9]{4})/?([0-9]{5})\1")
_MODULO_11 = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{2,10})/([0-9]{4})")
_RECURSIVE = "0946827135"  # the row of the carry 0; each other row is this one, turned by its carry
_RTN_RANGES = (range(13), range(21, 33), range(61, 73), range(80, 81))
_WEIGHTS_11 = (6, 3, 7, 9, 10, 5, 8, 4, 2, 1)


def mod97(text: str) -> int:
    """ISO 7064 MOD 97-10 of digits and capital letters (A = 10 … Z = 35); 1 for what carries right check digits."""
    return int(text.translate(_TO_DIGITS)) % 97


def luhn(digits: str) -> bool:
    """Modulus 10 with weights 1 and 2 from the right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for number, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + number % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# ---------------------------------------------------------------- banks, accounts, firms


@lru_cache(maxsize=32_768)  # of the same few banks
def is_bic(text: str) -> bool:
    """A BIC of 8 or 11 characters in the form of ISO 9362 with a country of ISO 3166."""
    found = _BIC.fullmatch(text)
    return found is not None and found[1] in COUNTRIES


def is_lei(text: str) -> bool:
    """A legal entity identifier: 18 characters and two check digits (ISO 17442-1)."""
    return _LEI.fullmatch(text) is not None and "02" <= text[-2:] <= "98" and mod97(text) == 1


def is_creditor_id(text: str) -> bool:
    """A SEPA creditor identifier, AT-02: country, check digits, business code, national part (EPC262-08).

    The business code takes no part in the check.
    """
    found = _CREDITOR.fullmatch(text)
    return (
        found is not None
        and found[1][:2] in COUNTRIES
        and "02" <= found[1][2:] <= "98"
        and mod97(found[2] + found[1]) == 1
    )


def is_routing_number(text: str) -> bool:
    """A US routing transit number: nine digits, weights 3, 7, 1, in a range that is in use (ABA key, X9 register)."""
    if not (len(text) == 9 and _is_digits(text) and any(int(text[:2]) in known for known in _RTN_RANGES)):
        return False
    return sum(int(digit) * weight for digit, weight in zip(text, (3, 7, 1) * 3, strict=True)) % 10 == 0


def is_modulo11_account(text: str) -> bool:
    """A Czech or Slovak account ``prefix-number/bank``: both parts modulo 11 (ČNB decree 169/2011, NBS)."""
    found = _MODULO_11.fullmatch(text)
    if not found or not int(found[2]):
        return False
    return all(_weighed(part.zfill(10)) % 11 == 0 for part in (found[1] or "0", found[2]))


def _weighed(digits: str) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS_11, strict=True))


@lru_cache(maxsize=4096)
def national_iban_problem(text: str) -> str:
    """What is wrong with an IBAN, national check digits of bank and account included; empty for a right one.

    Structure by the SWIFT IBAN registry; a country whose accounts have no check digit of their own passes without.
    """
    from schwifty import IBAN  # noqa: PLC0415 - its registry costs 200 ms
    from schwifty.exceptions import (  # noqa: PLC0415
        InvalidBBANChecksum,
        InvalidChecksumDigits,
        InvalidCountryCode,
        InvalidLength,
        SchwiftyException,
    )

    try:
        IBAN(text, validate_bban=True)
    except InvalidCountryCode:
        return "of a country that has no IBAN"
    except InvalidLength:
        return "not of the length that the country's IBANs have"
    except InvalidChecksumDigits:
        return "wrong by its check digits"
    except InvalidBBANChecksum:
        return "wrong by the national check digits of its account"
    except (SchwiftyException, ValueError):
        return "not of the structure that the country's IBANs have"
    return ""


# ---------------------------------------------------------------- references


def is_creditor_reference(text: str) -> bool:
    """``RF``, two check digits and up to 21 characters (ISO 11649)."""
    return _RF.fullmatch(text) is not None and "02" <= text[2:4] <= "98" and mod97(text[4:] + text[:4]) == 1


def is_belgian_reference(text: str) -> bool:
    """``+++090/9337/55493+++``: ten digits and their remainder by 97, 97 for none (Febelfin, OGM/VCS)."""
    found = _OGM.fullmatch(text)
    if not found:
        return False
    digits = found[2] + found[3] + found[4]
    return (int(digits[:10]) % 97 or 97) == int(digits[10:])


def is_swiss_reference(text: str) -> bool:
    """A QR reference of 27 digits or an ESR reference of 16: modulo 10, recursive (SIX, QR-bill guidelines)."""
    if len(text) not in (16, 27) or not _is_digits(text) or not int(text):
        return False
    carry = 0
    for digit in text[:-1]:
        carry = int(_RECURSIVE[(carry + int(digit)) % 10])
    return (10 - carry) % 10 == int(text[-1])


def is_norwegian_reference(text: str) -> bool:
    """KID, 2 to 25 digits: modulus 10, or modulus 11 with ``-`` for a remainder of ten (Mastercard/Nets)."""
    if not 2 <= len(text) <= 25 or not _is_digits(text[:-1]) or not (_is_digits(text[-1]) or text[-1] == "-"):
        return False
    if text[-1] != "-" and luhn(text):
        return True
    total = sum(int(digit) * (2 + number % 6) for number, digit in enumerate(reversed(text[:-1])))
    return (11 - total % 11) % 11 == (10 if text[-1] == "-" else int(text[-1]))


def is_finnish_reference(text: str) -> bool:
    """Viite, 4 to 20 digits: weights 7, 3, 1 from the right (Finance Finland)."""
    if not 4 <= len(text) <= 20 or not _is_digits(text) or not int(text):
        return False
    total = sum(int(digit) * (7, 3, 1)[number % 3] for number, digit in enumerate(reversed(text[:-1])))
    return -total % 10 == int(text[-1])


def is_swedish_reference(text: str, lengths: Collection[int] = (), *, length_digit: bool = False) -> bool:
    """OCR, 2 to 25 digits: modulus 10 (Bankgirot).

    Args:
        text: the reference.
        lengths: the one or two lengths that the payee agreed with the bank; empty = any.
        length_digit: the last digit but one is the length, without its tens.
    """
    if not 2 <= len(text) <= 25 or not _is_digits(text) or (lengths and len(text) not in lengths):
        return False
    return luhn(text) and (not length_digit or int(text[-2]) == len(text) % 10)


REFERENCES: dict[str, Callable[[str], bool]] = {
    "RF": is_creditor_reference,
    "BE": is_belgian_reference,
    "CH": is_swiss_reference,
    "FI": is_finnish_reference,
    "NO": is_norwegian_reference,
    "SE": is_swedish_reference,
}
"""``RF`` or country -> check of its payment references."""


# ---------------------------------------------------------------- transactions


def uetr_problem(text: str) -> str:
    """What keeps a UETR from being written: it is a UUID of version 4 in small letters; empty for a right one."""
    try:
        known = UUID(text)
    except ValueError:
        return "no UUID"
    if str(known) != text:
        return "not written in small letters with four hyphens"
    return "" if known.version == 4 else "no UUID of version 4"


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
