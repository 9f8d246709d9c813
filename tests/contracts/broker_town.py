"""A bus whose partners are queues of a real broker, and a program of somebody else's at the same broker."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self
from uuid import uuid4

import pika

from bus.app import App, Surroundings
from bus.ledger.store import Store
from bus.message import Message, decode
from bus.testing.clock import ManualClock


class Foreign:
    """Somebody else's program: pika, with queues that are its own. ``mark`` begins their names."""

    def __init__(self, url: str) -> None:
        self.mark = f"f{uuid4().hex[:8]}."
        self._connection = pika.BlockingConnection(pika.URLParameters(url + "/%2F?socket_timeout=20"))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def queue(self, name: str, **arguments: Any) -> str:
        full = self.mark + name
        self.channel.queue_declare(full, durable=True, arguments={"x-queue-type": "quorum", **arguments})
        return full

    def send(self, queue: str, body: bytes | dict[str, Any], **properties: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        made = pika.BasicProperties(delivery_mode=2, **properties)
        self.channel.basic_publish("", queue, data, made, mandatory=True)

    def got(self, queue: str, count: int = 1, seconds: float = 20) -> list[tuple[Any, Any, bytes]]:
        """(method, properties, body) of so many messages, taken off the queue."""
        found: list[tuple[Any, Any, bytes]] = []
        end = monotonic() + seconds
        while len(found) < count and monotonic() < end:
            one = self.channel.basic_get(queue, auto_ack=True)
            if one[0] is None:
                sleep(0.02)
            else:
                found.append(one)
        assert len(found) == count, f"{len(found)} of {count} came"
        return found

    def depth(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def close(self) -> None:
        if self._connection.is_open:
            with suppress(pika.exceptions.AMQPError):  # the broker was killed: the socket is closed all the same
                self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Town:
    """A landscape at a broker, turned by hand; :meth:`again` is the next process on the same store.

    Args:
        root: empty folder.
        url: the broker.
        routes: name -> text of the route without its name.
        outlets: name -> text of the endpoint's options.
        connection: further options of the connection.
        files: instead of all that, the files of the landscape.
    """

    def __init__(
        self,
        root: Path,
        url: str = "",
        routes: dict[str, str] | None = None,
        outlets: dict[str, str] | None = None,
        connection: str = "",
        *,
        files: dict[str, str] | None = None,
    ) -> None:
        self.root = root
        self.clock = ManualClock()
        self.crash_at = ""
        self.store = Store(None, effect=self.effect)
        folder = root / "landscape"
        folder.mkdir()
        for name, text in (files or _files(url, routes or {}, outlets or {}, connection)).items():
            (folder / name).write_text(text, "utf-8")
        self._build()

    def _build(self) -> None:
        chance = random.Random(1)  # noqa: S311 - spreads retries, guards nothing
        around = Surroundings(clock=self.clock, chance=chance, store=self.store, effect=self.effect)
        self.app = App(self.root / "landscape", around, home=self.root / "home")

    def effect(self, label: str) -> None:
        if label == self.crash_at:
            self.crash_at = ""
            raise Crash

    def again(self) -> None:
        """As after a crash: the old owner's connections are gone."""
        self.hang_up()
        self._build()

    def hang_up(self) -> None:
        """The kernel closes the sockets of a process that is gone."""
        assembly = self.app.bus.assembly
        for intake, _ in assembly.intakes.values():
            intake._source._link.hang_up()
        for sender in assembly.senders.values():
            sender.outlet.sink._link.hang_up()

    def until(self, met: Callable[[], Any], seconds: float = 30) -> Any:
        """Turn until something is so."""
        end = monotonic() + seconds
        while not (found := met()):
            assert monotonic() < end, f"it did not happen in time; cases: {self.cases()}"
            self.app.bus.turn()
            self.clock.advance(500)
        return found

    def turn(self, turns: int = 5) -> None:
        for _ in range(turns):
            self.app.bus.turn()
            self.clock.advance(500)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.store.read(sql)

    def cases(self) -> list[str]:
        return sorted(row[0] for row in self.rows("SELECT code FROM cases WHERE state = 'open'"))

    def case(self, code: str) -> int:
        return int(self.rows(f"SELECT id FROM cases WHERE state = 'open' AND code = '{code}'")[0][0])  # noqa: S608

    def dead(self) -> list[Message]:
        return [decode(row[0]) for row in self.rows("SELECT payload FROM dead ORDER BY id")]

    def arrivals(self) -> int:
        return int(self.rows("SELECT count(*) FROM arrival")[0][0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.app.close()


def _files(url: str, routes: dict[str, str], outlets: dict[str, str], connection: str) -> dict[str, str]:
    ways = "".join(f"  {name}: {{endpoint: {text}, format: json}}\n" for name, text in outlets.items())
    login = "user: guest, password: '${env:TOWN_PASSWORD}', " if url.startswith("amqp") else ""
    options = f"{{url: '{url}', {login}deadline: 3s{', ' if connection else ''}{connection}}}"
    return {
        "bus.yaml": f"name: town\noutlets:{' {}' if not ways else ''}\n{ways}",
        "connections.yaml": f"connections:\n  there: {{amqp: {options}}}\n",
        **{f"{name}.route.yaml": f"route: {name}\n{text}" for name, text in routes.items()},
    }


class Crash(BaseException):
    """The process dies here."""
