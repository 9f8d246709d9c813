"""What all canonical shapes stand on: frozen pydantic classes, exact money, days."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
"""ISO 8601 day, such as ``2026-11-24``."""
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""ISO 4217 alphabetic code."""


class Shape(BaseModel):
    """Base of the canonical shapes: frozen, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Amount(Shape):
    """Exact money."""

    value: Decimal
    """Exact value in the currency's main unit; unsigned except where a field says signed."""
    currency: Currency
    """ISO 4217 code."""


class Exchange(Shape):
    """How one currency was or shall be turned into another."""

    rate: Decimal | None = None
    """Price of one unit of the unit currency."""
    unit_currency: str = ""
    """Currency of which one unit has that price."""
    source_currency: str = ""
    """Currency that is turned."""
    target_currency: str = ""
    """Currency that it is turned into."""
    type: str = ""
    """``SPOT``, ``SALE`` or ``AGRD`` in an order."""
    contract: str = ""
    """Number of the foreign exchange contract."""
    quoted: str = ""
    """When the rate was quoted, day and time."""
