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
    """Keeps what was published, in order, each unit once."""

    delivered: dict[str, bytes] = field(default_factory=dict)
    staged: dict[str, bytes] = field(default_factory=dict)

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        """Stage."""
        with content:
            self.staged[message.headers.id] = content.read()
        return {"id": message.headers.id}

    def publish(self, receipt: Receipt) -> None:
        """Make visible."""
        self.delivered[receipt["id"]] = self.staged.pop(receipt["id"])

    def probe(self, receipt: Receipt) -> Verdict:
        """Known exactly."""
        return "done" if receipt["id"] in self.delivered else "not_done"

    def close(self) -> None:
        """Nothing to disconnect."""
