"""Made-up bank accounts with right check digits, for payment runs that a real bank's checks would accept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Account:
    """A creditor's account.

    Attributes:
        country: ISO 3166 code, upper case; what :func:`unplaced_account` gives may be no code at all.
        number: an IBAN, or a domestic number where the country has none.
        bic: of the bank in the number.
        currency: the country's own.
    """

    country: str
    number: str
    bic: str
    currency: str = "EUR"


def iban(country: str, bban: str) -> str:
    """The IBAN of a basic account number: check digits by ISO 7064 MOD 97-10 (ISO 13616)."""
    return f"{country}{98 - int(_digits(bban + country + '00')) % 97:02d}{bban}"


def is_iban(text: str) -> bool:
    """Whether the check digits are right; no look at the country's own structure."""
    if not (15 <= len(text) <= 34 and text.isascii() and text.isalnum() and text[:2].isalpha()):
        return False
    return int(_digits(text[4:] + text[:4])) % 97 == 1


def with_wrong_check_digits(text: str) -> str:
    """The same IBAN with check digits that can never be right."""
    return f"{text[:2]}{(int(text[2:4]) + 7) % 97:02d}{text[4:]}"  # another remainder, so never right


def _digits(text: str) -> str:
    return "".join(str(int(c, 36)) for c in text)


# ---------------------------------------------------------------- national check digits


def _france(bank: str, account: str) -> str:
    key = 97 - (89 * int(bank[:5]) + 15 * int(bank[5:]) + 3 * int(account)) % 97
    return f"{bank}{account}{key:02d}"


def _spain(bank: str, account: str) -> str:
    weights = (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)

    def digit(text: str) -> int:
        left = 11 - sum(w * int(c) for w, c in zip(weights, text.zfill(10), strict=True)) % 11
        return {10: 1, 11: 0}.get(left, left)

    return f"{bank}{digit(bank)}{digit(account)}{account}"


_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)


def _italy(bank: str, account: str) -> str:
    total = sum(int(c) if i % 2 else _ODD[int(c)] for i, c in enumerate(bank + account))
    return f"{chr(ord('A') + total % 26)}{bank}{account}"


def _belgium(bank: str, account: str) -> str:
    return f"{bank}{account}{int(bank + account) % 97 or 97:02d}"


def _mod_97(bank: str, account: str) -> str:
    return f"{bank}{account}{98 - int(bank + account + '00') % 97:02d}"


def _finland(bank: str, account: str) -> str:
    total = sum(sum(divmod(int(c) * (2 - i % 2), 10)) for i, c in enumerate(reversed(bank + account)))
    return f"{bank}{account}{-total % 10}"


def _plain(bank: str, account: str) -> str:
    return bank + account


# Country, BIC, bank (and branch) code, digits of the account, rule of the country's own check digits.
_SEPA: tuple[tuple[str, str, str, int, Callable[[str, str], str]], ...] = (
    ("DE", "MARKDEF1100", "10000000", 10, _plain),
    ("AT", "GIBAATWWXXX", "20111", 11, _plain),
    ("FR", "BNPAFRPPXXX", "3000400001", 11, _france),
    ("ES", "BSCHESMMXXX", "00491500", 10, _spain),
    ("IT", "BCITITMMXXX", "0306909606", 12, _italy),
    ("NL", "INGBNL2AXXX", "INGB", 10, _plain),
    ("BE", "BBRUBEBBXXX", "310", 7, _belgium),
    ("PT", "BCOMPTPLXXX", "00330000", 11, _mod_97),
    ("FI", "NDEAFIHHXXX", "123456", 7, _finland),
    ("IE", "AIBKIE2DXXX", "AIBK931152", 8, _plain),
    ("LU", "BCEELULLXXX", "001", 13, _plain),
    ("LV", "HABALV22XXX", "HABA", 13, _plain),
    ("LT", "HABALT22XXX", "73000", 11, _plain),
    ("SI", "LJBASI2XXXX", "02010", 8, _mod_97),
    ("MT", "VALLMTMTXXX", "VALL22013", 18, _plain),
    ("CY", "BCYPCY2NXXX", "00200128", 16, _plain),
    ("GR", "ETHNGRAAXXX", "0110125", 16, _plain),
    ("PL", "WBKPPLPPXXX", "10901014", 16, _plain),
    ("SE", "ESSESESSXXX", "500", 17, _plain),
    ("DK", "NDEADKKKXXX", "2000", 10, _plain),
    ("CH", "BCVLCH2LXXX", "00767", 12, _plain),
    ("LI", "BLFLLI2XXXX", "08810", 12, _plain),
)

# Country, currency, BIC, bank code, digits of the account; with a bank code the number is an IBAN.
_FOREIGN: tuple[tuple[str, str, str, str, int], ...] = (
    ("US", "USD", "CHASUS33XXX", "", 10),
    ("JP", "JPY", "BOTKJPJTXXX", "", 7),
    ("AU", "AUD", "CTBAAU2SXXX", "", 9),
    ("CA", "CAD", "ROYCCAT2XXX", "", 12),
    ("SG", "SGD", "DBSSSGSGXXX", "", 10),
    ("HK", "HKD", "HSBCHKHHXXX", "", 12),
    ("ZA", "ZAR", "SBZAZAJJXXX", "", 11),
    ("KR", "KRW", "KOEXKRSEXXX", "", 14),
    ("AE", "AED", "BOMLAEADXXX", "033", 16),
    ("SA", "SAR", "RJHISARIXXX", "80", 18),
    ("TR", "TRY", "TGBATRISXXX", "000620", 16),
    ("KW", "KWD", "NBOKKWKWXXX", "NBOK", 22),
    ("IL", "ILS", "LUMIILITXXX", "010800", 13),
)


def _number(rng: Random, digits: int) -> str:
    return str(rng.randrange(10**digits)).zfill(digits)


def sepa_account(rng: Random) -> Account:
    """An account with a valid IBAN in one of 22 SEPA countries, the country's own check digits included."""
    country, bic, bank, digits, rule = _SEPA[rng.randrange(len(_SEPA))]
    return Account(country, iban(country, rule(bank, _number(rng, digits))), bic)


def foreign_account(rng: Random) -> Account:
    """An account outside SEPA, with an IBAN where the country has them."""
    country, currency, bic, bank, digits = _FOREIGN[rng.randrange(len(_FOREIGN))]
    number = _number(rng, digits)
    return Account(country, iban(country, bank + number) if bank else number, bic, currency)


def unplaced_account(rng: Random) -> Account:
    """An account of which nobody can tell the country: no IBAN, and a country code that is unassigned or missing."""
    return Account(("XX", "", "ZZ", "QY")[rng.randrange(4)], _number(rng, 9), "")
