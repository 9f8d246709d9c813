"""`bus dev`: run with scripted partners on loopback, and take every edit of the files at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli.output import Exit, config_option, leave, note
from bus.errors import Unavailable

if TYPE_CHECKING:
    from bus.config import Landscape

log = logging.getLogger("girobus")
_LOOK = 0.3
"""Seconds between two looks at the files, and between two of the banks at their folders."""

Seen = dict[str, tuple[int, int]]


@click.command()
@click.option("--lines", type=click.IntRange(1, 10_000), help="Let the ERP drop a payment run of so many lines first.")
@config_option
def command(*, config: Path, lines: int | None) -> None:
    """Run with scripted partners and reload on edit.

    Connections that lead to 127.0.0.1 get an SFTP server with a folder of its own below the store; where an ERP and the
    banks are among them, the banks answer what they get. An edit with an error is told and leaves the running version
    in place. Ctrl-C stops.
    """
    from bus.cli.serving import service  # noqa: PLC0415 - the engine is loaded on use

    with (
        service(config) as bus,
        _partners(bus.app.landscape, bus.app.home / "partners", lines),
        _repeating("watch", Watch(config, lambda: bus.wish("reload")).look),
    ):
        note(f"watching {config}; Ctrl-C stops")
        done = bus.run()
    if not done:
        leave(Exit.PARTLY)


# ---------------------------------------------------------------- files


class Watch:
    """Tells when a configuration file changed, came or went.

    Args:
        folder: where ``bus.yaml`` stands.
        changed: called once for each look that finds a difference.
    """

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._seen = self._snapshot()

    def look(self) -> None:
        """Compare with the last look."""
        now = self._snapshot()
        if now != self._seen:
            self._seen = now
            self._changed()

    def _snapshot(self) -> Seen:
        from bus.config.landscape import config_paths  # noqa: PLC0415 - loaded by the service already

        found: Seen = {}
        for path in config_paths(self._folder):
            try:
                facts = (self._folder / path).stat()
            except OSError:
                continue  # an editor is just replacing it
            found[path] = (facts.st_mtime_ns, facts.st_size)
        return found


@contextmanager
def _repeating(name: str, work: Callable[[], object]) -> Iterator[None]:
    """Do something again and again in a thread, for the time of the block; an error is told and does not end it."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(_LOOK):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the file watch is a convenience and must not end the bus
                log.error("a helper of the developer failed", extra={"task": name, "why": str(error)})  # noqa: TRY400 - no traceback

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# ---------------------------------------------------------------- partners


@contextmanager
def _partners(landscape: Landscape, root: Path, lines: int | None) -> Iterator[None]:
    """SFTP servers for the loopback connections, and whoever works behind them.

    Raises:
        Unavailable: ``SYS134`` when a port is taken or a key cannot be had.
    """
    from bus.app import SystemClock  # noqa: PLC0415 - loaded by the service already
    from bus.testing.landscape import BANKS, ERP, Loopback, Town  # noqa: PLC0415 - SFTP servers, only for developers

    try:
        servers = Loopback(root, landscape.connections)
        servers.start()
    except OSError as error:
        hint = "see port and key paths in connections.yaml; does another `bus dev` run?"
        raise Unavailable("SYS134", f"a partner cannot be started: {error.strerror or error}", hint=hint) from None
    if not servers.addresses():
        note("no connection leads to 127.0.0.1, so no partner is started")
        yield
        return
    try:
        for name, address in servers.addresses().items():
            note(f"partner {name}: sftp {address}, folder {root / name}")
        if not {ERP, *BANKS} <= set(servers.addresses()):
            yield
            return
        town = Town(root, SystemClock(), seed=int(time.time()) % 1_000_000_000)
        if lines:
            run = town.erp.payment_run(1, lines)
            note(f"the ERP drops {town.erp.drop(run).name} ({lines} lines)")
        with _repeating("banks", town.work_once):
            yield
    finally:
        servers.stop()
