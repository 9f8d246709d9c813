"""What is in whole folders of bank and ERP files: some columns a file, and a line for all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bus.errors import Finding
    from bus.ports import Inspection

HEADS = ("file", "format", "kind", "documents", "currency", "count", "amount", "credit", "debit", "findings")


def below(names: Sequence[str]) -> Iterator[str]:
    """The names, folders replaced by all files in them in order of their paths; hidden ones are left out.

    Links to folders are not followed. A folder without a file is given as it is, for it cannot be read either.
    """
    for name in names:
        found = sorted(_files(Path(name))) if name != "-" and Path(name).is_dir() else []
        yield from map(str, found) if found else (name,)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for name in names if not name.startswith(".") and (path := Path(where, name)).is_file())


def rows(name: str, found: Inspection) -> list[list[Any]]:
    """The lines of one file: one a currency, what is about the whole file in the first."""
    sums: dict[str, list[Any]] = {}
    for document in found.documents:
        for total in document.totals:
            row = sums.setdefault(total.currency, [0, None, None, None])
            row[0] += total.count
            for place, value in enumerate((total.amount if total.currency else None, total.credit, total.debit), 1):
                row[place] = row[place] if value is None else (row[place] or Decimal(0)) + value
    lines = [[currency or None, *row] for currency, row in sorted(sums.items())] or [[None] * 5]
    head = [name, found.format or None, found.kind, len(found.documents)]
    more = [name, None, None, None]
    return [[*(more if n else head), *line, None if n else in_short(found.findings)] for n, line in enumerate(lines)]


def in_short(findings: Sequence[Finding]) -> str | None:
    """The worst finding with its place, and how many more there are."""
    if not findings:
        return None
    worst = min(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    place = f", {worst.place}" if worst.place else ""
    return f"{worst.severity} {worst.code}{place}{more}"


@dataclass
class Overview:
    """The lines of all files, and how many there are of everything."""

    rows: list[list[Any]] = field(default_factory=list)
    files: int = 0
    documents: int = 0
    entries: int = 0
    unread: int = 0
    faulty: int = 0

    def add(self, name: str, found: Inspection) -> None:
        """Count a file."""
        self.rows += rows(name, found)
        self.files += 1
        self.documents += len(found.documents)
        self.entries += sum(total.count for document in found.documents for total in document.totals)
        self.unread += found.kind is None
        self.faulty += found.kind is not None and any(finding.severity == "error" for finding in found.findings)

    def __str__(self) -> str:
        """One line; entries are of all kinds, payments and lines of statements alike."""
        right = self.files - self.unread - self.faulty
        return (
            f"{self.files} files: {right} without errors, {self.faulty} with errors, {self.unread} not readable; "
            f"{self.documents} documents, {self.entries} entries"
        )
