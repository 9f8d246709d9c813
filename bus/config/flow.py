"""What one route does with messages, read from its spec: where they go, where a flow ends, what is never reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bus.config.fields import Loc, expressions, has, specs
from bus.landscape import ChannelSource
from bus.spec import Flow, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from bus.config.model import Landscape, LoadedRoute
    from bus.config.problems import Problem

END = "none"
"""``to: none``: the message ends here on purpose."""


@dataclass(frozen=True, slots=True)
class Way:
    """A name that messages are sent to, and where it is written."""

    name: str
    loc: Loc


class RouteFlow:
    """One route with the places of its specs, so that checks need not walk it again."""

    def __init__(self, loaded: LoadedRoute) -> None:
        self.loaded = loaded
        self.spec = loaded.spec
        self.specs = list(specs(loaded.spec))
        self.expressions = list(expressions(self.specs))
        self._places = {id(spec): loc for loc, spec in self.specs}
        self.steps = [(loc, spec) for loc, spec in self.specs if isinstance(spec, StepSpec)]
        self._flows = {id(spec): spec.flows() for _, spec in self.steps}
        self.ways = list(self._ways())

    @property
    def channel(self) -> str:
        """The channel this route reads, ``""`` when it has a source of its own."""
        source = self.spec.from_
        return source.channel if isinstance(source, ChannelSource) else ""

    def say(self, code: str, loc: Loc, message: str, *, on_key: bool = False, **more: Any) -> Problem:
        """A problem at a place of this route; ``on_key`` marks the key instead of its value."""
        node, key = self.loaded.root.find(loc)
        place = key if on_key and key is not None else node
        return place.problem(code, self.loaded.path, message, **more)

    def _ways(self) -> Iterator[Way]:
        """Every outlet or channel that the route names, except ``none``."""
        for loc, spec in self.specs:
            to = getattr(spec, "to", None) if has(spec, "to") else None
            if isinstance(to, str) and to not in ("", END):
                yield Way(to, (*loc, "to"))
            if isinstance(spec, StepSpec) and self._flows[id(spec)]:
                yield from self._short_forms(loc, spec)

    def _short_forms(self, loc: Loc, step: StepSpec) -> Iterator[Way]:
        """Ways that a container knows under another key than ``to``, such as ``otherwise: NAME``."""
        written = {
            "",
            END,
            *(
                to
                for place, spec in self.specs
                if _below(place, loc) and isinstance(to := getattr(spec, "to", ""), str)
            ),
        }
        for flow in self._flows[id(step)].values():
            if flow.to not in written:
                written.add(flow.to)
                yield Way(flow.to, self._where_written(loc, flow.to))

    def _where_written(self, loc: Loc, name: str) -> Loc:
        node, _ = self.loaded.root.find(loc)
        todo: list[tuple[Loc, Any]] = [(loc, node)]
        while todo:
            where, here = todo.pop(0)
            if here.value == name:
                return where
            if isinstance(here.value, dict):
                todo += [((*where, key), item) for key, item in here.value.items()]
            elif isinstance(here.value, list):
                todo += [((*where, index), item) for index, item in enumerate(here.value)]
        return loc

    # ------------------------------------------------------------ checks of one route alone

    def problems(self) -> list[Problem]:
        """What is wrong within the route."""
        found = [*self._twice(), *self._unparsed(), *self._unexpected()]
        closed = self._closed(self.spec.steps, found, in_batch=False)
        if closed and self.spec.to:
            message = "nothing comes here: every branch before says where to"
            found.append(self.say("CFG157", ("to",), message, severity="warning", hint="delete it", on_key=True))
        if not closed and not self.spec.to:
            hint = "write: to: NAME, an outlet or channel; or to: none, when messages end here on purpose"
            message = "nothing says where messages go after the last step"
            found.append(
                self.say("CFG162", ("steps",) if self.spec.steps else ("route",), message, hint=hint, on_key=True)
            )
        return found

    def _closed(self, steps: tuple[StepSpec, ...], found: list[Problem], *, in_batch: bool) -> bool:
        """Whether no message leaves the last of these steps towards what follows them."""
        closed = False
        for step in steps:
            if closed:
                message = "this step is never reached: every branch before says where to"
                hint = "delete it, or take `to` out of the branch that shall come here"
                found.append(self.say("CFG157", self._places[id(step)], message, severity="warning", hint=hint))
                return True
            gathers = step.boundary == "aggregate" and has(step, "complete")
            if gathers and getattr(step.complete, "batch", False) and not in_batch:  # type: ignore[attr-defined]  # has()
                hint = "add a `split` before it, or complete by `size`, `after` or `every`"
                message = "this aggregate completes by batch, but nothing is split before it"
                found.append(self.say("CFG166", self._places[id(step)], message, hint=hint))
            in_batch = in_batch or step.boundary == "split"
            flows: dict[str, Flow] = self._flows[id(step)]
            ends = [self._closed(flow.steps, found, in_batch=in_batch) or bool(flow.to) for flow in flows.values()]
            closed = bool(ends) and all(ends)
        return closed

    def _twice(self) -> Iterator[Problem]:
        """Ids of messages are made from step names: two steps of one name would make the same ids."""
        seen: dict[str, Loc] = {}
        for loc, step in self.steps:
            if step.name and seen.setdefault(step.name, loc) != loc:
                message = f"two steps of this route are called `{step.name}`"
                yield self.say("CFG165", (*loc, "name"), message, hint="rename one: message ids are made from it")

    def _unparsed(self) -> Iterator[Problem]:
        """A parse with nothing that splits behind it makes the whole document one message."""
        for index, (loc, step) in enumerate(self.steps):
            if not is_reader(step):
                continue
            behind = [later for _, later in self.steps[index + 1 :]]
            if not any(later.boundary == "split" for later in behind):
                message = "no `split` follows: the whole document becomes one message"
                hint = "add `- split: {each: …}` where a file holds many records"
                yield self.say("CFG175", loc, message, severity="info", hint=hint)

    def _unexpected(self) -> Iterator[Problem]:
        """What ``expect`` watches in vain."""
        for index, expect in enumerate(self.spec.expect):
            if expect.file_by and self.channel:
                message = "no file arrives here: this route reads a channel"
                hint = "write it into the route that has the source"
                yield self.say("CFG200", ("expect", index, "file_by"), message, hint=hint)
            if expect.answer_within and not any(has(step, "answer_within") for _, step in self.steps):
                message = "this route awaits no answer: it has neither `register` nor `request`"
                hint = "write `register` before the outlet whose receiver answers"
                yield self.say("CFG200", ("expect", index, "answer_within"), message, hint=hint)


def owner_of(landscape: Landscape, name: str) -> str:
    """Who gets the cases of a route or outlet; of an outlet without owner, who owns all routes that send to it."""
    if name in landscape.routes:
        return str(landscape.routes[name].spec.owner)
    outlet = landscape.spec.outlets.get(name)
    if outlet is None or outlet.owner:
        return outlet.owner if outlet is not None else ""
    flows = [RouteFlow(loaded) for loaded in landscape.routes.values()]
    owners = {flow.spec.owner for flow in flows if any(way.name == name for way in flow.ways)}
    return owners.pop() if len(owners) == 1 else ""


def is_reader(step: StepSpec) -> bool:
    """Whether a step reads documents: such a spec has ``build_head`` for when a split follows."""
    return hasattr(type(step), "build_head")


def connections_used(found: Iterable[tuple[Loc, BaseModel]]) -> Iterator[tuple[Loc, str, str]]:
    """(place, connection's name, key of the plug-in) for each of the specs that names a connection."""
    for loc, spec in found:
        name = getattr(spec, "connection", None) if has(spec, "connection") else None
        if isinstance(name, str) and name:
            yield (*loc, "connection"), name, str(getattr(spec, "key", ""))


def _below(place: Loc, loc: Loc) -> bool:
    return place[: len(loc)] == loc
