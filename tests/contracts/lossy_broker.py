"""Between a bus and a broker: whole deliveries get lost, as they do between the nodes of a cluster."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from struct import Struct
from typing import Self

_FRAME = Struct(">BHI")
_METHOD = 1
_DELIVER = b"\x00\x3c\x00\x3c"
_BLOCK = 65_536


class LossyBroker:
    """``with LossyBroker(port) as broker:`` listens on ``broker.port`` and leads to ``port``.

    While ``losing`` is true, whole deliveries (``basic.deliver`` with its content) do not arrive: for the broker they
    were handed out. ``lost`` counts them. Everything else passes.
    """

    def __init__(self, target: int) -> None:
        self.losing = False
        self.lost = 0
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="lossy broker", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in [self._server, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, broker]
                threading.Thread(target=self._out, args=(client, broker), daemon=True).start()
                threading.Thread(target=self._in, args=(broker, client), daemon=True).start()

    def _out(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_BLOCK):
                broker.sendall(data)
            broker.shutdown(socket.SHUT_WR)

    def _in(self, broker: socket.socket, client: socket.socket) -> None:
        """What the broker says, frame by frame; a content is lost with the method that it belongs to, or not at all."""
        data, lost = b"", set[int]()
        with suppress(OSError):
            while block := broker.recv(_BLOCK):
                data += block
                kept, at = [], 0
                while len(data) - at >= _FRAME.size:
                    kind, channel, size = _FRAME.unpack_from(data, at)
                    end = at + size + 8
                    if end > len(data):
                        break
                    if kind == _METHOD:
                        lost.discard(channel)
                        if self.losing and data[at + 7 : at + 11] == _DELIVER:
                            lost.add(channel)
                            self.lost += 1
                    if channel not in lost:
                        kept.append(data[at:end])
                    at = end
                data = data[at:]
                client.sendall(b"".join(kept))
            client.shutdown(socket.SHUT_WR)
