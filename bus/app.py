"""The composition root: settings and a landscape become a running bus; the only module that knows concrete classes."""

from __future__ import annotations

import gc
import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.channels.shared import SharedBroker
from bus.channels.store import StoreBroker
from bus.config import Landscape, LoadedRoute, landscape_from_sources, load_landscape, route_hash, sources
from bus.config.flow import RouteFlow, owner_of
from bus.errors import ConfigError, Retryable, Unavailable
from bus.expressions import NamedFunction, compile_expression
from bus.landscape import BrokerSpec, ChannelSource
from bus.ledger import backbone, restored, versions
from bus.ledger.decisions import Decisions
from bus.ledger.ledger import Ledger
from bus.ledger.place import Documents, documents, open_blobs, open_store
from bus.ledger.store import no_effect
from bus.ledger.upkeep import Upkeep
from bus.ports import (
    BlobStore,
    Broker,
    Clock,
    EffectHook,
    Format,
    Reader,
    RuleBook,
    Sink,
    Source,
    StepResources,
    Store,
    TextTemplate,
)
from bus.registry import Registry, mapping_support, models, profile_support, template_support
from bus.runtime.bus import ROLES, Assembly, Bus, Share
from bus.runtime.intake import Intake
from bus.runtime.meter import Meter
from bus.runtime.pipeline import CompiledRoute, compile_route
from bus.runtime.route import RouteBook
from bus.runtime.schedule import Schedule
from bus.runtime.sender import Outlet, Sender
from bus.runtime.stores import Stores
from bus.runtime.worker import Worker
from bus.settings import ledger_place
from bus.spec import EndpointSpec

if TYPE_CHECKING:
    from bus.channels.amqp.wire import Wire

_OURS = re.compile(r"^(bus|endpoints|transforms|certs)(?:\.py)?(?:[/,]|$)", re.MULTILINE)
"""One of the top-level packages, in a list of packages or files."""


_WAIT = 0.5
"""Seconds between two looks at whether another process has sorted the queues."""


class SystemClock:
    """Real time."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Surroundings:
    """What differs between a running bus, a test and a simulation; the defaults are the running bus."""

    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.SystemRandom)
    effect: EffectHook = no_effect
    catalogue: Registry = field(default_factory=Registry)
    source: Callable[[EndpointSpec, Any], Source] = field(default=lambda spec, resources: spec.source(resources))
    sink: Callable[[EndpointSpec, Any], Sink] = field(default=lambda spec, resources: spec.sink(resources))
    threads: int = 1
    """Worker threads for segments."""
    visit: Callable[[str, str], None] | None = None
    """Told (step, branch) whenever a message enters a branch."""
    broker: BrokerSpec | None = None
    """RabbitMQ to use instead of what ``bus.yaml`` says."""
    roles: frozenset[str] = ROLES
    """What this process does of it all."""
    wire: Wire | None = None
    """A simulated RabbitMQ to use instead."""
    store: Store | None = None
    """An opened store to use instead of the landscape's own; a simulated crash keeps it and builds a new bus on it."""
    templates: Any = None
    """What renders templates instead of a process of the bus's own (see :mod:`transforms.template.worker`)."""


class App:
    """A bus with its landscape: loads, reloads, opens and closes.

    Args:
        folder: where ``bus.yaml`` stands.
        surroundings: clock, chance, hooks.
        home: folder of ledger and blobs instead of the one in ``bus.yaml``.
        hold_outputs: start everything but the senders; None = for as long as the ledger holds them.
        landscape: an already loaded and checked landscape of that folder.

    Raises:
        ConfigError: the landscape has errors.
        Unavailable: another process writes the store.
    """

    def __init__(
        self,
        folder: Path,
        surroundings: Surroundings | None = None,
        *,
        home: Path | None = None,
        hold_outputs: bool | None = False,
        landscape: Landscape | None = None,
    ) -> None:
        _own_packages()
        self.folder = folder
        self.around = surroundings or Surroundings()
        self.landscape = (landscape or load_landscape(folder, self.around.catalogue)).require()
        self.home = home or folder / self.landscape.spec.store
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)  # payments are nobody else's business
        self.meter = Meter()
        effect = self._effect = self.meter.watched(self.around.effect)
        self.place = ledger_place(self.landscape.spec.ledger, self.home)
        self.store = self.around.store or open_store(self.place, effect=effect)
        with ExitStack() as opened:  # what fails on the way closes what is open by then
            if self.around.store is None:
                opened.callback(self.store.close)
            self._open(opened, effect, hold_outputs=hold_outputs)
            opened.pop_all()

    def _open(self, opened: ExitStack, effect: EffectHook, *, hold_outputs: bool | None) -> None:
        self.blobs: Documents = open_blobs(*documents(self.landscape.spec, self.folder, self.home), effect=effect)
        self.ledger = Ledger(self.store, self.around.clock)
        with suppress(
            Retryable
        ):  # a bucket that is away keeps nobody from starting, nor from collecting: that asks again
            self.blobs.claim(versions.identity(self.ledger.read))
        if hold_outputs is False and self.ledger.outputs_held():
            hint = "bus run --hold-outputs; compare with your partners; then bus db release-outputs --reason"
            raise Unavailable("SYS142", "the ledger was restored from a backup and its outputs are held", hint=hint)
        self.broker: Broker = self._broker(self.landscape)
        opened.callback(self.broker.close)
        self.epoch = self.ledger.epoch
        book = RouteBook(self._recompile)
        self.templates = self.around.templates or template_support().TemplateWorker(self.landscape.spec.templates)
        if self.around.templates is None:
            opened.callback(self.templates.close)
        self._stores = Stores(self.broker, self.ledger, self.blobs, self.around.clock, self.around.chance, self.meter)
        worker = Worker(self._stores, book)
        share = Share(self.around.threads, self.around.roles)
        self.bus = Bus(self._stores, Decisions(self.ledger), worker, book, hold_outputs=hold_outputs, share=share)
        self.upkeep = Upkeep(
            self.store, None if self.around.store else self.place, self.blobs, self.around.clock, self._kept()
        )
        self.upkeep.spare = self._spared()
        self.bus.upkeep = self.upkeep
        self.bus.install(self._assemble(self.landscape))
        if self.around.wire is None:
            backbone.remember(self.ledger, self._backbone())

    def sort_out(self, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Before a restored ledger does anything else, one process sorts the queues, which are younger than it is.

        ``goes_on`` is asked all the time: it may take minutes. False when it said no.

        Raises:
            Unavailable: ``SYS151`` another process still consumes the queues, or the broker does not answer.
        """
        sort_out = getattr(self.broker, "sort_out", None)
        while sort_out is not None and restored.since(self.ledger.read) is not None:
            if not goes_on():
                return False
            with restored.sorting(self.ledger, goes_on) as survey:
                if survey is None:
                    time.sleep(_WAIT)
                elif sort_out(survey):
                    restored.sorted_out(self.ledger, survey)
        return True

    def _kept(self) -> dict[str, int]:
        return self.landscape.spec.retention.model_dump()

    def _spared(self) -> tuple[str, ...]:
        """Routes whose source leaves files where they are: what is known of them must never be forgotten."""
        routes = self.landscape.routes.values()
        return tuple(sorted(r.name for r in routes if getattr(r.spec.from_, "after", "") == "leave"))

    def reload(self) -> Landscape:
        """Read the folder again and swap; the running versions stay when there is an error.

        Raises:
            ConfigError: the first error; nothing changed.
        """
        landscape = load_landscape(self.folder, self.around.catalogue).require()
        self.bus.install(self._assemble(landscape))
        self.templates.adopt(landscape.spec.templates)
        self.landscape = landscape
        return landscape

    def close(self) -> None:
        """Disconnect, close the store, end the process that renders templates (after ``bus.stop()``)."""
        try:
            self.templates.close()
            self.broker.close()
            self.ledger.holdings.release()
        finally:
            self.store.close()

    def _channels(self) -> StoreBroker:
        if not self.store.shared:
            return StoreBroker(self.store, self.ledger)
        self.ledger.holdings.mine(self.ledger.holdings.owner)
        return SharedBroker(self.store, self.ledger, self.ledger.holdings, self.ledger.epoch)

    # ------------------------------------------------------------ building

    def _backbone(self) -> str:
        spec = self.around.broker or self.landscape.spec.broker
        if spec is None:
            return backbone.EMBEDDED
        from bus.channels.amqp import address_of  # noqa: PLC0415 - as below

        address = address_of(spec, self.folder)
        return backbone.rabbitmq([host for host, _ in address.hosts], address.vhost, address.prefix)

    def _broker(self, landscape: Landscape) -> Broker:
        inside = self._channels()
        around = self.around
        spec = around.broker or landscape.spec.broker
        wire = around.wire
        if wire is None and spec is None:
            return inside
        from bus.channels.amqp import wire_of  # noqa: PLC0415 - the client library, where it is used
        from bus.channels.amqp.broker import AmqpBroker  # noqa: PLC0415

        if wire is None:
            wire = wire_of(spec, self.folder, around.chance, versions.identity(self.ledger.read))  # type: ignore[arg-type]  # one of the two is there
        owner = f"{self.ledger.epoch & 0xFFFFFFFF:08x}{around.chance.getrandbits(32):08x}"
        broker = AmqpBroker(wire, self.store, inside, around.clock, owner, self._effect)
        broker.confirmed = self.meter.confirmed
        return broker

    def _assemble(self, landscape: Landscape) -> Assembly:
        assembly = Assembly(owner_of=cache(partial(owner_of, landscape)))
        for loaded in landscape.routes.values():
            assembly.routes.append(self._compile(landscape, loaded))
            if assembly.routes[-1].lines:
                assembly.ordered |= {way.name for way in RouteFlow(loaded).ways} & set(landscape.spec.outlets)
            origin = loaded.spec.from_
            if isinstance(origin, ChannelSource):
                assembly.aliases[origin.channel] = loaded.name
        for name, outlet in landscape.spec.outlets.items():
            resources = self._endpoint(landscape, name, f"outlet {name}")
            built = Outlet(
                name,
                self.around.sink(outlet.endpoint, resources),
                StepSurroundings(self, landscape, "", name).format(outlet.format)
                if outlet.format is not None
                else None,
                outlet.batch,
                outlet.on_error,
            )
            assembly.senders[name] = Sender(built, self._stores)
        self.broker.declare(assembly.channels())
        for loaded in landscape.routes.values():
            spec = loaded.spec.from_
            if not isinstance(spec, ChannelSource):
                assembly.intakes[loaded.name] = (
                    self._intake(landscape, loaded, spec, assembly),
                    Schedule(spec.poll, self.around.clock.now()),
                )
        self._know_claims()
        return assembly

    def _know_claims(self) -> None:
        """Whether messages on a broker may name documents from inside, by any version, is known before one runs."""
        if (sieve := getattr(self.broker, "sieve", None)) is not None:
            sieve.claims = versions.any_with(self.ledger.read, "claim_check")

    def _intake(self, landscape: Landscape, loaded: LoadedRoute, spec: EndpointSpec, assembly: Assembly) -> Intake:
        compiled = {route.name: route for route in assembly.routes}
        source = self.around.source(spec, self._endpoint(landscape, loaded.name, f"source {loaded.name}"))
        return Intake(lambda: compiled[loaded.name], source, self._stores)

    def _compile(self, landscape: Landscape, loaded: LoadedRoute) -> CompiledRoute:
        version = self.ledger.store_version(loaded.name, route_hash(landscape, loaded), sources(landscape, loaded))
        return compile_route(loaded.spec, version, self._resources(landscape, loaded.name), self.around.visit)

    def _resources(self, landscape: Landscape, route: str) -> Callable[[str], StepResources]:
        return lambda step: StepSurroundings(self, landscape, route, step)

    def _recompile(self, version: int, wanted: str) -> CompiledRoute | None:
        """An old version, from the texts that the ledger kept; None when it is one of another route."""
        stored = self.ledger.load_version(version)
        if stored is None:
            raise ConfigError(
                "CFG170", f"route version {version} is not in the ledger", hint="restore the ledger from backup"
            )
        name, _, texts = stored
        if name != wanted:
            return None
        self._know_claims()  # another process may have stored it
        landscape = landscape_from_sources(texts, self.around.catalogue)
        route = compile_route(landscape.routes[name].spec, version, self._resources(landscape, name))
        self.broker.declare(route.channels)
        self.broker.keep_order(route.lines)
        return route

    def _endpoint(self, landscape: Landscape, name: str, lease: str) -> EndpointSurroundings:
        def owner() -> int:
            return self.ledger.holdings.latest(lease) or self.epoch

        return EndpointSurroundings(name, self.folder, owner, self.around.clock, self._effect, landscape.connections)


@dataclass(slots=True)
class EndpointSurroundings:
    """:class:`bus.ports.EndpointResources` of one endpoint."""

    name: str
    root: Path
    owner: Callable[[], int]
    clock: Clock
    effect: EffectHook
    connections: dict[str, Any]

    @property
    def epoch(self) -> int:
        """The token of the lease that this process has for it; where it needs none, the number of the process."""
        return self.owner()

    def connection(self, name: str) -> Any:
        """The connection of that name.

        Raises:
            ConfigError: ``CFG164`` when there is none.
        """
        try:
            return self.connections[name]
        except KeyError:
            raise ConfigError("CFG164", f"there is no connection `{name}`", hint="add it to connections.yaml") from None


class StepSurroundings:
    """:class:`bus.ports.StepResources` of one step of one route version."""

    def __init__(self, app: App, landscape: Landscape, route: str, step: str) -> None:
        self.route = route
        self.step = step
        self.blobs: BlobStore = app.blobs
        self.reader: Reader = app.ledger
        self.clock = app.around.clock
        loaded = landscape.routes.get(route)
        expected = loaded.spec.answer if loaded is not None else None
        self.answer_within = expected.answer_within if expected is not None else 0
        self._landscape = landscape
        self._templates = app.templates
        self._built_tables: dict[str, Any] | None = None

    def expression(self, text: str) -> Callable[[Any], Any]:
        """Compile an expression with the landscape's value tables bound."""
        return self._formula(text)

    def mapping(self, name: str, *, reverse: bool = False) -> Callable[[Any], Any]:
        """A mapping by name, from source to target or the other way."""
        mappings = {known: loaded.spec for known, loaded in self._landscape.mappings.items()}
        compiled: Callable[[Any], Any] = mapping_support().compile_named(
            name, mappings=mappings, expression=self._formula, tables=self._tables(), reverse=reverse
        )
        return compiled

    def _formula(self, text: str, *, functions: Mapping[str, NamedFunction] | None = None) -> Callable[[Any], Any]:
        return compile_expression(text, tables=self._tables(), clock=self.clock, functions=functions).run

    def template(self, name: str) -> TextTemplate:
        """A template by name, with those that it includes."""
        texts = {known: template.text for known, template in self._landscape.templates.items()}
        rendering: TextTemplate = template_support().Rendering.of(self._templates, name, texts)
        return rendering

    def format(self, spec: Any) -> Format:
        """Build a format from its spec."""
        built: Format = spec.build(self)
        return built

    def table(self, name: str) -> Any:
        """A value table by name."""
        try:
            return self._tables()[name]
        except KeyError:
            raise ConfigError("CFG163", f"there is no value table `{name}`", hint="add NAME.table.yaml") from None

    def profile(self, name: str) -> RuleBook:
        """A profile by name: one beside the routes, or a shipped one."""
        own = {known: loaded.spec for known, loaded in self._landscape.profiles.items()}
        found: RuleBook = profile_support().Profiles(own).get(name)
        return found

    def model(self, name: str) -> Callable[[Any], Any]:
        """The checks of a canonical model."""
        try:
            check: Callable[[Any], Any] = models()[name]
        except KeyError:
            raise ConfigError(
                "CFG163", f"there is no canonical model `{name}`", hint=f"known: {', '.join(sorted(models()))}"
            ) from None
        return check

    def _tables(self) -> dict[str, Any]:
        if self._built_tables is None:
            build = mapping_support().ValueTable.of
            self._built_tables = {name: build(loaded.spec) for name, loaded in self._landscape.tables.items()}
        return self._built_tables


def calm_collector() -> None:
    """Let the garbage collector rest while messages flow: they are made and dropped in batches and hold no circles.

    For programs that run a bus and nothing else; it doubles the speed of decoding.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


@cache
def _own_packages() -> None:
    """The top-level packages have short names; another distribution that installs one of them would be mixed in."""
    for distribution in distributions():
        listed = distribution.read_text("top_level.txt") or distribution.read_text("RECORD") or ""
        found = _OURS.search(listed)
        if found and distribution.name != "girobus":
            raise ConfigError(
                "SYS106",
                f"package `{found[1]}` also belongs to {distribution.name}",
                hint="install girobus in an environment of its own",
            )
