"""A proxy on loopback that lets a connection through and, when it is told to, breaks it after so many bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

How = Literal["close", "reset", "freeze", "kill"]
_BLOCK = 4096
_LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Cut:
    """What shall break.

    Attributes:
        left: bytes that still go through.
        how: both ends are closed, both are reset, nothing moves any more, or ``hit`` kills the server.
        hit: called when it happens, from the proxy's thread.
        inwards: counts what comes from the server, else what goes to it.
    """

    left: int
    how: How
    hit: Callable[[], None]
    inwards: bool


class CuttingProxy:
    """``with CuttingProxy(port) as proxy:`` listens on ``proxy.port`` and leads to ``port``; ``host`` = where."""

    def __init__(self, target: int, host: str = _LOOPBACK) -> None:
        self.port = 0
        self.host = host
        self._target = target
        self._cut: Cut | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._thawing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def arm(self, cut: Cut) -> None:
        """Break the connection over which the bytes go that are counted from now on."""
        self._loop.call_soon_threadsafe(setattr, self, "_cut", cut)

    def disarm(self) -> None:
        """Break nothing any more; what is frozen ends. Nothing is hit after this."""

        async def end() -> None:
            self._cut = None
            self._thawing.set()
            self._thawing = asyncio.Event()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)

    # ------------------------------------------------------------ the proxy's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, self.host, 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for pair in self._pairs:
            for writer in pair:
                _reset(writer)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(_LOOPBACK, self._target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, server_writer)
        self._pairs.add(pair)
        out = asyncio.create_task(self._pass(reader, server_writer, pair, inwards=False))
        back = asyncio.create_task(self._pass(server_reader, writer, pair, inwards=True))
        await asyncio.wait([out, back], return_when=asyncio.FIRST_COMPLETED)
        for one in pair:
            one.close()
        await asyncio.wait([out, back])
        self._pairs.discard(pair)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        inwards: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_BLOCK):
                cut = self._cut
                if cut is not None and cut.inwards == inwards:
                    data, rest = data[: cut.left], data[cut.left :]
                    cut.left -= len(data)
                    if rest or not cut.left:
                        self._cut = None
                        writer.write(data)
                        await writer.drain()
                        await self._break(cut, pair)
                        return
                writer.write(data)
                await writer.drain()

    async def _break(self, cut: Cut, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        cut.hit()
        if cut.how == "freeze":
            await self._thawing.wait()
        elif cut.how == "reset":
            for one in pair:
                _reset(one)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End it with RST instead of FIN."""
    made = writer.get_extra_info("socket")
    with suppress(OSError):
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
