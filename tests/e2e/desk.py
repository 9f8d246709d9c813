"""Routes with prepared sources and sinks that remember, turned by hand, reloaded and started again by a test."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from houses import House, landscape

from bus.app import App, Surroundings
from bus.errors import Retryable
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

OUTLETS = ("out", "other", "rejects")


class Desk(House):
    """Routes with prepared sources and sinks that remember; it can be reloaded, and started again on the same store.

    Args:
        root: empty folder.
        files: file name without ``.route.yaml`` -> text without the route's name, or a whole file with its name.
    """

    def __init__(self, root: Path, files: dict[str, str], **around: Any) -> None:
        self.sources: dict[str, ScriptedSource] = {}
        self.sinks: dict[str, RecordingSink] = {}
        self.folder = root / "landscape"
        self.home = root / "home"
        self.write(files)
        edges = {
            "source": lambda _spec, resources: self.sources.setdefault(resources.name, ScriptedSource()),
            "sink": lambda _spec, resources: self.sinks.setdefault(resources.name, RecordingSink()),
        }
        self.edges = {**edges, **around}
        super().__init__(root, self.folder, **self.edges)

    def write(self, files: dict[str, str], outlets: tuple[str, ...] = OUTLETS) -> None:
        """The landscape's files; those of before go."""
        for old in self.folder.glob("*.route.yaml"):
            old.unlink()
        named = {name if "." in name else f"{name}.route.yaml": text for name, text in files.items()}
        routes = {n: f"route: {n.partition('.')[0]}\n{t}" if ".route." in n else t for n, t in named.items()}
        ways = "".join(f"  {name}: {{endpoint: {{file: {{path: x}}}}, format: json}}\n" for name in outlets)
        landscape(self.folder, {"bus.yaml": f"name: desk\noutlets:\n{ways}", **routes})

    def again(self) -> None:
        """As after a crash: nothing of the old owner is left but the store."""
        chance = random.Random(1)  # noqa: S311 - spreads retries, guards nothing
        around = {"store": self.app.store, **self.edges}
        self.app = App(self.folder, Surroundings(clock=self.clock, chance=chance, **around), home=self.home)

    def send(self, content: str, route: str = "a", name: str = "f") -> None:
        """A file arrives."""
        self.sources[route].arrivals.append(ScriptedArrival(name, content.encode(), facts=(len(content), 1)))

    def got(self, outlet: str = "out") -> list[bytes]:
        """What was delivered, in order."""
        return list(self.sinks[outlet].delivered.values())

    def turn(self, turns: int = 1, step: int = 500) -> None:
        """Some turns, whatever is left."""
        for _ in range(turns):
            self.app.bus.turn()
            self.clock.advance(step)

    def left(self) -> dict[str, int]:
        """Rows that wait somewhere, by table."""
        return {t: n for t in ("queued", "deferred", "held", "dead", "member", "parked") if (n := self.count(t))}


class Unreadable(ScriptedArrival):
    """A file that the partner's server lists and refuses to hand out."""

    def fetch(self, target: Any) -> None:
        """Refused."""
        del target
        raise Retryable("NET104", "refused", hint="rights")


class Listing(ScriptedSource):
    """What is not taken is handed out again, in order of name."""

    def poll(self, most: int) -> Iterator[ScriptedArrival]:
        """As a folder does."""
        for arrival in sorted(self.arrivals, key=lambda a: a.name)[:most]:
            if not isinstance(arrival, Unreadable):
                self.arrivals.remove(arrival)
            yield arrival


def condition_wait(met: Callable[[], bool]) -> None:
    """Until something is so."""
    deadline = time.monotonic() + 10
    while not met():
        assert time.monotonic() < deadline
