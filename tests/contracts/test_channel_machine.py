"""Any history of sending, taking, settling, dying and broken connections keeps every message, and none twice."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from bus.channels.amqp.broker import AmqpBroker
from bus.errors import Rejected
from bus.ports import Delivery, Event, Settlement
from tests.contracts.stateful import CHANNELS, COMMITTED, MOMENTS, Machine, message, play

NEXT = {"in": "in#next", "in#next": "out", "out": ""}
WORTH = Decimal("1.07")
SENDING = ("", "commit.put:before", "commit.put:after")


class Channels(Machine):
    """Messages go from channel to channel; ``settled`` are the names that were settled on each, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.settled: dict[str, list[str]] = {name: [] for name in CHANNELS}
        if self.kind == "ordered":
            self.books.kept = frozenset(CHANNELS)
            self.books.restart()

    @rule(count=st.integers(1, 5), moment=st.sampled_from(SENDING))
    def send(self, count: int, moment: str) -> None:
        first = len(self.sent)
        names = [f"m{first + n}" for n in range(count)]
        messages = [message(name, worth=("EUR", WORTH), number=first + n + 1) for n, name in enumerate(names)]
        with self.books.dying(moment) as died:
            self.books.put("in", messages)
        if died[0] != "commit.put:before":
            self.sent += names

    @rule(channel=st.sampled_from(CHANNELS), most=st.integers(1, 6), moment=st.sampled_from(MOMENTS))
    def work(self, channel: str, most: int, moment: str) -> None:
        deliveries: list[Delivery] = []
        done = False
        with self.books.dying(moment) as died:
            deliveries = self.books.take(channel, most)
            if deliveries:
                done = self.books.settle(deliveries, lambda s: _pass_on(channel, deliveries, s), channel)
        if done or died[0] in COMMITTED:
            self.settled[channel] += [str(delivery.message.body["name"]) for delivery in deliveries]

    @rule(channel=st.sampled_from(CHANNELS))
    def change_ones_mind(self, channel: str) -> None:
        """What was taken and not settled, or refused, is there again."""
        first = self.books.take(channel, 4)

        def wrong(settlement: Settlement) -> None:
            settlement.events.extend(Event(delivery.message, "sent") for delivery in first)
            settlement.puts.append(("nowhere", message("never")))

        if first and not isinstance(self.books.broker, AmqpBroker):
            with pytest.raises(Rejected, match="INT111"):
                self.books.settle(first, wrong, channel)
        again = self.books.take(channel, 4)
        assert [d.message for d in again[: len(first)]] == [d.message for d in first]

    @rule()
    def end_in_good_order(self) -> None:
        self.books.restart()

    @precondition(lambda self: self.kind == "switching")
    @rule(kept=st.sets(st.sampled_from(CHANNELS)), moment=st.sampled_from(MOMENTS))
    def put_other_channels_in_order(self, kept: set[str], moment: str) -> None:
        """The next landscape needs the order elsewhere; what the relay was about to bring is in two places."""
        with self.books.dying(moment):
            self.books.take("in#next", 1)
        self.books.kept = frozenset(kept)
        self.books.restart()

    @precondition(lambda self: self.books.rabbit is not None)
    @rule(later=st.integers(1, 3))
    def lose_the_connection(self, later: int) -> None:
        rabbit = self.books.rabbit
        assert rabbit is not None
        rabbit.misbehaviour.failing |= {rabbit.published + later}

    @invariant()
    def nothing_is_settled_twice_or_out_of_nothing(self) -> None:
        """What a dead process had published before its commit may be ahead of its input; the copies end there."""
        for names in self.settled.values():
            if self.kind in ("shuffled", "switching"):
                assert max(Counter(names).values(), default=1) == 1
                assert set(names) <= set(self.sent)
            else:
                assert names == self.sent[: len(names)]

    def finish(self) -> None:
        """Whatever is still on its way comes to the end, and all money with it."""
        if self.books.rabbit is not None:
            self.books.rabbit.misbehaviour.failing = frozenset()
        for channel in CHANNELS:
            while True:
                before = len(self.settled[channel])
                self.work(channel, 50, "")
                if len(self.settled[channel]) == before:
                    break
        self.nothing_is_settled_twice_or_out_of_nothing()
        assert [len(names) for names in self.settled.values()] == [len(self.sent)] * 3
        if self.sent:
            told = self.books.store.read("SELECT place, count, amount FROM tally WHERE outcome = 'sent'")
            sums = {place: (count, Decimal(amount)) for place, count, amount in told}
            assert sums == dict.fromkeys(CHANNELS, (len(self.sent), WORTH * len(self.sent)))


def _pass_on(channel: str, deliveries: list[Delivery], settlement: Settlement) -> None:
    for delivery in deliveries:
        settlement.events.append(Event(delivery.message, "sent"))
        settlement.report(delivery.message, "sent")
        if NEXT[channel]:
            settlement.puts.append((NEXT[channel], delivery.message))


HISTORIES = {
    "sqlite": (40, 30),
    "rabbitmq": (40, 30),
    "shuffled": (30, 30),
    "ordered": (30, 30),
    "switching": (60, 40),
    "postgres": (8, 20),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", HISTORIES)
def test_channels(kind: str, request: pytest.FixtureRequest) -> None:
    play(Channels.on(kind, request), *HISTORIES[kind])


@pytest.mark.full
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", HISTORIES)
def test_channels_for_long(kind: str, request: pytest.FixtureRequest) -> None:
    play(Channels.on(kind, request), 1_500 if kind != "postgres" else 200, 60)
