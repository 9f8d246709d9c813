"""A process that is stopped in the middle of an effect until others have long done its work, and then goes on."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from signal import SIGSTOP

from tests.faults.child import Child
from tests.faults.frame import Order, Result
from tests.faults.gateway import Gateway
from tests.faults.mailboxes import Site
from tests.faults.planted import ROOT

EFFECTS = (
    "sink.stage:before", "sink.stage:after", "sink.rename:before", "sink.rename:after", "source.claim:before",
    "source.fetch:after", "source.done:before", "commit.stage-batch:before", "commit.stage-batch:after",
)  # fmt: skip
_LEASE = 1_500
"""Milliseconds that leases last here."""
_PATIENCE = 120.0
_STILL = 6.0
"""Seconds without any progress after which the others have done all that they can."""


def run(order: Order, site: Site, effects: tuple[str, ...], *, name: str, source: Path = ROOT) -> Result:
    """One process after the other is stopped at an effect; another takes over, and the first one wakes."""
    with ExitStack() as opening:
        gateway = opening.enter_context(Gateway(order, site, name=name))
        landscape = gateway.boxes.landscape
        last = Child(landscape, source, "last", lease=_LEASE)
        opening.callback(last.close)
        for number, effect in enumerate(effects):
            first = Child(
                landscape, source, f"{number}a", label=effect, hit=number % 4 + 1, lease=_LEASE, number=SIGSTOP
            )
            opening.callback(first.close)
            first.start()
            gateway.give_work()
            gateway.partners.wait(f"it stops at {effect}", first.stopped, _PATIENCE, look=0.05)
            second = Child(landscape, source, f"{number}b", lease=_LEASE)
            opening.callback(second.close)
            time.sleep(_LEASE / 1000)
            second.start()
            gateway.settle(_STILL)
            gateway.count(f"SIGSTOP at {effect}", in_flight=True)
            first.wake()
            gateway.settle(_STILL / 2)
            first.stop()
            second.stop()
        last.start()
        return gateway.result("SIGSTOP at an effect, then SIGCONT", "freeze", last)
