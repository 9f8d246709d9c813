"""What ``bus inspect`` collects while it reads a file: findings, not too many of a kind, and sums per currency."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from bus import Finding, InspectedTotal, Rejected
from transforms._totals import EXACT

Severity = Literal["error", "warning", "info"]
AMOUNT_NAMES = re.compile(r"(?i)amount|betrag|umsatz|montant|importe|importo|bedrag|sum|value")
"""Headings of columns that probably hold amounts."""
CURRENCY_NAMES = re.compile(r"(?i)currency|curr|ccy|währung|waehrung|wkz|devise|moneda|valuta")
"""Headings of columns that probably hold currencies."""
_MOST_OF_A_CODE = 25


class Findings:
    """Findings of a file, at most some of each code; the rest is counted."""

    def __init__(self) -> None:
        self._told: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, code: str, severity: Severity, place: str, message: str) -> None:
        """Tell one thing."""
        self.extend((Finding(code, severity, place, message),))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Take findings that others made."""
        for finding in findings:
            self._counts[finding.code] += 1
            if self._counts[finding.code] <= _MOST_OF_A_CODE:
                self._told.append(finding)

    def refused(self, error: Rejected, place: str = "") -> None:
        """A refusal as a finding."""
        place = place or error.place
        reason = f" ({error.reason})" if error.reason else ""
        self.add(error.code, "error", place, f"{error.message.removeprefix(f'{place}: ')}{reason}")

    def told(self) -> tuple[Finding, ...]:
        """All of them, and how many more there are."""
        rest = [(code, n - _MOST_OF_A_CODE) for code, n in self._counts.items() if n > _MOST_OF_A_CODE]
        more = [Finding("VAL463", "info", "", f"and {n} more of {code}") for code, n in rest]
        return (*self._told, *more)


class Sums:
    """Count and exact sums per currency of one document; ``signed`` where its records credit or debit."""

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed
        self._rows: dict[str, list[Decimal]] = {}

    def add(self, currency: str, value: Decimal, *, sided: bool = True) -> None:
        """Count a record; below zero is a debit. ``sided``: it says at all which of the two it is."""
        row = self._rows.setdefault(currency, [Decimal(0)] * 4)
        row[0] += 1
        row[1] = EXACT.add(row[1], abs(value))
        if sided:
            side = 3 if value.is_signed() else 2
            row[side] = EXACT.add(row[side], abs(value))

    def totals(self) -> tuple[InspectedTotal, ...]:
        """One row a currency, sorted."""
        return tuple(
            InspectedTotal(currency, int(n), total, credit if self._signed else None, debit if self._signed else None)
            for currency, (n, total, credit, debit) in sorted(self._rows.items())
        )
