"""Records read by their shape: files repeat a few arrangements of elements, so each is worked out once.

The :class:`Node` tree of a shape tells which value of a record stands where. Looking up a path, which costs ten
times more than reading the value, is done once a shape; then a record is one tuple of values.

A record that is text is matched with the regular expression of a known shape. It is made of a record that libxml2 took
and repeats its tags and all that stands between them letter by letter; only values may differ. So the match is an exact
reading of plain XML (:mod:`transforms._plain_xml`), in which every ``<`` begins a tag; and a stretch of such records is
well-formed when its values are text of XML, see :func:`transforms._xml.is_text`. It even keeps the XML Schema when the
shapes were learned from valid records, so that the elements are right, and each value is one of its type
(:mod:`transforms.iso20022.typed`). All other records are walked, element by element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from threading import Lock
from typing import Any, NamedTuple

from lxml import etree

from transforms._xml import MOST_DEPTH, line_of, too_deep
from transforms.iso20022.model import Type
from transforms.iso20022.typed import Value, pattern

Values = Sequence[str]
"""Texts and attributes of one record in the order of the document; the last, always empty, stands for absent."""

_ABSENT = -1
_LONGEST = 16_384
_MOST_TAGS = 400
_MOST_PATTERNS = 48
_MOST_SHAPES = 2_000
_LUCK = 2_000
_SPACE = " \t\n"
_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[\w.:-]++)"
    r"(?P<attributes>(?:[ \t\n]++[\w.:-]++[ \t\n]*+=[ \t\n]*+(?:\"[^\"<]*+\"|'[^'<]*+'))*+)"
    r"(?P<rest>[ \t\n]*+(?P<empty>/?)>)"
)
_ATTRIBUTE = re.compile(r"([\w.:-]++)[ \t\n]*+=[ \t\n]*+([\"']).*?\2", re.DOTALL)
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


class Found(NamedTuple):
    """A record in a text, where its first tag begins, and how many line ends stand before that."""

    node: Node
    values: Values
    begin: int
    lines: int


_Match = Callable[[str, int], re.Match[str] | None]
"""Matches the record, with its end tag, that begins at a place of a text."""


class _Shape:
    """One shape: its tree and what matches its records, or those of them that keep the XML Schema."""

    def __init__(self, node: Node, pieces: Sequence[str | Value]) -> None:
        self.node = node
        self.match: _Match = pattern(pieces).match  # type: ignore[union-attr]  # without types there always is one
        self._pieces = pieces
        self._right: _Match | None = None
        self._is_tried = False

    def right(self, record: Type) -> _Match | None:
        """What matches only values that are right by the type of the record; None when that is left to libxml2."""
        if not self._is_tried:
            found = pattern(self._pieces, record)
            self._right, self._is_tried = found.match if found is not None else None, True
        return self._right


class _Matched(NamedTuple):
    """The shape of a record that was matched, the match, and what may match the next one too."""

    node: Node
    record: re.Match[str]
    again: _Match


class Shapes:
    """The shapes of one file's records, known so far; one thread may match while another one learns."""

    def __init__(self, record: str, depth: int) -> None:
        """For records spelled ``record`` (with the file's prefix) that stand ``depth`` levels deep."""
        self._prefix = record.partition(":")[0] + ":" if ":" in record else ""
        self._depth = depth
        self._start = re.compile(rf"<{re.escape(record)}(?=[\s>])")
        self._end = f"</{record}>"
        self._known: tuple[_Shape, ...] = ()
        self._guard = Lock()
        self._walked: dict[tuple[Any, ...], Node] = {}
        self._luck = _LUCK

    def read(self, text: str) -> tuple[Node, Values] | None:
        """One record from its text, which may have something of the elements before it, up to its own end tag.

        None when it has to be read from the parsed tree.
        """
        if self._luck < 0:
            return None
        whole = text + self._end
        known = self._match(whole, 0)
        if known is None and (begin := self._start.search(text)):
            # The head of a container may stand before its first record.
            start = begin.start()
            known = self._match(whole, start) or (self._match(whole, start) if self._learn(text[start:]) else None)
        if known is None:
            return None
        return known.node, _decoded(known.record.groups())

    def learned(self, text: str) -> list[Found] | None:
        """The records of a text that has nothing else and was parsed, perhaps of new shapes; None when it is not so."""

        def match(position: int) -> _Matched | None:
            known = self._match(text, position)
            begin = text.find("<", position)
            if known is not None or begin < 0 or not self._start.match(text, begin):
                return known
            return self._match(text, position) if self._learn(text[begin : text.find(self._end, begin)]) else None

        return self._all(text, match)

    def known(self, text: str, record: Type | None = None) -> list[Found] | None:
        """The records of a text that has nothing else, was not parsed and need not be; None when it has to be.

        With the type of a ``record`` they keep the XML Schema too, if all that was learned from does.
        """
        return self._all(text, lambda position: self._match(text, position, record))

    def _all(self, text: str, match: Callable[[int], _Matched | None]) -> list[Found] | None:
        found: list[Found] = []
        position, end, decode = 0, len(text), "&" in text
        before, lines = 0, 0
        known: _Matched | None = None
        while position < end and self._luck >= 0:
            # Most often the next record has the shape of the one before.
            record = known.again(text, position) if known is not None else None
            if known is None or record is None:
                known = match(position)
                if known is None:
                    return None
                record = known.record
            if record.end() - position > _LONGEST:
                return None
            values = record.groups()
            begin = text.find("<", position)
            lines, before = lines + text.count("\n", before, begin), begin
            found.append(Found(known.node, _decoded(values) if decode else values, begin, lines))
            position = record.end()
        return found if position == end else None

    def _match(self, text: str, position: int, record: Type | None = None) -> _Matched | None:
        for shape in self._known:
            match = shape.match if record is None else shape.right(record)
            found = match(text, position) if match is not None else None
            if match is not None and found is not None:
                if shape is not self._known[0]:
                    self._put_first(shape)
                    self._luck += 1
                return _Matched(shape.node, found, match)
        return None

    def _put_first(self, shape: _Shape) -> None:
        with self._guard:
            self._known = (shape, *(one for one in self._known if one is not shape))

    def _learn(self, text: str) -> bool:
        """Learn the shape of a record, given up to its end tag; false when no pattern can be made for it."""
        if len(self._known) >= _MOST_PATTERNS:
            self._luck -= 1  # shapes that never repeat are not looked for for ever
            return False
        learned = _Learner(self._prefix, self._depth).learn(text, self._end) if len(text) <= _LONGEST else None
        if learned is not None:
            self._put_first(learned)
        return learned is not None

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


def _decoded(values: tuple[str, ...]) -> Values:
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
        self._pieces: list[str | Value] = [r"[ \t\n]*+"]
        self._tags = 0
        self._values = 0
        self._stack: list[Node] = []
        self._root: Node | None = None

    def learn(self, text: str, end: str) -> _Shape | None:
        """From a text without the tag that ends it; None when that is not exactly one record, or none for a pattern."""
        position = 0
        may_be_leaf = False
        for tag in _TAG.finditer(text):
            between = text[position : tag.start()]
            ends = bool(tag["end"])
            is_leaf = ends and may_be_leaf
            if "<" in between or (between.strip(_SPACE) and not is_leaf):
                return None
            self._pieces.append(Value(self._path(), "", "<") if is_leaf else re.escape(between))
            if not (self._end(tag, leaf=is_leaf) if ends else self._begin(tag)):
                return None
            may_be_leaf = not ends and not tag["empty"]
            position = tag.end()
        rest = text[position:]
        if self._root is None or self._stack != [self._root] or rest.strip(_SPACE):
            return None
        return _Shape(self._root, [*self._pieces, re.escape(rest + end)])

    def _path(self) -> str:
        return "/".join(node.name for node in self._stack[1:])

    def _begin(self, tag: re.Match[str]) -> bool:
        name = tag["name"].removeprefix(self._prefix)
        self._tags += 1
        if ":" in name or len(self._stack) >= self._deepest or self._tags > _MOST_TAGS:
            return False
        node = Node(name)
        if self._stack:
            self._stack[-1].children.append(node)
        elif self._root is None:
            self._root = node
        else:
            return False
        self._stack.append(node)
        self._pieces.append(f"<{re.escape(tag['name'])}")
        if not self._attributes(tag["attributes"], node):
            return False
        self._pieces.append(re.escape(tag["rest"]))
        if tag["empty"]:
            self._stack.pop()
        return True

    def _end(self, tag: re.Match[str], *, leaf: bool) -> bool:
        if len(self._stack) < 2 or self._stack[-1].name != tag["name"].removeprefix(self._prefix):
            return False
        node = self._stack.pop()
        if leaf:
            node.text = self._values
            self._values += 1
        self._pieces.append(re.escape(tag[0]))
        return True

    def _attributes(self, text: str, node: Node) -> bool:
        """Take the attributes of a start tag; false where one has a prefix or declares a namespace."""
        position = 0
        for found in _ATTRIBUTE.finditer(text):
            name, quote = found[1], found[2]
            if ":" in name or name == "xmlns":
                return False
            node.attributes[name] = self._values
            self._values += 1
            self._pieces += [re.escape(text[position : found.end(2)]), Value(self._path(), name, quote)]
            position = found.end() - 1
        self._pieces.append(re.escape(text[position:]))
        return True
