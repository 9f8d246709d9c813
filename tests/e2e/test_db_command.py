"""`bus db` on both stores: what is damaged is found, a backup is one moment, a restored bus sends nothing unasked."""

from __future__ import annotations

import json
import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from bus.app import App
from bus.cli import main
from bus.config import load_landscape
from bus.errors import Unavailable
from bus.landscape import RetentionSpec
from bus.ledger import retention
from bus.ledger.blobs import FileBlobs, hold_collection
from bus.ledger.place import open_reading, open_store
from bus.ledger.store import no_effect
from bus.ledger.upkeep import Upkeep
from bus.ports import Store
from bus.testing.clock import ManualClock

BUS = """\
name: kept
outlets:
  out: {endpoint: {file: {path: out}}, format: json}
"""
ROUTE = """\
route: flow
owner: desk
money: money(amount)
from: {file: {path: in, match: "*.jsonl", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows, keys: {id: id}}
  - claim_check: {store: paper}
  - hold: {name: limit, until: release, when: kind == 'big', reason: above the limit}
  - aggregate: {name: file, by: [kind], complete: {batch: true}}
  - translate: {name: lines, to: {json: {document: list}}}
to: out
"""


class Kept:
    """A landscape whose ledger is in a file or in a database."""

    def __init__(self, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.address = address
        self._environment = monkeypatch
        self.home = folder / ".bus"
        for name in ("in", "out"):
            (folder / name).mkdir(parents=True)
        (folder / "bus.yaml").write_text(BUS)
        (folder / "flow.route.yaml").write_text(ROUTE)
        self.use(address)

    def use(self, address: str) -> None:
        self.address = address
        self._environment.setenv("GIROBUS_LEDGER", address)

    @property
    def place(self) -> Path | str:
        return self.address or self.home / "bus.db"

    def bus(self, *words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["-C", str(self.folder), *words])
        assert done.exit_code == code, f"{words}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return done

    def asked(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.bus(*words, "--json", code=code).stdout)

    def send(self, name: str, *kinds: str) -> None:
        rows = [
            {"id": f"{name}-{n}", "kind": kind, "amount": "1.10 EUR", "paper": f"{name} {n} " * 50}
            for n, kind in enumerate(kinds)
        ]
        (self.folder / "in" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def change(self, *statements: str) -> None:
        store = open_store(self.place, effect=no_effect)
        store.commit("test", lambda tx: [tx.execute(sql) for sql in statements])
        store.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with open_reading(self.place) as reading:
            return reading.rows(sql)

    def lose(self) -> None:
        """Ledger and documents are gone."""
        shutil.rmtree(self.home)
        if self.address:
            with psycopg.connect(self.address, autocommit=True) as connection:
                ((schema,),) = connection.execute("SELECT current_schema()").fetchall()
                connection.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}".encode())

    def sent(self) -> int:
        return len([path for path in (self.folder / "out").iterdir() if path.is_file()])


@pytest.fixture(params=["file", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    address = "" if request.param == "file" else request.getfixturevalue("postgres_url")
    made = Kept(tmp_path / "land", address, monkeypatch)
    made.send("one", "small", "big", "small")
    made.bus("run", "--until-idle")
    assert made.sent() == 1
    assert len(made.rows("SELECT 1 FROM held")) == 1
    return made


def test_a_sound_ledger_is_called_sound(kept: Kept) -> None:
    assert kept.asked("db", "check") == {"findings": []}
    assert "All is well" in kept.bus("db", "check").stdout


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("UPDATE batch SET outcomes = '[]'", "SYS139"),
        ("UPDATE batch SET money = replace(money, '3.30', '3.31'), state = 'complete', unreported = 0", "SYS139"),
        ("INSERT INTO queued (id, payload) SELECT 77 * 34359738368, payload FROM held", "SYS139"),
        (
            (
                "INSERT INTO gathering (route, version, step, key, batch, release, channel, count, money, correlation, "
                "opened, due, state) VALUES ('x', 1, 'x', '[]', 0, 0, 'x', 3, '[]', '', 1, 0, 'open')"
            ),
            "SYS139",
        ),
    ],
)
def test_books_that_do_not_add_up_are_found(kept: Kept, damage: str, code: str) -> None:
    kept.change(damage)
    assert {f["code"] for f in kept.asked("db", "check", code=1)["findings"]} == {code}


def test_a_document_that_is_missing_or_changed_is_found(kept: Kept) -> None:
    ((payload,),) = kept.rows("SELECT payload FROM held")
    documents = [path for path in (kept.home / "blobs").glob("??/*") if path.name.encode() in payload]
    (document,) = documents
    whole = document.read_bytes()
    document.write_bytes(b"x" + whole[1:])
    assert [f["code"] for f in kept.asked("db", "check", code=1)["findings"]] == ["SYS141"]
    document.unlink()
    assert [f["code"] for f in kept.asked("db", "check", code=1)["findings"]] == ["SYS140"]


def test_a_damaged_file_is_found(kept: Kept) -> None:
    if kept.address:
        kept.change("UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('held_number' AS regclass)")
    else:
        kept.change("INSERT INTO history (first, last, at, version, place, packed) VALUES (1, 1, 1, 1, 'x', x'00')")
        path = kept.home / "bus.db"
        with open_reading(path) as reading:
            ((root,),) = reading.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'held_number'")
        with path.open("r+b") as file:
            file.seek((root - 1) * 8192)
            file.write(b"\xff" * 8192)
    assert {f["code"] for f in kept.asked("db", "check", code=1)["findings"]} == {"SYS138"}


def test_a_restored_bus_holds_its_outputs_until_somebody_lets_them_go(kept: Kept, tmp_path: Path) -> None:
    kept.bus("db", "backup", str(tmp_path / "copy"))
    before = kept.rows("SELECT place, outcome, currency, count, amount FROM tally ORDER BY 1, 2, 3")
    epoch = kept.rows("SELECT value FROM meta WHERE key = 'epoch'")[0][0]
    kept.lose()
    assert "--reason" in kept.bus("db", "restore", str(tmp_path / "copy"), code=4).stderr
    kept.bus("db", "restore", str(tmp_path / "copy"), "--reason", "the disk burnt")
    assert kept.asked("db", "check") == {"findings": []}
    assert kept.rows("SELECT place, outcome, currency, count, amount FROM tally ORDER BY 1, 2, 3") == before
    assert kept.rows("SELECT value FROM meta WHERE key = 'epoch'")[0][0] > epoch + 100_000

    assert "SYS142" in kept.bus("run", "--until-idle", code=5).stderr
    (case,) = kept.asked("cases", "list")
    kept.bus("cases", "release", str(case["number"]), "--reason", "paid on purpose")
    kept.send("two", "small")
    kept.bus("run", "--until-idle", "--hold-outputs")
    assert kept.sent() == 1, "nothing was sent"
    assert "SYS142" in kept.bus("run", "--until-idle", code=5).stderr, "the next start is held too"
    assert "--reason" in kept.bus("db", "release-outputs", code=4).stderr
    assert kept.asked("db", "release-outputs", "--reason", "compared") == {"released": True}
    assert kept.asked("db", "release-outputs", "--reason", "again") == {"released": False}
    kept.bus("run", "--until-idle")
    assert kept.sent() == 3
    audit = kept.rows("SELECT what, reason FROM audit ORDER BY id")
    assert ("restored", "the disk burnt") in audit
    assert ("release-outputs", "compared") in audit


def test_a_backup_is_one_moment_while_the_bus_writes(kept: Kept, tmp_path: Path) -> None:
    """Every commit adds to two tables; a backup that mixed moments would have more in one of them."""
    store = open_store(kept.place, effect=no_effect)
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            key = f"k{written}"

            def work(tx: Any, key: str = key) -> None:
                tx.execute("INSERT INTO remembered VALUES ('test', ?, ?, 0)", (key, "x" * 2000))
                tx.execute("INSERT INTO audit (at, who, what, target, reason) VALUES (0, ?, 'test', '', '')", (key,))

            store.commit("test", work)
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written < 50:
            time.sleep(0.01)
        begun = written
        kept.bus("db", "backup", str(tmp_path / "copy"))
    finally:
        stop.set()
        writer.join(10)
        store.close()
    kept.lose()
    kept.bus("db", "restore", str(tmp_path / "copy"), "--reason", "a test")
    keys = kept.rows("SELECT key FROM remembered WHERE scope = 'test' ORDER BY key")
    assert keys == kept.rows("SELECT who FROM audit WHERE what = 'test' ORDER BY who")
    assert begun <= len(keys) <= written


def test_a_backup_or_restore_that_cannot_be_right_is_refused(kept: Kept, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    kept.bus("db", "backup", str(copy))
    assert "SYS143" in kept.bus("db", "backup", str(copy), code=4).stderr
    assert "SYS145" in kept.bus("db", "restore", str(copy), "--reason", "x", code=4).stderr
    kept.lose()
    document = next((copy / "blobs").glob("??/*"))
    whole = document.read_bytes()
    document.write_bytes(b"changed")
    assert "SYS146" in kept.bus("db", "restore", str(copy), "--reason", "x", code=4).stderr
    document.write_bytes(whole)
    ledger = copy / ("bus.db" if not kept.address else "history.copy")
    ledger.write_bytes(ledger.read_bytes()[:-1])
    assert "SYS146" in kept.bus("db", "restore", str(copy), "--reason", "x", code=4).stderr
    (copy / "backup.json").unlink()
    assert "SYS146" in kept.bus("db", "restore", str(copy), "--reason", "x", code=4).stderr
    assert not list((kept.home / "blobs").glob("??/*"))


def test_a_backup_is_its_owners_alone_whatever_the_umask(kept: Kept, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        kept.bus("db", "backup", str(tmp_path / "new" / "copy"))
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "copy").stat().st_mode & 0o077 == 0


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The system refuses larger files, as a full disk does in their middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_refuses_is_no_bug_leaves_nothing_and_may_be_tried_again(kept: Kept, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    room = 100 if kept.address else 100_000  # less than a table, less than a database
    with no_file_above(room):
        assert "SYS144" in kept.bus("db", "backup", str(copy), code=5).stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("copy")]
    kept.bus("db", "backup", str(copy))
    kept.lose()
    with no_file_above(room):
        assert "SYS144" in kept.bus("db", "restore", str(copy), "--reason", "x", code=5).stderr
    assert not [path for path in kept.home.rglob("*") if path.is_file() and path.name != "lock"]
    kept.bus("db", "restore", str(copy), "--reason", "a second attempt, with room")
    assert kept.rows("SELECT value FROM meta WHERE key = 'hold_outputs'") == [(1,)]


def test_a_restore_that_the_database_refused_can_be_tried_again(kept: Kept, tmp_path: Path) -> None:
    if not kept.address:
        pytest.skip("a file is refused before anything is copied")
    kept.bus("db", "backup", str(tmp_path / "copy"))
    kept.lose()
    right = kept.address
    kept.use("postgresql://nobody@127.0.0.1:1/nowhere")
    assert "SYS135" in kept.bus("db", "restore", str(tmp_path / "copy"), "--reason", "x", code=5).stderr
    kept.use(right)
    kept.bus("db", "restore", str(tmp_path / "copy"), "--reason", "x")


def test_a_log_that_another_ledger_left_is_not_taken_for_that_of_the_restored_one(kept: Kept, tmp_path: Path) -> None:
    if kept.address:
        pytest.skip("a database has no files of ours")
    store = open_store(kept.place, effect=no_effect)
    kept.bus("db", "backup", str(tmp_path / "copy"))
    for n in range(50):
        store.commit("test", lambda tx, n=n: tx.execute("INSERT INTO remembered VALUES ('s', ?, ?, 0)", (f"{n}", "v")))
    left = (kept.home / "bus.db-wal").read_bytes()
    store.close()
    kept.lose()
    kept.home.mkdir()
    (kept.home / "bus.db-wal").write_bytes(left)  # of a machine that died, whose bus.db was moved away
    refused = kept.bus("db", "restore", str(tmp_path / "copy"), "--reason", "x", code=4)
    assert "SYS145" in refused.stderr
    assert "bus.db-wal" in refused.stderr
    (kept.home / "bus.db-wal").unlink()
    kept.bus("db", "restore", str(tmp_path / "copy"), "--reason", "x")
    assert kept.rows("SELECT value FROM meta WHERE key = 'hold_outputs'") == [(1,)]


def test_outputs_of_a_running_bus_are_let_go(kept: Kept) -> None:
    kept.change("INSERT INTO meta VALUES ('hold_outputs', 1)")
    with pytest.raises(Unavailable, match="SYS142"):
        App(kept.folder)
    kept.send("two", "small")
    app = App(kept.folder, hold_outputs=True)
    try:
        for _ in range(60):
            app.bus.poll_once("flow")
            app.bus.turn(poll=False)
            if app.broker.depth("out"):
                break
            time.sleep(0.05)
        assert kept.sent() == 1
        assert app.bus.release_outputs("me", "compared")
        for _ in range(5):
            app.bus.turn(poll=False)
        assert kept.sent() == 2
    finally:
        app.close()


def test_upgrade_tells_what_it_did(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", postgres_url):
        made = Kept(tmp_path / (address[:4] or "file"), address, monkeypatch)
        first = made.asked("db", "upgrade")
        assert first["before"] == 0 < first["after"]
        assert made.asked("db", "upgrade") == {"before": first["after"], "after": first["after"]}


# ---------------------------------------------------------------- retention

FORGOTTEN = ("history", "business_key", "arrival", "batch", "gathering", "outbound", "cases")


def upkeep(kept: Kept, store: Store, days: float) -> Upkeep:
    """Upkeep on a day in the future."""
    clock = ManualClock(time.time_ns() // 1_000_000 + round(days * 86_400_000))
    return Upkeep(store, kept.place, FileBlobs(kept.home / "blobs"), clock, RetentionSpec().model_dump())


def counts(store: Store) -> dict[str, int]:
    sql = "SELECT count(*) FROM {}"
    return {table: store.read(sql.format(table))[0][0] for table in (*FORGOTTEN, "audit", "held")}


def test_what_waits_is_kept_and_what_is_finished_is_forgotten(kept: Kept) -> None:
    store = open_store(kept.place, effect=no_effect)
    assert upkeep(kept, store, 399).everything()["rows"] == {}
    upkeep(kept, store, 401).everything()
    after = counts(store)
    assert after["held"] == after["cases"] == 1
    assert after["history"], "of the message that is held, all is known"
    assert store.read("SELECT 1 FROM business_key WHERE value = 'one-1'"), "it can be found"
    store.close()
    kept.send("two", "small")
    kept.bus("run", "--until-idle")  # a newer batch: that of the held message may be forgotten now
    store = open_store(kept.place, effect=no_effect)
    upkeep(kept, store, 401).everything()
    assert store.read("SELECT id FROM batch") == [(2,)]
    store.close()
    (case,) = kept.asked("cases", "list")
    assert "held" in json.dumps(kept.asked("trace", "one-1"))
    kept.bus("cases", "release", str(case["number"]), "--reason", "on purpose")
    kept.bus("run", "--until-idle")
    store = open_store(kept.place, effect=no_effect)
    totals = store.read("SELECT place, outcome, currency, count, amount FROM tally ORDER BY 1, 2, 3")
    assert upkeep(kept, store, 401).everything()["more"] is False
    kept_on = {table: n for table, n in counts(store).items() if n}
    newest = {"arrival": 1, "audit": 1, "batch": 1, "gathering": 1}
    assert kept_on == newest, "the newest batch, so that numbers go on, and what it came from"
    assert store.read("SELECT place, outcome, currency, count, amount FROM tally ORDER BY 1, 2, 3") == totals
    store.close()
    kept.send("one", "small", "big", "small")
    kept.bus("run", "--until-idle")
    assert kept.asked("cases", "list")[0]["code"] == "POL100", "it comes as if it had never been there"
    assert kept.rows("SELECT count(*) FROM dead") == [(0,)]


def test_sources_that_leave_their_files_keep_what_they_know(kept: Kept) -> None:
    kept.send("two", "small")
    kept.bus("run", "--until-idle")
    store = open_store(kept.place, effect=no_effect)
    work = upkeep(kept, store, 401)
    work.spare = ("flow",)
    work.everything()
    assert counts(store)["arrival"] == 2
    work.spare = ("other",)
    work.everything()
    assert counts(store)["arrival"] == 1, "that of the newest batch"
    store.close()


def test_rows_go_in_small_commits_and_nothing_is_written_when_nothing_is_old(kept: Kept) -> None:
    seen: list[str] = []
    store = open_store(kept.place, effect=seen.append)
    for n in range(25):
        row = (f"{n:032x}", n)
        store.commit("test", lambda tx, row=row: tx.execute("INSERT INTO inbox VALUES (?, ?)", row))
    times = dict.fromkeys(RetentionSpec().model_dump(), 20)
    seen.clear()
    assert retention.purge(store, times, (), most=8) == {"inbox": 8}
    assert retention.purge(store, times, (), most=8) == {"inbox": 8}
    assert retention.purge(store, times, (), most=8) == {"inbox": 4}
    assert len(seen) == 6, "one commit each"
    assert retention.purge(store, times, (), most=8) == {}
    assert len(seen) == 6
    store.close()


def test_documents_go_when_they_are_old_and_nothing_refers_to_them(kept: Kept) -> None:
    store = open_store(kept.place, effect=no_effect)
    folder = kept.home / "blobs"
    ((payload,),) = store.read("SELECT payload FROM held")
    (wanted,) = [path for path in folder.glob("??/*") if path.name.encode() in payload]
    others = [path for path in folder.glob("??/*") if path != wanted]
    assert others
    assert upkeep(kept, store, 6).collect() == (0, 0), "too young"
    with hold_collection(folder):
        assert upkeep(kept, store, 8).collect() == (0, 0), "a backup runs"
    again = upkeep(kept, store, 8)
    (young, *rest) = others
    os.utime(young, (time.time() + 8 * 86_400,) * 2)  # stored again meanwhile
    size = sum(path.stat().st_size for path in rest)
    assert again.collect() == (len(rest), size)
    assert sorted(folder.glob("??/*")) == sorted([wanted, young])
    store.close()
    assert kept.asked("db", "check") == {"findings": []}


def test_a_document_that_is_stored_again_while_it_is_judged_stays(kept: Kept) -> None:
    blobs = FileBlobs(kept.home / "blobs")
    with blobs.create() as target:
        target.write(b"again")
    path = kept.home / "blobs" / target.blob.sha256[:2] / target.blob.sha256
    os.utime(path, (1, 1))
    before = time.time_ns() // 1_000_000 - 1000
    assert target.blob.sha256 in blobs.old(before)
    with blobs.create() as target:
        target.write(b"again")
    assert blobs.forget(target.blob.sha256, before) == 0
    assert path.exists()


def test_purge_tells_before_it_does(kept: Kept) -> None:
    kept.change("UPDATE outbound SET at = 1", "UPDATE arrival SET at = 1", "UPDATE batch SET parent_id = 'other'")
    told = kept.asked("db", "purge", "--dry-run")
    assert {table: n for table, n in told["rows"].items() if n} == {"outbound": 1, "arrival": 1}
    assert kept.asked("db", "purge")["rows"] == {"outbound": 1, "arrival": 1}
    assert not any(kept.asked("db", "purge", "--dry-run")["rows"].values())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("retention: {inbox: 1d}", ["SYS147"]),
        ("retention: {inbox: 90d, arrivals: 60d}", ["SYS147"]),
        ("retention: {inbox: 12h}", ["CFG107"]),
        ("retention: {inbox: 60d, history: 3650d}", []),
    ],
)
def test_what_tells_copies_apart_must_outlive_every_attempt(tmp_path: Path, written: str, expected: list[str]) -> None:
    (tmp_path / "bus.yaml").write_text(BUS + written + "\n")
    slow = "on_error: {attempts: 10, backoff: {first: 1d, factor: 1, most: 1d}}\n"
    (tmp_path / "flow.route.yaml").write_text(ROUTE + slow)
    found = [problem.code for problem in load_landscape(tmp_path).problems]
    assert found == expected
