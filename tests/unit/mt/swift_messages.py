"""Small MT messages for tests."""

from __future__ import annotations

import io
from typing import Any

from bus import Part
from transforms.mt940 import Mt940Spec

IBAN = "DE89370400440532013000"


def mt940(*fields: str, **told: str) -> bytes:
    """A message: ``account``, ``number``, ``opening`` and ``closing`` can be told, the rest are lines."""
    lines = [
        f":20:{told.get('reference', 'REF1')}",
        f":25:{told.get('account', IBAN)}",
        f":28C:{told.get('number', '7/1')}",
        f":60{told.get('begins', 'F')}:{told.get('opening', 'C261123EUR100,')}",
        *fields,
        f":62{told.get('ends', 'F')}:{told.get('closing', 'C261124EUR100,')}",
        "-",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode(told.get("encoding", "utf-8"))


def read(content: bytes, each: str = "entries", **options: Any) -> list[Part]:
    return list(Mt940Spec(**options).build().read(io.BytesIO(content)).parts(each))


def bodies(content: bytes, each: str = "entries", **options: Any) -> list[Any]:
    found = []
    for part in read(content, each, **options):
        assert part.error is None, part.error
        found.append(part.body)
    return found


def only(content: bytes, **options: Any) -> Any:
    """The one transaction of the one entry."""
    (entry,) = bodies(content, **options)
    (transaction,) = entry["transactions"]
    return transaction
