"""What all rules have in common: how a breach is told, and the ISO 20022 reasons for each side of a payment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from transforms.canonical import Flaw

Severity = Literal["error", "warning", "info"]
Check = Callable[[dict[str, Any], list[Flaw]], None]
"""One compiled rule: looks at a canonical payment and appends what it finds."""

SEVERITIES: dict[str, Severity] = {"warn": "warning", "reject": "error"}
"""Verdict in a profile -> severity of the finding."""
PARTIES = ("debtor", "creditor", "ultimate_debtor", "ultimate_creditor")
"""Parties of a payment."""
ADDRESS_REASON = {"debtor": "BE07", "creditor": "BE04", "ultimate_debtor": "BE07", "ultimate_creditor": "BE04"}
ACCOUNT_REASON = {"debtor": "AC02", "creditor": "AC01"}
BANK_REASON = {"debtor": "RC03", "creditor": "RC04"}


def value_at(body: Any, path: tuple[str, ...]) -> Any:
    """The value of a field, None where there is none on the way."""
    for name in path:
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body
