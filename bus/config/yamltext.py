"""YAML text -> plain strings with line and column, with everything refused that makes YAML surprising.

Every scalar stays the string that was written: ``NO`` is no False, ``0012345`` no number, ``22:22`` no 1342. Tags,
anchors, aliases, duplicate keys, several documents, depth over 64 and files over 1 MB are errors. The parser's events
are read one by one into a stack, so that no input makes it recurse.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from bus.config.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 1_000_000
MOST_DEPTH = 64
_TOO_DEEP = (f"nested deeper than {MOST_DEPTH} levels", "no route needs that: flatten it")
MOST_PROBLEMS = 100
"""Problems reported of one file; a file with more is not what it claims to be."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# C0/C1 controls (YAML 1.2 §5.1 leaves out all but tab, line feed, carriage return, NEL), byte order marks inside the
# text, and the bidirectional overrides that make a line read differently from what it says (CVE-2021-42574).
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What ends a line in YAML 1.1, so that our line numbers are the parser's."""


class Node:
    """One value of a file: a string, or a list or mapping of nodes; ``keys`` are the nodes of a mapping's keys."""

    __slots__ = ("event", "keys", "value")

    def __init__(self, event: Any, value: str | list[Node] | dict[str, Node]) -> None:
        self.event = event
        self.value = value
        self.keys: dict[str, Node] = {}

    @property
    def line(self) -> int:
        """From 1."""
        return int(self.event.start_mark.line) + 1

    @property
    def column(self) -> int:
        """From 1."""
        return int(self.event.start_mark.column) + 1

    @property
    def start(self) -> int:
        """Offset in the text."""
        return int(self.event.start_mark.index)

    @property
    def end(self) -> int:
        """Offset behind a string, or behind the first character of a collection."""
        return int(self.event.end_mark.index) if isinstance(self.value, str) else self.start + 1

    @property
    def style(self) -> str:
        """The quote or block sign in front of a string: one of ``' " | >``, or nothing."""
        return getattr(self.event, "style", None) or ""

    def data(self) -> Any:
        """Plain dicts, lists and strings. Recurses at most as deep as the file may be nested."""
        value = self.value
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return [item.data() for item in value]
        return {key: item.data() for key, item in value.items()}

    def find(self, loc: tuple[str | int, ...]) -> tuple[Node, Node | None]:
        """The node at a place and the node of the key it stands under; what the file does not say is skipped."""
        node, key = self, None
        for part in loc:
            value = node.value
            if isinstance(value, dict) and part in value:
                node, key = value[str(part)], node.keys[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                node, key = value[part], None
        return node, key

    def scalars(self, under: str = "") -> Iterator[tuple[str, Node]]:
        """All strings below, in no order, each with the nearest key above it."""
        todo: list[tuple[str, Node]] = [(under, self)]
        while todo:
            under, node = todo.pop()
            value = node.value
            if isinstance(value, str):
                yield under, node
            elif isinstance(value, list):
                todo += [(under, item) for item in value]
            else:
                todo += value.items()

    def problem(self, code: str, path: str, message: str, *, shift: int = 0, **more: Any) -> Problem:
        """A problem at this place, or ``shift`` characters behind it."""
        written = len(LINE_BREAK.split(self.value)[0]) if isinstance(self.value, str) else 1
        more.setdefault("length", max(1, min(written, self.end - self.start)))
        severity = more.pop("severity", "error")
        return Problem(code, severity, path, self.line, self.column + shift, message, **more)


# ---------------------------------------------------------------- file -> text


def read_text(file: Path, path: str) -> tuple[str, Problem | None]:
    """The text of a file, or the problem that keeps it from being read; ``path`` is how problems call the file."""
    try:
        if not file.is_file():
            return "", Problem("CFG182", "error", path, 0, 0, "not a regular file")
        with file.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        return "", Problem("CFG182", "error", path, 0, 0, f"cannot be read: {error.strerror}", "check its permissions")
    return decode(raw, path)


def decode(raw: bytes, path: str) -> tuple[str, Problem | None]:
    """Bytes -> text, refusing what is too big, no UTF-8 or has invisible control characters."""
    if len(raw) > MOST_BYTES:
        return "", Problem("CFG180", "error", path, 0, 0, "larger than 1 MB", "split it into smaller files")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", Problem("CFG181", "error", path, 1, 1, "written in UTF-16", "save it as UTF-8")
    raw = raw.removeprefix(codecs.BOM_UTF8)  # not by the codec: its errors would tell places behind the mark
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = len(raw[raw.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        return "", Problem("CFG181", "error", path, line, column, "not UTF-8 from here on", "save it as UTF-8")
    found = _FORBIDDEN.search(text)
    if found:
        before = LINE_BREAK.split(text[: found.start()])
        name = f"U+{ord(found[0]):04X}"
        problem = Problem(
            "CFG181", "error", path, len(before), len(before[-1]) + 1,
            f"the invisible control character {name} stands here", "delete it",
        )  # fmt: skip
        return "", problem
    return text, None


# ---------------------------------------------------------------- text -> nodes


def parse(text: str, path: str) -> tuple[Node | None, list[Problem]]:
    """The root node of a text and all that is wrong with it as YAML; None when nothing can be made of it."""
    reader = _Reader(path)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            reader.take(event)
            if reader.stopped or len(reader.problems) > MOST_PROBLEMS:
                return None, reader.problems
    except yaml.YAMLError as error:
        return None, [*reader.problems, _syntax(error, path, text)]
    if reader.root is None or reader.root.value == "":
        return None, [*reader.problems, Problem("CFG189", "error", path, 1, 1, "the file is empty")]
    return reader.root, reader.problems


class _Reader:
    """Builds nodes from events; ``stack`` has the open collections, each with the key that waits for its value."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.stopped = False
        self._stack: list[tuple[Node, list[Node]]] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                self._refuse(event)
            self._put(Node(event, event.value))
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._open(event, {} if kind is MappingStartEvent else [])
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._stack.pop()
        elif kind is AliasEvent:
            self._refuse(event)
            self._put(Node(event, ""))
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents == 2:
                message = "a second YAML document begins here"
                self._say("CFG187", event, message, "one file, one document: move it to a file of its own")
                self.stopped = True

    def _open(self, event: Any, value: list[Node] | dict[str, Node]) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse(event)
        node = Node(event, value)
        self._put(node)
        self._stack.append((node, []))
        if len(self._stack) > MOST_DEPTH:
            self._say("CFG183", event, *_TOO_DEEP)
            self.stopped = True

    def _put(self, node: Node) -> None:
        if not self._stack:
            self.root = self.root or node
            return
        parent, waiting = self._stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif isinstance(parent.value, dict):
            if waiting:
                self._pair(parent, parent.value, waiting.pop(), node)
            else:
                waiting.append(node)

    def _pair(self, parent: Node, pairs: dict[str, Node], key: Node, node: Node) -> None:
        if not isinstance(key.value, str):
            message = "a key must be a plain word"
            hint = "put quotes around text that begins with `{` or `[`"
            self.problems.append(key.problem("CFG188", self.path, message, hint=hint))
        elif key.value in pairs:
            message = f"the key `{shorten(key.value)}` stands twice"
            hint = f"first in line {parent.keys[key.value].line}; keep one"
            self.problems.append(key.problem("CFG184", self.path, message, hint=hint))
        else:
            pairs[key.value] = node
            parent.keys[key.value] = key

    def _refuse(self, event: Any) -> None:
        quoted = "write the value out; text that begins with this character needs quotes"
        if isinstance(event, AliasEvent) or event.anchor is not None:
            sign = "an alias (`*`)" if isinstance(event, AliasEvent) else "an anchor (`&`)"
            self._say("CFG185", event, f"{sign} is not allowed here", quoted)
        if getattr(event, "tag", None) is not None:
            self._say("CFG186", event, "a tag (`!`) is not allowed here", quoted)

    def _say(self, code: str, event: Any, message: str, hint: str) -> None:
        mark = event.start_mark
        self.problems.append(Problem(code, "error", self.path, mark.line + 1, mark.column + 1, message, hint))


_SYNTAX_HINTS = (
    ("mapping values are not allowed", "put quotes around text that contains `: `, or check the indentation"),
    ("could not find expected ':'", "a key needs `:` and a space behind it"),
    ("did not find expected key", "check the indentation, and quotes that close too early"),
    ("did not find expected", "a bracket, a comma or a value is missing before this place"),
    ("block sequence entries are not allowed", "begin the list on a line of its own"),
    ("unexpected end of stream", "a quote is not closed"),
)


def _syntax(error: yaml.YAMLError, path: str, text: str) -> Problem:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is None:
        return Problem("CFG100", "error", path, 1, 1, "this is no YAML text")
    line, column, here = mark.line + 1, mark.column + 1, text[mark.index : mark.index + 1]
    what = getattr(error, "problem", "") or "not understood"
    if "nesting depth" in what:  # the parser looks ahead and has a limit of its own
        return Problem("CFG183", "error", path, line, column, *_TOO_DEEP)
    if "tag" in what:
        return Problem("CFG186", "error", path, line, column, "a tag (`!`) is not allowed here", "put quotes around it")
    if here == "\t":
        return Problem(
            "CFG100", "error", path, line, column, "a tab stands here", "indent with spaces: YAML has no tabs"
        )
    if "cannot start any token" in what:
        message = f"text cannot begin with `{shorten(here)}` in YAML"
        return Problem("CFG100", "error", path, line, column, message, "put quotes around it")
    hint = next((hint for sign, hint in _SYNTAX_HINTS if sign in what), "")
    return Problem("CFG100", "error", path, line, column, f"this is no YAML: {what}", hint)


def shorten(text: str, most: int = 40) -> str:
    """Text of an operator for a message: printable, and not longer than ``most``."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"
