"""Entries as the reader gives them (``each: entries``), on their way into a file: also returns and changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from transforms.nacha import records as r
from transforms.nacha.items import ascii_text, refused
from transforms.nacha.reader import CREDIT_CODES, DEBIT_CODES
from transforms.nacha.reasons import CHANGES, RETURNS

_SERVICE_CLASSES = {"200": "", "280": "", "220": "debit", "225": "credit"}
"""Service class -> entries that a batch of it must not have."""
_CENT = Decimal("0.01")


class RawEntry(NamedTuple):
    """An entry, looked through: values by the names of the fields; addenda with their layouts."""

    number: int
    batch: dict[str, Any]
    batch_layout: tuple[r.Field, ...]
    fields: dict[str, Any]
    layout: tuple[r.Field, ...]
    addenda: list[tuple[str, tuple[r.Field, ...], dict[str, Any]]]

    @property
    def is_debit(self) -> bool:
        """Whether it takes from the receiver."""
        return r.is_debit(self.fields["transaction_code"])


def is_raw(body: Any) -> bool:
    """Whether a body is an entry with the fields of its batch rather than a payment."""
    return isinstance(body, Mapping) and isinstance(body.get("batch"), Mapping) and "transaction_code" in body


def raw_entry(body: Mapping[str, Any], number: int) -> RawEntry:
    """Look an entry through.

    Raises:
        Rejected: ``VAL790`` (a field that no such record has, or that does not fit it), ``VAL792`` (routing number).
    """
    told: Mapping[str, Any] = body["batch"]
    kind = str(told.get("entry_class") or "")
    foreign = kind == "IAT" or told.get("iat_indicator") == "IATCOR"
    batch_layout = r.IAT_BATCH_HEADER if foreign else r.BATCH_HEADER
    batch = _values(told, batch_layout, number, "batch.")
    batch.setdefault("service_class", "200")
    if batch["service_class"] not in _SERVICE_CLASSES:
        raise refused(number, "batch.service_class", "the service class is none of 200, 220, 225 and 280")
    layout = r.IAT_ENTRY if foreign else r.CTX_ENTRY if kind in ("CTX", "ENR", "TRX", "ATX") else r.ENTRY
    fields = _values({k: v for k, v in body.items() if k not in ("batch", "addenda")}, layout, number, "")
    _check(fields, batch, number)
    rows = body.get("addenda")
    addenda = [_addendum(row, number, foreign=foreign) for row in (rows if isinstance(rows, list | tuple) else ())]
    fields["addenda_indicator"] = "1" if addenda else "0"
    if not {"98", "99"} & {kind for kind, _, _ in addenda}:
        fields["addenda_count"] = len(addenda)
    return RawEntry(number, batch, batch_layout, fields, layout, addenda)


def _check(fields: dict[str, Any], batch: dict[str, Any], number: int) -> None:
    code = fields.get("transaction_code", "")
    if code not in CREDIT_CODES | DEBIT_CODES:
        raise refused(number, "transaction_code", "a transaction code that Nacha does not define")
    rdfi = fields.get("rdfi", "")
    if len(rdfi) == 8:
        fields.setdefault("check_digit", r.check_digit(rdfi))
    if not r.is_routing_number(rdfi + fields.get("check_digit", "")):
        hint = "rdfi: eight digits, check_digit: the ninth"
        raise refused(
            number, "rdfi", "the routing number is none of nine digits with a right check digit", hint, "VAL792"
        )
    side = "debit" if r.is_debit(code) else "credit"
    if _SERVICE_CLASSES[batch["service_class"]] == side:
        raise refused(number, "transaction_code", f"a {side} in a batch of service class {batch['service_class']}")


def _addendum(row: Any, number: int, *, foreign: bool) -> tuple[str, tuple[r.Field, ...], dict[str, Any]]:
    if not isinstance(row, Mapping):
        raise refused(number, "addenda", "an addendum that is no mapping")
    kind = str(row.get("type") or "")
    if len(kind) != 2 or not kind.isdecimal():
        raise refused(number, "addenda.type", "the type of an addendum is not two digits")
    given = {name: value for name, value in row.items() if name != "type"}
    if kind == "99" and foreign:
        # An international return repeats the amount of the forward entry before its information.
        first = str(given.pop("original_amount", "") or "").rjust(10, "0")
        given["information"] = first + str(given.get("information") or "")
    layout = r.ADDENDA.get(kind, r.OTHER_ADDENDA)
    values = _values(given, layout, number, f"addenda.{kind}.")
    known = {"98": frozenset(CHANGES), "99": frozenset(RETURNS)}.get(kind)
    if known is not None and values.get("reason", "") not in known:
        raise refused(number, f"addenda.{kind}.reason", "a code that Nacha does not define")
    if kind == "98" and not values.get("corrected"):
        raise refused(number, "addenda.98.corrected", "a notification of change tells what is right")
    return kind, layout, values


def _values(given: Mapping[str, Any], layout: tuple[r.Field, ...], number: int, above: str) -> dict[str, Any]:
    """Values that fit their fields; what is empty is left out."""
    kinds = {field.name: (field.kind, field.end - field.start) for field in layout}
    unknown = next((str(name)[:30] for name in given if name not in kinds), "")
    if unknown:
        raise refused(number, above + unknown, f"`{above}{unknown}` is no field of the record")
    found = {}
    for name, value in given.items():
        if value not in (None, ""):
            kind, width = kinds[name]
            found[name] = _value(value, kind, width, number, above + name)
    return found


def _value(value: Any, kind: str, width: int, number: int, name: str) -> Any:
    if kind == "a":
        if not isinstance(value, Decimal) or not value.is_finite() or value < 0 or value != value.quantize(_CENT):
            raise refused(number, name, f"`{name}` is no amount of at most two decimals")
        return value
    if kind == "n":
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise refused(number, name, f"`{name}` is no number from 0 on")
        return value
    text = ascii_text(value, number, name)
    if kind == "d":
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise refused(number, name, f"`{name}` is no day of the calendar", "write 2026-11-24") from None
    if kind == "z" and (len(text) != width or not text.isdecimal()):
        raise refused(number, name, f"`{name}` is not {width} digits")
    return text
