"""A process that is frozen while it takes something in, and wakes when another one has its source, takes nothing in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bus.app import App, Surroundings
from bus.testing.clock import ManualClock

LANDSCAPE = {
    "bus.yaml": "name: fence\nledger: '{url}'\n",
    "a.route.yaml": "route: a\nfrom: {file: {path: in, match: '*.txt'}}\nto: none\n",
}


def test_a_source_that_another_process_has_taken_over_is_not_admitted_from(tmp_path: Path, postgres_url: str) -> None:
    for name, text in LANDSCAPE.items():
        (tmp_path / name).write_text(text.format(url=postgres_url) if "{url}" in text else text, "utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("1")
    frozen: list[str] = []

    def effect(label: str) -> None:
        if label == "commit.admit:before" and not frozen:
            frozen.append(label)
            sql = "UPDATE lease SET owner = 'another', token = token + 1, until = until + 60000 WHERE name = 'source a'"
            app.store.commit("taken over", lambda tx: tx.execute(sql))

    clock = ManualClock()
    app = App(tmp_path, Surroundings(clock=clock, effect=effect))
    try:
        for _ in range(6):
            app.bus.turn()
            clock.advance(30_000)
        assert frozen
        assert app.store.read("SELECT count(*) FROM arrival") == [(0,)]
        assert not app.ledger.holdings.has("source a")
        (claimed,) = (tmp_path / "in" / ".claim").iterdir()
        assert claimed.name.endswith("-one.txt"), "it is not given back any more: the other one may have taken it in"
        assert not (tmp_path / "in" / "one.txt").exists()
        app.store.commit("gone", lambda tx: tx.execute("UPDATE lease SET until = 0 WHERE name = 'source a'"))
        app.ledger.holdings._asked.clear()
        assert app.ledger.holdings.mine("source a")
    finally:
        app.bus.stop()
        app.close()


def test_who_started_earlier_takes_over_what_a_later_process_had_claimed_and_left(
    tmp_path: Path, postgres_url: str
) -> None:
    """The later one has the higher number as a process; what counts is who held the source later."""
    for name, text in LANDSCAPE.items():
        (tmp_path / name).write_text(text.format(url=postgres_url) if "{url}" in text else text, "utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("1")

    def effect(label: str) -> None:
        if label == "source.claim:after":
            claimed.append(label)
            raise RuntimeError("killed")

    claimed: list[str] = []
    clock = ManualClock()
    survivor = App(tmp_path, Surroundings(clock=clock))
    killed = App(tmp_path, Surroundings(clock=clock, effect=effect))
    try:
        assert killed.epoch > survivor.epoch
        for _ in range(6):
            if not claimed:
                with suppress(RuntimeError):
                    killed.bus.turn()
                clock.advance(30_000)
        assert len(list((tmp_path / "in" / ".claim").iterdir())) == 1
        survivor.store.commit("gone", lambda tx: tx.execute("UPDATE lease SET until = 0 WHERE name LIKE 'source %'"))
        for _ in range(3):
            survivor.ledger.holdings._asked.clear()
            survivor.bus.turn()
            clock.advance(30_000)
        assert survivor.store.read("SELECT count(*) FROM arrival") == [(1,)]
        assert not list((tmp_path / "in" / ".claim").iterdir())
    finally:
        for app in (killed, survivor):
            app.bus.stop()
            app.close()
