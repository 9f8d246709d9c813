"""What is written into :86: of an entry: code words of Swift, which :mod:`transforms.mt940.details` reads back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus import Rejected
from transforms.mt940.details import details

_WIDTH, _MOST_LINES = 65, 6
_SHOWN = 20


def short(text: str) -> str:
    """A name for a message, not too long and only when it is harmless to tell."""
    return text[:_SHOWN] if text.isascii() and text.isprintable() else "with other characters"


def information(told: dict[str, Any], convert: Callable[[str], str], further: dict[str, str]) -> list[str]:
    """The lines of the field, ``:86:`` in front; none when there is nothing to tell.

    ``told`` is the one transaction of the entry; ``further`` are code words with values that stand nowhere else.

    Raises:
        Rejected: ``VAL736``: it does not fit, or would be read back as something else.
    """
    words = [(word, convert(value.replace("\n", " ")).strip()) for word, value in _words(told, further) if value]
    texts = [convert(text).strip() for text in (told.get("remittance") or {}).get("unstructured") or () if text.strip()]
    if not words and texts and all(len(text) <= _WIDTH for text in texts):
        lines = texts
    else:
        text = "".join(f"/{word}/{value}" for word, value in [*words, *(("REMI", text) for text in texts)])
        lines = _cut(text)
    if not lines:
        return []
    if len(lines) > _MOST_LINES:
        text = f"remittance: the details of the entry need over {_MOST_LINES} lines of {_WIDTH} characters"
        raise Rejected("VAL736", text, reason="FF01", place="transactions", hint="shorten them in the mapping")
    _check_read_back(lines, words, texts)
    return [f":86:{lines[0]}", *lines[1:]]


def _words(told: dict[str, Any], further: dict[str, str]) -> list[tuple[str, str]]:
    side = told.get("counterparty") or {}
    account, remittance = side.get("account") or {}, told.get("remittance") or {}
    references = remittance.get("structured") or ()
    if len(references) > 1:
        text = "remittance: an MT940 has one structured reference for an entry"
        raise Rejected("VAL736", text, reason="FF01", place="remittance", hint="put them into the text")
    words = [
        ("TRCD", further["TRCD"]),
        ("RTRN", told.get("return_reason") or ""),
        ("EREF", told.get("end_to_end_id") or ""),
        ("KREF", further["KREF"]),
        ("ID", further["ID"]),
        ("MARF", told.get("mandate_id") or ""),
        *((_scheme(item), item["id"]) for item in told.get("own_references") or ()),
        ("IBAN", account.get("iban") or account.get("other") or ""),
        ("BIC", (side.get("agent") or {}).get("bic") or ""),
        ("NAME", side.get("name") or ""),
        ("UDTR", (told.get("ultimate_debtor") or {}).get("name") or ""),
        ("UCRD", (told.get("ultimate_creditor") or {}).get("name") or ""),
        ("PURP", told.get("purpose") or ""),
        *_amounts(told),
        ("BTCH", further["BTCH"]),
        ("TXT", further["TXT"]),
    ]
    return words + [("CDTRREF", item["reference"]) for item in references]


def _amounts(told: dict[str, Any]) -> list[tuple[str, str]]:
    """What was ordered in another currency, its rate (read back only behind the amount), and the charges."""
    ordered = (told.get("amounts") or {}).get("instructed") or {}
    price = (ordered.get("exchange") or {}).get("rate")
    return [
        ("OCMT", _worth(ordered.get("amount"))),
        ("EXCH", "" if price is None else f"{price:f}".replace(".", ",")),
        ("CHGS", _worth(told.get("total_charges"))),
    ]


def _worth(amount: dict[str, Any] | None) -> str:
    return f"{amount['currency']}{amount['value']:f}".replace(".", ",") if amount else ""


def _scheme(item: dict[str, str]) -> str:
    return "CSID" if item.get("scheme") == "creditor-id" else "ID"


def _cut(text: str) -> list[str]:
    """Lines of at most 65 characters, none of which begins like a field or an end of message."""
    lines = []
    while text:
        width = _WIDTH
        while width < len(text) and width > 1 and text[width] in ":-":
            width -= 1
        lines.append(text[:width])
        text = text[width:]
    return lines


def _check_read_back(lines: list[str], words: list[tuple[str, str]], texts: list[str]) -> None:
    """What a reader makes of the lines must be what they were made of: texts may look like code words."""
    found = details(lines)
    expected = dict(words)
    names = {"EREF": "end_to_end_id", "KREF": "instruction_id", "MARF": "mandate_id", "RTRN": "return_reason"}
    back = {word: found.told.get(field, "") for word, field in (*names.items(), ("PURP", "purpose"))}
    back |= {"NAME": found.name, "IBAN": found.account, "BIC": found.bank, "TXT": found.additional}
    back |= {"CDTRREF": found.told.get("structured", "")} | dict(_amounts(found.told))
    unread = {word for word, value in back.items() if value != expected.get(word, "")}
    # A line that Swift does not allow at its begin was cut where nothing helps.
    if unread or found.texts != texts or any(line[:1] in (":", "-") for line in lines):
        text = "remittance: the details of the entry cannot be told apart once they are written"
        hint = "leave out slashes around words such as NAME or REMI"
        raise Rejected("VAL736", text, reason="FF01", place="transactions", hint=hint)
