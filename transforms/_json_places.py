"""Where in a JSON text a value is refused: looked for afterwards, the decoder tells it for syntax errors only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|-?Infinity|NaN|-?[0-9][0-9.eE+-]*|[{}\[\]]', re.DOTALL)
_LONGEST = 1_000_000


def place(text: str, wrong: Callable[[str], bool]) -> str:
    """Line and column of the first text, number or constant for which ``wrong`` holds; empty in a very long text."""
    found = () if len(text) > _LONGEST else _TOKENS.finditer(text)
    return next((_at(text, token.start()) for token in found if wrong(token[0].removesuffix(token["key"] or ""))), "")


def half(text: str, halves: re.Pattern[str]) -> str:
    """Line and column of the first text that holds one of ``halves`` once its escapes are read."""
    return place(text, lambda word: word.startswith('"') and bool(halves.search(json.loads(word))))


def deeper(text: str, most: int) -> str:
    """Line and column of the bracket that begins the level below the ``most``-th."""
    depth = 0
    for token in () if len(text) > _LONGEST else _TOKENS.finditer(text):
        depth += 1 if token[0] in "{[" else -1 if token[0] in "}]" else 0
        if depth > most:
            return _at(text, token.start())
    return ""


def twice(text: str) -> tuple[str, str]:
    """Line and column of the first key that stands twice in its object, and the key."""
    for at, name in () if len(text) > _LONGEST else _repeated(text):
        return _at(text, at), name
    return "", ""


def _repeated(text: str) -> Iterator[tuple[int, str]]:
    names: list[set[str]] = []
    for token in _TOKENS.finditer(text):
        word = token[0]
        if word in "{[":
            names.append(set())
        elif word in "}]":
            del names[-1:]
        elif token["key"] is not None and names:
            name = json.loads(word.removesuffix(token["key"]))
            if name in names[-1]:
                yield token.start(), name
            names[-1].add(name)


def _at(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - text.rfind(chr(10), 0, position)}"
