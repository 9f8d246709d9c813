"""The house holds: sizes, parameters, inheritance, names, layers, no mocks, no circles."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "endpoints", "transforms", "certs")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}
FILE, FUNCTION, PARAMETERS, INHERITANCE = 350, 50, 6, 2


def code_lines(source: str) -> set[int]:
    """Numbers of lines that carry a token and are no docstring."""
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _SILENT
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_fits_the_budget(path: Path) -> None:
    source = path.read_text("utf-8")
    lines = code_lines(source)
    assert len(lines) <= FILE, f"{len(lines)} code lines"
    for function in functions(ast.parse(source)):
        own = [n for n in lines if function.lineno <= n <= (function.end_lineno or 0)]
        assert len(own) <= FUNCTION, f"{function.name} has {len(own)} code lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_take_few_parameters(path: Path) -> None:
    for function in functions(ast.parse(path.read_text("utf-8"))):
        everyone = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        taken = [a.arg for a in everyone if a.arg not in {"self", "cls"}]
        assert len(taken) <= PARAMETERS, f"{function.name}({', '.join(taken)})"


def test_nothing_inherits_more_than_two_levels_of_ours() -> None:
    bases: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
    foundations = {"Spec", "PlugInSpec", "StepSpec", "FormatSpec", "EndpointSpec", "ConnectionSpec", "BusError"}

    def depth(name: str) -> int:
        if name in foundations or name not in bases:
            return 0
        return 1 + max((depth(base) for base in bases[name] if base != name), default=0)

    deep = {name: depth(name) for name in bases if depth(name) > INHERITANCE}
    assert not deep


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_say_what_a_thing_is_for(path: Path) -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "misc", "manager"}
    assert not vague & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            assert not node.name.endswith(("Manager", "Helper", "Impl")), node.name


def test_no_mocks_anywhere() -> None:
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            assert "mock" not in f"{module} {' '.join(names)}".lower(), f"{path}: {ast.unparse(node)}"


def test_the_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed in this environment")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_planted_long_function_would_be_seen() -> None:
    long = "def f():\n" + "    x = 1\n" * 60
    assert len(code_lines(long)) == 61
    assert len(code_lines('"""doc\n\nmore\n"""\n# comment\n\nx = 1\n')) == 1
