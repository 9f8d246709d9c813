"""The pulse of one process of a fleet: what it tells the process that watches over it, and how it notices its end."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any

EVERY = 0.5
"""Seconds between two beats."""
_PAGE = resource.getpagesize()
_ORPHAN = 75


def memory() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - twice a second, so the short way
            return int(statm.read().split()[1]) * _PAGE
    except OSError:
        return 0


def limit_memory(most: int) -> None:
    """Let the system refuse this process more data than this: a runaway unit fails, not the machine."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


class Heart:
    """Beats over a socket to the watching process until :meth:`end`; when nobody is at its other end, says so.

    Args:
        link: the socket, one end of a pair.
        told: what to tell beside memory, asked at each beat.
        orphaned: called once when the watching process is gone: finish the work in hand and stop.
        patience: seconds after which an orphan that did not end is ended.
    """

    def __init__(
        self,
        link: socket.socket,
        told: Callable[[], dict[str, Any]],
        orphaned: Callable[[], None],
        patience: float = 40.0,
    ) -> None:
        self._link = link
        self._told = told
        self._orphaned = orphaned
        self._patience = patience
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._link.settimeout(EVERY)
        self._thread.start()

    def end(self) -> None:
        """Stop beating."""
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.is_set():
            line = json.dumps({"memory": memory(), **self._told()}).encode() + b"\n"
            try:
                self._link.sendall(line)
                gone = not self._link.recv(64)
            except TimeoutError:
                gone = False
            except OSError:
                gone = True
            if gone and not self._ended.is_set():
                self._orphaned()
                # Whoever hangs must not go on alone: nobody would ever look at it again. Nothing is lost by that.
                if not self._ended.wait(self._patience):
                    os._exit(_ORPHAN)
                return
