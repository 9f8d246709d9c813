"""Keys and certificates: issued safely, read safely, used in real handshakes, replaced without a restart."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID

import certs
from bus.cli import main
from bus.cli.certs import command
from bus.codes import codes
from bus.errors import BusError, ConfigError, NotAllowed, Unavailable
from certs.authority import Authority
from certs.expiry import survey, warning_level
from certs.files import default_folder, read_private, refuse_repository, write_private, write_public
from certs.ssh import fingerprint, issue_key
from certs.tls import Identity, ReloadingContext, client_context, reloading_client, reloading_server, server_context

NOW = datetime.now(UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def code_of(action: Callable[[], object], kind: type[BusError] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        action()
    return caught.value.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A key folder with a CA, a server certificate for localhost and a client certificate."""
    folder = tmp_path / "keys"
    Authority.create("ca", folder)
    authority = Authority.load("ca", folder)
    authority.issue("server", "server", names=("localhost", "127.0.0.1"))
    authority.issue("client", "client")
    return folder


def identity(folder: Path, name: str) -> Identity:
    return Identity(folder / f"{name}.crt", folder / f"{name}.key")


# ---------------------------------------------------------------- files


def test_a_private_key_is_owner_only_and_so_is_its_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "a" / "b" / "key", b"secret")
        os.umask(0o077)
        write_public(tmp_path / "a" / "b" / "key.pub", b"public")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "b" / "key.pub") == 0o644
    assert mode(tmp_path / "a" / "b" / "key") == 0o600
    assert mode(tmp_path / "a" / "b") == 0o700
    assert read_private(tmp_path / "a" / "b" / "key") == b"secret"


def test_nothing_is_overwritten_unless_asked_and_nothing_half_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"one")
    assert code_of(lambda: write_private(path, b"two"), NotAllowed) == "SEC202"
    assert path.read_bytes() == b"one"
    write_private(path, b"three", replace=True)
    assert path.read_bytes() == b"three"
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_touch_is_not_read(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "key"
    write_private(path, b"secret")
    path.chmod(bits)
    with pytest.raises(ConfigError) as caught:
        read_private(path)
    assert caught.value.code == "SEC203"
    assert "chmod 600" in caught.value.hint


def test_what_is_no_readable_key_file_is_named(tmp_path: Path) -> None:
    assert code_of(lambda: read_private(tmp_path / "missing")) == "SEC208"
    assert code_of(lambda: read_private(tmp_path)) == "SEC208"
    big = tmp_path / "big"
    write_private(big, b"x" * 1_000_001)
    assert code_of(lambda: read_private(big)) == "SEC207"


def test_a_folder_that_everybody_may_write_into_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert code_of(lambda: write_private(shared / "key", b"x"), NotAllowed) == "SEC204"
    assert list(shared.iterdir()) == []


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert code_of(lambda: write_private(tmp_path / "file" / "key", b"x"), Unavailable) == "SEC217"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    tree = tmp_path / "project"
    tree.mkdir()
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    (tree / ".gitignore").write_text("ignored/\n*.key\n")
    return tree


def test_a_key_never_goes_into_a_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(lambda: write_private(repository / "deep" / "down" / "secret", b"x"), NotAllowed) == "SEC201"
    assert not (repository / "deep").exists()
    assert code_of(lambda: refuse_repository(repository / ".git" / "secret"), NotAllowed) == "SEC201"
    # A relative path from inside, and a link from outside, lead to the same place.
    monkeypatch.chdir(repository)
    assert code_of(lambda: write_private(Path("secret"), b"x"), NotAllowed) == "SEC201"
    link = repository.parent / "link"
    (repository / "sub").mkdir()
    link.symlink_to(repository / "sub")
    assert code_of(lambda: write_private(link / "secret", b"x"), NotAllowed) == "SEC201"


def test_what_the_repository_ignores_may_hold_keys(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(repository / "ignored" / "secret", b"x")
    write_private(repository / "one.key", b"x")
    # Variables that point git elsewhere must not change the answer.
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    write_private(repository / "ignored" / "more", b"x")


def test_a_tracked_file_in_an_ignored_folder_is_still_refused(repository: Path) -> None:
    (repository / "ignored").mkdir()
    (repository / "ignored" / "secret").write_text("placeholder")
    subprocess.run(["git", "-C", str(repository), "add", "-f", "ignored/secret"], check=True)
    assert code_of(lambda: refuse_repository(repository / "ignored" / "secret"), NotAllowed) == "SEC201"


def test_what_git_cannot_tell_counts_as_not_ignored(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nonexistent")
    assert code_of(lambda: refuse_repository(tmp_path / "secret"), NotAllowed) == "SEC201"


def test_without_git_a_repository_counts_as_not_ignoring(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert code_of(lambda: refuse_repository(repository / "ignored" / "secret"), NotAllowed) == "SEC201"


def test_the_default_folder_is_at_home_or_where_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIROBUS_CERTS", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("GIROBUS_CERTS")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_folder() == Path("/home/somebody/.girobus/certs")


# ---------------------------------------------------------------- SSH


@pytest.mark.parametrize("kind", ["ssh-host", "ssh-client"])
def test_ssh_keys_are_openssh_files(tmp_path: Path, kind: str) -> None:
    pair = issue_key(kind, "bank-north", tmp_path)  # type: ignore[arg-type]  # a parameter is a plain string
    private = load_ssh_private_key(pair.private.read_bytes(), None)
    public = load_ssh_public_key(pair.public.read_bytes())
    assert private.public_key() == public
    assert pair.private.read_bytes().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert pair.public.read_bytes().startswith(b"ssh-ed25519 ")
    assert (mode(pair.private), mode(pair.public)) == (0o600, 0o644)
    assert code_of(lambda: issue_key(kind, "bank-north", tmp_path), NotAllowed) == "SEC202"  # type: ignore[arg-type]  # as above
    assert issue_key(kind, "bank-north", tmp_path, replace=True).fingerprint != pair.fingerprint  # type: ignore[arg-type]  # as above


def test_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    pair = issue_key("ssh-host", "h", tmp_path)
    for path in (pair.public, pair.private):
        line = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout
        assert line.split()[1] == pair.fingerprint
        assert line.strip().endswith("(ED25519)")


@pytest.mark.parametrize(
    "line", [b"", b"ssh-ed25519", b"ssh-ed25519 !!!!", b"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA", b"ssh-ed25519 AAAA"]
)
def test_what_is_no_public_key_has_no_fingerprint(line: bytes) -> None:
    assert code_of(lambda: fingerprint(line)) == "SEC207"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\0b", ".hidden", "-rf", "a..b", "x" * 65, "näme", "a b", "a\n"])
def test_a_name_cannot_lead_out_of_the_folder(folder: Path, name: str) -> None:
    before = sorted(p.name for p in folder.iterdir())
    assert code_of(lambda: issue_key("ssh-host", name, folder)) == "SEC200"
    assert code_of(lambda: Authority.create(name, folder)) == "SEC200"
    assert code_of(lambda: Authority.load(name, folder)) == "SEC200"
    assert code_of(lambda: Authority.load("ca", folder).issue("server", name)) == "SEC200"
    assert sorted(p.name for p in folder.iterdir()) == before


# ---------------------------------------------------------------- the development CA


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificates_say_what_they_are_for(folder: Path) -> None:
    root, server, client = (certificate(folder / f"{n}.crt") for n in ("ca", "server", "client"))
    basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.value.ca, basic.value.path_length, basic.critical) == (True, 0, True)
    assert root.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    for leaf, usage in ((server, ExtendedKeyUsageOID.SERVER_AUTH), (client, ExtendedKeyUsageOID.CLIENT_AUTH)):
        assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
        key_usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        assert key_usage.digital_signature
        assert not key_usage.key_cert_sign
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=31)
        leaf.verify_directly_issued_by(root)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert len({c.serial_number for c in (root, server, client)}) == 3
    assert all(c.serial_number.bit_length() > 64 for c in (root, server, client))
    assert all(mode(folder / f"{n}.key") == 0o600 for n in ("ca", "server", "client"))


def test_openssl_agrees_strictly(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    for name, purpose in (("server", "sslserver"), ("client", "sslclient")):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(folder / "ca.crt")]
        subprocess.run([*command, str(folder / f"{name}.crt")], check=True, capture_output=True)


def test_no_certificate_outlives_its_root(tmp_path: Path) -> None:
    Authority.create("ca", tmp_path, days=2)
    made = Authority.load("ca", tmp_path).issue("server", "s", days=90)
    assert made.not_after == certificate(tmp_path / "ca.crt").not_valid_after_utc


def test_an_expired_root_signs_nothing(tmp_path: Path) -> None:
    Authority.create("ca", tmp_path, days=1, now=NOW - timedelta(days=3))
    assert code_of(lambda: Authority.load("ca", tmp_path).issue("server", "s")) == "SEC209"
    assert not (tmp_path / "s.key").exists()


@pytest.mark.parametrize("days", [0, -1, 91])
def test_certificates_are_short_lived(folder: Path, days: int) -> None:
    assert code_of(lambda: Authority.load("ca", folder).issue("server", "s", days=days)) == "SEC211"


@pytest.mark.parametrize(
    "name", ["", "has space", "*.*.example", "-a.example", "a..b", "http://x", "1.2.3.4/8", "x" * 64, "a" * 300]
)
def test_a_bad_alternative_name_is_refused(folder: Path, name: str) -> None:
    assert code_of(lambda: Authority.load("ca", folder).issue("server", "s", names=(name,))) == "SEC210"


def test_only_a_root_with_its_own_key_can_sign(folder: Path, tmp_path: Path) -> None:
    assert code_of(lambda: Authority.load("server", folder)) == "SEC209"
    assert code_of(lambda: Authority.load("missing", folder)) == "SEC208"
    assert code_of(lambda: Authority.load("ca", folder).issue("server", "ca", replace=True)) == "SEC210"
    Authority.create("ca", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "ca.key", folder / "ca.key")
    assert code_of(lambda: Authority.load("ca", folder)) == "SEC206"
    (folder / "ca.key").write_text("no key")
    assert code_of(lambda: Authority.load("ca", folder)) == "SEC207"
    issue_key("ssh-host", "h", folder)
    (folder / "h.crt").write_text("no certificate")
    assert code_of(lambda: Authority.load("h", folder)) == "SEC207"


# ---------------------------------------------------------------- handshakes


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS echo of one byte on loopback; gives its port. Failed handshakes are the client's to report."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(raw: socket.socket) -> None:
        raw.settimeout(10)
        try:
            with context.wrap_socket(raw, server_side=True) as connection:
                while data := connection.recv(1):
                    connection.sendall(data)
        except OSError:
            raw.close()

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def connect(context: ssl.SSLContext, port: int, name: str = "localhost") -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(raw, server_hostname=name or None)
    except BaseException:
        raw.close()
        raise


def echo(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(b"x")
    return connection.recv(1)


def serial(connection: ssl.SSLSocket) -> str:
    return str((connection.getpeercert() or {})["serialNumber"]).lower().lstrip("0")


def test_a_handshake_uses_tls_13_and_both_certificates(folder: Path) -> None:
    server = server_context(identity(folder, "server"), clients=folder / "ca.crt")
    client = client_context(trust=folder / "ca.crt", identity=identity(folder, "client"))
    with listening(server) as port, connect(client, port) as connection:
        assert connection.version() == "TLSv1.3"
        assert echo(connection) == b"x"


def test_tls_12_is_the_least_and_has_forward_secrecy(folder: Path) -> None:
    server = server_context(identity(folder, "server"))
    client = client_context(trust=folder / "ca.crt")
    assert client.minimum_version is server.minimum_version is ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with listening(server) as port, connect(client, port) as connection:
        assert connection.version() == "TLSv1.2"
        assert (connection.cipher() or ("",))[0].startswith("ECDHE")


def test_the_wrong_name_the_wrong_issuer_and_a_missing_client_certificate_fail(folder: Path, tmp_path: Path) -> None:
    Authority.create("ca", tmp_path / "other")
    server = server_context(identity(folder, "server"), clients=folder / "ca.crt")
    trusting = client_context(trust=folder / "ca.crt", identity=identity(folder, "client"))
    with listening(server) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            connect(trusting, port, "bank.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(client_context(trust=tmp_path / "other" / "ca.crt"), port)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(client_context(), port)
        # With TLS 1.3 the client learns of the refusal when it first reads.
        with connect(client_context(trust=folder / "ca.crt"), port) as connection, pytest.raises(OSError, match=r"."):
            assert echo(connection) == b"x", "the server went on without a client certificate"
        # A server's certificate is no client's certificate.
        wrong = client_context(trust=folder / "ca.crt", identity=identity(folder, "server"))
        with connect(wrong, port) as connection, pytest.raises(OSError, match=r"."):
            assert echo(connection) == b"x", "the server took a certificate that is not for clients"


def test_a_new_chain_is_used_without_a_restart_and_old_connections_go_on(folder: Path) -> None:
    reloading = reloading_server(identity(folder, "server"), clients=folder / "ca.crt")
    client = client_context(trust=folder / "ca.crt", identity=identity(folder, "client"))
    with listening(reloading.live()) as port, connect(client, port) as old:
        before = serial(old)
        assert before == f"{certificate(folder / 'server.crt').serial_number:x}"
        made = Authority.load("ca", folder).issue("server", "server", names=("localhost",), replace=True)
        with connect(client, port) as new:
            assert serial(new) == made.serial != before
            assert echo(new) == b"x"
        assert echo(old) == b"x"
        # Also for a client that names no host in its hello.
        client.check_hostname = False
        with connect(client, port, "") as nameless:
            assert serial(nameless) == made.serial


def test_a_half_written_set_leaves_the_old_one_in_service(folder: Path, tmp_path: Path) -> None:
    Authority.create("ca", tmp_path / "other")
    Authority.load("ca", tmp_path / "other").issue("server", "server", names=("localhost",))
    reloading = reloading_server(identity(folder, "server"))
    client = client_context(trust=folder / "ca.crt")
    with listening(reloading.live()) as port:
        former = certificate(folder / "server.crt")
        shutil.copy(tmp_path / "other" / "server.key", folder / "server.key")  # the chain is still to come
        with connect(client, port) as connection:
            assert serial(connection) == f"{former.serial_number:x}"
        assert reloading.problem is not None
        assert reloading.problem.code == "SEC206"
        made = Authority.load("ca", folder).issue("server", "server", names=("localhost",), replace=True)
        with connect(client, port) as connection:
            assert serial(connection) == made.serial
        assert reloading.problem is None


def test_an_issuer_that_is_no_longer_trusted_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    Authority.create("ca", tmp_path / "other")
    Authority.load("ca", tmp_path / "other").issue("client", "client")
    trust = tmp_path / "clients.pem"
    shutil.copy(folder / "ca.crt", trust)
    live = reloading_server(identity(folder, "server"), clients=trust).live()
    former = client_context(trust=folder / "ca.crt", identity=identity(folder, "client"))
    later = client_context(trust=folder / "ca.crt", identity=identity(tmp_path / "other", "client"))
    with listening(live) as port:
        with connect(former, port) as connection:
            assert echo(connection) == b"x"
            session = connection.session
        trust.write_bytes((tmp_path / "other" / "ca.crt").read_bytes())
        with connect(later, port) as connection:
            assert echo(connection) == b"x"
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        resumed = former.wrap_socket(raw, server_hostname="localhost", session=session)
        with resumed, pytest.raises(OSError, match=r"."):
            assert echo(resumed) == b"x", "a client of the former issuer came in"


def test_a_client_follows_its_files(folder: Path) -> None:
    reloading = reloading_client(trust=folder / "ca.crt", identity=identity(folder, "client"))
    first = reloading.current()
    assert reloading.current() is first
    Authority.load("ca", folder).issue("client", "client", replace=True)
    assert reloading.current() is not first
    second = reloading.current()
    (folder / "client.key").unlink()
    assert reloading.current() is second
    assert reloading.problem is not None
    assert reloading.problem.code == "SEC208"
    assert reloading.refresh() is False


def test_many_handshakes_during_a_rotation_all_succeed(folder: Path) -> None:
    live = reloading_server(identity(folder, "server")).live()
    client = client_context(trust=folder / "ca.crt")
    authority = Authority.load("ca", folder)
    failures: list[BaseException] = []
    seen: set[str] = set()

    def knock(port: int) -> None:
        try:
            for _ in range(25):
                with connect(client, port) as connection:
                    seen.add(serial(connection))
        except BaseException as error:  # noqa: BLE001 - told to the main thread, which asserts that there is none
            failures.append(error)

    with listening(live) as port:
        threads = [threading.Thread(target=knock, args=(port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            authority.issue("server", "server", names=("localhost",), replace=True)
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(seen) > 1


def test_bad_files_are_named_before_anything_is_served(folder: Path, tmp_path: Path) -> None:
    good = identity(folder, "server")
    assert code_of(lambda: server_context(Identity(folder / "gone.crt", good.key))) == "SEC208"
    assert code_of(lambda: server_context(Identity(good.chain, folder / "gone.key"))) == "SEC208"
    assert code_of(lambda: server_context(Identity(good.chain, folder / "client.key"))) == "SEC206"
    text = tmp_path / "text.crt"
    text.write_text("no certificate")
    text.chmod(0o600)
    assert code_of(lambda: server_context(Identity(text, good.key))) == "SEC207"
    assert code_of(lambda: server_context(Identity(good.chain, text))) == "SEC207"
    assert code_of(lambda: client_context(trust=text)) == "SEC207"
    assert code_of(lambda: client_context(trust=tmp_path)) in ("SEC207", "SEC208")
    assert code_of(lambda: client_context(trust=folder / "gone.crt")) == "SEC208"
    assert code_of(lambda: client_context(trust=folder / "server.crt")) == "SEC209"
    good.key.chmod(0o644)
    assert code_of(lambda: server_context(good)) == "SEC203"
    assert code_of(lambda: reloading_server(good)) == "SEC203"


def test_an_encrypted_key_never_asks_on_the_terminal(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - this test alone needs it

    key = form.load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"open"))
    write_private(folder / "server.key", locked, replace=True)
    assert code_of(lambda: server_context(identity(folder, "server"))) == "SEC205"
    chain, path = folder / "server.crt", folder / "server.key"
    assert code_of(lambda: server_context(Identity(chain, path, lambda: b"wrong"))) == "SEC205"
    assert code_of(lambda: server_context(Identity(chain, path, lambda: b"x" * 2000))) == "SEC205"
    assert isinstance(server_context(Identity(chain, path, lambda: b"open")), ssl.SSLContext)


def test_the_live_context_needs_no_more_than_a_look_when_nothing_changed(folder: Path) -> None:
    built: list[int] = []

    def build() -> ssl.SSLContext:
        built.append(1)
        return server_context(identity(folder, "server"))

    reloading = ReloadingContext(build, (folder / "server.crt", folder / "server.key"))
    for _ in range(5):
        reloading.current()
    assert len(built) == 1


# ---------------------------------------------------------------- expiry and the command


@pytest.mark.parametrize(
    ("left", "level"), [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (2, 7), (1, 1), (0, 1), (-1, 0)]
)
def test_warnings_get_louder(left: int, level: int | None) -> None:
    assert warning_level(left) == level


def test_a_folder_is_listed_the_soonest_first(folder: Path) -> None:
    issue_key("ssh-host", "north", folder)
    issue_key("ssh-client", "girobus", folder)
    Authority.load("ca", folder).issue("server", "soon", days=3)
    (folder / "bad.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (folder / "bad.pub").write_text("ssh-ed25519 nothing")
    (folder / "chain.pem").write_bytes((folder / "server.crt").read_bytes() + (folder / "ca.crt").read_bytes())
    (folder / "key.pem").write_bytes((folder / "server.key").read_bytes())
    (folder / "north_host_ed25519_key").chmod(0o640)
    items = survey(folder, NOW)
    by_name = {(item.name, item.kind): item for item in items}
    assert items[0].name == "soon"
    assert items[0].days_left in (2, 3)
    assert items[0].warn == 7
    assert by_name["ca", "ca"].warn is None
    assert by_name["server", "server"].names == ("localhost", "127.0.0.1")
    assert by_name["chain", "server"].serial == by_name["server", "server"].serial
    assert by_name["chain", "ca"].serial == by_name["ca", "ca"].serial
    assert by_name["girobus", "ssh-client"].days_left is None
    assert by_name["girobus", "ssh-client"].fingerprint.startswith("SHA256:")
    problem = by_name["north", "ssh-host"].problem
    assert problem is not None
    assert problem.code == "SEC203"
    assert sorted(i.path.name for i in items if i.kind == "unreadable") == ["bad.crt", "bad.pub"]
    assert not any(i.path.name == "key.pem" for i in items)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_issues_every_kind(tmp_path: Path) -> None:
    for kind in ("ca", "server", "client", "ssh-host", "ssh-client"):
        name = "ca" if kind == "ca" else f"my-{kind}"
        status, out, _ = run("issue", "--kind", kind, "--name", name, "--dir", tmp_path, "--json")
        made = json.loads(out)
        assert status == 0
        assert (made["kind"], made["name"]) == (kind, name)
        assert "PRIVATE" not in out
    status, out, _ = run(
        "issue", "--kind", "server", "--name", "web", "--san", "a.example", "--san", "10.0.0.7", "--dir", tmp_path
    )
    assert status == 0
    assert "web.crt" in out
    names = {item.name: item.names for item in survey(tmp_path, NOW)}
    assert names["web"] == ("a.example", "10.0.0.7")
    status, out, _ = run("list", "--dir", tmp_path, "--json")
    assert status == 0
    assert {item["kind"] for item in json.loads(out)} == {"ca", "server", "client", "ssh-host", "ssh-client"}


def test_the_command_refuses_what_makes_no_sense(folder: Path) -> None:
    assert run("issue", "--kind", "ssh-host", "--name", "h", "--days", "3", "--dir", folder)[0] == 2
    assert run("issue", "--kind", "ca", "--name", "c", "--san", "x", "--dir", folder)[0] == 2
    assert run("issue", "--kind", "pgp", "--name", "h", "--dir", folder)[0] == 2
    assert run("expiry", "--within", "soon", "--dir", folder)[0] == 2


def test_expiry_is_for_monitors(folder: Path, tmp_path: Path) -> None:
    assert run("expiry", "--within", "7d", "--dir", folder)[0] == 0
    status, out, err = run("expiry", "--within", "31d", "--dir", folder, "--json")
    assert status == 1
    assert {item["finding"]["code"] for item in json.loads(out)} == {"SEC212"}
    assert "SEC212" in err
    Authority.create("old", folder, days=1, now=NOW - timedelta(days=3))
    (folder / "junk.crt").write_text("junk")
    status, out, _ = run("expiry", "--within", "7d", "--dir", folder, "--json")
    assert status == 1
    assert {item["finding"]["code"] for item in json.loads(out)} == {"SEC213", "SEC214"}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("expiry", "--dir", empty)[0] == 2  # a monitor that watches nothing must not be green
    assert code_of(lambda: run("expiry", "--dir", tmp_path / "missing")) == "SEC208"


def test_the_root_command_turns_refusals_into_exit_codes(folder: Path, repository: Path) -> None:
    for arguments, expected, code in (
        (["issue", "--kind", "ca", "--name", "ca", "--dir", folder], 4, "SEC202"),
        (["issue", "--kind", "ssh-host", "--name", "h", "--dir", repository], 4, "SEC201"),
        (["issue", "--kind", "server", "--name", "s", "--dir", folder.parent], 1, "SEC208"),
    ):
        result = CliRunner().invoke(main, ["certs", *map(str, arguments)])
        assert result.exit_code == expected
        assert f"error[{code}]" in result.stderr


def test_the_variable_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIROBUS_CERTS", str(folder))
    status, out, _ = run("list", "--json")
    assert status == 0
    assert len(json.loads(out)) == 3


# ---------------------------------------------------------------- the package


def test_every_code_is_explained() -> None:
    text = "".join(p.read_text("utf-8") for p in Path(certs.__file__).parent.glob("*.py"))
    used = {word.strip('"') for word in text.replace("(", " ").replace(",", " ").split() if word.startswith('"SEC')}
    explained = {code for code in codes() if "SEC200" <= code <= "SEC249"}
    assert used == explained


def test_exported_names_exist_and_cost_nothing_to_have() -> None:
    assert all(getattr(certs, name) is not None for name in certs.__all__)
    assert dir(certs) == certs.__all__
    with pytest.raises(AttributeError, match="nothing"):
        _ = certs.nothing
    heavy = "'cryptography' in sys.modules or 'pydantic' in sys.modules"
    script = f"import sys, certs, certs.tls, bus.cli.certs; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
