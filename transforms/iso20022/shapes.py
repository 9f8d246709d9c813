"""Records read by their shape: files repeat a few arrangements of elements, so each is worked out once.

The :class:`Node` tree of a shape tells which value of a record stands where. Looking up a path, which costs ten
times more than reading the value, is done once a shape; then a record is one tuple of values. A record that is text is
matched with the regular expression of a known shape, which is an exact reading because the stretch it stands in was
parsed and is plain (:mod:`transforms._plain_xml`): every ``<`` in it begins a tag. All other records are walked,
element by element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from lxml import etree

from transforms._xml import MOST_DEPTH, line_of, too_deep

Values = Sequence[str]
"""Texts and attributes of one record in the order of the document; the last, always empty, stands for absent."""

_ABSENT = -1
_LONGEST = 16_384
_MOST_TAGS = 400
_MOST_PATTERNS = 48
_MOST_SHAPES = 2_000
_LUCK = 2_000
_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[\w.:-]++)(?P<attributes>(?:\s++[\w.:-]++\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+'))*+)\s*+(?P<empty>/?)>"
)
_ATTRIBUTE = re.compile(r"\s++([\w.:-]++)\s*+=\s*+([\"'])")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));")


class Node:
    """One element of a shape: its name, children, and the positions of its text and attributes among the values.

    ``plan`` is where a reader keeps what it worked out for this shape.
    """

    __slots__ = ("attributes", "children", "name", "plan", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = _ABSENT
        self.attributes: dict[str, int] = {}
        self.children: list[Node] = []
        self.plan: Any = None

    def all(self, path: str) -> list[Node]:
        """All elements below that the path ``A/B`` leads to, in order."""
        found = [self]
        for name in path.split("/"):
            found = [child for node in found for child in node.children if child.name == name]
        return found

    def index(self, path: str) -> int:
        """Position of the value that ``A/B``, ``A/B@attribute`` or the first that exists of ``A|B/C`` leads to."""
        for way in path.split("|"):
            steps, _, attribute = way.partition("@")
            for node in self.all(steps) if steps else [self]:
                index = node.attributes.get(attribute, _ABSENT) if attribute else node.text
                if index != _ABSENT:
                    return index
        return _ABSENT

    def leaves(self, at: str = "") -> Iterator[str]:
        """Paths of all elements below that have a text, some more than once."""
        for child in self.children:
            path = f"{at}/{child.name}" if at else child.name
            if child.text != _ABSENT:
                yield path
            yield from child.leaves(path)

    def columns(self, *paths: str) -> Callable[[Values], tuple[str, ...]]:
        """A function that picks the values of these paths (two or more) out of a record; empty text where absent."""
        return itemgetter(*(self.index(path) for path in paths))


class Shapes:
    """The shapes of one file's records, known so far."""

    def __init__(self, record: str, depth: int) -> None:
        """For records spelled ``record`` (with the file's prefix) that stand ``depth`` levels deep."""
        self._prefix = record.partition(":")[0] + ":" if ":" in record else ""
        self._depth = depth
        self._start = re.compile(rf"<{re.escape(record)}(?=[\s>])")
        self._patterns: list[tuple[Callable[..., re.Match[str] | None], Node]] = []
        self._walked: dict[tuple[Any, ...], Node] = {}
        self._luck = _LUCK

    def read(self, text: str) -> tuple[Node, Values] | None:
        """One record from its text, which may have something of the elements before it, up to its own end tag.

        None when it has to be read from the parsed tree.
        """
        if self._luck < 0:
            return None
        known = self._known(text)
        if known is None and (begin := self._start.search(text)):
            # The head of a container may stand before its first record.
            known = self._known(text[begin.start() :]) or self._learned(text[begin.start() :])
        return known

    def all_of(self, texts: Sequence[str]) -> list[tuple[Node, Values]] | None:
        """Records from their texts as :meth:`read`, all of them or none; nothing else may stand before a record."""
        found = []
        for text in texts:
            known = self._known(text) if self._luck >= 0 and len(text) <= _LONGEST else None
            if known is None and self._luck >= 0 and self._start.match(text, len(text) - len(text.lstrip())):
                known = self._learned(text)
            if known is None:
                return None
            found.append(known)
        return found

    def _known(self, text: str) -> tuple[Node, Values] | None:
        for number, (match, node) in enumerate(self._patterns):
            found = match(text)
            if found:
                if number:
                    self._patterns.insert(0, self._patterns.pop(number))
                    self._luck += 1
                return node, _decoded(found.groups(), text)
        return None

    def _learned(self, text: str) -> tuple[Node, Values] | None:
        if len(self._patterns) >= _MOST_PATTERNS:
            self._luck -= 1  # shapes that never repeat are not looked for for ever
            return None
        learned = _Learner(self._prefix, self._depth).learn(text) if len(text) <= _LONGEST else None
        if learned is None:
            return None
        self._patterns.insert(0, learned)
        return self._known(text)

    def is_one(self, text: str) -> bool:
        """Whether a text that was cut at the record's end tag is that of exactly one record."""
        return len(self._start.findall(text)) == 1

    def walk(self, element: etree._Element, apart: str = "") -> tuple[Node, Values, list[etree._Element]]:
        """One record, or the head of a container, from the parsed tree; elements named ``apart`` are listed instead."""
        walker = _Walker(apart)
        root = walker.walk(element, self._depth)
        walker.values.append("")
        key = tuple(walker.key)
        if len(key) > 4 * _MOST_TAGS:
            return root, walker.values, walker.apart
        known = self._walked.get(key)
        if known is None:
            if len(self._walked) >= _MOST_SHAPES:
                self._walked.clear()
            self._walked[key] = known = root
        return known, walker.values, walker.apart


class _Walker:
    """Makes shape and values of an element; children of another namespace are no part of the message and left out."""

    def __init__(self, apart: str = "") -> None:
        self.values: list[str] = []
        self.key: list[Any] = []
        self.apart: list[etree._Element] = []
        self._apart = apart

    def walk(self, element: etree._Element, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise too_deep(line_of(element))
        space, _, name = str(element.tag).rpartition("}")
        node = Node(name)
        self.key.append(name)
        for attribute, value in element.attrib.items():
            node.attributes[str(attribute)] = len(self.values)
            self.key.append(f"@{attribute!s}")
            self.values.append(str(value))
        is_leaf = True
        for child in element.iterchildren(tag=etree.Element):
            is_leaf = False
            inner_space, _, inner = str(child.tag).rpartition("}")
            if inner_space != space:
                continue
            if inner == self._apart:
                self.apart.append(child)
            else:
                node.children.append(self.walk(child, depth + 1))
        if is_leaf:
            node.text = len(self.values)
            self.values.append(element.text or "")
        self.key.append(None)
        return node


def walk(element: etree._Element) -> tuple[Node, Values]:
    """One element that is read only once in a file, such as a group header."""
    walker = _Walker()
    root = walker.walk(element, 1)
    walker.values.append("")
    return root, walker.values


def _decoded(values: tuple[str, ...], text: str) -> Values:
    if "&" not in text:
        return values
    return [_entities(value) if "&" in value else value for value in values]


def _entities(value: str) -> str:
    if "&#" in value:
        value = _REFERENCE.sub(lambda m: chr(int(m[1], 16) if m[1] else int(m[2])).replace("&", "&amp;"), value)
    value = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
    return value.replace("&amp;", "&")


class _Learner:
    """Works out the shape of one record from its text, and the pattern that matches exactly the texts of that shape."""

    def __init__(self, prefix: str, depth: int) -> None:
        self._prefix = prefix
        self._deepest = MOST_DEPTH - depth
        self._pattern: list[str] = []
        self._values = 0
        self._stack: list[Node] = []
        self._root: Node | None = None

    def learn(self, text: str) -> tuple[Callable[..., re.Match[str] | None], Node] | None:
        """None for a text that is not exactly one record, or has something that no pattern should be made for."""
        position = 0
        may_be_leaf = False
        for tag in _TAG.finditer(text):
            between = text[position : tag.start()]
            ends = bool(tag["end"])
            if "<" in between or not ((ends and may_be_leaf) or not between.strip()):
                return None
            if not (self._end(tag, leaf=may_be_leaf) if ends else self._begin(tag)):
                return None
            may_be_leaf = not ends and not tag["empty"]
            position = tag.end()
        if self._root is None or self._stack != [self._root] or text[position:].strip():
            return None
        return re.compile("".join(self._pattern) + r"\s*+()").fullmatch, self._root

    def _begin(self, tag: re.Match[str]) -> bool:
        name = tag["name"].removeprefix(self._prefix)
        if ":" in name or len(self._stack) >= self._deepest or len(self._pattern) > 2 * _MOST_TAGS:
            return False
        node = Node(name)
        if self._stack:
            self._stack[-1].children.append(node)
        elif self._root is None:
            self._root = node
        else:
            return False
        attributes = self._attributes(tag["attributes"], node)
        if attributes is None:
            return False
        self._pattern.append(rf"\s*+<{re.escape(tag['name'])}{attributes}\s*+{tag['empty']}>")
        if not tag["empty"]:
            self._stack.append(node)
        return True

    def _end(self, tag: re.Match[str], *, leaf: bool) -> bool:
        if len(self._stack) < 2 or self._stack[-1].name != tag["name"].removeprefix(self._prefix):
            return False
        node = self._stack.pop()
        if leaf:
            node.text = self._values
            self._values += 1
        self._pattern.append(("([^<]*+)" if leaf else r"\s*+") + rf"</{re.escape(tag['name'])}\s*+>")
        return True

    def _attributes(self, text: str, node: Node) -> str | None:
        """Pattern for the attributes of a start tag; None where one has a prefix or declares a namespace."""
        parts = []
        for found in _ATTRIBUTE.finditer(text):
            name, quote = found[1], found[2]
            if ":" in name or name == "xmlns":
                return None
            node.attributes[name] = self._values
            self._values += 1
            parts.append(rf"\s++{re.escape(name)}\s*+=\s*+{quote}([^{quote}<]*+){quote}")
        return "".join(parts)
