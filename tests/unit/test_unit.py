"""The unit file: what it says, what it never overwrites, and that systemd itself accepts it where it is installed."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bus.cli import main
from bus.operating.unit import Service, unit


def run(site: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(site), "service", *words])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "bus.yaml").write_text("outlets: {bank: {endpoint: {file: {path: out}}, format: json}}\n", "utf-8")
    return folder


def test_the_unit_names_this_folder_store_and_program(site: Path) -> None:
    text = run(site, "print", "--user", "pay", "--writable", "/srv/in", "--watchdog", "30").stdout
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    service = parser["Service"]
    assert service["ExecStart"].endswith(f"/bus -C {site} run")
    assert service["ReadWritePaths"].split() == [str(site / ".bus"), "-/srv/in", f"-{site / 'out'}"]
    expected = {
        "Type": "notify", "User": "pay", "WatchdogSec": "30", "Restart": "on-failure", "NoNewPrivileges": "yes",
        "ProtectSystem": "strict", "UMask": "0077",
    }  # fmt: skip
    assert {name: service[name] for name in expected} == expected
    assert int(service["TimeoutStopSec"]) > 30


def test_a_unit_of_several_processes_needs_a_ledger_that_they_can_share(site: Path) -> None:
    refused = run(site, "print", "--workers", "4")
    assert refused.exit_code == 2
    assert "PostgreSQL" in refused.stderr
    with (site / "bus.yaml").open("a", encoding="utf-8") as file:
        file.write("ledger: postgresql://bus@db/ledger\n")
    text = run(site, "print", "--workers", "4", "--role", "api,worker").stdout
    assert f"/bus -C {site} run --workers 4 --role worker,api\n" in text
    assert "--" not in run(site, "print", "--workers", "1").stdout.split("ExecStart=")[1].splitlines()[0]


def test_names_with_spaces_and_signs_stay_one_word() -> None:
    text = unit(Service(Path("/opt/a b/bus"), Path("/etc/50%"), Path('/x/"q'), "u", Path("/c")))
    assert 'ExecStart="/opt/a b/bus" -C /etc/50%% run' in text
    assert 'ReadWritePaths="/x/\\"q"' in text
    assert 'Environment="GIROBUS_STORE=/x/\\"q"' in text


def test_only_a_unit_of_its_own_is_replaced(site: Path, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    assert run(site, "install", "--dir", str(units)).exit_code == 0
    path = units / "girobus.service"
    first = path.read_text("utf-8")
    assert run(site, "install", "--dir", str(units), "--user", "other").exit_code == 4
    assert path.read_text("utf-8") == first
    assert run(site, "install", "--dir", str(units), "--user", "other", "--replace").exit_code == 0
    assert "User=other" in path.read_text("utf-8")
    path.write_text("[Service]\n", "utf-8")
    assert run(site, "install", "--dir", str(units), "--replace").exit_code == 4
    assert path.read_text("utf-8") == "[Service]\n"
    assert [p.name for p in units.iterdir()] == ["girobus.service"]


def test_a_folder_that_cannot_be_written_is_told(site: Path, tmp_path: Path) -> None:
    done = run(site, "install", "--dir", str(tmp_path / "missing"))
    assert done.exit_code == 5
    assert "SYS195" in done.stderr


def test_systemd_accepts_the_unit(site: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here")
    run(site, "install", "--dir", str(tmp_path), "--user", "root")
    done = subprocess.run(
        [program, "verify", str(tmp_path / "girobus.service")], capture_output=True, text=True, timeout=60, check=False
    )
    own = [line for line in done.stderr.splitlines() if "girobus.service" in line and "not executable" not in line]
    assert own == []
