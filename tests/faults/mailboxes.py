"""The partners of the shipped landscape behind real OpenSSH servers, one each, with the routes as they are shipped."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from bus.testing.landscape import BANKS, ERP
from bus.testing.sshd import OpenSshServer

ROUTES = Path(__file__).parents[2] / "routes"
_POLL = re.compile(r"poll: \{every: [^}]*\}")
BIGGEST = 200_000
"""Bytes of the longest payment run that is taken."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a landscape stands on.

    Attributes:
        broker: as ``broker:`` in ``bus.yaml``; empty = channels in the ledger.
        ledger: address of a PostgreSQL database; empty = SQLite.
        attempts: of an outlet before it gives up.
        connection: more words of every connection.
        reached: the port to connect to, given a partner and its server's own port.
    """

    broker: dict[str, Any] = field(default_factory=dict)
    ledger: str = ""
    attempts: int = 3
    connection: dict[str, Any] = field(default_factory=dict)
    reached: Callable[[str, int], int] = lambda _name, port: port

    @property
    def name(self) -> str:
        """For the column *route* of a table."""
        return f"{'RabbitMQ, ' if self.broker else ''}{'PostgreSQL' if self.ledger else 'SQLite'}, SFTP"


EMBEDDED = Site()
MANY = 10_000
"""``delivery_limit`` where processes die all the time: whatever they had taken over counts as handed out once more."""


class Mailboxes:
    """``with Mailboxes(folder, site) as boxes:`` serves ``boxes.partners`` and writes ``boxes.landscape``.

    The routes of the landscape are those that ship; only its connections are its own, sources are looked at more often,
    a payment run may not be endless, and an outlet gives up after the site's attempts.

    Attributes:
        partners: folder with the partners' roots, as :class:`bus.testing.landscape.Town` takes it.
        landscape: folder with ``bus.yaml``.
        servers: partner -> its server.
    """

    def __init__(self, folder: Path, site: Site = EMBEDDED) -> None:
        self.site = site
        self.partners = folder / "partners"
        self.landscape = folder / "landscape"
        self.servers = {name: OpenSshServer() for name in (ERP, *BANKS)}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.partners.mkdir(parents=True)
        with self._open as opening:
            for name, server in self.servers.items():
                opening.enter_context(server)
                (self.partners / name).symlink_to(server.home / "jail")
                for box in ("inbox", "inbox/.stage", "outbox"):
                    (self.partners / name / box).mkdir()
                    shutil.chown(self.partners / name / box, server.user)
            self._write()
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _write(self) -> None:
        shutil.copytree(ROUTES, self.landscape, ignore=shutil.ignore_patterns(".bus", "*.test.yaml"))
        connections = {name: {"sftp": self._connection(name)} for name in self.servers}
        _dump(self.landscape / "connections.yaml", {"connections": connections})
        for path in self.landscape.rglob("*.route.yaml"):
            path.write_text(_POLL.sub("poll: {every: 800ms}", path.read_text("utf-8")), "utf-8")
        payments = next(self.landscape.rglob("payments-out.route.yaml"))
        text = payments.read_text("utf-8")
        payments.write_text(
            text.replace("    path: /outbox\n", f"    path: /outbox\n    max_size: {BIGGEST}\n"), "utf-8"
        )
        bus = yaml.safe_load((self.landscape / "bus.yaml").read_text("utf-8"))
        for outlet in bus["outlets"].values():
            backoff = {"first": "200ms", "factor": 2, "most": "1s"}
            outlet["on_error"] = {"attempts": self.site.attempts, "backoff": backoff}
        bus |= {"broker": self.site.broker} if self.site.broker else {}
        bus |= {"ledger": self.site.ledger} if self.site.ledger else {}
        _dump(self.landscape / "bus.yaml", bus)

    def _connection(self, name: str) -> dict[str, Any]:
        server = self.servers[name]
        return {
            "host": server.host,
            "port": self.site.reached(name, server.port),
            "user": server.user,
            "key": f"${{file:{server.private_key}}}",
            "host_keys": [server.host_key],
            **self.site.connection,
        }

    @staticmethod
    def leave(server: OpenSshServer, path: Path) -> None:
        """A file of the bus's own user that nobody tidied up."""
        path.write_bytes(b"left behind")
        shutil.chown(path, server.user)

    def touch_routes(self, number: int) -> None:
        """Make a new version of every route: the words of a summary change, nothing else."""
        for path in self.landscape.rglob("*.route.yaml"):
            text = path.read_text("utf-8")
            path.write_text(re.sub(r"(?m)^summary: .*$", f"summary: edition {number}", text), "utf-8")


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
