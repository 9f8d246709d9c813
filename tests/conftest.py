"""What all tests share: the option that chooses the long runs, and the services they talk to."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from bus.testing import postgres, rabbitmq
from bus.testing import sshd as openssh
from bus.testing.sshd import OpenSshServer

# How fast a machine is says nothing about what is right; without a profile that would depend on the variable CI.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long versions too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="a long run; choose it with --full"))


def needs(missing: str) -> None:
    """Skip on a laptop that lacks a service, fail where it must not be missing."""
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server, one for all tests of a process."""
    needs(postgres.missing())
    with postgres.server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty ledger of a test's own."""
    with postgres.schema(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def rabbit() -> Iterator[str]:
    """URL of a RabbitMQ node for the whole run; tests keep apart by the prefixes of their queues."""
    needs(rabbitmq.missing())
    with rabbitmq.broker() as url:
        yield url


@pytest.fixture(scope="module")
def sshd() -> Iterator[OpenSshServer]:
    """An OpenSSH server with an empty mailbox."""
    needs(openssh.missing())
    with openssh.server() as running:
        yield running
