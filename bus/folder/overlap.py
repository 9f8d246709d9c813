"""Whether two sources would take the same file: a name that the patterns of both match, found exactly.

The patterns are walked at once, one more character at a time, so that the first name that is found is one of the
shortest. Only characters are tried that some pattern can tell from the others.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from bus.folder.port import name_problem
from bus.folder.words import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bus.folder.words import PickupSpec

_PIECE = re.compile(r"\[!?+\]?+[^\]]*\]|.", re.DOTALL)
"""A set of characters, or one character. As in ``fnmatch``, a ``[`` that is never closed means itself."""
_HEAD = re.compile(r"[^*?\[]*")
_NEVER_TAKEN = ("", "*[. ]")
"""Names that :func:`bus.folder.port.name_problem` refuses as a whole, as patterns."""


def head(match: str) -> str:
    """What all names that match begin with."""
    return str(_HEAD.findall(match)[0])


def shared_name(one: PickupSpec, other: PickupSpec) -> str:
    """A name that both sources would take, one of the shortest; empty when there is none.

    Markers do not part them, a file can have two. Endings of files that are still being written do.
    """
    first, second = _pieces(one.match), _pieces(other.match)
    if _differ(first, second) or _differ(first[::-1], second[::-1]):  # so do most patterns of one folder
        return ""
    return _shortest(one.match, other.match, frozenset([*_NEVER_TAKEN, *_refused(one), *_refused(other)]))


@lru_cache(maxsize=4096)
def _pieces(match: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(match))


def _differ(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two patterns want different characters at one place before anything may follow."""
    for piece, beside in zip(one, other, strict=False):
        if piece != beside and len(piece) == len(beside) == 1 and not {piece, beside} & {"*", "?"}:
            return True
        if "*" in (piece, beside):
            return False
    return False


def _refused(spec: PickupSpec) -> Iterator[str]:
    """Patterns of what this source leaves alone, although its own may match."""
    if not spec.match.startswith("."):
        yield ".*"
    if spec.ready.suffix:
        yield "*" + _literally(spec.ready.suffix)
    if spec.ready.marker:
        before, _, after = PLACEHOLDER.split(spec.ready.marker)
        yield f"{_literally(before)}?*{_literally(after)}"


def _literally(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


# ---------------------------------------------------------------- walking patterns


class _Pattern:
    """A file pattern as the places between its pieces: at the last one, all of it was seen."""

    def __init__(self, text: str) -> None:
        self.pieces = _pieces(text)
        self.end = len(self.pieces)
        self.start = self._open([0])
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def after(self, places: frozenset[int], character: str) -> frozenset[int]:
        """Where one may be behind a character."""
        known = self._known.get((places, character))
        if known is None:
            known = self._known[places, character] = self._open(self._next(places, character))
        return known

    def _next(self, places: Iterable[int], character: str) -> Iterator[int]:
        for place in places:
            if place < self.end and _fits(self.pieces[place], character):
                yield place if self.pieces[place] == "*" else place + 1

    def _open(self, places: Iterable[int]) -> frozenset[int]:
        """The same places and those behind a ``*``, which may be nothing."""
        found = set()
        for place in places:
            found.add(place)
            while place < self.end and self.pieces[place] == "*":
                place += 1  # noqa: PLW2901 - from here on
                found.add(place)
        return frozenset(found)


@lru_cache(maxsize=4096)
def _fits(piece: str, character: str) -> bool:
    return piece == character or ((len(piece) > 1 or piece in "*?") and fnmatchcase(character, piece))


@lru_cache(maxsize=256)
def _shortest(one: str, other: str, refused: frozenset[str]) -> str:
    """The shortest name that two patterns match, and none of the refused ones."""
    first, second, never = _Pattern(one), _Pattern(other), [_Pattern(text) for text in refused]
    characters = _characters([first, second, *never])
    begin = tuple(pattern.start for pattern in never)
    # Of what is refused all places count at once; of the two, each place is a way of its own, or there were too many.
    names = {(here, there, begin): "" for here in first.start for there in second.start}
    todo = deque(names)
    while todo:
        state = todo.popleft()
        here, there, places = state
        if (here, there) == (first.end, second.end) and not _is_refused(never, places):
            return names[state]
        for character in characters:
            ways = first.after(frozenset([here]), character)
            others = second.after(frozenset([there]), character) if ways else ways
            if not others:
                continue
            onward = tuple(pattern.after(at, character) for pattern, at in zip(never, places, strict=True))
            for following in ((way, by, onward) for way in ways for by in others):
                if following not in names:
                    names[following] = names[state] + character
                    todo.append(following)
    return ""


def _is_refused(never: list[_Pattern], places: tuple[frozenset[int], ...]) -> bool:
    return any(pattern.end in at for pattern, at in zip(never, places, strict=True))


def _characters(patterns: list[_Pattern]) -> list[str]:
    """One of all characters that no piece tells apart: what patterns name, and neighbours for what they do not."""
    pieces = sorted({piece for pattern in patterns for piece in pattern.pieces})
    codes = {ord(character) + step for character in "".join(pieces) for step in (-1, 0, 1)}
    named = (chr(code) for code in codes if 0 < code <= sys.maxunicode)
    possible = (character for character in named if not name_problem(f"x{character}x"))
    found: dict[tuple[bool, ...], str] = {}
    for character in sorted(possible, key=lambda one: (not one.isalnum(), one)):  # letters first, for people
        found.setdefault(tuple(_fits(piece, character) for piece in pieces), character)
    return list(found.values())
