"""Single records that a writer refuses: all of them are found, so that the others can be written without them."""

from __future__ import annotations

import copy
from operator import itemgetter

from bus import Rejected


class Faults:
    """Collects refusals of single records while the writer looks at the others."""

    def __init__(self) -> None:
        self._found: list[tuple[int, Rejected]] = []

    def add(self, position: int, error: Rejected) -> None:
        """Keep the refusal of the record at a position, from 0."""
        self._found.append((position, error))

    def __len__(self) -> int:
        return len(self._found)

    def refusal(self) -> Rejected:
        """That of the first record, which tells all of them as its ``records``."""
        found = sorted(self._found, key=itemgetter(0))
        first = copy.copy(found[0][1])
        first.records = tuple(found)
        return first

    def prove(self) -> None:
        """Raises Rejected: the refusal, where anything was found."""
        if self._found:
            raise self.refusal()
