"""kill -9 of the bus while payment runs, answers and statements go through real OpenSSH servers.

The process dies at chosen effects, every labelled one at least once, and at moments by chance; each time a new one
takes over. At the end everything is counted at the partners. The same with a planted bug must be noticed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.frame import Result
from tests.faults.lives import EFFECTS, Death, Lives
from tests.faults.mailboxes import EMBEDDED, Mailboxes, Site
from tests.faults.partners import Partners, table
from tests.faults.planted import BUGS, ROOT

BUG = "ack-before-commit"
_TRIES = 4
_CONTROL = 5
"""Kills of a planted bug: one of them hits a payment, whichever messages the others hit."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series of kills.

    Attributes:
        effects: to die at, once each.
        by_chance: how many more deaths, at moments by chance.
        lines: of each payment run; there is one for every life.
        patience: seconds in which nothing may stand still at the end.
        source: the tree that the bus is run from.
        site: what the landscape stands on.
        soon: die at the first time that an effect is reached, not at one by chance.
    """

    seed: int
    effects: tuple[str, ...] = EFFECTS
    by_chance: int = 12
    lines: int = 80
    patience: float = 90
    source: Path = ROOT
    site: Site = EMBEDDED
    soon: bool = False


def missed(series: Series, deaths: list[Death]) -> list[str]:
    """Effects that were to be hit with a unit in flight, and were not."""
    hit = {name for death in deaths if death.in_flight for name in (death.effect, death.label)}
    return [effect for effect in series.effects if effect not in hit]


def story(deaths: list[Death]) -> str:
    """Which effects were hit."""
    at = Counter(death.label for death in deaths if death.in_flight)
    during = Counter(effect.partition(":")[0] for death in deaths for effect in death.doing)
    effects = sorted({label.partition(":")[0] for label in at} | set(during))
    rows = [(e, at[f"{e}:before"], at[f"{e}:after"], during[e]) for e in effects]
    return table(rows, ("effect", "killed before it", "after it", "going on at a kill"))


def run(series: Series, folder: Path, tell: Callable[[str], None] = lambda _text: None) -> Result:
    """Kill, let it come to rest, and judge."""
    begin = time.perf_counter()
    result = Result("kill -9 at an effect", f"bank-gateway, {series.site.name}", series.seed, counted="bus")
    chance = Random(series.seed)  # noqa: S311 - repeatable
    targets = [(effect, 1) for effect in series.effects] + [("", _TRIES)] * series.by_chance
    chance.shuffle(targets)
    with Mailboxes(folder, series.site) as boxes, Partners(boxes.partners, series.seed) as partners:
        lives = Lives(boxes, partners, chance, lines=series.lines, source=series.source)
        lives.soon = series.soon
        while targets:
            effect, tries = targets.pop(0)
            death = lives.live_and_die(effect)
            tell(f"{len(lives.deaths):4} {death}")
            if tries < _TRIES and not (death.in_flight and effect in (death.effect, death.label)):
                targets.insert(chance.randint(0, len(targets)), (effect, tries + 1))
        try:
            lives.rest(series.patience)
        except (TimeoutError, AssertionError) as error:
            result.stuck = str(error)
        result.verdict = lives.judge()
        result.units = sum(len(one.lines) for one in partners.runs if not one.fault)
        lives.close()
    result.kills = sum(death.in_flight for death in lives.deaths)
    result.recovery = max((death.recovery for death in lives.deaths), default=0.0)
    result.missed, result.story = missed(series, lives.deaths), story(lives.deaths)
    result.seconds = time.perf_counter() - begin
    return result


def aimed(
    bug: str, seed: int, source: Path, folder: Path, site: Site = EMBEDDED,
    tell: Callable[[str], None] = lambda _text: None,
) -> Result:  # fmt: skip
    """Kills at the effect that shows a bug, of a tree with or without it.

    The window of :data:`BUG` is open after every odd commit of a segment.
    """
    planted = BUGS[bug]
    effects = (planted.killed_at or planted.shows_at,) * (planted.by_chance or _CONTROL)
    soon = bool(planted.killed_at) and not planted.by_chance
    series = Series(seed, effects, by_chance=0, lines=40, patience=20, source=source, site=site, soon=soon)
    return run(series, folder, tell)
