"""The pen that writes the texts of one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bus import Rejected


@dataclass(frozen=True, slots=True)
class TextPen:
    """Writes texts of one file; a field that the version has no place for is refused, or left out where that is wanted.

    Attributes:
        convert: brings a text into the characters that the bank takes; may refuse it.
        message: full name of the message, for refusals.
        accepts_losses: whether such fields are left out.
    """

    convert: Callable[[str], str]
    message: str
    accepts_losses: bool = False

    def text(self, value: str) -> str:
        """See :class:`transforms.iso20022.forms.Pen`."""
        return escape(self.convert(value.strip()))

    def lost(self, field: str) -> None:
        """See :class:`transforms.iso20022.forms.Pen`.

        Raises:
            Rejected: ``VAL644``.
        """
        if not self.accepts_losses:
            raise Rejected(
                "VAL644",
                f"{self.message} has no element for `{field}`",
                reason="CH16",
                place=field,
                hint="write a newer version, take the field out, or set `losses: accept`",
            )
