"""Every case has somebody to look at it, also when it is opened where no route is at work."""

from __future__ import annotations

from pathlib import Path

import pytest
from houses import House, landscape

OUT = "outlets:\n  out: {endpoint: {file: {path: out}} OWNER}\n"
PLAIN = """\
route: NAME
owner: TEAM
from: {file: {path: NAME, match: "*.json", ready: {suffix: .tmp}}}
steps: [{parse: jsonl}, {split: {each: rows}} MORE]
to: out
"""


def route(name: str, team: str, more: str = "") -> str:
    return PLAIN.replace("NAME", name).replace("TEAM", team).replace(" MORE", more)


@pytest.mark.parametrize(
    ("owner", "other", "expected"),
    [
        ("", "desk", "desk"),
        ("", "another", ""),
        (", owner: treasury", "another", "treasury"),
        (", owner: it", "desk", "it"),
    ],
)
def test_an_outlet_belongs_to_its_team_or_to_that_of_its_routes(
    tmp_path: Path, owner: str, other: str, expected: str
) -> None:
    texts = {"bus.yaml": OUT.replace(" OWNER", owner)}
    texts |= {"in.route.yaml": route("in", "desk"), "too.route.yaml": route("too", other)}
    with House(tmp_path, landscape(tmp_path / "routes", texts)) as house:
        house.drop("local/in/one.json", b'{"a": "data without a format is no file"}\n')
        house.settle()
        assert house.count("dead") == 1
        assert house.rows("SELECT route, owner FROM cases") == [("out", expected)]


def test_a_gap_that_was_given_up_belongs_to_the_route(tmp_path: Path) -> None:
    steps = ", {resequence: {by: [a], number: n, timeout: 1m}}, {translate: {to: json}}"
    texts = {"bus.yaml": OUT.replace(" OWNER", ""), "in.route.yaml": route("in", "desk", steps)}
    with House(tmp_path, landscape(tmp_path / "routes", texts)) as house:
        house.drop("local/in/one.json", b'{"a": "x", "n": 2}\n')
        house.settle()
        house.later(60_000)
        ((code, owner, context),) = house.rows("SELECT code, owner, context FROM cases")
        assert (code, owner) == ("SEQ101", "desk")
        assert '"number": 1' in context
        assert len(house.files("local/out")) == 1
