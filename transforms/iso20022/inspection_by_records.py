"""Inspection of messages whose records are few: they are read as they would be in a route, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from bus import InspectedDocument, Rejected
from transforms._inspection import Findings, Sums
from transforms.iso20022.document import READERS
from transforms.iso20022.opening import Opening
from transforms.iso20022.stream import Event


def by_records(begun: Opening, stream: Iterator[Event], findings: Findings) -> list[InspectedDocument]:
    """One document for each original message that is spoken of, or for a whole message between banks."""
    whole = begun.facts()["message_id"] if begun.family.kind in ("payments", "returns") else ""
    sums: dict[str, Sums] = {whole: Sums(signed=False)} if whole else {}
    try:
        for part in READERS[begun.family.name](stream):
            if part.error is not None:
                findings.refused(part.error, part.place)
            body = part.body or {}
            worth = body.get("settled") or body.get("amount") or {"value": Decimal(0), "currency": ""}
            name = whole or body.get("original_message_id", "")
            sums.setdefault(name, Sums(signed=False)).add(worth["currency"], worth["value"])
    except Rejected as error:
        findings.refused(error, error.place)
    return [InspectedDocument(name, None, None, None, of.totals()) for name, of in sums.items()]
