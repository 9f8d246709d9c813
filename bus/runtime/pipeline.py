"""Compiles a route into segments of closures; runs one message through one segment, in memory, without side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import msgspec

from bus.errors import ConfigError, Rejected
from bus.landscape import RouteSpec
from bus.message import Branch, Hold, Join, Message, Onward, Refuse, Resequence, Send
from bus.ports import Gathering, Part, StepResources, WriteContext
from bus.spec import Flow, StepSpec

END = "none"
"""The reserved name in ``to:`` that ends a message on purpose."""


class Split(msgspec.Struct, frozen=True):
    """The message reached a step that splits it; the worker streams its parts."""

    message: Message


class End(msgspec.Struct, frozen=True):
    """The message reached ``to: none``."""

    message: Message


class Trace(list[tuple[str, Any]]):
    """(step id, effect) in order of appearance; ``at`` is the step being run, for errors; set it before running."""

    __slots__ = ("at",)
    at: str


Node = Callable[[Message, Trace], None]


class Splitter(Protocol):
    """What a step with ``boundary = "split"`` builds."""

    def expand(self, message: Message) -> Iterator[Part]:
        """Stream the parts of a message; deterministic."""

    def child_keys(self, body: Any) -> tuple[tuple[str, str], ...]:
        """Business keys of a part."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A unit of work: what happens between one durable channel and the next."""

    channel: str
    run: Node


@dataclass(slots=True)
class CompiledRoute:
    """One version of a route, ready to run. Immutable after :func:`compile_route`."""

    name: str
    version: int
    spec: RouteSpec
    segments: dict[str, Segment] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    """Step id -> channel of the segment behind it, for steps that end one."""
    gatherings: dict[str, Gathering] = field(default_factory=dict)
    splitters: dict[str, Splitter] = field(default_factory=dict)
    money: Callable[[Any], Any] = field(default=lambda _body: None)
    keys: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    lines: dict[str, Callable[[Message], str]] = field(default_factory=dict)
    """Channel -> which line a message of it stands in, for channels in which messages of one line keep their order."""
    predicate: Callable[[str], Callable[[Any], Any]] = field(default=lambda _text: lambda _body: False)
    """Compiles the text of a hold's ``release_when``, once each."""

    @property
    def channels(self) -> list[str]:
        """All channels of this route, the entry first."""
        return list(self.segments)


Resources = Callable[[str], StepResources]
"""Makes the resources of a step from its id."""


Visit = Callable[[str, str], None]
"""Told (step id, branch label) whenever a message enters a branch; for coverage of route tests."""


def compile_route(spec: RouteSpec, version: int, resources: Resources, visit: Visit | None = None) -> CompiledRoute:
    """Turn a checked route into closures.

    Raises:
        ConfigError: a step cannot be built (mapping missing, aggregate of a batch without a split …).
    """
    route = CompiledRoute(spec.route, version, spec)
    entry = resources("")
    route.money = entry.expression(spec.money)
    route.predicate = cache(entry.expression)
    route.keys = {name: entry.expression(text) for name, text in spec.keys.items()}
    compiler = _Compiler(route, resources, visit)
    scope = _Scope()
    run = compiler.chain(spec.steps, "", compiler.tail(spec.to, "to"), scope)
    compiler.segment(spec.route, run)
    route.segments = {spec.route: route.segments.pop(spec.route), **dict(reversed(route.segments.items()))}
    if route.lines:
        front = [channel for channel in route.segments if channel in _in_front(spec)]
        route.lines |= dict.fromkeys(front, lambda _message: "*")
    if spec.on_reject is not None:
        reject = spec.on_reject
        writer = resources("on_reject")
        compiler.segment(f"{spec.route}#on_reject", compiler.reject_writer(reject, writer))
        route.gatherings["on_reject"] = Gathering(f"{spec.route}#on_reject", batch=True)
    return route


@dataclass(frozen=True, slots=True)
class _Scope:
    """What steps further down inherit: the format that a ``parse`` left for the split, and whether a batch is open."""

    parser: Any = None
    in_batch: bool = False


class _Compiler:
    """Builds nodes back to front, so that each knows its successor."""

    def __init__(self, route: CompiledRoute, resources: Resources, visit: Visit | None) -> None:
        self.route = route
        self.resources = resources
        self.visit = visit

    def segment(self, channel: str, run: Node) -> None:
        self.route.segments[channel] = Segment(channel, run)

    def tail(self, to: str, step: str) -> Node:
        """What happens to a message at the end of a flow."""
        if to == END or not to:

            def end(message: Message, out: Trace) -> None:
                out.append((step, End(message)))

            return end

        def send(message: Message, out: Trace) -> None:
            out.append((step, Send(to, message)))

        return send

    def chain(self, steps: tuple[StepSpec, ...], prefix: str, tail: Node, scope: _Scope) -> Node:
        """A list of steps followed by ``tail``."""
        scopes = [scope]
        for spec in steps:
            parser = getattr(spec, "format", None) if hasattr(spec, "build_head") else scopes[-1].parser
            scopes.append(_Scope(parser, scopes[-1].in_batch or spec.boundary == "split"))
        node = tail
        rest: tuple[StepSpec, ...] = ()
        for n in range(len(steps) - 1, -1, -1):
            step = steps[n].name or f"{prefix}{n}"
            node = self.node(steps[n], step, _Ahead(node, rest, scopes[n]))
            rest = (steps[n], *rest)
        return node

    def node(self, spec: StepSpec, step: str, ahead: _Ahead) -> Node:
        """One step and what follows it."""
        resources = self.resources(step)
        following = ahead.node
        if spec.boundary == "partition":
            return self._partition(spec, step, following)
        if spec.boundary:
            if step in self.route.after:
                raise ConfigError(
                    "CFG165", f"two steps of route `{self.route.name}` are called `{step}`", hint="rename one"
                )
            channel = f"{self.route.name}#{step}"
            self.route.after[step] = channel
            self.segment(channel, following)
        if spec.boundary == "split":
            self.route.splitters[step] = spec.build_split(resources, ahead.scope.parser)  # type: ignore[attr-defined]  # steps with this boundary have it

            def split(message: Message, out: Trace) -> None:
                out.at = step
                out.append((step, Split(message)))

            return split
        if spec.boundary == "aggregate":
            self._gathering(spec, step, ahead.scope)
        flows = {label: self._flow(flow, f"{step}.{label}.", ahead) for label, flow in spec.flows().items()}
        if self.visit is not None:
            flows = {label: _told(self.visit, step, label, flow) for label, flow in flows.items()}
        build = getattr(spec, "build_head", None) if _split_ahead(ahead.rest) else None
        return _step_node((build or spec.build)(resources), step, following, flows)

    def _partition(self, spec: StepSpec, step: str, following: Node) -> Node:
        """One channel for each partition behind the step; everything that was not compiled yet is in front of it."""
        route = self.route
        if route.lines or "." in step or "." in spec.name:
            why = "a route has one `partition`, not inside a branch"
            raise ConfigError("CFG165", f"step `{step}` of route `{route.name}`: {why}", hint="move it")
        run = spec.build(self.resources(step))
        count: int = spec.partitions  # type: ignore[attr-defined]  # steps with this boundary have it
        behind = [partition(route.name, step, n, count) for n in range(count)]
        for channel in behind:
            self.segment(channel, following)
            route.lines[channel] = lambda message: next(iter(run(message))).line  # type: ignore[union-attr]  # it makes no other

        def onward(message: Message, out: Trace) -> None:
            out.at = step
            out.extend((step, effect) for effect in run(message))

        route.after[step] = f"{route.name}#{step}~"
        return onward

    def _flow(self, flow: Flow, prefix: str, ahead: _Ahead) -> Node:
        tail = self.tail(flow.to, prefix + "to") if flow.to else ahead.node
        return self.chain(flow.steps, prefix, tail, ahead.scope)

    def _gathering(self, spec: StepSpec, step: str, scope: _Scope) -> None:
        complete = getattr(spec, "complete", None)
        if complete is None:
            return
        rule = Gathering(self.route.after[step], complete.batch, complete.size, complete.after, complete.every)
        if rule.batch and not scope.in_batch:
            raise ConfigError(
                "CFG166",
                f"step `{step}` of route `{self.route.name}` completes by batch, but nothing is split before it",
                hint="add a split, or complete by size, after or every",
            )
        self.route.gatherings[step] = rule

    def reject_writer(self, reject: Any, resources: StepResources) -> Node:
        """The segment behind the group of refused records: write them in the sender's format and send them back."""
        writer = resources.format(reject.as_)

        def write(message: Message, out: Trace) -> None:
            out.at = "on_reject"
            headers = message.headers
            with resources.blobs.create() as blob:
                bodies = (member.body for member in resources.reader.members(message.body))
                writer.write(bodies, blob, WriteContext(headers.id, headers.created_at, message.properties))  # type: ignore[arg-type]  # a BlobWriter has what writers use of a BinaryIO
            out.append(("on_reject", Send(reject.to, message.with_body(blob.blob, content_type=writer.content_type))))

        return write


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What follows a step: the node to call, the steps of its list, the scope it stands in."""

    node: Node
    rest: tuple[StepSpec, ...]
    scope: _Scope


def _told(visit: Visit, step: str, label: str, flow: Node) -> Node:
    def node(message: Message, out: Trace) -> None:
        visit(step, label)
        flow(message, out)

    return node


def partition(route: str, step: str, number: int, count: int) -> str:
    """Name of a channel behind a partition step; another count means other channels."""
    return f"{route}#{step}~{count}.{number}"


def _in_front(spec: RouteSpec) -> set[str]:
    """Channels of a route in front of its partition step."""
    names = channels(spec)
    first = next(n for n, name in enumerate(names) if "~" in name)
    return set(names[:first])


def channels(spec: RouteSpec) -> list[str]:
    """All channels of a route, the entry first, without building it."""

    def walk(steps: tuple[StepSpec, ...], prefix: str) -> Iterator[str]:
        for n, step in enumerate(steps):
            name = step.name or f"{prefix}{n}"
            if step.boundary:
                count = getattr(step, "partitions", 0) if step.boundary == "partition" else 0
                yield from (partition(spec.route, name, n, count) for n in range(count))
                if not count:
                    yield f"{spec.route}#{name}"
            for label, flow in step.flows().items():
                yield from walk(flow.steps, f"{name}.{label}.")

    reject = [f"{spec.route}#on_reject"] if spec.on_reject is not None else []
    return [spec.route, *walk(spec.steps, ""), *reject]


def branches(spec: RouteSpec) -> list[tuple[str, str]]:
    """All (step id, branch label) of a route, in the order they are written."""

    def walk(steps: tuple[StepSpec, ...], prefix: str) -> Iterator[tuple[str, str]]:
        for n, step in enumerate(steps):
            name = step.name or f"{prefix}{n}"
            for label, flow in step.flows().items():
                yield name, label
                yield from walk(flow.steps, f"{name}.{label}.")

    return list(walk(spec.steps, ""))


def _step_node(run: Any, step: str, following: Node, flows: dict[str, Node]) -> Node:
    def node(message: Message, out: Trace) -> None:
        out.at = step
        for result in run(message):
            kind = type(result)
            if kind is Message:
                following(result, out)
            elif kind is Branch:
                flows[result.label](result.message, out)
            else:
                out.append((step, result))

    return node


def _split_ahead(steps: tuple[StepSpec, ...]) -> bool:
    """Whether a parse before these steps feeds a split (then it only reads the head of the document)."""
    for spec in steps:
        if spec.boundary == "split":
            return True
        if hasattr(spec, "build_head") or spec.boundary == "aggregate":
            return False
        if any(_split_ahead(flow.steps) for flow in spec.flows().values()):
            return True
    return False


def primary(out: Trace, came: Message) -> tuple[str, str]:
    """(outcome, step) of the message that came in; copies that steps made of it have none of their own.

    Where a copy made earlier comes in, it is known by its id.

    Raises:
        Rejected: ``INT133`` when a step made several messages of one without saying which are copies.
    """
    found: list[tuple[str, str]] = []
    for step, effect in out:
        outcome = _OUTCOMES.get(type(effect))
        if outcome is None:
            continue
        headers = effect.message.headers
        if (headers.id == came.headers.id) if came.headers.copy else not headers.copy:
            found.append((outcome, step))
    if len(found) > 1:
        raise Rejected(
            "INT133",
            f"step `{found[1][1]}` made {len(found)} messages of one",
            hint="use split, recipients or tap for that",
        )
    if not found and any(type(effect) is Refuse for _, effect in out):
        return "rejected", out.at
    return found[0] if found else ("filtered", out.at)


_OUTCOMES: dict[type, str] = {
    Send: "sent",
    Join: "joined",
    Hold: "held",
    Resequence: "waiting",
    Onward: "waiting",
    Split: "split",
    End: "ended",
}
