"""The supervisor of a fleet: real child processes of a few lines each, and a clock that the test turns."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from bus.errors import Unavailable
from bus.runtime.pulse import Heart
from bus.runtime.supervisor import Limits, Supervisor

LIMITS = Limits(stalled=100, silent=50, grace=10, memory=1000, deaths=3, window=60, first=1, most=8)
BEATS = """
import json, os, signal, socket, sys, time
link = socket.socket(fileno=int(sys.argv[1]))
def beat(**told):
    link.sendall(json.dumps(told).encode() + b"\\n")
"""
LIVES = BEATS + "beat(progress=1, stalled=0, memory=10)\ntime.sleep(60)"

HEARS = """
import signal, sys
from bus.runtime.supervisor import Limits, Supervisor
supervisor = Supervisor(0, None, Limits())
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, lambda number, _frame: supervisor.wish(number))
print("listens", flush=True)
sys.exit(supervisor.run())
"""


class Town:
    """A supervisor whose processes run a script that the test chooses, on a clock that stands still."""

    def __init__(self, script: str, count: int = 1, **fatal: frozenset[int]) -> None:
        self.script = script
        self.clock = 0.0
        self.started: list[int] = []
        self.supervisor = Supervisor(
            count,
            self.start,
            LIMITS,
            now=lambda: self.clock,
            chance=random.Random(1),  # noqa: S311 - no secret
            **fatal,
        )

    def start(self, place: int, link: socket.socket) -> subprocess.Popen[bytes]:
        self.started.append(place)
        words = [sys.executable, "-S", "-c", self.script, str(link.fileno())]
        return subprocess.Popen(words, pass_fds=(link.fileno(),))

    def pid(self, place: int = 1) -> int:
        return int(self.supervisor.processes()[place - 1].get("pid", 0))

    def until(self, condition: Callable[[], object]) -> None:
        """Look again and again, while the clock stands still."""
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            self.supervisor.turn()
            time.sleep(0.01)

    def heard(self) -> None:
        self.until(lambda: all(p.get("progress") for p in self.supervisor.processes()))

    def stop(self) -> int | None:
        self.supervisor.wish(signal.SIGTERM)
        code = None
        end = time.monotonic() + 20
        while code is None and time.monotonic() < end:
            code = self.supervisor.turn()
            time.sleep(0.01)
        return code


@pytest.fixture
def made() -> Iterator[list[Town]]:
    """Towns that a test built; whatever still runs in them is killed."""
    towns: list[Town] = []
    yield towns
    for town in towns:
        for place in town.supervisor.places:
            if place.process is not None:
                place.process.popen.kill()
                place.process.popen.wait()
                place.process.link.close()


def town(made: list[Town], script: str, count: int = 1, **fatal: frozenset[int]) -> Town:
    made.append(Town(script, count, **fatal))
    return made[-1]


def test_a_fleet_starts_tells_and_stops(made: list[Town]) -> None:
    place = town(made, LIVES, 2)
    place.heard()
    told = place.supervisor.processes()
    assert [p["place"] for p in told] == [1, 2]
    assert told[0]["pid"] != told[1]["pid"]
    assert told[0]["memory"] == 10
    assert place.stop() == 0
    assert place.started == [1, 2]


def test_who_dies_comes_back_after_a_wait_that_grows(made: list[Town]) -> None:
    place = town(made, LIVES)
    place.heard()
    waits = []
    for _ in range(2):
        before = len(place.started)
        os.kill(place.pid(), signal.SIGKILL)
        place.until(lambda: not place.pid())
        due = place.supervisor.places[0].start_at
        waits.append(due - place.clock)
        place.clock = due - 0.01
        place.supervisor.turn()
        assert len(place.started) == before, "not before its time"
        place.clock = due
        place.heard()
    assert 0.5 <= waits[0] <= 1.0
    assert 1.0 <= waits[1] <= 2.0


def test_too_many_deaths_end_the_fleet_loudly(made: list[Town]) -> None:
    place = town(made, BEATS + "beat(progress=1)\nsys.exit(9)")

    def time_flies() -> bool:
        place.clock = max(place.clock, place.supervisor.places[0].start_at)
        return False

    with pytest.raises(Unavailable) as caught:
        place.until(time_flies)
    assert caught.value.code == "SYS160"
    assert "3 times" in caught.value.message
    assert "exit code 9" in caught.value.message
    assert len(place.started) == 3


def test_deaths_that_are_far_apart_are_forgiven(made: list[Town]) -> None:
    place = town(made, LIVES)
    for _ in range(5):
        place.heard()
        place.clock += 49  # heard of it just now: not silent
        place.supervisor.places[0].process.heard = place.clock  # type: ignore[union-attr]  # it runs
        place.clock += 20
        os.kill(place.pid(), signal.SIGKILL)
        place.until(lambda: not place.pid())
        place.clock = place.supervisor.places[0].start_at
        assert place.supervisor.places[0].deaths


def test_a_landscape_that_cannot_run_is_not_tried_again(made: list[Town]) -> None:
    place = town(made, "raise SystemExit(1)", fatal=frozenset({1}))
    code = None
    for _ in range(500):
        code = place.supervisor.turn()
        if code is not None:
            break
        time.sleep(0.01)
    assert code == 1
    assert place.started == [1]


def test_no_progress_ends_a_process_friendly_then_not(made: list[Town]) -> None:
    stubborn = BEATS + "signal.signal(15, signal.SIG_IGN)\nbeat(progress=1, stalled=100)\ntime.sleep(60)"
    place = town(made, stubborn)
    place.heard()
    first = place.pid()
    place.supervisor.turn()
    place.clock = 9.9
    place.supervisor.turn()
    assert place.pid() == first, "it still has time to end"
    place.script = LIVES
    place.clock = 10
    place.until(lambda: not place.pid())
    place.clock = place.supervisor.places[0].start_at
    place.heard()
    assert place.pid() != first


def test_a_frozen_process_is_replaced(made: list[Town]) -> None:
    place = town(made, LIVES)
    place.heard()
    first = place.pid()
    os.kill(first, signal.SIGSTOP)
    place.clock = 49.9
    place.supervisor.turn()
    assert place.pid() == first
    place.clock = 50
    place.supervisor.turn()  # SIGTERM, which a stopped process does not hear
    place.clock = 60
    place.until(lambda: not place.pid())


def test_one_that_grows_is_replaced_after_its_batch_and_that_is_no_death(made: list[Town]) -> None:
    grows = BEATS + (
        "def end(*_):\n    time.sleep(0.3)\n    sys.exit(0)\n"
        "signal.signal(15, end)\nbeat(progress=1, memory=10)\ntime.sleep(0.5)\nbeat(progress=2, memory=1001)\n"
        "time.sleep(60)"
    )
    place = town(made, grows)
    place.heard()
    first = place.pid()
    place.clock = 70
    place.supervisor.places[0].process.heard = 70.0  # type: ignore[union-attr]  # it runs
    place.script = LIVES
    place.until(lambda: place.pid() not in (0, first))
    assert not place.supervisor.places[0].deaths


def test_other_signals_are_handed_on(made: list[Town]) -> None:
    place = town(
        made,
        BEATS + "signal.signal(1, lambda *_: beat(progress=2))\nbeat(progress=1)\n"
        "while True: time.sleep(0.1)",
        2,
    )  # fmt: skip
    place.heard()
    place.supervisor.wish(signal.SIGHUP)
    place.until(lambda: all(p.get("progress") == 2 for p in place.supervisor.processes()))
    assert place.started == [1, 2]


def test_a_signal_at_whatever_moment_is_heard() -> None:
    """The handler runs in the thread that waits for it, between any two of its instructions."""
    with subprocess.Popen([sys.executable, "-c", HEARS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            end = time.monotonic() + 3
            while time.monotonic() < end:
                process.send_signal(signal.SIGHUP)
                time.sleep(0.0002)  # one handler ends before the next begins
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_second_interrupt_ends_at_once(made: list[Town]) -> None:
    place = town(made, BEATS + "signal.signal(15, signal.SIG_IGN)\nbeat(progress=1)\ntime.sleep(60)")
    place.heard()
    place.supervisor.wish(signal.SIGINT)
    assert place.supervisor.turn() is None
    place.supervisor.wish(signal.SIGINT)
    code = None
    for _ in range(500):
        code = place.supervisor.turn()
        if code is not None:
            break
        time.sleep(0.01)
    assert code == 130


def test_an_orphan_is_told_and_then_ended() -> None:
    script = (
        "import socket, sys, time\nfrom bus.runtime.pulse import Heart\n"
        "link = socket.socket(fileno=int(sys.argv[1]))\n"
        "Heart(link, dict, lambda: print('orphan', flush=True), 0.2).start()\ntime.sleep(60)"
    )
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(theirs.fileno())], pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE
        )
    assert ours.recv(100).startswith(b'{"memory": ')
    ours.close()
    said, _ = child.communicate(timeout=20)
    assert said == b"orphan\n"
    assert child.returncode == 75


def test_one_that_ends_in_time_is_left_in_peace() -> None:
    ours, theirs = socket.socketpair()
    told = []
    pulse = Heart(theirs, dict, lambda: told.append("orphan"), 30)
    pulse.start()
    pulse.end()
    ours.close()
    time.sleep(0.7)
    theirs.close()
    assert told == []
