"""The judge notices what is done to a landscape behind its back; else its silence would prove nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.config import load_landscape
from bus.ledger.store import no_effect
from bus.registry import Registry
from bus.testing.judge import Judgement
from tests.faults.world import ROUTES, World

Tamper = Callable[[Path, World], None]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The simulated landscape after all three phases."""
    catalogue = Registry()
    landscape = load_landscape(ROUTES, catalogue).require()
    world = World(tmp_path_factory.mktemp("world"), landscape, catalogue, no_effect)
    for _ in world.go_on():
        continue
    yield world
    world.app.close()


@pytest.fixture
def world(lived: World, tmp_path: Path) -> Iterator[World]:
    """The same, and afterwards as it was."""
    shutil.copytree(lived.folder, tmp_path / "kept")
    lived.store._connection.execute("SAVEPOINT tampered")
    yield lived
    lived.store._connection.execute("ROLLBACK TO tampered")
    shutil.rmtree(lived.folder)
    shutil.copytree(tmp_path / "kept", lived.folder)


def first(partners: Path, pattern: str) -> Path:
    return min(partners.glob(pattern))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def sql(statement: str) -> Tamper:
    def tamper(_partners: Path, world: World) -> None:
        world.store._connection.execute(statement)

    return tamper


def twice(pattern: str) -> Tamper:
    def tamper(partners: Path, _world: World) -> None:
        path = first(partners, pattern)
        shutil.copy2(path, path.with_name(path.name.replace("_", "_X", 1)))

    return tamper


def again(pattern: str) -> Tamper:
    """The same file is delivered again when its reader has taken it."""

    def tamper(partners: Path, world: World) -> None:
        path = first(partners, pattern)
        shutil.copy2(path, path.parent.parent)
        world.town.collect(world.local)

    return tamper


def journal_twice(partners: Path, _world: World) -> None:
    path = partners / "bank-north" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes().split(b"\n")[0] + b"\n")


def journal_short(partners: Path, _world: World) -> None:
    path = partners / "bank-north" / "journal.jsonl"
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def journal_cent(partners: Path, _world: World) -> None:
    change(partners / "bank-north" / "journal.jsonl", '"amount":"', '"amount":"1')


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (journal_short, "lost"),
        (journal_twice, "doubled"),
        (journal_cent, "wrong"),
        (lambda p, _: first(p, "erp/inbox/taken/PAYREJ_*").unlink(), "lost"),
        (twice("erp/inbox/taken/PAYREJ_*"), "doubled"),
        (
            lambda p, _: change(
                min(p.glob("erp/inbox/taken/PAYREJ_*"), key=lambda f: -f.stat().st_size), "INV-", "INX-"
            ),
            "wrong",
        ),
        (lambda p, _: first(p, "erp/inbox/taken/STATUS_*").unlink(), "lost"),
        (twice("erp/inbox/taken/STATUS_*"), "doubled"),
        (lambda p, _: first(p, "erp/inbox/taken/ENTRIES_*").unlink(), "lost"),
        (twice("erp/inbox/taken/ENTRIES_*"), "doubled"),
        (lambda p, _: change(first(p, "local/.bus/treasury/taken/*.csv"), "credit", "debit"), "lost"),
        (lambda p, _: change(first(p, "local/.bus/legacy-ledger/taken/*.txt"), "\nT10000", "\nT19999"), "wrong"),
        (again("erp/inbox/taken/PAYREJ_*"), "doubled"),
        (again("erp/inbox/taken/STATUS_*"), "doubled"),
        (again("erp/inbox/taken/ENTRIES_*"), "doubled"),
        (again("local/.bus/treasury/taken/*"), "doubled"),
        (again("local/.bus/legacy-ledger/taken/*"), "doubled"),
        (again("local/.bus/notices/taken/*"), "doubled"),
        (lambda p, _: first(p, "local/.bus/notices/taken/*.txt").unlink(), "lost"),
        (twice("local/.bus/notices/taken/*.txt"), "doubled"),
        (lambda p, _: change(first(p, "local/.bus/notices/taken/*.txt"), "Payment  ", "Payment  X"), "wrong"),
        (lambda p, _: first(p, "local/.bus/notices/taken/*.txt").write_bytes(b""), "wrong"),
        (lambda p, _: change(first(p, "bank-*/processed/*"), "<CtrlSum>", "<CtrlSum>9"), "wrong"),
        (lambda p, _: (p / "bank-north/inbox/.stage/1-x").touch(), "left_over"),
        (lambda p, _: (p / "erp/outbox/.claim/1-PAYRUN_1.csv").touch(), "left_over"),
        (lambda p, _: (p.parent / "home/blobs/tmp/x").touch(), "left_over"),
        (lambda p, _: first(p, "erp/outbox/done/*.csv").unlink(), "lost"),
        (sql("DELETE FROM held WHERE code = 'POL100'"), "lost"),
        (sql("UPDATE cases SET state = 'resolved' WHERE code = 'POL100'"), "wrong"),
        (sql("DELETE FROM held WHERE code = 'DUP101'"), "lost"),
        (sql("INSERT INTO queued VALUES (1, x'00')"), "unfinished"),
        (sql("UPDATE outbound SET state = 'requested'"), "unfinished"),
        (sql("UPDATE arrival SET state = 'stored'"), "unfinished"),
        (sql("UPDATE batch SET state = 'loading'"), "unfinished"),
        (sql("UPDATE cases SET code = 'INT131'"), "wrong"),
        (sql("UPDATE instruction SET status = 'ACTC'"), "lost"),
    ],
)
def test_tampering_is_noticed(world: World, tamper: Tamper, kind: str) -> None:
    assert world.judgement().clean

    tamper(world.folder / "partners", world)

    verdict: Judgement = world.judgement()
    assert getattr(verdict, kind), verdict.story()
    assert not verdict.clean
