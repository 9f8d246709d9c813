"""Finds routes that take the same files out of one folder, or each other's claims: now and then each would get one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from bus.folder import DropSpec, PickupSpec
from bus.folder.overlap import head, shared_name
from bus.folder.port import join, shown
from bus.spec import EndpointSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import BaseModel

    from bus.config.flow import RouteFlow
    from bus.config.model import Landscape
    from bus.config.problems import Problem

_APART = "patterns of which no name matches both, or a folder for each"
_COPY = f"let one route take them and copy with `recipients` or `tap`, or write {_APART}"
_LEAVE = f"write `after: leave` in both, so that both read all of them, or {_APART}"


@dataclass(frozen=True, slots=True)
class _Pickup:
    """A route that takes files, with its number in the order of routes."""

    number: int
    flow: RouteFlow
    spec: PickupSpec
    folder: tuple[str, ...]

    def say(self, message: str, hint: str = "", word: str = "match") -> Problem:
        """CFG201 at a word; at the folder where that is not written."""
        word = word if word in self.spec.model_fields_set else "path"
        loc = ("from", str(self.flow.spec.from_.key), word)
        return self.flow.say("CFG201", loc, message, hint=hint)


def shared_pickups(landscape: Landscape, flows: Sequence[RouteFlow]) -> Iterator[Problem]:
    """CFG201 for routes that take files which another one takes too; where all leave them there, they may share.

    And for routes that look into different folders and claim into one: what the name of a claim says was claimed by one
    of them could be the other's.
    """
    root = str(landscape.folder.absolute())
    folders: dict[tuple[str, ...], list[_Pickup]] = {}
    claims: dict[tuple[str, ...], list[_Pickup]] = {}
    for number, flow in enumerate(flows):
        source = flow.spec.from_
        if isinstance(source, PickupSpec):
            pickup = _Pickup(number, flow, source, _folder(landscape, root, source, source.path))
            folders.setdefault(pickup.folder, []).append(pickup)
            if source.after == "move":
                claimed = _folder(landscape, root, source, join(source.path, source.claim))
                claims.setdefault(claimed, []).append(pickup)
    for pickups in folders.values():
        yield from _clashes(pickups, _clash)
    for pickups in claims.values():
        yield from _clashes(pickups, _mixed)


def _clashes(pickups: list[_Pickup], clash: Callable[[_Pickup, _Pickup, str], Problem | None]) -> Iterator[Problem]:
    """The first clash of each source. Only those are compared of which one's head begins with the other's."""
    near: list[_Pickup] = []
    for pickup in sorted(pickups, key=lambda one: (head(one.spec.match), one.number)):
        near = [other for other in near if pickup.spec.match.startswith(head(other.spec.match))]
        for other in near:
            name = "" if pickup.spec.after == other.spec.after == "leave" else shared_name(pickup.spec, other.spec)
            problem = clash(pickup, other, name) if name else None
            if problem is not None:
                yield problem
                break
        near.append(pickup)


def _mixed(one: _Pickup, other: _Pickup, name: str) -> Problem | None:
    """Claims of both in one folder; of routes at one folder it is told already that they take the same files."""
    if one.folder == other.folder:
        return None
    earlier, later = sorted((one, other), key=lambda pickup: pickup.number)
    first = earlier.say("", word="claim")
    route = f"the route `{earlier.flow.spec.route}` ({first.path}:{first.line}:{first.column})"
    message = f"{route} claims files into the same folder that match here too, such as `{shown(name)}`"
    return later.say(message, hint="give each route a `claim` folder of its own", word="claim")


def _clash(one: _Pickup, other: _Pickup, name: str) -> Problem:
    earlier, later = sorted((one, other), key=lambda pickup: pickup.number)
    first = earlier.say("")
    route = f"the route `{earlier.flow.spec.route}` ({first.path}:{first.line}:{first.column})"
    message = f"{route} takes files from the same folder that match here too, such as `{shown(name)}`"
    return later.say(message, hint=_LEAVE if "leave" in (earlier.spec.after, later.spec.after) else _COPY)


# ---------------------------------------------------------------- which folders are one


def _folder(landscape: Landscape, root: str, source: PickupSpec, path: str) -> tuple[str, ...]:
    """The same for what is one folder of two sources, as far as text can tell: technology, server, path."""
    name = getattr(source, "connection", "")
    # With a connection relative paths begin where only the server knows.
    path = join("" if name else root, path)
    options = (f"{word}={getattr(source, word)}" for word in _options(type(source)) if word != "connection")
    # Two slashes at the start are no other folder, but `normpath` keeps them.
    return type(source).__name__, "/" * path.startswith("/") + path.lstrip("/"), *_server(landscape, name), *options


def _server(landscape: Landscape, name: str) -> tuple[str, ...]:
    """What a connection leads to: two of them may lead to one place."""
    spec = landscape.connections.get(name)
    return (spec.leads_to() if spec is not None else ()) or (name,)


@cache
def _options(source: type[BaseModel]) -> tuple[str, ...]:
    """The words that a technology has beyond those of all sources."""
    known = {*PickupSpec.model_fields, *DropSpec.model_fields, *EndpointSpec.model_fields}
    return tuple(word for word in source.model_fields if word not in known)
