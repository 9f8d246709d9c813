"""The frames that come by the thousand, read and written in blocks; everything else stays with the client library.

A delivery is three frames (method, properties, body), a confirm is one. The library makes several objects of each, and
one call of the operating system for every publication; here a block that was read is one loop, and a batch that is
published is a few writes. Layouts: AMQP 0-9-1, sections 2.3.5 and 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from pika.adapters.select_connection import SelectConnection
from pika.frame import decode_frame

_FRAME = Struct(">BHI")  # type, channel, size
_CONTENT_FRAME = Struct(">BHIHHQ")  # type, channel, size; class, weight, size of the body
_BODY_FRAME = Struct(">BBHI")  # end of the frame before; type, channel, size
_SIZE = Struct(">Q")
_TIME = Struct(">Q")
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_DELIVER, _ACK = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x50"
_BASIC, _END = 60, 0xCE
_OVERHEAD = 8
_BLOCK = 1 << 18
"""Bytes read at once."""
_TOGETHER = 64
"""Messages that are one write."""
# content-type, delivery-mode, correlation-id, message-id, timestamp, type; persistent
_FLAGS = (0x8000 | 0x1000 | 0x0400 | 0x0080 | 0x0040 | 0x0020).to_bytes(2, "big")


class Handed(NamedTuple):
    """A message as the broker handed it out: delivery tag, whether it did before, raw properties, body."""

    tag: int
    again: bool
    properties: bytes
    body: bytes


class Confirm(NamedTuple):
    """``basic.ack`` of one tag, or of all up to it."""

    tag: int
    multiple: bool


class BlockConnection(SelectConnection):  # type: ignore[misc]  # the library is untyped
    """A connection of the client library on which some channels are read and written in blocks.

    ``deliveries`` and ``confirms`` map the number of a channel to who is told of a block's deliveries or confirms.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.deliveries: dict[int, Callable[[list[Handed]], None]] = {}
        self.confirms: dict[int, Callable[[list[Confirm]], None]] = {}
        self._rest = b""
        super().__init__(*arguments, **options)

    def _proto_connection_made(self, transport: Any) -> None:
        """The library reads 4 KiB at a time; a block is to hold what the broker sent at once, read by one call."""
        transport._MAX_RECV_BYTES, transport._MAX_CONSUME_BYTES = _BLOCK, 1  # noqa: SLF001 - it has no setting
        super()._proto_connection_made(transport)

    def publish(self, channel: int, items: Sequence[tuple[str, bytes, bytes]]) -> None:
        """Send (queue, properties, body) of many messages, mandatory, by few writes.

        Not by one: the library copies what is left of a write whenever the socket took only a part of it.
        """
        most = self.params.frame_max - _OVERHEAD
        content, body_frame = _CONTENT_FRAME.pack, _BODY_FRAME.pack
        parts: list[bytes] = []
        for n, (queue, properties, body) in enumerate(items, 1):
            size = len(body)
            parts += (
                _prefix(channel, queue),
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
            if not n % _TOGETHER:
                self._emit(b"".join(parts))
                parts = []
        if parts:
            self._emit(b"".join(parts))
        self.frames_sent += 2 * len(items)

    def _emit(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        self._adapter_emit_data(data)

    def _on_data_available(self, data_in: bytes) -> None:
        """One block from the socket: what is ours in one loop, what is not to the library, in the order it came."""
        self.bytes_received += len(data_in)  # the library takes it as a sign of life
        data = self._rest + data_in if self._rest else data_in
        handed: dict[int, list[Handed]] = {}
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
                after = self._delivery(data, (begin, after, end), handed.setdefault(channel, []))
                if not after:
                    break  # the rest of it is still to come
            elif method == _ACK and channel in self.confirms:
                (tag,) = _SIZE.unpack_from(data, begin + 4)
                confirmed.setdefault(channel, []).append(Confirm(tag, bool(data[begin + 12])))
            else:
                self._tell(handed, confirmed)
                consumed, frame = decode_frame(data[at:after])
                if consumed:
                    self._process_frame(frame)
            at = after
        self._rest = data[at:]
        self._tell(handed, confirmed)

    def _delivery(self, data: bytes, where: tuple[int, int, int], into: list[Handed]) -> int:
        """Read method, properties and body; where the next frame begins, 0 when they are not all here."""
        size: int
        begin, at, end = where
        at_tag = begin + 5 + data[begin + 4]
        (tag,) = _SIZE.unpack_from(data, at_tag)
        if end - at < 7:
            return 0
        _, _, size = _FRAME.unpack_from(data, at)
        if end - at < size + _OVERHEAD:
            return 0
        left: int = _SIZE.unpack_from(data, at + 11)[0]
        properties = data[at + 19 : at + 7 + size]
        at += size + _OVERHEAD
        pieces: list[bytes] = []
        while left:
            if end - at < 7:
                return 0
            _, _, size = _FRAME.unpack_from(data, at)
            if end - at < size + _OVERHEAD:
                return 0
            pieces.append(data[at + 7 : at + 7 + size])
            at += size + _OVERHEAD
            left -= size
        into.append(
            Handed(tag, bool(data[at_tag + 8]), properties, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        )
        return at

    def _tell(self, handed: dict[int, list[Handed]], confirmed: dict[int, list[Confirm]]) -> None:
        for channel, messages in handed.items():
            if messages:
                self.deliveries[channel](messages)
        handed.clear()
        for channel, confirms in confirmed.items():
            self.confirms[channel](confirms)
        confirmed.clear()


@lru_cache(maxsize=1_000)
def _prefix(channel: int, queue: str) -> bytes:
    """The method frame ``basic.publish`` to the default exchange, mandatory."""
    key = queue.encode()
    method = b"\x00\x3c\x00\x28\x00\x00\x00" + bytes((len(key),)) + key + b"\x01"
    return _FRAME.pack(_METHOD, channel, len(method)) + method + b"\xce"


def properties(message_id: str, correlation_id: str, seconds: int) -> bytes:
    """The properties of a persistent message of ours, as they stand in a header frame."""
    return b"".join(
        (
            _FLAGS,
            _CONTENT,
            b"\x02",
            bytes((len(correlation_id),)),
            correlation_id.encode(),
            bytes((len(message_id),)),
            message_id.encode(),
            _TIME.pack(seconds),
            _TYPE,
        )
    )


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


_CONTENT = _short("application/vnd.girobus.message+json")
_TYPE = _short("girobus.message")
