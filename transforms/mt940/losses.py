"""What of a canonical statement or entry an MT940 has no place for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transforms._totals import EXACT

_OF_A_STATEMENT = frozenset(
    {"type", "kind", "id", "sequence_number", "account.iban", "account.other", "account.currency", "page", "last_page"}
    | {f"{role}.{part}" for role in ("opening", "closing") for part in ("amount", "date", "type")}
    | {"balances.amount", "balances.date", "balances.type", "additional", "entries"}
    # said of the message that it came in, or computed from the entries
    | {"message_id", "from", "to", "created", "copy_kind", "summary"}
)
_OF_AN_ENTRY = frozenset({
    "type", "statement_id", "account", "index", "amount", "direction", "signed", "reversal", "status", "booking_date",
    "value_date", "bank_reference", "bank_transaction_code", "bank_code.iso", "additional",
})  # fmt: skip
_OF_A_TRANSACTION = frozenset({
    "end_to_end_id", "instruction_id", "mandate_id", "return_reason", "purpose", "own_references", "total_charges",
    "amounts.instructed.amount", "amounts.instructed.exchange.rate", "counterparty.name", "counterparty.account.iban",
    "counterparty.account.other", "counterparty.account.currency", "counterparty.agent.bic", "ultimate_debtor.name",
    "ultimate_creditor.name", "remittance.unstructured", "remittance.structured.reference",
    "remittance.structured.type",
})  # fmt: skip
_SOME_BALANCES = frozenset({"OPBD", "CLBD", "PRCD", "ITBD", "CLAV", "FWAV"})


def of_statement(body: dict[str, Any]) -> list[str]:
    """Names of the fields that would be lost, as dotted paths."""
    others = {b["type"] for b in body.get("balances") or () if b["type"] not in _SOME_BALANCES}
    return [*_unplaced(body, _OF_A_STATEMENT), *(f"balances ({kind})" for kind in sorted(others))]


def of_entry(entry: dict[str, Any], *, summed: bool) -> list[str]:
    """Names of the fields that would be lost, as dotted paths; ``summed``: details of several transactions may be."""
    own = {name: value for name, value in entry.items() if name != "transactions"}
    told: list[dict[str, Any]] = list(entry.get("transactions") or ())
    lost = list(_unplaced(own, _OF_AN_ENTRY))
    if summed and len(told) > 1:
        return lost
    return lost + [f"transactions.{name}" for one in told for name in _of_transaction(one, entry)]


def _of_transaction(told: dict[str, Any], entry: dict[str, Any]) -> Iterator[str]:
    """An amount is only told where it is another than the entry's, and so is a direction."""
    own = {name: value for name, value in told.items() if name not in ("amount", "direction", "transaction_id")}
    yield from _unplaced(own, _OF_A_TRANSACTION)
    worth, whole = told.get("amount"), entry["amount"]
    if worth and (worth["currency"] != whole["currency"] or EXACT.subtract(worth["value"], whole["value"])):
        yield "amount"
    if told.get("direction", "") not in ("", entry["direction"]):
        yield "direction"
    if told.get("transaction_id"):
        yield "transaction_id"


def _unplaced(value: Any, placed: frozenset[str], path: str = "") -> Iterator[str]:
    if path in placed or value is None or value == "" or value is False:
        return
    if isinstance(value, dict) and value.keys() != {"value", "currency"}:
        for name, inner in value.items():
            yield from _unplaced(inner, placed, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _unplaced(inner, placed, path)
    else:
        yield path
