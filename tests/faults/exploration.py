"""Explores what crashes do to a world: every life that a set of schedules asks for, each only once."""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from bus import app as composition
from bus.config import load_landscape
from bus.registry import Registry
from tests.faults.world import ROUTES, Circumstances, Kept, Remembering, World

_LITTER = 20
"""Lives whose buses are cleared away together."""
_SENDING = ("sink.", "commit.requested", "commit.delivered")

Points = tuple[int, ...]
"""Number of the effect at which each life ends, counted from 1 in each; after the last one the bus lives on."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where the lives end, and whether the banks are quick at every crash."""

    points: Points
    hasty: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of a crashed life; ``story`` is empty when nothing is wrong."""

    points: Points
    labels: tuple[str, ...]
    hasty: bool = False
    story: str = ""


@dataclass(slots=True)
class Found:
    """What an exploration came to.

    Attributes:
        schedules: how many ended as they should or not; those whose next point lay behind the end are among them.
        crashes: in them.
        lives: lived, not counting what was let go or shared.
        red: those that went wrong.
    """

    schedules: int = 0
    crashes: int = 0
    lives: int = 0
    red: list[Outcome] = field(default_factory=list)


@dataclass(slots=True)
class _Place:
    """A durable state in which a life is to end, and how it goes on."""

    number: int
    label: str
    state: bytes
    mine: bool
    kept: Kept | None = None
    plans: list[Schedule] = field(default_factory=list)


class Simulation:
    """Explores what crashes do to one world.

    Args:
        world: new.
        stop: look no further after the first finding.
        remember: live no life again whose beginning differs from an earlier one in nothing that matters.
    """

    def __init__(
        self, make: Callable[[Callable[[str], None]], World], *, stop: bool = False, remember: bool = False
    ) -> None:
        self.found = Found()
        self.places = 0
        """Different durable states among the effects of the undisturbed life."""
        self.labels: list[str] = []
        self.story = ""
        """What is wrong already without a crash."""
        self._stop = stop
        self._remember = remember
        self._stories: dict[bytes, str] = {}
        self._reference: list[dict[str, object]] = []
        self._hook: Callable[[str], None] = self.labels.append
        self._world = make(self._effect)
        self._new = self._world.keep()
        self._sent = 0
        """How many effects it took to bring all payments out."""
        self._undisturbed()

    def _effect(self, label: str) -> None:
        self._hook(label)  # another one in each life

    def _undisturbed(self) -> None:
        try:
            for phase in self._world.go_on():
                self._reference.append(self._world.facts())
                self._sent = self._sent if phase else len(self.labels)
            self.story = self._world.judgement().story()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self.story = f"{type(error).__name__}: {error}"

    def singles(self, only: str = "", part: tuple[int, int] = (0, 1)) -> None:
        """A crash at every effect whose label begins with ``only`` and that has a durable state of its own.

        (1, 3) is the second third of them.
        """
        labels = [(n, label) for n, label in enumerate(self.labels, 1) if label.startswith(only)]
        plan = [Schedule((n,)) for n, _ in labels]
        plan += [Schedule((n,), hasty=True) for n, label in labels if n <= self._sent and label.startswith(_SENDING)]
        self._begin(plan, part)

    def crashes(self, plan: Iterable[Schedule]) -> None:
        """Run these."""
        todo = list(plan)
        if todo:
            self._begin(todo, (0, 1))

    def _begin(self, plan: list[Schedule], part: tuple[int, int]) -> None:
        self._world.revive(self._new, hasty=False)
        self._live(plan, Outcome((), ()), part)

    def _live(self, plans: list[Schedule], at: Outcome, part: tuple[int, int] = (0, 1)) -> None:
        """One life to its end, and then those that its crashes lead to."""
        wanted: dict[int, list[Schedule]] = {}
        for plan in plans:
            if plan.points:
                wanted.setdefault(plan.points[0], []).append(Schedule(plan.points[1:], plan.hasty))
        places: dict[int, _Place] = {}
        self._hook, ended = self._keeping(wanted, places, part)
        at.story = self._story(at, lambda: ended() >= max(wanted, default=0))
        behind = sum(len(plans) for number, plans in wanted.items() if number > ended())
        self.found.lives += 1
        if at.points:
            self._count(at, sum(not plan.points for plan in plans) + behind)
        else:
            self.places = max(self.places, len(places))
        if self.found.lives % _LITTER == 0:
            gc.collect()
        for place in places.values():
            self._follow(place, at)

    def _count(self, at: Outcome, schedules: int) -> None:
        self.found.schedules += schedules
        self.found.crashes += schedules * len(at.points)
        if at.story and schedules:
            self.found.red.append(at)

    def _follow(self, place: _Place, at: Outcome) -> None:
        """The lives after a crash, first with slow banks, then with quick ones."""
        for hasty in (False, True):
            plans = [plan for plan in place.plans if plan.hasty == hasty]
            if not plans or (self._stop and self.found.red):
                continue
            after = Outcome((*at.points, place.number), (*at.labels, place.label), hasty)
            if self._known(place, plans):
                after.story = self._stories[place.state]
                self._count(after, len(plans))
            elif place.kept is not None:
                self._world.revive(place.kept, hasty=hasty)
                self._live(plans, after)
                if place.state and not hasty:
                    self._stories[place.state] = after.story
        if place.kept is not None:
            shutil.rmtree(place.kept.folder)

    def _known(self, place: _Place, plans: list[Schedule]) -> bool:
        """Whether the life from here on was lived before, and nothing more is asked of it."""
        return place.state in self._stories and not any(plan.points or plan.hasty for plan in plans)

    def _keeping(
        self, wanted: dict[int, list[Schedule]], places: dict[int, _Place], part: tuple[int, int]
    ) -> tuple[Callable[[str], None], Callable[[], int]]:
        """(hook that keeps the moments at which a crash is wanted, number of the last effect)."""
        number = 0

        def effect(label: str) -> None:
            nonlocal number
            number += 1
            if number in wanted:
                mark = hash(self._world.fingerprint())
                if mark not in places:
                    state = self._world.state() if self._remember else b""
                    mine = len(places) % part[1] == part[0]
                    places[mark] = _Place(number, label, state, mine)
                place = places[mark]
                place.plans += wanted[number]
                if place.mine and place.kept is None and not self._known(place, place.plans):
                    place.kept = self._world.keep()

        return effect, lambda: number

    def _story(self, at: Outcome, reached: Callable[[], bool]) -> str:
        """What is wrong with this life. It ends early where its future is known: it is that of the undisturbed one."""
        world, different = self._world, ""
        alike = not at.hasty and world.around.settled
        try:
            for phase in world.go_on():
                differs = "" if at.hasty else _difference(world.facts(), self._reference[phase])
                if not differs and not different and not at.hasty and reached():
                    return ""
                different = different or (differs and f"different after phase {phase + 1}: {differs}")
            return "\n".join(filter(None, (world.judgement().story(), different if alike else "")))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            return f"{type(error).__name__}: {error}"


def _difference(facts: dict[str, object], reference: dict[str, object]) -> str:
    return ", ".join(sorted(n for n in facts.keys() | reference.keys() if facts.get(n) != reference.get(n)))


def longer(chance: Random, points: Points, labels: int) -> Points:
    """One more crash by chance; those after the first are mostly early in their life, where recovery happens."""
    if not points:
        return (chance.randint(1, labels),)
    late = chance.random() > 0.7
    return (*points, chance.randint(1, max(1, labels - points[0]) if late else 40))


@contextmanager
def worlds() -> Iterator[Callable[[Circumstances], Callable[[Callable[[str], None]], World]]]:
    """Makes worlds of the shipped routes, one at a time, on a disk in memory where there is one.

    What a bus derives from the files of its landscape is the same at every start, and is derived once.
    """
    logging.disable()
    gc.disable()  # see :data:`_LITTER`
    catalogue = Registry()
    landscape = load_landscape(ROUTES, catalogue).require()
    for name in ("route_hash", "sources"):
        setattr(composition, name, _by_route(getattr(composition, name)))
    composition.StepSurroundings.mapping = _by_name()  # type: ignore[method-assign]
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="girobus-simulation-", dir=memory if memory.is_dir() else None))
    templates = Remembering()

    def world(around: Circumstances, effect: Callable[[str], None]) -> World:
        shutil.rmtree(base / "world", ignore_errors=True)
        gc.collect()
        gc.freeze()
        return World(base / "world", landscape, catalogue, effect, around, templates)

    try:
        yield lambda around: partial(world, around)
    finally:
        templates.close()
        shutil.rmtree(base, ignore_errors=True)


_MAPPING = composition.StepSurroundings.mapping


def _by_name() -> Callable[..., Any]:
    """Mappings compiled once for all lives on the same clock: nothing else of a life goes into one."""
    known: dict[tuple[int, str, bool], tuple[Any, Any]] = {}

    def mapping(self: composition.StepSurroundings, name: str, *, reverse: bool = False) -> Any:
        about = (id(self.clock), name, reverse)
        if about not in known:
            known[about] = (self.clock, _MAPPING(self, name, reverse=reverse))  # the clock stays, so its id does
        return known[about][1]

    return mapping


def _by_route(derive: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    known: dict[str, Any] = {}

    def derived(landscape: Any, route: Any) -> Any:
        if route.name not in known:
            known[route.name] = derive(landscape, route)
        return known[route.name]

    return derived
