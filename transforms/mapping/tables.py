"""Value tables: codes of one system in the words of another, by region and day."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Rejected, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable


class RowSpec(Spec):
    """One row: ``{key: DE, value: Germany, region: EU, from: 2026-01-01, to: 2026-12-31}``."""

    key: str | tuple[str, ...]
    """What is looked up; a list for a key of several parts, such as company and cost centre."""
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
    def lookup_key(self) -> str:
        """The key as one text."""
        return joined(self.key)

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


class PartSpec(Spec):
    """One of several tables in a file."""

    summary: str = ""
    """One sentence for people."""
    rows: tuple[RowSpec, ...] = ()
    """The rows; for one key and region they are valid at different times."""


class TableSpec(Spec):
    """Value tables, ``NAME.table.yaml``: codes of one system in the words of another. One table, or several.

    ```yaml
    table: country-codes
    rows:
      - {key: D, value: DE}
      - {key: GB, value: XI, region: northern-ireland, from: 2021-01-01}
    ```

    ```yaml
    tables:
      legal-entities: {rows: [{key: "1000", value: DE01}]}
      cost-centres: {rows: [{key: ["1000", "4711"], value: CC-SALES}]}
    ```
    """

    table: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")
    """Name of the table …"""
    summary: str = ""
    """… one sentence about it for people …"""
    rows: tuple[RowSpec, ...] = ()
    """… and its rows; for one key and region they are valid at different times."""
    tables: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], PartSpec] = Field(default_factory=dict)
    """Instead: several tables by name, for codes that belong together."""

    @model_validator(mode="after")
    def _one_or_several(self) -> TableSpec:
        if bool(self.table) == bool(self.tables) or (self.tables and self.rows):
            raise PydanticCustomError("MAP127", "write either `table` with its `rows`, or several `tables`")
        return self

    @model_validator(mode="after")
    def _one_value_at_a_time(self) -> TableSpec:
        for table in self.parts():
            seen: dict[tuple[str, str, bool], list[RowSpec]] = {}
            widths = {1 if isinstance(row.key, str) else len(row.key) for row in table.rows}
            if len(widths) > 1:
                message = "the keys of one table have the same number of parts"
                raise PydanticCustomError("MAP128", message)
            for row in table.rows:
                others = seen.setdefault((row.lookup_key, row.region, row.dated), [])
                if any(overlap(row, other) for other in others):
                    key = row.lookup_key.replace(_BETWEEN, ", ")
                    raise PydanticCustomError("MAP120", "two rows for `{key}` are valid at the same time", {"key": key})
                others.append(row)
        return self

    def parts(self) -> tuple[TableSpec, ...]:
        """The single tables of the file."""
        build = TableSpec.model_construct  # the rows have been checked
        return tuple(build(table=n, summary=p.summary, rows=p.rows) for n, p in self.tables.items()) or (self,)

    @cached_property
    def values(self) -> ValueTable:
        """The table, ready for looking up."""
        return ValueTable(self.rows)


class ValueTable:
    """A value table, indexed.

    Attributes:
        undated: the values for all days and regions by key; where no other rows are, all there is.
        dated: whether any row is valid on some days only.
        regional: whether any row is for one region only.
        width: of how many parts a key is made.
    """

    def __init__(self, rows: Iterable[RowSpec]) -> None:
        self._rows: dict[tuple[str, str], list[RowSpec]] = {}
        # Most tables have neither dates nor regions; then a lookup is one step.
        self.undated: dict[str, str] = {}
        self.width = 1
        for row in rows:
            key = row.lookup_key
            self.width = 1 if isinstance(row.key, str) else len(row.key)
            self._rows.setdefault((key, row.region), []).append(row)
            if not row.dated and not row.region:
                self.undated[key] = row.value
        self.dated = any(row.dated for found in self._rows.values() for row in found)
        self.regional = any(region for _, region in self._rows)

    @classmethod
    def of(cls, spec: TableSpec) -> ValueTable:
        """The table of a spec; made once per spec."""
        return spec.values

    def get(self, key: str, on_date: str | None = None, region: str = "") -> str | None:
        """The value for ``key``, or None.

        Args:
            key: what is looked up, exactly as in the row; the parts of a key of several as :func:`joined` makes them.
            on_date: ISO day; a row valid on that day goes before one without dates. None finds rows without dates only.
            region: rows of this region go before those for all regions.

        Raises:
            Rejected: ``MAP112`` when ``on_date`` is no ISO day.
        """
        if (on_date is None or not self.dated) and (not region or not self.regional):
            return self.undated.get(key)
        day = _day(on_date)
        for where in (region, "") if region else ("",):
            rows = self._rows.get((key, where), ())
            valid = [row for row in rows if not row.dated or (day is not None and row.first <= day <= row.last)]
            if valid:
                return max(valid, key=lambda row: row.dated).value
        return None

    @cached_property
    def reversed(self) -> ValueTable:
        """The same table from value to key; of use where :attr:`doubled` is empty and keys have one part."""
        rows = (row for found in self._rows.values() for row in found)
        return ValueTable([row.model_copy(update={"key": row.value, "value": row.lookup_key}) for row in rows])

    @cached_property
    def doubled(self) -> str:
        """A value that two keys have on the same day in the same region, so that it has no one key; or nothing."""
        seen: dict[tuple[str, str], list[RowSpec]] = {}
        for found in self._rows.values():
            for row in found:
                others = seen.setdefault((row.value, row.region), [])
                if any(overlap(row, other) and row.key != other.key for other in others):
                    return row.value
                others.append(row)
        return ""


_BETWEEN = "\x1f"
"""Between the parts of a key (the unit separator of ASCII, which stands in no code)."""


def joined(parts: str | Iterable[str]) -> str:
    """A key of several parts as one text."""
    return parts if isinstance(parts, str) else _BETWEEN.join(parts)


def overlap(row: RowSpec, other: RowSpec) -> bool:
    """Whether two rows are valid on a day together."""
    return row.first <= other.last and other.first <= row.last


def indexed(table: Any) -> Any:
    """A table ready for looking up: specs are indexed, what is a table already stays as it is."""
    return table.values if isinstance(table, TableSpec) else table


def turned(table: Any) -> Any:
    """A table from value to key, ready for looking up."""
    return table.reversed if isinstance(table, ValueTable) else {value: key for key, value in table.items()}


def doubled(table: Any) -> str:
    """A value that more than one key has, or nothing."""
    if isinstance(table, ValueTable):
        return table.doubled
    values = list(table.values())
    return next((value for value in values if values.count(value) > 1), "")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text[:10])
    except (ValueError, TypeError):
        raise Rejected("MAP112", "a lookup is not asked for a day such as 2026-11-24", reason="DT01") from None
