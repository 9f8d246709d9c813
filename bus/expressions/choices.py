"""Choosing between values, and what an expression may ask of the outside: value tables and the date."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bus.errors import Rejected
from bus.expressions.values import NUMBERS, equal
from bus.ports import Clock

if TYPE_CHECKING:
    from bus.expressions.named import NamedFunction


class _SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an expression may ask of the outside: value tables and functions by name, and the time."""

    tables: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=_SystemClock)
    functions: Mapping[str, NamedFunction] = field(default_factory=dict)


def today(around: Surroundings) -> str:
    """The UTC date of the clock."""
    return datetime.fromtimestamp(around.clock.now() / 1000, UTC).date().isoformat()


_MISSING = object()


def lookup(around: Surroundings, name: str, key: Any, default: Any = _MISSING, on_date: str | None = None) -> Any:
    """The row of a value table; without a default a key that has none is refused."""
    table = around.tables.get(name)
    if table is None:
        raise Rejected("VAL227", "lookup() in a value table that does not exist", hint="add the table to the landscape")
    found = None
    if key is not None:
        found = _row(table, key, on_date)
        if found is None and type(key) in NUMBERS:
            # Tables are written in YAML, where every scalar is a text.
            found = _row(table, str(key), on_date)
    if found is not None:
        return found
    if default is _MISSING:
        hint = "add the row, or give lookup() a default"
        raise Rejected("VAL226", f"the value table '{name[:80]}' has no row for this key", hint=hint)
    return default


def _row(table: Any, key: Any, on_date: str | None) -> Any:
    if not isinstance(table, Mapping):
        return table.get(key, on_date=on_date)
    if on_date is not None:
        raise Rejected("VAL227", "lookup() with a date in a value table that has no dates", hint="leave the date out")
    return table.get(key)


def first_of(*candidates: Any) -> Any:
    """The first argument that is not null; evaluated one after the other."""
    return next((c for c in candidates if c is not None), None)


def chosen(condition: Any, then: Any, otherwise: Any) -> Any:
    """``then`` or ``otherwise``; the compiler evaluates only the one that is chosen."""
    return then if condition else otherwise


def member(subject: Any, *candidates: Any) -> bool:
    """Whether ``subject`` equals one of the candidates; null equals none."""
    return subject is not None and any(equal(subject, candidate) for candidate in candidates)
