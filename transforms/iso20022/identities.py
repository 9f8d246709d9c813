"""Identifiers and moments of written messages, made from the unit that writes them: a re-run makes the same ones."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from bus import Rejected, child_id

_UETR = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}")
_LONGEST_ID = 35
_VARIANT = {f"{n:x}": f"{n & 3 | 8:x}" for n in range(16)}
"""The hexadecimal digit of a UUID that tells its variant (RFC 9562 §4.1), from any."""


def fits(identifier: Any) -> bool:
    """Whether an id of the ERP can be the id in a message as it is."""
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _LONGEST_ID:
        return False
    return identifier.isascii() and identifier.replace("-", "").isalnum()


def instruction_id(payment: dict[str, Any], unit: str, index: int) -> str:
    """The id for the bank: as it was read, the ERP's own where it can be one, else made from the unit."""
    own = payment.get("instruction_id") or payment.get("id") or ""
    return own if fits(own) else child_id(unit, "InstrId", "", index)


def end_to_end_id(payment: dict[str, Any], unit: str, index: int) -> str:
    """The reference that travels to the other side: the ERP's, else made from the unit."""
    return payment.get("end_to_end_id") or child_id(unit, "EndToEndId", "", index)


def uetr(payment: dict[str, Any], unit: str, end_to_end: str, index: int) -> str:
    """The UETR that a payment has, or one that is the same for the same payment of the same unit.

    Raises:
        Rejected: ``VAL445``: it is no UUID of version 4 in small letters.
    """
    found = payment.get("uetr")
    if not found:
        return made_uetr(unit, end_to_end, index)
    if not (isinstance(found, str) and _UETR.fullmatch(found)):
        raise Rejected("VAL445", "the UETR is no UUID version 4 in small letters", reason="CH16", place="uetr")
    return found


def made_uetr(unit: str, end_to_end: str, index: int) -> str:
    """A UUID of version 4 from the hash of what makes a payment unique."""
    text = hashlib.sha256(f"{unit}\x1f{end_to_end}\x1f{index}".encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def moment(milliseconds: int) -> str:
    """A point in time as ISO 20022 writes it."""
    seconds, rest = divmod(milliseconds, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"
