"""Two routes may share a folder as long as no file is wanted by both."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config import load_landscape
from bus.config.pickups import overlap

PIECES = st.lists(st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]"]), max_size=5).map("".join)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("*", "x", True),
        ("*", "*", True),
        ("*.csv", "PAY_*", True),
        ("*.csv", "*.xml", False),
        ("PAY_*.csv", "PAYRUN_*.csv", False),
        ("PAY*.csv", "PAYRUN_*.csv", True),
        ("A_?.csv", "A_10.csv", False),
        ("A_[0-4]*", "A_[5-9]*", False),
        ("A_[0-5]*", "A_[5-9]*", True),
        ("A_[!0-9]*", "A_7*", False),
        ("Ä*", "ä*", False),
        ("", "*", True),
        ("a", "", False),
    ],
)
def test_patterns_overlap_where_a_name_matches_both(one: str, other: str, *, expected: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is expected


@given(PIECES, PIECES, st.text("ab.c", max_size=6))
def test_a_name_that_matches_both_proves_it(one: str, other: str, name: str) -> None:
    if fnmatchcase(name, one) and fnmatchcase(name, other):
        assert overlap(one, other)


def found(folder: Path, **sources: str) -> list[tuple[str, str]]:
    (folder / "bus.yaml").write_text("outlets:\n  out: {endpoint: {file: {path: out}}}\n")
    for name, source in sources.items():
        (folder / f"{name}.route.yaml").write_text(f"route: {name}\nfrom: {{file: {{{source}}}}}\nto: out\n")
    return [(problem.code, problem.path) for problem in load_landscape(folder).problems if problem.code == "CFG201"]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ('path: in, match: "*.csv"', 'path: ./in/, match: "PAY_*"', True),
        ('path: in, match: "*.csv"', 'path: in, match: "*.xml"', False),
        ('path: in, match: "*.csv"', 'path: in2, match: "*.csv"', False),
        ("path: in, after: leave", "path: in, after: leave", False),
        ("path: in, after: leave", "path: in, after: delete", True),
        ("path: in", "path: in", True),
    ],
)
def test_two_routes_that_take_the_same_files_are_told(tmp_path: Path, one: str, other: str, *, told: bool) -> None:
    assert found(tmp_path, a=one, b=other) == ([("CFG201", "b.route.yaml")] if told else [])
