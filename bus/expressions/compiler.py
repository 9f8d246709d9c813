"""From tree to Python closures: each part of an expression becomes one function of the value it is applied to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bus.expressions import closures
from bus.expressions.choices import Surroundings
from bus.expressions.function_table import FUNCTIONS, Function
from bus.expressions.lists import Reference
from bus.expressions.syntax import Node
from bus.expressions.values import NUMBERS, Run, T, bounded, measured, names, spend

_REPEATS = frozenset({"flatten", "project", "values", "filter"})
_SELECTS = frozenset({"list", "hash"})
_CALL_COST = 4


def compiled(node: Node, text: str, around: Surroundings) -> Run:
    """The closure of a whole expression; under the budget when any part of it can multiply work."""
    run = _Compiler(text, around).run(node)
    parts = list(_parts(node, around))
    kinds = {part.kind for part in parts}
    calls = {part.value for part in parts if part.kind == "call"}
    selects = bool(kinds & _SELECTS)
    repeats = bool(kinds & _REPEATS) or any(_grows(part) for part in parts)
    if repeats or selects:
        run = measured(run)
    # Comparing what a selection made of one value many times over is work without end, too.
    compares = selects and ("compare" in kinds or "contains" in calls)
    return bounded(run) if repeats or compares else run


def _parts(node: Node, around: Surroundings) -> Iterator[Node]:
    """All parts, those of the named functions that are called included: what they cost counts where they are called."""
    yield node
    for child in node.children:
        yield from _parts(child, around)
    if node.kind == "call" and node.value in around.functions:
        yield from _parts(around.functions[node.value].node, around)


def _grows(part: Node) -> bool:
    function = FUNCTIONS.get(part.value) if part.kind == "call" else None
    if function is None or not function.grows:
        return False
    return not function.unless([child.value if child.kind == "literal" else None for child in part.children])


def _cost(node: Node, around: Surroundings) -> int:
    """Steps that one evaluation counts; what a projection repeats is counted when it runs."""
    own = _CALL_COST if node.kind == "call" else 1
    if node.kind == "call" and node.value in around.functions:
        own += _cost(around.functions[node.value].node, around)
    inner = () if node.kind in {"project", "values", "filter", "ref"} else node.children
    return own + sum(_cost(child, around) for child in inner)


class _Compiler:
    """Builds closures; ``text`` is for messages, ``around`` for lookup() and today()."""

    def __init__(self, text: str, around: Surroundings) -> None:
        self._text = text
        self._around = around

    def run(self, node: Node) -> Run:
        """The closure of one part."""
        make: Callable[[Node], Run] = getattr(self, f"_{node.kind}")
        return make(node)

    def _source(self, node: Node) -> str:
        found = " ".join(self._text[node.start : node.end].split())
        return found if len(found) <= 80 else f"{found[:77]}…"

    # ------------------------------------------------------------ paths

    def _field(self, node: Node) -> Run:
        return closures.path((node.value,))

    def _current(self, _node: Node) -> Run:
        return closures.itself

    def _index(self, node: Node) -> Run:
        return closures.element(closures.itself, node.value)

    def _slice(self, node: Node) -> Run:
        part = node.value

        def run(value: Any) -> Any:
            return value[part] if isinstance(value, list) else None

        return run

    def _literal(self, node: Node) -> Run:
        literal = node.value
        return lambda _value: literal

    def _seq(self, node: Node) -> Run:
        steps: list[Run] = []
        fields: list[str] = []
        for child in node.children:
            if child.kind == "field":
                fields.append(child.value)
                continue
            if fields and child.kind == "index":
                steps.append(closures.element(closures.path(tuple(fields)), child.value))
            elif fields:
                steps += [closures.path(tuple(fields)), self.run(child)]
            else:
                steps.append(self.run(child))
            fields = []
        if fields:
            steps.append(closures.path(tuple(fields)))
        return closures.chain(steps)

    # ------------------------------------------------------------ lists and objects

    def _flatten(self, _node: Node) -> Run:
        return closures.flattened

    def _project(self, node: Node) -> Run:
        inner, cost = self.run(node.children[0]), _cost(node.children[0], self._around)

        def run(value: Any) -> Any:
            if not isinstance(value, list):
                return None
            spend(len(value) * cost)
            return [found for item in value if (found := inner(item)) is not None]

        return run

    def _values(self, node: Node) -> Run:
        inner, cost = self.run(node.children[0]), _cost(node.children[0], self._around)

        def run(value: Any) -> Any:
            if not isinstance(value, dict):
                return None
            spend(len(value) * cost)
            return [found for item in value.values() if (found := inner(item)) is not None]

        return run

    def _filter(self, node: Node) -> Run:
        inner, condition = self.run(node.children[0]), self.run(node.children[1])
        cost = _cost(node.children[0], self._around) + _cost(node.children[1], self._around)

        def run(value: Any) -> Any:
            if not isinstance(value, list):
                return None
            spend(len(value) * cost)
            result = []
            for item in value:
                verdict = condition(item)
                if (verdict or type(verdict) in NUMBERS) and (found := inner(item)) is not None:
                    result.append(found)
            return result

        return run

    def _list(self, node: Node) -> Run:
        inner = [self.run(child) for child in node.children]
        return lambda value: None if value is None else [run(value) for run in inner]

    def _hash(self, node: Node) -> Run:
        inner = [(key, self.run(child)) for key, child in zip(node.value, node.children, strict=True)]
        return lambda value: None if value is None else {key: run(value) for key, run in inner}

    # ------------------------------------------------------------ logic

    def _and(self, node: Node) -> Run:
        *firsts, last = (self.run(child) for child in node.children)
        if len(firsts) == 1:
            return closures.both(firsts[0], last)

        def run(value: Any) -> Any:
            for first in firsts:
                found = first(value)
                if not found and type(found) not in NUMBERS:
                    return found
            return last(value)

        return run

    def _or(self, node: Node) -> Run:
        *firsts, last = (self.run(child) for child in node.children)

        def run(value: Any) -> Any:
            for first in firsts:
                found = first(value)
                if found or type(found) in NUMBERS:
                    return found
            return last(value)

        return run

    def _not(self, node: Node) -> Run:
        inner = self.run(node.children[0])

        def run(value: Any) -> bool:
            found = inner(value)
            return not found and type(found) not in NUMBERS

        return run

    def _compare(self, node: Node) -> Run:
        left, right = node.children
        operator = node.value
        if left.kind == "literal" and right.kind != "literal":
            left, right = right, left
            operator = {"lt": "gt", "lte": "gte", "gt": "lt", "gte": "lte"}.get(operator, operator)
        one, other = self.run(left), self.run(right)
        if operator not in {"eq", "ne"}:
            if right.kind == "literal" and type(right.value) in NUMBERS:
                return closures.order_against(operator, one, right.value)
            return closures.order(operator, one, other)
        if right.kind == "literal" and type(right.value) is str:
            return (closures.equals_text if operator == "eq" else closures.differs_from_text)(one, right.value)
        found = closures.equals(one, other)
        return found if operator == "eq" else lambda value: not found(value)

    # ------------------------------------------------------------ functions

    def _call(self, node: Node) -> Run:
        if node.value in self._around.functions:
            return self._named(node)
        function = FUNCTIONS[node.value]
        if node.value == "if":
            return closures.choice(*(self.run(child) for child in node.children))
        if node.value in {"coalesce", "not_null"}:
            return closures.first_given([self.run(child) for child in node.children])
        if node.value == "in" and all(c.kind == "literal" and type(c.value) is str for c in node.children[1:]):
            return closures.one_of(self.run(node.children[0]), frozenset(c.value for c in node.children[1:]))
        call = partial(function.call, self._around) if function.surroundings else function.call
        arguments = [self._argument(node, function, number) for number in range(len(node.children))]
        if len(arguments) == 2 and node.children[1].kind == "literal":
            return closures.applied_with(node.value, call, arguments[0], node.children[1].value)
        return closures.applied(node.value, call, arguments)

    def _named(self, node: Node) -> Run:
        function = self._around.functions[node.value]
        run = _Compiler(function.text, self._around).run(function.node)
        arguments = [(name, self.run(child)) for name, child in zip(function.parameters, node.children, strict=True)]
        return lambda value: run({name: argument(value) for name, argument in arguments})

    def _argument(self, node: Node, function: Function, number: int) -> Run:
        child, wanted = node.children[number], function.parameter(number).types
        if child.kind == "ref":
            inner = child.children[0]
            reference = Reference(self.run(inner), _cost(inner, self._around))
            return lambda _value: reference
        run = self.run(child)
        if wanted == T.ANY or child.kind == "literal":
            return run
        what = f"{node.value}() takes {names(wanted)} as argument {number + 1}, `{self._source(child)}`"
        if child.kind == "field":
            return closures.typed_field(child.value, wanted, what)
        return closures.typed(run, wanted, what)
