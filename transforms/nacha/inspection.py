"""What ``bus inspect`` tells of a NACHA file: one document a batch, control totals proved, every fault a finding."""

from __future__ import annotations

import re
from typing import BinaryIO

from bus import InspectedDocument, Inspection, Rejected
from transforms._inspection import Findings, Sums
from transforms.nacha.canonical import is_answer, signed
from transforms.nacha.reader import Reading

_HEADER = re.compile(rb"1[ 0-9]{2}[^\r\n]{31}094101")


def detect(head: bytes) -> float:
    """Sure when the first record is a file header."""
    return 0.99 if _HEADER.match(head) else 0.0


def inspect(source: BinaryIO) -> Inspection:
    """Read the whole file leniently; ``kind`` is ``status`` when it brings nothing but returns and changes."""
    findings = Findings()
    batches: dict[str, tuple[str, Sums]] = {}
    answers = others = 0
    begun = False
    try:
        reading = Reading(source, "iso8859-1", findings.refused)
        begun = True
        for entry in reading.entries():
            if entry.error is not None:
                findings.refused(entry.error)
            batch = entry.batch
            _, sums = batches.setdefault(batch["place"], (f"{batch['batch_number']}", Sums(signed=True)))
            sums.add("USD", signed(entry))
            if is_answer(entry):
                answers += 1
                back = next(a for a in entry.addenda if a["type"] in ("98", "99"))
                findings.add("VAL795", "info", entry.place, f"a return or notification of change ({back['reason']})")
            else:
                others += 1
    except Rejected as error:
        findings.refused(error)
    documents = tuple(InspectedDocument(name, None, None, None, sums.totals()) for name, sums in batches.values())
    kind = ("status" if answers and not others else "payments") if begun else None
    return Inspection("nacha", kind, documents, findings.told())
