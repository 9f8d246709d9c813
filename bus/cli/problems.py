"""How configuration problems are shown: for people with the line and a caret, as JSON, for GitHub, as SARIF 2.1.0."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import click

from bus.cli.output import clean, print_json, seen_from_here
from bus.config import Edit, Landscape, Problem, girobus_version
from bus.config.secrets import masked
from bus.config.yamltext import LINE_BREAK

_WIDTH = 110
"""Longest piece of a file's line that is shown."""
_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_SECRET_CODES = ("CFG141", "CFG143")


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found; ``fixed`` counts the repairs that were made before."""

    landscape: Landscape
    problems: list[Problem]
    seconds: float
    fixed: int = 0

    def count(self, severity: str) -> int:
        """How many problems of a severity there are."""
        return sum(problem.severity == severity for problem in self.problems)

    def path(self, problem: Problem) -> str:
        """The problem's file as seen from the current folder."""
        return seen_from_here(self.landscape.folder / problem.path)


# ---------------------------------------------------------------- for people


def print_human(report: Report) -> None:
    """Every problem with the line it is in, then one line of summary."""
    texts: dict[str, list[str]] = {}
    for problem in report.problems:
        if problem.path not in texts:
            file = report.landscape.files.get(problem.path)
            texts[problem.path] = LINE_BREAK.split(masked(file)) if file is not None else []
        _print_problem(report.path(problem), problem, texts[problem.path])
    click.echo(_summary(report))


def _print_problem(path: str, problem: Problem, lines: list[str]) -> None:
    head = click.style(f"{problem.severity}[{problem.code}]", fg=_COLOURS[problem.severity], bold=True)
    place = f"{path}:{problem.line}:{problem.column}" if problem.line else path
    click.echo(f"{head} {clean(place)}  {clean(problem.message)}")
    hint = clean(problem.hint)
    if 0 < problem.line <= len(lines):
        for shown in _excerpt(problem, lines):
            click.echo(shown)
        hint = ""
    if hint:
        click.echo(f"    = {hint}")
    if problem.fix is not None and 0 < problem.line <= len(lines):
        written = _fixed_line(problem, problem.fix, lines[problem.line - 1])
        start = max(0, problem.column - _WIDTH // 2) if len(written) > _WIDTH else 0
        shown = _plain(written[start : start + _WIDTH].strip())
        click.echo(f"    = write: {shown}          fixable: bus check --fix")


def _excerpt(problem: Problem, lines: list[str]) -> list[str]:
    """The line before, the line, and the caret with the hint."""
    number, column = problem.line, problem.column - 1
    line = lines[number - 1]
    if problem.code in _SECRET_CODES:
        line = line[:column] + "•" * (len(line) - column)
    start = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    cut = _plain(line[start : start + _WIDTH])
    gutter = max(3, len(str(number)))
    shown = []
    if number > 1 and lines[number - 2].strip() and start == 0:
        shown.append(f"{number - 1:>{gutter}} | {_plain(lines[number - 2][:_WIDTH])}")
    shown.append(f"{number:>{gutter}} | {'…' if start else ''}{cut}")
    before = cut[: column - start]
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in before)
    caret = "^" * max(1, min(problem.length, len(cut) - len(before)))
    mark = click.style(caret, fg=_COLOURS[problem.severity], bold=True)
    pad = " " * (len(before) + wide + (1 if start else 0))
    hint = clean(problem.hint)
    beside = len(pad) + len(caret) + len(hint) <= _WIDTH
    shown.append(f"{'':>{gutter}} | {pad}{mark} {hint if beside else ''}".rstrip())
    return [*shown, *([] if beside else [f"    = {hint}"])]


def _plain(text: str) -> str:
    return clean(text.replace("\t", " "))


def _fixed_line(problem: Problem, fix: Edit, line: str) -> str:
    begin = problem.column - 1
    return line[:begin] + fix.text + line[begin + fix.end - fix.start :]


def _summary(report: Report) -> str:
    counts = [
        _many(report.count("error"), "error"),
        _many(report.count("warning"), "warning"),
        _many(report.count("info"), "note"),
    ]
    found = ", ".join(count for count in counts if count)
    files = report.landscape.files
    every = ("route", "mapping", "table", "template", "profile")
    kinds = [_many(sum(f".{kind}." in path for path in files), kind) for kind in every]
    parts = [
        (f"Found {found} in " if found else "No problems in ")
        + (", ".join(kind for kind in kinds if kind) or "no route"),
        f"{report.seconds:.2f} s",
    ]
    if report.fixed:
        parts.append(f"{report.fixed} fixed")
    fixable = sum(problem.fix is not None for problem in report.problems)
    if fixable:
        parts.append(f"{fixable} fixable")
    if report.problems:
        worst = min(report.problems, key=lambda problem: ("error", "warning", "info").index(problem.severity))
        parts.append(f"codes: bus explain {worst.code}")
    return " · ".join(parts)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""


# ---------------------------------------------------------------- for programs


def print_as_json(report: Report) -> None:
    """One document: counts and the list of problems."""
    print_json(
        {
            "folder": report.landscape.folder,
            "errors": report.count("error"),
            "warnings": report.count("warning"),
            "notes": report.count("info"),
            "fixed": report.fixed,
            "files": len(report.landscape.files),
            "seconds": round(report.seconds, 3),
            "problems": [_as_data(report, problem) for problem in report.problems],
        }
    )


def _as_data(report: Report, problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "path": report.path(problem),
        "line": problem.line,
        "column": problem.column,
        "length": problem.length,
        "message": problem.message,
        "hint": problem.hint,
        "fixable": problem.fix is not None,
    }


def print_github(report: Report) -> None:
    """Workflow commands that GitHub shows beside the changed lines of a pull request."""
    levels = {"error": "error", "warning": "warning", "info": "notice"}
    for problem in report.problems:
        values = {"file": report.path(problem), "title": problem.code}
        if problem.line:
            values |= {
                "line": str(problem.line),
                "col": str(problem.column),
                "endColumn": str(problem.column + problem.length),
            }
        fields = ",".join(f"{name}={_escaped(value, field=True)}" for name, value in values.items())
        text = _escaped(problem.message + (f"\n{problem.hint}" if problem.hint else ""))
        click.echo(f"::{levels[problem.severity]} {clean(fields)}::{clean(text)}")


def _escaped(text: str, *, field: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if field else text


def print_sarif(report: Report) -> None:
    """Static Analysis Results Interchange Format 2.1.0 (OASIS), for code scanning."""
    from bus.codes import codes  # noqa: PLC0415 - reads all code tables

    table = codes()
    used = sorted({problem.code for problem in report.problems})
    rules = []
    for code in used:
        rule: dict[str, Any] = {"id": code}
        if code in table:
            rule["shortDescription"] = {"text": table[code].title}
            rule["fullDescription"] = {"text": table[code].means}
            rule["help"] = {"text": table[code].do}
        rules.append(rule)
    run = {
        "tool": {"driver": {"name": "girobus", "version": girobus_version(), "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, problem, used.index(problem.code)) for problem in report.problems],
    }
    print_json({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


def _result(report: Report, problem: Problem, rule: int) -> dict[str, Any]:
    levels = {"error": "error", "warning": "warning", "info": "note"}
    where: dict[str, Any] = {"artifactLocation": {"uri": quote(os.fsencode(report.path(problem)))}}
    if problem.line:
        where["region"] = {
            "startLine": problem.line,
            "startColumn": problem.column,
            "endColumn": problem.column + problem.length,
        }
    result: dict[str, Any] = {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": levels[problem.severity],
        "message": {"text": problem.message + (f" ({problem.hint})" if problem.hint else "")},
        "locations": [{"physicalLocation": where}],
    }
    if problem.fix is not None:
        change = {
            "deletedRegion": {"charOffset": problem.fix.start, "charLength": problem.fix.end - problem.fix.start},
            "insertedContent": {"text": problem.fix.text},
        }
        artifact = {"artifactLocation": where["artifactLocation"], "replacements": [change]}
        result["fixes"] = [{"description": {"text": f"write `{problem.fix.text}`"}, "artifactChanges": [artifact]}]
    return result
