"""The whole landscape in one thread, crashed at every single effect, then at sets of two to four effects.

``python -m tests.faults.simulation`` runs it; ``--points 120,7`` crashes at the 120th effect of the first life and the
7th of the second, and tells what became of it. At a chosen effect everything durable is kept; later a new bus is built
over it and goes on. What several schedules have in common is lived once: the lives before a crash, and crashes between
which nothing durable changed.

The landscape lives in three phases: payments out, statuses in, statements in; each ends when nothing moves any more. A
crashed life must then have made the same bytes and the same facts in the ledger as the undisturbed one, to the last
count and sum. Once it has, its future is the same as well, and it is let go; else it lives to the end, and is judged.
Where messages may overtake each other, bytes may differ, and the judge alone decides.

After a crash around the publishing of a file there is one more run in which the banks take what they see before the bus
is back: then not even the file is there to tell whether it was sent.

``--schedules 100000`` draws that many schedules of one to four crashes, in worlds of different payment runs, half of
them on a broker that doubles, reorders and fails (:mod:`tests.faults.schedules`). Worlds that are done are
recorded, and with ``--continue`` an interrupted run goes on behind them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.exploration import Outcome, Points, Schedule, Simulation, longer, worlds
from tests.faults.schedules import campaign, circumstances, text
from tests.faults.world import Circumstances


def sample(labels: int, pairs: int, triples: int, seed: int) -> list[Schedule]:
    """Pairs and triples of points by chance, every second one with quick banks."""
    chance = Random(seed)  # noqa: S311 - repeatable
    counts = [2] * pairs + [3] * triples
    plan = []
    for n, count in enumerate(counts):
        points: Points = ()
        for _ in range(count):
            points = longer(chance, points, labels)
        plan.append(Schedule(points, bool(n % 2)))
    return plan


def around(options: argparse.Namespace) -> Circumstances:
    """What the options say of the world."""
    if options.tape is not None:
        return circumstances(options.seed, options.tape)
    return Circumstances(
        backbone=options.backbone,
        doubled=options.doubled,
        shuffled=options.shuffled,
        failing=frozenset(options.failing),
        refused=frozenset(options.refused),
        troubled=frozenset(options.troubled),
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the options say; returns what the command prints as JSON."""
    begin = time.perf_counter()
    with worlds() as make:
        simulation = Simulation(make(around(options)), stop=options.stop)
        if simulation.story:
            simulation.found.red.append(Outcome((), (), story=f"already without a crash: {simulation.story}"))
        elif options.points:
            simulation.crashes([Schedule(options.points, options.hasty)])
        else:
            if options.only != "nothing":
                simulation.singles(options.only, options.part)
            part, parts = options.part
            plan = sample(len(simulation.labels), options.pairs, options.triples, options.seed)
            simulation.crashes(plan[part::parts])
    found = simulation.found
    return {
        "effects": len(simulation.labels),
        "labels": dict(sorted(Counter(simulation.labels).items())),
        "places": simulation.places,
        "schedules": found.schedules,
        "crashes": found.crashes,
        "lives": found.lives,
        "seed": options.seed,
        "red": [asdict(one) for one in found.red],
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _table(found: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name:10} {value}" for name, value in found.items() if name not in ("red", "labels"))
    for one in found["red"]:
        points = ",".join(map(str, one["points"])) + (" --hasty" if one["hasty"] else "")
        yield f"RED at --points {points} ({' then '.join(one['labels'])})\n{one['story']}"


def _numbers(text: str) -> Points:
    return tuple(map(int, text.split(",")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulation", description=__doc__)
    add = parser.add_argument
    add("--part", type=lambda text: tuple(map(int, text.split("/"))), default=(0, 1), help="0/2: every second place")
    add("--pairs", type=int, default=0, help="how many pairs of points by chance")
    add("--triples", type=int, default=0, help="how many triples of points by chance")
    add("--schedules", type=int, default=0, help="how many schedules of 1 to 4 points by chance, in many worlds")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes for --schedules")
    add("--record", type=Path, default=Path("build/simulation.jsonl"), help="of the worlds that --schedules has done")
    add("--continue", dest="go_on", action="store_true", help="behind the worlds in the record")
    add("--seed", type=int, default=1, help="of the chance")
    add("--tape", type=int, default=None, help="the world of that number among those of --schedules with this seed")
    add("--points", type=_numbers, default=(), help="only these, as `120,7`")
    add("--only", default="", metavar="LABEL", help="single crashes only at effects that begin so; `nothing` = none")
    add("--stop", action="store_true", help="look no further after the first finding")
    add("--hasty", action="store_true", help="with --points: partners take what they see at the crash")
    add("--backbone", choices=("store", "rabbitmq"), default="store", help="where the channels are")
    add("--doubled", type=float, default=0.0, help="share of messages that the broker stores twice")
    add("--shuffled", action="store_true", help="the broker hands out in any order")
    add("--failing", type=_numbers, default=(), help="publications that fail")
    add("--refused", type=_numbers, default=(), help="commits of segments that are refused: somebody was first")
    add("--troubled", type=_numbers, default=(), help="effects that fail before they happen")
    add("--json", action="store_true", help="one line for programs")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    if options.schedules:
        found = campaign(options.schedules, options.seed, options.jobs, options.record, again=options.go_on)
        lines = text(found)
    else:
        found = run(options)
        lines = _table(found)
    sys.stdout.write("\n".join([json.dumps(found)] if options.json else lines) + "\n")
    return 1 if found["red"] else 0


if __name__ == "__main__":
    sys.exit(main())
