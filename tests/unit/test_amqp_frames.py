"""However the network cuts a stream of frames into blocks, the same messages, confirms and other frames come out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, frame, spec
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter
from pika.frame import decode_frame

from bus.channels.amqp.address import Address
from bus.channels.amqp.consumer import Consumer
from bus.channels.amqp.frames import (
    _LULL,
    Block,
    BlockConnection,
    Confirm,
    Outgoing,
    Received,
    Subscriber,
    blocks,
    properties,
)
from bus.channels.amqp.publisher import Job, Publisher


class Ear(BlockConnection):
    """A connection without a socket: what it would hand on is kept."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.deliveries = {1: Subscriber(7, lambda found: self.heard.extend(("message", one) for one in found))}
        self.confirms = {2: lambda found: self.heard.extend(("confirm", one) for one in found)}
        self._rest = b""
        self._read = 0.0
        self._socket = None
        self._sending = threading.Lock()
        self.bytes_received = 0

    def _process_frame(self, frame_value: Any) -> None:
        self.heard.append(("library", frame_value.NAME))


def delivery(channel: int, tag: int, body: bytes, most: int) -> bytes:
    """A delivery in the library's own writing."""
    method = frame.Method(channel, spec.Basic.Deliver("consumer", tag, tag % 2 == 1, "", "queue" * (tag % 3)))
    header = frame.Header(channel, len(body), BasicProperties(message_id="m", headers={"n": tag}))
    pieces = [frame.Body(channel, body[n : n + most]).marshal() for n in range(0, len(body), most)]
    return b"".join([method.marshal(), header.marshal(), *pieces])


FRAMES = st.one_of(
    st.tuples(st.just("message"), st.integers(1, 2**40), st.binary(max_size=60), st.integers(1, 30)),
    st.tuples(st.just("confirm"), st.integers(1, 2**40), st.booleans()),
    st.tuples(st.just("library")),
)

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_blocks_of_any_size_give_the_same(frames: list[tuple[Any, ...]], cuts: list[int]) -> None:
    stream, wanted = b"", []
    for kind, *rest in frames:
        if kind == "message":
            tag, body, most = rest
            stream += delivery(1, tag, body, most)
            wanted.append(("message", (7, tag, {"n": tag}, body)))
        elif kind == "confirm":
            stream += frame.Method(2, spec.Basic.Ack(*rest)).marshal()
            wanted.append(("confirm", Confirm(*rest)))
        else:
            stream += frame.Heartbeat().marshal()
            wanted.append(("library", "Heartbeat"))
    ear = Ear()
    at = 0
    for n in range(len(stream)):
        size = cuts[n % len(cuts)]
        if at >= len(stream):
            break
        ear._on_data_available(stream[at : at + size])
        at += size
    found = [(k, (v.subscription, v.tag, v.headers(), v.body)) if k == "message" else (k, v) for k, v in ear.heard]
    # Within a block messages come before confirms: they are of different channels, so no order is promised.
    assert [x for x in found if x[0] == "message"] == [x for x in wanted if x[0] == "message"]
    assert [x for x in found if x[0] == "confirm"] == [x for x in wanted if x[0] == "confirm"]
    assert sum(k == "library" for k, _ in found) == sum(k == "library" for k, _ in wanted)
    assert ear.bytes_received == len(stream)


def test_where_many_messages_come_the_next_block_is_given_time_to_grow() -> None:
    ear = Ear()
    long = b"".join(delivery(1, n, b"x" * 1_000, 2_000) for n in range(20))
    ear._socket, other = socket.socketpair()
    with ear._socket, other:
        begun = time.monotonic()
        for _ in range(3):
            ear._on_data_available(long)
        assert time.monotonic() - begun >= 2 * _LULL
        last = ear._read
        for size in (5, 200_000):  # what comes alone is waited for by nobody, however large it is
            ear._on_data_available(delivery(1, 1, b"x" * size, 100_000))
            assert ear._read == last
    assert len(ear.heard) == 62


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(9, 40), st.integers(1, 7))
def test_blocks_that_are_published_read_as_the_library_reads_them(
    bodies: list[bytes], frame_max: int, together: int
) -> None:
    about = properties("m", "c", 5)
    made = blocks([Outgoing(f"q{n % 3}", about, body) for n, body in enumerate(bodies)], 4, frame_max, together)
    assert [block.count for block in made] == [len(bodies[n : n + together]) for n in range(0, len(bodies), together)]
    data, found = b"".join(block.frames for block in made), []
    while data:
        size, read = decode_frame(data)
        data = data[size:]
        assert read.channel_number == 4
        if isinstance(read, frame.Method):
            assert (read.method.exchange, read.method.mandatory) == ("", True)
            found.append((read.method.routing_key, b""))
        elif isinstance(read, frame.Header):
            assert (read.properties.message_id, read.body_size) == ("m", len(bodies[len(found) - 1]))
        else:
            assert size <= frame_max
            found[-1] = (found[-1][0], found[-1][1] + read.fragment)
    assert found == [(f"q{n % 3}", body) for n, body in enumerate(bodies)]


@given(st.text("abc0", max_size=40) | IDS, st.text("xyz", max_size=40) | IDS, st.integers(0, 2**40))
def test_properties_read_as_the_library_reads_them(message: str, correlation: str, seconds: int) -> None:
    read = BasicProperties()
    read.decode(properties(message, correlation, seconds))
    assert (read.message_id, read.correlation_id, read.timestamp) == (message, correlation, seconds)
    assert (read.delivery_mode, read.type) == (2, "girobus.message")
    assert read.headers is None


class Mouth(BlockConnection):
    """A connection that is open already, over one end of a pair of sockets."""

    def __init__(self, loop: IOLoop, end: socket.socket) -> None:
        self._nbio = SelectorIOServicesAdapter(loop)
        self.deliveries = {1: Subscriber(7, lambda _found: None)}
        self.confirms = {}
        self._rest = b""
        self._sending, self._left = threading.Lock(), 0
        self._socket = end
        self._transport = _AsyncPlaintextTransport(end, self, self._nbio)
        self.connection_state, self.bytes_received = self.CONNECTION_OPEN, 0

    def _process_frame(self, frame_value: Any) -> None:
        """The library has no part in this."""

    def _send_left(self, data: bytes) -> None:
        """The I/O thread has other things to do as well: meanwhile the socket takes more."""
        time.sleep(0.002)
        super()._send_left(data)


@pytest.fixture
def mouth() -> Iterator[tuple[Mouth, socket.socket]]:
    """A connection with its I/O thread, and what the broker would read."""
    near, far = socket.socketpair()
    near.settimeout(0)
    far.settimeout(10)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    loop = IOLoop()
    made = Mouth(loop, near)
    thread = threading.Thread(target=loop.start)
    thread.start()
    yield made, far
    loop.add_callback_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    near.close()
    far.close()


def test_what_many_threads_send_at_once_arrives_whole_and_each_ones_in_order(
    mouth: tuple[Mouth, socket.socket],
) -> None:
    connection, far = mouth
    sent = [[bytes((65 + who, n)) * (1, 50, 40_000)[(who + n) % 3] for n in range(60)] for who in range(4)]

    def send(who: int) -> None:
        for piece in sent[who]:
            connection.publish(Block(1, len(piece).to_bytes(4, "big") + piece))
            time.sleep(0.001)

    threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    found: list[list[bytes]] = [[], [], [], []]
    with far.makefile("rb") as stream:
        for _ in range(240):
            piece = stream.read(int.from_bytes(stream.read(4), "big"))
            found[piece[0] - 65].append(piece)
    assert found == sent


def test_nothing_is_acknowledged_on_a_channel_that_the_broker_has_closed(mouth: tuple[Mouth, socket.socket]) -> None:
    """It would end the whole connection: channel 1 is not open there any more."""
    connection, far = mouth
    connection.acknowledge(1, 5)
    assert decode_frame(far.recv(1_000))[1].method.delivery_tag == 5
    connection._on_data_available(frame.Method(1, spec.Channel.Close(406, "x", 0, 0)).marshal())
    connection.acknowledge(1, 6)
    connection.publish(Block(1, b"last"))
    assert far.recv(1_000) == b"last"


class Outlet:
    """A channel and its connection in one, without a socket: what it is to write is kept."""

    def __init__(self) -> None:
        self.connection = self
        self.written: list[bytes] = []

    def publish(self, block: Block) -> None:
        self.written.append(block.frames)


@given(st.integers(1, 30), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_no_more_is_on_its_way_than_the_window_lets_and_everything_goes_in_order(
    window: int, sizes: list[int], chance: Random
) -> None:
    publisher = Publisher(Address((("nowhere", 1),), window=window), chance)
    outlet = publisher._channel = Outlet()
    jobs = []
    for n, size in enumerate(sizes):
        items = [Outgoing(f"q{n}", properties("m", "c", k), b"") for k in range(size)]
        job = Job(items)
        job.blocks.extend(blocks(items, 1, 4096, min(7, window)))
        jobs.append((job, b"".join(block.frames for block in job.blocks)))
        publisher._begin(job)
    confirmed = 0
    while confirmed < sum(sizes):
        flying = publisher._tag - confirmed
        assert 0 < flying <= window
        confirmed += chance.randint(1, flying)
        publisher._confirmed([Confirm(confirmed, multiple=True)])
    assert all(job.done.is_set() and job.error is None and not job.left for job, _ in jobs)
    assert b"".join(outlet.written) == b"".join(frames for _, frames in jobs)


def test_what_is_settled_after_its_channel_was_lost_means_nothing_of_the_next_one() -> None:
    """Tags begin again at 1 on every channel: a late settlement of an old tag 1 must not take a new message away."""
    consumer = Consumer(Address((("nowhere", 1),)), lambda _q: None, lambda _q: None, Random(1))  # noqa: S311 - no waits
    consumer.consume("q")
    state = consumer._queues["q"]
    old = Received(state.subscription, 1, b"", b"old")
    state.buffer.append(old)
    consumer.begin("q", [old])
    consumer._lost(consumer.link)
    consumer.settle("q", [old])
    consumer.begin("q", [old])
    new = Received(state.subscription, 1, b"", b"new")
    state.buffer.append(new)
    assert consumer.here("q", 10) == [new]


class Acknowledgements(list[int]):
    """In the place of a channel and of its connection: the last tag of each acknowledgement."""

    channel_number = 1

    @property
    def connection(self) -> Acknowledgements:
        return self

    def acknowledge(self, _channel: int, tag: int) -> None:
        self.append(tag)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "settle", "give_back"]), st.lists(st.integers(1, 8), unique=True, min_size=1)
        ),
        max_size=12,
    )
)
def test_whatever_order_messages_are_settled_in_none_is_acknowledged_before_it(
    steps: list[tuple[str, list[int]]],
) -> None:
    consumer = Consumer(Address((("nowhere", 1),)), lambda _q: None, lambda _q: None, Random(1))  # noqa: S311 - no waits
    consumer.consume("q")
    state = consumer._queues["q"]
    told = state.channel = Acknowledgements()
    came = [Received(state.subscription, tag, b"", b"") for tag in range(1, 9)]
    state.buffer.extend(came)
    left, flying = list(came), set[int]()
    for what, tags in steps:
        some = [came[tag - 1] for tag in tags if came[tag - 1] in left]
        getattr(consumer, what)("q", some)
        given_tags = {one.tag for one in some}
        flying = flying | given_tags if what == "begin" else flying - given_tags
        if what == "settle":
            left = [one for one in left if one not in some]
        assert consumer.here("q", 3) == [one for one in left if one.tag not in flying][:3]
        assert (told[-1] if told else 0) == (left[0].tag - 1 if left else 8)
