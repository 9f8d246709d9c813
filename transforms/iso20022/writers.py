"""Which layout writes which message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from bus import Rejected, RuleBook, WriteContext
from transforms.iso20022 import schemas
from transforms.iso20022.compose import Layout, compose
from transforms.iso20022.layouts import AnswerLayout, DebitLayout, RequestLayout, ReversalLayout, StatusLayout
from transforms.iso20022.layouts_statements import StatementLayout
from transforms.iso20022.model import model, type_at
from transforms.iso20022.names import FAMILIES, WRITABLE
from transforms.iso20022.pen import TextPen
from transforms.iso20022.ruled import Ruled


def writable(message: str) -> str:
    """The full name of the message to write: a family alone means its usual version.

    Raises:
        Rejected: ``VAL450``: it is not written.
    """
    family = (message or "pain.001")[:8]
    if family not in WRITABLE:
        raise Rejected("VAL450", f"{message} is not written", hint=f"written are {', '.join(WRITABLE)}")
    if message in ("", family):
        return WRITABLE[family]
    if not schemas.available(message):
        usual = WRITABLE[family]
        raise Rejected("VAL450", f"{message} is no version that is written", hint=f"the usual one is {usual}")
    return message


def write_by_layout(
    parts: Iterable[Any],
    document: IO[bytes],
    context: WriteContext,
    pen: TextPen,
    wanted: tuple[str, RuleBook | None],
) -> None:
    """Write canonical bodies as the message of the pen; ``wanted``: initiating party, and profile to keep.

    Raises:
        Rejected: see :class:`transforms.iso20022.compose.Composer`.
    """
    initiating_party, book = wanted
    layout = _layout(pen, context, initiating_party)
    if book is not None:
        layout = Ruled(layout, book, context.created_at)
    compose(parts, document, pen.message, layout, pen)


def _layout(pen: TextPen, context: WriteContext, initiating_party: str) -> Layout:
    name = pen.message[:8]
    family = FAMILIES[name]
    whole = type_at(model(pen.message).root.type, family.message)
    record = "/".join(filter(None, (family.container, family.record)))

    def has(path: str) -> bool:
        return whole is not None and type_at(whole, f"{record}/{path}") is not None

    if name == "pain.008":
        return DebitLayout(context, initiating_party, has_uetr=has("PmtId/UETR"))
    if name == "pain.002":
        return StatusLayout(context)
    if name == "pain.007":
        return ReversalLayout(context)
    if name == "camt.029":
        return AnswerLayout(context)
    if name in ("camt.055", "camt.056"):
        return RequestLayout(context, in_blocks=name == "camt.055")
    return StatementLayout(context, pen, proves=name == "camt.053", has_amounts=has("NtryDtls/TxDtls/Amt"))
