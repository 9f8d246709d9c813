"""Entries of a NACHA file as canonical payments, direct debits and payment statuses."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from transforms.nacha.reader import Entry
from transforms.nacha.reasons import CHANGES, RETURNS

KINDS = {"2": "CACC", "3": "SVGS", "4": "OTHR", "5": "LOAN"}
"""First digit of a transaction code -> kind of account (ExternalCashAccountType1Code)."""
_INVOICE = re.compile(r"RMR\*IV\*([^*\\~]{1,35})\*{0,3}(?:[^*\\~]{0,18})[\\~]?")
_BACK = ("98", "99")


def is_answer(entry: Entry) -> bool:
    """Whether an entry brings a return or a notification of change."""
    return any(addendum["type"] in _BACK for addendum in entry.addenda)


def is_order(entry: Entry) -> bool:
    """Whether an entry moves money forward; prenotes and zero-dollar entries do not."""
    return not is_answer(entry) and entry.fields["transaction_code"][1:] in ("2", "7", "5")


def order(entry: Entry, head: dict[str, Any]) -> dict[str, Any]:
    """The canonical payment (credit) or direct debit (debit) of an entry.

    The account of the originator stands in no NACHA file; ``organisation_ids`` has the company identification under
    which its bank knows it.
    """
    fields, batch = entry.fields, entry.batch
    receiver = _receiver(entry)
    originator = _originator(entry)
    day = batch["effective_date"] or head["created_on"]
    whole: dict[str, Any] = {
        "type": "direct-debit" if entry.is_debit else "payment",
        "end_to_end_id": fields.get("id") or entry.addendum("15").get("receiver_id", ""),
        "creditor": originator if entry.is_debit else receiver,
        "debtor": receiver if entry.is_debit else originator,
        "amount": {"value": fields["amount"], "currency": "USD"},
        "collection_date" if entry.is_debit else "execution_date": day,
        "local_instrument": batch["entry_class"],
        "category_purpose": "SALA" if batch["description"].upper() in ("PAYROLL", "REG.SALARY") else "",
        "remittance": _remittance(entry.text_addenda()),
        "message_id": head["reference"],
        "payment_information_id": str(batch["batch_number"]),
        "instruction_id": fields["trace_number"],
    }
    return whole


def _originator(entry: Entry) -> dict[str, Any]:
    batch, first = entry.batch, entry.addendum("11")
    party: dict[str, Any] = {
        "name": first.get("originator_name") or batch.get("company_name", ""),
        "agent": _agent(batch["odfi"], entry.addendum("13").get("odfi_name", "")),
        "organisation_ids": [{"id": batch["company_id"]}] if batch["company_id"] else [],
    }
    if first:
        second = entry.addendum("12")
        party["address"] = _address(first["originator_street"], second, "originator")
    return party


def _receiver(entry: Entry) -> dict[str, Any]:
    fields, tenth = entry.fields, entry.addendum("10")
    routing = fields["rdfi"] + fields["check_digit"]
    bank = entry.addendum("14")
    party: dict[str, Any] = {
        "name": fields.get("name") or tenth.get("receiver_name", ""),
        "account": {"other": fields["account"], "kind": KINDS[fields["transaction_code"][0]]},
        "agent": _agent(routing, ""),
    }
    if bank:
        party["agent"] = _foreign_agent(bank)
    if tenth:
        street = entry.addendum("15").get("receiver_street", "")
        party["address"] = _address(street, entry.addendum("16"), "receiver")
    return party


def _agent(routing: str, name: str) -> dict[str, Any]:
    found = {"clearing_system": "USABA", "member_id": routing}
    return found | {"name": name} if name else found


def _foreign_agent(bank: dict[str, Any]) -> dict[str, Any]:
    """The receiver's bank of an IAT entry: by national number (01), BIC (02) or IBAN (03)."""
    found: dict[str, Any] = {"name": bank["rdfi_name"], "address": {"country": bank["rdfi_country"]}}
    if bank["rdfi_id_kind"] == "02":
        return found | {"bic": bank["rdfi_id"]}
    if bank["rdfi_id_kind"] == "01" and bank["rdfi_country"] == "US":
        return found | {"clearing_system": "USABA", "member_id": bank["rdfi_id"]}
    return found | {"other": {"id": bank["rdfi_id"], "scheme": {"03": "IBAN"}.get(bank["rdfi_id_kind"], "")}}


def _address(street: str, addendum: dict[str, Any], side: str) -> dict[str, Any]:
    """An address of which town and state, and country and postcode, stand together with ``*`` between them."""
    town, _, state = addendum.get(f"{side}_town", "").rstrip("\\").partition("*")
    country, _, postcode = addendum.get(f"{side}_country", "").rstrip("\\").partition("*")
    found = {"country": country, "town": town, "subdivision": state, "postcode": postcode, "street": street}
    return {name: text for name, text in found.items() if text}


def _remittance(texts: list[str]) -> dict[str, Any]:
    """Addenda as they stand; one that is a reference to an invoice (X12 segment RMR) is a structured reference."""
    plain, structured = [], []
    for text in texts:
        found = _INVOICE.fullmatch(text)
        if found:
            structured.append({"reference": found[1], "type": "CINV"})
        else:
            plain.append(text)
    return {"unstructured": plain, "structured": structured}


def status(entry: Entry, head: dict[str, Any]) -> dict[str, Any]:
    """The canonical status that a return (rejected) or a notification of change (accepted with change) brings."""
    addendum = next(a for a in entry.addenda if a["type"] in _BACK)
    code = addendum["reason"].upper()
    if code.startswith("C"):
        told = [f"{CHANGES.get(code, 'change')}: {addendum.get('corrected', '')}".strip(": ")]
        state, reason = "ACWC", code
    else:
        reason, title = RETURNS.get(code, (code, ""))
        state = "RJCT"
        told = [text for text in (code if reason != code else "", title, addendum.get("information", "")) if text]
    return {
        "type": "payment-status",
        "level": "transaction",
        "status": state,
        "reason": reason,
        "additional": told,
        "report_id": head["reference"],
        "original_message_id": "",
        "original_payment_information_id": "",
        "original_end_to_end_id": entry.fields.get("id", ""),
        "original_instruction_id": addendum["original_trace"],
    }


def plain(entry: Entry) -> dict[str, Any]:
    """Everything an entry says, by the names of its fields."""
    batch = {name: value for name, value in entry.batch.items() if name != "place"}
    return {**entry.fields, "batch": batch, "addenda": entry.addenda}


def signed(entry: Entry) -> Decimal:
    """The amount, below zero for a debit; zero where it cannot be read."""
    amount = entry.fields["amount"]
    value = amount if isinstance(amount, Decimal) else Decimal(0)
    return -value if entry.is_debit else value
