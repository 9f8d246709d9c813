"""What ``bus inspect`` tells of a message that has a schema and no canonical shape."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any, BinaryIO

from bus import InspectedDocument, InspectedTotal, Inspection
from transforms.iso20022.document import ReadOptions
from transforms.iso20022.generic import VALUE
from transforms.iso20022.generic_document import GenericDocument
from transforms.iso20022.values import number

_LARGEST = 1 << 62
_RECORD, _AMOUNT = "CdtTrfTxInf", "IntrBkSttlmAmt"
_IDENTIFICATIONS = ("MsgId", "BizMsgIdr")
_HEADERS = ("GrpHdr", "MsgHdr")


def inspect_any(source: BinaryIO) -> Inspection:
    """Documents with their ids and, for payments between banks, counts and sums.

    Raises:
        Rejected: it is no message with a schema, or broken.
    """
    document = GenericDocument(source, ReadOptions(schema="report", max_size=_LARGEST))
    message = document.begun.message
    if document.begun.model.path(_RECORD):
        found = _payments(document)
    else:
        found = [
            InspectedDocument(_identification(part.body["document"]), None, None, None, ())
            for part in document.parts("documents")
            if part.error is None
        ]
    return Inspection(message, "message", tuple(found), tuple(document.findings))


def _payments(document: GenericDocument) -> list[InspectedDocument]:
    sums: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    for body in document.pieces((_RECORD,)):
        inside = sums[_identification(body)]
        amount = body.get(_RECORD, {}).get(_AMOUNT)
        if amount is not None:
            row = inside.setdefault(amount.get("Ccy", ""), [0, Decimal(0)])
            row[0] += 1
            row[1] += number(amount[VALUE]) or Decimal(0)
    return [
        InspectedDocument(
            name, None, None, None, tuple(InspectedTotal(c, n, total) for c, (n, total) in sorted(rows.items()))
        )
        for name, rows in sums.items()
    ]


def _identification(content: dict[str, Any]) -> str:
    """The id that the message gives itself, empty for none."""
    for inner in content.values():
        for name in _HEADERS:
            header = inner.get(name) if isinstance(inner, dict) else None
            for key in _IDENTIFICATIONS:
                if isinstance(header, dict) and isinstance(header.get(key), str):
                    return str(header[key])
    return ""
