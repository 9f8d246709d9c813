"""What can be said of an expression before it runs: unknown functions, arguments and comparisons that cannot fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

from bus.errors import ConfigError, Rejected
from bus.expressions.function_table import FUNCTIONS, Function
from bus.expressions.named import NamedFunction
from bus.expressions.syntax import Node
from bus.expressions.values import T, names, type_of

_CONSTANTS = frozenset({"true", "false", "null"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LISTS = T.LIST | T.NULL
_KINDS = {
    "flatten": _LISTS,
    "project": _LISTS,
    "values": _LISTS,
    "filter": _LISTS,
    "slice": _LISTS,
    "list": _LISTS,
    "hash": T.OBJECT | T.NULL,
    "not": T.BOOLEAN,
}


@dataclass(frozen=True, slots=True)
class Checker:
    """Walks a tree; ``tables`` and ``functions`` are those known, None when they are not known yet."""

    text: str
    tables: Mapping[str, Any] | None = None
    functions: Mapping[str, NamedFunction] | None = field(default_factory=dict)

    def types(self, node: Node) -> int:
        """The types that ``node`` can have.

        Raises:
            ConfigError: ``CFG121`` to ``CFG128`` at the column of the part that cannot be meant.
        """
        if node.kind == "call":
            return self._call(node)
        if node.kind == "compare":
            return self._comparison(node)
        if node.kind == "literal":
            return type_of(node.value) or T.ANY
        if node.kind == "ref":
            self._fail(
                "CFG124", node, "`&` goes only into a function that takes a reference", "as in sort_by(lines, &date)"
            )
        if node.kind == "seq":
            return self._sequence(node)
        found = [self.types(child) for child in node.children]
        if node.kind in {"and", "or"}:
            return _union(found)
        return _KINDS.get(node.kind, T.ANY)

    def _sequence(self, node: Node) -> int:
        found = [self.types(child) for child in node.children]
        if node.children[0].kind == "not" and node.children[1].kind == "field":
            inner = self._source(node.children[0])
            self._fail(
                "CFG128", node, f"`{inner}` ends before the dot: `!` binds tighter", "write !(a.b) with parentheses"
            )
        return found[-1]

    def _comparison(self, node: Node) -> int:
        for operand in node.children:
            self._no_slip(operand)
        left, right = (self.types(child) & ~T.NULL for child in node.children)
        if {left, right} == {T.TEXT, T.NUMBER}:
            self._fail(
                "CFG124",
                node,
                "compares a text with a number",
                "write 100 for the number or '100' for the text, not both",
            )
        return T.BOOLEAN if node.value in {"eq", "ne"} else T.BOOLEAN | T.NULL

    def _no_slip(self, operand: Node) -> None:
        """Refuse what JMESPath reads as a field and nobody means as one."""
        if operand.kind != "field":
            return
        name, written = operand.value, self._source(operand)
        if written in _CONSTANTS:
            self._fail("CFG128", operand, f"`{name}` here is a field of that name", f"write `{name}` between backticks")
        if written.startswith('"') and _NAME.fullmatch(name) and name not in _CONSTANTS:
            self._fail(
                "CFG128", operand, f'"{name}" is a field: double quotes make no text', f"write '{name}' for the text"
            )

    def _call(self, node: Node) -> int:
        function = FUNCTIONS.get(node.value)
        if function is None and (self.functions is None or node.value in self.functions):
            return self._named(node)
        if function is None:
            close = get_close_matches(node.value, [*FUNCTIONS, *(self.functions or ())], 1)
            hint = f"did you mean {close[0]}()?" if close else "docs/expressions.md lists all functions"
            self._fail("CFG122", node, f"unknown function {node.value}()", hint)
        self._count(node, function)
        found = [self._argument(node, function, number, child) for number, child in enumerate(node.children)]
        if node.value == "in":
            for child in node.children:
                self._no_slip(child)
            self._membership(node, found)
        try:
            function.verify([child.value if child.kind == "literal" else None for child in node.children])
        except Rejected as error:
            self._fail("CFG127", node, f"{node.value}(): {error.message}", error.hint)
        if node.value == "lookup":
            self._table(node)
        if node.value == "if":
            return found[1] | found[2]
        return _union(found) if node.value in {"coalesce", "not_null"} else function.result

    def _named(self, node: Node) -> int:
        """A call of a function that the file itself names: its own text is checked where it is declared."""
        for child in node.children:
            self.types(child)
        if self.functions is None:
            return T.ANY
        function = self.functions[node.value]
        wanted, given = len(function.parameters), len(node.children)
        if given != wanted:
            plural = "" if wanted == 1 else "s"
            self._fail(
                "CFG123", node, f"{node.value}() takes {wanted} argument{plural}, not {given}", function.signature
            )
        return Checker(function.text, self.tables, self.functions).types(function.node)

    def _count(self, node: Node, function: Function) -> None:
        given, least, most = len(node.children), function.least, function.most
        if given < least or (most is not None and given > most):
            wanted = str(least) if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            plural = "" if wanted == "1" else "s"
            self._fail(
                "CFG123", node, f"{node.value}() takes {wanted} argument{plural}, not {given}", function.signature
            )

    def _argument(self, node: Node, function: Function, number: int, child: Node) -> int:
        wanted = function.parameter(number).types
        if wanted == T.REFERENCE:
            if child.kind != "ref":
                hint = f"put & before it: &{self._source(child)}"
                self._fail("CFG124", child, f"{node.value}() takes a reference as argument {number + 1}", hint)
            self.types(child.children[0])
            return T.REFERENCE
        given = self.types(child)
        if not given & wanted:
            what = f"{node.value}() takes {names(wanted)} as argument {number + 1}, this is always {names(given)}"
            self._fail("CFG124", child, what, function.signature)
        return given

    def _membership(self, node: Node, found: list[int]) -> None:
        subject = found[0] & ~T.NULL
        for child, types in zip(node.children[1:], found[1:], strict=True):
            if {subject, types & ~T.NULL} == {T.TEXT, T.NUMBER}:
                self._fail("CFG124", child, "compares a text with a number", "make both texts or both numbers")

    def _table(self, node: Node) -> None:
        table = node.children[0]
        if self.tables is None or table.kind != "literal" or table.value in self.tables:
            return
        close = get_close_matches(table.value, list(self.tables), 1)
        hint = f"did you mean '{close[0]}'?" if close else f"known tables: {', '.join(sorted(self.tables)) or 'none'}"
        self._fail("CFG125", table, f"there is no value table '{table.value}'", hint)

    def _source(self, node: Node) -> str:
        return self.text[node.start : node.end]

    def _fail(self, code: str, node: Node, what: str, hint: str) -> NoReturn:
        raise ConfigError(code, what, hint=hint, column=node.start + 1)


def _union(found: list[int]) -> int:
    union = 0
    for types in found:
        union |= types
    return union
