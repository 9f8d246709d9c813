"""Money is a Decimal with a currency; totals are kept per currency and never mixed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import cache
from typing import Any

from bus.errors import Rejected

# Codes that left ISO 4217 but still stand in old files, with the minor units that they had (ISO 4217 list three and the
# editions of list one before they left it): those that became the euro, the Bulgarian on 2026-01-01, and others.
_HISTORIC = {
    **dict.fromkeys(("BEF", "BYR", "ESP", "GRD", "ITL", "LUF", "PTE"), 0),
    **dict.fromkeys(("ATS", "BGN", "CYP", "DEM", "EEK", "FIM", "FRF", "HRK", "IEP", "LTL", "LVL", "MTL", "NLG"), 2),
    **dict.fromkeys(("ANG", "CUC", "MRO", "SIT", "SKK", "SLL", "STD", "VEF", "ZWL"), 2),
}


_LARGEST = 40
_CENT = Decimal("0.01")
exact_sum = Context(prec=120).add
"""Sum of two amounts that :func:`countable` let through, to the last digit; ``+`` rounds to 28 digits."""


def countable(value: Decimal) -> bool:
    """Whether totals can be kept of an amount: 40 digits on each side of the point (ISO 20022 has 18 in all)."""
    if value.same_quantum(_CENT):  # as nearly all are; taking a number apart costs more than all else here
        return value.adjusted() <= _LARGEST
    return value.is_finite() and value.adjusted() <= _LARGEST and int(value.as_tuple().exponent) >= -_LARGEST


@cache
def minor_units(currency: str) -> int:
    """Decimal places of a currency by ISO 4217 (EUR 2, JPY 0, BHD 3).

    Raises:
        Rejected: ``VAL211`` for a code that ISO 4217 does not know; reason ``AM03`` (currency not allowed).
    """
    from iso4217 import Currency  # noqa: PLC0415 - the table costs 20 ms that `bus --help` does not have

    try:
        exponent = Currency(currency).exponent
    except ValueError:
        exponent = _HISTORIC.get(currency)
    if exponent is None:
        raise Rejected("VAL211", f"`{currency[:8]}` is no ISO 4217 currency with minor units", reason="AM03")
    return int(exponent)


@cache
def _step(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_units(currency))


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount.

    Attributes:
        value: exact, never rounded behind the caller's back.
        currency: ISO 4217 alphabetic code, upper case.
    """

    value: Decimal
    currency: str

    @classmethod
    def parse(cls, text: str, currency: str = "") -> Money:
        """Read ``"100.10 EUR"`` or ``("100.10", "EUR")``.

        Raises:
            Rejected: ``VAL212`` (no number), ``VAL211`` (no currency), ``VAL213`` (too many decimals).
        """
        number, _, found = text.strip().partition(" ")
        return cls.of(number, currency or found.strip())

    @classmethod
    def of(cls, value: Any, currency: str) -> Money:
        """Checked construction from text, int or Decimal; a float is refused because it is not exact.

        Raises:
            Rejected: as :meth:`parse`; reason ``AM12`` (invalid amount).
        """
        if isinstance(value, float):
            raise Rejected("VAL212", "an amount is a binary float", reason="AM12", hint="use a decimal string")
        try:
            number = value if isinstance(value, Decimal) else Decimal(str(value))
        except InvalidOperation:
            hint = "write digits and a point"
            raise Rejected("VAL212", "an amount is not a number", reason="AM12", hint=hint) from None
        if not number.is_finite():
            raise Rejected("VAL212", "an amount is not finite", reason="AM12", hint="write digits and a point")
        digits = minor_units(currency)
        usual = number.same_quantum(_step(currency))
        if not usual and -int(number.as_tuple().exponent) > digits and number != round(number, digits):
            raise Rejected(
                "VAL213", f"{currency} has {digits} decimals, the amount has more", reason="AM12", hint="never rounded"
            )
        return cls(number, currency)

    def rounded(self) -> Money:
        """To the currency's minor units, half to even (the rule that does not drift)."""
        return Money(self.value.quantize(_step(self.currency), ROUND_HALF_EVEN), self.currency)

    def __str__(self) -> str:
        return f"{self.value:f} {self.currency}"


class MoneyTotals:
    """Count and exact sum per currency; messages without an amount count under the currency ``""``."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[tuple[str, int, Decimal]] = ()) -> None:
        self._rows: dict[str, tuple[int, Decimal]] = {c: (n, v) for c, n, v in rows}

    def add(self, currency: str, value: Decimal, count: int = 1) -> None:
        """Count ``count`` more messages worth ``value`` together."""
        n, total = self._rows.get(currency, (0, Decimal(0)))
        self._rows[currency] = (n + count, total + value)

    def merge(self, other: MoneyTotals) -> None:
        """Add all of another total."""
        for currency, count, value in other.rows():
            self.add(currency, value, count)

    def rows(self) -> list[tuple[str, int, Decimal]]:
        """(currency, count, sum) sorted by currency."""
        return [(c, n, v) for c, (n, v) in sorted(self._rows.items())]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MoneyTotals) and self.rows() == other.rows()

    __hash__ = None  # type: ignore[assignment]  # totals change, so they are no keys

    def __repr__(self) -> str:
        return "MoneyTotals(" + ", ".join(f"{n}x {v:f} {c}".strip() for c, n, v in self.rows()) + ")"
