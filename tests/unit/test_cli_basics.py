"""The root of the command line: help that loads nothing, exit codes, errors without payloads, shared printing."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import click
import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from landscapes import BUS, CONNECTIONS, ROUTE, FakeCatalogue, write

import bus.cli
from bus.cli import VERBS, main
from bus.cli.output import Exit, clean, config_option, exit_code, leave, print_json, print_table
from bus.cli.prose import explain_route, route_prose, shown
from bus.codes import codes
from bus.config import load_landscape
from bus.config.schema import json_schema
from bus.config.yamltext import parse
from bus.errors import BusError, ConfigError, Held, InDoubt, NotAllowed, Rejected, Retryable, Unavailable
from bus.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):  # noqa: ANN201 - a function made here
    """Run `bus probe …`, where `probe` does what the test says."""

    def do(work, *args: str):  # noqa: ANN001, ANN202 - any function
        module = ModuleType("bus.cli.probe")
        module.command = click.command()(work)
        monkeypatch.setitem(sys.modules, "bus.cli.probe", module)
        monkeypatch.setitem(VERBS, "probe", "What the test says.")
        return CliRunner().invoke(main, ["probe", *args])

    return do


# ---------------------------------------------------------------- help


def test_help_lists_all_verbs_and_loads_none_of_them_nor_a_heavy_library() -> None:
    program = (
        "import sys\nfrom bus.cli import main\n"
        "try: main(['--help'])\nfinally: print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout
    heavy = ("pydantic", "rich", "lxml", "asyncssh", "yaml", "msgspec", "apsw", "jmespath", "bus.config", "bus.spec")
    heavy += tuple(f"bus.cli.{verb}" for verb in VERBS)
    assert [name for name in heavy if f"'{name}'" in done.stderr] == []


@pytest.mark.parametrize("verb", VERBS)
def test_no_help_is_cut_off_or_shows_a_mark_of_the_library(verb: str) -> None:
    command = main.get_command(click.Context(main), verb)
    pages = [[verb]] + [[verb, name] for name in getattr(command, "commands", {})]
    for words in pages:
        told = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*words, "--help"]).stdout
        assert "\\b" not in told
        assert [line for line in told.partition("Commands:")[2].splitlines() if line.endswith("...")] == []


def test_help_does_not_need_the_module_of_a_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "absent", "Not there.")
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0
    done = CliRunner().invoke(main, ["absent"])
    assert done.exit_code == 2
    assert "not part of this installation" in done.stderr


def test_an_error_inside_a_verbs_module_is_not_taken_for_a_missing_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(bus.cli, "__path__", [str(tmp_path)])
    monkeypatch.setitem(VERBS, "broken", "x")
    assert CliRunner().invoke(main, ["broken"]).exit_code == 70


def test_version() -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert done.exit_code == 0
    assert done.stdout.startswith("girobus ")


@pytest.mark.parametrize(("typed", "meant"), [("chek", "check"), ("statsu", "status"), ("xyzzy", "--help")])
def test_an_unknown_verb_is_a_usage_error_with_a_proposal(typed: str, meant: str) -> None:
    done = CliRunner().invoke(main, [typed])
    assert done.exit_code == 2
    assert f"bus {meant}" in done.stderr


# ---------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("CFG101", "m"), Exit.FINDINGS),
        (ConfigError("CFG160", "m"), Exit.USAGE),
        (ConfigError("CFG190", "m"), Exit.USAGE),
        (Rejected("VAL100", "m"), Exit.FINDINGS),
        (NotAllowed("SYS200", "m"), Exit.NOT_ALLOWED),
        (Held("DUP100", "m"), Exit.NOT_ALLOWED),
        (Unavailable("SYS100", "m"), Exit.UNREACHABLE),
        (Retryable("NET100", "m"), Exit.UNREACHABLE),
        (InDoubt("NET900", "m"), Exit.PARTLY),
        (BusError("SYS999", "m"), Exit.FINDINGS),
    ],
)
def test_what_was_raised_decides_the_exit_code(run, error: BusError, code: Exit) -> None:  # noqa: ANN001
    def work() -> None:
        raise error

    done = run(work)
    assert (done.exit_code, exit_code(error)) == (code, code)
    assert f"error[{error.code}]" in done.stderr
    assert done.stdout == ""


def test_an_error_says_where_and_what_to_do(run) -> None:  # noqa: ANN001
    def work() -> None:
        raise ConfigError("CFG101", "unknown key\x1b[31m", hint="write `path`", path="a.yaml", line=3, column=7)

    assert run(work).stderr == "error[CFG101] a.yaml:3:7  unknown key\ufffd[31m\n    = write `path`\n"


def test_our_bug_is_70_and_shows_no_values(run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    monkeypatch.delenv("GIROBUS_DEBUG", raising=False)

    def work() -> None:
        raise KeyError("DE89370400440532013000")

    done = run(work)
    assert done.exit_code == 70
    assert "KeyError" in done.stderr
    assert "test_cli_basics.py" in done.stderr
    assert "DE8937" not in done.stderr


def test_interrupted_is_130(run) -> None:  # noqa: ANN001
    def work() -> None:
        raise KeyboardInterrupt

    assert run(work).exit_code == 130


def test_a_reader_that_leaves_early_is_no_error() -> None:
    program = "import sys\nfrom bus.cli import main\nmain(['explain', 'field', 'route', '--json'])"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(30) == 0


@pytest.mark.parametrize(("result", "code"), [(None, 0), (3, 3), (Exit.PARTLY, 6)])
def test_a_verb_can_return_its_exit_code(run, result: int | None, code: int) -> None:  # noqa: ANN001
    assert run(lambda: result).exit_code == code


def test_a_verb_can_leave_with_one(run) -> None:  # noqa: ANN001
    assert run(lambda: leave(Exit.CHANGES)).exit_code == 3


def test_the_folder_comes_from_option_variable_or_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    module = ModuleType("bus.cli.probe")
    module.command = click.command()(config_option(lambda config: seen.append(config)))  # noqa: PLW0108 - a callback
    monkeypatch.setitem(sys.modules, "bus.cli.probe", module)
    monkeypatch.setitem(VERBS, "probe", "x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GIROBUS_CONFIG", raising=False)
    runner = CliRunner()
    runner.invoke(main, ["probe"])
    write(tmp_path / "routes")
    runner.invoke(main, ["probe"])
    runner.invoke(main, ["-C", "a", "probe"])
    runner.invoke(main, ["-C", "a", "probe", "-C", "b"])
    runner.invoke(main, ["probe"], env={"GIROBUS_CONFIG": "c"})
    assert seen == [Path(), Path("routes"), Path("a"), Path("b"), Path("c")]


# ---------------------------------------------------------------- printing


@dataclass(frozen=True)
class Row:
    key: str
    amount: Decimal
    at: datetime


def test_json_has_amounts_as_text_and_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        [Row("Ä", Decimal("100.10"), datetime(2026, 11, 24, 8, tzinfo=UTC)), {"path": Path("a/b"), "s": {"b", "a"}}]
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed == [
        {"key": "Ä", "amount": "100.10", "at": "2026-11-24T08:00:00Z"},
        {"path": "a/b", "s": ["a", "b"]},
    ]


def test_a_table_without_a_terminal_is_tab_separated_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["invoice", "amount"], [["INV\x1b[2J\t1", Decimal("1.50")], [None, 2]])
    assert capsys.readouterr().out == "invoice\tamount\nINV\ufffd[2J\ufffd1\t1.50\n\t2\n"


def test_a_table_on_a_terminal_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["invoice", "amount"], [["[bold]INV", Decimal("1.50")]], title="Cases")
    drawn = capsys.readouterr().out
    assert "[bold]INV" in drawn
    assert "Cases" in drawn


def test_clean_keeps_letters_of_all_languages() -> None:
    assert clean("Müller & 東京\u202e\x07") == "Müller & 東京\ufffd\ufffd"


# ---------------------------------------------------------------- explain


def test_every_code_is_explained() -> None:
    assert len(codes()) > 50
    for code in ("CFG101", "CFG161", "CFG184"):
        done = CliRunner().invoke(main, ["explain", code.lower()])
        assert done.exit_code == 0
        assert code in done.stdout
        assert codes()[code].do in done.stdout
    assert json.loads(CliRunner().invoke(main, ["explain", "CFG101", "--json"]).stdout)["code"] == "CFG101"
    assert CliRunner().invoke(main, ["explain", "CFG999"]).exit_code == 2


def test_every_code_that_the_configuration_raises_is_listed() -> None:
    folders = [ROOT / "bus" / "config", ROOT / "bus" / "cli"]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    files += [ROOT / "bus" / name for name in ("spec.py", "registry.py", "settings.py")]
    raised = {code for file in files for code in re.findall(r'"(CFG\d{3})"', file.read_text("utf-8"))}
    own = {code for code in raised if not "CFG120" < code < "CFG140"}
    assert own - codes().keys() == set()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("step.split.each", ["step.split.each", "an expression"]),
        ("route.expires_after", ["a duration such as"]),
        ("route.on_error.backoff.first", ["default: 2s"]),
        ("route.steps", ["a list, each item one step: ", "split"]),
        ("bus.outlets.batch", ["a whole number", "default: 20"]),
        ("route.route", ["required", "text"]),
        ("route", ["One route file", "step.route"]),
        ("parse.csv.encoding", ["format.csv.encoding", "utf-8-sig"]),
        ("from.sftp.ready.marker", ["endpoint.sftp.ready.marker"]),
        ("on_reject", ["route.on_reject", "collect"]),
        ("expect.zone", ["route.expect.zone", "Europe/Berlin"]),
        ("outlets.batch", ["bus.outlets.batch"]),
        ("sftp", ["`delete` removes what was taken (refused files stay), `leave` touches nothing"]),
    ],
)
def test_fields_are_explained_from_their_specs(path: str, words: list[str]) -> None:
    done = CliRunner().invoke(main, ["explain", "field", path])
    assert done.exit_code == 0, done.stderr
    assert [word for word in words if word not in done.stdout] == []


@pytest.mark.parametrize(("path", "near"), [("spilt", "split"), ("split.eech", "each"), ("route.on_eror", "on_error")])
def test_an_unknown_field_is_a_usage_error_with_a_proposal(path: str, near: str) -> None:
    done = CliRunner().invoke(main, ["explain", "field", path])
    assert done.exit_code == 2
    assert f"did you mean `{near}`?" in done.stderr


def test_a_field_that_many_have_is_asked_for_again() -> None:
    done = CliRunner().invoke(main, ["explain", "field", "poll"])
    assert done.exit_code == 2
    assert "say of what: `amqp.poll`, `file.poll`, `sftp.poll`, `timer.poll`" in done.stderr


@pytest.mark.parametrize("args", [["route"], ["field"], ["CFG101", "more"], ["CFG101", "--body", __file__], []])
def test_explain_says_how_to_ask(args: list[str]) -> None:
    assert CliRunner().invoke(main, ["explain", *args]).exit_code == 2


FORK = """\
route: fork
summary: splits the flow
owner: treasury
from: {sftp: {path: /in, connection: bank}}
money: amount
steps:
  - tap: treasury
  - route:
      - when: amount.value > 10000 && country == 'NO'
        steps: [{tap: bank-north}]
        to: treasury
      - otherwise: bank-north
"""


def test_a_route_is_told_with_its_branches(tmp_path: Path) -> None:
    landscape = load_landscape(write(tmp_path, {"fork.route.yaml": FORK}), FakeCatalogue())
    assert route_prose(landscape.routes["fork"]) == [
        "fork: splits the flow",
        "  owner  treasury",
        "  from   sftp {path: /in, connection: bank}",
        "  0      tap treasury",
        "  1      route",
        "      0: when amount.value > 10000 && country == 'NO'",
        "        1.0.0  tap bank-north",
        "        → treasury",
        "      1: all others",
        "        → bank-north",
        "  to     as the branches above say",
        "  fails  5 attempts, 2s to 5m apart, then a case",
    ]


def test_each_condition_is_shown_with_its_values(tmp_path: Path) -> None:
    landscape = load_landscape(write(tmp_path, {"fork.route.yaml": FORK}), FakeCatalogue())
    body = {"amount": {"value": Decimal(9940)}, "country": "NO"}
    (decision,) = explain_route(landscape.routes["fork"].spec, body)
    assert (decision.step, decision.pattern, decision.where) == ("1", "route", "[0].when")
    assert [(text, shown(value)) for text, value in decision.parts] == [
        ("amount.value > 10000 && country == 'NO'", "no"),
        ("amount.value > 10000", "no"),
        ("amount.value", "9940"),
    ]


def test_explain_route_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "bus.yaml").write_text("")
    steps = "steps:\n  - route:\n      - {when: amount > 5, to: none}\n      - otherwise: none\n"
    text = f"route: fork\nfrom: {{channel: a}}\n{steps}"
    (tmp_path / "fork.route.yaml").write_text(text)
    body = tmp_path / "body.json"
    body.write_text('{"amount": 7.50}')
    runner = CliRunner()
    told = runner.invoke(main, ["-C", str(tmp_path), "explain", "route", "fork"])
    assert told.exit_code == 0, told.stderr
    assert "when amount > 5" in told.stdout
    decided = runner.invoke(main, ["explain", "route", "fork", "-C", str(tmp_path), "--body", str(body)])
    assert decided.stdout == "0 route\n  [0].when  amount > 5  → yes\n      amount  =  7.50\n"
    as_json = runner.invoke(main, ["explain", "route", "fork", "-C", str(tmp_path), "--body", str(body), "--json"])
    assert json.loads(as_json.stdout)[0]["parts"] == [["amount > 5", "yes"], ["amount", "7.50"]]
    missing = runner.invoke(main, ["explain", "route", "frok", "-C", str(tmp_path)])
    assert missing.exit_code == 2
    assert "did you mean `fork`?" in missing.stderr
    body.write_text("{")
    assert runner.invoke(main, ["explain", "route", "fork", "-C", str(tmp_path), "--body", str(body)]).exit_code == 2


# ---------------------------------------------------------------- schema


@pytest.mark.parametrize("kind", ["route", "bus", "connections"])
def test_the_schema_accepts_what_is_sound_as_an_editor_reads_it_and_as_we_do(kind: str) -> None:
    text = {"route": ROUTE, "bus": BUS, "connections": CONNECTIONS}[kind]
    schema = json_schema(kind, FakeCatalogue())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(text))
    root, _ = parse(text, "x")
    assert root is not None
    validator.validate(root.data())


@pytest.mark.parametrize(
    "wrong",
    [
        ROUTE.replace("money", "mony"),
        ROUTE.replace("split", "splt"),
        ROUTE.replace("delimiter", "delimter"),
        ROUTE.replace("path: /outbox, ", ""),
        ROUTE.replace("to: bank-north", "to: [bank-north]"),
        ROUTE + "batch: many\n",
        ROUTE + "duplicates: maybe\n",
    ],
)
def test_the_schema_refuses_slips(wrong: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema("route", FakeCatalogue()))
    assert not validator.is_valid(yaml.safe_load(wrong))


def test_the_schema_has_one_entry_a_plug_in_with_its_documentation() -> None:
    definitions = json_schema("route", FakeCatalogue())["$defs"]
    steps = definitions["any-step"]["oneOf"]
    assert [step["title"] for step in steps[:-1]] == FakeCatalogue().keys("step")
    assert all(step["description"] for step in steps)
    assert definitions["step.split"]["properties"]["each"]["description"] == "Which records."
    assert "any-connection" not in definitions


def test_the_examples_in_the_documentation_of_installed_steps_fit_the_schema() -> None:
    catalogue = Registry()
    schema = json_schema("route", catalogue)
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/any-step", "$defs": schema["$defs"]})
    examples = 0
    for key in catalogue.keys("step"):
        for block in re.findall(
            r"```yaml\n(.*?)```", inspect.cleandoc(catalogue.spec("step", key).__doc__ or ""), re.DOTALL
        ):
            for step in yaml.safe_load(block):
                validator.validate(step)
                examples += 1
    assert examples >= len(catalogue.keys("step"))


def test_schema_on_the_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    printed = runner.invoke(main, ["schema"])
    assert json.loads(printed.stdout)["title"] == "girobus route (*.route.yaml)"
    assert runner.invoke(main, ["schema", "--kind", "bus", "--out", str(tmp_path / "b.json")]).exit_code == 0
    assert "outlets" in json.loads((tmp_path / "b.json").read_text())["properties"]
    assert runner.invoke(main, ["schema", "--kind", "nonsense"]).exit_code == 2
    assert runner.invoke(main, ["schema", "--out", str(tmp_path / "all" / "of")]).exit_code == 0
    names = ["bus.json", "connections.json", "mapping.json", "profile.json", "route.json", "table.json", "test.json"]
    assert sorted(file.name for file in (tmp_path / "all" / "of").iterdir()) == names
