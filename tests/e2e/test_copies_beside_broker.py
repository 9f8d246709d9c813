"""A second copy in a queue of the broker is known as one, however long nobody takes from that queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bus.app import App, Surroundings
from bus.runtime.bus import ROLES
from bus.testing.clock import ManualClock

BUS = """\
name: copies
broker: {{url: '{url}', prefix: '{prefix}'}}
retention: {{history: 30d, inbox: 30d, blobs: 1d}}
outlets:
  out: {{endpoint: {{file: {{path: out}}}}}}
"""
ROUTE = """\
route: flow
batch: 1
from: {file: {path: in, match: "*.txt", ready: {suffix: .tmp}, poll: {every: 1s}}}
to: out
"""
DAY = 86_400_000


class CrashError(Exception):
    """The process is gone."""


class Place:
    """A landscape whose channels are queues of a real broker."""

    def __init__(self, root: Path, url: str) -> None:
        self.folder = root
        self.clock = ManualClock()
        for name in ("in", "out"):
            (root / name).mkdir(parents=True)
        (root / "bus.yaml").write_text(BUS.format(url=url, prefix=f"t{uuid4().hex[:8]}."))
        (root / "flow.route.yaml").write_text(ROUTE)
        self.crash_at = ""
        self.app = self.opened()

    def opened(self) -> App:
        return App(self.folder, Surroundings(clock=self.clock, effect=self._effect))

    def _effect(self, label: str) -> None:
        if label == self.crash_at:
            self.crash_at = ""
            raise CrashError(label)

    def reopened(self) -> None:
        self.app.close()
        self.app = self.opened()

    def passed(self) -> int:
        """How often the message went through the route."""
        return int(self.app.store.read("SELECT sum(count) FROM tally WHERE outcome = 'sent'")[0][0])

    def keep_house_for(self, days: int) -> None:
        for _ in range(0, days, 5):
            self.clock.advance(5 * DAY)
            self.app.bus.keep_house()


def until(met: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)  # a broker is another process


@pytest.fixture
def place(tmp_path: Path, rabbit: str) -> Iterator[Place]:
    made = Place(tmp_path / "landscape", rabbit)
    yield made
    made.app.close()


@pytest.mark.parametrize("why", ["paused", "held", "stopped"])
def test_a_copy_is_known_after_its_queue_stood_for_long(place: Place, why: str) -> None:
    (place.folder / "in" / "a.txt").write_bytes(b"what a partner paid for\n")
    until(lambda: place.app.bus.poll_once("flow"))
    place.crash_at = "amqp.publish:after"
    with pytest.raises(CrashError):
        place.app.broker.relay()
    place.reopened()
    place.app.broker.relay()  # again, for nobody knows that it was done
    until(lambda: place.app.bus.run_batch("flow"))
    until(lambda: place.app.bus.send_once("out"))
    assert place.app.broker.sieve.copies == 0, "it still stands in the queue"
    place.app.bus.keep_house()
    if why == "paused":
        place.app.bus.set_state("flow", "paused", "me", "a test")
        place.reopened()
        place.keep_house_for(90)
        place.app.bus.set_state("flow", "paused", "me", "the same again")
        place.keep_house_for(1)
        place.app.bus.set_state("flow", "running", "me", "a test")
    elif why == "held":
        place.app.ledger.commit("test", lambda tx: tx.execute("INSERT INTO meta VALUES ('hold_outputs', 1)"))
        place.app.close()
        place.app = App(place.folder, Surroundings(clock=place.clock, roles=ROLES - {"worker"}), hold_outputs=True)
        place.keep_house_for(90)
        place.app.bus.release_outputs("me", "a test")
        place.reopened()
    else:
        place.app.close()
        place.clock.advance(90 * DAY)
        place.app = place.opened()
    place.app.bus.keep_house()
    until(lambda: place.app.bus.turn(poll=False) >= 0 and (place.app.broker.sieve.copies or place.passed() > 1))
    assert (place.app.broker.sieve.copies, place.passed()) == (1, 1)
    legs = "SELECT count(*) FROM inbox"
    assert place.app.store.read(legs) == [(2,)]
    place.keep_house_for(125)
    assert place.app.store.read(legs) == [(0,)], "it has caught up"
