"""Steps and partners that fail when a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from bus import Effect, Message, Step, StepResources, StepSpec
from bus.message import Message as _Message
from bus.ports import Receipt, Verdict
from bus.registry import Registry
from bus.spec import Kind, PlugInSpec
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource


@dataclass
class Troubles:
    """What goes wrong: id of a body -> the error that its step raises, or what it does first."""

    by_id: dict[str, Exception | Callable[[], None]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)


def catalogue(troubles: Troubles) -> Registry:
    """The plug-ins of girobus and a step ``trouble``."""

    class TroubleSpec(StepSpec):
        """Passes messages on, or fails as the test wants it."""

        key = "trouble"

        def build(self, resources: StepResources) -> Step:
            """See the class."""
            del resources

            def step(message: Message) -> Iterable[Message | Effect]:
                identity = message.body["id"]
                troubles.seen.append(identity)
                trouble = troubles.by_id.get(identity)
                if isinstance(trouble, Exception):
                    raise trouble
                if trouble is not None:
                    trouble()
                return (message,)

            return step

    class Extended(Registry):
        """With one step more."""

        def spec(self, kind: Kind, key: str) -> type[PlugInSpec]:
            return TroubleSpec if (kind, key) == ("step", "trouble") else super().spec(kind, key)

        def keys(self, kind: Kind) -> list[str]:
            return sorted([*super().keys(kind), *(["trouble"] if kind == "step" else [])])

    return Extended()


@dataclass
class Partner(RecordingSink):
    """A sink that can be away, or break off in the middle of the effect."""

    away: Exception | None = None
    breaks: Exception | None = None
    happened: Verdict = "unknown"
    asked: int = 0
    order: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, message: _Message, content: BinaryIO) -> Receipt:
        """Stage, unless away."""
        with self.lock:
            self.asked += 1
        if self.away is not None:
            raise self.away
        return super().prepare(message, content)

    def publish(self, receipt: Receipt) -> None:
        """Deliver, unless it breaks; a second delivery of the same unit is an error of the bus."""
        if self.breaks is not None:
            raise self.breaks
        assert receipt["id"] not in self.delivered, "doubled"
        self.order.append(self.staged[receipt["id"]])
        super().publish(receipt)

    def probe(self, receipt: Receipt) -> Verdict:
        """What the test says."""
        del receipt
        return self.happened


@dataclass
class Mailbox(ScriptedSource):
    """A source that can be away."""

    away: Exception | None = None
    polls: int = 0

    def poll(self, most: int) -> Iterator[ScriptedArrival]:
        """What was put in, unless away."""
        self.polls += 1
        if self.away is not None:
            raise self.away
        yield from super().poll(most)


@dataclass
class Partners:
    """All sources and sinks of a landscape, by name; hand ``source`` and ``sink`` to the surroundings."""

    sinks: dict[str, Partner] = field(default_factory=dict)
    sources: dict[str, Mailbox] = field(default_factory=dict)

    def source(self, _spec: Any, resources: Any) -> Mailbox:
        """The mailbox of a route, the same after a reload."""
        return self.sources.setdefault(resources.name, Mailbox())

    def sink(self, _spec: Any, resources: Any) -> Partner:
        """The partner of an outlet, the same after a reload."""
        return self.sinks.setdefault(resources.name, Partner())

    def send(self, route: str, name: str, content: bytes) -> ScriptedArrival:
        """Put a file into the mailbox of a route."""
        arrival = ScriptedArrival(name, content, facts=(len(content), len(self.sources[route].completed) + 1))
        self.sources[route].arrivals.append(arrival)
        return arrival
