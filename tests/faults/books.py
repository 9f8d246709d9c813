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

    def look(self, sql: str) -> list[tuple[Any, ...]] | None:
        """The rows, None when nobody can tell now."""
        try:
            if self._reading is None:
                self._reading = open_reading(self._place, patience=3.0)
            return self._reading.rows(sql)
        except BusError:
            self.close()
            return None

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows.

        Raises:
            TimeoutError: the ledger does not come back.
        """
        end = time.monotonic() + _PATIENCE
        while (rows := self.look(sql)) is None:
            if time.monotonic() > end:
                raise TimeoutError("the ledger cannot be read")
            time.sleep(_LOOK)
        return rows

    def close(self) -> None:
        """Disconnect."""
        if self._reading is not None:
            with suppress(Exception):
                self._reading.close()
        self._reading = None
