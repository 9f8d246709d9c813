"""What the field :86: tells of an entry, in the structures that banks of several countries put into it.

Germany and others: a three-digit code, then sub-fields ``?20``, ``?32`` … (Poland: ``<20`` or ``^20``), with SEPA tags
such as ``EREF+`` in the texts (agreement of the German banking industry, DFÜ-Abkommen, annex 3). The Netherlands,
Switzerland and Swift's own usage guide: code words between slashes, ``/EREF/…/NAME/…``. What else Swiss banks write is
read by :mod:`transforms.mt940.swiss`. Everything else is text, line by line.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

from transforms._statements import account_of
from transforms.mt940.swiss import rate, swiss, worth

_SUB_FIELDS = re.compile(r"(\d{3})?([?<^~@|])(?=\d\d)", re.ASCII)
_KEYS = {mark: re.compile(re.escape(mark) + r"(\d\d)", re.ASCII) for mark in "?<^~@|"}
_TEXT_PIECES = frozenset(("20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "60", "61", "62", "63"))
_SEPA_TAG = re.compile(r"(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|PURP|RREF|SQTP|IBAN|BIC)\+")
_SEPA_FIELDS = {"EREF": "end_to_end_id", "KREF": "instruction_id", "MREF": "mandate_id", "PURP": "purpose"}
_WORDS = (
    "TRTP|IBAN|BIC|NAME|REMI|EREF|KREF|PREF|MARF|CSID|CNTP|ORDP|BENM|RTRN|PURP|TRCD|ULTD|ULTC|UDTR|UCRD|ADDR|ISDT|"
    "CDTRREFTP|CDTRREF|SVCL|ID|TXT|BTCH|IREF|CREF|ULTB|OCMT|EXCH|CHGS|NRTX"
)
_CODE_WORD = re.compile(rf"/({_WORDS})/")
_REASON = re.compile(r"[A-Z]{2}[0-9]{2}")
_CODE = re.compile(r"[A-Z0-9]{3,4}", re.ASCII)
_NOT_TOLD = ("", "NOTPROVIDED", "NONREF")


class Details:
    """What a :86: told.

    Attributes:
        code: the bank's code of the kind of transaction (German GVC: three digits); empty without one.
        additional: booking text of the bank.
        texts: remittance information, one item a text.
        told: further fields of the canonical transaction.
        name, account, bank: of the other side.
    """

    __slots__ = ("account", "additional", "bank", "code", "name", "references", "texts", "told")

    def __init__(self) -> None:
        self.code = self.additional = self.name = self.account = self.bank = ""
        self.texts: list[str] = []
        self.references: list[dict[str, str]] = []
        self.told: dict[str, Any] = {}

    def put(self, field: str, text: str) -> None:
        """Set a field of the transaction to what is told, unless that says that nothing is told."""
        if text not in _NOT_TOLD:
            self.told[field] = text

    def counterparty(self) -> dict[str, Any]:
        """The other side in canonical form."""
        found: dict[str, Any] = {"name": self.name, "account": account_of(self.account) if self.account else None}
        if len(self.bank) in (8, 11) and self.bank[:6].isalpha():
            found["agent"] = {"bic": self.bank}
        return found


def details(lines: list[str], supplement: str = "") -> Details:
    """Read a :86:, given its lines and what stands on the second line of its :61:."""
    text = "".join(lines)
    begin = _SUB_FIELDS.match(text)
    if begin:
        return _sub_fields(text, begin)
    if text.startswith("/") and _CODE_WORD.match(text):
        return _code_words(text)
    found = Details()
    if not (lines and swiss(lines, supplement, found)):
        found.texts = [line.strip() for line in lines if line.strip()]
    return found


def own_details(lines: list[str]) -> Details:
    """Read a :NS: that follows an entry: two digits say what a line is (01 to 14 text, 15 and 16 name, 17 kind)."""
    found = Details()
    for line in lines:
        key, text = line[:2], line[2:].strip()
        if "01" <= key <= "14" and text:
            found.texts.append(text)
        elif key in ("15", "16"):
            found.name = f"{found.name} {text}".strip()
        elif key == "17":
            found.additional = text
    return found


# ---------------------------------------------------------------- sub-fields


def _sub_fields(text: str, begin: re.Match[str]) -> Details:
    found = Details()
    found.code, mark = begin[1] or "", begin[2]
    parts = _KEYS[mark].split(text[begin.end() - 1 :])
    keys = parts[1::2]
    values: dict[str, str] = {}
    pieces: list[str] = []
    for key, value in zip(keys, parts[2::2], strict=True):
        if key in _TEXT_PIECES:
            pieces.append(value)
        else:
            values[key] = values[key] + value if key in values else value
    told = values.get
    name = told("32", "") + told("33", "")
    if not name.strip() and mark != "?":
        # Polish banks name the other side in 27 and 28 and its address in 29 and 60.
        texts = list(zip((key for key in keys if key in _TEXT_PIECES), pieces, strict=True))
        name = "".join(value for key, value in texts if key in ("27", "28"))
        pieces = [value for key, value in texts if key not in ("27", "28")]
    found.name = " ".join(name.split())
    found.additional = told("00", "").strip()
    found.account = told("38", "").strip() or told("31", "").strip()
    found.bank = told("30", "").strip()
    _texts(pieces, found)
    return found


def _texts(pieces: list[str], found: Details) -> None:
    """Remittance pieces: with SEPA tags one text that was cut up, else lines of their own."""
    whole = "".join(pieces)
    tags = _tags(whole, pieces) if "+" in whole else []
    if not tags:
        found.texts = [piece.strip() for piece in pieces if piece.strip()]
        return
    before = whole[: tags[0].start()].strip()
    found.texts = [before] if before else []
    for tag, following in zip(tags, [*tags[1:], None], strict=True):
        _sepa(tag[1], whole[tag.end() : following.start() if following else None].strip(), found)


def _tags(whole: str, pieces: list[str]) -> list[re.Match[str]]:
    """SEPA tags: where a piece or a word begins, or cut by the end of a piece; anything else is text."""
    begins = {0, *accumulate(map(len, pieces))}
    return [
        tag
        for tag in _SEPA_TAG.finditer(whole)
        if tag.start() in begins
        or whole[tag.start() - 1] == " "
        or not begins.isdisjoint(range(tag.start() + 1, tag.end()))
    ]


def _sepa(tag: str, value: str, found: Details) -> None:
    if tag == "SVWZ":
        if value:
            found.texts.append(value)
    elif tag in _SEPA_FIELDS:
        found.put(_SEPA_FIELDS[tag], value)
    elif tag == "IBAN":
        found.account = found.account or value.split(" ", maxsplit=1)[0]
    elif tag == "BIC":
        found.bank = found.bank or value.split(" ", maxsplit=1)[0]
    elif tag == "ABWA" and value:
        found.told["ultimate_debtor"] = {"name": value}
    elif tag == "ABWE" and value:
        found.told["ultimate_creditor"] = {"name": value}
    elif value:
        scheme = {"CRED": "creditor-id", "DEBT": "debtor-id"}.get(tag, tag)
        found.references.append({"id": value, "scheme": scheme})


# ---------------------------------------------------------------- code words


def _code_words(text: str) -> Details:
    found = Details()
    words = list(_CODE_WORD.finditer(text))
    ends = [match.start() for match in words[1:]] + [len(text)]
    for match, end in zip(words, ends, strict=True):
        _word(match[1], text[match.end() : end].strip(" /"), found)
    return found


_REFERENCES = {
    "EREF": "end_to_end_id",
    "KREF": "instruction_id",
    "PREF": "instruction_id",
    "IREF": "instruction_id",
    "MARF": "mandate_id",
}
_SIDES = {
    "ULTD": "ultimate_debtor",
    "UDTR": "ultimate_debtor",
    "ULTC": "ultimate_creditor",
    "ULTB": "ultimate_creditor",
    "UCRD": "ultimate_creditor",
}


def _word(word: str, value: str, found: Details) -> None:
    if word in ("NAME", "ORDP", "BENM"):
        found.name = value or found.name
    elif word == "IBAN":
        found.account = value
    elif word == "BIC":
        found.bank = value
    elif word == "CNTP":
        _counterparty(value, found)
    elif word == "REMI":
        _remittance(value, found)
    elif word in ("TRTP", "TXT"):
        found.additional = value
    elif value:
        _about_transaction(word, value, found)


def _about_transaction(word: str, value: str, found: Details) -> None:
    if word in _REFERENCES:
        found.put(_REFERENCES[word], value)
    elif word in _SIDES:
        found.told[_SIDES[word]] = {"name": value.removeprefix("NAME/").strip(" /")}
    elif word == "CDTRREF":
        found.told["structured"] = value
    elif word == "RTRN":
        reason = _REASON.search(value)
        found.put("return_reason", reason[0] if reason else value)
    elif word == "PURP":
        found.put("purpose", value.removeprefix("CD/"))
    elif word == "TRCD" and _CODE.fullmatch(value):
        found.code = value
    elif word in ("OCMT", "EXCH", "CHGS"):
        _money(word, value, found)
    elif word == "CSID":
        found.references.append({"id": value, "scheme": "creditor-id"})
    elif word not in ("CDTRREFTP", "ADDR"):
        found.references.append({"id": value, "scheme": word})


def _money(word: str, value: str, found: Details) -> None:
    """Original amount, rate and charges; what is none of them is kept as it stands."""
    amount, price = worth(value), rate(value)
    if word == "OCMT" and amount:
        found.told.setdefault("amounts", {}).setdefault("instructed", {})["amount"] = amount
    elif word == "CHGS" and amount and "total_charges" not in found.told:
        found.told["total_charges"] = amount
    elif word == "EXCH" and price and "instructed" in found.told.get("amounts", {}):
        found.told["amounts"]["instructed"]["exchange"] = {"rate": price}
    else:
        found.references.append({"id": value, "scheme": "exchange-rate" if price else word})


def _counterparty(value: str, found: Details) -> None:
    """``account/BIC/name/town``, as ING writes it."""
    account, _, rest = value.partition("/")
    bank, _, rest = rest.partition("/")
    found.account, found.bank, found.name = account, bank, rest.partition("/")[0].strip()


def _remittance(value: str, found: Details) -> None:
    """``USTD//text``, ``STRD/CUR/reference`` or the text itself."""
    if value.startswith("STRD/"):
        found.told["structured"] = value.rsplit("/", 1)[-1]
    elif value:
        found.texts.append(value.removeprefix("USTD//").removeprefix("USTD/").strip(" /"))
