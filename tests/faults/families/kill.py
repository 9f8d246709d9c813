"""kill -9 of the embedded bus at every labelled effect, between OpenSSH servers; then of one with a planted bug."""

from __future__ import annotations

from collections.abc import Iterator

from bus.testing.sshd import OpenSshServer
from tests.faults.frame import Order, Result, beside_sound, fault
from tests.faults.kill_runs import BUG, Series, aimed, run
from tests.faults.lives import EFFECTS


@fault("kill", "kill -9 of the bus at every labelled effect and by chance", 200, OpenSshServer.missing)
def kill(order: Order) -> Iterator[Result]:
    """Three times as many kills in the long version."""
    times = 3 if order.full else 1
    series = Series(order.seed, EFFECTS * times, by_chance=12 * times)
    yield run(series, order.folder / "kills", order.tell)
    place = order.folder / "control"
    yield beside_sound(BUG, place, lambda source, folder: aimed(BUG, order.seed, source, folder, tell=order.tell))
