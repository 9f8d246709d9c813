"""The running bus: owns routes, intakes and senders; turns them by hand, or with threads; pauses, drains, stops."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from bus.errors import BusError, ConfigError, NotAllowed
from bus.ports import RELAY, Broker, CaseNote
from bus.runtime import expectations
from bus.runtime.control import Control
from bus.runtime.dispatcher import Dispatcher
from bus.runtime.intake import Intake
from bus.runtime.pipeline import CompiledRoute
from bus.runtime.retry import longest
from bus.runtime.route import RouteBook
from bus.runtime.schedule import Schedule
from bus.runtime.sender import Sender
from bus.runtime.stores import Stores
from bus.runtime.worker import Worker

log = logging.getLogger("girobus")
_TICK = 0.05
_LINES = 4
"""Ticks between two looks at lines whose first may run again, where there are lines."""
_AGAIN = 20
"""Ticks until a task that let an error through is tried again, and between two looks for lines of others."""
_HOUSEKEEPING = 1_000
_DUE = 500
_LOOK = 1_000
_PATIENCE = 30.0
_ROUND = 200
_KEEPING = frozenset({"worker", "scheduler"})
ROLES = frozenset({"worker", "intake", "scheduler", "api"})
"""``worker`` runs segments, outlets and the relay to the broker, ``intake`` the sources, ``scheduler`` what is due and
housekeeping, ``api`` answers people. One process has them all, or several processes share them."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process does of the bus.

    Attributes:
        threads: how many run segments; more than one only helps where steps wait.
        roles: see :data:`ROLES`.
    """

    threads: int = 1
    roles: frozenset[str] = ROLES


@dataclass(slots=True)
class Assembly:
    """One loaded landscape, compiled and built; replaced as a whole by a reload."""

    routes: list[CompiledRoute] = field(default_factory=list)
    intakes: dict[str, tuple[Intake, Schedule]] = field(default_factory=dict)
    senders: dict[str, Sender] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    """Channel name in a ``from: {channel: …}`` -> route that reads it."""
    ordered: set[str] = field(default_factory=set)
    """Outlets that get messages from routes with a ``partition``."""
    owner_of: Callable[[str], str] = lambda _place: ""
    """Who gets the cases of a route or outlet."""

    def channels(self) -> Iterable[str]:
        """All channels that must exist."""
        for route in self.routes:
            yield from route.channels
        yield from self.senders

    def longest_wait(self) -> int:
        """Milliseconds that nothing waits longer for its next attempt."""
        policies = [route.spec.on_error for route in self.routes]
        policies += [sender.outlet.policy for sender in self.senders.values()]
        return max((longest(policy.backoff) for policy in policies), default=0)


class Upkeep(Protocol):
    """Forgets what is older than its retention."""

    def turn(self) -> int:
        """A small piece of the work when it is time for it; how much went."""

    def everything(self) -> dict[str, Any]:
        """As much as can be done in half a minute; what went."""


class Pulse(NamedTuple):
    """What the threads do now; times in seconds."""

    started: bool
    stopping: bool
    tasks: dict[str, float]
    """How long each task in hand has made nothing durable or visible."""
    gone: int
    """Threads that ended by themselves."""
    tick: float
    """Since the scheduler last looked."""


class Bus:
    """The Message Bus (EIP). All work is done by synchronous functions; :meth:`start` puts threads around them.

    Args:
        stores: channels, ledger, time.
        decisions: the ledger's side of what people decide.
        worker: runs segments.
        book: compiled versions.
        hold_outputs: start everything but the senders (after a restore from backup); None = for as long as the ledger
            holds them.
        share: what this process does of it all.
    """

    def __init__(
        self,
        stores: Stores,
        decisions: Any,
        worker: Worker,
        book: RouteBook,
        *,
        hold_outputs: bool | None = False,
        share: Share = Share(),
    ) -> None:
        self.broker: Broker = stores.broker
        self.ledger = stores.ledger
        self.book = book
        self.clock = stores.clock
        self._held_by_ledger = bool(stores.ledger.outputs_held())
        self.hold_outputs = self._held_by_ledger if hold_outputs is None else hold_outputs
        self.roles = share.roles
        broker, ledger = stores.broker, stores.ledger
        self.control = Control(broker, decisions)
        self.assembly = Assembly()
        self._broker = broker
        self._decisions = decisions
        self._worker = worker
        self._states: dict[str, str] = ledger.route_states()
        self._segments = Dispatcher("segment", share.threads, _log_failure)
        self._edges = Dispatcher("edge", 8, _log_failure)
        self._stopping = threading.Event()
        self._scheduler: threading.Thread | None = None
        self._leases = ExitStack()
        self._meter = stores.meter
        self._ticked = 0.0
        self._next_housekeeping = 0
        self._next_round = 0
        self._looked_at, self._next_look = 0, 0
        self._next_asked, self._next_due = 0, 0
        self._lined = True
        self._stranded: set[str] = set()
        self.upkeep: Upkeep | None = None
        broker.ready = self._wake

    # ------------------------------------------------------------ landscape

    def install(self, assembly: Assembly) -> None:
        """Swap in a landscape: new input takes the new versions, what is on its way goes on with its own."""
        self._must_be_empty(assembly)
        self._broker.declare(assembly.channels())
        self._broker.alias(assembly.aliases)
        self._broker.forget(c for r in assembly.routes if r.spec.guarantee == "at-least-once" for c in r.channels)
        self._broker.reserve(assembly.senders)
        lined = {c for r in assembly.routes for c in r.lines} | assembly.ordered | self.ledger.lined_channels()
        self._broker.keep_order(lined)
        self._lined = bool(lined)
        self._broker.keep_order(channel for channel in self._broker.declared() if "~" in channel)
        old, self.assembly = self.assembly, assembly
        self.ledger.owner_of = assembly.owner_of
        self.book.install(assembly.routes)
        self._stranded.clear()
        self._edges.tasks(self._edge_tasks(assembly))
        segments = {c: self._running(c) for c in self._broker.declared() if c not in assembly.senders}
        due = {"due": self.run_due} if "scheduler" in self.roles else {}
        self._segments.tasks({**(segments if "worker" in self.roles else {}), **due})
        self._close(old)
        if self._scheduler is not None:
            self._wake(set(self._broker.channels()))

    def _must_be_empty(self, assembly: Assembly) -> None:
        """Messages of one key may not wait in two partitions: in an old one and in one of another count.

        Raises:
            ConfigError: ``SYS166`` something waits in the old ones.
        """
        wanted = {channel for channel in assembly.channels() if "~" in channel}
        for channel in self._broker.declared():
            step, mark, _ = channel.partition("~")
            if not mark or channel in wanted or not any(name.startswith(f"{step}~") for name in wanted):
                continue
            if self._broker.depth(channel, 1) or self.ledger.lines(channel):
                route = channel.partition("#")[0]
                why = f"`{step}` cannot get another number of partitions while messages wait in the old ones"
                hint = f"put the old number back, `bus routes drain {route}`, and change it when nothing waits"
                raise ConfigError("SYS166", why, hint=hint)

    def _edge_tasks(self, assembly: Assembly) -> dict[str, Callable[[], bool]]:
        tasks: dict[str, Callable[[], bool]] = {}
        if "intake" in self.roles:
            tasks |= {f"source {n}": self._poller(n) for n in assembly.intakes}
        if "worker" in self.roles:
            tasks |= {n: self._sending(n) for n in assembly.senders}
            tasks[RELAY] = lambda: self._broker.relay() > 0
        return tasks

    def _close(self, old: Assembly) -> None:
        """Disconnect what a reload replaced, but not while a thread uses it: an answer would be lost."""
        if not self._edges.ended({*(f"source {name}" for name in old.intakes), *old.senders}, _PATIENCE):
            log.warning("a partner is slow: some connections from before the reload stay open")
            return
        for intake, _ in old.intakes.values():
            intake.close()
        for sender in old.senders.values():
            sender.outlet.sink.close()

    def pulse(self) -> Pulse:
        """What the threads do now; asks nobody and waits for nothing."""
        now, touched = time.monotonic(), self._meter.touched
        tasks = {
            name: now - max(begun, touched.get(thread, 0.0))
            for name, (begun, thread) in {**self._segments.running(), **self._edges.running()}.items()
        }
        stopping = self._stopping.is_set()
        started = self._scheduler is not None and not stopping
        return Pulse(started, stopping, tasks, self._segments.gone() + self._edges.gone(), now - self._ticked)

    # ------------------------------------------------------------ one piece of work

    def poll_once(self, route: str) -> int:
        """Look at the source of a route once."""
        if self.state(route) != "running" or not self.ledger.holdings.mine(f"source {route}"):
            return 0
        return self.assembly.intakes[route][0].poll_once()

    def run_batch(self, channel: str) -> int:
        """Run one batch of a segment."""
        name = channel.partition("#")[0]
        if self.state(name) == "paused":
            return 0
        current = next((r for r in self.assembly.routes if r.name == name), None)
        try:
            return self._worker.run_batch(channel, current.spec.batch if current else 100)
        except ConfigError as error:
            self._strand(channel, error)
            return 0

    def _strand(self, channel: str, error: ConfigError) -> None:
        """Nobody can run what waits there; it stays, and a person is told once until the next reload."""
        if channel in self._stranded:
            return
        summary = f"messages wait in `{channel}`: {error.message}"
        note = CaseNote(error.code, summary, channel.partition("#")[0], "", f"{channel}:{error.code}")
        self.ledger.commit("case", lambda tx: self.ledger.open_case(tx, note))
        self._stranded.add(channel)

    def send_once(self, outlet: str) -> int:
        """Bring one batch out."""
        return 0 if self.hold_outputs else self.assembly.senders[outlet].send_once()

    def run_due(self) -> bool:
        """Move on what waited for a time; true when there may be more."""
        if not self.ledger.holdings.mine("housekeeping"):
            return False
        moved = 0
        if self._is_due():
            moved = self._broker.transact("due", lambda tx: self.ledger.collect_due(tx, _DUE))
        return moved + self._look_at_held() >= _DUE

    def _is_due(self) -> bool:
        """Whether something's time has come; in a shared ledger what is new is looked for some times a second."""
        now = self.clock.now()
        if not self.ledger.store.shared or not now < self._next_asked <= now + _ROUND:
            self._next_asked = now + _ROUND
            self._next_due = self.ledger.next_due()
        if not 0 < self._next_due <= now:
            return False
        self._next_asked = 0
        return True

    def _look_at_held(self) -> int:
        """Let go what its predicate lets go: some held messages a second, in turn, for there may be very many."""
        now = self.clock.now()
        if now < self._next_look <= now + _LOOK:
            return 0
        self._next_look = now + _LOOK
        page = self.ledger.held_with_predicate(self._looked_at, _LOOK)
        self._looked_at = page[-1][0] if len(page) == _LOOK else 0
        moved = 0
        for held, channel, predicate, message in page:
            if self._worker.holds_true(channel, predicate, message):
                moved += self._broker.transact("due", lambda tx, held=held: self.ledger.take_held(tx, held))
        return moved

    def keep_house(self) -> int:
        """Expectations, expired memory, rows of finished groups and lanes; in small commits."""
        swept = int(self._broker.sweep())
        if "scheduler" not in self.roles or not self.ledger.holdings.mine("housekeeping"):
            return swept
        lapses = expectations.look([r.spec for r in self.assembly.routes], self.ledger, self.clock)
        forgotten = self.upkeep.turn() if self.upkeep is not None else 0
        brought = int(self.ledger.bring_forward(self.assembly.longest_wait()))
        return lapses + int(self.ledger.sweep()) + swept + forgotten + brought

    def turn(self, *, poll: bool = True) -> int:
        """Everything once, in one thread: for tests, simulation and commands that run to the end."""
        count = 0
        self._look_around()
        self._next_asked = 0
        for name, (_, schedule) in self.assembly.intakes.items():
            if poll and schedule.due(self.clock.now()):
                count += self.poll_once(name)
        self.run_due()
        count += int(self._broker.relay())
        for channel in [*self._broker.channels(), *sorted(self.ledger.lines_due())]:
            if channel not in self.assembly.senders:
                count += self.run_batch(channel)
        for name in self.assembly.senders:
            count += self.send_once(name)
        return count + self.keep_house()

    # ------------------------------------------------------------ threads

    def start(self) -> None:
        """Start threads for segments and edges, and the scheduler."""
        self._broker.start()
        self._segments.start()
        self._edges.start()
        self._ticked = time.monotonic()
        self._scheduler = threading.Thread(target=self._schedule, name="scheduler", daemon=True)
        self._scheduler.start()
        self._leases.enter_context(self.ledger.holdings.renewing(_log_failure))
        self._wake({RELAY, *self._broker.channels()})

    def stop(self, timeout: float = 30.0) -> bool:
        """Finish the batches in hand, then stop and disconnect; false when something did not end in time."""
        self._stopping.set()
        clean = self._edges.stop(timeout)
        clean = self._segments.stop(timeout) and clean
        if self._scheduler is not None:
            self._scheduler.join(timeout)
        self._leases.close()  # not before: what is being sent would be another's, who asks what became of it
        for intake, _ in self.assembly.intakes.values():
            intake.close()
        for sender in self.assembly.senders.values():
            sender.outlet.sink.close()
        return clean

    def idle(self) -> bool:
        """Nothing is being worked on and no channel holds a message."""
        return self._segments.idle() and self._edges.idle() and self._broker.at_rest()

    def _schedule(self) -> None:
        ticks = 0
        while not self._stopping.wait(_TICK):
            ticks += 1
            self._ticked = time.monotonic()
            try:
                now = self.clock.now()
                for name, (_, schedule) in list(self.assembly.intakes.items()):
                    if self.state(name) == "running" and schedule.due(now):
                        self._edges.wake(f"source {name}")
                self._wake_senders(again=ticks % _AGAIN == 0)
                self._look_around()
                self._segments.wake("due")
                if ticks % (_LINES if self._lined else _AGAIN) == 0:
                    self._wake(self.ledger.lines_due())
                if ticks % _AGAIN == 0:
                    self._segments.again()
                    self._edges.again()
                if self.roles & _KEEPING and not now < self._next_housekeeping <= now + _HOUSEKEEPING:
                    # At every tick while there is something: a busy bus leaves more than one look a second takes.
                    self._next_housekeeping = now + (0 if self.keep_house() else _HOUSEKEEPING)
            except Exception as error:  # noqa: BLE001 - without this thread nothing is polled, retried or swept
                _log_failure("scheduler", error)

    def _wake_senders(self, *, again: bool) -> None:
        for name, sender in list(self.assembly.senders.items()):
            rested = sender.resting_until and not sender.resting()
            if rested:
                sender.resting_until = 0
            if rested or (again and sender.owes_sweep):
                self._edges.wake(name)

    def _look_around(self) -> None:
        """What other processes have sent and decided, some times a second; nothing where there is one process."""
        now = self.clock.now()
        if self.ledger.store.shared and not now < self._next_round <= now + _ROUND:
            self._next_round = now + _ROUND
            self._broker.look_around()
            self._states = self.ledger.route_states()
            if "worker" in self.roles:
                self.ledger.holdings.mine(self.ledger.holdings.owner.replace("process", "worker"))
            if self._held_by_ledger and not self.ledger.outputs_held():  # released through another process
                self._held_by_ledger = self.hold_outputs = False

    def _wake(self, channels: set[str]) -> None:
        for channel in channels:
            edge = channel == RELAY or channel in self.assembly.senders
            (self._edges if edge else self._segments).wake(channel)

    def _poller(self, name: str) -> Callable[[], bool]:
        return lambda: self.poll_once(name) >= 100

    def _running(self, channel: str) -> Callable[[], bool]:
        return lambda: self.run_batch(channel) > 0

    def _sending(self, name: str) -> Callable[[], bool]:
        return lambda: self.send_once(name) > 0

    # ------------------------------------------------------------ control

    def state(self, route: str) -> str:
        """``running``, ``paused`` (nothing runs) or ``draining`` (no new input, what is inside goes on)."""
        return self._states.get(route, "running")

    def release_outputs(self, who: str, reason: str) -> bool:
        """Let outputs go again after a restore; audited. False when the ledger did not hold them."""

        def work(tx: Any) -> bool:
            self._decisions.audit(tx, who, "release-outputs", "ledger", reason)
            return bool(self.ledger.release_outputs(tx))

        if not self.ledger.outputs_held():
            return False
        released: bool = self.ledger.commit("control", work)
        self._held_by_ledger = self.hold_outputs = False
        self._wake(set(self._broker.channels()))
        return released

    def set_state(self, route: str, state: str, who: str, reason: str) -> None:
        """Pause, drain or resume a route; survives a restart; audited.

        Raises:
            NotAllowed: ``SYS207`` no such route.
        """
        if route not in self.book.names():
            raise NotAllowed("SYS207", f"there is no route `{route}`", hint="see: bus routes list")

        def work(tx: Any) -> None:
            self._decisions.set_route_state(tx, route, state)
            self._decisions.audit(tx, who, state, f"route {route}", reason)

        self.ledger.commit("control", work)
        log.info("the state of a route changed", extra={"route": route, "state": state, "user": who})
        self._states[route] = state
        self._wake(set(self._broker.channels()))


def _log_failure(task: str, error: Exception) -> None:
    """A task let an error through: its units are untouched and run again."""
    code = error.code if isinstance(error, BusError) else "INT199"
    why = error.message if isinstance(error, BusError) else type(error).__name__
    log.error("a task failed and runs again", extra={"code": code, "task": task, "why": why})
