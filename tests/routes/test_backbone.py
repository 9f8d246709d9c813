"""The shipped landscape keeps its promises, unchanged, on every backbone, ledger and number of workers."""

from __future__ import annotations

import pytest

from bus.landscape import BrokerSpec
from bus.testing.routes import Backbone, Runner
from tests.routes.test_landscape import LANDSCAPE, SUITES


def problems(backbone: Backbone, path: str) -> dict[str, list[str]]:
    """Case -> what was not as promised."""
    verdicts = Runner(LANDSCAPE, backbone).run({path: SUITES[path]})
    return {verdict.case: verdict.problems for verdict, _ in verdicts if verdict.problems}


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_on_rabbitmq(rabbit: str, path: str) -> None:
    assert problems(Backbone(BrokerSpec(url=rabbit)), path) == {}


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_in_postgresql(postgres_server: str, path: str) -> None:
    assert problems(Backbone(ledger=postgres_server), path) == {}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_on_rabbitmq_and_postgresql(rabbit: str, postgres_server: str, path: str, workers: int) -> None:
    assert problems(Backbone(BrokerSpec(url=rabbit), postgres_server, workers), path) == {}
