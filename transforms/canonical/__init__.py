"""The finance models that every mapping goes through: orders, what is said of them, statements.

``MODELS`` holds the fast checks that routes use (``validate: {model: payment}``); the pydantic classes with the same
content (:mod:`transforms.canonical.models`) are loaded on first use and serve JSON Schema and documentation.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from transforms.canonical.catalogue import MODELS
from transforms.canonical.checks import Flaw, check_payment

if TYPE_CHECKING:
    from transforms.canonical.models import Account as Account
    from transforms.canonical.models import Address as Address
    from transforms.canonical.models import Amount as Amount
    from transforms.canonical.models import Cancellation as Cancellation
    from transforms.canonical.models import CancellationStatus as CancellationStatus
    from transforms.canonical.models import DirectDebit as DirectDebit
    from transforms.canonical.models import Party as Party
    from transforms.canonical.models import PaymentInstruction as PaymentInstruction
    from transforms.canonical.models import PaymentReturn as PaymentReturn
    from transforms.canonical.models import PaymentStatus as PaymentStatus
    from transforms.canonical.models import Statement as Statement
    from transforms.canonical.models import StatementEntry as StatementEntry
    from transforms.canonical.models import json_schema as json_schema

_LAZY = [
    "Account",
    "Address",
    "Amount",
    "Cancellation",
    "CancellationStatus",
    "DirectDebit",
    "Party",
    "PaymentInstruction",
    "PaymentReturn",
    "PaymentStatus",
    "Statement",
    "StatementEntry",
    "json_schema",
]
__all__ = ["MODELS", "Flaw", "check_payment", *_LAZY]  # noqa: PLE0604 - one list for what is loaded late


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module("transforms.canonical.models"), name)
    raise AttributeError(f"module 'transforms.canonical' has no attribute {name!r}")
