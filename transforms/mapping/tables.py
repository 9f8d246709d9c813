"""Value tables: codes of one system in the words of another, by region and day."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Rejected, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable


class RowSpec(Spec):
    """One row: ``{key: DE, value: Germany, region: EU, from: 2026-01-01, to: 2026-12-31}``."""

    key: str
    """What is looked up."""
    value: str
    """What is found."""
    region: str = ""
    """Only for this region; empty = for all that have no row of their own."""
    from_: date | None = Field(default=None, alias="from")
    """First day on which the row is valid."""
    to: date | None = None
    """Last day on which the row is valid."""

    @model_validator(mode="after")
    def _in_order(self) -> RowSpec:
        if self.from_ and self.to and self.to < self.from_:
            raise PydanticCustomError("MAP121", "`to` is a day before `from`")
        return self

    @property
    def dated(self) -> bool:
        """Whether the row is valid on some days only."""
        return self.from_ is not None or self.to is not None

    @property
    def first(self) -> date:
        """First day, the first of the calendar for open rows."""
        return self.from_ or date.min

    @property
    def last(self) -> date:
        """Last day, the last of the calendar for open rows."""
        return self.to or date.max


class TableSpec(Spec):
    """A value table, ``NAME.table.yaml``: codes of one system in the words of another.

    ```yaml
    table: country-codes
    rows:
      - {key: D, value: DE}
      - {key: GB, value: XI, region: northern-ireland, from: 2021-01-01}
    ```
    """

    table: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the table."""
    summary: str = ""
    """One sentence for people."""
    rows: tuple[RowSpec, ...] = ()
    """The rows; for one key and region they are valid at different times."""

    @model_validator(mode="after")
    def _one_value_at_a_time(self) -> TableSpec:
        seen: dict[tuple[str, str, bool], list[RowSpec]] = {}
        for row in self.rows:
            others = seen.setdefault((row.key, row.region, row.dated), [])
            if any(row.first <= other.last and other.first <= row.last for other in others):
                raise PydanticCustomError("MAP120", "two rows for `{key}` are valid at the same time", {"key": row.key})
            others.append(row)
        return self

    @cached_property
    def values(self) -> ValueTable:
        """The table, ready for looking up."""
        return ValueTable(self.rows)


class ValueTable:
    """A value table, indexed.

    Attributes:
        dated: whether any row is valid on some days only.
        regional: whether any row is for one region only.
    """

    def __init__(self, rows: Iterable[RowSpec]) -> None:
        self._rows: dict[tuple[str, str], list[RowSpec]] = {}
        # Most tables have neither dates nor regions; then a lookup is one step.
        self._plain: dict[str, str] = {}
        for row in rows:
            self._rows.setdefault((row.key, row.region), []).append(row)
            if not row.dated and not row.region:
                self._plain[row.key] = row.value
        self.dated = any(row.dated for found in self._rows.values() for row in found)
        self.regional = any(region for _, region in self._rows)

    @classmethod
    def of(cls, spec: TableSpec) -> ValueTable:
        """The table of a spec; made once per spec."""
        return spec.values

    def get(self, key: str, on_date: str | None = None, region: str = "") -> str | None:
        """The value for ``key``, or None.

        Args:
            key: what is looked up, exactly as in the row.
            on_date: ISO day; a row valid on that day goes before one without dates. None finds rows without dates only.
            region: rows of this region go before those for all regions.

        Raises:
            Rejected: ``MAP112`` when ``on_date`` is no ISO day.
        """
        if (on_date is None or not self.dated) and (not region or not self.regional):
            return self._plain.get(key)
        day = _day(on_date)
        for where in (region, "") if region else ("",):
            rows = self._rows.get((key, where), ())
            valid = [row for row in rows if not row.dated or (day is not None and row.first <= day <= row.last)]
            if valid:
                return max(valid, key=lambda row: row.dated).value
        return None


def indexed(table: Any) -> Any:
    """A table ready for looking up: specs are indexed, what is a table already stays as it is."""
    return table.values if isinstance(table, TableSpec) else table


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text[:10])
    except (ValueError, TypeError):
        raise Rejected("MAP112", "a lookup is not asked for a day such as 2026-11-24", reason="DT01") from None
