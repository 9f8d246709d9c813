"""The shipped landscape keeps its promises, unchanged, with its channels on RabbitMQ."""

from __future__ import annotations

import pytest

from bus.spec import BrokerSpec
from bus.testing.routes import Runner
from tests.routes.test_landscape import LANDSCAPE, SUITES


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_on_rabbitmq(rabbit: str, path: str) -> None:
    problems = {
        verdict.case: verdict.problems
        for verdict, _ in Runner(LANDSCAPE, BrokerSpec(url=rabbit)).run({path: SUITES[path]})
        if verdict.problems
    }
    assert not problems
