"""Expressions that are nothing but a path, a constant or one function of those: what can be read backwards."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from bus.errors import ConfigError
from bus.expressions.paths import Path
from bus.expressions.syntax import Node, parse

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Simple(NamedTuple):
    """What a simple expression is.

    Attributes:
        kind: ``path``, ``constant`` or ``call``.
        path: the fields of a path, empty for ``@``.
        value: the constant, or the name of the function.
        arguments: of a call.
    """

    kind: Literal["path", "constant", "call"]
    path: Path = ()
    value: Any = None
    arguments: tuple[Simple, ...] = ()


def simple(text: str) -> Simple | None:
    """What an expression is, if it is simple; None for every other, and for one that does not parse."""
    try:
        return _simple(parse(text))
    except ConfigError:
        return None


def _simple(node: Node) -> Simple | None:
    if node.kind == "literal":
        return Simple("constant", value=node.value)
    if node.kind == "call":
        arguments = [_simple(child) for child in node.children]
        found = [one for one in arguments if one is not None and one.kind != "call"]
        return Simple("call", value=node.value, arguments=tuple(found)) if len(found) == len(arguments) else None
    if node.kind in ("field", "current"):
        return Simple("path", (str(node.value),) if node.kind == "field" else ())
    if node.kind == "seq" and all(child.kind == "field" for child in node.children):
        return Simple("path", tuple(str(child.value) for child in node.children))
    return None


def path_text(path: Path) -> str:
    """A path as it is written in an expression."""
    return ".".join(word if _BARE.fullmatch(word) else f'"{word}"' for word in path) or "@"
