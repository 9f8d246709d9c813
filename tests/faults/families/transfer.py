"""Transfers that break at byte N: closed, reset, frozen, or sshd dies, while a file comes in or goes out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle

from bus.testing.landscape import BANKS, ERP
from bus.testing.sshd import OpenSshServer
from tests.faults.child import Child
from tests.faults.cutting import Cut, CuttingProxy, How
from tests.faults.frame import Order, Result, fault
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site

_HOWS: tuple[How, ...] = ("close", "reset", "freeze", "kill")
_LINES = 100
_LONGEST = {True: 14_000, False: 50_000}
"""Bytes within which a file of so many lines is surely still on its way: in, and out."""
_PATIENT = {"connect_timeout": "3s", "timeout": "2s", "keepalive": "1s"}
_WAIT = 6.0
_FROZEN = 3.0
"""Seconds; longer than the bus waits for an answer."""


@fault("transfer", "transfers cut, reset or frozen at byte N, sshd killed, both directions", 185, OpenSshServer.missing)
def transfer(order: Order) -> Iterator[Result]:
    """Forty-two cuts in the short version, four hundred in the long one."""
    wanted = 400 if order.full else 42
    proxies: dict[str, CuttingProxy] = {}
    with ExitStack() as opening:

        def behind_a_proxy(name: str, port: int) -> int:
            proxies[name] = opening.enter_context(CuttingProxy(port))
            return proxies[name].port

        site = Site(attempts=100, connection=_PATIENT, reached=behind_a_proxy)
        gateway = opening.enter_context(Gateway(order, site, lines=_LINES))
        child = Child(gateway.boxes.landscape)
        opening.callback(child.close)
        child.start()
        scissors = Scissors(gateway, child, proxies)
        for how, _ in zip(cycle(_HOWS), range(4 * wanted), strict=False):
            if gateway.kills >= wanted:
                break
            scissors.cut(how, inwards=True)
            scissors.cut(how, inwards=False)
            gateway.breathe()
        yield gateway.result("transfer cut at byte N", "transfer", child)


class Scissors:
    """Cuts one transfer after the other, and counts those that were hit in the middle."""

    def __init__(self, gateway: Gateway, child: Child, proxies: dict[str, CuttingProxy]) -> None:
        self._gateway, self._child, self._proxies = gateway, child, proxies
        self._amid = False

    def cut(self, how: How, *, inwards: bool) -> None:
        """The next file that comes in from the ERP, or goes out to a bank."""
        gateway = self._gateway
        name, effect = (ERP, "source.fetch") if inwards else (BANKS[0], "sink.stage")
        server, proxy = gateway.boxes.servers[name], self._proxies[name]
        size = gateway.chance.randint(1, _LONGEST[inwards])
        happened = threading.Event()

        def hit() -> None:
            self._amid = self._child.doing(effect)
            if how == "kill":
                server.kill()
            happened.set()

        proxy.arm(Cut(size, how, hit, inwards=inwards))
        if inwards:
            gateway.give_work()
        happened.wait(_WAIT)
        if how == "freeze" and happened.is_set():
            time.sleep(_FROZEN)
        proxy.disarm()
        if not happened.is_set():
            return
        where = "in" if inwards else "out"
        gateway.count(f"{how:6} {where:3} after {size:6} bytes", in_flight=self._amid)
        if how == "kill":
            server.start()
