"""What a message is worth, so that money can be proved to be conserved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bus.errors import BusError
from bus.money import countable
from bus.runtime.pipeline import CompiledRoute


def worth_of(route: CompiledRoute, body: Any) -> tuple[str, Decimal] | None:
    """(currency, value) of a body by the route's ``money`` expression, or None when it has no readable amount."""
    if not isinstance(body, dict):
        return None
    try:
        amount = route.money(body)
    except BusError:
        return None
    if isinstance(amount, dict):
        value, currency = amount.get("value"), amount.get("currency")
    else:
        value, currency = amount, body.get("currency")
    if not isinstance(currency, str) or isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return (currency, value) if countable(value) else None
    try:
        number = Decimal(value) if isinstance(value, str | int) else None
    except ArithmeticError:
        return None
    return (currency, number) if number is not None and countable(number) else None


def still_worth(route: CompiledRoute, body: Any, worth: tuple[str, Decimal] | None) -> bool:
    """Whether a body plainly holds the amount it is known for; what nearly every message answers at a glance."""
    if worth is None or type(body) is not dict:
        return False
    try:
        amount = route.money(body)
    except BusError:
        return False
    return type(amount) is dict and amount.get("value") == worth[1] and amount.get("currency") == worth[0]
