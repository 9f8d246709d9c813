"""`bus doctor`: what it sees, what it does not touch, and that nothing holds it up."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from bus.cli import main
from bus.ledger.place import open_store
from bus.ledger.store import no_effect
from bus.operating import doctor, machine
from bus.testing.partner import Account, Partner
from certs.authority import Authority
from certs.tls import Identity, server_context
from tests.contracts.test_amqp_tls import terminated

SECRET = "canary-7f3a-password"
BUS = "name: seen\noutlets:\n  bank: {endpoint: {file: {path: bank}}, format: json}\n"
PAY = 'route: pay\nfrom: {file: {path: in, match: "*.csv"}}\nsteps:\n  - parse: {csv: {delimiter: ";"}}\nto: bank\n'
FETCH = PAY.replace("route: pay", "route: fetch").replace(
    'file: {path: in, match: "*.csv"}', "sftp: {connection: far, path: /outbox}"
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIROBUS_CERTS", str(tmp_path / "certs"))
    monkeypatch.setenv("PASSWORD", SECRET)
    folder = tmp_path / "site"
    for name in ("in", "bank"):
        (folder / name).mkdir(parents=True)
    (folder / "bus.yaml").write_text(BUS, "utf-8")
    (folder / "pay.route.yaml").write_text(PAY, "utf-8")
    return folder


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Partner]:
    for name in ("inbox", "outbox"):
        (tmp_path / "far" / name).mkdir(parents=True)
    with Partner({"bank": Account(tmp_path / "far", password=SECRET)}) as running:
        yield running


def far(site: Path, port: int, pin: str) -> None:
    (site / "fetch.route.yaml").write_text(FETCH, "utf-8")
    (site / "connections.yaml").write_text(
        f"connections:\n  far:\n    sftp: {{host: 127.0.0.1, port: {port}, user: bank, "
        f'password: "${{env:PASSWORD}}", host_keys: ["{pin}"], connect_timeout: 3s}}\n',
        "utf-8",
    )


def look(site: Path, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What -> line."""
    done = CliRunner().invoke(main, ["-C", str(site), "doctor", "--json", *words])
    assert done.exit_code == code, f"{done.exit_code}\n{done.stdout}\n{done.stderr}"
    assert SECRET not in done.output
    return {line["what"]: line for line in json.loads(done.stdout)}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def test_a_site_that_never_ran_is_well_and_stays_untouched(site: Path) -> None:
    before = tree(site)
    found = look(site, "--offline")
    assert tree(site) == before
    assert found["files"]["said"] == "1 route, 1 outlet"
    assert {found[what]["state"] for what in ("SQLite", "time zones", "disk")} == {"ok"}


def test_local_folders_are_looked_into_and_a_missing_one_is_named(site: Path) -> None:
    assert look(site)["route pay"] == {
        "area": "partner", "what": "route pay", "state": "ok", "said": "in: 0 entries", "code": "", "do": "",
    }  # fmt: skip
    (site / "in").rmdir()
    assert look(site, code=1)["route pay"]["code"] == "SYS193"


def test_an_outlets_local_folder_may_be_missing_until_its_first_file(site: Path) -> None:
    (site / "bank").rmdir()
    found = look(site)["outlet bank"]
    assert (found["state"], found["said"]) == ("info", "bank: is not there yet; the first file makes it")
    assert not (site / "bank").exists()
    assert look(site, "--write")["outlet bank"]["state"] == "ok"


def test_writing_leaves_nothing_behind(site: Path) -> None:
    assert look(site, "--write")["outlet bank"]["said"] == "bank: 0 entries, can be written"
    assert [p.name for p in (site / "bank").rglob("*")] == [".stage"]


def test_what_is_wrong_on_this_machine_is_told_with_what_to_do(site: Path, tmp_path: Path) -> None:
    (site / "connections.yaml").write_text(
        'connections:\n  far: {sftp: {host: h, user: u, password: "${env:NOBODY_SET_THIS}", '
        'host_keys: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]}}\n',
        "utf-8",
    )
    Authority.create("old", tmp_path / "certs", days=5)
    store = open_store(site / ".bus" / "bus.db", effect=no_effect)
    store.commit("x", lambda tx: tx.execute("INSERT INTO route_state (route, state, at) VALUES ('pay', 'paused', 1)"))
    store.close()
    (site / ".bus").chmod(0o755)
    found = look(site, "--offline", code=1)
    assert (found["connection far"]["code"], found["connection far"]["state"]) == ("CFG142", "error")
    assert (found["old"]["code"], found["old"]["do"]) == ("SEC212", "renew it now")
    assert found["folder"]["do"] == f"chmod 700 {site / '.bus'}"
    assert found["route pay"]["code"] == "SYS194"
    assert found["structure"]["state"] == "ok"


def test_a_damaged_ledger_is_seen(site: Path) -> None:
    path = site / ".bus" / "bus.db"
    open_store(path, effect=no_effect).close()
    with path.open("r+b") as file:
        file.seek(8192 * 3)
        file.write(os.urandom(8192 * 4))
    assert look(site, "--offline", code=1)["structure"]["code"] == "SYS132"


def test_warnings_are_findings_only_when_asked(site: Path) -> None:
    (site / ".bus").mkdir(mode=0o755)
    (site / ".bus").chmod(0o755)
    look(site, "--offline")
    look(site, "--offline", "--strict", code=1)


def test_a_partner_is_reached_and_his_folder_listed(site: Path, partner: Partner) -> None:
    far(site, partner.port, partner.fingerprint)
    found = look(site)
    assert found["far"]["said"].startswith("reached, host key as pinned")
    assert found["route fetch"]["said"] == "/outbox: 0 entries"


def test_another_host_key_is_wrong_and_a_closed_port_is_away(site: Path, partner: Partner) -> None:
    far(site, partner.port, "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")
    assert look(site, code=1)["far"]["code"] == "SEC111"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    far(site, port, "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")
    assert look(site, code=5)["far"]["state"] == "away"


def test_a_look_that_hangs_holds_up_no_other() -> None:
    fine = doctor.Check("a", "fine", lambda: [doctor.Found("a", "fine", "ok", "well")])
    hangs = doctor.Check("a", "hangs", lambda: time.sleep(30) or [])
    breaks = doctor.Check("a", "breaks", lambda: [1 / 0])  # type: ignore[list-item]
    begun = time.monotonic()
    found = {one.what: one for one in doctor.examine([hangs, fine, breaks], 0.3)}
    assert time.monotonic() - begun < 5
    assert (found["fine"].state, found["hangs"].code, found["breaks"].code) == ("ok", "SYS184", "INT199")
    assert doctor.verdict(found.values()) == 1


def test_a_full_disk_is_told_in_time(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = os.statvfs(site)
    monkeypatch.setattr(machine, "_ROOM", room.f_bavail * room.f_frsize * 2)
    assert look(site, "--offline")["disk"]["code"] == "SYS191"


def test_the_settings_of_the_database_that_matter(site: Path, postgres_url: str) -> None:
    (site / "bus.yaml").write_text(f"{BUS}ledger: {json.dumps(postgres_url)}\n", "utf-8")
    assert look(site)["PostgreSQL"]["state"] == "info", "nothing has run there yet, and that is no fault"
    open_store(postgres_url, effect=no_effect).close()
    done = CliRunner().invoke(main, ["-C", str(site), "doctor", "--json"])
    found = {line["what"]: line for line in json.loads(done.stdout)}
    assert found["PostgreSQL"]["said"].startswith("version ")
    assert found["against the database"]["state"] == "ok"
    assert found["outlets and routes"]["state"] == "ok"
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert found[name]["state"] == ("ok" if found[name]["said"] == "on" else "error")


def test_a_database_that_is_away_is_not_reached(site: Path) -> None:
    (site / "bus.yaml").write_text(f"{BUS}ledger: postgresql://bus@127.0.0.1:1/x\n", "utf-8")
    assert look(site, code=5)["PostgreSQL"]["code"] == "SYS135"


def test_queues_of_the_broker_are_compared(site: Path, rabbit: str) -> None:
    (site / "bus.yaml").write_text(f"{BUS}broker: {{url: '{rabbit}', prefix: 'doctor.{os.getpid()}.'}}\n", "utf-8")
    found = look(site)
    assert found["RabbitMQ"]["said"].startswith("version ")
    assert found["queues"]["said"].startswith("3 of 3 are missing")
    CliRunner().invoke(main, ["-C", str(site), "apply"])
    assert look(site)["queues"]["said"] == "3 quorum queues"


def test_another_broker_is_looked_at_with_the_certificates_beside_bus_yaml(site: Path, rabbit: str) -> None:
    Authority.create("ca", site / "keys")
    authority = Authority.load("ca", site / "keys")
    authority.issue("server", "server", names=("127.0.0.1",))
    authority.issue("client", "client", days=5)
    keys, plain = site / "keys", urlsplit(rabbit)
    context = server_context(Identity(keys / "server.crt", keys / "server.key"), clients=keys / "ca.crt")
    with terminated(context, plain.hostname or "", plain.port or 5672) as port:
        (site / "connections.yaml").write_text(
            f"connections:\n  erp:\n    amqp: {{url: 'amqps://127.0.0.1:{port}/', trust: keys/ca.crt, "
            "certificate: keys/client.crt, key: keys/client.key}\n",
            "utf-8",
        )
        found = look(site)
    assert (found["erp"]["state"], found["erp"]["said"]) == ("ok", "reached, logged in")
    assert found["client"]["code"] == "SEC212", "it ends in a few days, and no other folder holds it"
    assert found["ca"]["state"] == "ok"
    assert "server" not in found, "that is theirs"


def test_a_login_that_is_refused_is_wrong_and_not_away(site: Path, rabbit: str) -> None:
    for wrong, said in (
        ("/nowhere', user: guest", "no virtual host `nowhere`"),
        ("/', user: guest, password: '${env:PASSWORD}'", "refuses the login"),
    ):
        text = f"connections:\n  erp:\n    amqp: {{url: '{rabbit}{wrong}}}\n"
        (site / "connections.yaml").write_text(text, "utf-8")
        found = look(site, code=1)
        assert (found["erp"]["state"], found["erp"]["code"]) == ("error", "NET247")
        assert said in found["erp"]["said"]
