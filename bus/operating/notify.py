"""The word to systemd (``Type=notify``): ready, reloading, stopping, and a sign of life while there is progress."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

log = logging.getLogger("girobus")


def notify(**facts: object) -> bool:
    """Tell systemd; false where nobody listens. See sd_notify(3) for the names."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    text = "\n".join(f"{name}={value}" for name, value in facts.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            channel.sendall(text.encode())
    except OSError as error:
        log.warning("systemd does not listen", extra={"code": "SYS183", "why": error.strerror})
        return False
    return True


def reloading() -> None:
    """A reload begins; :func:`notify` ``READY=1`` ends it."""
    notify(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)


def watchdog_interval() -> float:
    """Seconds between two signs of life that systemd wants of this process; 0 = none."""
    wanted, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or (process and process != str(os.getpid())):
        return 0.0
    return int(wanted) / 2_000_000


class Watchdog:
    """Gives signs of life as long as nothing is stuck; without them systemd ends the process and starts a new one.

    Args:
        stuck: what makes no progress.
    """

    def __init__(self, stuck: Callable[[], list[str]]) -> None:
        self._stuck = stuck
        self._interval = watchdog_interval()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin, where systemd wants it."""
        if self._interval:
            self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(self._interval + 1)

    def _run(self) -> None:
        told = False
        while True:
            stuck = self._stuck()
            if not stuck:
                notify(WATCHDOG=1)
            elif not told:
                notify(STATUS=f"no progress: {stuck[0]}")
                log.error("no progress: no sign of life goes to systemd", extra={"code": "SYS182", "why": stuck[0]})
            told = bool(stuck)
            if self._stopping.wait(self._interval):
                return
