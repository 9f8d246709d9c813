"""The ERP and the banks at work beside a bus that runs in real time, here or in another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

from bus.app import SystemClock
from bus.testing.bank import Answers
from bus.testing.judge import Read, under_way
from bus.testing.landscape import Town
from bus.testing.payrun import PaymentRun

DAY = date(2026, 11, 24)
_PAUSE = 0.05
_ROUNDS = 15
"""How often patience may begin anew: what goes on beyond that comes to no rest, as with a planted bug."""
_LOOK = 0.25
PROGRESS = (
    "SELECT (SELECT coalesce(sum(count), 0) FROM tally) + (SELECT count(*) FROM arrival) "
    "+ (SELECT count(*) FROM outbound WHERE state = 'delivered')"
)
"""Grows with everything that a bus finishes."""
_OPEN = "SELECT count(*) FROM instruction WHERE status NOT IN ('ACSC', 'RJCT')"


def day(number: int) -> date:
    """A day for the accounts, by number."""
    return DAY + timedelta(days=number)


class Partners:
    """``with Partners(root, seed) as partners:`` lets the banks work in a thread of their own.

    All partners take what they got out of their folders: what is delivered twice is there twice.

    Attributes:
        local: folder of the outlets on our own disk; None = nobody takes anything out of those.
        town: the partners themselves.
        runs: what was dropped so far.
        died: what ended the banks' thread, None while it lives.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.town = Town(root, SystemClock(), seed=seed, answers=Answers(reject_permille=30))
        self.local: Path | None = None
        self.runs: list[PaymentRun] = []
        self.died: BaseException | None = None
        self._stopping = threading.Event()
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="banks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let nobody work any more: nothing may move while it is counted."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(_PAUSE):
            try:
                with self._gate:
                    self.town.work_once()
                    self.town.collect(self.local)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                self.died = error
                return

    def drop(self, run: PaymentRun) -> None:
        """The ERP drops a file."""
        self.runs.append(run)
        self.town.erp.drop(run)

    def give(self, number: int, lines: int) -> None:
        """The ERP drops payment run ``number``; now and then besides one sent twice, cut off, or wrong in its sum."""
        erp = self.town.erp
        run = erp.payment_run(number, lines)
        extra: dict[int, PaymentRun] = {
            3: run.duplicate(run.name.replace(".csv", "_AGAIN.csv")),
            6: erp.payment_run(90_000 + number, lines).truncated(),
            9: erp.payment_run(90_000 + number, lines).wrong_sum(),
        }
        self.drop(run)
        if number % 10 in extra:
            self.drop(extra[number % 10])

    def state_accounts(self, day: date = DAY) -> None:
        """The banks send the statements of a day."""
        with self._gate:
            for bank in self.town.banks.values():
                bank.statement(day)

    def wait(
        self, what: str, reached: Callable[[], object], patience: float, *, look: float = _LOOK,
        moves: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """Look every ``look`` seconds until something is reached; patience begins anew with a change of ``moves()``.

        Raises:
            TimeoutError: it was not within ``patience`` seconds, or moved in a circle.
            RuntimeError: a bank died.
        """
        end, seen = time.monotonic() + patience, moves()
        last = end + _ROUNDS * patience
        while not reached():
            now = moves()
            if now != seen:
                end, seen = min(time.monotonic() + patience, last), now
            if self.died is not None:
                raise RuntimeError("a bank died") from self.died
            if time.monotonic() > end:
                raise TimeoutError(f"gave up waiting until {what}")
            self._stopping.wait(look)

    def quiet(self, read: Read) -> bool:
        """Everything is taken, answered and finished, on both sides."""
        boxes = [self.town.erp.outbox]
        for bank in self.town.banks.values():
            boxes += [bank.inbox, bank.outbox]
        if any(entry.is_file() for box in boxes for entry in box.iterdir()) or read("SELECT 1 FROM queued LIMIT 1"):
            return False
        (arrived,) = read("SELECT count(*) FROM arrival WHERE endpoint = 'payments-out'")[0]
        return arrived >= len(self.runs) and not read(_OPEN)[0][0] and not under_way(read)


def troubled(partners: Partners, runs: int, lines: int) -> list[PaymentRun]:
    """Payment runs of which 3 % of the lines are bad; two come twice, one is cut off, one has a wrong trailer."""
    erp = partners.town.erp
    good = [erp.payment_run(number, lines) for number in range(1, runs + 1)]
    again = [run.duplicate(run.name.replace(".csv", "_AGAIN.csv")) for run in good[:2]]
    cut = erp.payment_run(runs + 1, lines).truncated()
    false = erp.payment_run(runs + 2, lines).wrong_sum()
    return [*good, *again, cut, false]


def table(rows: list[tuple[Any, ...]], heads: tuple[str, ...]) -> str:
    """Columns of text, numbers to the right."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[n]) for line in [list(heads), *texts]) for n in range(len(heads))]
    right = [all(not isinstance(row[n], str) for row in rows) for n in range(len(heads))]

    def line(cells: list[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([line(list(heads)), line(["-" * width for width in widths]), *map(line, texts)])
