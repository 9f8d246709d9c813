"""Control totals: what a file's trailer says of its records, checked against what was read; shared by the formats."""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext

from bus import Finding, Rejected

_NUMBER = r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})"
_PLAIN = re.compile(_NUMBER)
_PLAIN_LINES = re.compile(rf"{_NUMBER}(?:\n{_NUMBER})*+")
_BATCH = 500
_CODE = re.compile(r"[A-Z]{3}")
_PLACES = 400
_MOST_CURRENCIES = 1000

# Exact or an error: 30 digits of amount and 30 digits of count fit, so no sum is ever rounded.
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow])


def plain_decimal(text: str, point: str = ".") -> Decimal | None:
    """The exact value of digits with an optional sign and decimal ``point``; None for all other text."""
    text = text.strip(" ")
    if point != ".":
        if "." in text:
            return None
        text = text.replace(point, ".")
    return Decimal(text) if _PLAIN.fullmatch(text) else None


def number_text(value: object) -> str | None:
    """Digits of an int or finite Decimal without exponent; None for anything else and for over 400 places."""
    if isinstance(value, Decimal):
        fits = value.is_finite() and int(value.as_tuple().exponent) > -_PLACES and value.adjusted() < _PLACES
        return f"{value:f}" if fits else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() < _PLACES * 3 else None
    return None


def shown(currency: str) -> str:
    """A currency for a message: its code, or a phrase when it is no code (it could be anything then)."""
    if not currency:
        return "the file"
    return currency if _CODE.fullmatch(currency) else "a currency that is no code"


def unprovable(place: str) -> Rejected:
    """The refusal of a file with control totals in which a record's amount or currency cannot be read."""
    return Rejected(
        "VAL324",
        f"{place}: no readable amount and currency, so the control totals cannot be proved",
        hint="the file is refused as a whole; correct that record",
        reason="AM10",
        place=place,
    )


class ControlTotals:
    """Counts and exact sums per currency (``""`` where the file has none), found and declared."""

    def __init__(self, point: str = ".") -> None:
        self._point = point
        self._pending: dict[str, list[tuple[str, str]]] = {}
        self._found: dict[str, tuple[int, Decimal]] = {}
        self._declared: dict[str, tuple[int | None, Decimal | None, str]] = {}

    def add(self, currency: str, value: Decimal, place: str, count: int = 1) -> None:
        """Count one record (or ``count`` of them, worth ``value`` together).

        Raises:
            Rejected: ``VAL326`` when the file has more different currencies than the world.
        """
        if currency not in self._found and len(self._found) >= _MOST_CURRENCIES:
            raise Rejected("VAL326", f"{place}: over {_MOST_CURRENCIES} different currencies", place=place)
        before, total = self._found.get(currency, (0, Decimal(0)))
        self._found[currency] = (before + count, EXACT.add(total, value))

    def add_text(self, currency: str, text: str, place: str) -> None:
        """Count one record whose amount is still text; read some hundred at a time, the latest in :meth:`rows`.

        Raises:
            Rejected: ``VAL324`` when an amount given so far is unreadable or a currency empty, so that nothing can be
                proved any more; ``VAL326`` as in :meth:`add`.
        """
        pending = self._pending.get(currency)
        if pending is None:
            pending = self._pending[currency] = []
            self.add(currency, Decimal(0), place, count=0)
        pending.append((text, place))
        if len(pending) >= _BATCH:
            self._settle(currency, pending)

    def _settle(self, currency: str, pending: list[tuple[str, str]]) -> None:
        texts = [text for text, _ in pending]
        if self._point == "." and _PLAIN_LINES.fullmatch("\n".join(texts)):
            with localcontext(EXACT):
                self.add(currency, sum(map(Decimal, texts), Decimal(0)), "", count=len(texts))
        else:
            for text, place in pending:
                value = plain_decimal(text, self._point)
                if value is None:
                    raise unprovable(place)
                self.add(currency, value, place)
        pending.clear()

    def declare(self, currency: str, count: int | None, total: Decimal | None, place: str) -> None:
        """What a trailer says; None for what it does not say.

        Raises:
            Rejected: ``VAL322`` for a second trailer of the same currency.
        """
        if currency in self._declared:
            raise Rejected(
                "VAL322",
                f"{place}: a second trailer for {shown(currency)}",
                hint=f"the first stands at {self._declared[currency][2]}; one is allowed",
                place=place,
            )
        self._declared[currency] = (count, total, place)

    def rows(self) -> list[tuple[str, int, Decimal]]:
        """(currency, count, sum) of what was found, sorted by currency."""
        for currency, pending in self._pending.items():
            self._settle(currency, pending)
        return [(currency, count, total) for currency, (count, total) in sorted(self._found.items())]

    def differences(self) -> list[tuple[str, Finding]]:
        """(ISO reason, finding) for everything in which trailers and records differ, with expected and found."""
        found = []
        self.rows()
        for currency, (count, total, place) in self._declared.items():
            has_count, has_total = self._found.get(currency, (0, Decimal(0)))
            if count is not None and count != has_count:
                text = f"{shown(currency)}: the trailer says {count} records, there are {has_count}"
                found.append(("AM18", Finding("VAL321", "error", place, text)))
            if total is not None and total != has_total:
                text = f"{shown(currency)}: the trailer says a sum of {total:f}, the records make {has_total:f}"
                found.append(("AM10", Finding("VAL321", "error", place, text)))
        for currency in sorted(self._found.keys() - self._declared.keys()):
            text = f"{shown(currency)}: {self._found[currency][0]} records, but no trailer for them"
            found.append(("AM10", Finding("VAL320", "error", "end of file", text)))
        return found

    def check(self) -> None:
        """Compare at the end of the file.

        Raises:
            Rejected: ``VAL320`` (no trailer, or none for a currency), ``VAL321`` (count or sum differs; reason AM18 or
                AM10 of the ISO 20022 external status reasons); all differences are in ``findings``.
        """
        if not self._declared:
            raise Rejected(
                "VAL320",
                "the file has no trailer",
                hint="perhaps it is cut off; ask for it again",
                reason="AM10",
            )
        found = self.differences()
        if found:
            reason, first = found[0]
            raise Rejected(
                first.code,
                "; ".join(finding.message for _, finding in found[:5]),
                hint="the file is refused as a whole; nothing of it was taken",
                reason=reason,
                place=first.place,
                findings=tuple(finding for _, finding in found),
            )
