"""Records read by their shape: files repeat a few arrangements of elements, so each is worked out once.

The :class:`Node` tree of a shape tells which value of a record stands where. Looking up a path, which costs ten
times more than reading the value, is done once a shape; then a record is one tuple of values.

A record that is text is matched with the regular expression of a known shape. It is made of a record that libxml2 took
and repeats its tags and all that stands between them letter by letter; only values may differ. So the match is an exact
reading of plain XML (:mod:`transforms._plain_xml`), in which every ``<`` begins a tag; and a stretch of such records is
well-formed when its values are text of XML, see :func:`transforms._xml.is_text`. All other records are walked, element
by element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from threading import Lock
from typing import Any, NamedTuple

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
    """A record in a text, and where its first tag begins."""

    node: Node
    values: Values
    begin: int


_Shape = tuple[Callable[[str, int], re.Match[str] | None], Node]
"""What matches the record, with its end tag, that begins at a place of a text, and its tree."""


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
        return (known[0], _decoded(known[1].groups())) if known is not None else None

    def all_of(self, text: str, *, learn: bool) -> list[Found] | None:
        """The records of a text that has nothing else; None when some are of shapes not known, or not to be learned.

        Only what was parsed may be learned from.
        """
        found: list[Found] = []
        position, end, decode = 0, len(text), "&" in text
        while position < end and self._luck >= 0:
            begin = text.find("<", position)
            known = self._match(text, position)
            if known is None and learn and begin >= 0 and self._start.match(text, begin):
                learned = self._learn(text[begin : text.find(self._end, begin)])
                known = self._match(text, position) if learned else None
            if known is None or known[1].end() - position > _LONGEST:
                return None
            node, match = known
            found.append(Found(node, _decoded(match.groups()) if decode else match.groups(), begin))
            position = match.end()
        return found if position == end else None

    def _match(self, text: str, position: int) -> tuple[Node, re.Match[str]] | None:
        for shape in self._known:
            found = shape[0](text, position)
            if found is not None:
                if shape is not self._known[0]:
                    self._put_first(shape)
                    self._luck += 1
                return shape[1], found
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
        self._pattern: list[str] = []
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
            self._pattern.append("([^<]*+)" if is_leaf else re.escape(between))
            if not (self._end(tag, leaf=is_leaf) if ends else self._begin(tag)):
                return None
            may_be_leaf = not ends and not tag["empty"]
            position = tag.end()
        rest = text[position:]
        if self._root is None or self._stack != [self._root] or rest.strip(_SPACE):
            return None
        pattern = re.compile(rf"[ \t\n]*+{''.join(self._pattern)}{re.escape(rest + end)}()")
        return pattern.match, self._root

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
        attributes = self._attributes(tag["attributes"], node)
        if attributes is None:
            return False
        self._pattern.append(f"<{re.escape(tag['name'])}{attributes}{re.escape(tag['rest'])}")
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
        self._pattern.append(re.escape(tag[0]))
        return True

    def _attributes(self, text: str, node: Node) -> str | None:
        """Pattern for the attributes of a start tag; None where one has a prefix or declares a namespace."""
        pattern, position = "", 0
        for found in _ATTRIBUTE.finditer(text):
            name, quote = found[1], found[2]
            if ":" in name or name == "xmlns":
                return None
            node.attributes[name] = self._values
            self._values += 1
            # Line ends and tabs in an attribute are spaces (XML 1.0 §3.3.3), so those are not read here.
            pattern += rf"{re.escape(text[position : found.end(2)])}([^{quote}<\t\n]*+)"
            position = found.end() - 1
        return pattern + re.escape(text[position:])
