"""`bus test`: run the YAML tests beside the routes, on fake endpoints and a fake clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from bus.cli.output import Exit, config_option, json_option, leave, paths_from, print_json
from bus.config import Landscape, load_landscape
from bus.config.wording import validate
from bus.config.yamltext import parse, read_text
from bus.errors import ConfigError
from bus.landscape import BrokerSpec
from bus.registry import Registry
from bus.testing.routes import Backbone, Report, RouteTests, Runner, Verdict


@click.command()
@click.argument("select", nargs=-1)
@click.option("--broker", metavar="URL", help="Run the cases with their channels on this RabbitMQ, not in memory.")
@click.option("--ledger", metavar="URL", default="", help="Run the cases with their ledger in this PostgreSQL server.")
@click.option("--workers", type=click.IntRange(1, 8), default=1, help="So many buses share the work; needs --ledger.")
@json_option
@config_option
def command(
    *, select: tuple[str, ...], broker: str | None, ledger: str, workers: int, config: Path, as_json: bool
) -> None:
    """Run the *.test.yaml beside the routes.

    SELECT are names of routes or parts of paths; default: all. Exit 0: all passed, 1: some failed, 2: none matched.
    """
    from bus.operating.logs import quiet_unless_asked  # noqa: PLC0415 - structlog takes a while

    begin = time.perf_counter()
    with paths_from(config):
        landscape = load_landscape(config).require()
    tests = dict(_suites(landscape, select))
    if not tests:
        raise click.UsageError("No test file matched.")
    report = Report()
    if workers > 1 and not ledger:
        raise click.UsageError("--workers needs --ledger: an SQLite ledger has one writing process.")
    runner = Runner(landscape, Backbone(BrokerSpec(url=broker) if broker else None, ledger, workers))
    with quiet_unless_asked():
        for verdict, report in runner.run(tests):  # noqa: B007 - the last report is the whole one
            if not as_json:
                _print_verdict(verdict)
    failed = [verdict for verdict in report.verdicts if verdict.problems]
    if as_json:
        print_json(_as_json(report))
    else:
        _print_summary(report, time.perf_counter() - begin)
    if failed:
        leave(Exit.FINDINGS)


def _suites(landscape: Landscape, select: tuple[str, ...]) -> Iterator[tuple[str, RouteTests]]:
    for path in landscape.tests:
        text, problem = read_text(landscape.folder / path, path)
        node, problems = parse(text, path) if problem is None else (None, [problem])
        tests = None
        if node is not None:
            tests, problems = validate(RouteTests, node, path, Registry())
        errors = [p for p in problems if p.severity == "error"]
        if errors:
            raise errors[0].as_error()
        if tests is None:
            raise ConfigError("CFG175", f"{path} is empty", hint="write route: and cases:")
        if not select or any(word in path or word == tests.route for word in select):
            yield path, tests


def _print_verdict(verdict: Verdict) -> None:
    sign = click.style("ok  ", fg="green") if not verdict.problems else click.style("FAIL", fg="red")
    click.echo(f"{sign}  {verdict.route}  {verdict.case}")
    for problem in verdict.problems:
        click.echo(f"        {problem}   ({verdict.file})")


def _print_summary(report: Report, seconds: float) -> None:
    failed = sum(bool(v.problems) for v in report.verdicts)
    for route, branches in report.branches.items():
        missed = [f"{step}.{label}" for step, label in branches if (step, label) not in report.visited[route]]
        if missed:
            click.echo(f"      {route}: no test takes {', '.join(missed)}")
    taken = sum(len(set(b) & report.visited[r]) for r, b in report.branches.items())
    total = sum(len(b) for b in report.branches.values())
    click.echo(f"{len(report.verdicts) - failed} passed, {failed} failed · branches {taken}/{total} · {seconds:.1f} s")


def _as_json(report: Report) -> dict[str, object]:
    return {
        "cases": [
            {"file": v.file, "route": v.route, "case": v.case, "passed": not v.problems, "problems": v.problems}
            for v in report.verdicts
        ],
        "branches": {
            route: [{"step": s, "branch": b, "taken": (s, b) in report.visited[route]} for s, b in branches]
            for route, branches in report.branches.items()
        },
    }
