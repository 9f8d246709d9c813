"""What an expression gives, told from the shape of its source: unknown fields and conditions that are never met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import NamedTuple

from bus.expressions.function_table import FUNCTIONS
from bus.expressions.named import NamedFunction
from bus.expressions.syntax import Node
from bus.expressions.values import T, names, type_of


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a value before it is there.

    Attributes:
        types: the types it can have.
        fields: of an object, all fields that it can have; None when they are not known.
        item: of a list, its items.
        meaning: ``amount`` ({value, currency}), ``date`` (ISO text), ``float`` (a binary float), or nothing special.
        values: of a text, all values that it can have; None when they are not known.
        more: of an object, whether it can have other fields than ``fields``.
    """

    types: int = T.ANY
    fields: Mapping[str, Shape] | None = None
    item: Shape | None = None
    meaning: str = ""
    values: frozenset[str] | None = None
    more: bool = False

    @property
    def called(self) -> str:
        """``an amount``, ``text``, ``a list`` … for messages."""
        words = {"amount": "an amount", "date": "a date", "float": "a binary float"}
        return words.get(self.meaning) or names(self.types & ~T.NULL or self.types)


ANYTHING = Shape()
TEXT = Shape(T.TEXT)
NUMBER = Shape(T.NUMBER)
DATE = Shape(T.TEXT, meaning="date")
AMOUNT = Shape(T.OBJECT, {"value": NUMBER, "currency": TEXT}, meaning="amount")


class Remark(NamedTuple):
    """Something that is wrong in an expression for this source: code, where, what, and what to write."""

    code: str
    start: int
    length: int
    message: str
    hint: str


def inferred(
    node: Node, source: Shape, functions: Mapping[str, NamedFunction], note: Callable[[Remark], None]
) -> Shape:
    """The shape of what an expression gives.

    Args:
        node: the expression.
        source: the shape of what it is applied to.
        functions: those that the file names.
        note: is told what is wrong.
    """
    return _Inference(functions, note).of(node, source)


def union(first: Shape, second: Shape) -> Shape:
    """The shape of a value that is one or the other."""
    if T.NULL in (first.types, second.types):
        known = second if first.types == T.NULL else first
        return replace(known, types=known.types | T.NULL)
    fields = None
    if first.fields is not None and second.fields is not None:
        fields = {**second.fields, **first.fields}
    item = union(first.item, second.item) if first.item and second.item else None
    values = None if first.values is None or second.values is None else first.values | second.values
    meaning = first.meaning if first.meaning == second.meaning else ""
    return Shape(first.types | second.types, fields, item, meaning, values, first.more or second.more)


@dataclass(frozen=True, slots=True)
class _Inference:
    functions: Mapping[str, NamedFunction]
    note: Callable[[Remark], None]

    def of(self, node: Node, source: Shape) -> Shape:  # noqa: PLR0911 - one line a kind of node
        match node.kind:
            case "field":
                return self._field(node, source)
            case "current" | "slice" | "flatten":
                return source
            case "index":
                return source.item or ANYTHING
            case "seq":
                for child in node.children:
                    source = self.of(child, source)
                return source
            case "project" | "values" | "filter":
                return self._repeated(node, source)
            case "literal":
                return _literal(node.value)
            case "hash":
                parts = {str(k): self.of(c, source) for k, c in zip(node.value, node.children, strict=True)}
                return Shape(T.OBJECT | T.NULL, parts, meaning="amount" if set(parts) == {"value", "currency"} else "")
            case "call":
                return self._call(node, source)
            case _:
                return self._operands(node, source)

    def _field(self, node: Node, source: Shape) -> Shape:
        name = str(node.value)
        if source.fields is not None and name in source.fields:
            return source.fields[name]
        if source.more:
            return ANYTHING
        if source.fields is not None and not source.types & T.LIST:
            near = get_close_matches(name, list(source.fields), 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {_listed(sorted(source.fields))}"
            self._tell("MAP138", node, f"the source has no field `{name}`", hint)
        elif not source.types & T.OBJECT:
            wrong = f"`{name}` is asked of {source.called}, which has no fields"
            self._tell("MAP138", node, wrong, "ask the object that has the field; of a list write list[0] or list[*]")
        return ANYTHING

    def _repeated(self, node: Node, source: Shape) -> Shape:
        item = source.item or ANYTHING
        if node.kind == "values" and source.fields is not None:
            item = ANYTHING
        for condition in node.children[1:]:
            self.of(condition, item)
        return Shape(T.LIST | T.NULL, item=self.of(node.children[0], item))

    def _operands(self, node: Node, source: Shape) -> Shape:
        found = [self.of(child, source) for child in node.children]
        if node.kind in ("and", "or"):
            whole = found[0]
            for shape in found[1:]:
                whole = union(whole, shape)
            return whole
        if node.kind == "compare":
            self._compared(node, found)
            return Shape(T.BOOLEAN | T.NULL)
        return Shape({"not": T.BOOLEAN, "list": T.LIST | T.NULL}.get(node.kind, T.ANY))

    def _compared(self, node: Node, found: list[Shape]) -> None:
        """Comparisons that can never be met."""
        left, right = found
        one, other = left.types & ~T.NULL, right.types & ~T.NULL
        if one and other and {one, other} == {T.TEXT, T.NUMBER}:
            message = "compares a text with a number"
            self._tell("MAP139", node, message, "use to_number() for the text, or quote the number")
        elif node.value == "eq" and one and other and not one & other:
            self._tell(
                "MAP139", node, f"never met: compares {left.called} with {right.called}", "compare alike with alike"
            )
        for shape, literal in ((left, node.children[1]), (right, node.children[0])):
            if shape.values is None or literal.kind != "literal" or not isinstance(literal.value, str):
                continue
            if node.value == "eq" and literal.value not in shape.values:
                hint = f"it is one of: {_listed(sorted(shape.values))}"
                self._tell("MAP139", node, f"never met: the field is never '{literal.value}'", hint)

    def _call(self, node: Node, source: Shape) -> Shape:
        found = [self.of(child, source) for child in node.children if child.kind != "ref"]
        listed = next((shape.item for shape in found if shape.item is not None), None)
        for child in node.children:
            if child.kind == "ref":
                self.of(child.children[0], listed or ANYTHING)
        name = str(node.value)
        if name in self.functions:
            one = self.functions[name]
            given = dict(zip(one.parameters, found, strict=False))
            return _Inference(self.functions, _unheard).of(one.node, Shape(T.OBJECT, given))
        if name == "money":
            self._no_float(node, found)
            return AMOUNT
        if name in ("date", "add_days", "today"):
            return DATE
        if name == "if" and len(found) == 3:
            return union(found[1], found[2])
        if name in ("coalesce", "not_null") and found:
            whole = found[0]
            for shape in found[1:]:
                whole = union(whole, shape)
            return whole
        return Shape(FUNCTIONS[name].result if name in FUNCTIONS else T.ANY)

    def _no_float(self, node: Node, found: list[Shape]) -> None:
        if found and found[0].meaning == "float":
            hint = "have the sender write a decimal number or a text"
            self._tell("MAP143", node, "an amount is made of a binary float, which is not exact", hint)

    def _tell(self, code: str, node: Node, message: str, hint: str) -> None:
        self.note(Remark(code, node.start, max(1, node.end - node.start), message, hint))


def _literal(value: object) -> Shape:
    kind = type_of(value)
    if isinstance(value, str):
        return Shape(T.TEXT, values=frozenset({value}))
    return Shape(T.ANY if kind is None else kind)


def _listed(words: list[str], most: int = 20) -> str:
    shown = ", ".join(f"`{word}`" for word in words[:most])
    return shown + (f" and {len(words) - most} more" if len(words) > most else "") or "none"


def _unheard(_remark: Remark) -> None:
    """A function's own text is checked where it is declared."""
