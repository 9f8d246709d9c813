"""What the name of a template says of its output, and which templates a text includes."""

from __future__ import annotations

import re

_INCLUDE = re.compile(r"\{%[-+]?\s*include\s+(['\"])([^'\"]{1,200})\1")
_CODE = re.compile(r"\{[{%](.*?)[%}]\}")
_CHAIN = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+")
_MEDIA = {
    "txt": "text/plain",
    "xml": "application/xml",
    "html": "text/html",
    "csv": "text/csv",
    "md": "text/markdown",
}


def markup(name: str) -> bool:
    """Whether values are escaped: in templates called ``NAME.xml`` and ``NAME.html``."""
    return name.endswith((".xml", ".html"))


def media_type(name: str) -> str:
    """Content type of what a template of that name makes."""
    return _MEDIA.get(name.rpartition(".")[2], "text/plain")


def included(text: str) -> list[str]:
    """Names of the templates that one includes, without loading the template engine; perhaps more, never fewer."""
    return [name for _, name in _INCLUDE.findall(text)]


def lines_reading(text: str, field: tuple[str, ...]) -> list[int]:
    """Lines, from 1, on which a template reads a field, an object that holds it, or a part of it."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for inside in _CODE.findall(line):
            for chain in _CHAIN.findall(inside):
                path = tuple(chain.split("."))[1:]
                shorter = min(len(path), len(field))
                if shorter and path[:shorter] == field[:shorter]:
                    found.append(number)
    return sorted(set(found))
