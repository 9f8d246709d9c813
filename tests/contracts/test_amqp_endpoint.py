"""Other people's brokers: what they send is taken in once and whole, what goes to them is confirmed or has failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import pytest
from broker_town import Crash, Foreign, Town
from pydantic import ValidationError

from bus.errors import InDoubt, Rejected, Retryable
from bus.message import Headers, Message
from bus.testing.clock import ManualClock
from bus.testing.folder import ScriptedResources
from bus.testing.rabbitmq import RabbitCluster
from endpoints.amqp import AmqpConnection, AmqpSpec
from tests.conftest import needs
from tests.contracts.lossy_broker import LossyBroker

PARSED = "steps:\n  - parse: json\nto: out\n"
RAW = "to: out\n"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWN_PASSWORD", "guest")


@pytest.fixture
def foreign(rabbit: str) -> Iterator[Foreign]:
    made = Foreign(rabbit)
    yield made
    made.close()


def source(queue: str, more: str = "") -> str:
    return f"from: {{amqp: {{connection: there, queue: '{queue}'{', ' + more if more else ''}}}}}\n"


def sink(key: str, more: str = "") -> str:
    return f"{{amqp: {{connection: there, routing_key: '{key}'{', ' + more if more else ''}}}}}"


def one_sink(url: str, heartbeat: str = "60s", **options: Any) -> Any:
    """A sink alone, driven by hand."""
    login = {"user": "guest", "password": "${env:TOWN_PASSWORD}"}
    limits = {"url": url, **login, "deadline": "3s", "heartbeat": heartbeat}
    connection = AmqpConnection.model_validate(limits)
    spec = AmqpSpec.model_validate({"connection": "there", **options})
    return spec.sink(ScriptedResources(ManualClock(), connections={"there": connection}))


def message(n: int, **properties: Any) -> Message:
    identity = f"{n:032x}"
    return Message(Headers(identity, identity, created_at=1_763_884_800_000), {"n": n}, properties)


def prepared(sink: Any, made: Message) -> Any:
    return sink.prepare(made, BytesIO(json.dumps(made.body).encode()))


# ---------------------------------------------------------------- in


def test_a_message_runs_through_and_is_acknowledged(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink(back)}) as town:
        for n in range(30):
            foreign.send(there, {"n": n}, message_id=f"m-{n}")
        town.until(lambda: foreign.depth(back) == 30)
        got = foreign.got(back, 30)
        assert [json.loads(body)["n"] for _, _, body in got] == list(range(30)), "one consumer keeps the order"
        assert len({properties.message_id for _, properties, _ in got}) == 30
        assert {properties.delivery_mode for _, properties, _ in got} == {2}
        assert foreign.depth(there) == 0
        town.again()
        town.turn()
        assert town.arrivals() == 30
        assert town.cases() == []


def test_headers_and_properties_come_and_go_with_their_names_and_types(
    tmp_path: Path, rabbit: str, foreign: Foreign
) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    headers = {
        "x-batch_no": 7, "X_Batch-No": "7", "zeta": True, "alpha": None, "big": 2**40, "text": "ä€",
        "when": datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC), "cost": Decimal("12.50"),
        "nested": {"b": [1, "two", False], "a": {"deep": -1}}, "bytes": b"\xff\xfe",
    }  # fmt: skip
    properties = {
        "content_type": "application/json", "content_encoding": "utf-8", "priority": 4, "correlation_id": "corr",
        "reply_to": "answers", "message_id": "m-1", "timestamp": 1_700_000_000, "type": "pay", "app_id": "erp",
    }  # fmt: skip
    outlet = sink(back, "forward: ['*'], correlation_id: '{p.amqp.correlation_id}', type: '{p.amqp.type}'")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": outlet}) as town:
        foreign.send(there, {"n": 1}, headers=headers, **properties)
        town.until(lambda: foreign.depth(back))
        ((_, told, body),) = foreign.got(back)
    del told.headers["x-delivery-count"]  # of the very queue that it is read from
    assert told.headers == headers
    assert all(isinstance(told.headers[name], type(value)) for name, value in headers.items())
    assert (told.timestamp, told.priority, told.correlation_id, told.type) == (1_700_000_000, 4, "corr", "pay")
    assert (told.content_type, told.reply_to, body) == ("application/json", None, b'{"n":1}')


def test_nothing_from_outside_sets_a_header_of_the_bus(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there = foreign.queue("in")
    names = [name for name in Headers.__struct_fields__ if name != "sequence"]
    forms = [form(name) for name in names for form in (str, str.upper, str.title)]
    headers = dict.fromkeys([*forms, "amqp", "name", "girobus-id", "X-Girobus-ID"], "evil")
    hold = "steps:\n  - hold: {until: release}\nto: none\n"
    with Town(tmp_path, rabbit, {"a": source(there) + hold}) as town:
        foreign.send(
            there, {}, message_id="m", headers=headers, reply_to="evil", correlation_id="evil", expiration="9000"
        )
        town.until(lambda: town.cases() == ["POL100"])
        from bus.message import decode  # noqa: PLC0415

        (row,) = town.rows("SELECT payload FROM held")
        held = decode(row[0])
    ours = {name: getattr(held.headers, name) for name in Headers.__struct_fields__}
    assert "evil" not in json.dumps(ours, default=str)
    assert set(held.properties) == {"name", "amqp"}
    assert held.properties["amqp"]["headers"] == headers


@pytest.mark.parametrize("crash", ["commit.admit:before", "commit.admit:after", "commit.completed:before"])
def test_equal_messages_without_an_id_are_never_lost_and_never_doubled(
    tmp_path: Path, rabbit: str, foreign: Foreign, crash: str
) -> None:
    """The second was handed over with the first: whether it is the first come again, nobody can tell."""
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink(back)}) as town:
        town.turn(1)
        for _ in range(2):
            foreign.send(there, {"n": 1})
        town.crash_at = crash
        with pytest.raises(Crash):
            town.until(lambda: False, 10)
        town.again()
        suspected = 2 if crash == "commit.admit:after" else 1
        town.until(lambda: town.cases() == ["DUP101"] * suspected and foreign.depth(back) == 1)
        town.turn(20)
        assert (town.arrivals(), foreign.depth(there), foreign.depth(back)) == (1 + suspected, 0, 1)
        town.app.bus.control.release(town.case("DUP101"), "me", "another payment")
        town.until(lambda: foreign.depth(back) == 2)


def test_an_id_makes_one_of_many_copies_and_an_id_used_again_is_held(
    tmp_path: Path, rabbit: str, foreign: Foreign
) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink(back)}) as town:
        for _ in range(3):
            foreign.send(there, {"n": 1}, message_id="m-1")
        foreign.send(there, {"n": 2}, message_id="m-1")
        town.until(lambda: town.cases() == ["NET259"])
        town.until(lambda: foreign.depth(there) == 0)
        assert foreign.depth(back) == 1
        town.app.bus.control.release(town.case("NET259"), "me", "another payment")
        town.until(lambda: foreign.depth(back) == 2)
        assert [json.loads(body)["n"] for _, _, body in foreign.got(back, 2)] == [1, 2]


def test_the_identity_may_be_an_expression(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    identity = "identity: \"join('/', [headers.branch, body.ref])\""
    with Town(tmp_path, rabbit, {"a": source(there, identity) + PARSED}, {"out": sink(back)}) as town:
        for n in range(2):
            foreign.send(there, {"ref": "r1"}, message_id=f"m-{n}", headers={"branch": "oslo"})
        foreign.send(there, {"ref": "r1"}, headers={"branch": "bergen"})
        town.until(lambda: foreign.depth(there) == 0 and foreign.depth(back) == 2)
        foreign.send(there, b"no json", headers={"branch": "oslo"})
        town.until(lambda: town.cases() == ["NET254"])
        assert foreign.depth(back) == 2


@pytest.mark.parametrize(
    ("code", "body", "headers"),
    [
        ("NET253", b"x" * 2_000, {}),
        ("NET249", b"{}", {f"h{n}": n for n in range(600)}),
        ("NET249", b"{}", {"deep": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}),
        ("NET249", b"{}", {"long": "x" * 70_000}),
    ],
)
def test_what_cannot_be_taken_in_is_kept_with_a_case_or_goes_to_their_dead_letters(
    tmp_path: Path, rabbit: str, foreign: Foreign, code: str, body: bytes, headers: dict[str, Any]
) -> None:
    letters = foreign.queue("dead")
    ours = foreign.queue("ours")
    theirs = foreign.queue("theirs", **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters})
    routes = {
        "a": source(ours, "max_size: 1kB") + RAW,
        "b": source(theirs, "max_size: 1kB, refused: reject") + RAW,
    }
    back = foreign.queue("out")
    with Town(tmp_path, rabbit, routes, {"out": sink(back)}) as town:
        foreign.send(ours, body, message_id="m", headers=headers)
        foreign.send(theirs, body, message_id="m", headers=headers)
        foreign.send(ours, b"good", message_id="n")
        town.until(lambda: town.cases() == [code, code] and foreign.depth(letters) == 1 and foreign.depth(back) == 1)
        assert (foreign.depth(ours), foreign.depth(theirs)) == (0, 0)
        assert foreign.got(letters)[0][2] == body
        assert foreign.got(back)[0][2] == b"good"
        held = int(town.rows("SELECT count(*) FROM held")[0][0])
        assert held == 1
        kept = town.rows("SELECT case_id FROM held")[0][0]
        town.app.bus.control.release(kept, "me", "harmless")
        town.until(lambda: foreign.depth(back) == 1)
        assert foreign.got(back)[0][2] == body


def test_an_empty_body_and_a_large_one_come_whole(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + RAW}, {"out": sink(back)}) as town:
        bodies = [b"", b"\x00\xff" * 1_500_000, "ä".encode("latin-1")]
        for n, body in enumerate(bodies):
            foreign.send(there, body, message_id=f"m-{n}", content_encoding="utf-8", content_type="text/x-bank")
        town.until(lambda: foreign.depth(back) == 3)
        got = foreign.got(back, 3)
        assert [body for _, _, body in got] == bodies
        assert {properties.content_type for _, properties, _ in got} == {"text/x-bank"}


@pytest.mark.parametrize("fleeting", [False, True])
def test_what_their_broker_handed_out_and_lost_comes_within_the_quiet_time(
    tmp_path: Path, rabbit: str, foreign: Foreign, *, fleeting: bool
) -> None:
    """Also from a queue that would be gone, with all in it, the moment nobody consumes it."""
    queue, out = foreign.queue("in"), foreign.queue("out")
    if fleeting:
        queue += "-fleeting"
        foreign.channel.queue_declare(queue, auto_delete=True)
    with LossyBroker(urlsplit(rabbit).port or 5672) as lossy:
        routes, outlets = {"r": source(queue) + PARSED}, {"out": sink(out)}
        with Town(tmp_path, f"amqp://127.0.0.1:{lossy.port}", routes, outlets) as town:
            town.app.bus.assembly.intakes["r"][0]._source.quiet = 0.3
            town.turn()
            lossy.losing = True
            for n in range(2):
                foreign.send(queue, {"n": n})
            town.until(lambda: lossy.lost >= 2)
            assert town.arrivals() == 0
            lossy.losing = False
            town.until(lambda: town.arrivals() == 2)
            assert sorted(json.loads(body)["n"] for _, _, body in foreign.got(out, 2)) == [0, 1]
    assert fleeting or foreign.depth(queue) == 0  # what came again was acknowledged


def test_a_queue_that_is_deleted_and_comes_back(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    policy = "on_error: {attempts: 3}\n"
    with Town(tmp_path, rabbit, {"a": source(there) + policy + PARSED}, {"out": sink(back)}) as town:
        town.turn(2)
        foreign.channel.queue_delete(there)
        town.until(lambda: town.cases() == ["NET246"])
        foreign.queue("in")
        foreign.send(there, {"n": 1}, message_id="m")
        town.until(lambda: foreign.depth(back) == 1)


def test_a_queue_may_be_declared_and_is_never_changed(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    made, other = foreign.mark + "made", foreign.queue("other")
    routes = {"a": source(made, "declare: quorum") + PARSED, "b": source(other, "declare: classic") + PARSED}
    back = foreign.queue("out")
    with Town(tmp_path, rabbit, routes, {"out": sink(back)}) as town:
        town.turn(3)
        foreign.send(made, {"n": 1}, message_id="m")
        town.until(lambda: foreign.depth(back) == 1 and town.cases() == ["NET248"])


# ---------------------------------------------------------------- out


def test_what_no_queue_takes_is_the_failure_of_that_very_message(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink("{body.to}")}) as town:
        for n in range(40):
            foreign.send(there, {"n": n, "to": back if n % 3 else foreign.mark + "nowhere"}, message_id=f"m-{n}")
        town.until(lambda: len(town.dead()) == 14 and foreign.depth(back) == 26)
        town.turn(20)
        assert [m.body["n"] for m in town.dead()] == [n for n in range(40) if n % 3 == 0]
        got = [json.loads(body)["n"] for _, _, body in foreign.got(back, 26)]
        assert got == [n for n in range(40) if n % 3], "each once, in order"
        assert town.cases() == ["NET256"] * 14


def test_a_window_is_published_at_once_and_each_has_its_own_verdict(rabbit: str, foreign: Foreign) -> None:
    back = foreign.queue("out")
    sender = one_sink(rabbit, routing_key="{body.to}")
    receipts = []
    for n in range(20):
        made = message(n).with_body({"n": n, "to": back if n % 2 else "nowhere-at-all"})
        receipts.append(sender.prepare(made, BytesIO(b"%d" % n)))
    with pytest.raises(Rejected, match="NET256"):
        sender.publish(receipts[0])
    assert foreign.depth(back) == 10, "one publish sent and confirmed them all"
    for n, receipt in enumerate(receipts[1:], 1):
        if n % 2:
            sender.publish(receipt)
        else:
            with pytest.raises(Rejected, match="NET256"):
                sender.publish(receipt)
    assert foreign.depth(back) == 10
    sender.close()


def test_nothing_is_sent_to_a_guessed_address(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink("{body.debtor.queue}")}) as town:
        foreign.send(there, {"debtor": None}, message_id="null")
        foreign.send(there, {"debtor": {"queue": ["x"]}}, message_id="list")
        foreign.send(there, {"debtor": {"queue": back}}, message_id="good")
        town.until(lambda: foreign.depth(back) == 1 and town.cases() == ["NET252", "NET252"])
        assert len(town.dead()) == 2


def test_a_failing_translation_lets_nothing_through(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink(back)}) as town:
        foreign.send(there, b"{broken", message_id="m-1")
        foreign.send(there, {"n": 2}, message_id="m-2")
        town.until(lambda: foreign.depth(back) == 1 and len(town.dead()) == 1)
        assert json.loads(foreign.got(back)[0][2]) == {"n": 2}
        town.turn(20)
        assert (len(town.cases()), foreign.depth(there)) == (1, 0)


def test_an_answer_goes_to_the_return_address_of_its_request(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there, answers, private = foreign.queue("in"), foreign.queue("answers"), foreign.queue("private")
    outlet = f"{{amqp: {{connection: there, reply: true, reply_queues: ['{answers}']}}}}"
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": outlet}) as town:
        foreign.send(there, {"n": 1}, message_id="m-1", reply_to=answers, correlation_id="c-1")
        foreign.send(there, {"n": 2}, message_id="m-2", reply_to=answers)
        foreign.send(there, {"n": 3}, message_id="m-3", reply_to=private)
        foreign.send(there, {"n": 4}, message_id="m-4")
        town.until(lambda: foreign.depth(answers) == 2 and town.cases() == ["NET255", "NET255"])
        assert [properties.correlation_id for _, properties, _ in foreign.got(answers, 2)] == ["c-1", "m-2"]
        assert foreign.depth(private) == 0


@pytest.mark.parametrize("crash", ["commit.requested:after", "commit.delivered:before"])
def test_after_a_crash_it_is_sent_again_under_the_same_id(
    tmp_path: Path, rabbit: str, foreign: Foreign, crash: str
) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": sink(back)}) as town:
        foreign.send(there, {"n": 1}, message_id="m-1")
        town.crash_at = crash
        with pytest.raises(Crash):
            town.until(lambda: False, 10)
        town.again()
        copies = 1 if crash == "commit.requested:after" else 2
        town.until(lambda: foreign.depth(back) == copies)
        town.turn(20)
        assert foreign.depth(back) == copies
        assert len({properties.message_id for _, properties, _ in foreign.got(back, copies)}) == 1
        assert town.cases() == []


@pytest.mark.parametrize("dies", [False, True])
def test_what_was_sent_along_with_a_refused_one_is_never_sent_twice_unasked(
    tmp_path: Path, rabbit: str, foreign: Foreign, *, dies: bool
) -> None:
    there, back = foreign.queue("in"), foreign.queue("out")
    outlet = sink("{body.to}", "unknown: case")
    with Town(tmp_path, rabbit, {"a": source(there) + PARSED}, {"out": outlet}) as town:
        town.app.bus.hold_outputs = True
        for n in range(3):
            foreign.send(there, {"n": n, "to": back if n else foreign.mark + "nowhere"}, message_id=f"m-{n}")
        town.until(lambda: town.app.broker.depth("out") == 3)
        town.app.bus.hold_outputs = False
        town.app.bus.turn()
        assert (town.cases(), foreign.depth(back)) == (["NET256"], 2), "all were sent at once"
        assert town.app.broker.depth("out") == 2
        if dies:
            town.again()
        town.turn(20)
        assert foreign.depth(back) == 2
        assert town.cases() == (["NET256", "NET901", "NET901"] if dies else ["NET256"])
        assert town.app.broker.depth("out") == 0


# ---------------------------------------------------------------- brokers that fail


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    """A node of its own, which is frozen, alarmed and killed."""
    needs(RabbitCluster.missing())
    with RabbitCluster(1) as one:
        yield one


@pytest.mark.parametrize("unknown", ["resend", "case"])
@pytest.mark.parametrize("fault", ["freeze", "alarm"])
def test_a_broker_that_does_not_confirm_holds_no_thread(cluster: RabbitCluster, fault: str, unknown: str) -> None:
    node = cluster.nodes[0]
    with Foreign(cluster.url) as foreign, ExitStack() as senders:
        back = foreign.queue("out")
        sender, fresh = (
            senders.enter_context(closing(one_sink(cluster.url, routing_key=back, unknown=unknown))) for _ in range(2)
        )
        sender.publish(prepared(sender, message(1)))
        if fault == "freeze":
            node.freeze()
        else:
            node.control("set_vm_memory_high_watermark", "absolute", "1MB")
        receipts = [prepared(sender, message(n)) for n in (2, 3)]
        begin = monotonic()
        try:
            with pytest.raises(Retryable if unknown == "resend" else InDoubt, match=r"NET245|NET258"):
                sender.publish(receipts[0])
            assert monotonic() - begin < 8, "the deadline is 3 s"
        finally:
            if fault == "freeze":
                node.thaw()
            else:
                node.control("set_vm_memory_high_watermark", "0.4")
        fresh.publish(prepared(fresh, message(2)))
        got = foreign.got(back, foreign.depth(back))
    assert {properties.message_id for _, properties, _ in got} >= {f"{n:032x}" for n in (1, 2)}


def test_a_killed_broker_loses_nothing_either_way(tmp_path: Path, cluster: RabbitCluster) -> None:
    with Foreign(cluster.url) as foreign:
        there, back = foreign.queue("in"), foreign.queue("out")
        # RabbitMQ may forget a quorum queue with all that it confirmed when it is killed within a second of its making,
        # and is safe from that once it has made another one. That is between the broker and those who own the queue.
        foreign.queue("last")
        routes, outlets = {"a": source(there) + PARSED}, {"out": sink(back)}
        with Town(tmp_path, cluster.url, routes, outlets) as town:
            for n in range(100):
                foreign.send(there, {"n": n}, message_id=f"m-{n}")
            town.until(lambda: foreign.depth(back) >= 20)
            foreign.close()
            cluster.nodes[0].kill()
            town.turn(3)
            cluster.nodes[0].start()
            with Foreign(cluster.url) as again:
                town.until(lambda: again.depth(there) == 0 and again.depth(back) >= 100, 60)
                town.turn(20)
                got = again.got(back, again.depth(back))
        assert {json.loads(body)["n"] for _, _, body in got} == set(range(100))
        assert len({properties.message_id for _, properties, _ in got}) == 100, "copies have one id"


def test_a_wrong_password_is_named_and_not_shown(
    tmp_path: Path, rabbit: str, foreign: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWN_PASSWORD", "s3cret-wrong")
    with Town(tmp_path, rabbit, {"a": source(foreign.queue("in")) + PARSED}, {"out": sink("x")}) as town:
        town.until(lambda: town.cases() == ["NET247"])
        assert "s3cret" not in json.dumps(town.rows("SELECT * FROM cases"), default=str)


@pytest.mark.parametrize("unknown", ["resend", "case"])
def test_an_outlet_that_was_idle_sends_on(rabbit: str, foreign: Foreign, unknown: str) -> None:
    """The broker hangs up after some heartbeats that did not come."""
    back = foreign.queue("out")
    with closing(one_sink(rabbit, "1s", routing_key=back, unknown=unknown)) as sender:
        for n, pause in enumerate([0, 5, 1.2]):
            sleep(pause)
            sender.publish(prepared(sender, message(n)))
    assert foreign.depth(back) == 3


def test_a_source_that_was_paused_takes_in_at_its_next_look(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    there = foreign.queue("in")
    with Town(tmp_path, rabbit, {"a": source(there) + "to: none\n"}, connection="heartbeat: 1s") as town:
        town.turn(1)
        foreign.send(there, {"n": 1}, message_id="m-1")
        sleep(5)
        town.turn(1)
        assert town.arrivals() == 1


@pytest.mark.parametrize("unknown", ["resend", "case"])
def test_a_connection_that_their_operators_closed_costs_nothing(cluster: RabbitCluster, unknown: str) -> None:
    node = cluster.nodes[0]
    with Foreign(cluster.url) as foreign:
        back = foreign.queue("out")
    with closing(one_sink(cluster.url, routing_key=back, unknown=unknown)) as sender:
        sender.publish(prepared(sender, message(1)))
        node.control("close_all_connections", "maintenance")
        sender.publish(prepared(sender, message(2)))
    with Foreign(cluster.url) as foreign:
        assert foreign.depth(back) == 2


def test_a_message_that_did_not_leave_whole_is_in_no_doubt(cluster: RabbitCluster) -> None:
    node = cluster.nodes[0]
    with Foreign(cluster.url) as foreign:
        back = foreign.queue("out")
        with closing(one_sink(cluster.url, routing_key=back, unknown="case")) as sender:
            sender.publish(prepared(sender, message(1)))
            receipt = sender.prepare(message(2), BytesIO(b"x" * 15_000_000))
            node.freeze()
            try:
                with pytest.raises(Retryable, match="NET24"):
                    sender.publish(receipt)
            finally:
                node.thaw()
        assert foreign.depth(back) == 1


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("memory://", "NET242"),
        ("filesystem://", "NET242"),
        ("sqlalchemy+postgresql://h/d", "NET242"),
        ("mongodb://h", "NET242"),
        ("amqp://user:secret@host/", "NET241"),
        ("host:5672", "NET241"),
        ("redis://host/0?password=secret", "NET241"),
    ],
)
def test_a_transport_that_loses_messages_is_refused(url: str, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AmqpConnection.model_validate({"url": url})
    assert [error["type"] for error in caught.value.errors()] == [code]


def test_doctors_are_told_what_is_wrong(rabbit: str) -> None:
    good = AmqpConnection.model_validate({"url": rabbit, "user": "guest", "password": "${env:TOWN_PASSWORD}"})
    assert good.examine() == []
    away = AmqpConnection.model_validate({"url": "amqp://127.0.0.1:1", "deadline": "2s"})
    assert [finding.code for finding in away.examine()] == ["NET244"]
