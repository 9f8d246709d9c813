"""Parts of a message that canonical bodies carry as they stand: taxes, garnishments, where the remittance advice is.

They are objects by element names, as ``as: json`` has them: texts as texts, amounts as ``{"Ccy": "EUR", "value":
"1.00"}``, an element that repeats as a list, an empty one as ``{}``. Only the forms of single countries use them, so
there is nothing to agree on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import quoteattr

from transforms.iso20022.forms import Field, Form, Pen, Read, Write
from transforms.iso20022.model import Element, Type
from transforms.iso20022.shapes import Node, Values

_LISTS = frozenset({"Rcrd", "Dtls", "AdrLine", "Othr", "RmtLctnDtls"})
"""Elements that may repeat in some version: lists also where there is one."""


@dataclass(frozen=True, slots=True)
class Tree:
    """An element with all that is in it; ``repeats``: a list of such."""

    repeats: bool = False

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        if self.repeats:
            return lambda values: [found for node in nodes if (found := _read(node, values))] or None
        first = nodes[0]
        return lambda values: _read(first, values) or None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        if kind.kind not in ("sequence", "choice"):
            return None
        element = Element(tag, kind, 0, 0 if self.repeats else 1)
        return lambda value: _written(element, value, pen, tag)


def _read(node: Node, values: Values) -> Any:
    if node.text >= 0:
        text = values[node.text].strip()
        attributes = {name: values[at] for name, at in node.attributes.items()}
        # Without the schema nobody can say whether something empty is a text or a group.
        return {**attributes, "value": text} if attributes else text or {}
    found: dict[str, Any] = {}
    for child in node.children:
        if child.text >= 0 and values[child.text].isspace():
            continue  # blanks tell nothing, and no bank would take them back
        value = _read(child, values)
        if child.name in _LISTS:
            found.setdefault(child.name, []).append(value)
        elif child.name in found:
            before = found[child.name]
            found[child.name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            found[child.name] = value
    return found


def _written(element: Element, value: Any, pen: Pen, path: str) -> str:
    """The element, or all of a list; what the version has no element for goes to :meth:`Pen.lost`."""
    if isinstance(value, list | tuple):
        if value[1:] and not element.repeats:
            pen.lost(path)
            value = value[:1]
        return "".join([_written(element, one, pen, path) for one in value])
    if value is None:
        return ""
    kind, tag = element.type, element.name
    if kind.kind in ("text", "valued"):
        return _text(tag, kind, value, pen, path)
    if not isinstance(value, Mapping) or kind.kind == "any":
        pen.lost(path)
        return ""
    for name in value:
        if name not in kind.elements:
            pen.lost(f"{path}.{name}")
    inner = "".join([_written(of, value[n], pen, f"{path}.{n}") for n, of in kind.elements.items() if n in value])
    return f"<{tag}>{inner}</{tag}>"


def _text(tag: str, kind: Type, value: Any, pen: Pen, path: str) -> str:
    attributes = ""
    if isinstance(value, Mapping):
        known = {name: value[name] for name in kind.attributes if name in value}
        if value.keys() - known.keys() - {"value"}:
            pen.lost(path)
        attributes = "".join(f" {name}={quoteattr(str(one))}" for name, one in known.items())
        value = value.get("value", "")
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, Decimal | int):
        value = f"{value:f}" if isinstance(value, Decimal) else str(value)
    if not isinstance(value, str):
        pen.lost(path)
        return ""
    return f"<{tag}{attributes}>{pen.text(value)}</{tag}>"


RELATED: Form = (Field("tax", "Tax", Tree()), Field("related_remittance", "RltdRmtInf", Tree(repeats=True)))
"""What stands beside the remittance information of a payment or of a transaction of an entry."""
INTEREST: Form = (Field("interest", "Intrst", Tree(repeats=True)),)
"""What of an entry or transaction is interest."""
