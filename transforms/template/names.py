"""What the name of a template says of its output, and which templates a text includes."""

from __future__ import annotations

import re

_INCLUDE = re.compile(r"\{%[-+]?\s*include\s+(['\"])([^'\"]{1,200})\1")
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
