"""Wall clocks jump under payments: that of the only machine, and that of one machine of two.

The bus runs with a library before the C library (``tests/faults/wall_clock.c``) that adds an offset to the wall clock;
partners and databases keep the right time. The monotonic clock does not jump, as on a machine whose clock somebody, or
NTP, sets.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from bus.testing.landscape import BANKS
from bus.testing.postgres import PostgresServer, schema
from bus.testing.sshd import OpenSshServer
from tests.faults.child import Child, Pair
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site

_SOURCE = Path(__file__).parents[1] / "wall_clock.c"
_ZONE = "Europe/Berlin"
_CHANGE = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
"""When clocks in the zone go back by an hour."""
_BEFORE = 3.0
"""Seconds before the change to which the clock is set."""
_HOUR = 3_600.0
_STEPS = {"+2 s": 2.0, "-3 s": -3.0, "+1 h": _HOUR, "-1 h": -_HOUR, "+3 d": 72 * _HOUR, "-3 d": -72 * _HOUR}
_ALONE = ("+2 s", "+1 h", "-1 h", "-3 s", "+3 d", "-3 d")
_OF_TWO = ("+1 h", "-1 h", "-3 s", "+3 d", "-3 d")
_LINES = 30
_TRIES = Site(attempts=100)
_WAITING = "SELECT count(*) FROM deferred"
_LEASES = "SELECT name, token FROM lease"


def _no_compiler() -> str:
    return "" if shutil.which("cc") else "there is no C compiler (apt-get install gcc libc6-dev)"


class Clock:
    """What a process believes: the right time and an offset in seconds.

    Args:
        folder: empty, for the library and the offset.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._library, self._file = folder / "wall_clock.so", folder / "offset"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self._library, _SOURCE], check=True)
        self._offset = 0.0
        self._file.write_bytes(bytes(8))

    def jump(self, seconds: float) -> None:
        """Go so far, at once."""
        self._offset += seconds
        handle = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(handle, struct.pack("=q", round(self._offset * 1e9)), 0)
        finally:
            os.close(handle)

    def near(self, moment: datetime) -> None:
        """A few seconds before that."""
        self.jump(moment.timestamp() - _BEFORE - time.time() - self._offset)

    def environment(self) -> dict[str, str]:
        """For a process that shall believe it."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_OFFSET": str(self._file), "TZ": _ZONE}


@fault("clock", "wall clocks jump, by seconds, hours and days", 30, _no_compiler, *(
    service.missing for service in (OpenSshServer, PostgresServer)
))  # fmt: skip
def clock(order: Order) -> Iterator[Result]:
    """Thirteen jumps in the short version, nearly two hundred in the long one."""
    yield _alone(order)
    yield _one_of_two(order)


def _alone(order: Order) -> Result:
    """The clock of the only machine; attempts wait when it jumps, and summer time ends besides."""
    with Gateway(order, _TRIES, name="alone", lines=_LINES) as gateway:
        told = Clock(order.folder / "clock")
        processes = Fleet(gateway.boxes.landscape, workers=1, more=told.environment())
        try:
            processes.start()
            for _ in range(15 if order.full else 1):
                for name in _ALONE:
                    away = gateway.boxes.servers[gateway.chance.choice(BANKS)] if name[0] == "-" else None
                    _jump(gateway, told, name, away)
                gateway.strike("summer time is about to end", lambda: told.near(_CHANGE))
                time.sleep(_BEFORE)
                gateway.breathe()
            gateway.strike("the clock is right again", lambda: told.near(datetime.now(UTC)))
            found = gateway.result("clock jumps", "clock", processes)
        finally:
            processes.close()
    first, last = gateway.books.read("SELECT min(at), max(at) FROM history")[0]
    found.missed += [] if last - first > 7 * 24 * _HOUR * 1000 else ["jumps that the bus believed"]
    return found


def _jump(gateway: Gateway, told: Clock, name: str, away: OpenSshServer | None) -> None:
    """The clock jumps; where a bank is ``away``, something waits for its next attempt meanwhile."""
    if away is not None:
        away.kill()
        gateway.give_work()
        with suppress(TimeoutError):
            gateway.partners.wait("an attempt waits", lambda: (gateway.books.look(_WAITING) or [(0,)])[0][0], 10.0)
    gateway.strike(f"the clock jumps {name}", lambda: told.jump(_STEPS[name]))
    if away is not None:
        away.start()
    gateway.breathe()


def _one_of_two(order: Order) -> Result:
    """The clock of one machine of two: nobody may lose a lease by that."""
    with ExitStack() as opening:
        server = opening.enter_context(PostgresServer())
        ledger = opening.enter_context(schema(server.url))
        gateway = opening.enter_context(Gateway(order, Site(ledger=ledger, attempts=100), name="two", lines=_LINES))
        told = Clock(order.folder / "clock-of-one")
        landscape = gateway.boxes.landscape
        believing = ("env", *(f"{name}={value}" for name, value in told.environment().items()))
        processes = Pair(Child(landscape, name="right"), Child(landscape, name="jumping", inside=believing))
        opening.callback(processes.close)
        processes.start()
        gateway.give_work()
        gateway.breathe(30.0)
        held = dict(gateway.books.read(_LEASES))
        for _ in range(15 if order.full else 1):
            for name in _OF_TWO:
                gateway.strike(f"the clock of one jumps {name}", lambda: told.jump(_STEPS[name]))  # noqa: B023 - used at once
                gateway.breathe()
        lost = [name for name, token in gateway.books.read(_LEASES) if token != held.get(name, token)]
        found = gateway.result("clock of one jumps", "clock", processes)
        found.verdict.wrong += [f"lease {name} changed hands, and its holder was alive" for name in lost]
        return found
