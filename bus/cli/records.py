"""Records of a file as JSON lines, made for files with a million of them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bus.cli.output import json_line

# The first byte is looked for first, and looked back from: that is much faster than to begin with the quote.
_EXPONENT = re.compile(rb"E(?<=[\"0-9.-][0-9]E)[+-][0-9]+\"")
_encode = msgspec.json.Encoder(decimal_format="string").encode


def record_line(record: Any) -> bytes:
    """The line of plain data, as :func:`json_line` makes it, in a seventh of the time."""
    try:
        line = _encode(record)
    except (TypeError, UnicodeEncodeError, ValueError):
        return json_line(record)
    if _EXPONENT.search(line) and any(_is_number(line, found.start()) for found in _EXPONENT.finditer(line)):
        return json_line(record)
    return line + b"\n"


def _is_number(line: bytes, exponent: int) -> bool:
    """Whether what stands before an exponent makes it that of a decimal, which is to be written out."""
    return line[max(exponent - 100, 0) : exponent].rstrip(b"0123456789.").endswith((b'"', b'"-'))
