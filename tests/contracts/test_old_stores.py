"""What an older program left in a store is there for this one, in every kind of store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bus.channels.shared import SharedBroker
from bus.channels.store import StoreBroker
from bus.ledger import retention
from bus.ledger.ledger import Ledger
from bus.ledger.place import Place, open_reading, open_store, schema_of
from bus.ledger.references import all_known
from bus.ledger.store import no_effect
from bus.message import Headers, Message, encode
from bus.testing.clock import ManualClock
from tests.unit.old_stores import store_before

UNIT = Message(Headers("ab" * 16, "ab" * 16, number=7), {"n": 1})


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "bus.db" if request.param == "file" else str(request.getfixturevalue("postgres_url"))


def test_a_ledger_of_the_first_schemas_goes_on_with_what_is_in_it(place: Place) -> None:
    def blob(content: bytes) -> str:
        return f"x'{content.hex()}'" if isinstance(place, Path) else f"'\\x{content.hex()}'"

    payload, nothing = blob(encode(UNIT)), blob(b"\x90")
    totals, part = ("tally", "") if isinstance(place, Path) else ("tally_part", "0, ")
    with closing(store_before(place, "CREATE TABLE inbox")) as old:
        for row in (
            f"deferred (due, channel, number, code, reason, payload) VALUES (1, 'in', 7, 'NET221', '', {payload})",
            f"held VALUES (1, 'in', 8, 0, '', 'POL100', '', 1, NULL, {payload})",
            f"{totals} VALUES ('a', 'sent', 'EUR', {part}7, '70.00', 500)",
            "audit (at, who, what, target, reason) VALUES (1, 'a', 'backbone', 'b', 'c')",
            "route_state VALUES ('flow', 'paused', 1)",
            "arrival VALUES ('cd', 'flow', 'ef', 0, 'a.txt', 1, 1, 7, 'completed', 'accepted', 1)",
            f"history (first, last, at, version, place, packed) VALUES (7, 7, 500, 1, 'a', {nothing})",
        ):
            old.execute(f"INSERT INTO {row}")
        before = schema_of(place)
    with closing(open_store(place, effect=no_effect)) as store:
        assert schema_of(place) > before
        ledger = Ledger(store, ManualClock())
        shared = store.shared
        broker = SharedBroker(store, ledger, ledger.holdings, ledger.epoch) if shared else StoreBroker(store, ledger)
        broker.declare(["in"])
        assert ledger.lines("in") == {}, "nobody stands in a line"
        broker.transact("due", lambda tx: ledger.collect_due(tx, 10))
        assert [delivery.message for delivery in broker.take("in", 10)] == [UNIT]
        assert ledger.route_states() == {"flow": "paused"}
        store.commit("test", lambda tx: store.add_tally(tx, "a", 600, {("sent", "EUR"): (1, "0.01")}))
        assert store.read("SELECT count, amount, last FROM tally") == [(8, "70.01", 600)]
        assert not all_known(store.read, 1), "queues of a broker hold what the older program sent"
        times = dict.fromkeys(("history", "arrivals", "outbound", "instructions", "cases", "inbox"), 1_000)
        assert retention.purge(store, times, ()) == {"arrival": 1, "history": 1}
    with open_reading(place) as reading:
        assert reading.rows("SELECT number FROM held") == [(8,)]
