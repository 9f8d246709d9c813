"""The power of the bus' machine is cut: what was not flushed is gone from ledger, blobs and local outlets."""

from __future__ import annotations

from collections.abc import Iterator

from bus.testing.sshd import OpenSshServer
from tests.faults.frame import Order, Result, fault
from tests.faults.power import EFFECTS, missing, run


@fault("power", "power cuts: what the bus wrote and did not flush is lost or torn", 50, missing, OpenSshServer.missing)
def power(order: Order) -> Iterator[Result]:
    """Ten cuts in the short version, a hundred and fifty in the long one."""
    yield run(order, EFFECTS * (15 if order.full else 1), name="power")
