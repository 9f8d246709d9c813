"""The shipped landscape keeps its promises, unchanged, on every backbone, ledger and number of workers."""

from __future__ import annotations

from collections import Counter

import pytest

from bus.landscape import BrokerSpec
from bus.testing.routes import Backbone, Runner
from tests.routes.test_landscape import LANDSCAPE, SUITES

pytestmark = pytest.mark.timeout(600)


def problems(backbone: Backbone, *paths: str) -> dict[str, list[str]]:
    """Case -> what was not as promised."""
    verdicts = Runner(LANDSCAPE, backbone).run({path: SUITES[path] for path in paths})
    return {verdict.case: verdict.problems for verdict, _ in verdicts if verdict.problems}


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_in_a_file(path: str) -> None:
    assert problems(Backbone(in_file=True), path) == {}


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_on_rabbitmq(rabbit: str, path: str) -> None:
    assert problems(Backbone(BrokerSpec(url=rabbit), in_file=True), path) == {}


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_in_postgresql(postgres_server: str, path: str) -> None:
    assert problems(Backbone(ledger=postgres_server), path) == {}


@pytest.mark.parametrize("path", SUITES)
def test_all_cases_hold_on_rabbitmq_and_postgresql(rabbit: str, postgres_server: str, path: str) -> None:
    assert problems(Backbone(BrokerSpec(url=rabbit), postgres_server), path) == {}


def test_all_cases_hold_with_two_workers_that_both_work(rabbit: str, postgres_server: str) -> None:
    done: Counter[tuple[int, str]] = Counter()
    backbone = Backbone(BrokerSpec(url=rabbit), postgres_server, 2, effect=lambda *about: done.update([about]))

    found = problems(backbone, *SUITES)

    assert found == {}
    # Who gets a source, a message or an outlet is decided anew in each case; over all cases it is never one alone.
    for effect in ("commit.admit:after", "commit.segment:after", "commit.delivered:after"):
        assert done[0, effect], done
        assert done[1, effect], done
