"""What tests do where a service is missing, and when it is."""

from __future__ import annotations

from types import ModuleType

import pytest

from bus.testing import postgres, rabbitmq, sshd
from tests.conftest import needs


@pytest.mark.parametrize(("ci", "ends"), [("", pytest.skip), ("true", pytest.fail), ("1", pytest.fail)])
def test_a_missing_service_skips_on_a_laptop_and_fails_in_ci(
    ci: str, ends: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    needs("")
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="no broker here") as caught:
        needs("no broker here")
    assert caught.type is ends.Exception


@pytest.mark.parametrize(
    ("service", "own"),
    [
        (rabbitmq, rabbitmq.RabbitCluster),
        (postgres, postgres.PostgresServer),
        (sshd, sshd.OpenSshServer),
    ],
)
def test_a_service_is_missing_only_where_neither_an_engine_nor_a_program_is(
    service: ModuleType, own: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "missing", lambda: "no program here")
    for engine, missing in ((True, ""), (False, "no program here")):
        monkeypatch.setattr(service, "docker_answers", lambda engine=engine: engine)
        assert service.missing() == missing
