"""Parses the data description entries of a COBOL copybook (ISO/IEC 1989, data division) into a tree of items.

Understood are levels 01 to 49 and 77, PICTURE of X, A, 9, S, V, USAGE DISPLAY, BINARY (COMP, COMP-4, COMP-5) and
PACKED-DECIMAL (COMP-3), SIGN LEADING or TRAILING with SEPARATE, OCCURS with DEPENDING ON, REDEFINES. VALUE, JUSTIFIED,
INDEXED BY, KEY and levels 66 and 88 say nothing about bytes and are passed over. Everything else is refused: what is
not understood would shift all fields behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

_SEQUENCE = re.compile(r"(?:[0-9]{6}| {6})[ *\-/]|.{6}[*/]")
_CARD = re.compile(r".{71} [A-Z0-9]{8}")
_WORD = re.compile(r"""'[^']*'|"[^"]*"|[^\s,;]+""")
_PICTURE = re.compile(r"([XA9SV])(?:\(([0-9]{1,6})\))?")
_NAME = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,29}")
_USAGES = {
    "DISPLAY": "display",
    "BINARY": "binary",
    "COMP": "binary",
    "COMPUTATIONAL": "binary",
    "COMP-4": "binary",
    "COMPUTATIONAL-4": "binary",
    "COMP-5": "native",
    "COMPUTATIONAL-5": "native",
    "COMP-3": "packed",
    "COMPUTATIONAL-3": "packed",
    "PACKED-DECIMAL": "packed",
}
_PASSED_OVER = {"VALUE", "VALUES", "JUSTIFIED", "JUST", "BLANK", "INDEXED", "KEY", "ASCENDING", "DESCENDING", "GLOBAL"}
_CLAUSES = {"PIC", "PICTURE", "USAGE", "SIGN", "OCCURS", "REDEFINES", "LEADING", "TRAILING", *_USAGES, *_PASSED_OVER}
_LONGEST = 1_000_000
_MOST_ITEMS = 5_000
_DEEPEST = 49


class CopybookError(ValueError):
    """Something in a copybook is not understood; the message names the line."""


@dataclass
class Item:
    """One data description entry.

    Attributes:
        name: as written, upper case; ``FILLER`` for none.
        line: line in the copybook, from 1.
        kind: ``text``, ``number`` or ``group``.
        digits: digits of a number in all, ``scale`` of them behind the implied point.
        usage: how a number lies in its bytes; ``native`` is binary of the machine that wrote it (COMP-5).
        sign: where the sign of a DISPLAY number stands when it is a character of its own or leads.
        least, most: how often it occurs; ``depending`` names the item that tells how often.
        redefines: name of the item whose bytes it shares.
    """

    level: int
    name: str
    line: int
    kind: Literal["text", "number", "group"] = "group"
    length: int = 0
    digits: int = 0
    scale: int = 0
    signed: bool = False
    usage: str = ""
    sign: Literal["trailing", "leading", "trailing-separate", "leading-separate"] = "trailing"
    least: int = 1
    most: int = 1
    occurs: bool = False
    depending: str = ""
    redefines: str = ""
    children: list[Item] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Key in the body: lower case, ``_`` for ``-``; empty for filler."""
        return "" if self.name == "FILLER" else self.name.lower().replace("-", "_")

    def size(self) -> int:
        """Most bytes of one occurrence."""
        if self.kind != "group":
            return self.length
        total = widest = 0
        for child in self.children:
            whole = child.size() * child.most
            if child.redefines:
                widest = max(widest, whole)
            else:
                total, widest = total + widest, whole
        return total + widest

    def items(self) -> list[Item]:
        """Itself and everything below it."""
        return [self, *(found for child in self.children for found in child.items())]


def parse(text: str) -> list[Item]:
    """The record descriptions (level 01) of a copybook; entries of other levels at its top are one record.

    Raises:
        CopybookError: something is not understood.
    """
    roots: list[Item] = []
    stack: list[Item] = []
    count = 0
    for line, words in _sentences(text):
        if words[0] in ("66", "88") or not words[0].isdigit():
            if not words[0].isdigit():
                raise CopybookError(f"line {line}: a level number is missing")
            continue
        item = _entry(words, line)
        count += 1
        if count > _MOST_ITEMS:
            raise CopybookError(f"line {line}: over {_MOST_ITEMS} items")
        while stack and (item.level in (1, 77) or stack[-1].level >= item.level):
            stack.pop()
        if stack and stack[-1].kind != "group":
            raise CopybookError(f"line {line}: an item below one that has a picture")
        (stack[-1].children if stack else roots).append(item)
        stack.append(item)
    if not roots:
        raise CopybookError("line 1: no data description")
    if any(root.level not in (1, 77) for root in roots):
        record = Item(1, "RECORD", 1)
        record.children = roots
        roots = [record]
    for root in roots:
        _check(root, {}, root)
    return roots


def _sentences(text: str) -> list[tuple[int, list[str]]]:
    """Entries as (line on which they begin, words in upper case); literals stay as they are."""
    found: list[tuple[int, list[str]]] = []
    words: list[str] = []
    begin = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.expandtabs()
        if _SEQUENCE.match(line):
            if line[6] in "*/":
                continue
            line = line[6:72] if line[:6].isdigit() or _CARD.fullmatch(line) else line[6:]
        if line.lstrip().startswith("*"):
            continue
        for word in _WORD.findall(line):
            begin = begin if words else number
            ends = word.endswith(".") and word[0] not in "'\""
            cleaned = word.rstrip(".") if ends else word
            if cleaned:
                words.append(cleaned.upper() if cleaned[0] not in "'\"" else cleaned)
            if (ends or word == ".") and words:
                found.append((begin, words))
                words = []
    if words:
        raise CopybookError(f"line {begin}: the last entry has no period")
    return found


class _Words:
    """The words of an entry, one after the other."""

    def __init__(self, words: list[str], line: int) -> None:
        self._words = words
        self._at = 0
        self.line = line

    def peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def take(self, *noise: str) -> str:
        """The next word; words in ``noise`` before it are passed over."""
        while self.peek() in noise and self.peek():
            self._at += 1
        word = self.peek()
        if not word:
            raise CopybookError(f"line {self.line}: the entry ends too early")
        self._at += 1
        return word

    def skip(self, *words: str) -> None:
        """Pass over these where they stand next."""
        while self.peek() and self.peek() in words:
            self._at += 1

    def number(self) -> int:
        word = self.take()
        if not (word.isascii() and word.isdigit() and len(word) < 7):
            raise CopybookError(f"line {self.line}: a number is missing")
        return int(word)


def _entry(words: list[str], line: int) -> Item:
    rest = _Words(words, line)
    level = rest.number()
    if not (1 <= level <= _DEEPEST or level == 77):
        raise CopybookError(f"line {line}: a level number is 01 to 49 or 77")
    name = "FILLER"
    if rest.peek() and rest.peek() not in _CLAUSES:
        name = rest.take()
        if not _NAME.fullmatch(name):
            raise CopybookError(f"line {line}: no data name")
    item = Item(level, name, line)
    while rest.peek():
        _clause(item, rest)
    if item.kind == "number":
        item.length = _number_length(item)
    elif item.kind == "text" and item.usage not in ("", "display"):
        raise CopybookError(f"line {line}: a text has no binary usage")
    return item


def _clause(item: Item, rest: _Words) -> None:
    word = rest.take()
    if word in ("PIC", "PICTURE"):
        _picture(item, rest.take("IS"))
    elif word == "USAGE" or word in _USAGES:
        usage = rest.take("IS") if word == "USAGE" else word
        if usage not in _USAGES:
            raise CopybookError(f"line {item.line}: the usage {usage[:20]} is not read (floats and pointers are not)")
        item.usage = _USAGES[usage]
    elif word in ("SIGN", "LEADING", "TRAILING"):
        side = rest.take("IS") if word == "SIGN" else word
        if side not in ("LEADING", "TRAILING"):
            raise CopybookError(f"line {item.line}: SIGN is LEADING or TRAILING")
        separate = rest.peek() == "SEPARATE"
        rest.skip("SEPARATE", "CHARACTER")
        item.sign = f"{side.lower()}{'-separate' if separate else ''}"  # type: ignore[assignment]  # one of the four
    elif word == "OCCURS":
        _occurs(item, rest)
    elif word == "REDEFINES":
        item.redefines = rest.take()
    elif word in _PASSED_OVER:
        while rest.peek() and rest.peek() not in _CLAUSES:
            rest.take()
    else:
        raise CopybookError(f"line {item.line}: the clause {word[:20]} is not understood")


def _occurs(item: Item, rest: _Words) -> None:
    item.occurs = True
    item.least = item.most = rest.number()
    if rest.peek() == "TO":
        rest.skip("TO")
        item.most = rest.number()
    rest.skip("TIMES")
    if rest.peek() == "DEPENDING":
        rest.skip("DEPENDING")
        item.depending = rest.take("ON")


def _picture(item: Item, picture: str) -> None:
    spelled = [(c, int(n or 1)) for c, n in _PICTURE.findall(picture)]
    if "".join(f"{c}({n})" for c, n in spelled) != "".join(
        f"{c}({int(n or 1)})" for c, n in re.findall(r"(.)(?:\(([0-9]{1,6})\))?", picture)
    ):
        raise CopybookError(f"line {item.line}: the picture has characters that are not read (edited pictures are not)")
    letters = {c for c, _ in spelled}
    length = sum(n for c, n in spelled if c not in "SV")
    if not 0 < length <= _LONGEST:
        raise CopybookError(f"line {item.line}: the picture has no or too many characters")
    if letters <= {"X", "A", "9"} and letters & {"X", "A"}:
        item.kind, item.length = "text", length
        return
    shape = "".join(c * min(n, 2) for c, n in spelled)
    if not re.fullmatch("S?9*V?9*", shape) or length > 38:
        raise CopybookError(f"line {item.line}: no picture of a text or of a number of up to 38 digits")
    item.kind, item.digits, item.signed = "number", length, "S" in letters
    at = next((i for i, (c, _) in enumerate(spelled) if c == "V"), len(spelled))
    item.scale = sum(n for c, n in spelled[at:] if c == "9")


def _number_length(item: Item) -> int:
    if item.usage == "packed":
        return item.digits // 2 + 1
    if item.usage in ("binary", "native"):
        if item.digits > 18:
            raise CopybookError(f"line {item.line}: a binary number has at most 18 digits")
        return 2 if item.digits <= 4 else 4 if item.digits <= 9 else 8
    return item.digits + item.sign.endswith("separate")


def _check(item: Item, above: dict[str, Item], root: Item) -> None:
    """Usages and signs come down from groups; REDEFINES and DEPENDING ON name something that stands before."""
    if item.kind == "group" and not item.children:
        raise CopybookError(f"line {item.line}: {item.name} has neither a picture nor items below it")
    before: dict[str, Item] = {}
    for child in item.children:
        if not child.usage and item.usage:
            child.usage = item.usage
            child.length = _number_length(child) if child.kind == "number" else child.length
        if item.kind == "group" and child.sign == "trailing" and item.sign != "trailing":
            child.sign = item.sign
            child.length = _number_length(child) if child.kind == "number" else child.length
        if child.redefines and (child.redefines not in before or child.depending):
            raise CopybookError(f"line {child.line}: REDEFINES names an item of the same group that stands before")
        if child.depending and child.depending not in {**above, **before}:
            raise CopybookError(f"line {child.line}: DEPENDING ON names a number that stands before")
        if child.least > child.most or not child.most:
            raise CopybookError(f"line {child.line}: OCCURS from more to less")
        twice = child.key and any(other.key == child.key for other in before.values())
        if twice:
            raise CopybookError(f"line {child.line}: {child.name} stands twice in its group")
        _check(child, {**above, **before}, root)
        before |= {found.name: found for found in child.items() if found.name != "FILLER"}
    if item is root and item.size() > _LONGEST:
        raise CopybookError(f"line {item.line}: a record of over {_LONGEST} bytes")
