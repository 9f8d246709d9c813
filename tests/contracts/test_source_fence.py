"""A process that is frozen while it takes something in, and wakes when another one has its source, takes nothing in."""

from __future__ import annotations

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
        app.store.commit("gone", lambda tx: tx.execute("UPDATE lease SET until = 0 WHERE name = 'source a'"))
        app.ledger.holdings._asked.clear()
        assert app.ledger.holdings.mine("source a")
    finally:
        app.bus.stop()
        app.close()
