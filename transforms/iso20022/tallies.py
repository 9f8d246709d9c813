"""What inspections collect: findings, and counts and sums per currency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

from bus import Finding, InspectedTotal, Rejected

Severity = Literal["error", "warning", "info"]

_MOST_OF_A_CODE = 25


class Findings:
    """Findings of a file, at most some of each code; the rest is counted."""

    def __init__(self) -> None:
        self._told: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, code: str, severity: Severity, place: str, message: str) -> None:
        """Note one."""
        self.extend((Finding(code, severity, place, message),))

    def refused(self, error: Rejected, place: str) -> None:
        """A refusal as a finding."""
        reason = f" ({error.reason})" if error.reason else ""
        self.add(error.code, "error", place, f"{error.message.removeprefix(f'{place}: ')}{reason}")

    def extend(self, findings: Iterable[Finding]) -> None:
        """Take findings that others made."""
        for finding in findings:
            self._counts[finding.code] += 1
            if self._counts[finding.code] <= _MOST_OF_A_CODE:
                self._told.append(finding)

    def told(self) -> tuple[Finding, ...]:
        """All that were kept, and how many were not."""
        rest = [(code, n - _MOST_OF_A_CODE) for code, n in self._counts.items() if n > _MOST_OF_A_CODE]
        more = [Finding("VAL463", "info", "", f"and {n} more of {code}") for code, n in rest]
        return (*self._told, *more)


class Sums:
    """Count and sums per currency of one document."""

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed
        self._rows: dict[str, list[Any]] = {}

    def add(self, currency: str, value: Decimal, sign: str = "") -> None:
        """Count one record; ``sign`` is its CdtDbtInd where it has one."""
        row = self._rows.setdefault(currency, [0, Decimal(0), Decimal(0), Decimal(0)])
        row[0] += 1
        row[1] += value
        if sign == "CRDT":
            row[2] += value
        elif sign == "DBIT":
            row[3] += value

    def totals(self) -> tuple[InspectedTotal, ...]:
        """One row for each currency."""
        return tuple(
            InspectedTotal(currency, n, total, credit if self._signed else None, debit if self._signed else None)
            for currency, (n, total, credit, debit) in sorted(self._rows.items())
        )
