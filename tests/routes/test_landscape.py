"""The shipped landscape keeps what its YAML tests promise, and they take every branch of every route they test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bus.cli import main
from bus.config import load_landscape
from bus.config.wording import validate
from bus.config.yamltext import parse
from bus.registry import Registry
from bus.runtime.sender import Sender
from bus.testing.routes import Report, RouteTests, Runner, Verdict

ROUTES = Path(__file__).parents[2] / "routes"
LANDSCAPE = load_landscape(ROUTES).require()


def _suite(path: str) -> RouteTests:
    node, _ = parse((ROUTES / path).read_text("utf-8"), path)
    assert node is not None
    suite: RouteTests | None
    suite, problems = validate(RouteTests, node, path, Registry())
    assert suite is not None, problems
    return suite


SUITES = {path: _suite(path) for path in LANDSCAPE.tests}


@pytest.fixture(scope="module")
def report() -> Report:
    """All cases of all files, run once."""
    runs = list(Runner(LANDSCAPE).run(SUITES))
    return runs[-1][1]


@pytest.mark.parametrize(
    ("path", "case"), [(path, case.name) for path, suite in SUITES.items() for case in suite.cases]
)
def test_a_case_holds(report: Report, path: str, case: str) -> None:
    verdict = next(v for v in report.verdicts if (v.file, v.case) == (path, case))
    assert verdict.problems == []


def test_every_branch_of_every_route_is_taken(report: Report) -> None:
    missed = {
        (route, *branch)
        for route, every in report.branches.items()
        for branch in every
        if branch not in report.visited[route]
    }
    assert not missed
    assert sum(len(every) for every in report.branches.values()) >= 9


def test_every_route_that_does_something_has_tests() -> None:
    tested = {suite.route for suite in SUITES.values()}
    assert {name for name, loaded in LANDSCAPE.routes.items() if loaded.spec.steps} == tested


def test_the_command_says_the_same() -> None:
    done = CliRunner().invoke(main, ["-C", str(ROUTES), "test", "payment-status"])
    assert done.exit_code == 0, done.output
    assert "branches 3/3" in done.output


def _verdict(case: dict[str, object]) -> Verdict:
    suite = RouteTests.model_validate({"route": "payments-out", "cases": [{"name": "x", **case}]})
    ((verdict, _),) = Runner(LANDSCAPE).run({"bank-gateway/x.test.yaml": suite})
    return verdict


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (
            {"files": ["samples/tests/PAYRUN_good.csv"], "outlets": {"bank-north-out": {"count": 2}}},
            "bank-south-out: expected 0",
        ),
        (
            {"files": ["samples/tests/PAYRUN_wrong_sum.csv"], "outlets": {"erp-rejects": {}}},
            "expected open cases [], got [VAL321]",
        ),
        ({"files": ["samples/tests/none.csv"]}, "CFG173"),
        ({"outlets": {"nowhere": {"count": 0}}}, "there is no outlet nowhere"),
        ({"counts": {"joined": 1}}, "expected 1 x joined, got 0"),
        ({"step": "nowhere", "body": {}}, "CFG174"),
        ({"step": "valid", "body": {}, "rejects": "VAL999"}, "refused: "),
        ({"before": {"nowhere": ["samples/tests/PAYRUN_good.csv"]}}, "CFG172"),
    ],
)
def test_a_case_that_promises_too_much_fails(case: dict[str, object], problem: str) -> None:
    assert any(problem in told for told in _verdict(case).problems)


def test_a_second_publication_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Sender._bring_out

    def twice(self: Sender, flight: Any) -> None:
        once(self, flight)
        self.outlet.sink.prepare(flight.delivery.message, self._content(flight.delivery.message))
        once(self, flight)

    case = {"files": ["samples/tests/PAYRUN_good.csv"], "outlets": {"bank-north-out": {}, "bank-south-out": {}}}
    assert _verdict(case).problems == []
    monkeypatch.setattr(Sender, "_bring_out", twice)
    assert _verdict(case).problems == [
        f"outlet bank-{name}-out: 2 message(s) were published twice" for name in ("north", "south")
    ]
