"""Which fields of its source an expression reads, as far as they are written down."""

from __future__ import annotations

from bus.expressions.syntax import Node

Path = tuple[str, ...]


def paths(node: Node) -> tuple[Path, ...]:
    """Field paths that ``node`` reads from its source, as far as they are written down; ``*`` = every element.

    ``amount.currency`` gives ``("amount", "currency")``, ``lines[?open].price`` gives ``("lines", "*", "open")`` and
    ``("lines", "*", "price")``. What comes out of a function or a ``[…]``, ``{…}`` selection is no source any more.
    """
    found: set[Path] = set()
    _note(node, (), found)
    return tuple(sorted(found))


def _note(node: Node, source: Path | None, found: set[Path]) -> Path | None:
    reached = _follow(node, source, found)
    named = reached
    while named and named[-1] == "*":
        named = named[:-1]
    if named:
        found.add(named)
    return reached


def _follow(node: Node, source: Path | None, found: set[Path]) -> Path | None:
    """Where ``node`` arrives when it starts at ``source``; what it reads on the way goes into ``found``."""
    match node.kind:
        case "field":
            return None if source is None else (*source, node.value)
        case "current" | "flatten" | "slice":
            return source
        case "index":
            return _element(source)
        case "seq":
            for child in node.children:
                source = _follow(child, source, found)
            return source
        case "project" | "values" | "filter":
            inner, *condition = node.children
            for child in condition:
                _note(child, _element(source), found)
            return _follow(inner, _element(source), found)
        case _:
            _note_operands(node, source, found)
            return None


def _note_operands(node: Node, source: Path | None, found: set[Path]) -> None:
    """Operands and arguments; a reference reads from the elements of the list beside it."""
    beside: Path | None = None
    for child in node.children:
        if child.kind != "ref":
            beside = _note(child, source, found)
    for child in node.children:
        if child.kind == "ref":
            _note(child.children[0], _element(beside), found)


def _element(source: Path | None) -> Path | None:
    if source is None:
        return None
    return source if source[-1:] == ("*",) else (*source, "*")
