"""Texts with expressions in braces: ``paid.{p.country}``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from bus import Rejected, compile_expression

_BRACES = re.compile(r"\{([^{}]+)\}")


class Template:
    """A compiled text. Applied to a scope it gives a text; braces alone give their value with its type."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = [
            compile_expression(part) if at % 2 else part
            for at, part in enumerate(_BRACES.split(text))
            if part or at % 2
        ]
        self._alone = len(self._parts) == 1 and not isinstance(self._parts[0], str)

    def value(self, scope: dict[str, Any]) -> Any:
        """The value, or the text.

        Raises:
            Rejected: ``NET252`` when an expression finds nothing, or in a text something that is no text or number.
        """
        found = [part if isinstance(part, str) else self._found(part(scope)) for part in self._parts]
        return found[0] if self._alone else "".join(_as_text(part, self._text) for part in found)

    def text(self, scope: dict[str, Any]) -> str:
        """As :meth:`value`, always a text of at most 255 bytes, as AMQP wants it."""
        text = _as_text(self.value(scope), self._text) if self._parts else ""
        if len(text.encode()) > 255:
            raise Rejected("NET252", f"`{self._text}` gives more than 255 bytes", hint="AMQP takes no more")
        return text

    def _found(self, value: Any) -> Any:
        if value is None:
            raise Rejected("NET252", f"`{self._text}` finds nothing in this message", hint="set it in a step before")
        return value


def _as_text(value: Any, template: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    raise Rejected("NET252", f"`{template}` finds what is no text", hint="name a text or number")
