"""The disk with the bus' home runs full under payments, again and again, and each time space comes back."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.testing.sshd import OpenSshServer
from tests.faults.fleet import Fleet
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site

_SIZE = {False: "64m", True: "1g"}
"""In the long version the ledger itself grows beyond the small one."""
_BALLAST = "ballast"
_CHUNKS = (1 << 16, 1 << 12, 1)
_FULL = (0.5, 4.0)
"""Seconds that the disk stays full, at least and at most."""
_LOOK = 0.05
_REFUSED = "[SYS111]"
"""The code of a commit that the store refused."""


def _no_disk() -> str:
    """What is missing for a file system of its own."""
    if os.geteuid() != 0:
        return "only root may mount a tmpfs"
    return "" if shutil.which("mount") and shutil.which("umount") else "there is no mount(8)"


@fault("disk", "the disk of the bus runs full under payments and has space again", 60, _no_disk, OpenSshServer.missing)
def disk(order: Order) -> Iterator[Result]:
    """Five times in the short version, eighty times in the long one."""
    with Gateway(order, Site(attempts=100)) as gateway, _small(gateway.home, _SIZE[order.full]):
        processes = Fleet(gateway.boxes.landscape, workers=1)
        try:
            processes.start()
            for _ in range(80 if order.full else 5):
                gateway.strike("the disk is full", lambda: fill(gateway.home))
                said = _endure(gateway, processes)
                (gateway.home / _BALLAST).unlink()
                order.tell(f"     {said or 'the bus stayed up'}")
                processes.start()
                gateway.breathe()
            found = gateway.result("disk full", "", processes)
        finally:
            processes.close()
        said = processes.log.read_text("utf-8", "replace")
    found.missed += [] if _REFUSED in said else ["a commit for which there was no space"]
    found.missed += ["a coded error instead of a traceback"] if "Traceback" in said else []
    yield found


@contextmanager
def _small(home: Path, size: str) -> Iterator[None]:
    """A file system of its own at ``home``."""
    home.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", home], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


def fill(home: Path) -> None:
    """Leave not a single byte."""
    with (home / _BALLAST).open("wb", buffering=0) as ballast:
        for size in _CHUNKS:
            try:
                while ballast.write(bytes(size)) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _endure(gateway: Gateway, processes: Fleet) -> str:
    """While the disk is full more files come, and a bus that ended is started again; how often that was."""
    end = time.monotonic() + gateway.chance.uniform(*_FULL)
    gateway.give_work()
    codes = []
    while time.monotonic() < end:
        code = processes.ended()
        if code is not None:
            codes.append(str(code))
            processes.start()
        time.sleep(_LOOK)
    return f"the bus ended with {', '.join(codes)} and was started again" if codes else ""
