"""The log of a running bus: one form, a line for each unit, and no payload or secret in any of it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bus.operating.logs import formatter, logging_to_stderr, quiet_unless_asked
from bus.testing.rabbitmq import free_port
from tests.e2e.test_cli_operate import PROGRAM, ROOT

MARK = "CANARY"
SECRET = f"{MARK}-password-7f3a"
BUS = """\
name: watched
outlets:
  bank: {endpoint: {file: {path: bank}}, format: json}
  away:
    endpoint: {sftp: {connection: away, path: /in}}
    format: json
    on_error: {attempts: 2, backoff: {first: 100ms}}
"""
CONNECTIONS = """\
connections:
  away:
    sftp:
      host: 127.0.0.1
      port: PORT
      user: us
      password: ${env:GIROBUS_TEST_SECRET}
      host_keys: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
"""
PAY = """\
route: pay
from: {file: {path: in, match: "*.csv", ready: {marker: "{name}.done"}, poll: {every: 50ms}}}
keys: {invoice: invoice}
steps:
  - parse: {csv: {delimiter: ";"}}
  - split: {name: lines, each: rows, keys: {invoice: invoice}}
  - validate: {rules: [{that: "kind != 'bad'", reason: AM01, message: refused}]}
  - hold: {name: limit, until: release, when: kind == 'held', reason: to be looked at}
  - route:
      name: where
      branches:
        - {name: away, when: kind == 'away', to: away}
        - {name: fine, when: kind == 'fine', to: bank}
        - {name: odd, when: "to_number(kind) > `1`", to: bank}
on_error: {attempts: 2, backoff: {first: 100ms}}
"""


def lines(folder: Path, form: str, level: str = "debug") -> tuple[list[str], int]:
    """What a bus wrote while it worked off a file with records of every fate, each field marked."""
    folder.mkdir()
    (folder / "bus.yaml").write_text(BUS, "utf-8")
    (folder / "connections.yaml").write_text(CONNECTIONS.replace("PORT", str(free_port())), "utf-8")
    (folder / "pay.route.yaml").write_text(PAY, "utf-8")
    (folder / "in").mkdir()
    rows = [f"{MARK}-inv-{n};{MARK}-name-{n};{kind}" for n, kind in enumerate(["fine", "bad", "held", "away", "odd"])]
    (folder / "in" / f"{MARK}-file.csv").write_text("\n".join(["invoice;name;kind", *rows, ""]), "utf-8")
    (folder / "in" / f"{MARK}-broken.csv").write_bytes(b"\xff\xfe;" + MARK.encode() + b'"\n"')
    for name in ("file", "broken"):
        (folder / "in" / f"{MARK}-{name}.csv.done").touch()
    environment = {
        **os.environ,
        "GIROBUS_TEST_SECRET": SECRET,
        "GIROBUS_LOG_FORMAT": form,
        "GIROBUS_LOG_LEVEL": level,
    }
    done = subprocess.run(
        [*PROGRAM, "-C", str(folder), "run", "--until-idle"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return done.stderr.splitlines(), done.returncode


def test_every_line_is_json_and_tells_each_unit_without_payload_or_secret(tmp_path: Path) -> None:
    written, code = lines(tmp_path / "site", "json")
    assert code == 0, written
    told = [json.loads(line) for line in written]
    assert not [line for line in written if MARK in line]
    units = [line for line in told if line["message"] == "unit"]
    lots = next((unit for unit in units if unit["segment"] == "lines" and unit["count"] == 5), None)
    assert lots is not None, written
    assert {"at", "level", "logger", "route", "version", "outcomes", "attempt", "duration_ms"} <= set(lots)
    assert lots["route"] == "pay"
    assert sum(lots["outcomes"].values()) == 5
    assert lots["duration_ms"] > 0
    trouble = {(line.get("code"), line["level"]) for line in told if line["message"].startswith("messages ")}
    assert {level for _, level in trouble} == {"error", "warning"}
    assert all(re.fullmatch(r"[A-Z]{3}\d{3}", code or "") or level == "warning" for code, level in trouble)
    assert any(line["message"] == "started" for line in told)


def test_the_console_form_has_none_either(tmp_path: Path) -> None:
    written, code = lines(tmp_path / "site", "console")
    assert code == 0
    assert any("unit route=pay segment=lines" in line and "outcomes=" in line for line in written), written
    assert any("ERROR   messages dead [" in line for line in written)
    assert not [line for line in written if MARK in line]


def test_below_the_level_nothing_is_written(tmp_path: Path) -> None:
    written, _ = lines(tmp_path / "site", "json", "error")
    assert {json.loads(line)["level"] for line in written} == {"error"}


def record(message: str, **fields: Any) -> logging.LogRecord:
    return logging.getLogger("girobus").makeRecord("girobus", logging.INFO, "x", 1, message, (), None, extra=fields)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_value_from_outside_makes_no_second_line_and_no_colour(form: Any) -> None:
    line = formatter(form).format(record("control", do="a\n2026 ERROR forged\x1b[31m", much="x" * 10_000))
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) < 1_500


def test_a_password_in_an_address_is_hidden_and_objects_are_named_by_type() -> None:
    line = formatter("json").format(record("x", why="postgresql://bus:hunter2@db/l", thing=Path("/payload")))
    assert "hunter2" not in line
    assert "payload" not in line
    assert json.loads(line)["why"] == "postgresql://bus:***@db/l"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("amqp://bus:p@ss/w:rd@mq:5672/v", "amqp://bus:***@mq:5672/v"),
        (
            "to postgresql://h/l?password=hunter2&sslmode=require now",
            "to postgresql://h/l?password=***&sslmode=require now",
        ),
        ("host=h sslpassword=hunter2 user=u", "host=h sslpassword=*** user=u"),
        ("amqp://mq:5672/v is away", "amqp://mq:5672/v is away"),
    ],
)
def test_a_password_is_hidden_however_it_is_written(written: str, shown: str) -> None:
    assert json.loads(formatter("json").format(record("x", why=written)))["why"] == shown


def test_of_a_lost_connection_our_own_line_is_enough() -> None:
    caught = io.StringIO()
    with contextlib.redirect_stderr(caught), logging_to_stderr("info", "console"):
        logging.getLogger("pika.adapters.utils.connection_workflow").error("reporting failure: %r", "x")
        logging.getLogger("pika.channel").error("of the library")
    assert "reporting failure" not in caught.getvalue()
    assert "of the library" in caught.getvalue()


def test_a_library_is_heard_without_its_arguments() -> None:
    made = logging.LogRecord("pika.channel", logging.WARNING, "x", 1, "returned: %s", (MARK,), None)
    line = json.loads(formatter("json").format(made))
    assert (line["logger"], line["message"]) == ("pika.channel", "returned: %s")


@pytest.mark.parametrize("level", ["", "warning"])
def test_verbs_with_a_story_of_their_own_log_what_broke_and_the_rest_when_asked(
    level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GIROBUS_LOG_LEVEL", raising=False)
    if level:
        monkeypatch.setenv("GIROBUS_LOG_LEVEL", level)
    log = logging.getLogger("girobus")
    with quiet_unless_asked():
        log.warning("messages %s", "held", extra={"code": "POL100"})
        log.error("messages %s", "dead", extra={"code": "VAL302"})
        log.error("a task failed and runs again", extra={"code": "INT199"})
    told = capsys.readouterr().err
    assert "a task failed and runs again [INT199]" in told
    assert [word in told for word in ("messages held", "messages dead")] == [bool(level)] * 2
    assert "messages held [POL100]" in told or not level
