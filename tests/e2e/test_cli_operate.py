"""Operating a bus from the command line: run, status, find, trace, cases, routes, dev, as processes of their own."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bus.cli import main
from bus.cli.dev import Watch
from bus.codes import codes

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-c", "from bus.cli import main; main()")
DEADLINE = 30.0
BUS = """\
name: corner-bank
outlets:
  bank: {endpoint: {file: {path: bank, name: "PAY_{id}.csv"}}}
  abroad: {endpoint: {file: {path: abroad}}}
  rejects: {endpoint: {file: {path: rejects, name: "REJ_{id}.csv"}}}
"""
PAY = """\
route: pay
summary: Payments go out in one file a currency
owner: treasury
from: {file: {path: in, match: "RUN_*.csv", ready: {marker: "{name}.done"}, poll: {every: 50ms}}}
steps:
  - parse: {csv: {delimiter: ";"}}
  - split: {name: lines, each: rows, keys: {invoice: invoice}}
  - hold: {name: limit, until: release, when: to_number(amount) > 1000, reason: above the limit}
  - route:
      name: where
      branches:
        - {name: home, when: currency == 'EUR', steps: [
            {aggregate: {name: file, by: [currency], complete: {batch: true}}},
            {translate: {name: text, to: {csv: {delimiter: ";", columns: [invoice, amount, currency]}}}}], to: bank}
        - {name: abroad, when: currency == 'USD', to: abroad}
on_reject:
  collect: batch
  to: rejects
  as: {csv: {delimiter: ";", columns: [invoice, amount, currency, reason_code, reason_text]}}
"""
RUN = "invoice;amount;currency\nINV-1;100.10;EUR\nINV-2;7.00;EUR\nINV-3;2000.00;EUR\nINV-4;5.00;USD\nINV-5;1.00;GBP\n"


def bus(folder: Path, *words: str, code: int | None = 0) -> Result:
    """A command, in this process: starting Python anew for each would take most of the time."""
    done = CliRunner().invoke(main, ["-C", str(folder), *words])
    assert code is None or done.exit_code == code, f"{words}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
    return done


def asked(folder: Path, *words: str, code: int = 0) -> Any:
    return json.loads(bus(folder, *words, "--json", code=code).stdout)


def until(what: str, reached: Callable[[], Any]) -> Any:
    """What a condition gives once it holds, within the deadline."""
    end = time.monotonic() + DEADLINE
    while not (found := reached()):
        assert time.monotonic() < end, f"never: {what}"
        select.select([], [], [], 0.05)
    return found


def drops(folder: Path, name: str, text: str) -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text(text, "utf-8")
    (folder / "in" / f"{name}.done").touch()


def landscape(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "bus.yaml").write_text(BUS, "utf-8")
    (folder / "pay.route.yaml").write_text(PAY, "utf-8")
    return folder


@contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A bus in a process of its own, up and answering; stopped at the end if it still runs."""
    process = subprocess.Popen(
        [*PROGRAM, "-C", str(folder), *words],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        heard(process, "store ")
        until("the bus answers", lambda: asked(folder, "status")["pid"] == process.pid)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE)


def heard(process: subprocess.Popen[str], text: str) -> str:
    """The next line on stderr that has this text."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return line
    raise AssertionError(f"never said {text!r}, but: {lines}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landscape after a payment run; tests only look at it."""
    folder = landscape(tmp_path_factory.mktemp("bus") / "corner")
    drops(folder, "RUN_1.csv", RUN)
    bus(folder, "run", "--until-idle")
    return folder


@pytest.fixture
def own(finished: Path, tmp_path: Path) -> Path:
    """The same, for a test to change."""
    return Path(shutil.copytree(finished, tmp_path / "own"))


def case_of(folder: Path, code: str) -> int:
    (case,) = asked(folder, "cases", "list", "--code", code)
    return int(case["number"])


# ---------------------------------------------------------------- looking


def test_before_the_first_run_there_is_a_status_but_nothing_to_trace(tmp_path: Path) -> None:
    folder = landscape(tmp_path / "new")
    status = asked(folder, "status")
    assert (status["pid"], status["routes"][0]["state"], status["cases"]) == (None, "running", 0)
    assert asked(folder, "cases", "list") == []
    refused = bus(folder, "trace", "INV-1", code=5)
    assert "SYS104" in refused.stderr
    assert not (folder / ".bus" / "bus.db").exists(), "looking makes nothing"
    assert "CFG160" in bus(tmp_path, "status", code=2).stderr


def test_status_counts_documents_and_money(finished: Path) -> None:
    status = asked(finished, "status")
    (line,) = status["routes"]
    assert {name: line[name] for name in ("came", "out", "rejected", "held", "dead", "queued")} == {
        "came": 1, "out": 3, "rejected": 1, "held": 1, "dead": 0, "queued": 0
    }  # fmt: skip
    money = {row["currency"]: row for row in line["money"]}
    assert (money["EUR"]["came"], money["EUR"]["out"]) == ("2107.10", "107.10")
    assert money["GBP"]["rejected"] == "1.00"
    outlets = {row["outlet"]: row for row in status["outlets"]}
    assert (outlets["bank"]["delivered"], outlets["rejects"]["delivered"], outlets["abroad"]["dead"]) == (1, 1, 1)
    text = bus(finished, "status").stdout
    assert text.startswith("corner-bank: no bus runs here")
    assert "3 open cases" in text
    assert "\t2107.10\t" in text


def test_find_lists_by_key_and_by_state(finished: Path) -> None:
    found = asked(finished, "find", "INV-*")
    assert {row["keys"][0][1]: row["state"] for row in found} == {
        "INV-1": "delivered", "INV-2": "delivered", "INV-3": "held", "INV-4": "dead", "INV-5": "rejected"
    }  # fmt: skip
    assert [row["keys"][0][1] for row in asked(finished, "find", "INV-*", "--state", "open")] == ["INV-4", "INV-3"]
    assert [row["keys"][0][1] for row in asked(finished, "find", "--state", "held")] == ["INV-3"]
    assert len(asked(finished, "find", "--state", "open", "--since", "1h")) == 2
    assert asked(finished, "find", "INV-1", "--since", "2999-01-01") == []
    assert asked(finished, "find", "INV-1", "--route", "nowhere") == []
    assert len(asked(finished, "find", "--key", "invoice=INV-*", "--limit", "2")) == 2
    assert "Nothing found" in bus(finished, "find", "INV-99").stderr
    assert "invoice=INV-3" in bus(finished, "find", "INV-3").stdout
    for wrong in ((), ("--state", "done"), ("--key", "invoice"), ("INV-1", "--since", "yesterday")):
        bus(finished, "find", *wrong, code=2)


def test_trace_tells_the_journey_in_words_and_as_json(finished: Path) -> None:
    text = bus(finished, "trace", "INV-1").stdout
    first, second, *_ = text.splitlines()
    assert first.startswith("invoice INV-1 · 100.10 EUR · RUN_1.csv line 2")
    assert first.endswith("DONE")
    assert second.startswith("Delivered to bank as ")
    for part in (
        "split at lines → pay#lines",
        "joined at file",
        "delivered",
        "From      RUN_1.csv line 2",
        "rejected 1 (1.00 GBP)",
    ):
        assert part in text, part
    told = asked(finished, "trace", "INV-5")
    ((version, texts),) = told["versions"].items()
    assert version in {hop["version"] for hop in told["hops"]}
    assert any(path.endswith(".route.yaml") and len(digest) == 64 for path, digest in texts.items())
    assert told["mood"] == "REJECTED"
    assert told["where"]["then"]["outlet"] == "rejects"
    assert told["subject"]["worth"] == {"value": "1.00", "currency": "GBP"}
    assert told["hops"][0]["at"].endswith("Z")
    held = bus(finished, "trace", "INV-3").stdout
    assert "STUCK" in held
    assert "bus cases release" in held
    file = next((finished / "bank").iterdir())
    assert bus(finished, "trace", " INV-1 ").stdout == text, "as it was copied from a mail"
    assert asked(finished, "trace", file.name)["subject"]["worth"] == {"value": "107.10", "currency": "EUR"}
    assert "STUCK" in bus(finished, "trace", "RUN_1.csv").stdout.splitlines()[0], "three of its records need somebody"
    assert asked(finished, "trace", "INV-99", code=2) is None


def test_several_cases_are_decided_by_one_command_and_a_refused_one_stops_no_other(own: Path) -> None:
    numbers = sorted(case["number"] for case in asked(own, "cases", "list"))
    several = f"{numbers[0]}-{numbers[-1] + 1}"
    done = bus(own, "cases", "discard", several, "--reason", "cleared by phone", code=6)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [f"Case {n}" for n in numbers]
    assert "SYS201" in done.stderr
    assert asked(own, "cases", "list") == []
    assert "no case number" in bus(own, "cases", "discard", "four", "--reason", "x", code=2).stderr
    bus(own, "cases", "discard", "9-4", "--reason", "x", code=2)


def test_cases_are_listed_and_shown_with_what_can_be_done(finished: Path) -> None:
    cases = asked(finished, "cases", "list")
    assert {case["code"] for case in cases} == {"CFG168", "POL100", "VAL501"}
    assert asked(finished, "cases", "list", "--owner", "nobody") == []
    shown = asked(finished, "cases", "show", str(case_of(finished, "POL100")))
    assert shown["choices"] == ["release", "discard"]
    assert shown["trace"]["title"].startswith("message ")
    text = bus(finished, "cases", "show", str(case_of(finished, "CFG168"))).stdout
    assert "1 in abroad: invoice=INV-4 5.00 USD" in text
    assert "bus cases retry" in text
    assert f"To do     {codes()['CFG168'].do}" in text
    bus(finished, "cases", "show", "99", code=2)


def test_routes_are_listed_told_and_drawn(finished: Path, tmp_path: Path) -> None:
    (route,) = asked(finished, "routes", "list")
    assert (route["route"], route["source"], route["to"]) == ("pay", "file", ["abroad", "bank", "rejects"])
    text = bus(finished, "routes", "show", "pay").stdout
    assert "├─ home · when currency == 'EUR'" in text
    assert f"pay@{route['version']}  running" in text
    bus(finished, "routes", "show", "pay", "--svg", str(tmp_path / "pay.svg"))
    assert ET.parse(tmp_path / "pay.svg").getroot().get("role") == "img"  # noqa: S314 - our own picture
    assert bus(finished, "routes", "show", "pay", "--svg").stdout.startswith("<svg ")
    assert "Did you mean `pay`?" in bus(finished, "routes", "show", "pai", code=2).stderr


# ---------------------------------------------------------------- deciding where no bus runs


def test_where_no_bus_runs_the_command_takes_its_place(own: Path) -> None:
    held, dead, told = (str(case_of(own, code)) for code in ("POL100", "CFG168", "VAL501"))
    assert "SYS204" in bus(own, "cases", "release", held, code=4).stderr
    assert "SYS203" in bus(own, "cases", "release", dead, "--reason", "x", code=4).stderr
    assert "SYS206" in bus(own, "cases", "retry", told, code=4).stderr
    assert bus(own, "cases", "release", held, "--reason", "checked").stdout == f"Case {held}: 1 message released.\n"
    assert asked(own, "cases", "discard", dead, "--reason", "paid by hand") == {
        "case": int(dead), "messages": 1, "done": "discard"
    }  # fmt: skip
    assert "closed, nothing was left in it" in bus(own, "cases", "discard", told, "--reason", "told the ERP").stdout
    assert "SYS202" in bus(own, "cases", "discard", dead, "--reason", "again", code=4).stderr
    assert asked(own, "cases", "list") == []
    (audit,) = asked(own, "cases", "show", held)["audit"]
    assert (audit["what"], audit["reason"]) == ("released", "checked")
    bus(own, "run", "--until-idle")
    assert asked(own, "trace", "INV-3")["where"]["kind"] == "delivered"


def test_a_paused_route_stays_paused_over_a_restart(own: Path) -> None:
    assert bus(own, "routes", "pause", "pay", "--reason", "month end").stdout == "pay is paused.\n"
    drops(own, "RUN_2.csv", RUN.replace("INV-", "SECOND-"))
    bus(own, "run", "--until-idle")
    assert (own / "in" / "RUN_2.csv").exists()
    assert asked(own, "routes", "list")[0]["state"] == "paused"
    bus(own, "routes", "resume", "pay")
    bus(own, "run", "--until-idle")
    assert asked(own, "trace", "SECOND-1")["finished"]
    bus(own, "routes", "pause", "nowhere", code=2)


# ---------------------------------------------------------------- a running bus


def test_a_running_bus_answers_is_controlled_and_stops_cleanly(own: Path) -> None:
    held = str(case_of(own, "POL100"))
    with running(own, "run") as process:
        assert f"running (pid {process.pid}" in bus(own, "status").stdout
        second = bus(own, "run", code=5)
        assert f"pid {process.pid}" in second.stderr
        bus(own, "routes", "drain", "pay")
        drops(own, "RUN_2.csv", RUN.replace("INV-", "SECOND-"))
        bus(own, "cases", "release", held, "--reason", "checked")
        until("the released payment is delivered", lambda: asked(own, "trace", "INV-3")["where"]["kind"] == "delivered")
        assert (own / "in" / "RUN_2.csv").exists(), "a draining route takes nothing in"
        bus(own, "routes", "resume", "pay")
        until("the second run is through", lambda: bus(own, "trace", "SECOND-2", code=None).exit_code == 0)
        until("it is delivered", lambda: asked(own, "trace", "SECOND-2")["finished"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    assert not (own / ".bus" / "control.sock").exists()
    assert asked(own, "status")["pid"] is None


def test_a_hangup_reloads_and_a_bad_edit_leaves_the_running_version(own: Path) -> None:
    route = own / "pay.route.yaml"
    before = asked(own, "routes", "list")[0]["version"]
    with running(own, "run") as process:
        route.write_text(PAY.replace("> 1000", ">"), "utf-8")
        process.send_signal(signal.SIGHUP)
        assert "pay.route.yaml" in heard(process, "error[")
        heard(process, "the running versions stay as they are")
        assert asked(own, "status")["routes"][0]["version"] == before
        route.write_text(PAY.replace("> 1000", "> 500"), "utf-8")
        process.send_signal(signal.SIGHUP)
        heard(process, "reloaded: 1 route")
        assert asked(own, "status")["routes"][0]["version"] != before
        drops(own, "RUN_2.csv", "invoice;amount;currency\nNEW-1;600.00;EUR\n")
        until("the new version holds it", lambda: len(asked(own, "cases", "list", "--code", "POL100")) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0


def test_a_killed_bus_leaves_nothing_that_keeps_the_next_one_from_starting(own: Path) -> None:
    with running(own, "run") as process:
        process.kill()
        process.wait(DEADLINE)
    assert (own / ".bus" / "control.sock").exists()
    assert asked(own, "status")["pid"] is None
    with running(own, "run"):
        assert asked(own, "status")["pid"] is not None


def test_held_outputs_stay_until_the_next_run(tmp_path: Path) -> None:
    folder = landscape(tmp_path / "held")
    drops(folder, "RUN_1.csv", RUN)
    bus(folder, "run", "--until-idle", "--hold-outputs")
    assert not (folder / "bank").exists() or not list((folder / "bank").glob("PAY_*"))
    waiting = asked(folder, "trace", "INV-1")
    assert (waiting["where"]["kind"], waiting["where"]["place"]) == ("queued", "bank")
    assert "no bus runs" in waiting["headline"]
    bus(folder, "run", "--until-idle")
    assert asked(folder, "trace", "INV-1")["where"]["kind"] == "delivered"


def test_following_a_payment_ends_when_it_is_done(tmp_path: Path) -> None:
    folder = landscape(tmp_path / "followed")
    drops(folder, "RUN_1.csv", RUN)
    bus(folder, "run", "--until-idle", "--hold-outputs")
    words = ("trace", "INV-1", "-f")
    with subprocess.Popen(
        [*PROGRAM, "-C", str(folder), *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline().rstrip().endswith("WAITS")
        bus(folder, "run", "--until-idle")
        rest = follower.stdout.read()
        assert follower.wait(DEADLINE) == 0
    assert "delivered" in rest
    assert rest.count("joined at file") == 1, "each hop is told once"
    assert rest.splitlines()[-1].startswith("Delivered to bank as ")


def test_two_workers_need_another_store(tmp_path: Path) -> None:
    refused = bus(landscape(tmp_path / "two"), "run", "--workers", "2", code=2)
    assert "PostgreSQL" in refused.stderr


def test_run_says_what_is_wrong_in_the_files(tmp_path: Path) -> None:
    folder = landscape(tmp_path / "wrong")
    (folder / "pay.route.yaml").write_text(PAY.replace("to: bank}", "to: bnak}"), "utf-8")
    told = bus(folder, "run", code=1).stderr
    assert f"error[CFG161] {(folder / 'pay.route.yaml').as_posix()}:14:" in told, "as it can be opened from here"
    assert asked(folder, "status")["landscape"] == "corner-bank"


# ---------------------------------------------------------------- dev


def test_the_watch_sees_edits_new_files_and_gone_ones(tmp_path: Path) -> None:
    folder = landscape(tmp_path / "watched")
    changes: list[str] = []
    watch = Watch(folder, lambda: changes.append("!"))
    watch.look()
    assert changes == []
    (folder / "pay.route.yaml").write_text(PAY + "# more\n", "utf-8")
    watch.look()
    (folder / "new.table.yaml").write_text("table: x\n", "utf-8")
    watch.look()
    (folder / "new.table.yaml").unlink()
    watch.look()
    (folder / "notes.txt").write_text("no configuration", "utf-8")
    watch.look()
    assert len(changes) == 3


def test_dev_starts_partners_on_loopback_and_takes_edits_at_once(tmp_path: Path) -> None:
    folder = landscape(tmp_path / "dev")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = f"${{file:{tmp_path}/keys/client_id_ed25519}}"
    pin = f"${{file:{tmp_path}/keys/bank_host_ed25519_key.pub}}"
    connection = {"host": "127.0.0.1", "port": str(port), "user": "girobus", "key": key, "host_keys": [pin]}
    (folder / "connections.yaml").write_text(json.dumps({"connections": {"bank": {"sftp": connection}}}), "utf-8")
    by_sftp = BUS.replace("{file: {path: bank,", "{sftp: {connection: bank, path: /inbox,")
    (folder / "bus.yaml").write_text(by_sftp, "utf-8")
    inbox = folder / ".bus" / "partners" / "bank" / "inbox"
    inbox.mkdir(parents=True)
    with running(folder, "dev") as process:
        drops(folder, "RUN_1.csv", RUN)
        until("the bank has the file", lambda: list(inbox.glob("PAY_*.csv")))
        (folder / "pay.route.yaml").write_text(PAY.replace("hold:", "hld:"), "utf-8")
        assert "pay.route.yaml:8" in heard(process, "error[CFG102]")
        (folder / "pay.route.yaml").write_text(PAY + "# mended\n", "utf-8")
        heard(process, "reloaded: 1 route")
        taken = bus(folder, "dev", code=5)
        assert "SYS101" in taken.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
