"""All canonical models by name with their checks; those of orders, returns and cancellations that are no payments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus import Finding
from transforms.canonical.checks import (
    CREDITOR,
    DEBTOR,
    LEVELS,
    Flaw,
    Flaws,
    end_to_end_id,
    entry,
    is_a,
    is_code4,
    is_day,
    kind_of_payment,
    party,
    payment,
    payment_status,
    remittance_flaws,
    statement,
    texts,
    unless_found,
    worth,
)

_SEQUENCES = ("FRST", "RCUR", "FNAL", "OOFF", "RPRE")
_ORIGINALS = (
    "original_message_id",
    "original_payment_information_id",
    "original_end_to_end_id",
    "original_instruction_id",
    "original_transaction_id",
    "original_uetr",
)


def direct_debit(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical direct debit, in the order of its fields."""
    flaws = Flaws()
    if not is_a("direct-debit", body, flaws):
        return tuple(flaws.found)
    end_to_end_id(body, flaws)
    party(body.get("creditor"), CREDITOR, flaws)
    party(body.get("debtor"), DEBTOR, flaws)
    worth(body.get("amount"), "amount", flaws)
    if not is_day(body.get("collection_date")):
        flaws.add("VAL435", "collection_date", "the collection date is no day of the calendar", "DT01", "2026-11-24")
    kind_of_payment(body, flaws)
    sequence = body.get("sequence_type")
    if sequence and sequence not in _SEQUENCES:
        flaws.add("VAL640", "sequence_type", f"the sequence type is none of {', '.join(_SEQUENCES)}", "FF01")
    mandate = body.get("mandate") or {}
    if not isinstance(mandate, dict):
        flaws.add("VAL640", "mandate", "the mandate is no object", "MD01")
    else:
        number, signed = mandate.get("id"), mandate.get("signed")
        if number and not (isinstance(number, str) and len(number) <= 35):
            flaws.add("VAL640", "mandate.id", "the number of the mandate is longer than 35 characters", "MD01")
        if signed and not is_day(signed):
            flaws.add("VAL435", "mandate.signed", "the day of the signature is no day of the calendar", "MD02")
    remittance_flaws(body.get("remittance"), flaws)
    unless_found("direct-debit", body, flaws)
    return tuple(flaws.found)


def payment_return(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical return."""
    flaws = Flaws()
    if is_a("return", body, flaws):
        worth(body.get("amount"), "amount", flaws)
        texts(body, ("id", "reason", *_ORIGINALS), flaws)
        unless_found("return", body, flaws)
    return tuple(flaws.found)


def cancellation(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical request to cancel or to reverse."""
    flaws = Flaws()
    if not is_a("cancellation", body, flaws):
        return tuple(flaws.found)
    if body.get("level") not in LEVELS:
        flaws.add("VAL442", "level", f"the level is none of {', '.join(LEVELS)}")
    if body.get("action", "cancel") not in ("cancel", "reverse"):
        flaws.add("VAL442", "action", "the action is neither cancel nor reverse")
    texts(body, ("id", "reason", *_ORIGINALS), flaws)
    if not any(body.get(name) for name in _ORIGINALS):
        flaws.add("VAL641", "", "nothing says which payment, block or message is meant", "CH21")
    unless_found("cancellation", body, flaws)
    return tuple(flaws.found)


def cancellation_status(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical answer to a request to cancel."""
    flaws = Flaws()
    if not is_a("cancellation-status", body, flaws):
        return tuple(flaws.found)
    if body.get("level") not in (*LEVELS, "case"):
        flaws.add("VAL442", "level", f"the level is none of {', '.join((*LEVELS, 'case'))}")
    if not is_code4(body.get("status")):
        flaws.add("VAL442", "status", "the status is no ISO 20022 status code", hint="for instance CNCL or RJCR")
    texts(body, ("reason", "report_id", *_ORIGINALS), flaws)
    unless_found("cancellation-status", body, flaws)
    return tuple(flaws.found)


MODELS: dict[str, Callable[[Any], tuple[Finding, ...]]] = {
    "payment": payment,
    "direct-debit": direct_debit,
    "payment-status": payment_status,
    "return": payment_return,
    "cancellation": cancellation,
    "cancellation-status": cancellation_status,
    "statement": statement,
    "entry": entry,
}
"""Name of a model -> its check; nothing found means that the body is right."""
