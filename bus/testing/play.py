"""Plays the main job against scripted partners: payment runs out over SFTP, the banks' answers and statements back."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bus.app import App, Surroundings, SystemClock
from bus.config import load_landscape
from bus.errors import NotAllowed, Unavailable
from bus.spec import EndpointSpec
from bus.testing.bank import Answers
from bus.testing.landscape import Loopback, Town
from bus.testing.payrun import PaymentRun

MARK = ".girobus-play"
_FINAL = ("ACSC", "ACCC", "RJCT", "CANC")
_PAUSE = 0.1
_MAIN = "payments-out"
_PARTNERS = {"erp", "bank-north", "bank-south"}


@dataclass(slots=True)
class Played:
    """What happened, for whoever prints it."""

    folder: Path
    runs: list[PaymentRun] = field(default_factory=list)
    seconds: float = 0.0


class Play:
    """A landscape with its partners in a folder of its own; every start begins anew.

    Args:
        landscape: folder with ``bus.yaml``.
        folder: working folder; emptied when it is one of an earlier play.
        told: called with a sentence for people at each stage.

    Raises:
        NotAllowed: ``SYS208`` the folder exists and is not of an earlier play, ``SYS209`` the main job is not there.
    """

    def __init__(self, landscape: Path, folder: Path, told: Callable[[str], None]) -> None:
        loaded = load_landscape(landscape).require()
        if _MAIN not in loaded.routes or not set(loaded.connections) >= _PARTNERS:
            hint = "run it in another folder: then the landscape that comes with the program is played"
            raise NotAllowed("SYS209", f"{landscape}/ has no payments to play", hint=hint)
        _empty(folder)
        self.folder = folder
        self._told = told
        self.clock = SystemClock()
        self.partners = folder / "partners"
        self.town = Town(self.partners, self.clock, seed=7, answers=Answers(reject_permille=30))
        free = {n: c.model_copy(update={"port": 0}) if hasattr(c, "port") else c for n, c in loaded.connections.items()}
        self.servers = Loopback(self.partners, free)
        self.servers.start()
        connections = {n: self.servers.reached(n, c) for n, c in loaded.connections.items()}
        around = Surroundings(clock=self.clock, sink=self._sink)
        self.app = App(landscape, around, home=folder / "bus", landscape=replace(loaded, connections=connections))
        self._stop = threading.Event()
        self._town = threading.Lock()
        self._banks = threading.Thread(target=self._work, name="banks", daemon=True)

    def _sink(self, spec: EndpointSpec, resources: Any) -> Any:
        """Local folders of the landscape stay inside the play's folder."""
        if spec.key == "file":
            spec = spec.model_copy(update={"path": str((self.folder / str(getattr(spec, "path", ""))).resolve())})
        return spec.sink(resources)

    def _work(self) -> None:
        while not self._stop.wait(_PAUSE):
            with self._town:
                self.town.work_once()

    def perform(self, runs: int, lines: int, patience: float) -> Played:
        """Drop payment runs, a duplicate and a broken one; return when every transaction is terminal.

        Raises:
            Unavailable: ``SYS108`` when that takes longer than ``patience`` seconds.
        """
        begin = time.perf_counter()
        played = Played(self.folder)
        self.app.bus.start()
        self._banks.start()
        for number in range(1, runs + 1):
            run = self.town.erp.payment_run(number, lines)
            self.town.erp.drop(run)
            played.runs.append(run)
        self._told(f"The ERP dropped {runs} payment runs of {lines} lines; the bus fetches them over SFTP.")
        self._until("every payment run is taken in", lambda: self._arrivals() >= runs, patience)
        twice = played.runs[0].duplicate("PAYRUN_COPY_OF_1.csv")
        broken = self.town.erp.payment_run(runs + 1, lines).wrong_sum()
        self.town.erp.drop(twice)
        self.town.erp.drop(broken)
        self._told("It dropped the first one again under another name, and one whose trailer is a cent off.")
        self._until("both are taken in", lambda: self._arrivals() >= runs + 2, patience)
        self._until("every payment has its final status", self._answered, patience)
        self._told("Both banks answered every payment; now they send the statements of the day.")
        day = (datetime.now(UTC) + timedelta(days=1)).date()
        with self._town:
            statements = sum(len(bank.statement(day)) for bank in self.town.banks.values())
        self._until("every statement is booked", lambda: self._statements() >= statements and self._quiet(), patience)
        played.seconds = time.perf_counter() - begin
        return played

    def close(self) -> None:
        """Stop bus, banks and servers."""
        self._stop.set()
        if self._banks.is_alive():
            self._banks.join()
        self.app.bus.stop()
        self.servers.stop()
        self.app.close()

    # ------------------------------------------------------------ how far it is

    def _until(self, what: str, reached: Callable[[], bool], patience: float) -> None:
        end = time.monotonic() + patience
        while not reached():
            if time.monotonic() > end:
                raise Unavailable(
                    "SYS108", f"gave up waiting until {what}", hint=f"look at {self.folder}, or: bus cases list"
                )
            time.sleep(_PAUSE)

    def _one(self, sql: str, *bindings: Any) -> int:
        return int(self.app.store.read(sql, bindings)[0][0])

    def _arrivals(self) -> int:
        return self._one("SELECT count(*) FROM arrival WHERE endpoint = 'payments-out' AND state = 'completed'")

    def _statements(self) -> int:
        sql = "SELECT count(*) FROM arrival WHERE endpoint LIKE '%statements' AND state = 'completed'"
        return self._one(sql)

    def _quiet(self) -> bool:
        groups = "SELECT count(*) FROM gathering WHERE state IN ('open', 'released')"
        return self.app.bus.idle() and self._one("SELECT count(*) FROM deferred") == 0 == self._one(groups)

    def _answered(self) -> bool:
        marks = ", ".join("?" for _ in _FINAL)
        open_ = self._one(f"SELECT count(*) FROM instruction WHERE status NOT IN ({marks})", *_FINAL)  # noqa: S608 - question marks
        return open_ == 0 and self._one("SELECT count(*) FROM instruction") > 0 and self._quiet()


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise NotAllowed(
            "SYS208", f"{folder} is not empty and not of an earlier play", hint="name another one with --work"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
