"""Runs the YAML tests that stand beside the routes, on fake endpoints and a fake clock."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Self

from pydantic import Field

from bus.app import App, StepSurroundings, Surroundings
from bus.config import Landscape
from bus.described import Spec
from bus.errors import BusError, ConfigError, Retryable
from bus.expressions import compile_expression
from bus.landscape import BrokerSpec, ChannelSource
from bus.ledger.store import Store as File
from bus.message import Headers, Message, edge_id
from bus.ports import Store
from bus.runtime.bus import Bus
from bus.runtime.pipeline import branches
from bus.spec import Duration, ExpressionText, StepSpec
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

_MOST_TURNS = 10_000
_ON_ITS_WAY = 0.002
"""Seconds to wait for what a broker has and did not hand out yet."""


class ExpectedOutput(Spec):
    """What an outlet must have got."""

    count: int | None = Field(default=None, ge=0)
    """How many messages."""
    contains: tuple[str, ...] = ()
    """Texts that must stand in the outputs, in any of them."""
    lacks: tuple[str, ...] = ()
    """Texts that must stand in none."""
    file: str = ""
    """Sample file that the only output must equal byte for byte."""


class RouteCase(Spec):
    """One case: files arrive, time may pass, then outlets, cases and counts are looked at."""

    name: str
    """What the case shows."""
    before: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Sample files by route that arrive at other routes first: the payments that a status report speaks of."""
    files: tuple[str, ...] = ()
    """Sample files that arrive one after the other at the route's source (or at the route that feeds its channel)."""
    via: str = ""
    """Route whose source they arrive at; empty = the route under test."""
    at: datetime = datetime.fromisoformat("2026-11-23T08:00:00+00:00")
    """The time it is."""
    advance: Duration = 0
    """How much time passes after the files."""
    outlets: dict[str, ExpectedOutput] = Field(default_factory=dict)
    """Expected output by outlet; outlets that are not named must get nothing."""
    cases: tuple[str, ...] = ()
    """Codes of the cases that must be open at the end, sorted; exactly these."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Expected number of messages by outcome over the whole route (``held: 1``)."""
    step: str = ""
    """Name of one step to run alone, with ``body``."""
    body: Any = None
    """Body for a single step (texts, as YAML gives them)."""
    gives: dict[ExpressionText, str] = Field(default_factory=dict)
    """Expression over the step's result -> expected value, as text."""
    rejects: str = ""
    """Code with which the step must refuse the body."""


class RouteTests(Spec):
    """A ``*.test.yaml`` file."""

    route: str
    """The route under test."""
    cases: tuple[RouteCase, ...]
    """Its cases."""


@dataclass(slots=True)
class Verdict:
    """Outcome of one case; no problems = passed."""

    file: str
    route: str
    case: str
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """Outcome of all cases and the branches they went through."""

    verdicts: list[Verdict] = field(default_factory=list)
    visited: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    branches: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backbone:
    """What the cases run on; by default channels and ledger are in memory.

    Attributes:
        broker: RabbitMQ for the channels; every case has queues of its own there.
        ledger: URL of a PostgreSQL server for the ledger; every case has a schema of its own there.
        workers: how many buses share the work, all at the same time; more than one needs ``ledger``.
        in_file: without ``ledger``: the ledger is a file, as that of a running bus.
        effect: told (number of the worker, label) around every commit.
    """

    broker: BrokerSpec | None = None
    ledger: str = ""
    workers: int = 1
    in_file: bool = False
    effect: Callable[[int, str], None] = lambda _worker, _label: None

    @contextmanager
    def stores(self, home: Path) -> Iterator[list[Store]]:
        """A store for each worker; a file is in the folder ``home``."""
        effects = [partial(self.effect, number) for number in range(self.workers)]
        if not self.ledger:
            yield [File(home / "bus.db" if self.in_file else None, effect=effects[0])]
            return
        from bus.ledger.postgres import PostgresStore  # noqa: PLC0415 - an extra
        from bus.testing.postgres import schema  # noqa: PLC0415 - as above

        with schema(self.ledger) as url:
            yield [PostgresStore(url, effect=effect) for effect in effects]

    def of_a_case(self) -> BrokerSpec | None:
        """The broker with a prefix that nobody else has."""
        if self.broker is None:
            return None
        return self.broker.model_copy(update={"prefix": f"test-{os.urandom(6).hex()}."})


class Runner:
    """Runs test files of a landscape.

    Args:
        landscape: checked and without errors.
        backbone: what the cases run on.
    """

    def __init__(self, landscape: Landscape, backbone: Backbone | None = None) -> None:
        self._landscape = landscape
        self._backbone = backbone or Backbone()

    def run(self, tests: dict[str, RouteTests]) -> Iterator[tuple[Verdict, Report]]:
        """Run all cases of all files (path -> tests); yields after each, with the report so far."""
        report = Report()
        for path, suite in tests.items():
            loaded = self._landscape.routes.get(suite.route)
            if loaded is None:
                raise ConfigError(
                    "CFG171", f"{path} tests route `{suite.route}`, which does not exist", hint="see: bus routes list"
                )
            report.branches[suite.route] = branches(loaded.spec)
            visited = report.visited.setdefault(suite.route, set())
            for case in suite.cases:
                verdict = Verdict(path, suite.route, case.name)
                try:
                    with _Bench(self._landscape, case, visited, self._backbone) as bench:
                        verdict.problems = (
                            bench.step(suite.route) if case.step else bench.route(suite.route, Path(path).parent)
                        )
                except BusError as error:
                    verdict.problems = [str(error)]
                report.verdicts.append(verdict)
                yield verdict, report


class _Bench:
    """A landscape in memory with fake endpoints, for one case."""

    def __init__(
        self, landscape: Landscape, case: RouteCase, visited: set[tuple[str, str]], backbone: Backbone
    ) -> None:
        self._case = case
        self._folder = tempfile.TemporaryDirectory(prefix="girobus-test-")
        self._landscape = landscape
        self.clock = ManualClock(int(case.at.timestamp() * 1000))
        self.sources: dict[str, ScriptedSource] = {}
        self.sinks: dict[str, RecordingSink] = {}
        self._opened = ExitStack()
        home = Path(self._folder.name)
        broker = backbone.of_a_case()
        around = Surroundings(
            clock=self.clock,
            chance=random.Random(1),  # noqa: S311 - spreads retries, guards nothing
            source=lambda _spec, resources: self.sources.setdefault(resources.name, ScriptedSource()),
            sink=lambda _spec, resources: self.sinks.setdefault(resources.name, RecordingSink()),
            visit=lambda step, label: visited.add((step, label)),
            broker=broker,
        )
        self.apps = [
            App(landscape.folder, replace(around, store=store), home=home, landscape=landscape)
            for store in self._opened.enter_context(backbone.stores(home))
        ]
        self.app = self.apps[0]
        for app in self.apps:
            self._opened.callback(app.close)
            self._opened.enter_context(app.bus.ledger.holdings.renewing())  # as the threads of a running bus do
        self._threads = self._opened.enter_context(ThreadPoolExecutor(len(self.apps)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        self._folder.cleanup()

    # ------------------------------------------------------------ whole routes

    def route(self, name: str, beside: Path) -> list[str]:
        case = self._case
        folder = self._landscape.folder / beside
        for other, files in case.before.items():
            self._arrive(other, [folder / file for file in files])
        self._arrive(self._entry(name), [folder / file for file in case.files])
        if case.advance:
            self.clock.advance(case.advance)
            self._settle()
        return [*self._outlets(folder), *self._cases(), *self._counts(name)]

    def _arrive(self, route: str, files: list[Path]) -> None:
        source = self.sources.get(route)
        if source is None:
            raise ConfigError(
                "CFG172", f"route `{route}` has no source that files could arrive at", hint="name one with `via`"
            )
        for index, file in enumerate(files):
            content = _read(file)
            source.arrivals.append(ScriptedArrival(file.name, content, facts=(len(content), index + 1)))
            self._together(lambda bus: bus.poll_once(route))  # at once, whatever the route's schedule says
            self._settle()
        self._settle()

    def _entry(self, name: str) -> str:
        if self._case.via:
            return self._case.via
        origin = self._landscape.routes[name].spec.from_
        if not isinstance(origin, ChannelSource):
            return name
        feeders = [route for route, loaded in self._landscape.routes.items() if loaded.spec.to == origin.channel]
        return feeders[0] if feeders else name

    def _together(self, work: Callable[[Bus], int]) -> int:
        """All buses do it at the same time, each in a thread of its own; how much they did. Chance says who begins."""

        def done(app: App) -> int:
            try:
                return work(app.bus)
            except Retryable:
                if len(self.apps) == 1:
                    raise
                return 1  # another one was faster; a thread of the bus would go on as well

        return sum(self._threads.map(done, random.sample(self.apps, len(self.apps))))

    def _settle(self) -> None:
        for _ in range(_MOST_TURNS):
            if not self._together(Bus.turn):
                if all(app.broker.at_rest() for app in self.apps):
                    return
                sleep(_ON_ITS_WAY)
            self.clock.advance(1)
        raise BusError("INT141", "the route did not come to rest", hint="is there a circle of routes?")

    def _outlets(self, folder: Path) -> list[str]:
        problems = []
        for name, sink in sorted(self.sinks.items()):
            wanted = self._case.outlets.get(name, ExpectedOutput(count=0))
            texts = [content.decode("utf-8", "replace") for content in sink.delivered.values()]
            if sink.doubled:
                problems.append(f"outlet {name}: {len(sink.doubled)} message(s) were published twice")
            if wanted.count is not None and len(texts) != wanted.count:
                problems.append(f"outlet {name}: expected {wanted.count} message(s), got {len(texts)}")
            problems += [
                f"outlet {name}: `{t}` stands nowhere" for t in wanted.contains if not any(t in x for x in texts)
            ]
            problems += [
                f"outlet {name}: `{t}` must not stand there" for t in wanted.lacks if any(t in x for x in texts)
            ]
            if wanted.file and (len(texts) != 1 or next(iter(sink.delivered.values())) != _read(folder / wanted.file)):
                problems.append(f"outlet {name}: the output is not {wanted.file}")
        problems += [f"there is no outlet {name}" for name in self._case.outlets if name not in self.sinks]
        return problems

    def _cases(self) -> list[str]:
        rows = self.app.store.read("SELECT code, summary FROM cases WHERE state = 'open' ORDER BY code, id")
        found, wanted = [code for code, _ in rows], sorted(self._case.cases)
        if found == wanted:
            return []
        more = [f"case {code}: {summary}" for code, summary in dict.fromkeys(rows) if code not in wanted]
        return [f"expected open cases [{', '.join(wanted)}], got [{', '.join(found)}]", *more]

    def _counts(self, name: str) -> list[str]:
        sql = (
            "SELECT outcome, CAST(sum(count) AS BIGINT) FROM tally WHERE place = ? OR place LIKE ? || '#%' "
            "GROUP BY outcome"
        )
        found: dict[str, int] = dict(self.app.store.read(sql, (name, name)))
        return [
            f"expected {n} x {outcome}, got {found.get(outcome, 0)}"
            for outcome, n in self._case.counts.items()
            if found.get(outcome, 0) != n
        ]

    # ------------------------------------------------------------ single steps

    def step(self, route: str) -> list[str]:
        case = self._case
        try:
            results = self._alone(route, case.step, case.body)
        except BusError as error:
            return [] if error.code == case.rejects else [f"refused: {error}"]
        if case.rejects:
            return [f"expected refusal {case.rejects}, but it passed"]
        body = next((r.body for r in results if isinstance(r, Message)), None)
        problems = [] if body is not None or not case.gives else ["the step passed no message on"]
        for text, wanted in case.gives.items() if body is not None else ():
            found = compile_expression(text)(body)
            shown = "null" if found is None else f"{found:f}" if hasattr(found, "as_tuple") else str(found)
            if shown != wanted:
                problems.append(f"`{text}`: expected {wanted}, got {shown}")
        return problems

    def _alone(self, route: str, name: str, body: Any) -> list[Any]:
        spec = next((s for s in _steps(self._landscape.routes[route].spec.steps) if s.name == name), None)
        if spec is None:
            raise ConfigError("CFG174", f"route `{route}` has no step called `{name}`", hint="give the step a `name:`")
        step = spec.build(StepSurroundings(self.app, self._landscape, route, name))
        identity = edge_id("test", route, name)
        return list(step(Message(Headers(identity, identity, created_at=self.clock.now()), body)))


def _steps(steps: tuple[StepSpec, ...]) -> Iterator[StepSpec]:
    for step in steps:
        yield step
        for flow in step.flows().values():
            yield from _steps(flow.steps)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigError(
            "CFG173", f"the sample file {path.name} is not there", hint="paths are relative to the test file"
        ) from None
