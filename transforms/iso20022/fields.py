"""The kinds of fields that forms are made of: texts, codes, amounts, days, flags, and forms within forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any

from bus import Rejected, minor_units
from transforms.iso20022.forms import Codec, Field, Form, Pen, PlainText, Read, Write, reader, writer
from transforms.iso20022.model import Type, type_at
from transforms.iso20022.shapes import Node
from transforms.iso20022.values import day, direction, flag, moment, number

_EXACT = Context(prec=60, traps=[Inexact])
_CODE = re.compile(r"[A-Z0-9]{1,4}")
_RATE = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,17})?", re.ASCII)
_SIGNS = {"credit": "CRDT", "debit": "DBIT"}
_FLAGS = {True: "true", False: "false"}


def _index(nodes: Sequence[Node]) -> int:
    """Where the text of the first element stands that is one; -1 when none is."""
    return next((node.text for node in nodes if node.text >= 0), -1)


@dataclass(frozen=True, slots=True)
class Text:
    """One text."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        index = _index(nodes)
        return PlainText(index) if index >= 0 else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        if kind.elements:
            return None
        text = pen.text
        return lambda value: f"<{tag}>{text(value)}</{tag}>" if value else ""


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of the name, in order; never joined."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        indices = [node.text for node in nodes if node.text >= 0]
        return (lambda values: [t for i in indices if (t := values[i].strip())] or None) if indices else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        if kind.elements:
            return None
        text = pen.text
        return lambda value: "".join([f"<{tag}>{text(one)}</{tag}>" for one in value if one])


@dataclass(frozen=True, slots=True)
class Code:
    """A code of ISO (``Cd``) or a text of the bank's own (``Prtry``), or a plain text in old versions."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        first = nodes[0]
        index = first.index("Cd|Prtry|Prtry/Id")
        index = first.text if index < 0 else index
        return PlainText(index) if index >= 0 else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        text = pen.text
        if not kind.elements:
            return lambda value: f"<{tag}>{text(value)}</{tag}>" if value else ""
        code, own = type_at(kind, "Cd"), type_at(kind, "Prtry")
        # In some places the bank's own code is an object with an id.
        before, after = ("<Id>", "</Id>") if own is not None and own.elements else ("", "")

        def write(value: str) -> str:
            if not value:
                return ""
            if (
                code is not None
                and _takes(code, value)
                and (own is None or code.simple.codes or _CODE.fullmatch(value))
            ):
                return f"<{tag}><Cd>{text(value)}</Cd></{tag}>"
            return f"<{tag}><Prtry>{before}{text(value)}{after}</Prtry></{tag}>"

        return write if code is not None or own is not None else None


def _takes(kind: Type, code: str) -> bool:
    """Whether a text can be one of the schema's codes."""
    rules = kind.simple
    return code in rules.codes if rules.codes else len(code) <= (rules.longest or len(code))


@lru_cache
def _step(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_units(currency))


def written_amount(value: Any, currency: str) -> str:
    """An amount with the decimals of its currency.

    Raises:
        Rejected: ``VAL433`` for what is no exact amount of that currency, ``VAL434`` for no currency.
    """
    try:
        exact = _EXACT.quantize(Decimal(value), _step(currency))
    except (Inexact, InvalidOperation, TypeError, ValueError):
        raise Rejected("VAL433", "an amount is no exact number of its currency", reason="AM12") from None
    if exact < 0:
        raise Rejected("VAL433", "an amount is negative", reason="AM12", hint="the direction is told apart")
    return f"{exact:f}"


@dataclass(frozen=True, slots=True)
class Money:
    """``{value, currency}``."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        first = nodes[0]
        text, currency = first.text, first.attributes.get("Ccy", -1)
        if text < 0:
            return None

        def read(values: Any) -> dict[str, Any] | None:
            if not values[text].strip():
                return None
            value = number(values[text])
            if value is None:
                raise Rejected("VAL410", f"{first.name} is no number", reason="AM12", hint="digits, a point, no sign")
            return {"value": value, "currency": values[currency].strip() if currency >= 0 else ""}

        return read

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        del pen
        if kind.elements:
            return None
        return lambda of: f'<{tag} Ccy="{of["currency"]}">{written_amount(of["value"], of["currency"])}</{tag}>'


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number that is no amount of money: a rate, a sum over currencies."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        index = _index(nodes)
        if index < 0:
            return None
        return lambda values: Decimal(found) if _RATE.fullmatch(found := values[index].strip()) else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        del pen
        return None if kind.elements else lambda value: f"<{tag}>{Decimal(value):f}</{tag}>"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of things."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        index = _index(nodes)
        if index < 0:
            return None
        return lambda values: int(found) if (found := values[index].strip()).isascii() and found.isdigit() else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        del pen
        return None if kind.elements else lambda value: f"<{tag}>{int(value)}</{tag}>"


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        index = _index(nodes)
        return (lambda values: flag(values[index]) if values[index].strip() else None) if index >= 0 else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        del pen
        return None if kind.elements else lambda value: f"<{tag}>{_FLAGS[bool(value)]}</{tag}>"


@dataclass(frozen=True, slots=True)
class WriteOnly:
    """A field that is only written, because it follows from others."""

    codec: Codec

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """Nothing to read."""
        del nodes
        return None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        return self.codec.writer(tag, kind, pen)


@dataclass(frozen=True, slots=True)
class Direction:
    """``credit`` or ``debit``."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        index = _index(nodes)
        return (lambda values: direction(values[index]) if values[index].strip() else None) if index >= 0 else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        del pen
        return None if kind.elements else lambda value: f"<{tag}>{_SIGNS[value]}</{tag}>" if value else ""


@dataclass(frozen=True, slots=True)
class Day:
    """A day; ISO has it plain or as a choice of day and point in time, which changed with the versions.

    With ``time`` the point in time is kept as it stands where one is told.
    """

    time: bool = False

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        first = nodes[0]
        index = first.index("Dt|DtTm")
        index = first.text if index < 0 else index
        if index < 0:
            return None
        if self.time:
            return lambda values: moment(values[index]) or None
        return lambda values: day(values[index]) if values[index].strip() else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        text, inside = pen.text, kind.elements
        if "Dt" in inside:
            point = "DtTm" if "DtTm" in inside else "Dt"

            def choose(value: str) -> str:
                name = point if "T" in value else "Dt"
                return f"<{tag}><{name}>{text(value)}</{name}></{tag}>" if value else ""

            return choose
        if inside:
            return None
        after = "T00:00:00" if kind.simple.base == "dateTime" else ""
        return lambda value: f"<{tag}>{text(value if 'T' in value else value + after)}</{tag}>" if value else ""


@dataclass(frozen=True, slots=True)
class Inner:
    """An object with a form of its own; with ``required`` the element is written for an empty one too."""

    form: Form
    required: bool = False

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        read = reader(self.form, nodes[0])
        return (lambda values: read(values) or None) if read is not None else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        write = writer(self.form, kind, pen)
        if self.required:
            return lambda value: f"<{tag}>{write(value)}</{tag}>"
        return lambda value: f"<{tag}>{inner}</{tag}>" if value and (inner := write(value)) else ""


@dataclass(frozen=True, slots=True)
class Each:
    """A list of objects with a form of their own."""

    form: Form

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        reads = [read for node in nodes if (read := reader(self.form, node)) is not None]
        return (lambda values: [one for read in reads if (one := read(values))] or None) if reads else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        write = writer(self.form, kind, pen)
        return lambda value: "".join([f"<{tag}>{inner}</{tag}>" for one in value if (inner := write(one))])


def text(key: str, path: str) -> Field:
    """A field with one text."""
    return Field(key, path, Text())


def texts(key: str, path: str) -> Field:
    """A field with a list of texts."""
    return Field(key, path, Texts())


def code(key: str, path: str) -> Field:
    """A field with a code; the path leads to the element that has ``Cd`` or ``Prtry``."""
    return Field(key, path, Code())


def money(key: str, path: str) -> Field:
    """A field with an amount."""
    return Field(key, path, Money())


def date(key: str, path: str) -> Field:
    """A field with a day; the path leads to the element that is it or has ``Dt``."""
    return Field(key, path, Day())


def time(key: str, path: str) -> Field:
    """A field with a point in time, kept as it stands."""
    return Field(key, path, Day(time=True))


def inner(key: str, path: str, form: Form) -> Field:
    """A field with an object."""
    return Field(key, path, Inner(form))


def each(key: str, path: str, form: Form) -> Field:
    """A field with a list of objects."""
    return Field(key, path, Each(form))
