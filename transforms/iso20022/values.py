"""Amounts, dates and codes of ISO 20022 records: exact or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache

from bus import Rejected, minor_units

_ANY_NUMBER = re.compile(r"\s*\+?(?:\d{1,18}(?:\.\d{0,17})?|\.\d{1,17})\s*", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_AFTER_DAY = re.compile(r"(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,18})?)?)?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)

_forms: dict[str, Callable[[str], re.Match[str] | None]] = {}


@lru_cache(maxsize=256)  # an entry and its transaction tell the same amount
def amount(text: str, currency: str) -> Decimal:
    """The exact value of an amount that stands without a sign, as all amounts of ISO 20022 do.

    Raises:
        Rejected: ``VAL410`` (no number), ``VAL411`` (more decimals than the currency has) with reason ``AM12``;
            ``VAL412`` (no ISO 4217 currency) with reason ``AM03``.
    """
    form = _forms.get(currency)
    if form is None:
        form = _form(currency)
    if form(text):
        return Decimal(text)
    if not _ANY_NUMBER.fullmatch(text):
        raise Rejected("VAL410", "the amount is missing or no number", reason="AM12", hint="digits, a point, no sign")
    raise Rejected(
        "VAL411",
        f"{currency} has {minor_units(currency)} decimals, the amount has more",
        reason="AM12",
        hint="never rounded here",
    )


def _form(currency: str) -> Callable[[str], re.Match[str] | None]:
    try:
        digits = minor_units(currency)
    except Rejected:
        text = "the currency of an amount is missing or not of ISO 4217"
        raise Rejected("VAL412", text, reason="AM03", hint="three capital letters such as `EUR`") from None
    pattern = rf"\s*\+?\d{{1,18}}(?:\.\d{{0,{digits}}}0*)?\s*"
    _forms[currency] = form = re.compile(pattern, re.ASCII).fullmatch
    return form


def number(text: str) -> Decimal | None:
    """The value of digits with a point, in any currency; None for anything else."""
    return Decimal(text) if _ANY_NUMBER.fullmatch(text) else None


@lru_cache(maxsize=4096)
def day(text: str) -> str:
    """The day of an ISO date or date and time, as ``2026-11-24``; a time zone is left aside.

    Raises:
        Rejected: ``VAL413`` for no such day (30 February), reason ``DT01``.
    """
    text = text.strip()
    first, rest = text[:10], text[10:]
    if _DAY.fullmatch(first) and _AFTER_DAY.fullmatch(rest):
        try:
            return date.fromisoformat(first).isoformat()
        except ValueError:
            pass
    raise Rejected("VAL413", "a date is no day of the calendar", reason="DT01", hint="write it as `2026-11-24`")


def moment(text: str) -> str:
    """A date with or without time that is only told, as it stands; empty for absent and for what is none."""
    text = text.strip()
    try:
        return text if text and day(text) else ""
    except Rejected:
        return ""


_SIGNS = {"CRDT": "credit", "DBIT": "debit"}


def direction(text: str) -> str:
    """``credit`` or ``debit`` of a CdtDbtInd.

    Raises:
        Rejected: ``VAL414`` for anything else.
    """
    found = _SIGNS.get(text) or _SIGNS.get(text.strip())
    if found is None:
        raise Rejected("VAL414", "CdtDbtInd is missing or neither CRDT nor DBIT", reason="FF01")
    return found


def flag(text: str) -> bool:
    """An xs:boolean; absent is false."""
    return text.strip() in ("true", "1")
