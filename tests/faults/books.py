"""Looking into a ledger from outside while the bus, or its database, comes and goes."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bus.errors import BusError
from bus.ledger.place import open_reading
from bus.ledger.reading import Reading

_LOOK = 0.2
_PATIENCE = 60.0


class Books:
    """The committed rows of a ledger whose database may be away for a while. For one thread.

    Args:
        place: file, or address of a database.
    """

    def __init__(self, place: Path | str) -> None:
        self._place = place
        self._reading: Reading | None = None
        self._file: tuple[int, int] | None = None
        self._given_up = False

    def look(self, sql: str) -> list[tuple[Any, ...]] | None:
        """The rows, None when nobody can tell now."""
        self._must_be_that_one()
        try:
            if self._reading is None:
                self._file = self._identity()
                self._reading = open_reading(self._place, patience=3.0)
            return self._reading.rows(sql)
        except BusError:
            self.close()
            return None

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows. One that did not come back is not waited for a second time.

        Raises:
            TimeoutError: the ledger does not come back.
        """
        end = time.monotonic() + _PATIENCE
        while (rows := self.look(sql)) is None:
            if self._given_up or time.monotonic() > end:
                self._given_up = True
                raise TimeoutError("the ledger cannot be read")
            time.sleep(_LOOK)
        self._given_up = False
        return rows

    def _identity(self) -> tuple[int, int] | None:
        """Device and number of the file, None where there is none."""
        with suppress(OSError):
            found = self._place.stat() if isinstance(self._place, Path) else None
            return found and (found.st_dev, found.st_ino)
        return None

    def _must_be_that_one(self) -> None:
        """Let a file go that is no longer the one at the place: another disk is there now."""
        if self._reading is not None and self._identity() != self._file:
            self.close()

    def close(self) -> None:
        """Disconnect."""
        if self._reading is not None:
            with suppress(Exception):
                self._reading.close()
        self._reading = None
