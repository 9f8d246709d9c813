"""What a hostile look at delivery found: each test is one way in which a message was lost, doubled or left standing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, Listing, Unreadable, condition_wait
from faulty import Partner

from bus.errors import Rejected, Retryable
from bus.ledger.store import Store
from bus.patterns.splitter import Split
from bus.testing.endpoints import RecordingSink, ScriptedArrival

FILE = "from: {file: {path: in}}\n"
LINES = FILE + "steps:\n  - parse: {csv: {}}\n  - split: {name: lines}\n"
ROWS = FILE + "steps:\n  - parse: json\n  - split: {name: rows, each: rows}\n"


def beside(route: str) -> str:
    """The same with a folder of its own: two routes may not take the same files."""
    return route.replace("path: in", "path: more")


# ---------------------------------------------------------------- units that are refused, groups


def test_a_unit_that_is_refused_sends_nothing(tmp_path: Path) -> None:
    """The second recipient's way changed the amount: the first one's message was out already when that was found."""
    way = "  - recipients:\n      - to: out\n      - {steps: [{translate: {mapping: m}}], to: other}\n"
    mapping = "mapping: m\nfields:\n  amount: money('1.00', 'EUR')\n"
    with Desk(tmp_path, {"a": ROWS + way, "m.mapping.yaml": mapping}) as desk:
        desk.send('{"rows": [{"amount": {"value": "2.00", "currency": "EUR"}}]}')
        desk.settle()
        assert desk.cases() == ["INT132"]
        assert (desk.got(), desk.got("other"), desk.left()) == ([], [], {"dead": 1})


@pytest.mark.parametrize("wait", ["delay: 1m", "hold: {until: release}"])
def test_a_group_that_waits_keeps_its_members(tmp_path: Path, wait: str) -> None:
    """The members were swept as soon as the group was put aside: the file came out empty."""
    steps = (
        f"  - aggregate: {{complete: {{batch: true}}}}\n  - {wait}\n  - translate: {{to: {{csv: {{columns: [id]}}}}}}\n"
    )
    with Desk(tmp_path, {"a": LINES + steps + "to: out\n"}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        assert desk.left() == {"held": 1, "member": 2}
        if wait.startswith("hold"):
            desk.app.bus.control.release(desk.case("POL100"), "me", "seen")
        desk.later(120_000)
        assert desk.got() == [b"id\n1\n2\n"]
        assert desk.left() == {}


def test_a_group_that_goes_to_another_route_keeps_its_members(tmp_path: Path) -> None:
    gather = LINES + "  - aggregate: {complete: {batch: true}}\nto: b\n"
    write = "from: {channel: b}\nsteps:\n  - delay: 1m\n  - translate: {to: {csv: {columns: [id]}}}\nto: out\n"
    with Desk(tmp_path, {"a": gather, "b": write}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        desk.later(120_000)
        assert (desk.got(), desk.left(), desk.cases()) == ([b"id\n1\n2\n"], {}, [])


def test_a_copy_of_a_group_cannot_leave_its_unit(tmp_path: Path) -> None:
    """Whoever comes second would find no members."""
    steps = "  - aggregate: {complete: {batch: true}}\n  - recipients: [{steps: []}, {steps: [{delay: 1m}]}]\n"
    with Desk(tmp_path, {"a": LINES + steps + "  - translate: {to: {csv: {columns: [id]}}}\nto: out\n"}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        assert (desk.cases(), desk.got(), desk.left()) == (["VAL505"], [], {"dead": 1, "member": 2})


def test_a_reject_file_that_cannot_be_written_is_a_dead_letter(tmp_path: Path) -> None:
    """It was collected and refused again every five seconds, for ever."""
    steps = "  - validate: {rules: [{that: \"id != '1'\", message: bad}]}\nto: out\n"
    back = "on_reject: {collect: batch, to: rejects, as: {csv: {columns: [nothing]}}}\n"
    with Desk(tmp_path, {"a": LINES + steps + back}) as desk:
        desk.send("id\n1\n2\n")
        desk.settle()
        assert (desk.cases(), desk.left(), desk.count("gathering")) == (
            ["VAL330", "VAL530"],
            {"dead": 1, "member": 1},
            1,
        )


# ---------------------------------------------------------------- versions, channels and lanes

WAIT = FILE + "steps:\n  - parse: json\n  - delay: {name: while, for: 1m}\nto: out\n"


@pytest.mark.parametrize("gone", ["step", "route"])
def test_what_waits_in_a_place_that_is_gone_goes_on_after_a_restart(tmp_path: Path, gone: str) -> None:
    """Nobody declared its channel any more, and with it everything stood still whose time had come, of all routes."""
    with Desk(tmp_path, {"a": WAIT, "b": beside(WAIT)}) as desk:
        desk.send('{"a": 1}')
        desk.send('{"b": 1}', "b")
        desk.settle()
        rest = {} if gone == "route" else {"a": FILE + "steps:\n  - parse: json\nto: out\n"}
        desk.write({**rest, "b": beside(WAIT)})
        desk.again()
        desk.later(120_000)
        assert sorted(desk.got()) == [b'{"a":1}', b'{"b":1}']
        assert (desk.left(), desk.cases()) == ({}, [])


def test_a_lane_that_opens_while_somebody_looks_is_seen(tmp_path: Path) -> None:
    """The older look was kept: the file waited until the next one of its route."""
    with Desk(tmp_path, {"a": LINES + "to: out\n"}) as desk:
        desk.send("id\n1\n")
        desk.app.bus.poll_once("a")
        store, opened = desk.app.store, threading.Event()
        read = store.read

        def slow(sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
            rows = read(sql, bindings)
            if "FROM lane WHERE channel" in sql and bindings == ("a#lines",) and not opened.is_set():
                opened.set()
                desk.app.bus.run_batch("a")
            return rows

        store.read = slow  # type: ignore[method-assign]  # another thread's commit between a look and its use
        assert desk.app.broker.depth("a#lines") == 0
        desk.settle()
        assert desk.got() == [b'{"id":"1"}']


def _open(desk: Desk, route: str) -> None:
    desk.send("id\n1\n2\n", route)
    desk.app.bus.poll_once(route)
    desk.app.bus.run_batch(route)


def test_the_number_of_a_lane_is_never_given_twice(tmp_path: Path) -> None:
    """Whoever remembers a forgotten lane would read the hidden children of another route from it."""
    with Desk(tmp_path, {"a": LINES + "to: out\n", "b": beside(LINES) + "to: other\n"}) as desk:
        _open(desk, "a")
        (first,) = desk.rows("SELECT id FROM lane WHERE state = 'open'")
        desk.settle()
        _open(desk, "b")
        (second,) = desk.rows("SELECT id FROM lane WHERE state = 'open'")
        assert second > first


def test_numbers_of_a_unit_that_was_rolled_back_are_not_given_twice(tmp_path: Path) -> None:
    """Another unit of the same flush used the rest of the reservation; after a restart all of it was given again."""
    store, given = Store(tmp_path / "bus.db"), [0]

    def refused(tx: Any) -> None:
        store.numbers(tx, 10)
        raise Rejected("INT121", "a refused unit", hint="none")

    def both(_tx: Any) -> None:
        """While this one runs, the two others queue up for the next flush."""
        for thread in threads:
            thread.start()
        condition_wait(lambda: len(store._waiting) == 2)

    def first() -> None:
        with pytest.raises(Rejected):
            store.commit("test", refused)

    def second() -> None:
        condition_wait(lambda: len(store._waiting) == 1)
        given[0] = store.commit("test", lambda tx: store.numbers(tx, 10))

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    store.commit("test", both)
    for thread in threads:
        thread.join()
    store.close()
    with closing(Store(tmp_path / "bus.db")) as again:
        assert again.commit("test", lambda tx: again.numbers(tx, 1)) >= given[0] + 10


# ---------------------------------------------------------------- batches and splits

TRAILER = "trailer: {mark: T, columns: [mark, count, currency, sum], of: amount, in: currency}"
RUN = (
    f"{FILE}steps:\n  - parse: {{csv: {{columns: [id, amount, currency], {TRAILER}}}}}\n  - split: {{name: lines}}\n"
    "  - validate: {rules: [{that: \"id != '0'\", message: bad}]}\nto: out\n"
    "on_reject: {collect: batch, to: rejects, as: {csv: {columns: [id, amount, currency, reason_code, reason_text]}}}\n"
)


def _run(count: int, said: int) -> str:
    """A payment run whose first line has a column too many and whose trailer says how many lines there are."""
    lines = "".join(f"{n},1.00,EUR{',?' if n == 0 else ''}\n" for n in range(count))
    return f"id,amount,currency\n{lines}T,{said},EUR,{said}.00\n"


def test_a_refused_file_leaves_nothing_to_the_next_batch(tmp_path: Path) -> None:
    """The next batch got its number, and with that its groups: the first reject file was called the second one."""
    with Desk(tmp_path, {"a": RUN}) as desk:
        desk.send(_run(600, 601))
        desk.settle()
        assert (desk.count("batch"), desk.count("gathering")) == (0, 2)
        desk.send(_run(2, 2), name="g")
        desk.settle()
        assert desk.rows("SELECT release FROM gathering ORDER BY id DESC LIMIT 1") == [(0,)]
        assert desk.rows("SELECT count(*) FROM gathering WHERE batch = (SELECT id FROM batch)") == [(1,)]


def test_a_split_that_is_given_up_leaves_no_hidden_children(tmp_path: Path) -> None:
    """They stayed for ever, and a retry under a mended route went on behind them, however it counted."""

    def broken(self: Split, message: Any) -> Any:
        for n, part in enumerate(whole(self, message)):
            if n == 700:
                raise ValueError(n)
            yield part

    whole, text = Split.expand, "id\n" + "".join(f"{n}\n" for n in range(800))
    with Desk(tmp_path, {"a": LINES + "to: out\non_error: {attempts: 2}\n"}) as desk:
        desk.send(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Split, "expand", broken)
            desk.settle()
        assert (desk.left(), desk.count("batch"), desk.cases()) == ({"dead": 1}, 0, ["INT199"])
        desk.write({"a": LINES.replace("{csv: {}}", "{csv: {columns: [id], header: false}}") + "to: out\n"})
        desk.app.reload()
        desk.app.bus.control.retry(desk.case("INT199"), "me", "mended")
        desk.settle()
        assert desk.got() == [b'{"id":"id"}', *(b'{"id":"%d"}' % n for n in range(800))]


def test_a_copy_that_comes_after_its_batch_joins_a_late_group(tmp_path: Path) -> None:
    """The batch does not wait for copies; what such a one joined was released by nobody."""
    ways = "  - recipients: [{steps: []}, {steps: [{resequence: {number: id, timeout: 1m}}]}]\n"
    gather = "  - aggregate: {complete: {batch: true}}\n  - translate: {to: {csv: {columns: [id]}}}\nto: out\n"
    with Desk(tmp_path, {"a": LINES + ways + gather}) as desk:
        desk.send("id\n2\n3\n")
        desk.settle()
        desk.later(120_000)
        assert (desk.got(), desk.left()) == ([b"id\n2\n3\n"] * 2, {})


@pytest.mark.parametrize("way", ["{steps: []}", "{to: b}"])
def test_a_copy_is_split_like_any_other_message(tmp_path: Path, way: str) -> None:
    """The archive gets the message itself, so what goes on to a split, here or in another route, is a copy of it."""
    split = "  - parse: json\n  - split: {name: rows, each: rows}\nto: out\n"
    ways = f"{FILE}steps:\n  - recipients: [{{to: other}}, {way}]\n"
    with Desk(tmp_path, {"a": ways + split, "b": "from: {channel: b}\nsteps:\n" + split}) as desk:
        desk.send('{"rows": [{"n": 1}, {"n": 2}]}')
        desk.settle()
        assert sorted(desk.got()) == [b'{"n":1}', b'{"n":2}']
        assert (len(desk.got("other")), desk.cases(), desk.left()) == (1, [], {})


def test_a_copy_that_was_sent_counts_as_sent_in_its_own_route(tmp_path: Path) -> None:
    """It was told as filtered, whatever became of it."""
    ways = FILE + "steps:\n  - parse: json\n  - tap: b\nto: out\n"
    with Desk(tmp_path, {"a": ways, "b": "from: {channel: b}\nto: other\n"}) as desk:
        desk.send('{"n": 1}')
        desk.settle()
        assert desk.rows("SELECT outcome, count FROM tally WHERE place = 'b'") == [("sent", 1)]


# ---------------------------------------------------------------- damage


def _damage(desk: Desk, table: str, change: Callable[[bytes], bytes] = lambda stored: b"{" + stored) -> None:
    """An unlucky disk: the first row of a table is not what was stored, as a rule no message any more."""

    def work(tx: Any) -> None:
        row, stored = tx.execute(f"SELECT rowid, payload FROM {table} ORDER BY rowid LIMIT 1").fetchone()  # noqa: S608 - names of the test
        changed = change(stored)
        assert changed != stored
        tx.execute(f"UPDATE {table} SET payload = ? WHERE rowid = ?", (changed, row))  # noqa: S608 - as above

    desk.app.store.commit("damage", work)


def test_an_amount_that_changed_on_the_disk_is_not_sent(tmp_path: Path) -> None:
    """One bit of it; all of it is still a message, and only its checksum tells."""
    with Desk(tmp_path, {"a": WAIT}) as desk:
        desk.send('{"amount": "1234.50"}')
        desk.settle()
        _damage(desk, "held", lambda stored: stored.replace(b"1234.50", b"9234.50"))
        desk.later(120_000)
        assert (desk.got(), desk.cases(), desk.left()) == ([], ["INT101"], {"dead": 1})


def test_a_damaged_message_is_not_sent_to_a_partner(tmp_path: Path) -> None:
    """The bytes of its envelope were delivered as a file."""
    with Desk(tmp_path, {"a": FILE + "steps:\n  - parse: json\nto: out\n"}) as desk:
        desk.app.bus.hold_outputs = True
        desk.send('{"a": 1}')
        desk.turn(3)
        _damage(desk, "queued")
        desk.app.bus.hold_outputs = False
        desk.settle()
        assert (desk.got(), desk.cases(), desk.left()) == ([], ["INT101"], {"dead": 1})


def test_a_damaged_message_that_waits_stops_no_other(tmp_path: Path) -> None:
    """Nothing that waited for a time went on any more, whatever its route."""
    with Desk(tmp_path, {"a": WAIT, "b": beside(WAIT)}) as desk:
        desk.send('{"a": 1}')
        desk.send('{"b": 1}', "b")
        desk.settle()
        _damage(desk, "held")
        desk.later(120_000)
        assert (desk.got(), desk.cases(), desk.left()) == ([b'{"b":1}'], ["INT101"], {"dead": 1})


def test_a_damaged_child_does_not_stop_its_file(tmp_path: Path) -> None:
    gather = "  - aggregate: {complete: {batch: true}}\n  - translate: {to: {csv: {columns: [id]}}}\nto: out\n"
    with Desk(tmp_path, {"a": LINES + gather}) as desk:
        _open(desk, "a")
        _damage(desk, "queued")
        desk.settle()
        assert (desk.got(), desk.cases(), desk.left()) == ([b"id\n2\n"], ["INT101"], {"dead": 1})


# ---------------------------------------------------------------- holds, outlets, sources, time

SWITCH = "table: switches\nrows: [{key: payments, value: %s}]\n"


def test_a_switch_releases_what_was_held_before_it_was_turned(tmp_path: Path) -> None:
    """The condition was asked without the landscape's tables, so it was an error, which keeps holding."""
    hold = FILE + "steps:\n  - parse: json\n  - hold: {release_when: \"lookup('switches', 'payments') == 'open'\"}\n"
    with Desk(tmp_path, {"a": hold + "to: out\n", "switches.table.yaml": SWITCH % "shut"}) as desk:
        desk.send('{"a": 1}')
        desk.settle()
        assert desk.left() == {"held": 1}
        desk.write({"a": hold + "to: out\n", "switches.table.yaml": SWITCH % "open"})
        desk.app.reload()
        desk.settle()
        assert (desk.got(), desk.left()) == ([b'{"a":1}'], {})


def test_many_held_messages_do_not_hide_the_next_one(tmp_path: Path) -> None:
    """Only the first thousand were ever looked at."""
    hold = "  - hold: {release_when: \"lookup('switches', id, 'shut') == 'open'\"}\nto: out\n"
    with Desk(tmp_path, {"a": LINES + hold, "switches.table.yaml": SWITCH % "open"}) as desk:
        desk.write({"a": LINES + hold, "switches.table.yaml": SWITCH % "shut"})
        desk.app.reload()
        desk.send("id\n" + "other\n" * 1000 + "payments\n")
        desk.turn(20)
        assert desk.left() == {"held": 1001}
        desk.write({"a": LINES + hold, "switches.table.yaml": SWITCH % "open"})
        desk.app.reload()
        desk.turn(10)
        assert desk.got() == [b'{"id":"payments"}']


def test_messages_of_an_outlet_that_is_gone_wait_and_are_told_once(tmp_path: Path) -> None:
    """Each turn of the bus broke off there; nothing behind it was sent."""
    way = FILE + "steps:\n  - parse: json\nto: %s\n"
    with Desk(tmp_path, {"a": way % "out", "b": beside(way) % "other"}) as desk:
        desk.app.bus.hold_outputs = True
        desk.send('{"a": 1}')
        desk.turn(3)
        desk.write({"b": beside(way) % "other"}, outlets=("other", "rejects"))
        desk.app.reload()
        desk.app.bus.hold_outputs = False
        desk.send('{"b": 1}', "b")
        desk.settle()
        assert (desk.got("other"), desk.left()) == ([b'{"b":1}'], {"queued": 1})
        assert desk.rows("SELECT code, count FROM cases") == [("CFG169", 1)]
        desk.write({"b": beside(way) % "other"})
        desk.app.reload()
        desk.settle()
        assert (desk.got(), desk.left()) == ([b'{"a":1}'], {})


def test_a_discarded_group_leaves_no_members(tmp_path: Path) -> None:
    write = "  - aggregate: {complete: {batch: true}}\n  - translate: {to: {csv: {columns: [nothing]}}}\nto: out\n"
    with Desk(tmp_path, {"a": LINES + write}) as desk:
        desk.send("id\n1\n")
        desk.settle()
        desk.app.bus.control.discard(desk.case("VAL330"), "me", "wrong route")
        desk.settle()
        assert desk.left() == {}


def test_a_file_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    """Everything behind it in the order of names was never reached."""
    source = Listing(arrivals=[Unreadable("a", b"")])
    with Desk(tmp_path, {"a": FILE + "steps:\n  - parse: json\nto: out\n"}, source=lambda *_: source) as desk:
        source.arrivals.append(ScriptedArrival("b", b'{"b": 1}'))
        desk.turn(200)
        assert (desk.got(), desk.cases()) == ([b'{"b":1}'], ["NET104"])


def test_a_clock_that_is_set_back_stops_no_source_and_no_outlet(tmp_path: Path) -> None:
    """Both waited for the time of before to come again."""
    with Desk(tmp_path, {"a": FILE + "steps:\n  - parse: json\nto: out\n"}) as desk:
        desk.turn(5)
        desk.app.bus.assembly.senders["out"].resting_until = desk.clock.now() + 2_000
        desk.clock.advance(-3_600_000)
        desk.send('{"a": 1}')
        desk.settle()
        assert desk.got() == [b'{"a":1}']


def test_a_clock_that_is_set_back_puts_no_attempt_off(tmp_path: Path) -> None:
    """What had failed while the clock was an hour fast was tried again an hour later."""
    bank = Partner(away=Retryable("NET101", "away", hint="wait"))
    routes = {"a": FILE + "steps:\n  - parse: json\nto: out\n"}
    with Desk(tmp_path, routes, sink=lambda *_: bank) as desk:
        desk.clock.advance(3_600_000)
        desk.send('{"a": 1}')
        desk.turn(5)
        assert desk.left() == {"deferred": 1}
        bank.away = None
        desk.clock.advance(-3_600_000)
        desk.later(20_000)
        assert list(bank.delivered.values()) == [b'{"a":1}']


def test_amounts_of_any_size_are_added_to_the_last_cent(tmp_path: Path) -> None:
    """Sums were rounded to 28 digits, and an amount with a giant exponent broke its outlet after it was sent."""
    rows = [(f"{'9' * 30}.99", 2), ("0.01", 1), ("1E+9999999", 1)]
    texts = [
        f'{{"n": {n}, "amount": {{"value": "{v}", "currency": "EUR"}}}}'
        for n, (v, k) in enumerate(rows)
        for _ in range(k)
    ]
    with Desk(tmp_path, {"a": ROWS + "to: out\n"}) as desk:
        desk.send('{"rows": [' + ", ".join(texts) + "]}")
        desk.settle()
        assert len(desk.got()) == 4
        sums = desk.rows("SELECT amount FROM tally WHERE currency = 'EUR' AND outcome IN ('in', 'delivered')")
        assert [Decimal(amount) for (amount,) in sums] == [Decimal("1999999999999999999999999999999.99")] * 2


# ---------------------------------------------------------------- threads


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """The channel whose commit was refused was woken by nobody."""
    full = threading.Event()
    with Desk(tmp_path, {"a": FILE + "steps:\n  - parse: json\nto: out\n"}) as desk:
        store, refused = desk.app.store, []
        commit = store.commit

        def refusing(label: str, work: Callable[[Any], Any]) -> Any:
            if full.is_set() and label == "segment":
                refused.append(label)
                raise Retryable("SYS111", "full", hint="free space")
            return commit(label, work)

        store.commit = refusing  # type: ignore[method-assign]  # a disk that is full for a while
        full.set()
        desk.send('{"a": 1}')
        desk.app.bus.poll_once("a")
        desk.app.bus.start()
        try:
            condition_wait(lambda: len(refused) >= 2)
            full.clear()
            condition_wait(lambda: bool(desk.got()))
        finally:
            assert desk.app.bus.stop(10)


def test_a_reload_does_not_disconnect_who_is_sending(tmp_path: Path) -> None:
    """The answer to the rename would be lost, and the delivery in doubt."""
    inside, go_on, told = threading.Event(), threading.Event(), []

    class Slow(RecordingSink):
        def publish(self, receipt: dict[str, Any]) -> None:
            inside.set()
            assert go_on.wait(10)
            super().publish(receipt)
            told.append("published")

        def close(self) -> None:
            told.append("closed")

    with Desk(tmp_path, {"a": FILE + "steps:\n  - parse: json\nto: out\n"}, sink=lambda *_: Slow()) as desk:
        desk.send('{"a": 1}')
        desk.app.bus.poll_once("a")
        desk.app.bus.start()
        try:
            assert inside.wait(10)
            reload = threading.Thread(target=desk.app.reload)
            reload.start()
            reload.join(0.2)
            go_on.set()
            reload.join(10)
        finally:
            assert desk.app.bus.stop(10)
        assert told[0] == "published"
        assert desk.cases() == []


class Crash(BaseException):
    """The process ends here."""


def test_a_file_that_was_taken_is_deleted_although_it_must_stand_still_first(tmp_path: Path) -> None:
    """The first look after a crash hands out nothing where files must be unchanged; it was taken for the last word."""
    box = tmp_path / "landscape" / "in"
    box.mkdir(parents=True)
    armed = [True]

    def effect(label: str) -> None:
        if armed[0] and label == "source.done:before":
            raise Crash(label)

    take = "from: {file: {path: in, ready: {stable: true}, after: delete}}\nsteps:\n  - parse: json\nto: out\n"
    with Desk(tmp_path, {"a": take}, source=lambda spec, resources: spec.source(resources), effect=effect) as desk:
        (box / "f").write_text('{"n": 1}')
        with pytest.raises(Crash):
            desk.turn(20, 1_000)
        armed[0] = False
        desk.again()
        desk.later(20_000)
        assert (desk.got(), list(box.iterdir()), desk.cases()) == ([b'{"n":1}'], [], [])
