"""`bus check`: what it shows, what it repairs, what it exits with, in all its formats."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from landscapes import BUS, CONNECTIONS, ROUTE, FakeCatalogue, write

import bus.cli.check
import bus.config
from bus.cli import main
from bus.config import landscape_from_sources, load_landscape, route_hash, sources
from bus.config.landscape import kind_of
from bus.config.schema import json_schema
from bus.config.yamltext import parse
from bus.registry import Registry
from bus.testing.routes import RouteTests

WRONG = """\
route: bank-ack-in
from:
  sftp: {connection: bank, pth: /out}   # answers of the bank
money: amount
steps:
  - parse: {csv: {delimter: ";"}}
to: none
"""


@pytest.fixture(autouse=True)
def _plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command looks plug-ins up in the small catalogue of these tests."""
    monkeypatch.setattr(bus.cli.check, "load_landscape", lambda folder: load_landscape(folder, FakeCatalogue()))


def check(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(folder), "check", *args])


def checked(folder: Path, files: dict[str, str | bytes], *args: str) -> Result:
    return check(write(folder, files), *args)


# ---------------------------------------------------------------- what people see


def test_a_sound_landscape_exits_0(tmp_path: Path) -> None:
    done = checked(tmp_path, {})
    assert done.exit_code == 0
    assert done.stdout.startswith("No problems in 1 route · ")


def test_an_error_shows_line_caret_and_what_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = checked(tmp_path, {"x.route.yaml": WRONG})
    assert done.exit_code == 1
    assert done.stdout.splitlines()[:6] == [
        "error[CFG101] x.route.yaml:3:28  unknown key `pth` in `sftp`",
        "  2 | from:",
        "  3 |   sftp: {connection: bank, pth: /out}   # answers of the bank",
        "    |                            ^^^ did you mean `path`? `path` is required here",
        "    = write: sftp: {connection: bank, path: /out}   # answers of the bank          fixable: bus check --fix",
        "error[CFG101] x.route.yaml:6:19  unknown key `delimter` in `csv`",
    ]
    assert done.stdout.splitlines()[-1].startswith("Found 2 errors in 2 routes · ")
    assert done.stdout.splitlines()[-1].endswith(" · 2 fixable · codes: bus explain CFG101")


def test_the_code_that_is_named_is_that_of_an_error(tmp_path: Path) -> None:
    parsed = "route: x\nfrom: {sftp: {connection: bank, path: /out}}\nsteps: [{parse: csv}]\nto: nowhere\n"
    done = checked(tmp_path, {"x.route.yaml": parsed})
    assert done.stdout.startswith("info[CFG178]")
    assert done.stdout.splitlines()[-1].endswith("codes: bus explain CFG161")


def test_warnings_and_notes_exit_0(tmp_path: Path) -> None:
    done = checked(tmp_path, {"x.route.yaml": "route: x\nfrom: {channel: lonely}\nto: none\n"})
    assert done.exit_code == 0
    assert "warning[CFG155]" in done.stdout
    assert "Found 1 warning in 2 routes" in done.stdout


def test_secrets_are_not_shown_even_where_the_error_is_about_something_else(tmp_path: Path) -> None:
    connections = """\
connections:
  bank: {sftp: {hst: bank.example, pasword: hunter2, password: hunter3}}
  other: {sftp: {host: x, password: "hunter4", prt: 1}}
  broker: {amqp: {url: "amqp://me:hunter5@host", usr: 1}}
  third: {sftp: {host: x, password: >
     hunter6
     hunter6}}
"""
    done = checked(tmp_path, {"connections.yaml": connections, "x.yaml": ""})
    assert done.exit_code == 1
    assert "hunter" not in done.stdout
    assert "••••" in done.stdout
    broken = checked(tmp_path, {"connections.yaml": "connections:\n  bank: {sftp: {password: hunter2]\n"})
    assert "CFG100" in broken.stdout
    assert "hunter" not in broken.stdout


def test_long_lines_are_cut_around_the_caret_and_wide_letters_are_counted(tmp_path: Path) -> None:
    long = f"route: x\nsummary: {'x' * 300} \nfrom: {{channel: q, {'k' * 150}: 1, chanel: 2}}\nto: none\n"
    done = checked(tmp_path, {"x.route.yaml": long})
    assert max(len(line) for line in done.stdout.splitlines() if " | " in line) < 160
    wide = checked(tmp_path, {"x.route.yaml": "route: x\nfrom: {channel: 支払, chanel: 1}\nto: none\n"})
    line, caret = (wide.stdout.splitlines()[n] for n in (2, 3))
    assert caret.index("^") == line.index("chanel") + 2, "each of the two letters is two columns wide"


def test_control_characters_of_a_file_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = checked(tmp_path, {"a\x1b[2Jb.route.yaml": "route: X\n"})
    assert "\x1b[2J" not in done.stdout


def test_a_file_name_that_is_no_utf8_can_be_told(tmp_path: Path) -> None:
    write(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.route.yaml")).write_text("route: X\n")
    for shape in ("human", "json", "github", "sarif"):
        done = check(tmp_path, "--format", shape)
        assert done.exit_code == 1, done.stderr
        assert "CFG107" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "secret" * 160_000,
        "route: x\nsummary: " + "eyJabc-" * 130_000,
        "summary: " + "-----BEGIN " * 80_000,
        "a: " + "://a" * 200_000,
        "x" * 900_000 + ": 1",
        "route: x\nfrom: {sftp: {after: " + "9" * 5000 + "s, limit: " + "9" * 5000 + ", mode: " + "9" * 5000 + "}}",
    ],
)
def test_hostile_text_is_told_within_a_moment(tmp_path: Path, text: str) -> None:
    begin = time.process_time()
    assert checked(tmp_path, {"x.route.yaml": text}).exit_code == 1
    assert time.process_time() - begin < 10


# ---------------------------------------------------------------- which files


def test_paths_choose_what_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a/x.route.yaml": WRONG, "b/y.route.yaml": WRONG.replace("bank-ack-in", "y")})
    one = CliRunner().invoke(main, ["check", str(folder / "a" / "x.route.yaml"), "--json"])
    assert {problem["path"].rsplit("/", 1)[-1] for problem in json.loads(one.stdout)["problems"]} == {"x.route.yaml"}
    below = CliRunner().invoke(main, ["check", str(folder / "b"), "--json"])
    assert {problem["path"].rsplit("/", 1)[-1] for problem in json.loads(below.stdout)["problems"]} == {"y.route.yaml"}
    whole = CliRunner().invoke(main, ["check", str(folder), "--json"])
    assert len(json.loads(whole.stdout)["problems"]) == 4


@pytest.mark.parametrize("path", ["no/such.route.yaml", "empty"])
def test_nothing_matched_is_a_usage_error(tmp_path: Path, path: str) -> None:
    folder = write(tmp_path)
    (folder / "empty").mkdir()
    done = CliRunner().invoke(main, ["check", str(folder / path)])
    assert done.exit_code == 2
    assert "error[CFG190]" in done.stderr
    assert done.stdout == ""


def test_no_landscape_is_a_usage_error(tmp_path: Path) -> None:
    for args in (["-C", str(tmp_path), "check"], ["check", str(tmp_path)]):
        done = CliRunner().invoke(main, args)
        assert done.exit_code == 2
        assert "error[CFG160]" in done.stderr


# ---------------------------------------------------------------- repairs


def test_fix_changes_the_misspelt_words_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "x.route.yaml"
    text = "\ufeff" + WRONG.replace("\n", "\r\n").replace("sftp:", '"sfpt":') + "# the end, without a line end"
    write(tmp_path, {"x.route.yaml": text.encode()})
    file.chmod(0o640)
    done = check(tmp_path, "--fix")
    assert done.exit_code == 0, done.stdout
    assert "3 fixed" in done.stdout
    expected = text.replace('"sfpt"', "sftp").replace("pth", "path").replace("delimter", "delimiter")
    assert file.read_bytes() == expected.encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.glob(".x*")) == []


def test_fix_needs_several_rounds_for_a_slip_inside_a_slip(tmp_path: Path) -> None:
    done = checked(tmp_path, {"x.route.yaml": WRONG.replace("parse", "prase")}, "--fix")
    assert done.exit_code == 0, done.stdout
    assert "parse: {csv: {delimiter" in (tmp_path / "x.route.yaml").read_text()


def test_fix_leaves_alone_what_is_in_doubt(tmp_path: Path) -> None:
    text = ROUTE.replace("to: bank-north", "to: bank-nroth").replace("payments-out", "x")
    done = checked(tmp_path, {"x.route.yaml": text}, "--fix")
    assert done.exit_code == 1
    assert (tmp_path / "x.route.yaml").read_text() == text


def test_fix_makes_no_key_stand_twice(tmp_path: Path) -> None:
    done = checked(tmp_path, {"x.route.yaml": WRONG.replace("pth: /out", "pth: /out, paht: /in")}, "--fix")
    assert done.exit_code == 1
    assert "CFG184" not in done.stdout
    assert (tmp_path / "x.route.yaml").read_text().count("path:") == 1


def test_fix_touches_only_the_chosen_files(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.route.yaml": WRONG, "b.route.yaml": WRONG.replace("bank-ack-in", "b")})
    assert CliRunner().invoke(main, ["check", str(folder / "a.route.yaml"), "--fix"]).exit_code == 0
    assert (folder / "b.route.yaml").read_text() == WRONG.replace("bank-ack-in", "b")


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    landscape = load_landscape(write(tmp_path, {"x.route.yaml": WRONG}), FakeCatalogue())
    (tmp_path / "x.route.yaml").write_text(WRONG + "# edited\n")
    assert bus.cli.check.repair(landscape, landscape.problems) == 0
    assert (tmp_path / "x.route.yaml").read_text() == WRONG + "# edited\n"


# ---------------------------------------------------------------- for programs


def test_json(tmp_path: Path) -> None:
    done = checked(tmp_path, {"x.route.yaml": WRONG}, "--format", "json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["errors"], report["warnings"], report["notes"]) == (2, 0, 0)
    first = report["problems"][0]
    assert (first["code"], first["line"], first["column"], first["length"], first["fixable"]) == (
        "CFG101",
        3,
        28,
        3,
        True,
    )
    assert json.loads(checked(tmp_path / "sound", {}, "--json").stdout)["problems"] == []


def test_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = checked(tmp_path, {"a,b:c.route.yaml": WRONG}, "--format", "github")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0] == (
        "::error file=a%2Cb%3Ac.route.yaml,title=CFG101,line=3,col=28,endColumn=31"
        "::unknown key `pth` in `sftp`%0Adid you mean `path`? `path` is required here"
    )


# The parts of the OASIS schema (sarif-schema-2.1.0.json) that apply to what is written here.
_LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {"type": "object", "required": ["uri"], "properties": {"uri": {"type": "string"}}},
                "region": {
                    "type": "object",
                    "properties": {
                        "startLine": {"type": "integer", "minimum": 1},
                        "startColumn": {"type": "integer", "minimum": 1},
                        "endColumn": {"type": "integer", "minimum": 1},
                    },
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}
_FIX = {
    "type": "object",
    "required": ["artifactChanges"],
    "properties": {
        "description": {"type": "object", "required": ["text"]},
        "artifactChanges": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["artifactLocation", "replacements"]},
        },
    },
    "additionalProperties": False,
}
_RESULT = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": -1},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
        "locations": {"type": "array", "items": _LOCATION},
        "fixes": {"type": "array", "items": _FIX},
    },
    "additionalProperties": False,
}
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {"driver": {"type": "object", "required": ["name"]}},
                        "additionalProperties": False,
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": _RESULT},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def test_sarif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files: dict[str, str | bytes] = {"a b.route.yaml": WRONG, "big.route.yaml": b"#" * 2_000_000}
    done = checked(tmp_path, files, "--format", "sarif")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    jsonschema.Draft202012Validator(SARIF).validate(report)
    run = report["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["CFG101", "CFG180"]
    assert rules[0]["shortDescription"]["text"] == "Unknown key"
    first, *_, last = run["results"]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b.route.yaml"},
        "region": {"startLine": 3, "startColumn": 28, "endColumn": 31},
    }
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert "region" not in last["locations"][0]["physicalLocation"]
    change = first["fixes"][0]["artifactChanges"][0]["replacements"][0]
    region = change["deletedRegion"]
    assert WRONG[region["charOffset"] : region["charOffset"] + region["charLength"]] == "pth"
    assert change["insertedContent"]["text"] == "path"


# ---------------------------------------------------------------- as it is installed


def test_the_real_command_with_the_installed_plug_ins(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"bus.yaml": "", "connections.yaml": "", "out/payments.route.yaml": ROUTE.replace("route:", "rout:", 1)},
    )
    program = f"from bus.cli import main\nmain(['check', {str(tmp_path)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 1, done.stderr
    assert "did you mean `route`?" in done.stdout


def test_the_texts_of_these_tests_are_a_sound_landscape(tmp_path: Path) -> None:
    folder = write(tmp_path, {"bus.yaml": BUS, "connections.yaml": CONNECTIONS})
    assert load_landscape(folder, FakeCatalogue()).problems == ()


# ---------------------------------------------------------------- the shipped landscape


class EditorLoader(yaml.SafeLoader):
    """YAML as editors read it: numbers and booleans are typed, dates are text (YAML 1.2)."""


EditorLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

SHIPPED = Path(__file__).parents[2] / "routes"


def test_the_shipped_landscape_has_no_problems() -> None:
    assert [problem for problem in load_landscape(SHIPPED).problems if problem.severity != "info"] == []


@pytest.mark.parametrize("path", sorted(path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.yaml")))
def test_the_shipped_files_fit_the_published_schema(path: str) -> None:
    kind = kind_of(path)
    assert kind
    schema = json_schema(kind, Registry(), RouteTests if kind == "test" else None)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    text = (SHIPPED / path).read_text("utf-8")
    validator.validate(yaml.load(text, EditorLoader))  # noqa: S506 - a SafeLoader with fewer types
    root, problems = parse(text, path)
    assert root is not None
    assert problems == []
    validator.validate(root.data())


def test_a_mapping_is_checked_against_its_target_and_the_tables(tmp_path: Path) -> None:
    mapping = """\
mapping: m
to: payment
tables: {own: {a: b}}
fields:
  id: "lookup('own', x) || lookup('nope', x)"
  amount.value: {key: country, lookup: nope}
  nothing.of_this: a
"""
    folder = write(
        tmp_path, {"m.mapping.yaml": mapping, "t.table.yaml": "table: t\nrows: [{key: A, value: B, vlue: C}]\n"}
    )
    found = {(p.code, p.path, p.line) for p in load_landscape(folder, FakeCatalogue()).problems}
    assert {("CFG125", "m.mapping.yaml", 5), ("MAP104", "m.mapping.yaml", 6), ("MAP109", "m.mapping.yaml", 7)} <= found
    assert ("MAP103", "m.mapping.yaml", 4) in found
    assert ("CFG101", "t.table.yaml", 2) in found


def test_a_route_is_versioned_with_its_mapping_and_tables(tmp_path: Path) -> None:
    route = ROUTE.replace("- split: {each: rows}", "- split: {each: rows}\n  - translate: {mapping: m}")
    mapping = "mapping: m\nfields: {id: \"lookup('t', x)\"}\n"
    table = "table: t\nrows: [{key: A, value: B}]\n"
    other = "table: other\nrows: [{key: A, value: B}]\n"
    files: dict[str, str | bytes] = {"out/payments.route.yaml": route, "m.mapping.yaml": mapping}
    folder = write(tmp_path, files | {"t.table.yaml": table, "other.table.yaml": other})

    def version() -> tuple[str, dict[str, str]]:
        landscape = load_landscape(folder, FakeCatalogue()).require()
        loaded = landscape.routes["payments-out"]
        return route_hash(landscape, loaded), sources(landscape, loaded)

    first, kept = version()
    assert kept == {"out/payments.route.yaml": route, "m.mapping.yaml": mapping, "t.table.yaml": table}
    again = landscape_from_sources(kept, FakeCatalogue())
    assert route_hash(again, again.routes["payments-out"]) == first
    (folder / "other.table.yaml").write_text(other.replace("B", "C"))
    assert version()[0] == first
    (folder / "t.table.yaml").write_text(table.replace("B", "C"))
    second = version()[0]
    assert second != first
    (folder / "m.mapping.yaml").write_text(mapping.replace("id:", "iban:"))
    assert version()[0] not in (first, second)
