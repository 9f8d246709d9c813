"""What other programs say beside the body of a message: as plain data under ``properties.amqp``, and back.

Nothing of it is ever a header of the bus: those are made by the bus alone. Names and types are kept. What plain data
does not have is an object with one key: a header's timestamp is ``{"timestamp": "2026-11-23T08:00:00Z"}``, its bytes
``{"base64": "…"}``. A double becomes an exact decimal.
"""

from __future__ import annotations

import base64
import binascii
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bus import Rejected

_KEPT = ("content_type", "content_encoding", "priority", "correlation_id", "reply_to", "expiration", "message_id")
_TOLD = ("timestamp", "type", "user_id", "app_id")
_MOST_VALUES, _DEEPEST, _LONGEST = 500, 8, 64 * 1024
_MOST_DECIMAL = 2**31 - 1


def plain_properties(message: Any) -> dict[str, Any]:
    """``headers``, the properties that are set, ``exchange``, ``routing_key`` and ``redelivered`` of a kombu message.

    Raises:
        Rejected: ``NET249`` headers without end, or values that no plain data can hold.
    """
    own = message.properties
    found: dict[str, Any] = {"headers": _Plain().table(message.headers or {})}
    for name in (*_KEPT, *_TOLD):
        value = own.get(name, getattr(message, name, None) if name.startswith("content_") else None)
        if value is not None and value != "":
            found[name] = _Plain().value(value, 1)
    info = message.delivery_info or {}
    found["exchange"] = str(info.get("exchange") or "")
    found["routing_key"] = str(info.get("routing_key") or "")
    found["redelivered"] = redelivered(message)
    return found


def redelivered(message: Any) -> bool:
    """Whether the broker says that it handed the message out before."""
    told = (message.delivery_info or {}).get("redelivered")
    return bool(told) or bool((message.headers or {}).get("x-delivery-count"))


class _Plain:
    """Turns one table into plain data within limits."""

    def __init__(self) -> None:
        self._values = 0
        self._length = 0

    def table(self, table: dict[Any, Any], depth: int = 0) -> dict[str, Any]:
        """A table; names stay as they are, letter by letter."""
        return {self._name(name): self.value(value, depth + 1) for name, value in table.items()}

    def value(self, value: Any, depth: int) -> Any:
        """One value."""
        self._values += 1
        self._length += len(value) if isinstance(value, str | bytes) else 0
        if self._values > _MOST_VALUES or self._length > _LONGEST or depth > _DEEPEST:
            raise _hostile("more, longer or deeper headers than a message may have")
        if isinstance(value, dict):
            return self.table(value, depth)
        if isinstance(value, list | tuple):
            return [self.value(item, depth + 1) for item in value]
        return _scalar(value)

    def _name(self, name: Any) -> str:
        if not isinstance(name, str):
            raise _hostile("a header's name is not UTF-8")
        self._length += len(name)
        return _text(name)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _hostile("a header is a number that is none")
        return Decimal(str(value))
    if isinstance(value, Decimal):
        return value
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return {"timestamp": moment.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    raise _hostile(f"a header of type {type(value).__name__}")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _hostile("a header is not UTF-8") from None
    return value


def _hostile(why: str) -> Rejected:
    return Rejected("NET249", f"the headers of a message are refused: {why}", hint="ask its sender")


def wire_value(value: Any) -> Any:
    """A plain value as header of a message that goes out.

    Raises:
        Rejected: ``NET250`` when AMQP cannot carry it.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, inside),) = value.items()
            if name in ("timestamp", "base64") and isinstance(inside, str):
                return _special(name, inside)
        return {name: wire_value(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [wire_value(inside) for inside in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Rejected("NET250", "a header is a number beyond 64 bits", hint="send it as text")
    if isinstance(value, Decimal):
        return _decimal(value)
    return value


def _special(name: str, inside: str) -> Any:
    try:
        if name == "base64":
            return base64.b64decode(inside, validate=True)
        return datetime.fromisoformat(inside).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, binascii.Error):
        raise Rejected("NET250", f"a header is no {name}", hint="see how headers are written") from None


def _decimal(value: Decimal) -> Decimal:
    """A decimal that fits AMQP's own type: 32 bits and up to 255 places."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise Rejected("NET250", "a header is a number that is none", hint="send it as text")
    if exponent > 0:
        value, exponent = value.quantize(Decimal(1)), 0
    if abs(int(value.scaleb(-exponent))) > _MOST_DECIMAL or -exponent > 255:
        raise Rejected("NET250", "a header is a decimal with too many digits for AMQP", hint="send it as text")
    return value
