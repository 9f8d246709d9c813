"""Parties, banks and remittance information of MT101, from and to the lines of their fields."""

from __future__ import annotations

import re
from typing import Any

from transforms._statements import account_of
from transforms._swift import Field

_NUMBERED = re.compile(r"([1-8])/(.*)")
_COUNTRY = re.compile(r"([A-Z]{2})(?:/(.*))?")
_POSTCODE = re.compile(r"([0-9][0-9A-Z-]{2,9}) (.+)")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_LINE, _NUMBERED_LINE = 35, 33
CLEARING = {
    "AT": "ATBLZ", "AU": "AUBSB", "BL": "DEBLZ", "CC": "CACPA", "CH": "USPID", "CN": "CNAPS", "ES": "ESNCC",
    "FW": "USABA", "GR": "GRBIC", "HK": "HKNCC", "IE": "IENCC", "IN": "INFSC", "IT": "ITNCC", "PL": "PLKNR",
    "PT": "PTNCC", "RU": "RUCBC", "SC": "GBDSC", "SW": "CHBCC", "ZA": "ZANCC",
}  # fmt: skip
"""Clearing codes of Swift -> codes of ISO 20022 (ExternalClearingSystemIdentification1Code)."""
_TO_SWIFT = {iso: swift for swift, iso in CLEARING.items()}
_CODED = re.compile(r"//([A-Z]{2})(.*)")
_TEXT_CODE = re.compile(r"/?(ROC|INV|RFB|IPI)/(.*)", re.DOTALL)


# ---------------------------------------------------------------- reading


def party(field: Field) -> dict[str, Any]:
    """Debtor or creditor of a field 50 or 59, whatever its option."""
    lines = [line for line in field.lines if line.strip()]
    account = None
    if lines and lines[0].startswith("/"):
        account = account_of(lines.pop(0)[1:])
    found: dict[str, Any] = {"name": "", "account": account, "agent": None}
    if field.tag[-1] in "AG" and lines:
        found["name"] = found["bic"] = lines[0].strip()
    elif field.tag[-1] == "F" or (lines and _NUMBERED.fullmatch(lines[0])):
        _numbered(lines, found)
    elif lines:
        found["name"] = lines[0].strip()
        if lines[1:]:
            found["address"] = {"lines": [line.strip() for line in lines[1:]]}
    return found


def _numbered(lines: list[str], found: dict[str, Any]) -> None:
    names, streets = [], list[str]()
    address: dict[str, Any] = {}
    for line in lines:
        match = _NUMBERED.fullmatch(line)
        number, text = (match[1], match[2]) if match else ("2", line)
        place = _COUNTRY.fullmatch(text.strip()) if number == "3" and "country" not in address else None
        if number == "1":
            names.append(text)
        elif place:
            address["country"] = place[1]
            town = _POSTCODE.fullmatch(place[2] or "")
            if town:
                address["postcode"], address["town"] = town[1], town[2]
            elif place[2]:
                address["town"] = place[2]
        else:
            streets.append(text.strip())
    found["name"] = joined(names, _NUMBERED_LINE)
    if len(streets) == 1:
        address["street"] = streets[0]
    elif streets:
        address["lines"] = streets
    if address:
        found["address"] = address


def agent(field: Field) -> dict[str, Any] | None:
    """A bank of a field 51, 52, 56 or 57: BIC, clearing code or name and address."""
    lines = [line.strip() for line in field.lines if line.strip()]
    found: dict[str, Any] = {}
    if lines and lines[0].startswith("/"):
        coded = _CODED.fullmatch(lines[0])
        if coded and coded[1] in CLEARING:
            found["clearing_system"], found["member_id"] = CLEARING[coded[1]], coded[2]
        else:
            found["account"] = account_of(lines[0].lstrip("/"))
        lines.pop(0)
    if lines and _BIC.fullmatch(lines[0]):
        found["bic"] = lines[0]
    elif lines:
        found["name"] = lines[0]
        if lines[1:]:
            found["address"] = {"lines": lines[1:]}
    return found or None


def joined(lines: list[str], width: int = _LINE) -> str:
    """Text that was cut into lines of one width: a full line goes on without a blank, a shorter one with one."""
    text = ""
    for line in lines:
        text += line if len(line) >= width else f"{line.rstrip()} "
    return text.strip()


def remittance(field: Field | None, reference: str) -> tuple[str, dict[str, Any]]:
    """End-to-end id (``/ROC/``, else the transaction's reference) and remittance information of a field 70."""
    end_to_end, texts, structured = reference, list[str](), list[dict[str, str]]()
    text = joined(field.lines) if field else ""
    coded = _TEXT_CODE.match(text) is not None
    for piece in text.split("//") if coded else [text]:
        code = _TEXT_CODE.fullmatch(piece) if coded else None
        value = code[2].strip() if code else piece.strip()
        if code and code[1] == "ROC":
            end_to_end = value
        elif code and value:
            kinds = {"INV": "CINV", "RFB": "SCOR" if value.startswith("RF") else ""}
            structured.append({"reference": value, "type": kinds.get(code[1], "")})
        elif value:
            texts.append(value)
    return end_to_end, {"unstructured": texts, "structured": structured}


# ---------------------------------------------------------------- writing


def wrapped(text: str, width: int = _LINE) -> list[str]:
    """Text as full lines, none of which begins like a field or an end of message.

    A blank in front, which readers strip, moves the cuts where they are unlucky; empty when that does not help.
    """
    for shift in range(4):
        moved = " " * shift + text
        lines = [moved[at : at + width] for at in range(0, len(moved), width)]
        if not any(line[:1] in (":", "-") for line in lines):
            return lines
    return []


def account_line(account: dict[str, Any]) -> str:
    """``/`` and the number."""
    return f"/{account.get('iban') or account.get('other')}"


def party_lines(body: dict[str, Any]) -> tuple[bool, list[str]]:
    """Name and address of a party, and whether with the numbers of option F, which needs a country."""
    address = body.get("address") or {}
    name = body["name"]
    if not address.get("country"):
        return False, [name, *(address.get("lines") or [])]
    lines = [f"1/{name[at : at + _NUMBERED_LINE]}" for at in range(0, len(name), _NUMBERED_LINE)]
    street = " ".join(filter(None, (address.get("street"), address.get("building"))))
    lines += [f"2/{text}" for text in ([street] if street else []) + list(address.get("lines") or [])]
    town = " ".join(filter(None, (address.get("postcode"), address.get("town"))))
    return True, [*lines, f"3/{address['country']}" + (f"/{town}" if town else "")]


def agent_field(tag: str, body: dict[str, Any]) -> tuple[str, list[str]] | None:
    """Tag with option and lines of a bank; None when nothing of it can be told."""
    system, member = body.get("clearing_system"), body.get("member_id")
    first = []
    if member and system in _TO_SWIFT:
        first = [f"//{_TO_SWIFT[system]}{member}"]
    elif body.get("account"):
        first = [account_line(body["account"])]
    if body.get("bic"):
        return f"{tag}A", [*first, body["bic"]]
    if body.get("name"):
        return f"{tag}D", [*first, body["name"], *((body.get("address") or {}).get("lines") or [])]
    return (f"{tag}C", [first[0].removeprefix("/")] if not member else first) if first else None


def remittance_text(payment: dict[str, Any], reference: str) -> str:
    """The text of a field 70: codes between double slashes, then the free text."""
    told = payment.get("remittance") or {}
    pieces = []
    end_to_end = payment.get("end_to_end_id") or reference
    if end_to_end != reference:
        pieces.append(f"/ROC/{end_to_end}")
    pieces += [
        f"/{'INV' if item.get('type') == 'CINV' else 'RFB'}/{item['reference']}"
        for item in told.get("structured") or ()
    ]
    text = " ".join(told.get("unstructured") or ())
    return "/".join([*pieces, f"/{text}"]) if pieces and text else "/".join(pieces) or text
