"""Functions that operators name: ``clean(text)`` stands for an expression over its parameters alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from bus.errors import ConfigError
from bus.expressions.function_table import FUNCTIONS
from bus.expressions.paths import paths
from bus.expressions.syntax import Node, parse

MOST_COST = 2_000
"""Steps of one call, those of the functions that it calls included; more would be a way round the budget."""
_HEAD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(\s*([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)?\s*\)")


@dataclass(frozen=True, slots=True)
class NamedFunction:
    """One function: what is written ``name(parameters): text``."""

    name: str
    parameters: tuple[str, ...]
    text: str
    node: Node

    @property
    def signature(self) -> str:
        """``clean(text)``."""
        return f"{self.name}({', '.join(self.parameters)})"


def named_functions(declared: Mapping[str, str]) -> dict[str, NamedFunction]:
    """The functions that a file declares, by name.

    Args:
        declared: ``name(parameter, …)`` -> expression, in which only the parameters are known.

    Raises:
        ConfigError: ``MAP122`` to ``MAP126``; ``path`` is the key of the declaration. ``CFG121`` and so on for a text
            that is no expression.
    """
    found: dict[str, NamedFunction] = {}
    heads: dict[str, str] = {}
    for head, text in declared.items():
        one = _declared(head, text)
        if one.name in found:
            _fail("MAP123", head, f"the function {one.name}() is declared twice", "rename one")
        found[one.name] = one
        heads[one.name] = head
    costs: dict[str, int] = {}
    for name, head in heads.items():
        _cost(name, found, costs, (), head)
    return found


def _declared(head: str, text: str) -> NamedFunction:
    match = _HEAD.fullmatch(head.strip())
    if match is None:
        _fail("MAP122", head, "not the head of a function", "write name(parameter, parameter): EXPRESSION")
    name, listed = match[1], match[2] or ""
    parameters = tuple(word.strip() for word in listed.split(",") if word.strip())
    if name in FUNCTIONS:
        _fail("MAP123", head, f"{name}() is a function of every expression already", "choose another name")
    if len(set(parameters)) != len(parameters):
        _fail("MAP122", head, f"a parameter of {name}() is named twice", "rename one")
    node = parse(text)
    strange = sorted({path[0] for path in paths(node)} - set(parameters))
    if strange:
        hint = f"make it a parameter: {name}({', '.join([*parameters, strange[0]])})"
        _fail("MAP124", head, f"{name}() reads `{strange[0]}`, which is none of its parameters", hint)
    return NamedFunction(name, parameters, text, node)


def _cost(
    name: str, known: Mapping[str, NamedFunction], costs: dict[str, int], above: tuple[str, ...], head: str
) -> int:
    if name in above:
        circle = " → ".join([*above[above.index(name) :], name])
        _fail("MAP125", head, f"functions call each other in a circle: {circle}", "functions do not recurse")
    if name not in costs:
        total = 0
        todo = [known[name].node]
        while todo:
            node = todo.pop()
            todo += node.children
            total += 1
            if node.kind == "call" and node.value in known:
                total += _cost(node.value, known, costs, (*above, name), head)
        if total > MOST_COST:
            hint = "take the repetition out, or do it in two mappings"
            _fail("MAP126", head, f"one call of {name}() takes more than {MOST_COST} steps", hint)
        costs[name] = total
    return costs[name]


def _fail(code: str, head: str, message: str, hint: str) -> NoReturn:
    raise ConfigError(code, message, hint=hint, path=head)
