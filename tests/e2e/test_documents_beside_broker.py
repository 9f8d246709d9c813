"""No document is collected of a message that stands in a queue of the broker, and every one that is needed no more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from bus.app import App, Surroundings
from bus.cli import main
from bus.ledger.references import all_blobs

BUS = """\
name: standing
broker: {{url: '{url}', prefix: '{prefix}'}}
retention: {{blobs: 1d}}
outlets:
  out: {{endpoint: {{file: {{path: out}}}}}}
"""
ROUTE = """\
route: flow
guarantee: {guarantee}
from: {{file: {{path: in, match: "*.txt", ready: {{suffix: .tmp}}, poll: {{every: 1s}}}}}}
to: out
"""
TEXT = b"what a partner paid for\n"
A_YEAR = 366 * 86_400
SCHEDULER = frozenset({"scheduler"})


class Place:
    """A landscape whose channels are queues of a real broker."""

    def __init__(self, root: Path, url: str) -> None:
        self.folder = root
        for name in ("in", "out"):
            (root / name).mkdir(parents=True)
        (root / "bus.yaml").write_text(BUS.format(url=url, prefix=f"t{uuid4().hex[:8]}."))
        (root / "flow.route.yaml").write_text(ROUTE.format(guarantee="effectively-once"))
        self.apps: list[App] = []

    def opened(self, roles: frozenset[str] | None = None) -> App:
        around = Surroundings() if roles is None else Surroundings(roles=roles)
        self.apps.append(App(self.folder, around))
        return self.apps[-1]

    def close(self) -> None:
        while self.apps:
            self.apps.pop().close()

    def drop(self, app: App) -> None:
        """A file is taken; its message stands in the queue of the route."""
        (self.folder / "in" / "a.txt").write_bytes(TEXT)
        until(lambda: app.bus.poll_once("flow"))
        app.broker.relay()

    def pass_on(self, app: App) -> None:
        """From there into the queue of the outlet."""
        until(lambda: app.bus.run_batch("flow"))
        app.broker.relay()

    def documents(self) -> int:
        """How many are there; all are old now."""
        paths = list((self.folder / ".bus" / "blobs").glob("??/*"))
        for path in paths:
            os.utime(path, (time.time() - A_YEAR,) * 2)
        return len(paths)

    def sent(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "out").iterdir() if path.is_file()]

    def bus(self, *words: str) -> str:
        done = CliRunner().invoke(main, ["-C", str(self.folder), *words])
        assert done.exit_code == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout


def until(met: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)  # a broker is another process


@pytest.fixture(params=["file", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, rabbit: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.setenv("GIROBUS_LEDGER", "" if request.param == "file" else request.getfixturevalue("postgres_url"))
    made = Place(tmp_path / "landscape", rabbit)
    yield made
    made.close()


@pytest.mark.parametrize("guarantee", ["effectively-once", "at-least-once"])
def test_purging_while_no_bus_runs_keeps_what_stands_in_a_queue(place: Place, guarantee: str) -> None:
    (place.folder / "flow.route.yaml").write_text(ROUTE.format(guarantee=guarantee))
    for advance in (place.drop, place.pass_on):
        advance(place.opened())
        place.close()
        assert place.documents() == 1
        assert "documents\t0" in place.bus("db", "purge")
        assert place.documents() == 1
        assert "documents\t0" in place.bus("db", "purge", "--dry-run")
        assert "All is well" in place.bus("db", "check")
    app = place.opened()
    until(lambda: app.bus.turn() or place.sent())
    until(lambda: place.sent() == [TEXT])
    place.close()
    assert place.documents() == 1
    assert "documents\t1" in place.bus("db", "purge")
    assert place.documents() == 0
    app = place.opened()
    assert all_blobs(app.store.read) == {}


def test_a_process_that_only_keeps_house_leaves_what_another_one_was_handed_out(
    tmp_path: Path, rabbit: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker tells nobody of it: the queue is empty."""
    monkeypatch.setenv("GIROBUS_LEDGER", postgres_url)
    place = Place(tmp_path / "landscape", rabbit)
    worker, keeper = place.opened(), place.opened(SCHEDULER)
    place.drop(worker)
    until(lambda: worker.broker.take("flow", 1))
    assert place.documents() == 1
    keeper.bus.keep_house()
    assert place.documents() == 1
    place.pass_on(worker)
    assert keeper.upkeep.everything()["documents"] == 0
    assert place.documents() == 1
    until(lambda: worker.bus.turn() or place.sent())
    until(lambda: place.sent() == [TEXT])
    until(worker.broker.at_rest)
    assert keeper.upkeep.everything()["documents"] == 1
    assert place.documents() == 0
    place.close()


def test_messages_are_searched_for_claims_as_soon_as_a_route_has_checked_one(place: Place) -> None:
    """And for ever: what it made may stand in a queue when the route is gone."""
    path = place.folder / "flow.route.yaml"
    plain = path.read_text()
    seen = []
    for text in (plain, plain.replace("to: out", "steps: [claim_check: {store: ''}]\nto: out"), plain):
        path.write_text(text)
        seen.append(place.opened().broker.sieve.claims)
        place.close()
    assert seen == [False, True, True]
