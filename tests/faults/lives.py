"""Lives of a bus that is killed again and again: what makes each effect happen, where it died, and the end at rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from bus.testing.judge import Judgement, Scene, judge, under_way
from bus.testing.landscape import ERP, schemas
from bus.testing.payrun import PaymentRun
from tests.faults.books import Books
from tests.faults.mailboxes import BIGGEST, Mailboxes
from tests.faults.node import SIZE, Board, Plan
from tests.faults.partners import PROGRESS, Partners, day

EFFECTS = (
    "source.claim", "source.fetch", "source.done", "source.failed", "source.abandon", "blob.create",
    "sink.stage", "sink.rename", "sink.remove",
    "commit.epoch", "commit.version", "commit.declare", "commit.admit", "commit.completed", "commit.told",
    "commit.refuse", "commit.case", "commit.segment", "commit.stage-batch", "commit.staged", "commit.requested",
    "commit.delivered", "commit.failure", "commit.due", "commit.sweep", "commit.release", "commit.discard",
    "commit.retry", "commit.control",
)  # fmt: skip
"""Every labelled effect of a bus with its channels in its store, but those of housekeeping."""
_STARTING = {"commit.epoch", "commit.version", "commit.declare", "commit.told", "commit.sweep", "commit.lease"}
_OFTEN = {
    "source.claim", "source.fetch", "source.done", "blob.create", "sink.stage", "sink.rename", "commit.admit",
    "commit.completed", "commit.segment", "commit.staged", "commit.requested", "commit.delivered", "commit.relay",
    "amqp.publish", "amqp.acknowledge",
}  # fmt: skip
_PAUSED = "bank-north-status"
_UP = 60.0
"""Seconds that a bus may take to start, on a busy machine."""
_PATIENCE = 15.0
_LONGEST = 2.0
"""Seconds that a bus may work at most before it is killed by chance."""
_TICK = 0.005
_LINGER = 0.3
_LEASE = 1_500
"""Milliseconds that the leases of a bus last here, where one follows the other at once."""
_CASES = {
    "commit.release": "code = 'POL100' AND summary LIKE 'above%'",
    "commit.discard": "code = 'DUP101'",
    "commit.retry": "code LIKE 'NET1%' AND EXISTS (SELECT 1 FROM dead WHERE case_id = cases.id)",
}


@dataclass(slots=True)
class Death:
    """One kill.

    Attributes:
        label: the effect that it was armed for or, by chance, one that was going on; with its half.
        doing: all effects that were going on, of which the process never learned the end.
        under_way: what the ledger still had to do, in words.
        at: time on the monotonic clock.
        recovery: seconds from this kill until a bus worked again.
    """

    label: str
    doing: tuple[str, ...]
    under_way: tuple[str, ...]
    at: float
    recovery: float = 0.0

    @property
    def effect(self) -> str:
        """The label without its half."""
        return self.label.partition(":")[0]

    @property
    def in_flight(self) -> bool:
        """A unit was on its way; a file that is being taken in is one before the ledger knows of it."""
        return bool(self.doing or self.under_way or self.label.startswith("source."))

    def __str__(self) -> str:
        """One line for people."""
        doing = ", ".join(self.doing) or "nothing"
        return f"killed at {self.label:26} doing {doing}; {(*self.under_way, 'nothing under way')[0]}"


class Lives:
    """A landscape, its partners, and one bus process after the other.

    Args:
        boxes: the partners' servers, running.
        partners: the ERP and the banks, working.
        chance: decides what is left to chance.
        lines: of a payment run.
        source: the tree that the bus is run from.
    """

    def __init__(self, boxes: Mailboxes, partners: Partners, chance: Random, *, lines: int, source: Path) -> None:
        self.soon = False
        """Die at the first time that an effect with its half is reached, a moment later: a window is open for long."""
        self.partners = partners
        self.partners.local = boxes.landscape / ".bus"
        self.chance = chance
        self.deaths: list[Death] = []
        self._boxes = boxes
        self._lines = lines
        self._source = source
        self._home = boxes.landscape / ".bus"
        board = boxes.landscape.with_name("board")
        board.write_bytes(bytes(SIZE))
        self._board = Board(board)
        self._plan = boxes.landscape.with_name("plan.json")
        self._launched = 0
        self._refused: list[str] = []
        self._decided: dict[str, dict[int, dict[str, Any]]] = {order: {} for order in _CASES}
        self._books = Books(boxes.site.ledger or self._home / "bus.db")

    # ------------------------------------------------------------ the ledger, from outside

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """Committed rows; a count of nothing as long as there is no ledger."""
        rows = self._books.look(sql)
        return ([(0,)] if "count(*)" in sql else []) if rows is None else rows

    def _open_cases(self, order: str) -> dict[int, dict[str, Any]]:
        rows = self.read(f"SELECT id, context FROM cases WHERE state = 'open' AND {_CASES[order]} ORDER BY id")  # noqa: S608 - ours
        return {row[0]: json.loads(row[1]) for row in rows}

    # ------------------------------------------------------------ one life

    def live_and_die(self, effect: str) -> Death:
        """Start a bus, give it work, and let it die at ``effect``, or by chance where that is empty or never comes.

        ``commit.segment`` leaves its half to chance; ``commit.segment:after`` is after an odd number of them.
        """
        self._give_work()
        label, hit = effect, 1 if self.soon else self.chance.randrange(1, 12, 2)
        if effect and ":" not in effect:
            label = f"{effect}:{self.chance.choice(('before', 'after'))}"
            hit = self.chance.randint(1, 12) if effect in _OFTEN else 1
        with self._circumstances(effect):
            process = self._start(label, hit)
            end = time.monotonic() + _UP
            ordered = working = False
            while process.poll() is None and time.monotonic() < end:
                if not working and self._works():
                    working = True
                    end = time.monotonic() + (_PATIENCE if effect else self.chance.random() * _LONGEST)
                ordered = ordered or (working and self._order(process, effect))
                with suppress(TimeoutError):
                    self.partners.wait("it died", lambda: process.poll() is not None, _TICK, look=_TICK)
            died_itself = process.poll() == -signal.SIGKILL
            self._kill(process)
        doing = tuple(sorted(found for found in self._board.read() if found.endswith(":before")))
        chosen = label if died_itself else self.chance.choice(doing) if doing else "nothing"
        death = Death(chosen, doing, tuple(under_way(self.read)), time.monotonic())
        self.deaths.append(death)
        return death

    def _give_work(self) -> None:
        """The next payment run; now and then one that is sent twice or broken, and the statements of a day."""
        number = self._launched + 1
        self.partners.give(number, self._lines)
        if self._launched % 10 == 9:
            self.partners.state_accounts(day(number))

    def _start(self, label: str, hit: int) -> subprocess.Popen[bytes]:
        self._launched += 1
        self._board.clear()
        plan = Plan(str(self._boxes.landscape), str(self._boxes.landscape.with_name("board")), label, hit, _LEASE)
        plan.linger = _LINGER if self.soon else 0.0
        self._plan.write_bytes(msgspec.json.encode(plan))
        command = [sys.executable, "-m", "tests.faults.node", str(self._plan)]
        log = self._plan.with_suffix(".log").open("ab")
        with log:
            return subprocess.Popen(command, cwd=self._source, stdin=subprocess.PIPE, stderr=log)

    def _works(self) -> bool:
        """The new bus does more than starting; then the earlier kills are recovered from."""
        if all(label.partition(":")[0] in _STARTING for label in self._board.read()):
            return False
        for death in self.deaths:
            death.recovery = death.recovery or time.monotonic() - death.at
        return True

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL, if it can be in the middle of an effect."""
        end = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < end:
            if any(label.endswith(":before") for label in self._board.read()):
                break
        _end(process)

    # ------------------------------------------------------------ what makes an effect happen

    @contextmanager
    def _circumstances(self, effect: str) -> Iterator[None]:
        """What the partners do so that a rare effect happens, and undo after the death."""
        erp, server = self.partners.town.erp, self._boxes.servers[ERP]
        inbox = self.partners.town.root / ERP / "inbox" / ".stage"
        mark = f"{self._launched:03}"
        undo: list[Any] = []
        if effect in ("source.failed", "commit.refuse"):
            name = f"PAYRUN_{mark}_ENDLESS.csv"
            (erp.outbox / name).write_bytes(mark.encode() * BIGGEST)
            (erp.outbox / f"{name}.done").touch()
            self._refused.append(name)
        elif effect == "source.abandon":
            run = erp.payment_run(80_000 + self._launched, self._lines)
            self.partners.drop(run)
            (erp.outbox / run.name).chmod(0)
            undo.append(lambda: self._give_rights(run))
        elif effect == "commit.case":
            hostile = erp.outbox / f"PAYRUN_{mark}\n.csv"
            hostile.touch()
            undo.append(hostile.unlink)
        elif effect == "sink.remove":
            for outlet in ("erp-rejects", "erp-status"):
                self._boxes.leave(server, inbox / f"1-{outlet}-{self.chance.randbytes(16).hex()}")
        elif effect in ("commit.failure", "commit.due", "commit.retry"):
            inbox.chmod(0o555)
            undo.append(lambda: inbox.chmod(0o755))
        elif effect == "commit.version":
            self._boxes.touch_routes(self._launched)
        try:
            yield
        finally:
            for action in undo:
                action()

    def _give_rights(self, run: PaymentRun) -> None:
        """The file may be read from now on, wherever it lies."""
        for path in self.partners.town.erp.outbox.rglob(f"*{run.name}"):
            path.chmod(0o644)

    def _order(self, process: subprocess.Popen[bytes], effect: str) -> bool:
        """Ask the bus for what a person decides, once it can be asked; true when nothing is left to ask."""
        if effect == "commit.control":
            self._send(process, {"do": "paused", "route": _PAUSED})
        elif effect in _CASES:
            cases = self._open_cases(effect)
            if not cases:
                return False
            case = next(iter(cases))
            self._decided[effect][case] = cases[case]
            if effect == "commit.retry":
                (self.partners.town.root / ERP / "inbox" / ".stage").chmod(0o755)
            self._send(process, {"do": effect.removeprefix("commit."), "case": case})
        return True

    def _send(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()

    # ------------------------------------------------------------ the end

    def rest(self, patience: float) -> None:
        """A last life that nobody disturbs, until everything is at rest; what people decided is asked for again.

        Args:
            patience: seconds in which nothing moves.

        Raises:
            TimeoutError: it does not come to rest.
            AssertionError: the process ended badly.
        """
        process = self._start("", 1)
        try:
            self.partners.wait("the bus works", self._works, _UP)
            self._send(process, {"do": "running", "route": _PAUSED})
            self._wait("every payment has its end", process, patience)
            self.partners.state_accounts(day(self._launched))
            self._wait("every entry is booked", process, patience)
            process.communicate(timeout=60)
            if process.returncode:
                raise AssertionError(f"the bus ended with {process.returncode}")
        finally:
            _end(process)

    def _wait(self, what: str, process: subprocess.Popen[bytes], patience: float) -> None:
        self.partners.wait(what, lambda: self._at_rest(process), patience, moves=lambda: self._books.look(PROGRESS))

    def _at_rest(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the bus died: {self._plan.with_suffix('.log').read_text()[-2_000:]}")
        for order in _CASES:
            wanted = self._open_cases(order)
            for case in wanted if order == "commit.retry" else wanted.keys() & self._decided[order].keys():
                self._send(process, {"do": order.removeprefix("commit."), "case": case})
                return False
        return self.partners.quiet(self.read)

    def judge(self) -> Judgement:
        """Count everything at the partners."""
        self.partners.stop()
        released = {context["keys"]["end_to_end_id"] for context in self._decided["commit.release"].values()}
        town = self.partners.town
        scene = Scene(
            town, self.partners.runs, self.read, self._home, schemas(), self._home, released=frozenset(released)
        )
        verdict = judge(scene)
        rejected = sorted(path.name for path in (town.erp.outbox / "rejected").glob("*_ENDLESS.csv"))
        if rejected != sorted(self._refused):
            verdict.wrong.append(f"{len(rejected)} endless files are refused, not {len(self._refused)}")
        return verdict

    def close(self) -> None:
        """Let files go."""
        self._board.close()
        self._books.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
