"""A bus whose machine loses its power: killed at an effect, and what was not flushed is gone from its disk."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from ctypes.util import find_library
from itertools import count
from pathlib import Path
from typing import Self

from tests.faults.child import Child
from tests.faults.frame import Order, Result
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site
from tests.faults.planted import ROOT

EFFECTS = (
    "source.done:after", "commit.segment:after", "sink.rename:after", "blob.create:after", "commit.admit:after",
    "commit.delivered:after", "sink.stage:after", "source.done:before", "commit.completed:after",
    "commit.requested:after",
)  # fmt: skip
"""Where power goes: right after something was promised to be on the disk, or somebody was told so."""
_UP = 20.0
_PATIENCE = 60.0
_LINES = 30
_MOST = 8
"""Times that an effect is passed before it is the one."""


def missing() -> str:
    """What this machine lacks for a file system of our own; empty when nothing."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if not find_library("fuse3") or not shutil.which("umount"):
        return "there is no libfuse (apt-get install fuse3)"
    return "" if importlib.util.find_spec("mfusepy") else "there is no mfusepy (pip install mfusepy)"


class ForgetfulDisk:
    """``with ForgetfulDisk(mount, folder) as disk:`` has a :mod:`tests.faults.volume` at the folder ``mount``.

    Args:
        mount: made when it is missing.
        folder: made, for what the disk has after each cut.
    """

    def __init__(self, mount: Path, folder: Path) -> None:
        self._mount = mount
        self._trees = (folder / str(number) for number in count())
        self._servers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self._mount.mkdir(exist_ok=True)
        tree = next(self._trees)
        tree.mkdir(parents=True)
        self._serve(tree)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self._mount], check=False)
        for server in self._servers:
            server.kill()
            server.communicate()

    def cut(self, seed: int) -> None:
        """What was not flushed is gone, at least in part; what is left is there again when this returns.

        Nobody who writes may be alive.
        """
        server, tree = self._servers[-1], next(self._trees)
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the server cannot be talked to")
        server.stdin.write(f"cut {seed} {tree}\n")
        server.stdin.flush()
        if server.stdout.readline() != "done\n":
            raise RuntimeError("the disk did not say what is left of it")
        subprocess.run(["umount", "--lazy", self._mount], check=True)
        self._serve(tree)

    def _serve(self, tree: Path) -> None:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.volume", str(tree), str(self._mount)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._servers.append(server)
        end = time.monotonic() + _UP
        while not os.path.ismount(self._mount):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"there is no file system at {self._mount}")
            time.sleep(0.02)


def run(order: Order, effects: tuple[str, ...], *, name: str, source: Path = ROOT, patience: float = 90.0) -> Result:
    """Power is cut at one effect after the other; each time a bus starts on what is left."""
    with ExitStack() as opening:
        gateway = opening.enter_context(Gateway(order, Site(attempts=100), name=name, lines=_LINES))
        gateway.partners.local = None  # a reader would take, and keep, what the bus forgot to flush
        disk = opening.enter_context(ForgetfulDisk(gateway.home, order.folder / f"{name}-disk"))
        for number, effect in enumerate(effects):
            hit = gateway.chance.randint(1, _MOST)
            child = Child(gateway.boxes.landscape, source, f"life{number}", label=effect, hit=hit)
            child.start()
            end = time.monotonic() + _PATIENCE
            while not child.dead() and time.monotonic() < end:
                gateway.give_work()
                time.sleep(0.05)
            reached = child.killed()
            child.close()
            disk.cut(gateway.chance.randrange(1 << 30))
            gateway.count(f"power cut at {effect}", in_flight=reached)
        last = Child(gateway.boxes.landscape, source, "last")
        try:
            last.start()
            return gateway.result("power cut", "power", last, patience)
        finally:
            last.close()
