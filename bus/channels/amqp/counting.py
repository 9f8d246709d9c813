"""How many messages stand in queues, also in those that nobody here consumes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from pika.exceptions import NoFreeChannels


class Counting:
    """Asks for one queue after the other, on a channel of its own that a missing queue closes. In the I/O thread.

    Args:
        connection: an open one.
        queues: which to ask for.
        end: when to stop, as of :func:`time.monotonic`.
        over: told at the end; what was not answered by then has no count.

    Attributes:
        found: the counts so far.
    """

    def __init__(self, connection: Any, queues: Iterable[str], end: float, over: Callable[[], None]) -> None:
        self.found: dict[str, int] = {}
        self._connection = connection
        self._left = deque(queues)
        self._end, self._over = end, over
        self._open()

    def _open(self) -> None:
        if not self._left or not self._connection.is_open:
            self._over()
            return
        try:
            self._connection.channel(on_open_callback=self._opened)
        except NoFreeChannels:
            self._over()

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(lambda *_: self._open())  # it is missing: go on with the next one
        self._ask(channel)

    def _ask(self, channel: Any) -> None:
        if not self._left or time.monotonic() > self._end:
            self._left.clear()
            channel.close()
            return
        queue = self._left.popleft()
        channel.queue_declare(queue, passive=True, callback=lambda frame: self._answer(channel, queue, frame))

    def _answer(self, channel: Any, queue: str, frame: Any) -> None:
        self.found[queue] = frame.method.message_count
        self._ask(channel)
