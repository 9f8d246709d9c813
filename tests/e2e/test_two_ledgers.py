"""Two buses with a ledger each on the same queues would take from each other: the second one does not start."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pika
import pytest
from click.testing import CliRunner, Result

from bus.app import App, Surroundings
from bus.channels.amqp import Address, topology
from bus.cli import main
from bus.errors import ConfigError
from bus.landscape import BrokerSpec
from bus.testing.postgres import PostgresServer, schema
from bus.testing.rabbitmq import RabbitCluster
from tests.conftest import needs


@pytest.fixture
def prefix() -> str:
    return f"t{uuid4().hex[:8]}."


@pytest.fixture
def house(tmp_path: Path, rabbit: str) -> Callable[..., Path]:
    def made(name: str, prefix: str, more: str = "") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        broker = f"broker: {{url: '{rabbit}', prefix: '{prefix}'}}\n"
        (folder / "bus.yaml").write_text(f"name: {name}\n{broker}{more}outlets: {{}}\n", "utf-8")
        (folder / "flow.route.yaml").write_text(
            "route: flow\nfrom: {file: {path: in, match: '*'}}\nto: none\n", "utf-8"
        )
        (folder / "in").mkdir()
        return folder

    return made


def started(folder: Path) -> None:
    App(folder).close()


def bus(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(folder), *words])


def test_the_second_ledger_on_the_same_queues_is_refused(house: Callable[..., Path], prefix: str, rabbit: str) -> None:
    one, other = house("one", prefix), house("other", prefix)
    started(one)
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"NET233 .*{prefix}~ledger") as caught:
            started(other)
        assert "prefix" in str(caught.value.hint)
    for words in (("apply",), ("apply", "--check")):
        done = bus(other, *words)
        assert done.exit_code not in (0, 3)
        assert "NET233" in done.stderr
    looked = json.loads(bus(other, "doctor", "--json").stdout)
    assert [row["code"] for row in looked if row["area"] == "broker"] == ["NET233"]
    started(one)
    started(house("third", f"{prefix}third."))

    with closing(pika.BlockingConnection(pika.URLParameters(f"{rabbit}/%2F"))) as connection:
        connection.channel().queue_delete(f"{prefix}~ledger")  # as an operator who moves to another ledger
    started(other)
    with pytest.raises(ConfigError, match="NET233"):
        started(one)


def test_two_schemas_of_one_database_are_two_ledgers_and_one_may_have_several_processes(
    house: Callable[..., Path], prefix: str
) -> None:
    needs(PostgresServer.missing())
    with PostgresServer() as server, schema(server.url) as production, schema(server.url) as test:
        one = house("one", prefix, f"ledger: {production!r}\n")
        with closing(App(one)):
            started(house("beside", prefix, f"ledger: {production!r}\n"))
            with pytest.raises(ConfigError, match="NET233"):
                started(house("other", prefix, f"ledger: {test!r}\n"))


def test_of_two_that_start_first_one_has_the_queues(rabbit: str, prefix: str) -> None:
    host, port = rabbit.rpartition("/")[2].split(":")

    def first(ledger: int) -> bool:
        address = Address(hosts=((host, int(port)),), prefix=prefix, ledger=f"{ledger:016x}")
        try:
            topology.declare(address, [])
        except ConfigError as error:
            assert error.code == "NET233"  # noqa: PT017 - the others succeed
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(first, range(6))) == 1


def test_whose_they_are_outlives_a_kill_of_the_broker(tmp_path: Path) -> None:
    needs(RabbitCluster.missing())
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bus.yaml").write_text(
            "name: bus\noutlets: {out: {endpoint: {file: {path: out}}}}\n", "utf-8"
        )
    with RabbitCluster(1) as cluster:
        around = Surroundings(broker=BrokerSpec(url=cluster.url))
        App(tmp_path / "one", around).close()
        cluster.nodes[0].kill()
        cluster.nodes[0].start()
        with pytest.raises(ConfigError, match="NET233"):
            App(tmp_path / "other", around)
        App(tmp_path / "one", around).close()


def test_a_folder_of_documents_is_named_and_belongs_to_one_ledger(tmp_path: Path) -> None:
    def house(name: str) -> Path:
        folder = tmp_path / name
        (folder / "in").mkdir(parents=True)
        (folder / "bus.yaml").write_text(
            "blobs: {folder: ../documents}\noutlets: {out: {endpoint: {file: {path: out}}}}\n"
        )
        (folder / "flow.route.yaml").write_text(
            "route: flow\nfrom: {file: {path: in, match: '*.txt', ready: {suffix: .tmp}}}\nto: out\n"
        )
        return folder

    one = house("one")
    (one / "in" / "a.txt").write_bytes(b"paid")
    done = bus(one, "run", "--until-idle")
    assert done.exit_code == 0, done.output
    assert [path.read_bytes() for path in (one / "out").iterdir() if path.is_file()] == [b"paid"]
    assert [path.read_bytes() for path in (tmp_path / "documents").glob("??/*")] == [b"paid"]
    assert not (one / ".bus" / "blobs").exists()
    done = bus(one, "db", "backup", str(tmp_path / "backup"))
    assert done.exit_code == 0, done.output
    assert [path.read_bytes() for path in (tmp_path / "backup" / "blobs").glob("??/*")] == [b"paid"]
    with pytest.raises(ConfigError, match="SYS152"):
        started(house("other"))
    started(one)
