"""Pick-up and drop on a folder in memory: readiness, hostile names, limits, and a crash at every single moment."""

from __future__ import annotations

import gc
import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import ValidationError

from bus.errors import ConfigError, InDoubt, Rejected, Retryable
from bus.folder import DropSpec, FolderEntry, FolderSink, FolderSource, PickupSpec, ReadySpec, name_problem
from bus.folder.drop import file_name
from bus.message import Headers, Message
from bus.testing.clock import ManualClock
from bus.testing.folder import MemoryFolder, ScriptedResources

BOX = "/outbox"
MARKED = ReadySpec(marker="{name}.done")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(clock: ManualClock) -> MemoryFolder:
    memory = MemoryFolder(clock)
    memory.make_folder(BOX)
    return memory


def source_on(folder: MemoryFolder, *, epoch: int = 1, effect: Any = None, **words: Any) -> FolderSource:
    spec = PickupSpec.model_validate({"path": BOX, "ready": MARKED, "match": "*.csv"} | words)
    resources = ScriptedResources(folder.clock, "erp", epoch=epoch)
    if effect is not None:
        resources.effect = effect
    return FolderSource(folder, spec, resources)


def sink_on(folder: MemoryFolder, *, epoch: int = 1, effect: Any = None, **words: Any) -> FolderSink:
    spec = DropSpec.model_validate({"path": "/inbox", "name": "OUT_{id}.xml"} | words)
    resources = ScriptedResources(folder.clock, "bank-out", epoch=epoch)
    if effect is not None:
        resources.effect = effect
    folder.make_folder("/inbox")
    return FolderSink(folder, spec, resources)


def fetched(inbound: Any) -> bytes:
    target = io.BytesIO()
    inbound.fetch(target)
    return target.getvalue()


def polled(source: FolderSource, most: int = 100) -> list[str]:
    return [inbound.name for inbound in source.poll(most)]


def message(number: int = 1, **headers: Any) -> Message:
    return Message(Headers(id=f"{number:032x}", correlation_id="0" * 32, created_at=1_795_420_800_000, **headers))


# ---------------------------------------------------------------- readiness


def test_a_marker_makes_a_file_ready_and_goes_with_it(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"a")
    source = source_on(folder)
    assert polled(source) == []
    folder.put(f"{BOX}/A.csv.done", b"")
    (inbound,) = source.poll(10)
    assert (inbound.name, inbound.facts[0], inbound.identity) == ("A.csv", 1, None)
    assert folder.paths() == [f"{BOX}/.claim/1-A.csv", f"{BOX}/.claim/1-A.csv.done"]
    assert fetched(inbound) == b"a"
    inbound.complete("done", "12345678")
    assert folder.paths() == [f"{BOX}/done/A.csv", f"{BOX}/done/A.csv.done"]


@pytest.mark.parametrize(("written", "ready"), [(99, True), (100, True), (101, False)])
def test_a_marker_that_was_claimed_without_its_file_goes_back_to_it(
    folder: MemoryFolder, written: int, *, ready: bool
) -> None:
    """One owner gave the file back while the next one fetched the marker; a younger file is still being written."""
    folder.put(f"{BOX}/A.csv", b"a", mtime=written)
    folder.put(f"{BOX}/.claim/3-A.csv.done", b"", mtime=100)
    folder.put(f"{BOX}/.claim/3-B.csv.done", b"", mtime=100)
    source = source_on(folder, epoch=3)
    assert polled(source) == (["A.csv"] if ready else [])
    assert (f"{BOX}/.claim/3-A.csv" in folder.paths()) == ready
    assert f"{BOX}/.claim/3-A.csv.done" in folder.paths()


def test_a_marker_that_cannot_be_put_back_stops_no_other_file(folder: MemoryFolder) -> None:
    def refuse(moment: str, path: str) -> None:
        if moment == "rename:before" and path.endswith("3-A.csv.done"):
            raise PermissionError(path)

    for name in ("A.csv", "B.csv", "B.csv.done"):
        folder.put(f"{BOX}/{name}", b"x", mtime=99)
    folder.put(f"{BOX}/.claim/3-A.csv.done", b"", mtime=100)
    folder.interrupt = refuse
    assert polled(source_on(folder, epoch=3)) == ["B.csv"]


def test_a_marker_of_a_newer_owner_is_left_alone(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"a", mtime=99)
    folder.put(f"{BOX}/.claim/4-A.csv.done", b"", mtime=100)
    assert polled(source_on(folder, epoch=3)) == []
    assert folder.paths() == [f"{BOX}/.claim/4-A.csv.done", f"{BOX}/A.csv"]


def test_a_marker_may_replace_the_extension(folder: MemoryFolder) -> None:
    for name in ("A.csv", "A.ok", "B.csv", "C.csv.ok"):
        folder.put(f"{BOX}/{name}", b"x")
    assert polled(source_on(folder, ready=ReadySpec(marker="{stem}.ok"))) == ["A.csv"]


def test_markers_are_never_handed_out(folder: MemoryFolder) -> None:
    for name in ("A", "A.done", "B.done", "B.done.done"):
        folder.put(f"{BOX}/{name}", b"x")
    assert polled(source_on(folder, match="*")) == ["A"]


def test_a_suffix_hides_files_being_written(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/B.csv.tmp", b"x")
    assert polled(source_on(folder, match="*", ready=ReadySpec(suffix=".tmp"))) == ["A.csv"]


def test_stable_takes_two_polls_that_are_apart(folder: MemoryFolder, clock: ManualClock) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    source = source_on(folder, ready=ReadySpec(stable=True))
    assert polled(source) == []
    clock.advance(1_999)
    assert polled(source) == []
    folder.put(f"{BOX}/A.csv", b"xy")
    clock.advance(5_000)
    assert polled(source) == []
    clock.advance(2_000)
    assert polled(source) == ["A.csv"]


def test_stable_gives_back_what_grew_between_look_and_claim(folder: MemoryFolder, clock: ManualClock) -> None:
    source = source_on(folder, ready=ReadySpec(stable=True))
    folder.put(f"{BOX}/A.csv", b"x")
    assert polled(source) == []
    clock.advance(5_000)

    def grow(moment: str, path: str) -> None:
        if moment == "rename:before" and path == f"{BOX}/A.csv":
            folder.interrupt = None
            folder.put(path, b"xyz")

    folder.interrupt = grow
    assert polled(source) == []
    assert folder.paths() == [f"{BOX}/A.csv"]


@pytest.mark.parametrize(
    ("order", "expected"), [("name", ["A.csv", "B.csv"]), ("time", ["B.csv", "A.csv"]), ("none", ["A.csv", "B.csv"])]
)
def test_the_order_is_what_was_asked_for(folder: MemoryFolder, order: str, expected: list[str]) -> None:
    for name, mtime in (("A.csv", 20), ("B.csv", 10)):
        folder.put(f"{BOX}/{name}", b"x", mtime=mtime)
        folder.put(f"{BOX}/{name}.done", b"")
    assert polled(source_on(folder, order=order)) == expected


def test_one_poll_hands_out_no_more_than_asked_and_claims_no_more(folder: MemoryFolder) -> None:
    for number in range(5):
        folder.put(f"{BOX}/{number}.csv", b"x")
        folder.put(f"{BOX}/{number}.csv.done", b"")
    source = source_on(folder, max_files=3)
    kept = list(source.poll(2))
    assert [inbound.name for inbound in kept] == ["0.csv", "1.csv"]
    assert len(folder.paths(f"{BOX}/.claim")) == 4
    kept += list(source.poll(100))
    assert [inbound.name for inbound in kept] == ["0.csv", "1.csv", "2.csv", "3.csv", "4.csv"]


@pytest.mark.parametrize(
    ("match", "expected"), [("*", ["a.csv"]), (".*", [".b.csv"]), ("[ab].CSV", []), ("?.csv", ["a.csv"])]
)
def test_patterns_follow_shell_rules(folder: MemoryFolder, match: str, expected: list[str]) -> None:
    for name in ("a.csv", ".b.csv"):
        folder.put(f"{BOX}/{name}", b"x")
    assert polled(source_on(folder, match=match, ready=ReadySpec(suffix=".tmp"))) == expected


def test_an_empty_file_is_handed_out(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"")
    folder.put(f"{BOX}/A.csv.done", b"")
    (inbound,) = source_on(folder).poll(1)
    assert (fetched(inbound), inbound.facts[0]) == (b"", 0)


# ---------------------------------------------------------------- putting away


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_a_taken_name_gets_the_suffix_and_so_does_its_marker(folder: MemoryFolder, outcome: Any) -> None:
    folder.put(f"{BOX}/{outcome}/A.csv", b"yesterday")
    folder.put(f"{BOX}/A.csv", b"today")
    folder.put(f"{BOX}/A.csv.done", b"")
    (inbound,) = source_on(folder).poll(1)
    inbound.complete(outcome, "12345678")
    inbound.complete(outcome, "12345678")
    assert folder.get(f"{BOX}/{outcome}/A.csv") == b"yesterday"
    assert folder.get(f"{BOX}/{outcome}/A.csv.12345678") == b"today"
    assert f"{BOX}/{outcome}/A.csv.done.12345678" in folder.paths()
    assert folder.paths(f"{BOX}/.claim") == []


def test_nothing_in_done_is_ever_overwritten(folder: MemoryFolder) -> None:
    for name in ("A.csv", "A.csv.12345678", "A.csv.12345678.2", "A.csv.done"):
        folder.put(f"{BOX}/done/{name}", b"old")
    folder.put(f"{BOX}/A.csv", b"new")
    folder.put(f"{BOX}/A.csv.done", b"")
    (inbound,) = source_on(folder).poll(1)
    inbound.complete("done", "12345678")
    assert folder.get(f"{BOX}/done/A.csv.12345678.3") == b"new"
    assert [folder.get(f"{BOX}/done/{n}") for n in ("A.csv", "A.csv.12345678", "A.csv.done")] == [b"old"] * 3


@pytest.mark.parametrize(("archive", "sub"), [("day", "2026-11-23"), ("month", "2026-11")])
def test_done_can_be_sorted_by_date(folder: MemoryFolder, archive: str, sub: str) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    (inbound,) = source_on(folder, archive=archive).poll(1)
    inbound.complete("done", "12345678")
    assert folder.paths() == [f"{BOX}/done/{sub}/A.csv", f"{BOX}/done/{sub}/A.csv.done"]


def test_abandon_puts_everything_back(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x", mtime=5)
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder)
    (inbound,) = source.poll(1)
    inbound.abandon()
    inbound.abandon()
    assert folder.paths() == [f"{BOX}/A.csv", f"{BOX}/A.csv.done"]
    (again,) = source.poll(1)
    assert again.facts == (1, 5)


def test_abandon_never_replaces_a_newer_file(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"first")
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder)
    (inbound,) = source.poll(1)
    folder.put(f"{BOX}/A.csv", b"second, half writ")
    inbound.abandon()
    assert f"{BOX}/A.csv.done" not in folder.paths()
    (again,) = source.poll(10)
    assert fetched(again) == b"first"
    again.complete("done", "1" * 8)
    folder.put(f"{BOX}/A.csv.done", b"")
    (newer,) = source.poll(10)
    assert fetched(newer) == b"second, half writ"


def test_a_file_is_not_handed_out_twice_while_somebody_holds_it(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder)
    held = list(source.poll(10))
    assert polled(source) == []
    del held
    gc.collect()
    assert polled(source) == ["A.csv"]


def test_a_failed_completion_is_handed_out_again(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder)
    (inbound,) = source.poll(10)
    folder.refuse = {"rename"}
    with pytest.raises(Retryable, match="NET104"):
        inbound.complete("done", "12345678")
    folder.refuse = set()
    (again,) = source.poll(10)
    assert (again.name, again.facts) == (inbound.name, inbound.facts)
    again.complete("done", "12345678")
    inbound.complete("done", "12345678")
    assert folder.paths() == [f"{BOX}/done/A.csv", f"{BOX}/done/A.csv.done"]


def test_leftovers_of_older_owners_come_first_and_newer_ones_are_not_ours(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/.claim/1-M.csv", b"old")
    folder.put(f"{BOX}/.claim/9-N.csv", b"newer owner")
    folder.put(f"{BOX}/.claim/1-P.xml", b"another route's")
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    assert polled(source_on(folder, epoch=2)) == ["M.csv", "A.csv"]


def test_a_new_file_waits_while_its_namesake_is_claimed(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/.claim/1-A.csv", b"old")
    folder.put(f"{BOX}/A.csv", b"new")
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, epoch=2)
    (old,) = source.poll(10)
    assert fetched(old) == b"old"
    old.complete("done", "1" * 8)
    (new,) = source.poll(10)
    assert fetched(new) == b"new"


def test_two_pollers_share_without_doubling(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    slow, fast = source_on(folder, epoch=1), source_on(folder, epoch=2)
    rivals: list[Any] = []

    def rival_claims_after_our_look(moment: str, path: str) -> None:
        if (moment, path) == ("list:after", BOX):
            folder.interrupt = None
            rivals.extend(fast.poll(10))

    folder.interrupt = rival_claims_after_our_look
    assert polled(slow) == []
    assert [inbound.name for inbound in rivals] == ["A.csv"]


# ---------------------------------------------------------------- mailboxes that refuse renames


def test_leave_touches_nothing_and_hands_out_once(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x", mtime=7)
    folder.put(f"{BOX}/A.csv.done", b"")
    folder.refuse = {"rename", "remove", "make_folder", "write"}
    source = source_on(folder, after="leave")
    (inbound,) = source.poll(10)
    assert polled(source) == []
    assert fetched(inbound) == b"x"
    inbound.complete("done", "12345678")
    assert polled(source) == []
    assert folder.paths() == [f"{BOX}/A.csv", f"{BOX}/A.csv.done"]
    folder.put(f"{BOX}/A.csv", b"xy", mtime=8)
    assert polled(source) == ["A.csv"]


def test_leave_asks_the_ledger_after_a_restart(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x", mtime=7)
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, after="leave")
    source.known = lambda name, size, mtime: (name, size, mtime) == ("A.csv", 1, 7)
    assert polled(source) == []


def test_an_abandoned_file_is_handed_out_again_where_nothing_moves(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, after="leave")
    (inbound,) = source.poll(10)
    inbound.abandon()
    assert polled(source) == ["A.csv"]


@pytest.mark.parametrize(
    ("match", "marker", "others"),
    [
        ("A_*.csv", "{name}.done", ["B_1.csv", "B_1.csv.done"]),
        ("A_*.csv", "{name}.done", ["B_1.csv.done", "notes.done"]),
        ("A_*.csv", "{stem}.ok", ["B_1.ok", "B_1.csv"]),
        ("*.xml", "{stem}.ok", ["B_1.csv", "B_1.ok"]),
        ("A_*", "{stem}.ok", ["A_1.ok"]),
        ("*.xml", "{stem}.txt", ["report.txt"]),
    ],
)
def test_what_others_have_in_the_folder_is_not_taken_for_our_markers(
    folder: MemoryFolder, match: str, marker: str, others: list[str]
) -> None:
    for name in others:
        folder.put(f"{BOX}/{name}", b"")
    source = source_on(folder, after="delete", match=match, ready=ReadySpec(marker=marker))
    source.took = lambda _name: False
    assert polled(source) == polled(source) == []
    assert folder.paths() == sorted(f"{BOX}/{name}" for name in others)


@pytest.mark.parametrize(("marker", "left"), [("{name}.done", "A_1.csv.done"), ("{stem}.ok", "A_1.ok")])
def test_a_marker_of_a_file_that_we_took_is_removed_when_it_is_left(
    folder: MemoryFolder, marker: str, left: str
) -> None:
    folder.put(f"{BOX}/{left}", b"")
    source = source_on(folder, after="delete", match="A_*.csv", ready=ReadySpec(marker=marker))
    source.took = lambda name: name == "A_1.csv"
    assert polled(source) == []
    assert folder.paths() == []


def test_delete_removes_what_was_taken_and_keeps_what_was_refused(folder: MemoryFolder) -> None:
    for name in ("A.csv", "A.csv.done", "B.csv", "B.csv.done"):
        folder.put(f"{BOX}/{name}", b"x")
    folder.refuse = {"rename", "write", "make_folder"}
    source = source_on(folder, after="delete")
    good, bad = source.poll(10)
    good.complete("done", "12345678")
    bad.complete("failed", "12345678")
    assert folder.paths() == [f"{BOX}/B.csv", f"{BOX}/B.csv.done"]
    assert polled(source) == []


def test_delete_spares_a_file_that_was_replaced_meanwhile(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x", mtime=1)
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, after="delete")
    (inbound,) = source.poll(10)
    folder.put(f"{BOX}/A.csv", b"newer", mtime=2)
    inbound.complete("done", "12345678")
    assert folder.paths() == [f"{BOX}/A.csv", f"{BOX}/A.csv.done"]


# ---------------------------------------------------------------- hostile partners

HOSTILE = [
    "../evil.csv",
    "/etc/cron.d/evil.csv",
    "..\\evil.csv",
    "a\nb.csv",
    "nul\0.csv",
    "esc\x1b[2J.csv",
    "bidi\u202egpj.csv",
    "bad\udcff.csv",
    "dot.csv.",
    "space.csv ",
    "..",
    ".",
    "",
    "x" * 227 + ".csv",
    "ä" * 114 + ".csv",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name: str) -> None:
    assert name_problem(name) != ""


@pytest.mark.parametrize(
    "name", ["A.csv", "Zahlung März.csv", "x" * 226 + ".csv", ".hidden", "a;b&c.xml", "日本.csv", "-rf"]
)
def test_ordinary_names_are_not(name: str) -> None:
    assert name_problem(name) == ""


def test_hostile_names_are_reported_once_and_never_touched(folder: MemoryFolder) -> None:
    folder.extra = [FolderEntry(name, 1, 1) for name in HOSTILE]
    folder.extra += [FolderEntry("link.csv", 1, 1, "other"), FolderEntry("other-link", 1, 1, "other")]
    touched: list[str] = []
    folder.interrupt = lambda _moment, path: touched.append(path)
    source = source_on(folder, ready=ReadySpec(suffix=".tmp"))
    assert polled(source) == []
    assert polled(source) == []
    assert set(touched) == {BOX, f"{BOX}/.claim"}
    assert [finding.code for finding in source.findings] == ["SEC110"] * len(HOSTILE) + ["SEC114"]
    for finding in source.findings:
        assert finding.place.isascii()
        assert finding.place.isprintable()
        assert len(finding.place) < 200
    source.findings.clear()
    folder.extra = []
    assert polled(source) == []
    folder.extra = [FolderEntry("../evil.csv", 1, 1)]
    assert polled(source) == []
    assert len(source.findings) == 1


def test_a_flood_of_hostile_names_does_not_become_a_flood_of_findings(folder: MemoryFolder) -> None:
    folder.extra = [FolderEntry(f"../{number}", 1, 1) for number in range(5_000)]
    source = source_on(folder)
    assert polled(source) == []
    assert len(source.findings) == 100


def test_a_file_over_the_limit_is_refused_unread_and_put_away(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x" * 101)
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, max_size=100)
    (inbound,) = source.poll(10)
    folder.refuse = {"read"}
    with pytest.raises(Rejected, match="SEC113"):
        fetched(inbound)
    inbound.complete("failed", "12345678")
    assert folder.paths() == [f"{BOX}/failed/A.csv", f"{BOX}/failed/A.csv.done"]


def test_a_size_that_lies_does_not_get_past_the_limit(folder: MemoryFolder) -> None:
    folder.put(f"{BOX}/A.csv", b"x" * 1_000)
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, max_size=100, after="leave")
    folder.lies = {"A.csv": 10}
    (inbound,) = source.poll(10)
    target = io.BytesIO()
    with pytest.raises(Rejected, match="SEC113"):
        inbound.fetch(target)
    assert len(target.getvalue()) == 101


@pytest.mark.parametrize("after", ["longer", "x", None])
def test_a_file_that_changes_while_it_is_read_is_not_taken(folder: MemoryFolder, after: str | None) -> None:
    folder.put(f"{BOX}/A.csv", b"a", mtime=1)
    folder.put(f"{BOX}/A.csv.done", b"")
    (inbound,) = source_on(folder).poll(10)
    if after is None:
        folder.take(f"{BOX}/.claim/1-A.csv")
    else:
        folder.put(f"{BOX}/.claim/1-A.csv", after.encode(), mtime=2)
    with pytest.raises(Retryable, match=r"NET10[36]"):
        fetched(inbound)


@pytest.mark.parametrize("what", ["list", "rename", "read"])
def test_a_refusing_partner_is_a_coded_error(folder: MemoryFolder, what: str) -> None:
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    folder.refuse = {what}
    with pytest.raises(Retryable, match=r"NET104 cannot .*refused"):
        [fetched(inbound) for inbound in source_on(folder).poll(10)]


def test_a_missing_folder_is_named(folder: MemoryFolder) -> None:
    with pytest.raises(Retryable, match="NET103 cannot look into /nowhere"):
        polled(source_on(folder, path="/nowhere", after="leave"))


# ---------------------------------------------------------------- crashes on the way in


class Crash(BaseException):
    """The process or the server dies here."""


class Bomb:
    """Counts moments and fails once, at the chosen one; -1 = never."""

    def __init__(self, at: int, failure: BaseException | None = None) -> None:
        self.at = at
        self.count = 0
        self.failure = failure or Crash()

    def __call__(self, *_: str) -> None:
        self.count += 1
        if self.count - 1 == self.at:
            raise self.failure


LOST = Retryable("NET101", "the connection broke")


def take_in(source: FolderSource, ledger: dict[Any, str], commit: Bomb) -> None:
    """The engine's duty in small: fetch, commit, then tell; a known arrival is only completed."""
    source.known = lambda name, size, mtime: ledger.get((name, (size, mtime), "told")) == "yes"
    try:
        for inbound in source.poll(10):
            try:
                content = fetched(inbound)
            except Retryable:
                inbound.abandon()
                continue
            key = (inbound.name, inbound.facts, hashlib.sha256(content).hexdigest())
            assert (inbound.name, inbound.facts, "told") not in ledger, (
                "a finished arrival came again: a false duplicate"
            )
            if commit.failure is not LOST:
                commit("before")
            ledger.setdefault(key, content.decode())
            if commit.failure is not LOST:
                commit("after")
            inbound.complete("done", "12345678")
            ledger[(inbound.name, inbound.facts, "told")] = "yes"
    except Retryable:
        return


def seeded(clock: ManualClock, *, atomic: bool, markers: bool) -> MemoryFolder:
    folder = MemoryFolder(clock, atomic_rename=atomic)
    for name in ("A.csv", "B.csv"):
        folder.put(f"{BOX}/{name}", name.encode(), mtime=5)
        if markers:
            folder.put(f"{BOX}/{name}.done", b"")
    return folder


def schedules(longest: int) -> Iterator[tuple[int, int]]:
    """Every first crash, and after it every second crash during the recovery."""
    for first in range(longest):
        for second in range(-1, longest):
            yield first, second


def assert_taken_once(folder: MemoryFolder, ledger: dict[Any, str], words: dict[str, Any], where: Any) -> None:
    taken = sorted(content for key, content in ledger.items() if key[2] != "told")
    assert taken == ["A.csv", "B.csv"], where
    left = ["A.csv", "A.csv.done", "B.csv", "B.csv.done"] if words["ready"].marker else ["A.csv", "B.csv"]
    place = {"move": f"{BOX}/done", "leave": BOX, "delete": ""}[words["after"]]
    assert folder.paths() == ([f"{place}/{name}" for name in left] if place else []), where


ALL_WAYS = [
    pytest.param(
        after, markers, atomic, id=f"{after}-{'marker' if markers else 'suffix'}-{'atomic' if atomic else 'plain'}"
    )
    for after in ("move", "delete", "leave")
    for markers in (True, False)
    for atomic in (True, False)
]


@pytest.mark.parametrize(("after", "markers", "atomic"), ALL_WAYS)
def test_every_file_is_taken_exactly_once_whatever_dies(
    clock: ManualClock, after: str, *, markers: bool, atomic: bool
) -> None:
    words: dict[str, Any] = {"after": after, "ready": MARKED if markers else ReadySpec(suffix=".tmp")}

    def run(folder: MemoryFolder, ledger: dict[Any, str], epoch: int, bomb: Bomb) -> None:
        folder.interrupt = bomb
        take_in(source_on(folder, epoch=epoch, effect=bomb, **words), ledger, bomb)

    dry = Bomb(-1)
    run(seeded(clock, atomic=atomic, markers=markers), {}, 1, dry)
    crashes = 0
    for first, second in schedules(dry.count):
        folder = seeded(clock, atomic=atomic, markers=markers)
        ledger: dict[Any, str] = {}
        for epoch, at in ((1, first), (2, second), (3, -1), (4, -1)):
            try:
                run(folder, ledger, epoch, Bomb(at))
            except Crash:
                crashes += 1
        assert_taken_once(folder, ledger, words, (first, second))
    assert crashes > dry.count


@pytest.mark.parametrize(("after", "markers", "atomic"), ALL_WAYS)
def test_every_file_is_taken_exactly_once_whatever_breaks(
    clock: ManualClock, after: str, *, markers: bool, atomic: bool
) -> None:
    """The connection breaks at every moment of every request, and the same owner goes on."""
    words: dict[str, Any] = {"after": after, "ready": MARKED if markers else ReadySpec(suffix=".tmp")}
    dry = Bomb(-1, LOST)
    quiet = seeded(clock, atomic=atomic, markers=markers)
    quiet.interrupt = dry
    take_in(source_on(quiet, **words), {}, dry)
    for first, second in schedules(dry.count):
        folder = seeded(clock, atomic=atomic, markers=markers)
        source = source_on(folder, **words)
        ledger: dict[Any, str] = {}
        for at in (first, second, -1, -1):
            folder.interrupt = Bomb(at, LOST)
            take_in(source, ledger, folder.interrupt)
        assert_taken_once(folder, ledger, words, (first, second))


@pytest.mark.parametrize("atomic", [True, False])
def test_giving_back_loses_nothing_whatever_dies(clock: ManualClock, *, atomic: bool) -> None:
    words: dict[str, Any] = {"after": "move", "ready": MARKED}

    def give_back(folder: MemoryFolder, bomb: Bomb) -> None:
        folder.interrupt = bomb
        for inbound in source_on(folder, effect=bomb, **words).poll(10):
            inbound.abandon()

    dry = Bomb(-1)
    give_back(seeded(clock, atomic=atomic, markers=True), dry)
    for at in range(dry.count):
        folder = seeded(clock, atomic=atomic, markers=True)
        with pytest.raises(Crash):
            give_back(folder, Bomb(at))
        folder.interrupt = None
        ledger: dict[Any, str] = {}
        for epoch in (2, 3):
            take_in(source_on(folder, epoch=epoch, **words), ledger, Bomb(-1))
        assert_taken_once(folder, ledger, words, at)


# ---------------------------------------------------------------- crashes on the way out


class World:
    """One unit on its way to a partner, with the ledger that survives."""

    def __init__(self, folder: MemoryFolder, *, greedy: bool, **words: Any) -> None:
        self.folder = folder
        self.greedy = greedy
        self.words = words
        self.state = "new"
        self.receipt: dict[str, Any] = {}
        self.received: list[bytes] = []

    def partner_takes(self) -> None:
        for path in self.folder.paths("/inbox"):
            if "/.stage/" not in path and not path.endswith(".done"):
                if self.words.get("marker") and f"{path}.done" not in self.folder.paths():
                    continue
                self.received.append(self.folder.take(path))
                self.folder._files.pop(f"{path}.done", None)

    def settled(self, where: Any) -> bool:
        """Check the end of a run; true when it ended in doubt, as a plain rename may."""
        self.folder.interrupt = None
        self.partner_takes()
        if self.state == "doubt":
            assert not self.folder.atomic_rename, where
            assert len(self.received) <= 1, where
            assert all(path.startswith(self.receipt["stage"]) for path in self.folder.paths()), where
            return True
        assert self.state == "delivered", where
        assert self.received == [b"<Document>payload</Document>"], where
        assert self.folder.paths() == [], where
        return False

    def run(self, epoch: int, bomb: Bomb) -> None:
        """The sender in small: staged, requested, delivered are commits."""

        def moment(*_: str) -> None:
            if self.greedy:
                self.partner_takes()
            bomb()

        self.folder.interrupt = moment
        sink = sink_on(self.folder, epoch=epoch, effect=moment, **self.words)
        live = {self.receipt["stage"]} if self.state in {"staged", "requested", "doubt"} else set()
        sink.sweep(live)
        if self.state == "requested":
            verdict = sink.probe(self.receipt)
            self.state = {"done": "delivered", "not_done": "staged", "unknown": "doubt"}[verdict]
        if self.state == "new":
            receipt = sink.prepare(message(), io.BytesIO(b"<Document>payload</Document>"))
            moment()
            self.receipt, self.state = receipt, "staged"
        if self.state == "staged":
            moment()
            self.state = "requested"
            moment()
            try:
                sink.publish(self.receipt)
            except Retryable:
                self.state = "staged"
                raise
            moment()
            self.state = "delivered"


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power-loss"])
@pytest.mark.parametrize("marker", ["", "{name}.done"])
@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("atomic", [True, False])
def test_every_file_is_out_exactly_once_whatever_dies(
    clock: ManualClock, *, atomic: bool, greedy: bool, marker: str, power: bool
) -> None:
    words = {"marker": marker}
    dry = Bomb(-1)
    World(MemoryFolder(clock, atomic_rename=atomic), greedy=False, **words).run(1, dry)
    doubts = 0
    for first, second in schedules(dry.count):
        folder = MemoryFolder(clock, atomic_rename=atomic)
        world = World(folder, greedy=greedy, **words)
        for epoch, at in ((1, first), (2, second), (3, -1), (4, -1)):
            try:
                world.run(epoch, Bomb(at))
            except Crash:
                if power:
                    folder.lose_power()
        doubts += world.settled(where=(first, second))
    assert (doubts > 0) is not atomic


@pytest.mark.parametrize("marker", ["", "{name}.done"])
@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("atomic", [True, False])
def test_every_file_is_out_exactly_once_whatever_breaks(
    clock: ManualClock, *, atomic: bool, greedy: bool, marker: str
) -> None:
    """The connection breaks at every moment of every request, and the same owner goes on."""
    dry = Bomb(-1)
    World(MemoryFolder(clock, atomic_rename=atomic), greedy=False, marker=marker).run(1, dry)
    for first, second in schedules(dry.count):
        world = World(MemoryFolder(clock, atomic_rename=atomic), greedy=greedy, marker=marker)
        for at in (first, second, -1, -1):
            with suppress(Retryable, InDoubt):
                world.run(1, Bomb(at, LOST))
        world.run(2, Bomb(-1))
        world.settled(where=(first, second))


def test_without_a_flush_a_power_loss_tears_the_file_and_the_sink_says_so(folder: MemoryFolder) -> None:
    """The control: the same schedule, a server without fsync. It shows that the test above can fail."""
    folder.durable = False
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder.lose_power()
    sink.publish(receipt)
    assert folder.get(receipt["final"]) == b""
    sink.prepare(message(2), io.BytesIO(b"payload"))
    assert [finding.code for finding in sink.findings] == ["NET111"]


def test_fsync_can_be_required(folder: MemoryFolder) -> None:
    folder.durable = False
    with pytest.raises(ConfigError, match="NET111"):
        sink_on(folder, fsync="required").prepare(message(), io.BytesIO(b"payload"))


# ---------------------------------------------------------------- the sink, step by step


def test_the_receipt_tells_all_that_a_later_owner_needs(folder: MemoryFolder) -> None:
    sink = sink_on(folder, epoch=7, marker="{name}.done")
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    assert receipt == {
        "stage": f"/inbox/.stage/7-bank-out-{1:032x}",
        "final": f"/inbox/OUT_{1:032x}.xml",
        "marker": f"/inbox/OUT_{1:032x}.xml.done",
        "size": 7,
        "sha256": hashlib.sha256(b"payload").hexdigest(),
        "epoch": 7,
        "atomic": True,
    }
    assert folder.paths("/inbox") == [receipt["stage"], receipt["stage"] + ".marker"]
    assert sink.prepare(message(), io.BytesIO(b"payload")) == receipt


def test_publishing_twice_is_one_file(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    sink.publish(receipt)
    sink.publish(receipt)
    assert folder.paths() == [receipt["final"]]


def test_a_frozen_owner_that_wakes_makes_no_second_file(folder: MemoryFolder) -> None:
    frozen = sink_on(folder, epoch=1)
    old = frozen.prepare(message(), io.BytesIO(b"payload"))
    heir = sink_on(folder, epoch=2)
    heir.publish(heir.prepare(message(), io.BytesIO(b"payload")))
    frozen.publish(old)
    assert folder.paths() == [old["final"]]


def test_a_taken_name_is_not_overwritten(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder.put(receipt["final"], b"foreign")
    with pytest.raises(Retryable, match="NET107"):
        sink.publish(receipt)
    assert sink.probe(receipt) == "not_done"
    assert folder.get(receipt["final"]) == b"foreign"


def test_a_refused_rename_is_retried_later(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder.refuse = {"rename"}
    with pytest.raises(Retryable, match="NET104"):
        sink.publish(receipt)
    folder.refuse = set()
    assert sink.probe(receipt) == "not_done"
    sink.publish(receipt)
    assert sink.probe(receipt) == "done"


def test_a_lost_answer_is_in_doubt_until_it_is_probed(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))

    def lose(moment: str, _path: str) -> None:
        if moment == "rename:after":
            raise Retryable("NET101", "the connection broke")

    folder.interrupt = lose
    with pytest.raises(InDoubt, match="NET109"):
        sink.publish(receipt)
    folder.interrupt = None
    assert sink.probe(receipt) == "done"


def test_a_vanished_stage_file_is_in_doubt(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder.take(receipt["stage"])
    with pytest.raises(InDoubt, match="NET112"):
        sink.publish(receipt)


@pytest.mark.parametrize("shared", [False, True])
def test_a_vanished_stage_file_proves_nothing_where_the_partner_cleans(folder: MemoryFolder, *, shared: bool) -> None:
    sink = sink_on(folder, stage_shared=shared)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    sink.publish(receipt)
    assert sink.probe(receipt) == "done"
    folder.take(receipt["final"])
    assert sink.probe(receipt) == ("unknown" if shared else "done")


def test_a_link_without_unlink_is_done_and_tidied_up(folder: MemoryFolder) -> None:
    folder.atomic_rename = False
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))

    def kill(moment: str, _path: str) -> None:
        if moment == "rename:between":
            raise Crash

    folder.interrupt = kill
    with pytest.raises(Crash):
        sink.publish(receipt)
    folder.interrupt = None
    assert folder.paths() == [receipt["stage"], receipt["final"]] or len(folder.paths()) == 2
    heir = sink_on(folder, epoch=2)
    assert heir.probe(receipt) == "done"
    assert folder.paths() == [receipt["final"]]
    assert folder.get(receipt["final"]) == b"payload"


def test_a_file_that_cannot_be_compared_is_in_doubt(folder: MemoryFolder) -> None:
    folder.atomic_rename = False
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder.put(receipt["final"], b"payloaD")
    folder.refuse = {"read"}
    assert sink.probe(receipt) == "unknown"
    with pytest.raises(InDoubt, match="NET109"):
        sink.publish(receipt)


def test_a_server_that_lost_its_atomic_rename_is_not_trusted_with_an_old_receipt(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder.atomic_rename = False
    with pytest.raises(Retryable, match="NET114"):
        sink.publish(receipt)
    assert sink.probe(receipt) == "unknown"


@pytest.mark.parametrize("changed", [b"Payload", b"payloae", b"payloa"])
def test_a_stage_file_of_an_earlier_owner_that_has_changed_never_becomes_visible(
    folder: MemoryFolder, changed: bytes
) -> None:
    receipt = sink_on(folder, epoch=1).prepare(message(), io.BytesIO(b"payload"))
    folder.remove(receipt["stage"])
    folder.put(receipt["stage"], changed)
    heir = sink_on(folder, epoch=2)
    assert heir.probe(receipt) == "not_done"
    with pytest.raises(Retryable, match="NET115"):
        heir.publish(receipt)
    assert folder.paths() == [receipt["stage"]]
    heir.publish(heir.prepare(message(), io.BytesIO(b"payload")))
    assert folder.get(receipt["final"]) == b"payload"


@pytest.mark.parametrize("space", [0, 3])
def test_a_full_disk_is_named_and_leaves_nothing_visible(folder: MemoryFolder, space: int) -> None:
    folder.space = space
    sink = sink_on(folder)
    with pytest.raises(Retryable, match="NET105"):
        sink.prepare(message(), io.BytesIO(b"payload"))
    assert folder.paths() == []
    folder.space = None
    sink.publish(sink.prepare(message(), io.BytesIO(b"payload")))
    assert [folder.get(path) for path in folder.paths()] == [b"payload"]


def test_a_disk_that_swallows_bytes_is_noticed(folder: MemoryFolder) -> None:
    folder.lies = {f"1-bank-out-{1:032x}": 6}
    with pytest.raises(Retryable, match="NET108"):
        sink_on(folder).prepare(message(), io.BytesIO(b"payload"))


def test_preparing_again_never_truncates_a_file_that_is_linked_to_its_final_name(folder: MemoryFolder) -> None:
    sink = sink_on(folder)
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    folder._files[receipt["final"]] = folder._files[receipt["stage"]]
    seen: list[bytes] = []
    folder.interrupt = lambda _moment, _path: seen.append(folder.get(receipt["final"]))
    sink.prepare(message(), io.BytesIO(b"payload"))
    assert set(seen) == {b"payload"}


def test_what_is_given_up_is_discarded(folder: MemoryFolder) -> None:
    sink = sink_on(folder, marker="{name}.done")
    receipt = sink.prepare(message(), io.BytesIO(b"payload"))
    sink.discard(receipt)
    sink.discard(receipt)
    assert folder.paths() == []


def test_sweeping_takes_only_our_own_dead_files(folder: MemoryFolder) -> None:
    mine = [f"/inbox/.stage/{epoch}-bank-out-{number:032x}" for epoch, number in ((1, 1), (1, 2), (3, 3), (9, 4))]
    other = [f"/inbox/.stage/1-bank-out-2-{5:032x}", "/inbox/.stage/1-upload.tmp", f"/inbox/.stage/1-other-{6:032x}"]
    for path in [*mine, *other, mine[0] + ".marker", mine[1] + ".marker"]:
        folder.put(path, b"x")
    removed = sink_on(folder, epoch=3).sweep({mine[1]})
    assert sorted(removed) == [mine[0], mine[0] + ".marker"]
    assert sorted(folder.paths()) == sorted([*mine[1:], mine[1] + ".marker", *other])


def test_who_is_no_owner_any_more_removes_what_he_left_himself(folder: MemoryFolder) -> None:
    left = [f"/inbox/.stage/{epoch}-bank-out-{number:032x}" for epoch, number in ((2, 1), (3, 2), (3, 3), (4, 4))]
    for path in left:
        folder.put(path, b"x")
    assert sorted(sink_on(folder, epoch=3).sweep({left[2]}, over=True)) == left[:2]
    assert sorted(folder.paths()) == left[2:]


def test_sweeping_before_the_first_delivery_finds_nothing(folder: MemoryFolder) -> None:
    assert sink_on(folder).sweep(set()) == []


def test_the_effects_are_labelled(folder: MemoryFolder) -> None:
    labels: list[str] = []
    sink = sink_on(folder, effect=labels.append)
    sink.publish(sink.prepare(message(), io.BytesIO(b"payload")))
    folder.put(f"{BOX}/A.csv", b"x")
    folder.put(f"{BOX}/A.csv.done", b"")
    source = source_on(folder, effect=labels.append)
    (inbound,) = source.poll(1)
    inbound.abandon()
    (inbound,) = source.poll(1)
    fetched(inbound)
    inbound.complete("failed", "12345678")
    assert labels == [
        f"{label}:{side}"
        for label in (
            "sink.stage",
            "sink.rename",
            "source.claim",
            "source.abandon",
            "source.claim",
            "source.fetch",
            "source.failed",
        )
        for side in ("before", "after")
    ]


# ---------------------------------------------------------------- names and words


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{id}", f"{1:032x}"),
        ("PAIN001_{id}.xml", f"PAIN001_{1:032x}.xml"),
        ("{date}-{time}-{id}.xml", f"20261123-080000-{1:032x}.xml"),
        ("{stem}_{id}.csv", f"PAYRUN_1_{1:032x}.csv"),
        ("{name}.{id}", f"PAYRUN_1.csv.{1:032x}"),
        ("{p.bank}_{id}", f"north_.._x_{1:032x}"),
        ("{p.number}_{id}", f"17_{1:032x}"),
    ],
)
def test_names_are_made_from_the_message(template: str, expected: str) -> None:
    unit = message(name="PAYRUN_1.csv").with_properties(bank="north/../x", number=17)
    assert file_name(template, unit) == expected


def test_a_name_without_its_value_is_refused() -> None:
    for template in ("{p.bank}{id}", "{name}{id}"):
        with pytest.raises(Rejected, match="NET121"):
            file_name(template, message())


def test_a_name_that_grows_too_long_is_refused() -> None:
    with pytest.raises(Rejected, match="NET122"):
        file_name("{p.x}{id}", message().with_properties(x="y" * 300))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"ready": {}}, "CFG136"),
        ({"ready": {"marker": "{name}.done", "stable": True}}, "CFG136"),
        ({"ready": {"marker": "{name}"}}, "CFG137"),
        ({"match": "*.csv", "ready": {"marker": "{stem}.csv"}}, "CFG137"),
        ({"match": "PAY_?.done", "ready": {"marker": "{name}.done"}}, "CFG137"),
        ({"ready": {"marker": "ready.txt"}}, "CFG137"),
        ({"ready": {"marker": "../{name}.done"}}, "CFG137"),
        ({"ready": {"marker": "{id}.done"}}, "CFG137"),
        ({"done": "."}, "CFG132"),
        ({"claim": "done"}, "CFG132"),
        ({"match": "a/*"}, "CFG113"),
        ({"after": "burn"}, "literal_error"),
        ({"max_size": "0"}, "greater_than_equal"),
    ],
)
def test_words_of_pick_up_are_checked(words: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PickupSpec.model_validate({"path": BOX} | words)
    assert [error["type"] for error in caught.value.errors()] == [code]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"name": "out.xml"}, "CFG133"),
        ({"name": "{uuid}.xml"}, "CFG133"),
        ({"name": "a/{id}.xml"}, "CFG133"),
        ({"name": "{id}."}, "CFG133"),
        ({"marker": "done"}, "CFG137"),
        ({"stage": "./"}, "CFG132"),
    ],
)
def test_words_of_drop_are_checked(words: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DropSpec.model_validate({"path": "/inbox"} | words)
    assert [error["type"] for error in caught.value.errors()] == [code]
    assert all(
        "{" in error["msg"] or "`" in error["msg"] or "marker" in error["msg"] for error in caught.value.errors()
    )


def test_a_name_without_id_needs_a_promise() -> None:
    assert DropSpec(path="/inbox", name="{name}", unique=True).name == "{name}"
