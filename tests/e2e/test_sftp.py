"""The sftp endpoint against a partner with bad habits, and against a real OpenSSH server that is killed and frozen."""

from __future__ import annotations

import io
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from bus.errors import ConfigError, InDoubt, Retryable
from bus.message import Headers, Message
from bus.testing.clock import ManualClock
from bus.testing.folder import ScriptedResources
from bus.testing.partner import Account, Partner
from bus.testing.sshd import OpenSshServer
from endpoints.sftp import SftpConnection, SftpFolder, SftpSpec

PASSWORD = "canary-7f3a-password"
PAYLOAD = bytes(range(256)) * 1_000


@pytest.fixture
def partner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Partner]:
    monkeypatch.setenv("PASSWORD", PASSWORD)
    home = tmp_path / "bank"
    (home / "inbox").mkdir(parents=True)
    (home / "outbox").mkdir()
    with Partner({"bank": Account(home, password=PASSWORD)}) as running:
        yield running


@pytest.fixture
def open_ends() -> Iterator[list[Any]]:
    """What a test opened, closed at its end."""
    ends: list[Any] = []
    yield ends
    for end in ends:
        end.close()


def connection(partner: Partner, **words: Any) -> SftpConnection:
    standard = {
        "host": partner.host,
        "port": partner.port,
        "user": "bank",
        "password": "${env:PASSWORD}",
        "host_keys": [partner.fingerprint],
        "timeout": "10s",
    }
    return SftpConnection.model_validate(standard | words)


def resources(spec: SftpConnection, name: str = "bank", epoch: int = 1) -> ScriptedResources:
    return ScriptedResources(ManualClock(), name, epoch=epoch, connections={"bank": spec})


@pytest.fixture
def source(partner: Partner, open_ends: list[Any]) -> Callable[..., Any]:
    def build(connecting: dict[str, Any] | None = None, **words: Any) -> Any:
        spec = SftpSpec.model_validate(
            {"connection": "bank", "path": "/outbox", "match": "*.xml", "ready": {"suffix": ".tmp"}} | words
        )
        end = spec.source(resources(connection(partner, **(connecting or {}))))
        open_ends.append(end)
        return end

    return build


@pytest.fixture
def sink(partner: Partner, open_ends: list[Any]) -> Callable[..., Any]:
    def build(connecting: dict[str, Any] | None = None, epoch: int = 1, **words: Any) -> Any:
        spec = SftpSpec.model_validate({"connection": "bank", "path": "/inbox", "name": "PAIN001_{id}.xml"} | words)
        end = spec.sink(resources(connection(partner, **(connecting or {})), epoch=epoch))
        open_ends.append(end)
        return end

    return build


def message(number: int = 1) -> Message:
    return Message(Headers(id=f"{number:032x}", correlation_id="0" * 32))


def fetched(inbound: Any) -> bytes:
    target = io.BytesIO()
    inbound.fetch(target)
    return target.getvalue()


def on_disk(partner: Partner, below: str = "") -> list[str]:
    home = partner.accounts["bank"].folder
    return sorted(str(path.relative_to(home)) for path in (home / below).rglob("*") if path.is_file())


def put(partner: Partner, name: str, data: bytes = PAYLOAD) -> None:
    (partner.accounts["bank"].folder / name).write_bytes(data)


# ---------------------------------------------------------------- who is there


def test_an_unpinned_host_key_is_refused_before_any_secret_is_sent(
    partner: Partner, source: Callable[..., Any]
) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    end = source({"host_keys": [stranger.get_fingerprint("sha256")]})
    with pytest.raises(ConfigError, match="SEC111") as caught:
        list(end.poll(1))
    assert partner.fingerprint in str(caught.value)
    assert partner.logins == 0


@pytest.mark.parametrize("form", ["line", "fingerprint", "several"])
def test_a_pin_is_a_fingerprint_or_a_key_and_may_be_one_of_several(
    partner: Partner, source: Callable[..., Any], form: str
) -> None:
    next_year = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    pins = {
        "line": [partner.host_key],
        "fingerprint": [partner.fingerprint],
        "several": [next_year, partner.host_key],
    }
    put(partner, "outbox/A.xml")
    (inbound,) = source({"host_keys": pins[form]}).poll(1)
    assert fetched(inbound) == PAYLOAD


def test_pins_may_stand_in_a_file_that_is_read_at_every_connection(
    partner: Partner, source: Callable[..., Any], tmp_path: Path
) -> None:
    put(partner, "outbox/A.xml")
    pins = tmp_path / "bank.pub"
    end = source({"host_keys": [f"${{file:{pins}}}"]})
    with pytest.raises(ConfigError, match="CFG142"):
        list(end.poll(1))
    for content in ("", "# nothing yet\n", "not a key\n"):
        pins.write_text(content, "ascii")
        with pytest.raises(ConfigError, match="CFG138"):
            list(end.poll(1))
    pins.write_text(f"# bank north, by letter\n{partner.host_key}\n", "ascii")
    (inbound,) = end.poll(1)
    assert fetched(inbound) == PAYLOAD


@pytest.mark.parametrize("word", ["password", "user"])
def test_a_refused_login_is_told_without_the_secret(
    partner: Partner, source: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("WRONG", PASSWORD + "x")
    end = source({"password": "${env:WRONG}"} if word == "password" else {"user": "nobody"})
    with pytest.raises(ConfigError, match="SEC112") as caught:
        list(end.poll(1))
    assert PASSWORD not in "".join(map(str, [caught.value, caught.value.__cause__, caught.value.hint]))
    assert partner.logins == 0


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_key_logs_in(
    partner: Partner, source: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, *, encrypted: bool
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    partner.accounts["bank"].key = key.export_public_key().decode()
    monkeypatch.setenv("KEY", key.export_private_key(passphrase="s3cret" if encrypted else None).decode())
    monkeypatch.setenv("PHRASE", "s3cret")
    words = {"password": None, "key": "${env:KEY}"} | ({"passphrase": "${env:PHRASE}"} if encrypted else {})
    put(partner, "outbox/A.xml")
    (inbound,) = source(words).poll(1)
    assert fetched(inbound) == PAYLOAD


@pytest.mark.parametrize(("value", "code"), [("not a key", "CFG134"), (None, "CFG142")])
def test_an_unreadable_key_names_the_reference_only(
    source: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, value: str | None, code: str
) -> None:
    if value is not None:
        monkeypatch.setenv("KEY", value)
    with pytest.raises(ConfigError, match=code) as caught:
        list(source({"password": None, "key": "${env:KEY}"}).poll(1))
    assert "${env:KEY}" in str(caught.value)
    assert "not a key" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"host_keys": []}, "CFG138"),
        ({"host_keys": ["SHA256:short"]}, "CFG138"),
        ({"host_keys": ["ssh-ed25519 %%%"]}, "CFG138"),
        ({"host_keys": ["ssh-dss AAAA"]}, "CFG138"),
        ({"password": None}, "CFG138"),
        ({"password": "in-clear"}, "CFG141"),
        ({"port": 0}, "greater_than_equal"),
    ],
)
def test_a_connection_without_pin_or_secret_is_refused(partner: Partner, words: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        connection(partner, **words)
    assert [error["type"] for error in caught.value.errors()] == [code]


def test_words_of_the_other_side_are_refused(partner: Partner) -> None:
    spec = SftpSpec.model_validate({"connection": "bank", "path": "/inbox", "match": "*.xml"})
    with pytest.raises(ConfigError, match="CFG135 `match`"):
        spec.sink(resources(connection(partner)))
    spec = SftpSpec.model_validate({"connection": "bank", "path": "/inbox", "name": "{id}", "stage": "s"})
    with pytest.raises(ConfigError, match="CFG135 `name`, `stage`"):
        spec.source(resources(connection(partner)))


def test_a_connection_of_another_kind_is_refused() -> None:
    spec = SftpSpec.model_validate({"connection": "queue", "path": "/inbox"})
    with pytest.raises(ConfigError, match="CFG138"):
        spec.source(ScriptedResources(ManualClock(), connections={"queue": object()}))


# ---------------------------------------------------------------- lines that break


def test_a_server_that_is_away_is_retried(partner: Partner, source: Callable[..., Any]) -> None:
    put(partner, "outbox/A.xml")
    end = source()
    partner.stop()
    with pytest.raises(Retryable, match="NET101"):
        list(end.poll(1))
    partner.start()
    (inbound,) = end.poll(1)
    assert fetched(inbound) == PAYLOAD


def test_a_restart_of_the_server_is_not_even_noticed_between_calls(
    partner: Partner, source: Callable[..., Any]
) -> None:
    put(partner, "outbox/A.xml")
    end = source()
    (inbound,) = end.poll(1)
    partner.stop()
    partner.start()
    assert fetched(inbound) == PAYLOAD
    partner.hang_up()
    inbound.complete("done", "12345678")
    assert on_disk(partner) == ["outbox/done/A.xml"]
    assert partner.logins == 3


def test_a_server_that_never_answers_costs_no_more_than_the_timeout(open_ends: list[Any], partner: Partner) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        folder = SftpFolder(connection(partner, port=hole.getsockname()[1], connect_timeout="200ms"))
        open_ends.append(folder)
        with pytest.raises(Retryable, match="NET101"):
            folder.list("/")


def test_a_stalled_transfer_is_given_up_and_the_next_one_works(partner: Partner, source: Callable[..., Any]) -> None:
    put(partner, "outbox/A.xml")
    end = source({"timeout": "400ms"})
    (inbound,) = end.poll(1)
    partner.habits.delay = 30
    with pytest.raises(Retryable, match="NET102"):
        fetched(inbound)
    partner.habits.delay = 0
    assert fetched(inbound) == PAYLOAD


def test_a_drip_that_is_never_silent_ends_with_the_transfer_limit(partner: Partner, source: Callable[..., Any]) -> None:
    put(partner, "outbox/A.xml", b"x" * 100_000)
    end = source({"timeout": "10s", "transfer_timeout": "300ms"})
    (inbound,) = end.poll(1)
    partner.habits.delay = 5
    with pytest.raises(Retryable, match="NET102"):
        fetched(inbound)


@pytest.mark.parametrize("byte", [0, 1, 100_000, len(PAYLOAD) - 1])
def test_a_download_cut_at_any_byte_is_whole_the_next_time(
    partner: Partner, source: Callable[..., Any], byte: int
) -> None:
    put(partner, "outbox/A.xml")
    end = source()
    partner.habits.cut_reading = byte
    (inbound,) = end.poll(1)
    with pytest.raises(Retryable, match="NET101"):
        fetched(inbound)
    inbound.abandon()
    partner.habits.cut_reading = -1
    (inbound,) = end.poll(1)
    assert fetched(inbound) == PAYLOAD
    inbound.complete("done", "12345678")
    assert on_disk(partner) == ["outbox/done/A.xml"]


@pytest.mark.parametrize("byte", [0, 1, 100_000, len(PAYLOAD) - 1])
def test_an_upload_cut_at_any_byte_shows_nothing_and_is_whole_the_next_time(
    partner: Partner, sink: Callable[..., Any], byte: int
) -> None:
    end = sink()
    partner.habits.cut_writing = byte
    with pytest.raises(Retryable, match="NET101"):
        end.prepare(message(), io.BytesIO(PAYLOAD))
    assert all(path.startswith("inbox/.stage/") for path in on_disk(partner))
    partner.habits.cut_writing = -1
    end.publish(end.prepare(message(), io.BytesIO(PAYLOAD)))
    assert on_disk(partner) == [f"inbox/PAIN001_{1:032x}.xml"]
    assert (partner.accounts["bank"].folder / on_disk(partner)[0]).read_bytes() == PAYLOAD


# ---------------------------------------------------------------- partners that lie and refuse


def test_hostile_names_hide_no_honest_file(partner: Partner, source: Callable[..., Any]) -> None:
    put(partner, "outbox/A.xml")
    put(partner, "bank.key", b"never")
    (partner.accounts["bank"].folder / "outbox" / "link.xml").symlink_to("../bank.key")
    partner.habits.names = (b"../bank.key", b"/etc/passwd", b"a\nb.xml", b"nul\0.xml", b"bad\xff.xml", b"..\\x.xml")
    end = source()
    (inbound,) = end.poll(10)
    assert fetched(inbound) == PAYLOAD
    inbound.complete("done", "12345678")
    assert sorted(finding.code for finding in end.findings) == ["SEC110"] * 6 + ["SEC114"]
    assert all(finding.place.isprintable() and finding.place.isascii() for finding in end.findings)
    assert on_disk(partner) == ["bank.key", "outbox/done/A.xml", "outbox/link.xml"]


@pytest.mark.parametrize("lie", [-10, 10])
def test_a_server_that_lies_about_sizes_is_not_believed(partner: Partner, source: Callable[..., Any], lie: int) -> None:
    put(partner, "outbox/A.xml")
    partner.habits.lie = lie
    (inbound,) = source().poll(1)
    with pytest.raises(Retryable, match="NET106"):
        fetched(inbound)


def test_a_full_disk_shows_nothing_and_is_retried(partner: Partner, sink: Callable[..., Any]) -> None:
    partner.habits.space = 1_000
    end = sink()
    with pytest.raises(Retryable, match=r"NET10[45]"):
        end.prepare(message(), io.BytesIO(PAYLOAD))
    assert all(path.startswith("inbox/.stage/") for path in on_disk(partner))
    partner.habits.space = -1
    end.publish(end.prepare(message(), io.BytesIO(PAYLOAD)))
    assert on_disk(partner) == [f"inbox/PAIN001_{1:032x}.xml"]


@pytest.mark.parametrize(("after", "left"), [("leave", ["outbox/A.xml"]), ("delete", [])])
def test_a_mailbox_without_renames_is_read_all_the_same(
    partner: Partner, source: Callable[..., Any], after: str, left: list[str]
) -> None:
    put(partner, "outbox/A.xml")
    partner.habits.refuse = {"rename", "mkdir"} | ({"remove"} if after == "leave" else set())
    end = source(after=after)
    (inbound,) = end.poll(1)
    assert fetched(inbound) == PAYLOAD
    inbound.complete("done", "12345678")
    assert on_disk(partner) == left
    assert list(end.poll(1)) == []


@pytest.mark.parametrize("request_", ["rename", "list", "open", "mkdir"])
def test_a_refusal_is_a_coded_error(partner: Partner, source: Callable[..., Any], request_: str) -> None:
    put(partner, "outbox/A.xml")
    partner.habits.refuse = {request_}
    with pytest.raises(Retryable, match="NET104"):
        [fetched(inbound) for inbound in source().poll(1)]


def test_a_missing_folder_is_named(source: Callable[..., Any]) -> None:
    with pytest.raises(Retryable, match=r"NET103 .*/outbx"):
        list(source(path="/outbx", after="leave").poll(1))


# ---------------------------------------------------------------- the rename


@pytest.mark.parametrize("posix", [True, False])
def test_a_server_that_dies_before_it_answers_the_rename(
    partner: Partner, sink: Callable[..., Any], *, posix: bool
) -> None:
    partner.habits.posix_rename = posix
    end = sink()
    receipt = end.prepare(message(), io.BytesIO(PAYLOAD))
    assert receipt["atomic"] is posix
    partner.habits.die_in_rename = "after"
    with pytest.raises(InDoubt, match="NET109"):
        end.publish(receipt)
    partner.habits.die_in_rename = ""
    assert end.probe(receipt) == "done"
    assert on_disk(partner) == [f"inbox/PAIN001_{1:032x}.xml"]


def test_a_server_that_dies_between_link_and_unlink_is_tidied_up(partner: Partner, sink: Callable[..., Any]) -> None:
    partner.habits.posix_rename = False
    end = sink()
    receipt = end.prepare(message(), io.BytesIO(PAYLOAD))
    partner.habits.die_in_rename = "between"
    with pytest.raises(InDoubt, match="NET109"):
        end.publish(receipt)
    assert len(on_disk(partner)) == 2
    partner.habits.die_in_rename = ""
    heir = sink(epoch=2)
    assert heir.probe(receipt) == "done"
    assert on_disk(partner) == [f"inbox/PAIN001_{1:032x}.xml"]


def test_a_partner_that_took_the_link_leaves_a_doubt(partner: Partner, sink: Callable[..., Any]) -> None:
    partner.habits.posix_rename = False
    end = sink()
    receipt = end.prepare(message(), io.BytesIO(PAYLOAD))
    partner.habits.die_in_rename = "between"
    with pytest.raises(InDoubt):
        end.publish(receipt)
    (partner.accounts["bank"].folder / "inbox" / f"PAIN001_{1:032x}.xml").unlink()
    assert end.probe(receipt) == "unknown"


@pytest.mark.parametrize("posix", [True, False])
def test_a_claim_whose_answer_was_lost_is_found_again(
    partner: Partner, source: Callable[..., Any], *, posix: bool
) -> None:
    partner.habits.posix_rename = posix
    put(partner, "outbox/A.xml")
    end = source()
    partner.habits.die_in_rename = "after" if posix else "between"
    with pytest.raises(Retryable, match="NET101"):
        list(end.poll(1))
    partner.habits.die_in_rename = ""
    (inbound,) = end.poll(10)
    assert fetched(inbound) == PAYLOAD
    inbound.complete("done", "12345678")
    assert on_disk(partner) == ["outbox/done/A.xml"]


# ---------------------------------------------------------------- what a server can do


def test_a_server_without_fsync_is_told_once(partner: Partner, sink: Callable[..., Any]) -> None:
    partner.habits.fsync = False
    end = sink()
    for number in range(3):
        end.publish(end.prepare(message(number), io.BytesIO(b"x")))
    assert [finding.code for finding in end.findings] == ["NET111"]
    with pytest.raises(ConfigError, match="NET111"):
        sink(fsync="required").prepare(message(9), io.BytesIO(b"x"))


def test_the_doctor_finds_what_is_wrong_with_a_connection(partner: Partner) -> None:
    assert connection(partner).examine() == []
    partner.habits.posix_rename = False
    assert [finding.code for finding in connection(partner).examine()] == ["NET110"]
    stranger = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint("sha256")
    (finding,) = connection(partner, host_keys=[stranger]).examine()
    assert (finding.code, finding.severity) == ("SEC111", "error")


def test_a_user_sees_only_the_own_folder(partner: Partner, source: Callable[..., Any]) -> None:
    (partner.accounts["bank"].folder.parent / "secret.xml").write_bytes(b"never")
    assert list(source(path="/..", after="leave").poll(10)) == []


# ---------------------------------------------------------------- a real OpenSSH server


@pytest.fixture
def openssh(sshd: OpenSshServer, monkeypatch: pytest.MonkeyPatch) -> SftpConnection:
    monkeypatch.setenv("KEY", sshd.private_key.read_text("ascii"))
    for path in sorted(sshd.mailbox.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    words = {"host": sshd.host, "port": sshd.port, "user": sshd.user, "key": "${env:KEY}", "host_keys": [sshd.host_key]}
    return SftpConnection.model_validate(words | {"timeout": "10s"})


def files(sshd: OpenSshServer) -> dict[str, int]:
    found = (path for path in sshd.mailbox.rglob("*") if path.is_file())
    return {str(path.relative_to(sshd.mailbox)): path.stat().st_size for path in found}


class KillsAt(io.RawIOBase):
    """Content that runs ``act`` when it has been read up to a byte."""

    def __init__(self, data: bytes, byte: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._source = io.BytesIO(data)
        self._byte = byte
        self._act: Callable[[], None] | None = act

    def read(self, size: int = -1, /) -> bytes:
        if self._act is not None and self._source.tell() >= self._byte:
            act, self._act = self._act, None
            act()
        return self._source.read(size)


@pytest.mark.sshd
def test_openssh_offers_all_we_want(openssh: SftpConnection) -> None:
    assert openssh.examine() == []


@pytest.mark.sshd
@pytest.mark.parametrize("byte", [0, 4 << 20, 8 << 20])
def test_openssh_killed_in_the_middle_of_an_upload(
    sshd: OpenSshServer, openssh: SftpConnection, open_ends: list[Any], byte: int
) -> None:
    data = bytes(range(256)) * (9 << 12)
    spec = SftpSpec.model_validate({"connection": "bank", "path": "/mailbox", "name": "{id}.xml"})
    end = spec.sink(resources(openssh))
    open_ends.append(end)
    first = end.prepare(message(1), io.BytesIO(b"first"))
    end.publish(first)
    killing: Any = KillsAt(data, byte, sshd.kill)
    with pytest.raises(Retryable, match="NET101"):
        end.prepare(message(2), killing)
    with pytest.raises(Retryable, match="NET101"):
        end.prepare(message(2), io.BytesIO(data))
    sshd.start()
    end.publish(end.prepare(message(2), io.BytesIO(data)))
    assert files(sshd) == {f"{1:032x}.xml": 5, f"{2:032x}.xml": len(data)}


@pytest.mark.sshd
def test_openssh_frozen_is_noticed_in_time(sshd: OpenSshServer, openssh: SftpConnection, open_ends: list[Any]) -> None:
    sshd.put("A.xml", PAYLOAD)
    words = {"connection": "bank", "path": "/mailbox", "match": "*.xml", "ready": {"suffix": ".tmp"}}
    impatient = openssh.model_copy(update={"timeout": 300})
    end = SftpSpec.model_validate(words).source(resources(impatient))
    open_ends.append(end)
    (inbound,) = end.poll(1)
    sshd.send(signal.SIGSTOP)
    try:
        with pytest.raises(Retryable, match="NET102"):
            fetched(inbound)
    finally:
        sshd.send(signal.SIGCONT)
    assert fetched(inbound) == PAYLOAD
    inbound.complete("done", "12345678")
    assert files(sshd) == {"done/A.xml": len(PAYLOAD)}


@pytest.mark.sshd
def test_openssh_without_the_right_to_write_is_a_coded_error(sshd: OpenSshServer, openssh: SftpConnection) -> None:
    spec = SftpSpec.model_validate({"connection": "bank", "path": "/", "name": "{id}.xml"})
    end = spec.sink(resources(openssh))
    with pytest.raises(Retryable, match="NET104"):
        end.prepare(message(), io.BytesIO(b"x"))
    end.close()
    assert files(sshd) == {}


@pytest.mark.sshd
def test_openssh_plain_renames_do_not_replace(
    sshd: OpenSshServer, openssh: SftpConnection, open_ends: list[Any]
) -> None:
    folder = SftpFolder(openssh)
    open_ends.append(folder)
    sshd.put("A", b"a")
    folder.rename("/mailbox/A", "/mailbox/B", strict=True)
    sshd.put("A", b"newer")
    with pytest.raises(FileExistsError):
        folder.rename("/mailbox/A", "/mailbox/B", strict=True)
    assert files(sshd) == {"A": 5, "B": 1}
