"""The frames that come by the thousand, read and written in blocks; everything else stays with the client library.

A delivery is three frames (method, properties, body), a confirm is one. The library makes several objects of each, and
one call of the operating system for every publication; here a block that was read is one loop, and a batch that is
published is a few writes. Layouts: AMQP 0-9-1, sections 2.3.5 and 4.2.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from struct import Struct
from typing import Any, NamedTuple

import msgspec
from pika import BasicProperties
from pika.adapters.select_connection import SelectConnection
from pika.frame import decode_frame

_FRAME = Struct(">BHI")  # type, channel, size
_CONTENT_FRAME = Struct(">BHIHHQ")  # type, channel, size; class, weight, size of the body
_BODY_FRAME = Struct(">BBHI")  # end of the frame before; type, channel, size
_TAG = _TIME = Struct(">Q")
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_DELIVER, _ACK, _CLOSE = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x50", b"\x00\x14\x00\x28"
_ACKNOWLEDGEMENT = Struct(">BHI4sQBB")  # type, channel, size; method, tag, multiple, end of the frame
_BASIC, _END = 60, 0xCE
_OVERHEAD = 8
_BLOCK = 1 << 18
"""Bytes read at once."""
_FEW = 6
"""More messages than these come in one block only under load."""
_LULL = 0.003
"""Seconds between two blocks of deliveries under load. The broker sends every message by itself: a thread that wakes
for each dozen of them spends more on waking than on reading."""
# content-type, delivery-mode, correlation-id, message-id, timestamp, type; persistent
_FLAGS = (0x8000 | 0x1000 | 0x0400 | 0x0080 | 0x0040 | 0x0020).to_bytes(2, "big")


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message as it came: ``subscription`` and ``tag`` are how to acknowledge it, properties and body are raw."""

    subscription: int
    tag: int
    properties: bytes
    body: bytes

    def headers(self) -> dict[str, Any]:
        """The header table that came with it."""
        properties = BasicProperties()
        properties.decode(self.properties)
        return properties.headers or {}


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message on its way to a queue; ``properties`` as they stand in a frame."""

    queue: str
    properties: bytes
    body: bytes


class Subscriber(NamedTuple):
    """Who is told of the deliveries of a block, and the subscription they belong to."""

    number: int
    came: Callable[[list[Received]], None]


class Confirm(NamedTuple):
    """``basic.ack`` of one tag, or of all up to it."""

    tag: int
    multiple: bool


class BlockConnection(SelectConnection):  # type: ignore[misc]  # the library is untyped
    """A connection of the client library on which some channels are read and written in blocks.

    Blocks and acknowledgements are sent by whoever has them, in any thread: to have the I/O thread do it costs two
    switches between threads and as many calls of the operating system as the sending itself.

    ``deliveries`` and ``confirms`` map the number of a channel to who is told of a block's deliveries or confirms.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.deliveries: dict[int, Subscriber] = {}
        self.confirms: dict[int, Callable[[list[Confirm]], None]] = {}
        self._rest = b""
        self._read = 0.0
        """When a block of deliveries was last read."""
        self._sending = threading.Lock()
        self._socket: Any = None
        """What any thread may write to; nothing with TLS, whose state two threads may not touch at once."""
        self._left = 0
        """How many pieces the I/O thread was asked to send and has not taken up yet."""
        super().__init__(*arguments, **options)

    def _proto_connection_made(self, transport: Any) -> None:
        """The library reads 4 KiB at a time; a block is to hold what the broker sent at once, read by one call."""
        transport._MAX_RECV_BYTES, transport._MAX_CONSUME_BYTES = _BLOCK, 1  # noqa: SLF001 - it has no setting
        if not isinstance(transport._sock, ssl.SSLSocket):  # noqa: SLF001 - as above
            self._socket = transport._sock  # noqa: SLF001
        super()._proto_connection_made(transport)

    def _proto_connection_lost(self, error: BaseException | None) -> None:
        """Nobody writes any more when the socket is closed: its number may be another one's by then."""
        with self._sending:
            self._socket = None
        super()._proto_connection_lost(error)

    def publish(self, block: Block) -> None:
        """Send a block by one write; any thread. What is published first is sent first."""
        with self._sending:
            self._emit(block.frames)

    def acknowledge(self, channel: int, tag: int) -> None:
        """``basic.ack`` of all up to a tag, unless the channel is read no more; any thread."""
        with self._sending:
            if channel in self.deliveries and self.is_open:
                self._emit(_ACKNOWLEDGEMENT.pack(_METHOD, channel, 13, _ACK, tag, 1, _END))

    def leave(self, channel: int) -> None:
        """Read a channel no more, and acknowledge nothing on it: on a closed one that would end the connection."""
        with self._sending:
            self.deliveries.pop(channel, None)

    def _adapter_emit_data(self, data: bytes) -> None:
        """What the library sends."""
        with self._sending:
            self._emit(data)

    def _emit(self, data: bytes) -> None:
        """Behind what is on its way already; what the socket does not take at once is left to the I/O thread."""
        transport = self._transport
        if self._socket is not None and not self._left and transport and not transport.get_write_buffer_size():
            try:
                sent = self._socket.send(data)
            except OSError:  # full, or broken: the I/O thread finds out
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self._left += 1
        self.ioloop.add_callback_threadsafe(partial(self._send_left, data))

    def _send_left(self, data: bytes) -> None:
        with self._sending:
            self._left -= 1
            if self._transport is not None:
                self._transport.write(data)

    def _on_data_available(self, data_in: bytes) -> None:
        """One block from the socket: what is ours in one loop, what is not to the library, in the order it came."""
        self.bytes_received += len(data_in)  # the library takes it as a sign of life
        data = self._rest + data_in if self._rest else data_in
        came: dict[int, list[Received]] = {}
        confirmed: dict[int, list[Confirm]] = {}
        deliveries = self.deliveries
        at, end = 0, len(data)
        while end - at >= _OVERHEAD:
            kind, channel, size = _FRAME.unpack_from(data, at)
            after = at + size + _OVERHEAD if kind <= _HEARTBEAT else end  # else the server speaks another protocol
            if after > end:
                break
            begin = at + 7
            method = data[begin : begin + 4] if kind == _METHOD else b""
            if method == _DELIVER and channel in deliveries:
                after = self._messages(data, at, deliveries[channel].number, came.setdefault(channel, []))
                if after == at:
                    break  # the rest of it is still to come
            elif method == _ACK and channel in self.confirms:
                (tag,) = _TAG.unpack_from(data, begin + 4)
                confirmed.setdefault(channel, []).append(Confirm(tag, bool(data[begin + 12])))
            else:
                self._tell(came, confirmed)
                if method == _CLOSE:
                    self.leave(channel)
                consumed, frame = decode_frame(data[at:after])
                if consumed:
                    self._process_frame(frame)
            at = after
        self._rest = data[at:]
        many = sum(map(len, came.values())) > _FEW
        self._tell(came, confirmed)
        if many and len(data_in) < _BLOCK and self._socket is not None:  # with TLS a block is one record
            self._pause()

    def _pause(self) -> None:
        """Where one short block follows another, let the next one become longer."""
        now = time.monotonic()
        if now - self._read < _LULL:
            time.sleep(_LULL)
            now += _LULL
        self._read = now

    def _messages(self, data: bytes, at: int, subscription: int, into: list[Received]) -> int:
        """Read the whole messages that stand there one behind the other; where what follows them begins.

        What is in front of the tag is the same for all of a queue: it tells where everything is. The first method frame
        is here whole.
        """
        frame, add = _FRAME.unpack_from, into.append
        end = len(data)
        size = frame(data, at)[2] + _OVERHEAD
        names = 12 + data[at + 11]
        before = data[at : at + names]
        layout = _delivery(size - names)
        parts, least = layout.unpack_from, names + layout.size
        while end - at >= least and data[at : at + names] == before:
            (tag, _, _, about, _, _, left) = parts(data, at + names)
            header = at + size
            body = header + about + _OVERHEAD
            if end - body < left + _OVERHEAD * (left > 0):
                break
            properties = data[header + _CONTENT_FRAME.size : body - 1]
            if left and frame(data, body)[2] == left:
                begin = body + 7
                add(Received(subscription, tag, properties, data[begin : begin + left]))
                at = begin + left + 1
                continue
            pieces, after = _pieces(data, body, left)
            if after < 0:
                break
            add(Received(subscription, tag, properties, b"".join(pieces)))
            at = after
        return at

    def _tell(self, came: dict[int, list[Received]], confirmed: dict[int, list[Confirm]]) -> None:
        for channel, messages in came.items():
            if messages:
                self.deliveries[channel].came(messages)
        came.clear()
        for channel, confirms in confirmed.items():
            self.confirms[channel](confirms)
        confirmed.clear()


class Block(msgspec.Struct, frozen=True, gc=False):
    """Messages that are one write."""

    count: int
    frames: bytes


def blocks(items: Sequence[Outgoing], channel: int, frame_max: int, together: int) -> list[Block]:
    """Many messages to be published, mandatory, in blocks of at most so many.

    Not in one: the library copies what is left of a write whenever the socket took only a part of it. Whoever made the
    bodies makes the blocks: they are in the cache of his core still.
    """
    most = frame_max - _OVERHEAD
    content, body_frame = _CONTENT_FRAME.pack, _BODY_FRAME.pack
    made = []
    for first in range(0, len(items), together):
        some = items[first : first + together]
        parts: list[bytes] = []
        for item in some:
            properties, body = item.properties, item.body
            size = len(body)
            parts += (
                _prefix(channel, item.queue),
                content(_HEADER, channel, 12 + len(properties), _BASIC, 0, size),
                properties,
            )
            if 0 < size <= most:
                parts += (body_frame(_END, _BODY, channel, size), body, b"\xce")
            else:
                parts.append(b"\xce")
                for begin in range(0, size, most):
                    piece = body[begin : begin + most]
                    parts += (_FRAME.pack(_BODY, channel, len(piece)), piece, b"\xce")
        made.append(Block(len(some), b"".join(parts)))
    return made


def _pieces(data: bytes, at: int, left: int) -> tuple[list[bytes], int]:
    """(the body that begins there in frames, where what follows begins; -1 when it is not all here)."""
    pieces: list[bytes] = []
    end = len(data)
    while left:
        if end - at < _OVERHEAD:
            return [], -1
        size: int = _FRAME.unpack_from(data, at)[2]
        if end - at < size + _OVERHEAD:
            return [], -1
        pieces.append(data[at + 7 : at + 7 + size])
        at += size + _OVERHEAD
        left -= size
    return pieces, at


@lru_cache(maxsize=1_000)
def _delivery(size: int) -> Struct:
    """Of ``basic.deliver``, what follows the consumer's name up to the end of the frame (so many bytes): its tag.

    Then the beginning of the content frame, as in ``_CONTENT_FRAME``.
    """
    return Struct(f">Q{size - _TAG.size}xBHIHHQ")


@lru_cache(maxsize=1_000)
def _prefix(channel: int, queue: str) -> bytes:
    """The method frame ``basic.publish`` to the default exchange, mandatory."""
    key = queue.encode()
    method = b"\x00\x3c\x00\x28\x00\x00\x00" + bytes((len(key),)) + key + b"\x01"
    return _FRAME.pack(_METHOD, channel, len(method)) + method + b"\xce"


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


_BEFORE_IDS = _FLAGS + _short("application/vnd.girobus.message+json") + b"\x02"
_BEHIND_IDS = _short("girobus.message")
_ID = 32
_PROPERTIES = Struct(f">{len(_BEFORE_IDS)}sB{_ID}sB{_ID}sQ{len(_BEHIND_IDS)}s")


def properties(message_id: str, correlation_id: str, seconds: int) -> bytes:
    """The properties of a persistent message of ours, as they stand in a header frame."""
    message, correlation = message_id.encode(), correlation_id.encode()
    if len(message) == len(correlation) == _ID:  # as every id of ours
        return _PROPERTIES.pack(_BEFORE_IDS, _ID, correlation, _ID, message, seconds, _BEHIND_IDS)
    ids = bytes((len(correlation),)) + correlation + bytes((len(message),)) + message
    return _BEFORE_IDS + ids + _TIME.pack(seconds) + _BEHIND_IDS
