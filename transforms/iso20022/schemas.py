"""XML Schema validation with the schemas that :mod:`transforms.iso20022.generate` built; findings without content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from lxml import etree

from bus import ConfigError, Finding
from transforms._xml import parser
from transforms.iso20022.names import namespace

if TYPE_CHECKING:
    from transforms.iso20022.stream import Segment

_FOLDER = Path(__file__).resolve().parent / "schemas"
_NAMESPACE = re.compile(r"(?<=['\s(])\{[^}'\s]+\}(?=[\w*])")
_VALUE_AFTER = re.compile(r"The value '.*' (?=is |has |exceeds |must |of )", re.DOTALL)
_VALUE_BEFORE = re.compile(r": '.*' is not a valid value", re.DOTALL)
_MOST_TEXT = 300


def available(message: str) -> bool:
    """Whether there is a schema for this message."""
    return (_FOLDER / f"{message}.xsd").is_file()


def source(message: str) -> etree._Element:
    """The schema of a message such as ``pain.001.001.09`` as it was built.

    Raises:
        ConfigError: ``VAL406`` when girobus has no schema of it.
    """
    path = _FOLDER / f"{message}.xsd"
    if not path.is_file():
        built = any(_FOLDER.glob("*.xsd"))
        hint = "set `validate: off` for it" if built else "build them: `python transforms/iso20022/generate.py`"
        raise ConfigError("VAL406", f"there is no XML Schema for `{message}`", hint=hint)
    return etree.parse(str(path), parser()).getroot()


_guards: dict[str, Lock] = {}
_compiling = Lock()


def schema(message: str) -> etree.XMLSchema:
    """The compiled schema of a message; see :func:`source`.

    One thread at a time compiles: with the first schema libxml2 makes the types that all schemas share. Two threads
    that did so at once had a schema refused, or their process ended by a segmentation fault while it validated.
    """
    with _compiling:
        return _compiled(message)


@cache
def _compiled(message: str) -> etree.XMLSchema:
    return etree.XMLSchema(source(message))


def violations(segment: Segment, message: str) -> Iterator[Finding]:
    """What a segment of a message breaks of its schema, ``VAL405`` each, with the line in the file.

    At the end :attr:`transforms.iso20022.stream.Segment.is_valid` tells whether nothing at all was found in it.
    """
    rules, guard = schema(message), _guards.setdefault(message, Lock())
    verdicts = []
    for document in segment.root.iter(f"{{{namespace(message)}}}Document"):
        with guard:  # the log is the schema's own: another thread that validates would empty it
            verdicts.append(rules.validate(document))
            log: Any = () if verdicts[-1] else tuple(rules.error_log)  # type: ignore[arg-type]  # the stubs do not know that it is a sequence
        for entry in log:
            if entry.line >= segment.own_from:
                line = entry.line + segment.line_offset
                yield Finding("VAL405", "error", f"line {line}", without_values(entry.message))
    segment.is_valid = bool(verdicts) and all(verdicts)


def is_valid(document: bytes, message: str) -> bool:
    """Whether a whole document keeps the schema of a message; :func:`violations` tell why not."""
    rules, guard = schema(message), _guards.setdefault(message, Lock())
    try:
        root = etree.fromstring(document, parser())
    except etree.XMLSyntaxError:
        return False
    with guard:
        return rules.validate(root)


def without_values(text: str) -> str:
    """The words of libxml2 without the content of the document that it quotes."""
    text = _NAMESPACE.sub("", text)
    text = _VALUE_AFTER.sub("The value ", text)
    text = _VALUE_BEFORE.sub(": The value is not a valid value", text)
    return " ".join(text.split())[:_MOST_TEXT]
