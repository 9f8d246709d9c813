"""The shipped landscape between its partners on any backbone, under payments, with something that breaks meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Protocol, Self

from bus.testing.judge import Judgement, Scene, judge, under_way
from bus.testing.landscape import schemas
from bus.testing.rabbitmq import RabbitCluster
from tests.faults.books import Books
from tests.faults.frame import Order, Result
from tests.faults.mailboxes import Mailboxes, Site
from tests.faults.partners import PROGRESS, Partners, day

_LOOK = 0.2
_WAITING = 4
"""Files at the ERP that nobody took yet: then there is work enough."""
_TRIES = 4
"""What was under way may be done before the moment by chance has come: then there is another one, half as far away."""


class Processes(Protocol):
    """What runs the bus."""

    def start(self) -> None:
        """Begin, unless they run."""

    def stop(self) -> str:
        """End in good order; what was wrong with that, empty = nothing."""

    def close(self) -> None:
        """End whatever is left, at once."""


class Pulse:
    """Watches, from outside, how long nothing moves although something is under way.

    Attributes:
        longest: seconds.
    """

    def __init__(self, place: Path | str, quiet: Callable[[Callable[[str], list[tuple[Any, ...]]]], bool]) -> None:
        self.longest = 0.0
        self._books = Books(place)
        self._quiet = quiet
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._books.close()

    def _watch(self) -> None:
        seen, since = None, time.monotonic()
        while not self._ending.wait(_LOOK):
            now = time.monotonic()
            progress = self._books.look(PROGRESS)
            if progress is not None and (progress != seen or self._at_rest()):
                seen, since = progress, now
            self.longest = max(self.longest, now - since)

    def _at_rest(self) -> bool:
        def rows(sql: str) -> list[tuple[Any, ...]]:
            found = self._books.look(sql)
            if found is None:
                raise TimeoutError
            return found

        with suppress(TimeoutError):
            return self._quiet(rows)
        return False


class Gateway:
    """``with Gateway(order, site, cluster) as gateway:`` has partners at work; processes are given to :meth:`run`.

    Args:
        order: seed and folder.
        site: what the landscape stands on.
        cluster: the broker, when there is one: its queues must be empty in the end.
        name: of the folder in the order's.
        lines: of each payment run.

    Attributes:
        kills: breaks with something under way.
    """

    def __init__(
        self, order: Order, site: Site, cluster: RabbitCluster | None = None, *, name: str = "gateway", lines: int = 60
    ) -> None:
        self.chance = Random(f"{order.seed} {name}")  # noqa: S311 - repeatable
        self.kills = self.strikes = 0
        self.lines = lines
        self._order, self._site, self._cluster = order, site, cluster
        self.boxes = Mailboxes(order.folder / name, site)
        self.home = self.boxes.landscape / ".bus"
        self.place: Path | str = site.ledger or self.home / "bus.db"
        self.books = Books(self.place)
        self._number = 0
        self._begin = time.perf_counter()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._open as opening:
            opening.callback(self.books.close)
            opening.enter_context(self.boxes)
            self.partners = opening.enter_context(Partners(self.boxes.partners, self._order.seed))
            self.partners.local = self.home
            self.pulse = opening.enter_context(Pulse(self.place, self.partners.quiet))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # ------------------------------------------------------------ under load

    def give_work(self) -> None:
        """The next payment run, unless enough of them wait; the statements of a day with every tenth."""
        if sum(1 for path in self.partners.town.erp.outbox.iterdir() if path.is_file()) > _WAITING:
            return
        self._number += 1
        self.partners.give(self._number, self.lines)
        if self._number % 10 == 0:
            self.partners.state_accounts(day(self._number))

    def busy(self) -> bool:
        """Something is under way in the ledger, as far as anybody can tell."""
        found = [self.books.look("SELECT 1")]
        return found[0] is not None and bool(under_way(self.books.read))

    def strike(self, what: str, act: Callable[[], object], *, spread: float = 1.0, weight: int = 1) -> None:
        """Break something (``weight`` things at once) at a moment by chance, while payments are under way.

        What ``act`` says was not hit (False) does not count.
        """
        doing: list[str] = []
        for tried in range(_TRIES):
            self.give_work()
            with suppress(TimeoutError):
                self.partners.wait("something is under way", self.busy, 20.0, look=0.02)
            time.sleep(self.chance.random() * spread / 2**tried)
            doing = under_way(self.books.read)
            if doing:
                break
        hit = act() is not False
        self.count(f"{what}; {', '.join(doing) or 'nothing under way'}", in_flight=hit and bool(doing), weight=weight)

    def until(self, counted: int, spare: int = 3) -> Iterator[int]:
        """Numbers for breaks, until so many more of them count; those of ``spare`` need not."""
        before = self.kills
        for number in range(counted + spare):
            if self.kills - before >= counted:
                return
            yield number

    def count(self, what: str, *, in_flight: bool, weight: int = 1) -> None:
        """Something broke."""
        self.strikes += 1
        self.kills += weight * in_flight
        self._order.tell(f"{self.strikes:4} {what}{'' if in_flight else '; not counted'}")

    def breathe(self, patience: float = 15.0) -> None:
        """Let something move before the next break, or all of it were one long one."""
        with suppress(TimeoutError):
            before = self.books.read(PROGRESS)
            self.partners.wait("something moves", lambda: self.books.look(PROGRESS) not in (None, before), patience)

    def settle(self, still: float) -> None:
        """Wait until all that can be done is done: nothing moves for so many seconds."""
        with suppress(TimeoutError):
            self.partners.wait("the end of time", lambda: False, still, moves=lambda: self.books.look(PROGRESS))

    # ------------------------------------------------------------ the end

    def result(self, fault: str, counted: str, processes: Processes, patience: float = 90.0) -> Result:
        """Let everything come to rest, stop the bus, judge; ``patience`` = seconds in which nothing moves."""
        found = Result(fault, f"bank-gateway, {self._site.name}", self._order.seed, counted)
        try:
            self._rest("every payment has its end", processes, patience)
            self.partners.state_accounts(day(self._number + 1))
            self._rest("every entry is booked", processes, patience)
        except TimeoutError as error:
            found.stuck = f"{error}: {', '.join(self._under_way())}"
        found.stuck = found.stuck or processes.stop()
        processes.close()
        found.recovery = self.pulse.longest
        found.verdict = self.judge()
        found.units = sum(len(one.lines) for one in self.partners.runs if not one.fault)
        found.kills = self.kills
        found.seconds = time.perf_counter() - self._begin
        return found

    def _under_way(self) -> list[str]:
        try:
            return under_way(self.books.read)
        except TimeoutError as error:
            return [str(error)]

    def _rest(self, what: str, processes: Processes, patience: float) -> None:
        self.partners.wait(what, lambda: self._quiet(processes), patience, moves=lambda: self.books.look(PROGRESS))

    def _quiet(self, processes: Processes) -> bool:
        processes.start()
        return self.partners.quiet(self.books.read) and not self.waiting()

    def waiting(self) -> list[str]:
        """Our queues at the broker that hold something, taken over or not."""
        if self._cluster is None:
            return []
        try:
            told = self._cluster.ask("list_queues", "--silent", "messages", "name")
        except RuntimeError as error:
            return [f"nobody knows what: {error}"]
        ours = f"\t{self._site.broker.get('prefix', '')}"
        return [line for line in told.splitlines() if ours in line and not line.startswith("0\t")]

    def judge(self) -> Judgement:
        """Count everything at the partners; a ledger that nobody can read has lost what it promised to keep."""
        self.partners.stop()
        scene = Scene(self.partners.town, self.partners.runs, self.books.read, self.home, schemas(), self.home)
        try:
            verdict = judge(scene)
        except TimeoutError as error:
            verdict = Judgement(lost=[f"everything: {error}"])
        verdict.unfinished += [f"queue with {line}" for line in self.waiting()]
        return verdict
