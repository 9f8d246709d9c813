"""Keeps the processes of a fleet alive: starts them, watches their progress, ends and replaces them, or gives up."""

from __future__ import annotations

import json
import logging
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bus.errors import Unavailable

log = logging.getLogger("girobus")
_TICK = 0.1
_PARTLY, _INTERRUPTED = 6, 130
"""Exit codes of the command, see :class:`bus.cli.output.Exit`."""
_BLIND = 30.0
_LONGEST = 1_000_000
"""Bytes of a beat; who sends more without an end of line sends no beats."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the supervisor acts. All times are seconds.

    Attributes:
        stalled: a process that holds work and makes no progress for this time is ended.
        silent: so is one of which nothing was heard for this time (stopped by a signal, stuck in a library).
        grace: from the friendly request to end (SIGTERM) to SIGKILL.
        memory: bytes; a process above them finishes the batch in hand and is replaced. 0 = no limit.
        deaths: so many deaths of one place within ``window`` and the fleet gives up.
        window: see ``deaths``; who lived longer starts with the shortest wait again.
        first: wait before the first new start; it doubles with each death, up to ``most``, and is spread by a half.
        most: longest wait.
    """

    stalled: float = 900.0
    silent: float = 60.0
    grace: float = 40.0
    memory: int = 0
    deaths: int = 5
    window: float = 60.0
    first: float = 0.5
    most: float = 30.0


Start = Callable[[int, socket.socket], "subprocess.Popen[bytes]"]
"""Starts the process of a place with its end of the link; the place counts from 1."""


@dataclass(slots=True)
class Process:
    """One running process, as far as it has told."""

    popen: subprocess.Popen[bytes]
    link: socket.socket
    born: float
    heard: float
    since: int
    """Milliseconds since 1970 UTC."""
    told: dict[str, Any] = field(default_factory=dict)
    waits: bytes = b""
    kill_at: float = 0.0
    """When SIGKILL follows; 0 = nobody asked it to end."""
    recycled: bool = False


@dataclass(slots=True)
class Place:
    """Where one process after the other runs."""

    number: int
    process: Process | None = None
    start_at: float = 0.0
    deaths: deque[float] = field(default_factory=deque)


class Supervisor:
    """The parent of N processes. It holds no connection and no work itself, so that nothing can take it along.

    Args:
        count: how many processes.
        start: starts one.
        limits: when to act.
        now: monotonic seconds.
        chance: spreads the waits, so that machines do not start in step.
        fatal: exit codes that another start would give again; when the first start of all ends so, so does the fleet.
    """

    def __init__(
        self,
        count: int,
        start: Start,
        limits: Limits,
        *,
        now: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
        fatal: frozenset[int] = frozenset(),
    ) -> None:
        self.places = [Place(number) for number in range(1, count + 1)]
        self._start = start
        self._limits = limits
        self._now = now
        self._chance = chance or random.SystemRandom()
        self._fatal = fatal
        self._wishes: deque[int] = deque()
        self._stopping = False
        self._looked = now()
        self._verdict = 0
        self._proven = False
        """One process came up: what the landscape says can be run."""

    # ------------------------------------------------------------ asked from outside

    def wish(self, number: int) -> None:
        """A signal for the whole fleet: SIGTERM or SIGINT end it, others are handed on. From any thread or handler."""
        self._wishes.append(number)  # nothing with a lock: a handler runs in the midst of the thread that would hold it

    def run(self) -> int:
        """Until somebody says stop; the exit code: 0, 6 when a batch did not end in time, 130 after a second SIGINT.

        Raises:
            Unavailable: ``SYS160`` processes die again and again.
        """
        code: int | None = None
        try:
            while code is None:
                time.sleep(_TICK)
                code = self.turn()
        finally:
            for place in self.places:
                if place.process is not None:
                    self._kill(place.process)
        return code

    def stuck(self) -> list[str]:
        """Why this process itself should be replaced: it has not looked at its processes for long."""
        age = self._now() - self._looked
        return [f"the supervisor did not look for {age:.0f} s"] if age > _BLIND else []

    def processes(self) -> list[dict[str, Any]]:
        """What is known of each: pid, what it told, since when; without pid where one is about to be started."""
        found = []
        for place in self.places:
            process = place.process
            about: dict[str, Any] = {"place": place.number, "deaths": len(place.deaths)}
            if process is not None:
                about |= {**process.told, "pid": process.popen.pid, "since": process.since}
                about["heard"] = round(self._now() - process.heard, 1)
            found.append(about)
        return found

    # ------------------------------------------------------------ one look at everything

    def turn(self) -> int | None:
        """Look at every process once and do what is due; the exit code when all is over."""
        self._looked = self._now()
        while self._wishes:
            self._hand_on(self._wishes.popleft())
        for place in self.places:
            if place.process is not None:
                self._listen(place.process)
                code = self._look(place, place.process)
                if code is not None:
                    return code
            if place.process is None and not self._stopping and self._now() >= place.start_at:
                self._begin(place)
        if self._stopping and all(place.process is None for place in self.places):
            return self._verdict
        return None

    def _hand_on(self, number: int) -> None:
        ends = number in (signal.SIGTERM, signal.SIGINT)
        again = ends and self._stopping
        self._stopping = self._stopping or ends
        for place in self.places:
            process = place.process
            if process is None:
                continue
            if again and number == signal.SIGINT:
                self._verdict = _INTERRUPTED
                self._kill(process)
            elif ends:
                self._end(process)
            else:
                _signal(process, number)

    def _begin(self, place: Place) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        try:
            popen = self._start(place.number, theirs)
        finally:
            theirs.close()
        moment = self._now()
        place.process = Process(popen, ours, moment, moment, time.time_ns() // 1_000_000)

    def _listen(self, process: Process) -> None:
        try:
            while data := process.link.recv(65536):
                process.waits += data
        except BlockingIOError:
            pass
        except OSError:
            return
        *lines, process.waits = process.waits.split(b"\n")
        process.waits = process.waits[-_LONGEST:]
        for line in lines[-1:]:
            with suppress(ValueError):
                process.told = json.loads(line)
                process.heard = self._now()
                self._proven = True

    def _look(self, place: Place, process: Process) -> int | None:
        code = process.popen.poll()
        if code is not None:
            return self._ended(place, process, code)
        now, limits = self._now(), self._limits
        if process.kill_at:
            if now >= process.kill_at:
                _tell("SYS162", "process %d (pid %d) did not end in time: killed", place.number, process.popen.pid)
                self._verdict = _PARTLY if self._stopping else 0
                self._kill(process)
            return None
        stalled = process.told.get("stalled", 0.0)
        if stalled >= limits.stalled:
            _tell("SYS161", "process %d (pid %d): no progress for %.0f s", place.number, process.popen.pid, stalled)
            self._end(process)
        elif now - process.heard >= limits.silent:
            silent = now - process.heard
            _tell("SYS161", "process %d (pid %d): silent for %.0f s", place.number, process.popen.pid, silent)
            self._end(process)
        elif limits.memory and process.told.get("memory", 0) > limits.memory:
            has, may = process.told["memory"] / 1e6, limits.memory / 1e6
            text = "process %d has %.0f of %.0f MB: replaced after its batch"
            _tell("SYS163", text, place.number, has, may, level=logging.WARNING)
            process.recycled = True
            self._end(process)
        return None

    def _ended(self, place: Place, process: Process, code: int) -> int | None:
        process.link.close()
        place.process = None
        if self._stopping:
            self._verdict = self._verdict or (_PARTLY if code == _PARTLY else 0)
            return None
        now, limits = self._now(), self._limits
        if not self._proven and code in self._fatal:
            return code
        lived = now - process.born
        if process.recycled and lived >= limits.window:
            place.start_at = now
            return None
        if lived >= limits.window:
            place.deaths.clear()
        place.deaths.append(now)
        while now - place.deaths[0] > limits.window:
            place.deaths.popleft()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if len(place.deaths) >= limits.deaths:
            raise Unavailable(
                "SYS160",
                f"process {place.number} died {len(place.deaths)} times within {limits.window:.0f} s, last by {how}",
                hint="its last words are above; mend that and start again, nothing is lost",
            )
        wait = min(limits.first * 2 ** (len(place.deaths) - 1), limits.most) * self._chance.uniform(0.5, 1.0)
        place.start_at = now + wait
        _tell("SYS164", "process %d ended by %s; another one starts in %.1f s", place.number, how, wait)
        return None

    def _end(self, process: Process) -> None:
        if not process.kill_at:
            process.kill_at = self._now() + self._limits.grace
            _signal(process, signal.SIGTERM)

    def _kill(self, process: Process) -> None:
        _signal(process, signal.SIGKILL)
        process.popen.wait()


def _signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError):
        process.popen.send_signal(number)


def _tell(code: str, text: str, *facts: object, level: int = logging.ERROR) -> None:
    log.log(level, text, *facts, extra={"code": code})
