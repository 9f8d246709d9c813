"""The bus in the foreground: started, listening to signals and to its control socket, stopped without losing a step."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from bus.cli.output import note, paths_from, print_error, version
from bus.errors import BusError
from bus.ledger.place import open_reading
from bus.ledger.reading_status import next_moment
from bus.runtime.bus import ROLES
from bus.runtime.pulse import Heart, limit_memory
from bus.runtime.socket import NAME, ControlServer, Desk, Request

if TYPE_CHECKING:
    from bus.app import App
    from bus.settings import Settings

log = logging.getLogger("girobus")
_STOP = 30.0
"""Seconds for the batches in hand at a stop."""
_QUIET_ROUNDS = 2
"""A file counts as complete when two looks at it agree, so a source is looked at twice before it counts as empty."""
_LONGEST_PAUSE = 5_000
_LONG = 60
"""Seconds that systemd waits longer each time."""
_NEAR = 60_000
"""What is due within this time (milliseconds) is waited for by ``--until-idle``."""

LINK = "GIROBUS_LINK"
"""Variable that makes a process a member of a fleet: its place, the descriptor of its link, its memory limit."""

Wish = Literal["stop", "reload"]


class Member:
    """What a process of a fleet has beside a bus: a place and a link to its supervisor.

    Args:
        place: its number, from 1.
        link: one end of a socket pair; the supervisor has the other.
    """

    def __init__(self, place: int, link: socket.socket) -> None:
        self.place = place
        self._link = link

    @classmethod
    def of_environment(cls) -> Member | None:
        """The membership that the supervisor has given to this process; None when nobody has."""
        given = os.environ.pop(LINK, "")
        if not given:
            return None
        place, descriptor, memory = (int(part) for part in given.split(":"))
        if memory:
            limit_memory(memory)
        return cls(place, socket.socket(fileno=descriptor))

    @property
    def socket(self) -> str:
        """Name of its own control socket."""
        return f"control-{self.place}.sock"

    def beat(self, told: Callable[[], dict[str, Any]], orphaned: Callable[[], None]) -> None:
        """Begin to tell the supervisor how it goes."""
        Heart(self._link, told, orphaned).start()


class Service:
    """A built bus with everything that a person at the machine may do to it.

    SIGTERM and SIGINT finish the batches in hand and stop; a second SIGINT gives up at once (KeyboardInterrupt), which
    loses nothing: what was not committed runs again. SIGHUP reads the configuration again.

    Args:
        app: the bus; not started yet.
        settings: form of the log (with ``json`` what a person would be told is a line of it), port for monitoring.
        member: of a fleet that this process belongs to.
    """

    def __init__(self, app: App, settings: Settings | None = None, member: Member | None = None) -> None:
        self.app = app
        self._form = settings.log_format if settings is not None else "console"
        self._port = settings.http_port if settings is not None else 0
        if member is not None and self._port is None:
            spec = app.landscape.spec.http
            self._port = spec.port if spec is not None else 0
        if member is not None and self._port:
            self._port += member.place - 1
        self._wishes: SimpleQueue[Wish] = SimpleQueue()
        self._stopping = False
        self.at_rest = True
        """No thread of the bus works on the store."""
        self._desk = Desk(app.bus, app.reload)
        self._control = ControlServer(app.home, self._desk.perform, member.socket if member else NAME)
        self._member = member

    def wish(self, what: Wish) -> None:
        """Ask the running service for something; from any thread."""
        self._wishes.put(what)

    def run(self) -> bool:
        """Run until somebody says stop; False when a batch did not end in time.

        Raises:
            KeyboardInterrupt: at the second SIGINT.
        """
        from bus.operating.watch import Watch  # noqa: PLC0415 - loads an HTTP server
        from certs.files import default_folder  # noqa: PLC0415

        with self._listening():
            if self._member is not None:
                self._member.beat(self._told, lambda: self.wish("stop"))
            if not self.app.sort_out(self._goes_on):
                return True
            self.at_rest = False
            self.app.bus.start()
            with Watch(self.app, self._port, default_folder()).on_duty() as watch:
                self._announce()
                while self._wishes.get() == "reload":
                    with watch.reloading():
                        self._reload()
            self._tell("stopping: the batches in hand are finished first", "stopping")
            self.at_rest = self.app.bus.stop(_STOP)
            if not self.at_rest:
                late = f"a batch did not end within {_STOP:g} s; it runs again at the next start"
                self._tell(late, "a batch did not end in time and runs again", seconds=_STOP)
            log.info("stopped", extra={"clean": self.at_rest})
            return self.at_rest

    def run_until_idle(self) -> bool:
        """Run until nothing is left to do now; False when somebody said stop before.

        Sources are looked at until they are empty, whatever their schedule says; what is due within a minute is waited
        for. What waits longer, for a person or for a partner that is away stays for the next run.
        """
        bus = self.app.bus
        with self._listening(), bus.ledger.holdings.renewing():
            if not self.app.sort_out(self._goes_on):
                return False
            self._announce()
            quiet = 0
            while quiet < _QUIET_ROUNDS:
                moved = sum(bus.poll_once(route) for route in bus.assembly.intakes)
                while not self._stopping and bus.turn(poll=False):
                    moved += 1
                quiet = 0 if moved or self._something_near() else quiet + 1
                if not moved and quiet < _QUIET_ROUNDS and self._stopped_within(self._pause()):
                    self._tell("stopped before everything was done")
                    return False
            for intake, _ in bus.assembly.intakes.values():
                intake.close()
            for sender in bus.assembly.senders.values():
                sender.outlet.sink.close()
            return True

    def _goes_on(self) -> bool:
        """Asked all the time while something takes long before the start: nobody said stop. systemd is to wait."""
        from bus.operating.notify import notify  # noqa: PLC0415 - as above

        notify(EXTEND_TIMEOUT_USEC=_LONG * 1_000_000)
        return not self._stopping

    def _something_near(self) -> bool:
        with open_reading(self.app.place) as reading:
            moment = next_moment(reading)
        return bool(moment) and moment <= self.app.bus.clock.now() + _NEAR

    def _pause(self) -> float:
        """Seconds between two looks: as long as the slowest source wants, within limits."""
        polls = [spec.poll.every for spec in self._sources() if not spec.poll.cron]
        return min(max(polls, default=100), _LONGEST_PAUSE) / 1000

    def _sources(self) -> Iterator[Any]:
        for loaded in self.app.landscape.routes.values():
            if hasattr(loaded.spec.from_, "poll"):
                yield loaded.spec.from_

    def _stopped_within(self, seconds: float) -> bool:
        try:
            wish = self._wishes.get(timeout=seconds)
        except Empty:
            return False
        if wish == "reload":
            self._reload()
        return wish == "stop"

    def _reload(self) -> None:
        """Swap in what the files say now; with an error in them everything stays as it is."""
        begin, before = time.monotonic(), self._versions()
        try:
            with paths_from(self.app.folder):
                landscape = self.app.reload()
        except BusError as error:
            if self._form == "console":
                print_error(error)
            else:
                log.error("not reloaded", extra={"code": error.code, "why": error.message})  # noqa: TRY400 - files' fault
            self._tell("the running versions stay as they are")
            return
        took = (time.monotonic() - begin) * 1000
        fresh = [name for name, number in self._versions().items() if before.get(name) != number]
        news = f"new version of {', '.join(fresh)}" if fresh else "no new version"
        routes = len(landscape.routes)
        shown = f"reloaded: {_count(routes, 'route')} in {took:.0f} ms, {news}"
        self._tell(shown, "reloaded", routes=routes, fresh=" ".join(fresh), duration_ms=round(took))

    def _versions(self) -> dict[str, int]:
        return {route.name: route.version for route in self.app.bus.assembly.routes}

    def _announce(self) -> None:
        bus = self.app.bus
        held = ", outputs are held back" if bus.hold_outputs else ""
        routes, outlets = len(bus.assembly.routes), len(bus.assembly.senders)
        shown = (
            f"girobus {version()}: {_count(routes, 'route')}, {_count(outlets, 'outlet')}{held} · "
            f"store {self.app.home} · pid {os.getpid()}"
        )
        fields = {"release": version(), "routes": routes, "outlets": outlets, "held": bus.hold_outputs}
        self._tell(shown, "started", **fields, store=str(self.app.home), pid=os.getpid())

    def _tell(self, shown: str, event: str = "", **fields: Any) -> None:
        """Something that a person at the terminal reads, or whoever collects the log."""
        if self._form == "json":
            log.info(event or shown, extra=fields)
        else:
            note(shown)

    def _told(self) -> dict[str, Any]:
        bus = self.app.bus
        ages = bus.pulse().tasks.values()
        return {
            **self._desk.perform(Request("ping"), ""),
            "owner": bus.ledger.holdings.owner,
            "roles": sorted(bus.roles),
            "version": version(),
            "progress": self.app.meter.commits.count(),
            "stalled": round(max(ages, default=0.0), 1),
        }

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Signals and socket, for the time of the block."""
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        try:
            if "api" in self.app.bus.roles:
                self._control.start()
            try:
                yield
            finally:
                self._control.stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.wish("reload")
        elif self._stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            self._stopping = True
            self.wish("stop")


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# ---------------------------------------------------------------- building


@contextmanager
def service(
    folder: Path,
    *,
    hold_outputs: bool | None = False,
    roles: frozenset[str] | None = None,
    member: Member | None = None,
) -> Iterator[Service]:
    """A service of a landscape; its store is closed at the end.

    Args:
        folder: where ``bus.yaml`` stands.
        hold_outputs: start everything but the outlets; None = for as long as the ledger holds them.
        roles: what this process does; None = everything.
        member: of a fleet that this process belongs to.

    Raises:
        ConfigError: the landscape has errors.
        Unavailable: ``SYS101`` another process writes the store.
    """
    from bus.app import App, Surroundings, calm_collector  # noqa: PLC0415 - the whole engine
    from bus.operating.logs import logging_to_stderr  # noqa: PLC0415 - only a running bus has a log
    from bus.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    around = Surroundings(threads=settings.workers, roles=ROLES if roles is None else roles)
    with logging_to_stderr(settings.log_level, settings.log_format):
        with paths_from(folder):
            app = App(folder, around, home=settings.store, hold_outputs=hold_outputs)
        calm_collector()
        made = Service(app, settings, member)
        try:
            yield made
        finally:
            if made.at_rest:  # else the end of the process closes the store under a thread that still works on it
                app.close()
