"""Endpoints that a test fills and looks into: a source with prepared arrivals, a sink that remembers what it got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from bus.message import Message
from bus.ports import Receipt, Verdict


@dataclass
class ScriptedArrival:
    """One prepared thing; implements :class:`bus.ports.Inbound`."""

    name: str
    content: bytes
    identity: str | None = None
    facts: tuple[int, int] = (0, 0)
    outcome: str = ""

    def fetch(self, target: BinaryIO) -> None:
        """Copy the content."""
        target.write(self.content)

    def complete(self, outcome: Literal["done", "failed"], suffix: str) -> None:
        """Remember the outcome."""
        del suffix
        self.outcome = outcome

    def abandon(self) -> None:
        """Remember that it was given back."""
        self.outcome = "abandoned"


@dataclass
class ScriptedSource:
    """Hands out what a test put into ``arrivals``, once each."""

    arrivals: list[ScriptedArrival] = field(default_factory=list)
    completed: list[ScriptedArrival] = field(default_factory=list)

    def poll(self, most: int) -> Iterator[ScriptedArrival]:
        """The next arrivals."""
        for _ in range(most):
            if not self.arrivals:
                return
            arrival = self.arrivals.pop(0)
            self.completed.append(arrival)
            yield arrival

    def close(self) -> None:
        """Nothing to disconnect."""


@dataclass
class RecordingSink:
    """Keeps what was published, in order, each unit once.

    It has no key and can say exactly what happened, so the bus must ask it before it repeats: what was published again
    all the same is in ``doubled``, as a partner that takes its files away would have it twice.
    """

    delivered: dict[str, bytes] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    staged: dict[str, bytes] = field(default_factory=dict)

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        """Stage."""
        with content:
            self.staged[message.headers.id] = content.read()
        return {"id": message.headers.id}

    def publish(self, receipt: Receipt) -> None:
        """Make visible."""
        content = self.staged.pop(receipt["id"])
        if receipt["id"] in self.delivered:
            self.doubled.append(receipt["id"])
        self.delivered[receipt["id"]] = content

    def probe(self, receipt: Receipt) -> Verdict:
        """Known exactly."""
        return "done" if receipt["id"] in self.delivered else "not_done"

    def close(self) -> None:
        """Nothing to disconnect."""
