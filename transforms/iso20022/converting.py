"""A file of one version written as another, record by record; what is lost on the way is told or refused."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from typing import BinaryIO

from bus import Finding, Rejected
from transforms.iso20022.conversion import Conversion
from transforms.iso20022.generic_document import GenericDocument
from transforms.iso20022.generic_writing import GenericOptions, write

_RECORDS = ("CdtTrfTxInf", "DrctDbtTxInf", "Ntry", "TxInfAndSts")
"""What a message is cut into: the first of these elements that repeats in it."""
_PAYMENTS = ("pain.001", "pain.007", "pain.008", "pacs.004", "pacs.008", "pacs.009")
_IN_MEMORY = 4 << 20


def convert(
    document: GenericDocument, target: BinaryIO, options: GenericOptions, on_loss: str = "auto"
) -> tuple[Finding, ...]:
    """Write a document in the version that ``options`` name; returns what could not be carried.

    Raises:
        Rejected: ``VAL625``: something is lost and ``on_loss`` does not allow it; ``VAL623``, ``VAL624`` as
            :class:`transforms.iso20022.conversion.Conversion`; what reading and writing raise.
    """
    made = options.message if options.message.count(".") > 1 else document.begun.message
    conversion = Conversion(document.begun.message, made)
    record = next((name for name in _RECORDS if document.begun.model.path(name)), "")
    bodies = document.pieces((record,) if record else ())
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as converted:
        write(map(conversion.body, bodies), converted, replace(options, message=made))
        if conversion.count and (on_loss == "refuse" or (on_loss == "auto" and made[:8] in _PAYMENTS)):
            raise _refused(conversion, made)
        converted.seek(0)
        shutil.copyfileobj(converted, target, 1 << 20)
    rest = conversion.count - len(conversion.losses)
    more = (Finding("VAL626", "warning", "", f"and {rest} more values that are not carried"),) if rest else ()
    return (*document.findings, *conversion.losses, *more)


def _refused(conversion: Conversion, made: str) -> Rejected:
    first = conversion.losses[0]
    more = f" (and {conversion.count - 1} more)" if conversion.count > 1 else ""
    text = f"{first.place}: {first.message}{more}"
    hint = f"set `on_loss: report` (`bus convert --report`) to make a {made} without it"
    return Rejected("VAL625", text, place=first.place, hint=hint, findings=tuple(conversion.losses))
