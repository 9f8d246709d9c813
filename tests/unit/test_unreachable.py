"""Why something cannot be reached is told in words that say what to do, found out with real sockets and handshakes."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus import why_unreachable
from certs.authority import Authority
from certs.tls import Identity, client_context, server_context
from tests.unit.test_certs import connect, listening

NOW = datetime.now(UTC)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    Authority.create("ca", tmp_path, now=NOW - timedelta(days=100))
    Authority.create("stranger", tmp_path)
    authority = Authority.load("ca", tmp_path)
    authority.issue("server", "server", names=("localhost",))
    authority.issue("server", "old", names=("localhost",), days=1, now=NOW - timedelta(days=3))
    authority.issue("server", "early", names=("localhost",), days=9, now=NOW + timedelta(days=3))
    authority.issue("client", "client")
    return tmp_path


def identity(keys: Path, name: str) -> Identity:
    return Identity(keys / f"{name}.crt", keys / f"{name}.key")


def failure(keys: Path, server: str, trust: str, name: str) -> BaseException:
    """Of a handshake, without a certificate of ours with a server that wants one."""
    context = server_context(identity(keys, server), clients=keys / "ca.crt")
    with (
        listening(context) as port,
        pytest.raises(OSError) as caught,  # noqa: PT011 - its meaning is what is tested
        closing(connect(client_context(trust=keys / f"{trust}.crt"), port, name)) as connection,
    ):
        connection.recv(1)  # with TLS 1.3 a server refuses after the client's handshake is over
    return caught.value


@pytest.mark.parametrize(
    ("server", "trust", "name", "said", "do"),
    [
        ("server", "stranger", "localhost", "its certificate is not believed", "`trust`"),
        ("server", "ca", "elsewhere", "for another name", "as its certificate names it"),
        ("old", "ca", "localhost", "has expired", "renew"),
        ("early", "ca", "localhost", "not valid yet", "clock"),
        ("server", "ca", "localhost", "it refuses our certificate", "`certificate`"),
    ],
)
def test_what_is_wrong_in_a_handshake(keys: Path, server: str, trust: str, name: str, said: str, do: str) -> None:
    error = failure(keys, server, trust, name)
    for shown in (error, RuntimeError("of a library", error)):
        told = why_unreachable(shown)
        assert said in told.said
        assert do in told.do


def test_a_port_that_speaks_no_tls(keys: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"AMQP\x00\x00\x09\x01")
        with pytest.raises(ssl.SSLError) as caught:
            client_context(trust=keys / "ca.crt").wrap_socket(ours, server_hostname="x")
    assert why_unreachable(caught.value).said == "it speaks no TLS there"


def test_a_closed_port_an_unknown_host_and_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = []
    for host, timeout in (("127.0.0.1", 5.0), ("nowhere.invalid", 5.0)):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - as above
            socket.create_connection((host, port), timeout=timeout)
        found.append(why_unreachable(caught.value).said)
    assert found == ["nothing listens there", "no such host"]
    assert why_unreachable(TimeoutError()).said == "no answer"


def test_foreign_texts_stay_out() -> None:
    told = why_unreachable(RuntimeError("amqp://user:hunter2@host/"))
    assert told.said == "RuntimeError"
    assert "hunter2" not in told.do
