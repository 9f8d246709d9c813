"""The compiled expression, and the three ways to get at one: compile, check, explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from bus.errors import ConfigError, Rejected
from bus.expressions.checks import Checker
from bus.expressions.choices import Surroundings
from bus.expressions.compiler import compiled
from bus.expressions.named import NamedFunction
from bus.expressions.paths import Path, paths
from bus.expressions.syntax import Node, parse
from bus.expressions.values import Run, is_true
from bus.ports import Clock


class Expression:
    """An expression, ready to be applied to plain data. Immutable, and safe to use from many threads.

    Attributes:
        text: as it was written.
        run: the closure itself; the same as calling the expression, a little faster.
    """

    __slots__ = ("_node", "run", "text")

    def __init__(self, text: str, node: Node, run: Run) -> None:
        self.text = text
        self.run = run
        self._node = node

    def __call__(self, value: Any) -> Any:
        """The result for ``value``; what is missing gives None.

        Raises:
            Rejected: ``VAL220`` to ``VAL230`` when the data does not fit the expression, ``VAL222`` when evaluating it
                would cost more than it may.
        """
        return self.run(value)

    def paths(self) -> tuple[Path, ...]:
        """Field paths read from the source, sorted, as far as they are written down; ``*`` stands for every element."""
        return paths(self._node)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_expression(
    text: str,
    *,
    tables: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    functions: Mapping[str, NamedFunction] | None = None,
) -> Expression:
    """Parse, check and compile ``text`` once.

    Args:
        text: JMESPath with the additions of ``docs/expressions.md``.
        tables: value tables for lookup(): mappings, or objects with ``get(key, on_date=None)``. None = not known yet,
            then a lookup is only checked when it runs.
        clock: what today() asks; None = the machine's clock.
        functions: what may be called besides the functions of every expression, see :func:`named_functions`.

    Raises:
        ConfigError: ``CFG121`` to ``CFG129``; ``column`` is the 1-based place in ``text``.
    """
    node = parse(text)
    Checker(text, tables, functions or {}).types(node)
    return Expression(text, node, compiled(node, text, _around(tables, clock, functions)))


def _around(
    tables: Mapping[str, Any] | None, clock: Clock | None, functions: Mapping[str, NamedFunction] | None = None
) -> Surroundings:
    around = Surroundings(tables or {}, functions=functions or {})
    return around if clock is None else replace(around, clock=clock)


@lru_cache(maxsize=4096)
def check(text: str, *, named: bool = False) -> str | None:
    """What is wrong with ``text``, as a sentence with its column, or None; tables are not looked at.

    Args:
        text: the expression.
        named: the file may name functions of its own, so an unknown function is no finding yet.
    """
    try:
        Checker(text, functions=None if named else {}).types(parse(text))
    except ConfigError as error:
        return f"column {error.column}: {error.message}" + (f"; {error.hint}" if error.hint else "")
    return None


def explain(
    text: str, value: Any, *, tables: Mapping[str, Any] | None = None, clock: Clock | None = None
) -> list[tuple[str, Any]]:
    """Each part of ``text`` that decides, with its value: the whole first, then what it is made of, from the left.

    Parts are operands of ``&&``, ``||``, ``!`` and comparisons, and arguments of functions, as far as they look at
    ``value`` itself. What ``&&``, ``||``, if() and coalesce() leave out is left out here too. A part that is refused
    has its :class:`bus.errors.Rejected` as value.

    Raises:
        ConfigError: as :func:`compile_expression`.
    """
    node = parse(text)
    Checker(text, tables).types(node)
    explainer = _Explainer(text, value, _around(tables, clock), [])
    explainer.visit(node)
    return explainer.found


@dataclass(frozen=True, slots=True)
class _Explainer:
    """Evaluates part after part against the same value and notes what came out."""

    text: str
    value: Any
    around: Surroundings
    found: list[tuple[str, Any]]

    def visit(self, node: Node) -> Any:
        if node.kind in {"literal", "current", "ref"}:
            return {"literal": node.value, "current": self.value}.get(node.kind)
        try:
            result = compiled(node, self.text, self.around)(self.value)
        except Rejected as error:
            result = error
        self.found.append((self.text[node.start : node.end], result))
        if node.kind == "call" and node.value == "if":
            verdict = self.visit(node.children[0])
            if not isinstance(verdict, Rejected):
                self.visit(node.children[1 if is_true(verdict) else 2])
        elif node.kind in {"and", "or", "not", "compare", "call"}:
            for child in node.children:
                part = self.visit(child)
                if isinstance(part, Rejected) or _settled(node, part):
                    break
        return result


def _settled(node: Node, part: Any) -> bool:
    """Whether the operands after this one are not evaluated any more."""
    if node.kind in {"and", "or"}:
        return is_true(part) == (node.kind == "or")
    return node.kind == "call" and node.value in {"coalesce", "not_null"} and part is not None
