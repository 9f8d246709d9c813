"""Two routes may look into one folder as long as no file is taken by both."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config import Problem, load_landscape
from bus.folder import PickupSpec
from bus.folder.overlap import shared_name

if TYPE_CHECKING:
    from pathlib import Path

PIECES = st.lists(
    st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]", "[b-z]", "[", "]", "!", "[]a]", "[!]a]", "-"]), max_size=6
).map("".join)
SUFFIX: dict[str, Any] = {"ready": {"suffix": ".tmp"}}
MARKER: dict[str, Any] = {"ready": {"marker": "{name}.done"}}


def takes(match: str, **more: Any) -> PickupSpec:
    return PickupSpec(path="in", match=match, **more)


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("x", "*", "x"),
        ("*.csv", "PAY_*", "PAY_.csv"),
        ("*.csv", "*.xml", ""),
        ("PAY_*.csv", "PAYRUN_*.csv", ""),
        ("PAY*.csv", "PAYRUN_*.csv", "PAYRUN_.csv"),
        ("A_?.csv", "A_10.csv", ""),
        ("A_??.csv", "A_10.csv", "A_10.csv"),
        ("?_A*[0-9].csv", "?_B*[0-9].csv", ""),
        ("*A_?", "*B_?", ""),
        ("*A_?", "B_*?", "B_A_A"),
        ("a*", "ab", "ab"),
        ("A_[0-4]*", "A_[5-9]*", ""),
        ("A_[0-5]*", "A_[5-9]*", "A_5"),
        ("A_[!0-9]*", "A_7*", ""),
        ("*_[0-4]", "*_[5-9]", ""),
        ("*a*c", "*b*c", "bac"),
        ("Ä*", "ä*", ""),
        ("a.CSV", "*.csv", ""),
        ("[", "[*", "["),
        ("[[]x", "[x", "[x"),
        ("[]]x", "]*", "]x"),
        ("[^a]", "^", "^"),
        ("[z-a]", "*", ""),
        ("*a" + "?" * 60, "*b" + "?" * 60, ""),
    ],
)
def test_patterns_overlap_where_a_name_matches_both(one: str, other: str, name: str) -> None:
    found = shared_name(takes(one), takes(other))
    assert (found, bool(shared_name(takes(other), takes(one)))) == (name, bool(name))


@given(PIECES, PIECES, st.text("ab.!]-[c", min_size=1, max_size=6))
def test_a_name_that_matches_both_proves_it_and_what_is_found_does_match(one: str, other: str, name: str) -> None:
    found = shared_name(takes(one), takes(other))
    if found:
        assert fnmatchcase(found, one)
        assert fnmatchcase(found, other)
    elif name[0] != "." and name[-1] != ".":
        assert not (fnmatchcase(name, one) and fnmatchcase(name, other))


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (takes("*", **SUFFIX), takes("*.tmp"), ""),
        (takes("A*", **SUFFIX), takes("A*.tm[pq]"), "A.tmq"),
        (takes("*", ready={"suffix": "*"}), takes("?[*]"), ""),
        (takes("*", **MARKER), takes("*.done"), ""),
        (takes("*.csv", **MARKER), takes("*.csv", ready={"marker": "{name}.ok"}), "Z.csv"),
        (takes("*.csv", ready={"marker": "OK_{name}"}), takes("OK_*"), ""),
        (takes("*", **SUFFIX), takes(".*"), ""),
        (takes(".*"), takes(".a*"), ".a"),
        (takes("*."), takes("*"), ""),
        (takes("a\nb"), takes("*"), ""),
    ],
)
def test_names_that_one_of_them_leaves_alone_are_no_overlap(one: PickupSpec, other: PickupSpec, name: str) -> None:
    assert shared_name(one, other) == name


# ---------------------------------------------------------------- routes

HOST_KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
CONNECTIONS = "connections:\n" + "".join(
    f"  {name}: {{sftp: {{host: {host}, user: {user}, password: '${{env:P}}', host_keys: ['{HOST_KEY}']}}}}\n"
    for name, host, user in [("bank", "b.example", "me"), ("again", "B.example", "me"), ("other", "b.example", "you")]
)


def found(folder: Path, **sources: str) -> list[Problem]:
    (folder / "bus.yaml").write_text("name: n\n")
    (folder / "connections.yaml").write_text(CONNECTIONS)
    for name, source in sources.items():
        (folder / f"{name}.route.yaml").write_text(f"route: {name}\nfrom: {source}\nto: none\n")
    problems = load_landscape(folder).problems
    assert [problem for problem in problems if problem.severity == "error" and problem.code != "CFG201"] == []
    return [problem for problem in problems if problem.code == "CFG201"]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ('file: {path: in, match: "*.csv"}', 'file: {path: ./in/, match: "PAY_*"}', True),
        ('file: {path: in, match: "*.csv"}', 'file: {path: in, match: "*.xml"}', False),
        ('file: {path: in, match: "*.csv"}', 'file: {path: in2, match: "*.csv"}', False),
        ("file: {path: in}", "file: {path: x/../in}", True),
        ("file: {path: /in}", "file: {path: //in}", True),
        ("file: {path: in}", "file: {path: HERE/in}", True),
        ("file: {path: in, after: leave}", "file: {path: in, after: leave}", False),
        ("file: {path: in, after: leave}", "file: {path: in}", True),
        ("file: {path: in, after: leave}", "file: {path: in, after: delete}", True),
        ("file: {path: in, after: delete}", "file: {path: in, after: delete}", True),
        ("file: {path: /in}", "sftp: {path: /in, connection: bank}", False),
        ("sftp: {path: /in, connection: bank}", "sftp: {path: /in, connection: bank}", True),
        ("sftp: {path: /in, connection: bank}", "sftp: {path: /in, connection: again}", True),
        ("sftp: {path: /in, connection: bank}", "sftp: {path: /in, connection: other}", False),
        ("sftp: {path: /in, connection: bank}", "timer: {every: 1h}", False),
        ("file: {path: in/a, claim: ../.claim}", "file: {path: in/b, claim: ../.claim/}", True),
        ("file: {path: in/a, claim: ../.claim}", "file: {path: in/b, claim: ../.claim, after: delete}", False),
        (
            'file: {path: in/a, claim: ../.claim, match: "A*"}',
            'file: {path: in/b, claim: ../.claim, match: "B*"}',
            False,
        ),
        ("file: {path: in/a, claim: ../.claim}", "file: {path: in/b}", False),
        ("file: {path: in, claim: .claim}", "file: {path: in, claim: .claim}", True),
    ],
)
def test_two_routes_that_take_the_same_files_are_refused(tmp_path: Path, one: str, other: str, *, told: bool) -> None:
    one, other = ("{" + source.replace("HERE", str(tmp_path)) + "}" for source in (one, other))
    assert [problem.path for problem in found(tmp_path, a=one, b=other)] == ["b.route.yaml"] * told


def test_the_refusal_names_both_places_a_file_and_what_to_write(tmp_path: Path) -> None:
    one, other = "{file: {path: in}}", '{file: {path: in, match: "PAY_*.csv"}}'
    (problem,) = found(tmp_path, a=one, b=other)
    assert (problem.severity, problem.path, problem.line, problem.column) == ("error", "b.route.yaml", 2, 32)
    assert problem.message == (
        "the route `a` (a.route.yaml:2:21) takes files from the same folder that match here too, such as `PAY_.csv`"
    )
    assert problem.hint == (
        "let one route take them and copy with `recipients` or `tap`, "
        "or write patterns of which no name matches both, or a folder for each"
    )


def test_claims_in_one_folder_are_refused_at_the_word_that_says_so(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, a="{file: {path: in/a, claim: ../.c}}", b="{file: {path: in/b, claim: ../.c}}")
    assert (problem.path, problem.line, problem.column) == ("b.route.yaml", 2, 34)
    assert problem.message == (
        "the route `a` (a.route.yaml:2:34) claims files into the same folder that match here too, such as `Z`"
    )
    assert problem.hint == "give each route a `claim` folder of its own"


def test_who_leaves_files_beside_one_who_takes_them_is_told_to_agree(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, a="{file: {path: in}}", b="{file: {path: in, after: leave}}")
    assert problem.hint.startswith("write `after: leave` in both")


def test_each_route_of_many_in_one_folder_is_told_once(tmp_path: Path) -> None:
    sources = {f"r{n}": "{file: {path: in}}" for n in range(9)}
    assert [problem.path for problem in found(tmp_path, **sources)] == [f"r{n}.route.yaml" for n in range(1, 9)]


def test_many_routes_may_share_a_folder(tmp_path: Path) -> None:
    """Only patterns that begin alike are compared, however many there are."""
    begin = time.process_time()
    names = {f"r{n}": f'{{file: {{path: in, match: "R{n:03}_*.csv"}}}}' for n in range(150)}
    assert found(tmp_path, **names, every='{file: {path: in, match: "*.xml"}}') == []
    assert time.process_time() - begin < 20
