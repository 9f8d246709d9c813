"""`bus run --workers`: a supervisor and its processes on PostgreSQL; they are killed, frozen, reloaded and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from towns import ROUTE, Town

from bus.ledger.place import open_store
from bus.ledger.store import no_effect
from bus.runtime.socket import Request, ask

BUS = """\
name: fleet
store: store
ledger: ${env:TEST_LEDGER}
outlets:
  out: {endpoint: {file: {path: out}}, format: json, on_error: {attempts: 50, backoff: {first: 100ms}}}
"""
BUS_COMMAND = str(Path(sys.executable).with_name("bus"))


class Fleet(Town):
    """A landscape in a folder and supervisors that run it."""

    def __init__(self, folder: Path, url: str, route: str = ROUTE, bus: str = BUS) -> None:
        super().__init__(folder, url, bus, route)
        self.store = folder / "store"
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self.known: set[int] = set()

    def environment(self) -> dict[str, str]:
        return {**os.environ, "TEST_LEDGER": self.url, "GIROBUS_WORKERS": "2"}

    def start(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            self.supervisors.append(
                subprocess.Popen(
                    [BUS_COMMAND, "run", "-C", str(self.folder), *options],
                    env={**self.environment(), **variables},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        return self.supervisors[-1]

    def verb(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BUS_COMMAND, *words, "-C", str(self.folder)],
            env=self.environment(), capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def log(self) -> str:
        """All of it."""
        return (self.folder / "log").read_text()

    def processes(self) -> list[dict[str, Any]]:
        """What the supervisor tells of processes that are up."""
        answer = ask(self.store, Request("ping")) if self.store.exists() else None
        found = [p for p in (answer or {}).get("processes", ()) if "version" in p]
        self.known |= {p["pid"] for p in found}
        return found

    def up(self, count: int = 2) -> list[dict[str, Any]]:
        self.wait(lambda: len(self.processes()) == count)
        return self.processes()

    def stop(self) -> None:
        for process in self.supervisors:
            process.kill()
            process.wait(10)
        for pid in self.known:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def fleet(folder: Path, url: str, **more: str) -> Iterator[Fleet]:
    made = Fleet(folder, url, **more)
    try:
        yield made
    finally:
        made.stop()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_sqlite_has_one_process(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet", "", bus=BUS.replace("ledger: ${env:TEST_LEDGER}\n", "")) as place:
        for words in (["--workers", "2"], ["--role", "worker"]):
            told = place.verb("run", *words)
            assert told.returncode == 2
            assert "PostgreSQL" in told.stderr
        told = place.verb("run", "--role", "waiter")
        assert told.returncode == 2
        assert "`waiter` is no role" in told.stderr


def test_killed_processes_come_back_and_every_line_arrives_once(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url) as place:
        supervisor = place.start("--workers", "2")
        first = {p["pid"] for p in place.up()}
        for file in range(4):
            place.send(file, 60)
        place.wait(lambda: len(place.arrived()) > 30)
        os.kill(min(first), signal.SIGKILL)
        place.wait(lambda: len({p["pid"] for p in place.processes()} - first) == 1)
        for file in range(4, 7):
            place.send(file, 60)
        place.everything_arrived_once()
        assert "[SYS164]" in place.log()

        shown = place.verb("status")
        assert shown.returncode == 0
        assert f"running (pid {supervisor.pid}" in shown.stdout
        lines = [line.split("\t") for line in shown.stdout.splitlines() if "worker,intake" in line or "api," in line]
        assert {int(line[1]) for line in lines} == {p["pid"] for p in place.processes()}
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(40) == 0
        assert not any(alive(pid) for pid in place.known)


def test_people_speak_to_the_whole_fleet(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url) as place:
        supervisor = place.start("--workers", "2")
        before = place.up()
        assert place.verb("routes", "pause", "flow", "--reason", "bank holiday").returncode == 0
        place.send(1, 9)
        time.sleep(2)
        assert place.arrived() == []
        assert place.verb("routes", "resume", "flow", "--reason", "over").returncode == 0
        place.everything_arrived_once()
        who = place.rows("SELECT DISTINCT who FROM audit")
        assert len(who) == 1
        (place.folder / "flow.route.yaml").write_text(ROUTE.replace("'none'", "'nobody'"))
        supervisor.send_signal(signal.SIGHUP)
        newest = max(before[0]["versions"].values())
        place.wait(lambda: all(p["versions"]["flow"] > newest for p in place.processes()))
        assert {p["pid"] for p in place.processes()} == {p["pid"] for p in before}


def test_orphans_finish_and_stop(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url) as place:
        supervisor = place.start("--workers", "2")
        pids = [p["pid"] for p in place.up()]
        place.send(1, 60)
        supervisor.kill()
        supervisor.wait(10)
        place.wait(lambda: not any(alive(pid) for pid in pids))
        place.start("--workers", "2")
        place.up()
        place.everything_arrived_once()


def test_a_landscape_with_an_error_ends_the_fleet_at_once(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url, route=ROUTE.replace("to: out", "to: nowhere")) as place:
        told = place.verb("run", "--workers", "2")
        assert told.returncode == 1
        assert "nowhere" in told.stderr


def test_a_process_above_its_memory_is_replaced(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url) as place:
        place.start("--workers", "2", GIROBUS_WORKER_MEMORY="20MB")
        place.wait(lambda: "[SYS163]" in place.log())
        place.wait(lambda: place.supervisors[0].poll() is not None)
        assert place.supervisors[0].returncode == 5, "too little for anybody: it gives up and says so"
        assert "SYS160" in place.log()


def test_outputs_that_were_let_go_after_a_restore_stay_so_whoever_dies(tmp_path: Path, postgres_url: str) -> None:
    def killed() -> None:
        before = {p["pid"] for p in place.up()}
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        place.wait(lambda: len({p["pid"] for p in place.processes()} - before) == 2)

    with fleet(tmp_path / "fleet", postgres_url) as place:
        with closing(open_store(postgres_url, effect=no_effect)) as store:
            store.commit("restored", lambda tx: tx.execute("INSERT INTO meta VALUES ('hold_outputs', 1)"))
        supervisor = place.start("--workers", "2", "--hold-outputs")
        killed()
        place.send(1, 9)
        place.wait(lambda: place.rows("SELECT count(*) FROM queued") == [(3,)])
        assert all(p["hold_outputs"] for p in place.processes()), "who comes later holds them as well"
        assert place.arrived() == []
        assert place.verb("db", "release-outputs", "--reason", "compared").returncode == 0
        killed()
        place.everything_arrived_once()
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(40) == 0
        place.start("--workers", "2", "--hold-outputs")
        assert all(p["hold_outputs"] for p in place.up()), "somebody wants it again"


def test_roles_are_shared_out(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url) as place:
        place.start("--workers", "2", "--role", "worker,api")
        place.up()
        place.send(1, 30)
        time.sleep(3)
        assert place.rows("SELECT count(*) FROM arrival") == [(0,)], "nobody has the sources"
        place.start("--role", "intake,scheduler")
        place.everything_arrived_once()
        assert all(p["roles"] == ["api", "worker"] for p in place.processes())


def test_a_frozen_process_is_taken_over_from_and_wakes_harmless(tmp_path: Path, postgres_url: str) -> None:
    with fleet(tmp_path / "fleet", postgres_url) as place:
        place.start("--workers", "2")
        place.up()
        place.send(1, 60)
        place.wait(place.arrived)
        owner = place.rows("SELECT owner FROM lease WHERE name = 'source flow'")[0][0]
        frozen = next(p["pid"] for p in place.processes() if p["owner"] == owner)
        os.kill(frozen, signal.SIGSTOP)
        begin = time.monotonic()
        for file in range(2, 5):
            place.send(file, 60)
        place.wait(lambda: len(set(place.arrived())) > 100)
        assert time.monotonic() - begin < 20, "the lease lasts 9 seconds"
        os.kill(frozen, signal.SIGCONT)
        place.everything_arrived_once()
        assert place.rows("SELECT owner FROM lease WHERE name = 'source flow'")[0][0] != owner
