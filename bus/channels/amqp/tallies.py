"""Counts of messages of which nothing else is remembered, until they are written down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from decimal import Decimal

from bus.errors import Retryable
from bus.money import exact_sum
from bus.ports import MoneyTotalsByOutcome, Settlement

log = logging.getLogger("girobus")


class Tallies:
    """What is counted now and written now and then. Thread-safe."""

    def __init__(self) -> None:
        self._books: dict[str, MoneyTotalsByOutcome] = {}
        self._lock = threading.Lock()

    def add(self, place: str, tally: MoneyTotalsByOutcome) -> None:
        """Count what a settlement counts for its place."""
        with self._lock:
            book = self._books.setdefault(place, {})
            for key, (count, total) in tally.items():
                n, amount = book.get(key, (0, Decimal(0)))
                book[key] = (n + count, exact_sum(amount, total))

    def write(self, commit: Callable[[Settlement], None]) -> None:
        """Commit what was counted, place by place.

        Raises:
            Retryable: the store refuses; what it did not take is kept.
        """
        for place in list(self._books):
            counted = Settlement(place)
            with self._lock:
                counted.tally = self._books.pop(place)
            try:
                commit(counted)
            except Retryable:
                self.add(place, counted.tally)
                raise

    def close(self, commit: Callable[[Settlement], None]) -> None:
        """Commit what is left when nothing more is counted; what the store does not take is lost, and that is said."""
        try:
            self.write(commit)
        except Retryable as error:
            fields = {"code": error.code, "why": error.message}
            log.error("counts could not be written at the end", extra=fields)  # noqa: TRY400 - the place says nothing
