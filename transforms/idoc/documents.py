"""What IDocs say: payment orders as canonical payments, orders and invoices as plain documents."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

from bus import Money, Rejected
from transforms.canonical.accounts import iban_problem, is_bic
from transforms.idoc.segments import TO_DECLARE
from transforms.idoc.tree import Segment, refused

_NUMBER = re.compile(r"(-?)(\d{1,18}(?:\.\d{0,9})?)(-?)", re.ASCII)
_PAYMENTS = ("PEXR2001", "PEXR2002", "PEXR2003")
_DOCUMENTS = ("ORDERS", "INVOIC", "ORDRSP", "ORDCHG")
_DATES = ("017", "026", "015")
"""Qualifiers of the day of execution, best first: 017 payment, 026 document, 015 posting."""
_AMOUNTS = ("002", "006", "001")
_INVOICES = ("009", "010")
_RECEIVERS = ("BE", "RE", "LF")
_TEXT = re.compile("TXT[0-9]{2}")


def is_payment(idoc: Segment) -> bool:
    """Whether an IDoc orders or advises a payment."""
    return idoc.name in _PAYMENTS


def is_document(idoc: Segment) -> bool:
    """Whether an IDoc is an order or an invoice."""
    return idoc.name.startswith(_DOCUMENTS)


def payment(idoc: Segment) -> dict[str, Any]:
    """The canonical payment of a payment order (PEXR2002: PAYEXT, REMADV).

    Raises:
        Rejected: ``VAL670`` when the fields of a flat segment are not known, ``VAL806`` when amount or date are
            missing, ``VAL807`` when they cannot be read.
    """
    head = next(iter(idoc.all("E1IDKU1")), None)
    if head is None:
        raise refused("VAL806", idoc.place, "the segment E1IDKU1 is missing")
    _prove_known([head, *head.segments, *idoc.segments])
    # Banks and partners stand below the header or beside it, as the version of the type has it.
    around = [*head.segments, *idoc.segments]
    amount = _amount(around, head.place)
    when = _qualified(around, "E1EDK03", "IDDAT", _DATES)
    if when is None:
        raise refused("VAL806", head.place, "no E1EDK03 with the day of payment")
    reference = _qualified(around, "E1EDK02", "QUALF", ("022",))
    name = reference.fields.get("BELNR", "") if reference else ""
    return {
        "type": "payment",
        "id": head.fields.get("BGMREF", ""),
        "end_to_end_id": name or head.fields.get("BGMREF", ""),
        "debtor": _party(around, ("AG",), "BA"),
        "creditor": _party(around, _RECEIVERS, "BB"),
        "amount": amount,
        "execution_date": day(when.fields.get("DATUM", ""), when.place),
        "remittance": {"unstructured": _texts(around), "structured": _paid(around)},
        "message_id": idoc.fields.get("DOCNUM", ""),
    }


def _prove_known(segments: list[Segment]) -> None:
    """Raises Rejected ``VAL670`` for segments of flat records that came as one text, and says what to declare."""
    unknown = {s.name: s for s in reversed(segments) if "SDATA" in s.fields and s.name in TO_DECLARE}
    if not unknown:
        return
    names, first = ", ".join(sorted(unknown)), min(unknown)
    hint = f'write `segments: {{{first}: "{TO_DECLARE[first]}"}}` with the widths that transaction WE60 prints'
    raise refused("VAL670", unknown[first].place, f"the fields of {names} in flat records are not known", hint)


def document(idoc: Segment) -> dict[str, Any]:
    """An order or invoice as plain data: head, dates, references, partners, items, sums.

    Raises:
        Rejected: ``VAL807`` when a number or date cannot be read.
    """
    head = next(iter(idoc.all("E1EDK01")), Segment("E1EDK01", idoc.place))
    return {
        "type": idoc.name,
        "message_type": idoc.fields.get("MESTYP", ""),
        "document_number": idoc.fields.get("DOCNUM", ""),
        "number": head.fields.get("BELNR", ""),
        "kind": head.fields.get("BSART", ""),
        "currency": head.fields.get("CURCY", ""),
        "payment_terms": head.fields.get("ZTERM", ""),
        "dates": {s.fields.get("IDDAT", ""): day(s.fields.get("DATUM", ""), s.place) for s in idoc.all("E1EDK03")},
        "references": {s.fields.get("QUALF", ""): s.fields.get("BELNR", "") for s in idoc.all("E1EDK02")},
        "partners": {s.fields.get("PARVW", ""): _partner(s) for s in idoc.all("E1EDKA1")},
        "items": [_item(s) for s in idoc.all("E1EDP01")],
        "sums": {s.fields.get("SUMID", ""): number(s, "SUMME") for s in idoc.all("E1EDS01")},
    }


def number(segment: Segment, name: str) -> Decimal | None:
    """The exact value of a field, whose minus may stand behind it; None for an empty one."""
    text = segment.fields.get(name, "").replace(" ", "")
    if not text:
        return None
    found = _NUMBER.fullmatch(text)
    if not found or (found[1] and found[3]):
        raise refused("VAL807", segment.place, f"{name} is no number")
    return Decimal(found[1] + found[2] if found[1] else found[3] + found[2])


def day(text: str, place: str) -> str:
    """``20261124`` as an ISO date; empty for nothing and zeros."""
    if not text.strip("0"):
        return ""
    try:
        if len(text) == 8 and text.isascii() and text.isdigit():
            return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        pass
    raise refused("VAL807", place, "a date is no day of the calendar", "YYYYMMDD")


def _qualified(around: list[Segment], name: str, qualifier: str, wanted: tuple[str, ...]) -> Segment | None:
    """The segment of that name whose qualifier comes first in ``wanted``."""
    for value in wanted:
        for segment in around:
            if segment.name == name and segment.fields.get(qualifier) == value:
                return segment
    return None


def _amount(around: list[Segment], place: str) -> dict[str, Any]:
    found = _qualified(around, "E1IDKU5", "MOAQUAL", _AMOUNTS) or _qualified(around, "E1IDPU5", "MOAQUAL", _AMOUNTS)
    if found is None:
        raise refused("VAL806", place, "no E1IDKU5 with the amount of the payment")
    value = number(found, "MOABETR")
    if value is None:
        raise refused("VAL806", found.place, "MOABETR is empty")
    try:
        # SAP writes what goes out with a minus behind it; the direction of a payment is clear without.
        worth = Money.of(abs(value), found.fields.get("CUXWAERZ", ""))
    except Rejected as error:
        raise refused("VAL807", found.place, error.message) from None
    return {"value": worth.value, "currency": worth.currency}


def _party(around: list[Segment], roles: tuple[str, ...], bank: str) -> dict[str, Any]:
    partner = _qualified(around, "E1EDKA1", "PARVW", roles)
    account = _qualified(around, "E1IDB02", "FIIQUALI", (bank,))
    found: dict[str, Any] = {"name": "", "account": None}
    if partner is not None:
        found["name"] = " ".join(filter(None, (partner.fields.get(f"NAME{n}", "") for n in (1, 2))))
        found["address"] = _address(partner)
    if account is not None:
        told = account.fields.get("FIIKONTO", "").replace(" ", "")
        found["account"] = ({"other": told} if iban_problem(told) else {"iban": told}) if told else None
        key = account.fields.get("FIIBKENN", "")
        found["agent"] = ({"bic": key} if is_bic(key) and not key.isdigit() else {"member_id": key}) if key else None
    return found


def _address(partner: Segment) -> dict[str, str]:
    names = {"street": "STRAS", "building": "HAUSN", "postcode": "PSTLZ", "town": "ORT01", "country": "LAND1"}
    return {name: text for name, sap in names.items() if (text := partner.fields.get(sap, ""))}


def _texts(around: list[Segment]) -> list[str]:
    """The lines of E1IDT01, in their order; its TXTVW says what kind of text they are."""
    lines = (sorted(s.fields.items()) for s in around if s.name == "E1IDT01")
    texts = [value for fields in lines for name, value in fields if _TEXT.fullmatch(name)]
    return [text for text in texts if text]


def _paid(around: list[Segment]) -> list[dict[str, str]]:
    """The documents that are paid, in their order."""
    found = []
    for item in (s for s in around if s.name == "E1IDPU1"):
        reference = _qualified(item.segments, "E1EDP02", "QUALF", _INVOICES)
        if reference is not None and reference.fields.get("BELNR"):
            found.append({"reference": reference.fields["BELNR"], "type": "CINV"})
    return found


def _partner(segment: Segment) -> dict[str, Any]:
    fields = segment.fields
    name = " ".join(filter(None, (fields.get(f"NAME{n}", "") for n in (1, 2))))
    return {"number": fields.get("PARTN") or fields.get("LIFNR", ""), "name": name, "address": _address(segment)}


def _item(segment: Segment) -> dict[str, Any]:
    identifiers = {s.fields.get("QUALF", ""): s.fields.get("IDTNR", "") for s in segment.all("E1EDP19")}
    return {
        "line": segment.fields.get("POSEX", ""),
        "quantity": number(segment, "MENGE"),
        "unit": segment.fields.get("MENEE", ""),
        "price": number(segment, "VPREI"),
        "amount": number(segment, "NETWR"),
        "currency": segment.fields.get("CURCY", ""),
        "identifiers": identifiers,
        "text": next((s.fields.get("KTEXT", "") for s in segment.all("E1EDP19") if s.fields.get("KTEXT")), ""),
        "references": {s.fields.get("QUALF", ""): s.fields.get("BELNR", "") for s in segment.all("E1EDP02")},
    }
