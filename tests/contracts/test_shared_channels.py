"""Channels that several processes share: each message is settled once, whoever is slow, frozen or dead."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from bus.channels.shared import SharedBroker
from bus.errors import Retryable
from bus.folder import DropSpec, FolderSink
from bus.landscape import ErrorPolicySpec
from bus.ledger.blobs import FileBlobs
from bus.ledger.ledger import Ledger
from bus.ledger.postgres import PostgresStore
from bus.message import Headers, Join, Message, Sequence, child_id
from bus.ports import Chunk, Cursor, Delivery, Gathering, Receipt, Settlement
from bus.runtime.sender import Outlet, Sender
from bus.runtime.stores import Stores
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink
from bus.testing.folder import MemoryFolder, ScriptedResources

ROOT = "6ba7b8119dad11d180b400c04fd430c8"
SHORT, LONG = 500, 60_000
"""Milliseconds of a lease that is to be over soon, and of one that must not be, however slow the machine is."""


class Process:
    """One process on a ledger."""

    def __init__(self, url: str) -> None:
        self.store = PostgresStore(url)
        self.ledger = Ledger(self.store, ManualClock())
        self.ledger.holdings.term = LONG
        assert self.ledger.holdings.mine(self.ledger.holdings.owner)
        self.broker = SharedBroker(self.store, self.ledger, self.ledger.holdings, self.ledger.epoch)
        self.broker.declare(["in", "in#next", "bank"])
        self.broker.reserve(["bank"])
        self.broker.look_around()

    def freeze(self) -> None:
        """It does nothing until its leases are over, and the pause of who was refused one of them."""
        self.ledger.holdings.term = SHORT
        self.ledger.holdings.renew()
        self.ledger.holdings.term = LONG
        time.sleep(SHORT / 1000 + 0.1)

    def put(self, channel: str, *names: str) -> None:
        self.broker.transact("put", lambda _tx: [(channel, message(name)) for name in names])

    def put_bytes(self, channel: str, body: bytes) -> None:
        self.broker.transact("put", lambda _tx: [(channel, message(body.decode()).with_body(body))])

    def settle(self, deliveries: list[Delivery], *puts: str, place: str = "in") -> None:
        settlement = Settlement(place)
        settlement.puts.extend(("in#next", message(name)) for name in puts)
        self.broker.settle(deliveries, settlement, "segment")


@pytest.fixture
def processes(postgres_url: str) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make() -> Process:
        made.append(Process(postgres_url))
        for process in made:
            process.broker.look_around()
        return made[-1]

    yield make
    for process in made:
        process.store.close()


def message(name: str, **headers: Any) -> Message:
    identity = child_id(ROOT, "test", "message", name)
    return Message(Headers(identity, identity, **headers), name)


def names(deliveries: list[Delivery]) -> list[str]:
    return [str(delivery.message.body) for delivery in deliveries]


def test_live_processes_are_not_given_the_same(processes: Callable[..., Process]) -> None:
    a, b = processes(), processes()
    a.put("in", *"123456")
    first, second = a.broker.take("in", 2), b.broker.take("in", 3)
    assert (names(first), names(second)) == (["1", "2"], ["3", "4", "5"])
    assert names(a.broker.take("in", 9)) == ["1", "2"], "what one took itself and did not settle comes again"
    a.settle(first)
    b.settle(second)
    assert names(b.broker.take("in", 9)) == ["6"]
    assert names(a.broker.take("in", 9)) == [], "the last one is with the other process"


def test_what_two_processes_took_around_each_other_and_gave_up_is_taken_again(
    processes: Callable[..., Process],
) -> None:
    a, b = processes(), processes()
    a.put("in", *"1234")
    assert names(a.broker.take("in", 1)) == ["1"]
    assert names(b.broker.take("in", 1)) == ["2"]
    for alone in ("1", "34"):  # never around what the other one has
        taken = a.broker.take("in", 9)
        assert names(taken) == list(alone)
        a.settle(taken)
    assert names(a.broker.take("in", 9)) == []
    assert names(b.broker.take("in", 9)) == ["2"]


def test_who_comes_back_after_its_time_keeps_nothing_from_anybody(processes: Callable[..., Process]) -> None:
    frozen, other = processes(), processes()
    frozen.put("in", *"12")
    assert names(frozen.broker.take("in", 9)) == ["1", "2"]
    frozen.freeze()
    assert names(other.broker.take("in", 9)) == ["1", "2"]
    frozen.ledger.holdings.renew()  # nobody can take over the name of a process
    assert names(other.broker.take("in", 9)) == [], "who asks for more has given up what it had"
    assert names(frozen.broker.take("in", 9)) == ["1", "2"]


def test_who_lost_an_outlet_while_it_was_frozen_keeps_nothing_from_its_new_holder(
    processes: Callable[..., Process],
) -> None:
    frozen, other = processes(), processes()
    frozen.put("bank", "1")
    assert names(frozen.broker.take("bank", 9)) == ["1"]
    frozen.freeze()
    assert other.ledger.holdings.mine("outlet bank")
    frozen.ledger.holdings.renew()  # it lives on, without the outlet
    assert frozen.broker.take("bank", 9) == []
    taken = other.broker.take("bank", 9)
    assert names(taken) == ["1"]
    other.settle(taken, place="bank")


def test_claims_that_count_no_more_are_swept(processes: Callable[..., Process]) -> None:
    dead, other = processes(), processes()
    dead.put("in", "1")
    assert names(dead.broker.take("in", 9)) == ["1"]
    other.broker.sweep()
    assert other.store.read("SELECT count(*) FROM claim") == [(1,)]
    dead.freeze()
    other.broker.sweep()
    assert other.store.read("SELECT count(*) FROM claim") == [(0,)]


def test_what_a_dead_process_had_is_taken_over_and_its_late_settlement_changes_nothing(
    processes: Callable[..., Process],
) -> None:
    frozen, other = processes(), processes()
    frozen.put("in", "1", "2")
    had = frozen.broker.take("in", 9)
    assert names(other.broker.take("in", 9)) == []
    frozen.freeze()
    taken = other.broker.take("in", 1)
    assert names(taken) == ["1"]
    other.settle(taken, "out of the other")
    with pytest.raises(Retryable, match="SYS122"):
        frozen.settle(had, "out of the frozen")
    assert names(other.broker.take("in#next", 9)) == ["out of the other"]
    assert names(other.broker.take("in", 9)) == ["2"], "nothing of the refused settlement was kept"


def test_one_process_at_a_time_has_an_outlet_and_the_one_before_is_fenced_off(
    processes: Callable[..., Process],
) -> None:
    frozen, other = processes(), processes()
    frozen.put("bank", "1")
    had = frozen.broker.take("bank", 9)
    assert names(had) == ["1"]
    assert other.broker.take("bank", 9) == []
    frozen.settle([], place="bank")
    frozen.freeze()
    assert names(other.broker.take("bank", 9)) == ["1"]
    for deliveries in ([], had):
        with pytest.raises(Retryable, match="SYS122"):
            frozen.settle(deliveries, place="bank")
    other.settle(other.broker.take("bank", 9), place="bank")


def stores(process: Process, blobs: Path) -> Stores:
    chance = random.Random(1)  # noqa: S311 - spreads retries, guards nothing
    return Stores(process.broker, process.ledger, FileBlobs(blobs), process.ledger.clock, chance)


class Window(RecordingSink):
    """A sink that sends all that is prepared at once, as one for a broker does."""

    def __init__(self, sent: list[bytes], first: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.sent = sent
        self.first = first
        self.swept = 0
        self.cleared = 0

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        receipt = super().prepare(message, content)
        self.first()
        return receipt

    def publish(self, receipt: Receipt) -> None:
        del receipt
        self.sent += self.staged.values()
        self.staged.clear()

    def sweep(self, live: set[str], *, over: bool = False) -> None:
        assert not live
        self.swept += 1
        self.cleared += over

    def close(self) -> None:
        self.staged.clear()


def test_what_a_frozen_process_prepared_is_not_published_when_it_gets_the_outlet_again(
    processes: Callable[..., Process], tmp_path: Path
) -> None:
    frozen, other = processes(), processes()
    sent: list[bytes] = []
    sinks = {other: Window(sent)}

    def window(process: Process) -> Sender:
        return Sender(Outlet("bank", sinks[process], None, 9, ErrorPolicySpec()), stores(process, tmp_path))

    def freeze() -> None:
        sinks[frozen].first = lambda: None
        frozen.freeze()
        assert window(other).send_once() == 1

    sinks[frozen] = Window(sent, freeze)
    woken = window(frozen)
    frozen.put_bytes("bank", b"1")
    with pytest.raises(Retryable, match="SYS122"):
        woken.send_once()
    assert sent == [b"1"]
    assert woken.send_once() == 0
    assert sinks[frozen].cleared == 1, "what it left itself, after the other one had looked, nobody else removes"
    assert woken.send_once() == 0
    assert sinks[frozen].cleared == 1
    other.ledger.holdings.release()
    frozen.put_bytes("bank", b"2")
    time.sleep(0.6)
    assert woken.send_once() == 1
    assert sent == [b"1", b"2"]
    assert sinks[frozen].swept == 3, "what the other one left there is nobody's"


class Killed(BaseException):
    """The process is gone."""


def sender(
    process: Process, folder: MemoryFolder, blobs: Path, effect: Callable[[str], None] = lambda _label: None
) -> Sender:
    """What puts files of the outlet `bank` into a partner's folder."""
    resources = ScriptedResources(process.ledger.clock, "bank", epoch=process.ledger.epoch, effect=effect)
    sink = FolderSink(folder, DropSpec(path="/inbox", name="{id}.xml"), resources)
    return Sender(Outlet("bank", sink, None, 9, ErrorPolicySpec()), stores(process, blobs))


def later(process: Process) -> None:
    """The time of every retry has come."""
    process.ledger.clock.advance(60 * 60_000)
    process.broker.transact("due", lambda tx: process.ledger.collect_due(tx, 9))


def test_what_was_refused_as_a_file_goes_out_by_an_outlet_of_another_kind(
    processes: Callable[..., Process], tmp_path: Path
) -> None:
    """Its route was changed while it waited for its next attempt; the new sink has no stage files to discard."""
    dead, other = processes(), processes()
    folder = MemoryFolder(dead.ledger.clock)
    folder.make_folder("/inbox")

    def die(moment: str, _path: str) -> None:
        if moment == "rename:before":
            raise Killed

    folder.interrupt = die
    dead.put_bytes("bank", b"1234.50 EUR")
    with pytest.raises(Killed):
        sender(dead, folder, tmp_path).send_once()
    folder.interrupt, folder.refuse = None, {"rename"}
    dead.freeze()
    assert sender(other, folder, tmp_path).send_once() == 1
    later(other)
    now = Outlet("bank", RecordingSink(), None, 9, ErrorPolicySpec())
    assert Sender(now, stores(other, tmp_path)).send_once() == 1
    assert other.store.read("SELECT count(*) FROM dead") == [(0,)]


def test_a_process_that_dies_while_it_stages_again_what_was_refused_leaves_no_doubt(
    processes: Callable[..., Process], tmp_path: Path
) -> None:
    """Its old stage file is unlinked then, and the new one is not there yet."""
    dead, other = processes(), processes()
    folder = MemoryFolder(dead.ledger.clock, refuse={"rename"})
    folder.make_folder("/inbox")
    dying = sender(dead, folder, tmp_path)
    dead.put_bytes("bank", b"1234.50 EUR")
    assert dying.send_once() == 1
    folder.refuse = set()

    def die(moment: str, _path: str) -> None:
        if moment == "write:before":
            raise Killed

    folder.interrupt = die
    later(dead)
    with pytest.raises(Killed):
        dying.send_once()
    folder.interrupt = None
    assert folder.paths("/inbox/.stage") == []
    dead.freeze()
    assert sender(other, folder, tmp_path).send_once() == 1
    assert other.store.read("SELECT code FROM dead") == []
    assert [folder.get(path) for path in folder.paths("/inbox")] == [b"1234.50 EUR"]


@pytest.mark.parametrize("wakes", ["before it is staged again", "after it is sent"])
def test_a_process_that_is_frozen_before_its_rename_doubles_nothing_when_it_wakes(
    processes: Callable[..., Process], tmp_path: Path, wakes: str
) -> None:
    """The next owner asks, is refused the rename, and stages the file anew; the partner takes what comes."""
    frozen, other = processes(), processes()
    folder = MemoryFolder(frozen.ledger.clock)
    folder.make_folder("/inbox")
    taken: list[bytes] = []

    def take() -> None:
        taken.extend(folder.take(path) for path in folder.paths("/inbox") if path.endswith(".xml"))

    def go_on() -> None:
        later(other)
        assert successor.send_once() == 1

    def freeze(label: str) -> None:
        if label != "sink.rename:before" or folder.refuse:
            return
        frozen.freeze()
        folder.refuse = {"rename"}
        assert successor.send_once() == 1
        folder.refuse = set()
        if wakes == "after it is sent":
            go_on()
            take()

    successor = sender(other, folder, tmp_path)
    frozen.put_bytes("bank", b"1234.50 EUR")
    with pytest.raises(Retryable, match="SYS122"):
        sender(frozen, folder, tmp_path, freeze).send_once()
    take()
    if wakes != "after it is sent":
        go_on()
        assert other.store.read("SELECT code FROM dead") == [("NET112",)], "what it did is not known here"
    take()
    assert taken == [b"1234.50 EUR"]
    assert folder.paths("/inbox/.stage") == []


def test_messages_of_several_senders_keep_the_order_they_were_sent_in(processes: Callable[..., Process]) -> None:
    a, b = processes(), processes()
    sent = []
    for n in range(6):
        (a, b)[n % 2].put("in", f"{n}a", f"{n}b")
        sent += [f"{n}a", f"{n}b"]
    assert names(b.broker.take("in", 99)) == sent


def chunk(parent: Delivery, numbers: range) -> Chunk:
    """These children of a file."""
    children = [
        Message(Headers(child_id(parent.message.headers.id, "in", "rows", n), ROOT, sequence=Sequence(0, n)), n)
        for n in numbers
    ]
    money = {("in", ""): (len(numbers), Decimal(0))}
    return Chunk(parent.message, "rows", "in#next", len(numbers), children, money, {}, Settlement("in"))


def opened(process: Process, parent: Delivery, batch: Cursor) -> None:
    """All parts of a file are stored: they may be worked on."""
    opening = Settlement("in")
    opening.open_batches.append(batch)
    process.broker.settle([parent], opening, "segment")


def split(process: Process, count: int) -> None:
    """A file is stored as the children of a batch, and the batch is opened."""
    process.put("in", "file")
    (parent,) = process.broker.take("in", 1)
    opened(process, parent, process.broker.stage(chunk(parent, range(count)), None))


def joining(deliveries: list[Delivery]) -> Settlement:
    """Children join one group, which is released when all of the batch are accounted for."""
    settlement = Settlement("in#next")
    for delivery in deliveries:
        settlement.joins.append((Join("file", (), delivery.message), Gathering("bank", batch=True)))
        settlement.report(delivery.message, "joined")
    return settlement


@pytest.mark.parametrize("ended", [False, True], ids=["while-it-goes-on", "when-it-is-done"])
def test_who_was_frozen_in_the_middle_of_a_split_adds_nothing_to_what_another_one_stored(
    processes: Callable[..., Process], *, ended: bool
) -> None:
    a, b = processes(), processes()
    a.put("in", "file")
    (parent,) = a.broker.take("in", 1)
    old = a.broker.stage(chunk(parent, range(2)), None)
    a.freeze()
    (taken,) = b.broker.take("in", 1)
    cursor = b.ledger.cursor(taken.message.headers.id, "rows")
    assert cursor == old
    cursor = b.broker.stage(chunk(taken, range(2, 4)), cursor)
    if ended:
        opened(b, taken, cursor)
        done = b.broker.take("in#next", 9)
        b.broker.settle(done, joining(done), "segment")
    a.ledger.holdings.renew()
    with pytest.raises(Retryable, match="SYS122"):
        a.broker.stage(chunk(parent, range(2, 4)), old)
    with pytest.raises(Retryable, match=r"SYS12[23]"):  # nor does it begin anew
        a.broker.stage(chunk(parent, range(2)), None)
    if not ended:
        opened(b, taken, cursor)
        done = b.broker.take("in#next", 9)
        b.broker.settle(done, joining(done), "segment")
    assert [delivery.message.body for delivery in done] == [0, 1, 2, 3]
    assert b.broker.take("in#next", 9) == []
    (released,) = b.broker.take("bank", 9)
    assert [member.body for member in b.ledger.members(released.message.body)] == [0, 1, 2, 3]


def test_processes_that_split_one_file_at_the_same_moment_store_its_parts_once(
    processes: Callable[..., Process],
) -> None:
    """The second one looks while the transaction of the first is still open."""
    a, b = processes(), processes()
    a.put("in", "file")
    (parent,) = a.broker.take("in", 1)
    at = a.broker.stage(chunk(parent, range(2)), None)
    second = threading.Thread(target=lambda: refused.append(_refusal(lambda: b.broker.stage(chunk(parent, more), at))))
    refused: list[str] = []
    more = range(2, 4)

    def meanwhile() -> None:
        second.start()
        time.sleep(0.3)

    cursor = a.broker.stage(chunk(parent, more), at, meanwhile)
    second.join()
    assert refused == ["SYS122"]
    opened(a, parent, cursor)
    assert [delivery.message.body for delivery in a.broker.take("in#next", 9)] == [0, 1, 2, 3]


def _refusal(work: Callable[[], object]) -> str:
    try:
        work()
    except Retryable as error:
        return error.code
    return ""


def test_processes_that_work_on_one_file_at_the_same_moment_lose_no_count(processes: Callable[..., Process]) -> None:
    """The second one applies its settlement while the transaction of the first is still open."""
    a, b = processes(), processes()
    split(a, 2)
    first, second = (process.broker.take("in#next", 1) for process in (a, b))
    applied, go_on = threading.Event(), threading.Event()

    def slow(tx: Any) -> None:
        a.ledger.apply(tx, joining(first))
        applied.set()
        assert go_on.wait(10)

    threads = [threading.Thread(target=a.store.commit, args=("test", slow))]
    threads[0].start()
    assert applied.wait(10)
    threads.append(threading.Thread(target=b.broker.settle, args=(second, joining(second), "segment")))
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive(), "it waits for the first"
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert a.store.read("SELECT state, unreported FROM batch") == [("complete", 0)]
    assert a.store.read("SELECT state, count FROM gathering") == [("released", 2)]
    assert a.store.read("SELECT count FROM tally WHERE outcome = 'joined'") == [(2,)]


def at_the_same_moment(
    one: Process, first: Callable[[Any], list[tuple[str, Message]]], other: Callable[[], None]
) -> None:
    """``other`` is begun while the transaction of ``first`` is still open, and has to wait for it."""
    applied, go_on = threading.Event(), threading.Event()

    def slow(tx: Any) -> list[tuple[str, Message]]:
        puts = first(tx)
        applied.set()
        assert go_on.wait(10)
        return puts

    threads = [threading.Thread(target=one.broker.transact, args=("test", slow)), threading.Thread(target=other)]
    threads[0].start()
    assert applied.wait(10)
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive(), "it waits for the first"
    go_on.set()
    for thread in threads:
        thread.join(10)


def one_has_joined(a: Process, b: Process, rule: Gathering) -> tuple[list[Delivery], Settlement]:
    """Of a file of two children one stands in a group; what the other does completes the file: it is filtered."""
    split(a, 2)
    first, second = (process.broker.take("in#next", 1) for process in (a, b))
    settlement = Settlement("in#next")
    settlement.joins.append((Join("file", (), first[0].message), rule))
    settlement.report(first[0].message, "joined")
    a.broker.settle(first, settlement, "segment")
    last = Settlement("in#next")
    last.report(second[0].message, "filtered")
    return second, last


def test_a_group_whose_time_comes_when_its_file_is_through_is_released_once(processes: Callable[..., Process]) -> None:
    a, b = processes(), processes()
    second, last = one_has_joined(a, b, Gathering("bank", batch=True, after=1_000))
    a.ledger.clock.advance(2_000)  # type: ignore[attr-defined]  # a clock of tests
    at_the_same_moment(a, lambda tx: a.ledger.collect_due(tx, 10), lambda: b.broker.settle(second, last, "segment"))
    assert len(a.broker.take("bank", 9)) == 1
    assert a.store.read("SELECT state, count FROM gathering") == [("released", 1)]


def test_a_copy_that_joins_when_its_file_is_through_is_in_a_group_that_is_released(
    processes: Callable[..., Process],
) -> None:
    a, b = processes(), processes()
    rule = Gathering("bank", batch=True)
    second, last = one_has_joined(a, b, rule)
    sequence = second[0].message.headers.sequence
    wish = Join("file", (), message("copy", copy=True, sequence=sequence, parent_id=second[0].message.headers.id))
    copied = Settlement("in#next")
    copied.joins.append((wish, rule))

    def join(tx: Any) -> list[tuple[str, Message]]:
        a.ledger.apply(tx, copied)
        return []

    at_the_same_moment(a, join, lambda: b.broker.settle(second, last, "segment"))
    (released,) = a.broker.take("bank", 9)
    assert released.message.body.count == 2
    assert a.store.read("SELECT state, count FROM gathering") == [("released", 2)]


def test_a_batch_that_another_process_opened_is_found_and_counted_once(processes: Callable[..., Process]) -> None:
    """One splits, both aggregate: the group is released once, with all members."""
    a, b = processes(), processes()
    split(a, 8)
    for process in (b, a, b, a):
        deliveries = process.broker.take("in#next", 2)
        assert len(deliveries) == 2
        process.broker.settle(deliveries, joining(deliveries), "segment")
    (released,) = a.broker.take("bank", 9)
    assert [m.body for m in b.ledger.members(released.message.body)] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert a.store.read("SELECT state, unreported FROM batch") == [("complete", 0)]
    assert a.store.read("SELECT outcome, count FROM tally WHERE outcome = 'joined'") == [("joined", 8)]
    assert a.store.read("SELECT count(*) FROM tally_part WHERE outcome = 'joined'") == [(2,)], "one row for each"


def test_a_channel_in_order_has_one_owner_and_its_stale_token_is_refused(processes: Callable[..., Process]) -> None:
    a, b = processes(), processes()
    for process in (a, b):
        process.broker.keep_order(["in"])
    a.put("in", *"123")
    taken = a.broker.take("in", 2)
    assert names(taken) == ["1", "2"]
    assert b.broker.take("in", 3) == [], "not even what the owner left"
    a.freeze()
    assert names(b.broker.take("in", 3)) == ["1", "2", "3"], "nothing is skipped"
    with pytest.raises(Retryable) as caught:
        a.settle(taken, "x")  # its rows are all there still: only the token tells
    assert caught.value.code == "SYS122"
    assert names(b.broker.take("in", 3)) == ["1", "2", "3"]
    assert a.store.read("SELECT count(*) FROM queued") == [(3,)]
