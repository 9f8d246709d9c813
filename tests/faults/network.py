"""Hosts of their own for processes: network namespaces on one bridge, which can be cut off from each service.

All addresses are of this machine and made for one run; nothing leaves it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tests.faults.cutting import CuttingProxy

SERVICES = ("database", "broker", "partners")
_FIRST_HOST = 11


@dataclass(frozen=True, slots=True)
class Cut:
    """What a host can no longer reach.

    Attributes:
        services: of :data:`SERVICES`.
        outwards: what the host sends is lost.
        inwards: what is sent to it is lost.
    """

    services: tuple[str, ...]
    outwards: bool = True
    inwards: bool = True

    @property
    def name(self) -> str:
        """For people."""
        lost = "both ways" if self.outwards and self.inwards else "outwards only" if self.outwards else "inwards only"
        return f"from {' and '.join(self.services)}, {lost}"


def missing() -> str:
    """What this machine lacks for it; empty when nothing."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    lacking = [package for tool, package in (("ip", "iproute2"), ("nft", "nftables")) if not shutil.which(tool)]
    if lacking:
        return f"there is no {lacking[0]} (apt-get install {lacking[0]})"
    tried = subprocess.run(["unshare", "--net", "nft", "add", "table", "inet", "x"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "network namespaces cannot be made or filtered here"


class Network:
    """``with Network("a", "b") as network:`` has hosts; services are reached at :meth:`serve`'s addresses.

    Args:
        hosts: their names.
    """

    def __init__(self, *hosts: str) -> None:
        mark = os.getpid() % 250
        self._bridge = f"girobus{mark}"
        self._net = f"10.213.{mark}"
        self._hosts = hosts
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._open as opening:
            _ip("link", "add", self._bridge, "type", "bridge")
            opening.callback(_ip, "link", "delete", self._bridge)
            for number in range(1, len(SERVICES) + 1):
                _ip("address", "add", f"{self._net}.{number}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for number, host in enumerate(self._hosts, _FIRST_HOST):
                name = self._name(host)
                _ip("netns", "add", name)
                opening.callback(_ip, "netns", "delete", name)
                _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
                _ip("link", "set", name, "master", self._bridge, "up")
                _ip("-n", name, "address", "add", f"{self._net}.{number}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    _ip("-n", name, "link", "set", device, "up")
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _name(self, host: str) -> str:
        return f"{self._bridge}{host}"

    def address(self, service: str) -> str:
        """Where a service is."""
        return f"{self._net}.{SERVICES.index(service) + 1}"

    def serve(self, service: str, port: int) -> int:
        """Lead from a port of the service's address to a port on loopback; returns the former."""
        return self._open.enter_context(CuttingProxy(port, self.address(service))).port

    def inside(self, host: str) -> tuple[str, ...]:
        """The words before a command that shall run on a host."""
        return ("ip", "netns", "exec", self._name(host))

    def cut(self, host: str, cut: Cut) -> None:
        """Lose what the host sends to services, or they to it."""
        addresses = ", ".join(self.address(service) for service in cut.services)
        chains = [("output", "daddr")] * cut.outwards + [("input", "saddr")] * cut.inwards
        rules = "\n".join(
            f"chain {hook} {{\ntype filter hook {hook} priority 0\nip {side} {{ {addresses} }} drop\n}}"
            for hook, side in chains
        )
        self._filter(host, f"table inet cut {{\n{rules}\n}}\n")

    def heal(self, host: str) -> None:
        """Lose nothing any more."""
        self._filter(host, "flush ruleset\n")

    def _filter(self, host: str, rules: str) -> None:
        subprocess.run([*self.inside(host), "nft", "--file", "-"], input=rules, text=True, check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
