"""``hop_latency``: how long a message takes from its publication through the hop to who takes it from the output.

At a steady hundred messages a second, so that nobody waits for a batch to fill; one process, everybody in turn, in
several rounds, as a machine is not equally fast all the time.
"""

from __future__ import annotations

import itertools
import random
import re
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Measurement
from bench.peers.place import OUT, Place
from bench.peers.runners import Runner, stop
from bus.channels.amqp.consumer import Consumer
from bus.channels.amqp.frames import Outgoing, properties
from bus.channels.amqp.publisher import Publisher

_RATE = 100
_ROUNDS = 5
_WARM, _WARM_RATE = 2_000, 1_000
"""Messages, and how many a second, before it counts: a virtual machine compiles what it runs often."""
_PATIENCE = 60.0
_NUMBER = re.compile(rb"E2E-(\d+)")


class Probe:
    """Publishes at a steady rate and notes when each message came out."""

    def __init__(self, place: Place) -> None:
        chance = random.Random(1)  # noqa: S311 - spreads pauses, no secret
        self._publisher = Publisher(place.address, chance)
        self._consumer = Consumer(place.address, self._came, lambda _queue: None, chance)
        self.sent: dict[int, float] = {}
        self.came: dict[int, float] = {}

    def start(self) -> None:
        """Connect."""
        self._publisher.start()
        self._consumer.start()
        self._publisher.link.wait_open(_PATIENCE)
        self._consumer.link.wait_open(_PATIENCE)
        for queue in OUT:
            self._consumer.consume(queue)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
        self._publisher.close()

    def send(self, runner: Runner, numbers: range, rate: float) -> None:
        """Publish these, and wait until all came out."""
        bodies = [runner.body(n) for n in numbers]
        about = properties("ab" * 16, "ab" * 16, int(time.time()))
        begin = time.monotonic()
        for k, (n, body) in enumerate(zip(numbers, bodies, strict=True)):
            time.sleep(max(0.0, begin + k / rate - time.monotonic()))
            self.sent[n] = time.monotonic()
            self._publisher.begin([Outgoing("hop", about, body)])
        end = time.monotonic() + _PATIENCE
        while len(self.came) < numbers.stop:
            if time.monotonic() > end:
                raise SystemExit(f"{runner.name}: {len(self.came)} of {numbers.stop} messages came out")
            time.sleep(0.05)

    def _came(self, queue: str) -> None:
        now = time.monotonic()
        received = self._consumer.here(queue, 1_000)
        for one in received:
            found = _NUMBER.search(one.body)
            if found:
                self.came.setdefault(int(found[1]), now)
        self._consumer.settle(queue, received)


def rows(place: Place, runners: list[Runner], count: int, log: Path) -> list[Measurement]:
    """Over all rounds; the floor is the C reference's, in milliseconds, so that a ratio of 1.3 is 30 % slower."""
    times: dict[str, list[list[float]]] = {runner.name: [] for runner in runners}
    for _ in range(_ROUNDS):
        for runner in runners:
            times[runner.name].append(sorted(_times(place, runner, -(-count // _ROUNDS), log)))
    table = Table("name", "p50 ms", "in the rounds", "of C", "p99 ms", "in the rounds", "longest ms")
    found: dict[tuple[str, str], float] = {}
    for name, by_round in times.items():
        taken = sorted(itertools.chain.from_iterable(by_round))
        middle, late = statistics.median(taken), _late(taken)
        found[name, "p50"], found[name, "p99"] = middle, late
        of_c = middle / found.get(("c", "p50"), middle)
        middles, lates = map(statistics.median, by_round), map(_late, by_round)
        table.add_row(
            name, f"{middle:.2f}", _span(middles), f"{of_c:.2f}", f"{late:.2f}", _span(lates), f"{taken[-1]:.1f}"
        )
    Console(width=100).print(table)
    measured = []
    for (name, part), value in found.items():
        floor = found.get(("c", part), 0.0)
        ratio = round(value / floor, 3) if floor else 0.0
        row = Measurement(
            "hop_latency", f"{name} {part}", round(value, 2), "ms", count / _RATE, 0.0, round(floor, 2), ratio
        )
        measured.append(row)
    return measured


def _late(taken: list[float]) -> float:
    """The 99th percentile of what is in order."""
    return taken[int(len(taken) * 0.99)]


def _span(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return f"{ordered[0]:.1f} to {ordered[-1]:.1f}"


def _times(place: Place, runner: Runner, count: int, log: Path) -> list[float]:
    place.empty()
    probe = Probe(place)
    process = runner.start(place, 0, log)
    try:
        probe.start()
        probe.send(runner, range(_WARM), _WARM_RATE)
        probe.send(runner, range(_WARM, _WARM + count), _RATE)
    finally:
        probe.close()
        stop([process])
    return [(probe.came[n] - probe.sent[n]) * 1000 for n in range(_WARM, _WARM + count)]
