"""Written files that their own XML Schema refuses: which of their records are at fault."""

from __future__ import annotations

from typing import IO

from bus import Finding, Rejected
from transforms._faults import Faults
from transforms.iso20022.compose import stands_alone
from transforms.iso20022.names import FAMILIES


def refusal(document: IO[bytes], findings: list[Finding], message: str) -> Rejected:
    """The refusal of our own output, of which each record is a line.

    It is one of single records where every fault stands in one of them, or in what the records of its block share.
    """
    broken = _Broken(message)
    at_fault = {int(found.place.removeprefix("line ")): found for found in reversed(findings)}
    document.seek(0)
    for line, text in enumerate(document, 1):
        broken.see(text, at_fault.get(line))
    return broken.refusal()


class _Broken:
    """What is known of a file after some of its lines."""

    def __init__(self, message: str) -> None:
        family = FAMILIES[message[:8]]
        self._what = "payment" if family.record == "CdtTrfTxInf" else "record"
        self._record, tag = f"<{family.record}>".encode(), family.container
        # What begins or ends with a line end is in no line.
        self._begin, self._end = (f"<{tag}>".encode(), f"</{tag}>".encode()) if tag else (b"\n", b"\n")
        self._count = 0
        self._block: list[int] | None = None
        self._of_block: Rejected | None = None
        self._first: Rejected | None = None
        self._faults: dict[int, Rejected] = {}
        self._apart = stands_alone(message)

    def see(self, text: bytes, found: Finding | None) -> None:
        """Look at a line, and what is wrong with it."""
        if text.startswith(self._begin):
            self._block, self._of_block = [], None
        is_record = text.startswith(self._record)
        if is_record and self._block is not None:
            self._block.append(self._count)
        self._count += is_record
        if found is not None:
            error = self._error(found, is_record=is_record)
            self._first = self._first or error
            if is_record:
                self._faults[self._count - 1] = error
            elif self._block is None:
                self._apart = False
            else:
                self._of_block = self._of_block or error
        if text.rstrip().endswith(self._end):
            if self._of_block is not None:
                self._faults |= dict.fromkeys(self._block or (), self._of_block)
            self._block = None

    def _error(self, found: Finding, *, is_record: bool) -> Rejected:
        number = self._count
        if not is_record and self._block is not None:  # what a block shares is told by its first
            number = self._block[0] + 1 if self._block else self._count + 1
        place = f"{self._what} {number}" if number else found.place
        return Rejected(
            "VAL452",
            f"{place}: the written file would break its XML Schema: {found.message}",
            reason="FF01",
            place=place,
            hint="correct the payment or its mapping",
        )

    def refusal(self) -> Rejected:
        """What was found, when all lines are seen."""
        if self._first is None:
            return Rejected("VAL452", "the written file would break its XML Schema", reason="FF01")
        faults = Faults()
        for position in sorted(self._faults):
            faults.add(position, self._faults[position])
        return faults.refusal() if self._apart and self._faults else self._first
