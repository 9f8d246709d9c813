"""The docs say what the program does: codes, examples, commands, settings, links, the tutorial from its first line."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from bus.cli import VERBS, main
from bus.cli.output import Exit
from bus.codes import codes
from bus.config.wording import validate
from bus.config.yamltext import parse
from bus.landscape import ConnectionsSpec, LandscapeSpec, RouteSpec
from bus.registry import Registry, mapping_support, profile_support
from bus.settings import Settings
from bus.spec import AnyFormat, Kind, StepSpec
from bus.testing.routes import RouteTests
from bus.testing.steps import StepBench

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGES = ("bus", "endpoints", "transforms", "certs")
CATALOGUE = Registry()
KINDS: tuple[Kind, ...] = ("step", "format", "endpoint", "connection")


def script(name: str) -> Any:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = script("build")
PAGES = list(BUILD.markdown())
WRITTEN = [page for page in PAGES if BUILD.made.MADE not in page.read_text("utf-8")]
"""Pages that people write."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---------------------------------------------------------------- generated pages, links


def test_generated_pages_are_current_and_links_work() -> None:
    assert BUILD.check() == []


def test_an_old_page_and_a_dead_link_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '# One two\n\n[a](page.md#one-two) [b](missing.md)\n\n[c](#nowhere) `[d](not/a/link)`\n\n<img src="no.svg">\n',
        "utf-8",
    )
    assert BUILD.dead_links(page) == ["3: missing.md", "5: #nowhere", "7: no.svg"]
    assert BUILD.with_blocks("<!-- begin x -->\nold\n<!-- end x -->\n", {"x": lambda: "new\n"}) == (
        "<!-- begin x -->\nnew\n<!-- end x -->\n"
    )


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    pages = [page.relative_to(DOCS).as_posix() for page in PAGES if DOCS in page.parents and page != DOCS / "README.md"]
    assert [page for page in pages if f"]({page})" not in index] == []


def test_samples_are_what_the_scripted_partners_make(tmp_path: Path) -> None:
    script("samples").make(tmp_path)
    kept = ROOT / "routes" / "bank-gateway" / "samples"
    for made in sorted(tmp_path.iterdir()):
        assert (kept / made.name).read_bytes() == made.read_bytes(), "make them again: python docs/samples.py"
    assert sorted(BUILD.INSPECTED.values()) == sorted(path.name for path in tmp_path.iterdir())


# ---------------------------------------------------------------- codes


def codes_in_source() -> dict[str, str]:
    """Code -> the first place where it stands alone in a string."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    kind = node.value[:3]
                    if kind in BUILD.made.CLASSES and re.fullmatch(r"[A-Z]{3}\d{3}", node.value):
                        found.setdefault(node.value, f"{named(path)}:{node.lineno}")
    return found


def test_every_code_of_the_source_has_a_row() -> None:
    assert {code: place for code, place in codes_in_source().items() if code not in codes()} == {}


def test_every_row_is_of_a_code_of_the_source() -> None:
    assert sorted(set(codes()) - set(codes_in_source())) == []


@pytest.mark.parametrize("code", sorted(codes()))
def test_a_row_says_something(code: str) -> None:
    row = codes()[code]
    assert code[:3] in BUILD.made.CLASSES
    assert len(row.title) > 5
    assert len(row.means) > 20
    assert len(row.do) > 5


def test_codes_that_pages_name_exist() -> None:
    for page in WRITTEN:
        kinds = "|".join(BUILD.made.CLASSES)
        for code in re.findall(rf"\b(?:{kinds})\d{{3}}\b", page.read_text("utf-8")):
            assert code in codes(), f"{named(page)} speaks of {code}"


# ---------------------------------------------------------------- YAML


def blocks_of(text: str, language: str) -> Iterator[str]:
    """Fenced code of a language."""
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1]


def yaml_of_docstring(spec: type) -> list[str]:
    return list(blocks_of(BUILD.made.plain(spec.__doc__ or "") + "\n", "yaml"))


def examples() -> Iterator[tuple[str, str]]:
    """(where, YAML) of every page and every spec's docstring."""
    for page in WRITTEN:
        for number, text in enumerate(blocks_of(page.read_text("utf-8"), "yaml"), 1):
            yield f"{named(page)} {number}", text
    for kind in KINDS:
        for key in CATALOGUE.keys(kind):
            for number, text in enumerate(yaml_of_docstring(CATALOGUE.spec(kind, key)), 1):
                yield f"{kind} {key} {number}", text
    support = mapping_support()
    for spec in (support.MappingSpec, support.TableSpec, profile_support().ProfileSpec):
        for number, text in enumerate(yaml_of_docstring(spec), 1):
            yield f"{spec.__name__} {number}", text


EXAMPLES = dict(examples())


class Everything(dict[str, Any]):
    """Has whatever table, mapping or model an example names."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, _key: str) -> Any:
        return self._value

    def __contains__(self, _key: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True


def indented(text: str) -> str:
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def as_file(text: str) -> tuple[Any, str]:
    """(model, YAML of a whole file) for a part of one."""
    keys = re.findall(r"^([\w-]+):", text, re.MULTILINE)
    support = mapping_support()
    wholes = {"route": RouteSpec, "mapping": support.MappingSpec}
    wholes |= {"table": support.TableSpec, "tables": support.TableSpec}
    wholes["profile"] = profile_support().ProfileSpec
    wholes |= {"connections": ConnectionsSpec, **dict.fromkeys(LandscapeSpec.model_fields, LandscapeSpec)}
    if keys and keys[0] in wholes:
        return RouteTests if {"route", "cases"} <= set(keys) else wholes[keys[0]], text
    if keys and keys[0] not in ("from", "steps", *CATALOGUE.keys("format"), *CATALOGUE.keys("step")):
        return ConnectionsSpec, f"connections:\n{indented(text)}"
    route = "route: example\n" if keys[:1] == ["from"] else "route: example\nfrom: {channel: somewhere}\n"
    if not keys:
        return RouteSpec, f"{route}steps:\n{indented(text)}"
    if keys[0] in CATALOGUE.keys("format"):
        return RouteSpec, f"{route}steps:\n- parse:\n{indented(indented(text))}"
    if keys[0] in CATALOGUE.keys("step"):
        return RouteSpec, f"{route}steps:\n" + "".join(f"- {line}\n" for line in text.splitlines())
    return RouteSpec, route + text


@pytest.mark.parametrize("where", EXAMPLES)
def test_example_loads(where: str) -> None:
    model, text = as_file(EXAMPLES[where])
    root, problems = parse(text, where)
    assert root is not None, problems
    spec, problems = validate(model, root, where, CATALOGUE)
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
    assert spec is not None
    if isinstance(spec, RouteSpec):
        build_steps(spec.steps)


def build_steps(steps: tuple[StepSpec, ...]) -> None:
    """Compile all steps of an example: its expressions, its formats."""
    bench: Any = StepBench(
        tables=Everything({}),
        mappings=Everything(lambda body: body),
        models=Everything(lambda _b: ()),
        templates=Everything(SimpleNamespace(media_type="text/plain")),
    )
    for step in steps:
        if type(step).build is not StepSpec.build:
            step.build(bench)
        for flow in step.flows().values():
            build_steps(flow.steps)


def test_a_wrong_example_would_be_seen() -> None:
    model, text = as_file('- parse: {csv: {delimeter: ";"}}\n')
    root, _ = parse(text, "planted")
    assert root is not None
    assert validate(model, root, "planted", CATALOGUE)[1] != []


@pytest.mark.parametrize("kind", KINDS)
def test_every_plug_in_has_an_example_and_every_field_a_meaning(kind: Kind) -> None:
    for key in CATALOGUE.keys(kind):
        spec = CATALOGUE.spec(kind, key)
        assert yaml_of_docstring(spec), f"{kind} {key} has no YAML example"
        for line in BUILD.made.field_tables(spec).splitlines():
            assert not re.fullmatch(r"\| `.*\|  \|", line), f"{kind} {key}: a field without a meaning: {line}"
        if kind in ("step", "endpoint"):
            assert "Delivery:" in (spec.__doc__ or ""), f"{kind} {key} says nothing of delivery"


@pytest.mark.parametrize("kind", KINDS)
def test_format_examples_build(kind: Kind) -> None:
    if kind != "format":
        assert CATALOGUE.keys(kind)
        return
    adapter: TypeAdapter[Any] = TypeAdapter(AnyFormat)
    for key in CATALOGUE.keys("format"):
        for text in yaml_of_docstring(CATALOGUE.spec("format", key)):
            root, _ = parse(text, key)
            assert root is not None
            if set(root.data()) == {key}:
                assert adapter.validate_python(root.data(), context={"catalogue": CATALOGUE}).build(None)


# ---------------------------------------------------------------- commands


@cache
def command_of(verb: str) -> click.Command:
    found: click.Command = import_module(f"bus.cli.{verb}").command
    return found


def command_lines() -> Iterator[tuple[str, str]]:
    """(where, command line) of everything that looks like a call of ``bus``."""
    texts = [(named(page), page.read_text("utf-8")) for page in PAGES]
    texts += [(f"code {code}", f"{row.means} {row.do}") for code, row in codes().items()]
    for kind in KINDS:
        texts += [(f"{kind} {key}", inspect.getdoc(CATALOGUE.spec(kind, key)) or "") for key in CATALOGUE.keys(kind)]
    for where, text in texts:
        for found in re.finditer(r"(?:^|\$ |[`(/])bus ((?:-C \S+ )?[a-z][^`\n]*)(?:`|$)", text, re.MULTILINE):
            yield where, found[1]


def problem_of(line: str) -> str:
    """What is wrong with a command line, without running it."""
    line = re.sub(r"^-C \S+ ", "", re.split(r" #| \| ", line, maxsplit=1)[0].strip())
    try:
        words = shlex.split(line.replace("…", "X"))
    except ValueError:
        return "cannot be split into words"
    verb, *rest = words
    if verb not in VERBS:
        return f"there is no verb `{verb}`"
    command = command_of(verb)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"`{verb}` has no `{rest[0]}`"
        command = command.commands[rest.pop(0)]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("-") and word != "-" and word.split("=")[0] not in options]
    return f"unknown: {', '.join(unknown)}" if unknown and "--help" not in unknown else ""


def test_every_command_line_exists() -> None:
    lines = list(command_lines())
    assert len(lines) > 50
    assert {f"{where}: bus {line}": problem for where, line in lines if (problem := problem_of(line))} == {}


def test_a_wrong_command_line_would_be_seen() -> None:
    assert problem_of("cases lst")
    assert problem_of("cases list --al")
    assert problem_of("chek")
    assert not problem_of("cases release 17 --reason …")


def test_every_verb_is_documented() -> None:
    text = (DOCS / "reference" / "commands.md").read_text("utf-8")
    for verb in VERBS:
        assert f"\n## bus {verb}\n" in text
        command = command_of(verb)
        for name in command.commands if isinstance(command, click.Group) else ():
            assert f"\n### bus {verb} {name}\n" in text


def test_every_exit_code_is_documented() -> None:
    text = (DOCS / "operating.md").read_text("utf-8").split("## Exit codes")[1].split("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == [int(code) for code in Exit]


def test_every_setting_is_documented() -> None:
    text = (DOCS / "operating.md").read_text("utf-8")
    for name, info in Settings.model_fields.items():
        assert f"| `GIROBUS_{name.upper()}` |" in text
        assert info.description, name


# ---------------------------------------------------------------- dependencies, figures


def declared() -> tuple[set[str], set[str]]:
    """Distributions that pyproject.toml names: (at run time, all)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = [line for extra in project["project"]["optional-dependencies"].values() for line in extra]

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~!;]", line)[0].strip().lower() for line in lines} - {"girobus"}

    running = names(project["project"]["dependencies"])
    peers = (ROOT / "bench" / "peers" / "requirements.txt").read_text("utf-8").split()
    return running, running | names(extras) | names(peers) | names(project["build-system"]["requires"])


def imported() -> set[str]:
    """Distributions that the packages import."""
    owners = packages_distributions()
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
                for module in modules:
                    found |= {owner.lower() for owner in owners.get(module.split(".")[0], [])}
    return found - {"girobus"}


def test_every_dependency_that_is_used_has_a_reason() -> None:
    running, everything = declared()
    rows = set(re.findall(r"^\| ([\w.-]+) \|", (DOCS / "dependencies.md").read_text("utf-8"), re.MULTILINE))
    rows.discard("package")
    assert sorted(rows - everything) == []
    assert sorted(everything - rows - (running - imported())) == []


_FIGURE = re.compile(
    r"\b\d[\d,.]*\s?(?:ms|µs|seconds|s\b|MB/s|GB/s|[kMG]B\b|messages|payments|entries|lines)(?:\s(?:a|per)\s|/s|\b)"
)
_PRINTS = re.compile(r"`?(?:make \w+|bus \w+|python -m bench)")


def figures(text: str) -> list[str]:
    """Measured numbers in prose that no command nearby prints and no generated block holds."""
    text = re.sub(r"<!-- begin ([\w-]+) -->.*?<!-- end \1 -->", "", text, flags=re.DOTALL)
    found = []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        prose = re.sub(r"`[^`]*`", "", paragraph)
        if _FIGURE.search(prose) and not _PRINTS.search(paragraph):
            found.append(" ".join(prose.split())[:120])
    return found


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_figures_stand_beside_the_command_that_prints_them(page: Path) -> None:
    assert figures(page.read_text("utf-8")) == []


def test_a_loose_figure_would_be_seen() -> None:
    assert figures("It does 12,000 messages a second.")
    assert not figures("It does 12,000 messages a second, says `make bench`.")
    assert not figures("Wait `30s`, or write 4 files.")


# ---------------------------------------------------------------- the tutorial


def matches(expected: str, printed: str) -> bool:
    """Whether every expected line is among the printed ones, in order; ``…`` stands for anything."""
    lines = iter(printed.splitlines())
    return all(
        any(re.fullmatch(".*".join(map(re.escape, line.split("…"))), found.rstrip()) for found in lines)
        for line in expected.splitlines()
        if line.strip()
    )


class Reader:
    """Somebody who types what the tutorial says, in a folder of their own.

    What only looks or decides runs in this process, to spare a start of Python each; `bus run` and the shell's own
    commands are real processes.
    """

    def __init__(self, folder: Path) -> None:
        bus = folder / "bin" / "bus"
        bus.parent.mkdir()
        bus.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c 'from bus.cli import main; main()' \"$@\"\n")
        bus.chmod(0o700)
        self.work = folder / "work"
        self.work.mkdir()
        self._around = os.environ | {
            "PATH": f"{bus.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def write(self, name: str, content: str) -> None:
        (self.work / name).parent.mkdir(exist_ok=True)
        (self.work / name).write_text(content, "utf-8")

    def types(self, line: str) -> str:
        """What the command prints on stdout; it has to succeed."""
        words = shlex.split(line)
        if words[0] == "bus" and words[1] != "run":
            done = CliRunner().invoke(main, words[1:], prog_name="bus")
            assert done.exit_code == 0, f"{line}\n{done.output}"
            return done.stdout
        ended = subprocess.run(  # noqa: S602 - a reader's shell runs these lines
            line, shell=True, cwd=self.work, env=self._around, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


@pytest.mark.parametrize(("page", "least"), [("tutorial.md", 15), ("mappings.md", 11)])
def test_a_page_runs_as_it_is_written(page: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIROBUS_")]:
        monkeypatch.delenv(name)
    reader = Reader(tmp_path)
    monkeypatch.chdir(reader.work)
    ran = 0
    text = (DOCS / page).read_text("utf-8")
    for found in re.finditer(r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        name, language, content = found.groups()
        if name:
            reader.write(name, content)
        elif language == "console":
            for step in content.removeprefix("$ ").split("\n$ "):
                line, _, expected = step.partition("\n")
                printed = reader.types(line)
                assert matches(expected, printed), f"{line}\nexpected:\n{expected}\nprinted:\n{printed}"
                ran += 1
    assert ran > least
