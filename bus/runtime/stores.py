"""What every working part of the engine shares: where things are kept, what time it is, chance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from bus.ports import BlobStore, Clock
from bus.runtime.meter import Meter


@dataclass(frozen=True, slots=True)
class Stores:
    """Handed to workers, senders and intakes by the composition root.

    Attributes:
        broker: durable channels (:class:`bus.ports.Broker` and what the embedded one adds).
        ledger: committed state; each part names what it asks of it in a Protocol of its own.
        blobs: bodies that are too big for a row.
        clock: time.
        chance: spreads retries, so that they do not march in step.
        meter: is told of every unit.
    """

    broker: Any
    ledger: Any
    blobs: BlobStore
    clock: Clock
    chance: random.Random
    meter: Meter = field(default_factory=Meter)
