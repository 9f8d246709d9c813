"""Numbers as COBOL stores them: zoned decimal with its sign in a digit, packed decimal, binary.

Source: IBM z/Architecture Principles of Operation, decimal formats; ASCII signs as the compilers of Micro Focus and of
IBM on ASCII machines write them.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from transforms._totals import number_text, plain_decimal
from transforms.cobol.copybook import Item

_PLUS, _MINUS = "ACEF", "BD"
_EXACT = Context(prec=60)
# The last (or first) digit with a sign in ASCII: { A-I and } J-R, and p-y for -0 to -9 (Micro Focus).
_ASCII_SIGNED = {ord(c): (i, "") for i, c in enumerate("{ABCDEFGHI")}
_ASCII_SIGNED |= {ord(c): (i, "-") for i, c in enumerate("}JKLMNOPQR")}
_ASCII_SIGNED |= {ord(c): (i, "-") for i, c in enumerate("pqrstuvwxy")}


class BadNumberError(ValueError):
    """Bytes or a value that are no number of the item's kind; the message never quotes them."""


def decode(data: bytes, item: Item, *, ebcdic: bool, little: bool) -> int | Decimal:
    """The value of a number; int when it has no decimals."""
    if item.usage == "packed":
        digits = _packed(data, item)
    elif item.usage in ("binary", "native"):
        order = "little" if little and item.usage == "native" else "big"
        digits = str(int.from_bytes(data, order, signed=item.signed))  # type: ignore[arg-type]  # one of the two
    else:
        digits = _zoned(data, item, ebcdic=ebcdic)
    return _EXACT.create_decimal(f"{digits}E-{item.scale}") if item.scale else int(digits)


def encode(value: Any, item: Item, *, ebcdic: bool, little: bool) -> bytes:
    """Bytes of a number; nothing is rounded, cut or made positive."""
    text = value if isinstance(value, str) else number_text(value)
    number = plain_decimal(text) if text is not None else None
    if number is None:
        raise BadNumberError("is no decimal number")
    scaled = _EXACT.scaleb(number, item.scale)
    if scaled != scaled.to_integral_value():
        raise BadNumberError(f"has more than {item.scale} decimals")
    whole = int(scaled)
    if whole < 0 and not item.signed:
        raise BadNumberError("is negative, the item has no sign")
    digits = str(abs(whole)).rjust(item.digits, "0")
    if len(digits) > item.digits:
        raise BadNumberError(f"has more than {item.digits - item.scale} digits before the point")
    if item.usage == "packed":
        sign = "D" if whole < 0 else "C" if item.signed else "F"
        return bytes.fromhex((digits + sign).rjust(item.length * 2, "0"))
    if item.usage in ("binary", "native"):
        order = "little" if little and item.usage == "native" else "big"
        return whole.to_bytes(item.length, order, signed=item.signed)  # type: ignore[arg-type]  # one of the two
    return _to_zoned(digits, item, negative=whole < 0, ebcdic=ebcdic)


def _packed(data: bytes, item: Item) -> str:
    nibbles = data.hex().upper()
    digits, sign = nibbles[:-1], nibbles[-1]
    if not digits.isdigit() or sign.isdigit():
        raise BadNumberError("is no packed decimal (digits, and a sign in the last half byte)")
    if sign in _MINUS and not item.signed and digits.strip("0"):
        raise BadNumberError("is negative, the item has no sign")
    return ("-" if sign in _MINUS else "") + digits


def _zoned(data: bytes, item: Item, *, ebcdic: bool) -> str:
    sign = ""
    if item.signed and item.sign.endswith("separate"):
        plus, minus = (b"\x4e", b"\x60") if ebcdic else (b"+", b"-")
        mark, data = (data[:1], data[1:]) if item.sign.startswith("leading") else (data[-1:], data[:-1])
        if mark not in (plus, minus):
            raise BadNumberError("has no sign + or -")
        sign = "-" if mark == minus else ""
        return sign + _digits(data, ebcdic=ebcdic)
    at = 0 if item.sign.startswith("leading") else len(data) - 1
    value, sign = _signed_digit(data[at], ebcdic=ebcdic)
    if sign and not item.signed:
        raise BadNumberError("is negative, the item has no sign")
    return sign + _digits(data[:at], ebcdic=ebcdic) + str(value) + _digits(data[at + 1 :], ebcdic=ebcdic)


def _digits(data: bytes, *, ebcdic: bool) -> str:
    zone = 0xF if ebcdic else 0x3
    if any(byte >> 4 != zone or byte & 0xF > 9 for byte in data):
        raise BadNumberError("is not digits alone")
    return "".join(str(byte & 0xF) for byte in data)


def _signed_digit(byte: int, *, ebcdic: bool) -> tuple[int, str]:
    zone, digit = f"{byte >> 4:X}", byte & 0xF
    if ebcdic and digit < 10 and zone in _PLUS + _MINUS:
        return digit, "-" if zone in _MINUS else ""
    if not ebcdic and zone == "3" and digit < 10:
        return digit, ""
    if not ebcdic and byte in _ASCII_SIGNED:
        return _ASCII_SIGNED[byte]
    raise BadNumberError("has no digit with a sign where one belongs")


def _to_zoned(digits: str, item: Item, *, negative: bool, ebcdic: bool) -> bytes:
    data = bytearray(digits.encode("cp037" if ebcdic else "ascii"))
    if not item.signed:
        return bytes(data)
    leads = item.sign.startswith("leading")
    if item.sign.endswith("separate"):
        mark = ("-" if negative else "+").encode("cp037" if ebcdic else "ascii")
        return bytes(mark + data if leads else data + mark)
    at = 0 if leads else len(data) - 1
    if ebcdic:
        data[at] = (0xD0 if negative else 0xC0) | (data[at] & 0xF)
    else:
        data[at] = ord(("}JKLMNOPQR" if negative else "{ABCDEFGHI")[data[at] & 0xF])
    return bytes(data)
