"""The canonical shapes as pydantic models: for JSON Schema, documentation and checks on request, never per message."""

from __future__ import annotations

from typing import Any

from transforms.canonical.answers import Cancellation, CancellationStatus, PaymentReturn, PaymentStatus
from transforms.canonical.orders import Charge, DirectDebit, Mandate, PaymentInstruction
from transforms.canonical.parties import Account, Address, Agent, Counterparty, Identifier, Party
from transforms.canonical.remittance import Reference, Remittance
from transforms.canonical.reports import Balance, Batch, EntryTransaction, Statement, StatementEntry
from transforms.canonical.shape import Amount, Exchange, Shape

MODEL_TYPES: dict[str, type[Shape]] = {
    "payment": PaymentInstruction,
    "direct-debit": DirectDebit,
    "payment-status": PaymentStatus,
    "return": PaymentReturn,
    "cancellation": Cancellation,
    "cancellation-status": CancellationStatus,
    "statement": Statement,
    "entry": StatementEntry,
}
"""Name of a model -> its class."""


def json_schema(model: str) -> dict[str, Any]:
    """The JSON Schema of a model, for editors and documentation."""
    return MODEL_TYPES[model].model_json_schema(by_alias=True)


__all__ = [
    "MODEL_TYPES",
    "Account",
    "Address",
    "Agent",
    "Amount",
    "Balance",
    "Batch",
    "Cancellation",
    "CancellationStatus",
    "Charge",
    "Counterparty",
    "DirectDebit",
    "EntryTransaction",
    "Exchange",
    "Identifier",
    "Mandate",
    "Party",
    "PaymentInstruction",
    "PaymentReturn",
    "PaymentStatus",
    "Reference",
    "Remittance",
    "Shape",
    "Statement",
    "StatementEntry",
    "json_schema",
]
