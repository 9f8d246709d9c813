"""What the working parts tell of each unit of work: measured always, written to the log where somebody wants it."""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from bus.ports import Delivery, EffectHook, Settlement

log = logging.getLogger("girobus")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histograms, seconds."""
_TROUBLE = frozenset({"dead", "in_doubt"})
_TOLD = frozenset({"dead", "in_doubt", "rejected", "held", "deferred"})


class Histogram:
    """How often something took how long. Thread-safe: the engine's threads share the one of commits."""

    __slots__ = ("_lock", "counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """By bucket, not added up; the last one is beyond all bounds."""
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Count one."""
        bucket = bisect_left(BOUNDS, seconds)
        with self._lock:
            self.counts[bucket] += 1
            self.seconds += seconds

    def count(self) -> int:
        """How often, at all."""
        with self._lock:
            return sum(self.counts)

    def copy(self) -> tuple[list[int], float]:
        """Counts and sum of one moment."""
        with self._lock:
            return list(self.counts), self.seconds


class Unit(msgspec.Struct, frozen=True, gc=False):
    """What was done at once: by which version of what, to how many, since when (:func:`time.monotonic`)."""

    place: str
    version: int
    deliveries: list[Delivery]
    begun: float
    label: str = "unit"


class Meter:
    """One for each bus. What it counts is of this process and begins with it; the ledger has the rest."""

    def __init__(self) -> None:
        self.batches: dict[str, Histogram] = {}
        """How long a unit took, by segment or outlet."""
        self.messages: Counter[str] = Counter()
        """How many messages the units of a segment or outlet held."""
        self.confirms: dict[str, Histogram] = {}
        """How long RabbitMQ took to confirm what a unit passed on, or what was relayed, by channel."""
        self.commits = Histogram()
        self.touched: dict[int, float] = {}
        """When a thread (by its identifier) last made something durable or visible, :func:`time.monotonic`."""
        self._begun = threading.local()

    def unit(self, unit: Unit, settlement: Settlement) -> None:
        """A unit was settled. One thread at a time for each place."""
        took = time.monotonic() - unit.begun
        known = self.batches.get(unit.place)
        if known is None:
            known = self.batches.setdefault(unit.place, Histogram())
        known.add(took)
        self.messages[unit.place] += len(unit.deliveries)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(unit.label, extra=_described(unit, settlement, took))
        for outcome, _currency in settlement.tally:
            if outcome in _TOLD:
                _tell_trouble(unit, settlement)
                break

    def confirmed(self, channel: str, seconds: float) -> None:
        """RabbitMQ confirmed everything that was published together."""
        known = self.confirms.get(channel)
        (known if known is not None else self.confirms.setdefault(channel, Histogram())).add(seconds)

    def watched(self, effect: EffectHook) -> EffectHook:
        """The hook with a look at the clock: how long commits take, and that anything happens at all."""
        begun = self._begun

        def hook(label: str) -> None:
            effect(label)
            now = self.touched[threading.get_ident()] = time.monotonic()
            if label.startswith("commit."):
                if label.endswith(":before"):
                    begun.at = now
                else:
                    self.commits.add(now - begun.at)

        return hook


def _described(unit: Unit, settlement: Settlement, took: float) -> dict[str, Any]:
    """The fields of a unit's line: no ids, no keys, no amounts."""
    route, _, segment = unit.place.partition("#")
    outcomes: Counter[str] = Counter()
    for (outcome, _currency), (count, _amount) in settlement.tally.items():
        outcomes[outcome] += count
    return {
        "route": route,
        "segment": segment,
        "version": unit.version,
        "count": len(unit.deliveries),
        "outcomes": dict(outcomes),
        "attempt": max((d.message.headers.attempt for d in unit.deliveries), default=0) + 1,
        "duration_ms": round(took * 1000, 3),
    }


def _tell_trouble(unit: Unit, settlement: Settlement) -> None:
    """One line for each code in a unit, however many messages it met; reasons may quote content, codes do not."""
    found: Counter[tuple[str, str, str]] = Counter(
        (event.code, event.outcome, event.step) for event in settlement.events if event.outcome in _TOLD
    )
    for (code, outcome, step), count in found.items():
        level = logging.ERROR if outcome in _TROUBLE else logging.WARNING
        route, _, segment = unit.place.partition("#")
        fields = {"code": code, "route": route, "segment": segment, "step": step, "count": count}
        log.log(level, "messages %s", outcome, extra={**fields, "outcome": outcome})


def places(meter: Meter) -> Iterable[tuple[str, Histogram]]:
    """Segments and outlets with their histograms, as of now."""
    return sorted(meter.batches.copy().items())
