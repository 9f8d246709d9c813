"""What goes wrong between two queues while many messages are in flight: nothing is lost, misrouted or out of order."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from bus.app import App, Surroundings
from bus.channels.amqp import address_of
from bus.channels.amqp.frames import Outgoing, properties
from bus.channels.amqp.publisher import Publisher
from bus.errors import Stalled
from bus.landscape import BrokerSpec
from bus.message import Headers, Message
from bus.operating.watch import Watch
from tests.contracts.test_amqp_contract import Books, bodies, books, eventually, message

__all__ = ["books"]

ABOUT = properties("ab" * 16, "ab" * 16, 1)


@pytest.fixture
def publisher(rabbit: str) -> Iterator[Publisher]:
    address = address_of(BrokerSpec(url=rabbit, window=50), Path())
    made = Publisher(address, random.Random(1))  # noqa: S311 - spreads pauses
    made.start()
    yield made
    made.close()


@pytest.fixture
def channel(rabbit: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(rabbit))
    yield connection.channel()
    connection.close()


def quorum(channel: pika.adapters.blocking_connection.BlockingChannel, **arguments: object) -> str:
    """A queue of its own for one test."""
    name = f"t{uuid4().hex[:8]}"
    names = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **names})
    return name


def outcomes(publisher: Publisher, queues: list[str]) -> dict[str, list[str]]:
    """Publish one message to each, each in a thread of its own, all at once: the error codes, empty = confirmed."""
    found: dict[str, list[str]] = {queue: [] for queue in queues}

    def publish(queue: str, n: int) -> None:
        try:
            publisher.publish([Outgoing(queue, ABOUT, b"%d" % n)])
        except Stalled as error:
            found[queue].append(error.code)
        else:
            found[queue].append("")

    threads = [threading.Thread(target=publish, args=(queue, n)) for n, queue in enumerate(queues)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_of_many_in_flight_just_those_that_no_queue_takes_fail(
    publisher: Publisher, channel: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    good, bad = quorum(channel), f"t{uuid4().hex[:8]}.nobody"
    found = outcomes(publisher, [good, bad] * 40)
    assert found == {good: [""] * 40, bad: ["NET223"] * 40}
    assert eventually(lambda: channel.queue_declare(good, passive=True).method.message_count == 40 or None)


def test_what_the_broker_refuses_is_not_taken_for_confirmed(
    publisher: Publisher, channel: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    queue = quorum(channel, x_max_length=5, x_overflow="reject-publish")
    codes = []
    for n in range(60):
        try:
            publisher.publish([Outgoing(queue, ABOUT, b"%d" % n)])
        except Stalled as error:
            codes.append(error.code)
    kept = channel.queue_declare(queue, passive=True).method.message_count
    assert set(codes) == {"NET224"}
    assert kept == 60 - len(codes)


def test_what_comes_while_others_are_being_settled_wakes_the_worker(books: Books) -> None:
    books.put("in", message(0))
    books.take("in", 1)
    books.woken.clear()
    books.put("in", message(1))
    eventually(lambda: "in" in books.woken or None)
    assert bodies(books.take("in", 2)) == [0, 1]


# ---------------------------------------------------------------- a route

OUT = ("euro", "dollar", "rest")
LANDSCAPE = {
    "bus.yaml": "name: faults\n",
    "hop.route.yaml": """
route: hop
from: {channel: incoming}
batch: 50
steps:
  - route:
      - when: amount.currency == 'EUR'
        steps: [{translate: {mapping: record}}]
        to: to_euro
      - when: amount.currency == 'USD'
        steps: [{translate: {mapping: record}}]
        to: to_dollar
      - otherwise: to_rest
""",
    "record.mapping.yaml": """
mapping: record
from: payment
to: journal
fields:
  document: end_to_end_id
  tax: multiply(amount.value, 0.19)
  amount: amount
""",
    **{f"{name}.route.yaml": f"route: {name}\nfrom: {{channel: to_{name}}}\nto: none\n" for name in OUT},
}


@pytest.fixture
def app(rabbit: str, tmp_path: Path) -> Iterator[App]:
    """A running bus whose three outputs are kept."""
    for name, text in LANDSCAPE.items():
        (tmp_path / name).write_text(text, "utf-8")
    made = App(tmp_path, Surroundings(broker=BrokerSpec(url=rabbit, prefix=f"t{uuid4().hex[:8]}.")))
    for name in OUT:
        made.bus.set_state(name, "paused", "test", "the output is looked at")
    yield made
    made.bus.stop()
    made.close()


def payment(n: int, currency: str | None, value: object = 100) -> Message:
    headers = Headers(f"{n + 1:032x}", f"{n + 1:032x}", number=n + 1)
    amount = {"value": value, "currency": currency}
    return Message(headers, {"type": "payment", "end_to_end_id": f"E{n}", "amount": amount})


def run(app: App, messages: list[Message]) -> dict[str, list[str]]:
    """Have them go through; the documents that came out, in their order, by queue."""
    app.broker.transact("put", lambda _tx: [("hop", one) for one in messages])
    app.bus.start()
    app.broker.relay()
    through = "SELECT coalesce(sum(count), 0) FROM tally WHERE place = 'hop'"
    eventually(lambda: app.store.read(through)[0][0] >= len(messages) or None)
    passed = len(messages) - app.store.read("SELECT count(*) FROM dead")[0][0]
    taken = eventually(lambda: _taken(app, passed))
    return {name: [d.get("document") or d["end_to_end_id"] for d in bodies] for name, bodies in taken.items()}


def _taken(app: App, count: int) -> dict[str, list[dict[str, str]]] | None:
    """What waits in the three outputs once that many do."""
    found = {name: [d.message.body for d in app.broker.take(name, 1000)] for name in OUT}
    return found if sum(map(len, found.values())) >= count else None


def test_a_translation_that_fails_is_a_dead_letter_and_its_neighbours_pass_in_their_order(app: App) -> None:
    values = ["no number" if n % 10 == 3 else 100 for n in range(200)]
    found = run(app, [payment(n, "EUR", value) for n, value in enumerate(values)])
    assert found == {"euro": [f"E{n}" for n in range(200) if n % 10 != 3], "dollar": [], "rest": []}
    assert app.store.read("SELECT count(*) FROM dead")[0][0] == 20


def test_nothing_in_the_field_that_routes_never_takes_a_wrong_branch(app: App) -> None:
    currencies = ["EUR", None, "USD", ""]
    found = run(app, [payment(n, currencies[n % 4]) for n in range(80)])
    assert found == {
        "euro": [f"E{n}" for n in range(0, 80, 4)],
        "dollar": [f"E{n}" for n in range(2, 80, 4)],
        "rest": [f"E{n}" for n in range(1, 80, 2)],
    }
    lines = Watch(app, 0, Path("nowhere")).metrics.text().decode().splitlines()
    assert 'girobus_confirm_duration_seconds_bucket{channel="hop",le="+Inf"} 0' not in lines
    assert [line for line in lines if line.startswith('girobus_confirm_duration_seconds_count{channel="hop"}')]
    assert [line for line in lines if line.startswith("girobus_confirmed_messages_total ")] != []


def test_what_waits_for_a_route_that_is_paused_has_a_depth_though_nobody_takes_it(app: App) -> None:
    app.bus.set_state("hop", "paused", "test", "before the restart")
    app.broker.transact("put", lambda _tx: [("hop", payment(n, "EUR")) for n in range(7)])
    app.bus.start()
    app.broker.relay()
    watch = Watch(app, 0, Path("nowhere"))
    watch.metrics._clock = iter(range(0, 1000, 2)).__next__  # each look is a new one
    line = 'girobus_broker_queue_messages{channel="hop"} 7.0'
    eventually(lambda: line in watch.metrics.text().decode().splitlines() or None)
    assert "hop" not in {name.rpartition(".")[2] for name in app.broker._consumer.consuming()}


def test_a_bus_that_leaves_its_rabbitmq_opens_a_case(app: App, tmp_path: Path) -> None:
    """What waits in its queues is no longer anybody's work, and nobody would see it."""
    run(app, [payment(0, "EUR")])
    app.bus.stop()
    app.close()
    for _ in range(2):
        embedded = App(tmp_path)
        found = embedded.store.read("SELECT code, summary FROM cases")
        embedded.close()
    assert [code for code, _ in found] == ["SYS169"]
    assert "channels are in the store now; what waits in the queues of RabbitMQ" in found[0][1]


# ---------------------------------------------------------------- messages that are too large

GROWING = {
    "bus.yaml": "name: large\noutlets: {away: {endpoint: {file: {path: out}}}}\n",
    "grow.route.yaml": """
route: grow
from: {channel: small}
steps:
  - translate: {mapping: twice}
to: to_rest
""",
    "twice.mapping.yaml": """
mapping: twice
from: payment
to: journal
fields:
  document: end_to_end_id
  first: memo
  second: memo
""",
    "rest.route.yaml": "route: rest\nfrom: {channel: to_rest}\nto: none\n",
    "lines.route.yaml": """
route: lines
from: {file: {path: in, match: "*.jsonl"}}
batch: 2
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - filter: {name: wanted, when: id != 'none'}
  - aggregate: {name: file, complete: {batch: true}}
  - translate: {name: out, to: {json: {document: list}}}
to: away
""",
}


@pytest.fixture
def growing(rabbit: str, tmp_path: Path) -> Iterator[App]:
    for name, text in GROWING.items():
        (tmp_path / name).write_text(text, "utf-8")
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    broker = BrokerSpec(url=rabbit, prefix=f"t{uuid4().hex[:8]}.", max_message_size=64_000)
    made = App(tmp_path, Surroundings(broker=broker))
    yield made
    made.bus.stop()
    made.close()


def test_a_unit_whose_output_is_too_large_is_a_dead_letter_with_a_case_and_nothing_else(growing: App) -> None:
    growing.bus.set_state("rest", "paused", "test", "the output is looked at")
    large = {3, 7}
    made = [payment(n, "EUR") for n in range(10)]
    made = [one.with_body({**one.body, "memo": "x" * (40_000 if n in large else 10)}) for n, one in enumerate(made)]
    growing.broker.transact("put", lambda _tx: [("grow", one) for one in made])
    growing.bus.start()
    growing.broker.relay()
    found = eventually(lambda: got if len(got := growing.broker.take("rest", 100)) == 8 else None)
    assert [d.message.body["document"] for d in found] == [f"E{n}" for n in range(10) if n not in large]
    dead = "SELECT channel, code, number FROM dead ORDER BY number"
    assert eventually(lambda: found if len(found := growing.store.read(dead)) == 2 else None) == [
        ("grow", "NET227", 4),
        ("grow", "NET227", 8),
    ]
    assert growing.store.read("SELECT count(*) FROM cases WHERE code = 'NET227' AND state = 'open'")[0][0] == 2


def test_a_line_that_is_too_large_is_a_dead_letter_and_its_file_goes_on(growing: App, tmp_path: Path) -> None:
    rows = [{"id": f"{n}", "memo": "x" * (70_000 if n == 3 else 10)} for n in range(6)]
    (tmp_path / "in" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    (made,) = eventually(lambda: (growing.bus.turn(), [f for f in out.iterdir() if f.is_file()] or None)[1])
    assert [row["id"] for row in json.loads(made.read_text())] == ["0", "1", "2", "4", "5"]
    assert growing.store.read("SELECT channel, code FROM dead") == [("lines#rows", "NET227")]


# ---------------------------------------------------------------- what is gone from the landscape

HOLDING = """
route: pay
from: {channel: paid}
steps:
  - hold: {name: STEP, until: release}
to: away
"""


def test_what_waited_for_a_step_or_a_route_that_is_gone_goes_on_or_has_a_case_beside_a_new_broker(
    rabbit: str, tmp_path: Path
) -> None:
    (tmp_path / "bus.yaml").write_text("name: gone\noutlets: {away: {endpoint: {file: {path: out}}, format: json}}\n")
    (tmp_path / "pay.route.yaml").write_text(HOLDING.replace("STEP", "old"))
    (tmp_path / "left.route.yaml").write_text("route: left\nfrom: {channel: leaving}\nto: none\n")
    (tmp_path / "out").mkdir()
    before = App(tmp_path, Surroundings())
    before.broker.transact("put", lambda _tx: [("pay", payment(0, "EUR"))])
    assert before.bus.run_batch("pay") == 1
    before.broker.transact("put", lambda _tx: [("left", payment(1, "EUR"))])
    before.close()
    (tmp_path / "pay.route.yaml").write_text(HOLDING.replace("STEP", "new"))
    (tmp_path / "left.route.yaml").unlink()
    made = App(tmp_path, Surroundings(broker=BrokerSpec(url=rabbit, prefix=f"t{uuid4().hex[:8]}.")))
    try:
        made.bus.start()
        cases = "SELECT id, code, route FROM cases WHERE state = 'open' AND code <> 'CFG169'"
        ((case, _, _),) = made.store.read(cases)
        made.bus.control.release(case, "me", "seen")
        eventually(lambda: [f for f in (tmp_path / "out").iterdir() if f.is_file()] or None)
        gone = "SELECT code, route FROM cases WHERE code = 'CFG169'"
        assert eventually(lambda: made.store.read(gone) or None) == [("CFG169", "left")]
        assert made.broker.depth("left") == 1
    finally:
        made.bus.stop()
        made.close()
