"""One connection to the broker with an I/O thread of its own, which connects again, with jitter, until it is closed.

Heartbeats are served by that thread, however long a batch takes elsewhere. Everything that touches the connection runs
in it: :meth:`Link.call` hands work over.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import AMQPError

from bus.channels.amqp.address import Address
from bus.channels.amqp.frames import BlockConnection

log = logging.getLogger("girobus")
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0


class Link:
    """Keeps one connection open. Thread-safe.

    Args:
        address: the broker.
        name: what the connection is for; shown by the broker's tools and in logs.
        opened: called in the I/O thread with every new connection.
        lost: called in the I/O thread when a connection ended, with why.
        chance: spreads the waits between attempts.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        opened: Callable[[BlockConnection], None],
        lost: Callable[[str], None],
        chance: random.Random,
    ) -> None:
        self.address = address
        self.name = name
        self.generation = 0
        """Counts connections; what belongs to an earlier one is void."""
        self.trouble = "not connected yet"
        """Why there is no connection; empty while there is one."""
        self._opened, self._lost, self._chance = opened, lost, chance
        self.connection: BlockConnection | None = None
        self._stopping = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"amqp {name}", daemon=True)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wait_open(self, seconds: float) -> bool:
        """Wait for a connection; false when there is none after that time."""
        return self._up.wait(seconds)

    def opened(self, seconds: float) -> BlockConnection | None:
        """The connection, as soon as it is open; None when there is none after that time."""
        if not self._up.is_set():
            self._up.wait(seconds)
        connection = self.connection
        return connection if self._up.is_set() else None

    def call(self, work: Callable[[], None]) -> bool:
        """Have ``work`` done by the I/O thread soon; false when there is no connection to do it on."""
        connection = self.connection
        if connection is None or not self._up.is_set():
            return False
        connection.ioloop.add_callback_threadsafe(work)
        return True

    def abort(self, why: str) -> None:
        """End the connection at once without asking the broker, who may be frozen; a new one follows."""
        generation = self.generation

        def end() -> None:
            connection = self.connection
            if connection is not None and self.generation == generation and not connection.is_closed:
                # close() would wait for the broker's answer; this is what pika itself does after a missed heartbeat.
                connection._terminate_stream(AMQPError(why))  # noqa: SLF001

        self.call(end)

    def close(self, timeout: float = 5.0) -> None:
        """Say goodbye and end the thread."""
        self._stopping.set()
        connection = self.connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(partial(self._goodbye, connection))
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._thread.is_alive():  # the broker does not answer
            self.abort("closing")
            self._thread.join(timeout)

    # ------------------------------------------------------------ the I/O thread

    def _loop(self) -> None:
        wait = _FIRST_WAIT
        attempt = 0
        while not self._stopping.is_set():
            host, port = self.address.hosts[attempt % len(self.address.hosts)]
            attempt += 1
            before = self.generation
            try:
                self._once(host, port)
            except Exception as error:  # noqa: BLE001 - this thread must live as long as the bus
                self._end(f"{type(error).__name__}: {error}")
            wait = _FIRST_WAIT if self.generation != before else min(wait * 2, _LONGEST_WAIT)
            self._stopping.wait(wait * (0.5 + self._chance.random()))

    def _once(self, host: str, port: int) -> None:
        """One connection from its beginning to its end."""
        loop = IOLoop()
        try:
            self._serve(loop, host, port)
        finally:
            loop.close()

    def _serve(self, loop: IOLoop, host: str, port: int) -> None:
        connection = BlockConnection(
            parameters(self.address, host, port, self.name),
            on_open_callback=self._open,
            on_open_error_callback=self._refused,
            on_close_callback=self._closed,
            custom_ioloop=loop,
        )
        self.connection = connection
        if self._stopping.is_set():
            self._goodbye(connection)
        loop.start()

    def _open(self, connection: Any) -> None:
        self.generation += 1
        self.trouble = ""
        log.info("connected to the broker", extra={"broker": self.address.shown, "purpose": self.name})
        self._opened(connection)
        self._up.set()

    def _refused(self, connection: Any, error: Any) -> None:
        self._end(f"{type(error).__name__}: {error}")
        connection.ioloop.stop()

    def _closed(self, connection: Any, error: Any) -> None:
        self._end(f"{type(error).__name__}: {error}")
        connection.ioloop.stop()

    def _end(self, why: str) -> None:
        self._up.clear()
        self.connection = None
        self.trouble = why
        if not self._stopping.is_set():
            fields = {"code": "NET221", "broker": self.address.shown, "purpose": self.name, "why": why}
            log.warning("a connection to the broker ended", extra=fields)
        self._lost(why)

    def _goodbye(self, connection: BlockConnection) -> None:
        if connection.is_open:
            connection.close()
        elif not (connection.is_closed or connection.is_closing):
            connection._terminate_stream(AMQPError("closing"))  # noqa: SLF001 - as in abort


def parameters(address: Address, host: str, port: int, name: str) -> pika.ConnectionParameters:
    """An address in the form of the client library of an address."""
    tls = address.tls() if address.tls is not None else None
    return pika.ConnectionParameters(
        host=host,
        port=port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password()),
        heartbeat=address.heartbeat,
        blocked_connection_timeout=address.deadline,
        socket_timeout=address.deadline,
        stack_timeout=address.deadline,
        connection_attempts=1,
        ssl_options=pika.SSLOptions(tls, host) if tls is not None else None,
        client_properties={"connection_name": f"girobus {name}", "product": "girobus"},
    )
