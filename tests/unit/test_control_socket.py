"""The control socket: who is heard, what is carried out and audited, and what becomes of bad requests."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_bank import SmallBank

from bus.errors import BusError, ConfigError, NotAllowed, Unavailable
from bus.runtime.socket import NAME, ControlServer, Desk, Request, ask, user_name


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[SmallBank]:
    made = SmallBank(tmp_path)
    yield made
    made.close()


@pytest.fixture
def server(bank: SmallBank) -> Iterator[ControlServer]:
    made = ControlServer(bank.app.home, Desk(bank.bus, bank.app.reload).perform)
    made.start()
    yield made
    made.stop()


def raw(home: Path, line: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home / NAME))
        connection.sendall(line)
        answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        return answer


def audited(bank: SmallBank) -> list[tuple[Any, ...]]:
    return bank.app.store.read("SELECT who, what, target, reason FROM audit ORDER BY id")


def test_nobody_listens_where_no_bus_runs(bank: SmallBank) -> None:
    assert ask(bank.app.home, Request("ping")) is None
    (bank.app.home / NAME).touch()
    assert ask(bank.app.home, Request("ping")) is None, "a leftover is no bus"


def test_a_bus_tells_of_itself(bank: SmallBank, server: ControlServer) -> None:
    told = ask(bank.app.home, Request("ping"))
    assert told is not None
    assert (told["pid"], told["hold_outputs"]) == (os.getpid(), False)
    assert sorted(told["versions"]) == ["answers", "numbers-in", "ordered", "pay"]
    assert audited(bank) == []
    del server


@pytest.mark.usefixtures("server")
def test_routes_are_paused_drained_and_resumed_under_the_name_of_the_user(bank: SmallBank) -> None:
    for verb, state in (("pause", "paused"), ("drain", "draining"), ("resume", "running")):
        assert ask(bank.app.home, Request(verb, route="pay", reason="why")) == {"route": "pay", "state": state}  # type: ignore[arg-type]  # each is one
        assert bank.bus.state("pay") == state
    me = user_name()
    assert audited(bank) == [(me, state, "route pay", "why") for state in ("paused", "draining", "running")]
    with pytest.raises(NotAllowed, match="SYS207"):
        ask(bank.app.home, Request("pause", route="nowhere"))


@pytest.mark.usefixtures("server")
def test_cases_are_decided_over_the_socket(bank: SmallBank) -> None:
    bank.sinks["abroad"].mood = "silent"
    bank.pays("E1;2000.00;EUR;;INV-1", "E2;3000.00;EUR;;INV-2", "E3;5.00;USD;;INV-3")
    bank.settles()
    home = bank.app.home
    first, second, doubt = (row[0] for row in bank.app.store.read("SELECT id FROM cases ORDER BY id"))
    assert ask(home, Request("release", case=first, reason="checked")) == {"case": first, "messages": 1}
    assert ask(home, Request("discard", case=second, reason="a mistake")) == {"case": second, "messages": 1}
    with pytest.raises(NotAllowed, match="SYS205"):
        ask(home, Request("retry", case=doubt))
    sent = Request("retry", case=doubt, reason="they have it", resolved_as="done")
    assert ask(home, sent) == {"case": doubt, "messages": 1}
    with pytest.raises(NotAllowed, match="SYS202") as closed:
        ask(home, Request("release", case=first, reason="again"))
    assert closed.value.hint == "see: bus cases show 1"
    assert [row[1:3] for row in audited(bank)] == [
        ("released", f"case {first}"), ("discarded", f"case {second}"), ("retried", f"case {doubt}")
    ]  # fmt: skip


@pytest.mark.usefixtures("server")
def test_a_reload_that_fails_says_where_and_changes_nothing(bank: SmallBank) -> None:
    bank.answers("E1;ACSC;")
    before = bank.bus.assembly
    path = bank.folder / "pay.route.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("batch: 1", "batch: one"), "utf-8")
    with pytest.raises(ConfigError) as refused:
        ask(bank.app.home, Request("reload"))
    assert (refused.value.path, refused.value.line > 0) == ("pay.route.yaml", True)
    assert bank.bus.assembly is before
    path.write_text(text.replace("batch: 1", "batch: 2"), "utf-8")
    assert ask(bank.app.home, Request("reload")) == {"routes": 4}
    assert bank.bus.assembly is not before


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"not json\n",
        b"[]\n",
        b'{"do": "shutdown"}\n',
        b'{"do": "ping", "more": 1}\n',
        b'{"do": "release", "case": "one"}\n',
        b'{"do": "retry", "case": 1, "resolved_as": "perhaps"}\n',
        b'{"do": "ping", "reason": "' + b"x" * 70_000 + b'"}\n',
    ],
)
def test_a_request_that_is_none_is_refused_and_the_next_one_served(bank: SmallBank, line: bytes) -> None:
    answer = raw(bank.app.home, line)
    assert (answer["ok"], answer["error"]["code"]) == (False, "SYS211")
    assert ask(bank.app.home, Request("ping")) is not None


@pytest.mark.usefixtures("server")
def test_a_client_that_says_nothing_or_leaves_does_not_stop_the_server(bank: SmallBank) -> None:
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(bank.app.home / NAME))
            connection.sendall(b'{"do": ')
    assert ask(bank.app.home, Request("ping")) is not None


def test_an_unexpected_error_is_answered_without_its_text(tmp_path: Path) -> None:
    def broken(_request: Request, _who: str) -> dict[str, Any]:
        raise ValueError("DE02 1203 0000 0000 2020 51")

    server = ControlServer(tmp_path, broken)
    server.start()
    try:
        with pytest.raises(Unavailable, match="INT199 unexpected ValueError") as refused:
            ask(tmp_path, Request("ping"))
    finally:
        server.stop()
    assert "DE02" not in str(refused.value)


def test_the_socket_is_its_owners_alone_and_goes_with_the_bus(bank: SmallBank) -> None:
    (bank.app.home / NAME).write_bytes(b"left by a crash")
    server = ControlServer(bank.app.home, Desk(bank.bus, bank.app.reload).perform)
    server.start()
    facts = (bank.app.home / NAME).stat()
    assert stat.S_ISSOCK(facts.st_mode)
    assert stat.S_IMODE(facts.st_mode) == 0o600
    server.stop()
    assert not (bank.app.home / NAME).exists()
    assert ask(bank.app.home, Request("ping")) is None


def test_a_folder_with_a_very_long_name_has_a_socket_too(tmp_path: Path) -> None:
    home = tmp_path / ("long-" * 20) / ("longer-" * 12)
    home.mkdir(parents=True)
    server = ControlServer(home, lambda request, who: {"did": request.do, "who": who})
    server.start()
    try:
        assert ask(home, Request("ping")) == {"did": "ping", "who": user_name()}
    finally:
        server.stop()
    assert not (home / NAME).exists()


def test_no_folder_no_socket(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / "missing", lambda _request, _who: {})
    with pytest.raises(Unavailable, match="SYS133"):
        server.start()
    server.stop()


def _as_nobody(home: Path, go: int, answer: int) -> None:
    """In a process of its own: wait for the server, then ask as user 65534."""
    os.setuid(65_534)
    os.read(go, 1)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home / NAME))
        connection.sendall(b'{"do": "ping"}\n')
        os.write(answer, connection.makefile("rb").readline())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as somebody else")
def test_another_user_is_turned_away_even_where_the_file_mode_lets_him_in() -> None:
    asked: list[str] = []
    go, answer = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)
        child = os.fork()  # before the server has its thread
        if not child:
            try:
                _as_nobody(home, go[0], answer[1])
            finally:
                os._exit(0)
        os.close(answer[1])
        server = ControlServer(home, lambda request, _who: {"did": asked.append(request.do)})
        server.start()
        try:
            (home / NAME).chmod(0o666)
            os.write(go[1], b"!")
            told = os.read(answer[0], 4096)
            os.waitpid(child, 0)
        finally:
            server.stop()
    for end in (*go, answer[0]):
        os.close(end)
    assert json.loads(told)["error"]["code"] == "SYS210"
    assert asked == []


def test_requests_are_carried_out_one_after_the_other(tmp_path: Path) -> None:
    at_once: list[int] = []
    inside = threading.Semaphore(1)

    def count(_request: Request, _who: str) -> dict[str, Any]:
        alone = inside.acquire(blocking=False)
        at_once.append(0 if alone else 1)
        if alone:
            inside.release()
        return {}

    server = ControlServer(tmp_path, count)
    server.start()
    try:
        clients = [threading.Thread(target=ask, args=(tmp_path, Request("ping"))) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    finally:
        server.stop()
    assert at_once == [0] * 8


def test_every_kind_of_error_comes_back_as_itself(tmp_path: Path) -> None:
    errors: list[BusError] = [NotAllowed("SYS201", "no", hint="h"), ConfigError("CFG101", "bad", path="x", line=3)]

    def fail(_request: Request, _who: str) -> dict[str, Any]:
        raise errors[0]

    server = ControlServer(tmp_path, fail)
    server.start()
    try:
        while errors:
            with pytest.raises(type(errors[0])) as raised:
                ask(tmp_path, Request("ping"))
            assert (raised.value.code, raised.value.message) == (errors[0].code, errors[0].message)
            errors.pop(0)
    finally:
        server.stop()
