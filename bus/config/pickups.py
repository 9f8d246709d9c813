"""Finds routes that take the same files out of one folder: each file would go the way of one of them, or of both."""

from __future__ import annotations

import re
import string
from fnmatch import fnmatchcase
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

from bus.folder.port import join
from bus.folder.words import PickupSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bus.config.flow import RouteFlow
    from bus.config.problems import Problem

_PIECE = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""A set of characters, or one character, of a file pattern."""


def shared_pickups(flows: Sequence[RouteFlow]) -> Iterator[Problem]:
    """CFG201 for each route that takes files that an earlier one takes too. Those that leave them there may share."""
    places: dict[tuple[str, str, str], list[RouteFlow]] = {}
    for flow in flows:
        source = flow.spec.from_
        if isinstance(source, PickupSpec):
            place = (type(source).__name__, str(getattr(source, "connection", "")), join(source.path, "."))
            places.setdefault(place, []).append(flow)
    for sharing in places.values():
        for one, other in combinations(sharing, 2):
            first, second = one.spec.from_, other.spec.from_
            if first.after == second.after == "leave" or not overlap(first.match, second.match):
                continue
            message = f"the route `{one.spec.route}` takes such files out of the same folder"
            hint = "give each a pattern of its own; who needs a file twice copies it with `recipients` or `tap`"
            yield other.say("CFG201", ("from", second.key, "match"), message, hint=hint)


def overlap(one: str, other: str) -> bool:
    """Whether some name matches both of two file patterns."""
    return _meet(tuple(_PIECE.findall(one)), tuple(_PIECE.findall(other)))


@cache
def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return all(piece == "*" for piece in one or other)
    if one[0] == "*":
        return _meet(one[1:], other) or _meet(one, other[1:])
    if other[0] == "*":
        return _meet(other, one)
    return _alike(one[0], other[0]) and _meet(one[1:], other[1:])


@cache
def _alike(one: str, other: str) -> bool:
    """Whether some character matches both of two pieces."""
    signs = {*one, *other, *string.printable}
    return any(fnmatchcase(sign, one) and fnmatchcase(sign, other) for sign in signs)
