"""Channels and ledger on any store that die at a chosen moment, for state machines of hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from bus.channels.amqp.broker import AmqpBroker
from bus.channels.shared import SharedBroker
from bus.channels.store import StoreBroker
from bus.errors import Retryable
from bus.ledger.decisions import Decisions
from bus.ledger.ledger import Ledger
from bus.ledger.postgres import PostgresStore
from bus.ledger.store import Store
from bus.message import Headers, Message, child_id
from bus.ports import Delivery, Settlement
from bus.runtime.control import Control
from bus.testing import postgres
from bus.testing.clock import ManualClock
from bus.testing.wire import MemoryRabbit, Misbehaviour

ROOT = "6ba7b8119dad11d180b400c04fd430c8"
CHANNELS = ("in", "in#next", "out")
MOMENTS = (
    "", "", "", "commit.segment:before", "commit.segment:after", "commit.relay:before", "commit.relay:after",
    "amqp.publish:before", "amqp.publish:after", "amqp.acknowledge:before",
)  # fmt: skip
"""Where a process dies; empty = it does not."""
COMMITTED = {"commit.segment:after", "amqp.acknowledge:before"}
"""Who dies there has settled."""


class Crash(BaseException):
    """The process dies here."""


class Books:
    """Broker and ledger of one process after the other, on one store.

    Args:
        place: URL of an empty PostgreSQL ledger, None = SQLite in memory.
        rabbit: the broker that keeps the channels, None = the store does.
    """

    def __init__(self, place: str | None = None, rabbit: MemoryRabbit | None = None) -> None:
        self.clock = ManualClock()
        self.rabbit = rabbit
        self.kept: frozenset[str] = frozenset()
        """Channels in order, from the next process on."""
        self._crash_at = ""
        self.store: Store | PostgresStore
        self.store = PostgresStore(place, effect=self._effect) if place else Store(None, effect=self._effect)
        self.lives = 0
        self.restart()

    def restart(self) -> None:
        """The next process: of the one before, nothing is left but what is durable."""
        self._crash_at = ""
        self.lives += 1
        if isinstance(self.store, Store):
            self.store._next_number = self.store._last_reserved = 0
            self.store._serials.clear()
            self.store._tail.forget()
        self.ledger = Ledger(self.store, self.clock)
        self.ledger.holdings.term = 0  # a dead process keeps nobody waiting
        inside = StoreBroker(self.store, self.ledger)
        if self.store.shared:
            inside = SharedBroker(self.store, self.ledger, self.ledger.holdings, self.ledger.epoch)
        self.broker: StoreBroker | AmqpBroker = inside
        if self.rabbit is not None:
            owner = f"{self.lives:016x}"
            self.broker = AmqpBroker(self.rabbit.wire(), self.store, inside, self.clock, owner, self._effect)
        self.broker.declare(CHANNELS)
        self.broker.keep_order(self.kept)
        self.control = Control(self.broker, Decisions(self.ledger))

    def _effect(self, label: str) -> None:
        if label == self._crash_at:
            raise Crash

    @contextmanager
    def dying(self, moment: str) -> Iterator[list[str]]:
        """What happens inside is cut off at ``moment``; then the next process is there. Tells where it died."""
        died = [""]
        self._crash_at = moment
        try:
            yield died
        except Crash:
            died[0] = moment
            self.restart()
        finally:
            self._crash_at = ""

    def put(self, channel: str, messages: list[Message]) -> None:
        """Put messages on a channel."""
        self.broker.transact("put", lambda _tx: [(channel, m) for m in messages])

    def take(self, channel: str, most: int) -> list[Delivery]:
        """What can be taken, after the relay has brought what it could."""
        for _ in range(3):
            try:
                self.broker.relay()
            except Retryable:
                continue  # the broker lost the connection: the relay tries again
            break
        return self.broker.take(channel, most) or self.broker.take(channel, most)

    def settle(self, deliveries: list[Delivery], fill: Callable[[Settlement], Any], place: str = "in") -> bool:
        """Settle in one commit; false when the broker refused, and nothing was committed."""
        settlement = Settlement(place)
        fill(settlement)
        try:
            self.broker.settle(deliveries, settlement, "segment")
        except Retryable:
            return False
        return True

    def close(self) -> None:
        """Disconnect."""
        self.store.close()


def bad_rabbit(*, shuffled: bool = False) -> MemoryRabbit:
    """A broker that stores one message in five twice."""
    return MemoryRabbit(Random(7), Misbehaviour(doubled=0.2, shuffled=shuffled))  # noqa: S311 - repeatable


def message(name: str, **headers: Any) -> Message:
    """A message with an id of its name."""
    identity = child_id(ROOT, "test", "message", name)
    return Message(Headers(identity, headers.pop("correlation_id", identity), **headers), {"name": name})


def play(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Run a machine through so many histories of so many steps."""
    pace = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=pace)


class Machine(RuleBasedStateMachine):
    """One whose histories begin with empty books of some kind; subclasses are made with :meth:`on`."""

    kind = "sqlite"
    ledgers: Callable[[], AbstractContextManager[str]]

    def __init__(self) -> None:
        super().__init__()
        self._opened = ExitStack()
        place = self._opened.enter_context(self.ledgers()) if self.kind == "postgres" else None
        shuffled = self.kind in ("shuffled", "ordered")
        rabbit = bad_rabbit(shuffled=shuffled) if self.kind not in ("sqlite", "postgres") else None
        self.books = Books(place, rabbit)
        self._opened.callback(self.books.close)

    @classmethod
    def on(cls, kind: str, request: pytest.FixtureRequest) -> type[Self]:
        """This machine on ``sqlite``, ``postgres``, ``rabbitmq`` (in memory), or one that is ``shuffled``.

        ``ordered`` and ``switching`` are for machines that say which channels are in order.
        """
        found = {"kind": kind}
        if kind == "postgres":
            server = request.getfixturevalue("postgres_server")
            found["ledgers"] = staticmethod(lambda: postgres.schema(server))
        return type(f"{cls.__name__}On{kind.title()}", (cls,), found)

    def teardown(self) -> None:
        """What must hold at the end, whatever happened."""
        try:
            self.finish()
        finally:
            self._opened.close()

    def finish(self) -> None:
        """To be overridden."""
