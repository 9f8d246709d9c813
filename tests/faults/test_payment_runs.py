"""Payment runs with everything that goes wrong in them, through the running bus: counted at the partners."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.payment_runs import Report, play


def _accounted_for(report: Report) -> None:
    verdict = report.verdict
    assert verdict.clean, verdict.story()
    assert verdict.expected == verdict.found
    assert sum(total.count for total in verdict.expected.values()) == report.runs * report.lines
    assert report.rejects == (round(report.lines * 0.03) * report.runs,) * 2
    assert (verdict.duplicates, verdict.refused) == (2, 2)
    assert verdict.files == verdict.valid > report.runs


@pytest.mark.timeout(300)
def test_every_line_of_twelve_payment_runs_has_exactly_one_end(tmp_path: Path) -> None:
    _accounted_for(play(tmp_path, runs=12, lines=200))


@pytest.mark.full
@pytest.mark.timeout(1_800)
def test_every_line_of_a_hundred_payment_runs_has_exactly_one_end(tmp_path: Path) -> None:
    _accounted_for(play(tmp_path, runs=100, lines=200))
