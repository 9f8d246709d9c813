"""Schedules of crashes by the hundred thousand: worlds of different payment runs and misbehaviour, in all processors.

A *tape* is a world by chance: its payment run, where its channels are, what its broker and its disk do wrong. Each tape
takes some hundred schedules of one to four crashes, one in ten of them with quick banks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bus.ledger import store
from tests.faults.exploration import Outcome, Points, Schedule, Simulation, longer, worlds
from tests.faults.world import Circumstances

PER_TAPE = 1_000
_HASTY = 0.02
_KIN = 60
"""Schedules for one beginning of each length."""
_TASKS = 1
"""Worlds of a process. With more, the pool may not replace those that are done (CPython issue 115634)."""
_KINDS = (
    "store",
    "rabbitmq",
    "store, conflicts",
    "rabbitmq, losses",
    "store, refusals",
    "rabbitmq, reordering",
)


def kind(tape: int) -> str:
    """What is wrong in a world beside the crashes."""
    return _KINDS[tape % len(_KINDS)]


def circumstances(seed: int, tape: int) -> Circumstances:
    """The world of that number."""
    chance = Random(f"{seed}/{tape}")  # noqa: S311 - repeatable
    where, _, wrong = kind(tape).partition(", ")

    def some(most: int) -> frozenset[int]:
        return frozenset(chance.randint(1, most) for _ in range(chance.randint(1, 5)))

    return Circumstances(
        seed=chance.randrange(10**6),
        lines=chance.randint(3, 9),
        backbone=where,
        doubled=0.05 if where == "rabbitmq" else 0.0,
        shuffled=wrong == "reordering",
        failing=some(60) if wrong == "losses" else frozenset(),
        refused=some(60) if wrong == "conflicts" else frozenset(),
        troubled=some(300) if wrong in ("refusals", "losses") else frozenset(),
        chunk=chance.randint(2, 4),
    )


def family(chance: Random, labels: int, count: int) -> list[Schedule]:
    """Schedules of one to four crashes by chance; many begin alike, and that is lived once."""
    begun: list[list[Points]] = [[()]]
    for _ in range(3):
        begun.append([longer(chance, chance.choice(begun[-1]), labels) for _ in range(-(-count // _KIN))])
    plan = [longer(chance, chance.choice(begun[chance.randint(0, 3)]), labels) for _ in range(count)]
    return [Schedule(points, chance.random() < _HASTY) for points in plan]


def explore(seed: int, tape: int, count: int) -> dict[str, Any]:
    """What the schedules of one tape come to."""
    chance = Random(f"{seed}/{tape}/schedules")  # noqa: S311 - repeatable
    store._NUMBERS_RESERVED = 1  # a crash leaves no gap, so that more lives turn out to be the same
    with worlds() as make:
        simulation = Simulation(make(circumstances(seed, tape)), remember=True)
        found, labels = simulation.found, len(simulation.labels)
        if simulation.story:
            found.red.append(Outcome((), (), story=f"already without a crash: {simulation.story}"))
        else:
            simulation.crashes(family(chance, labels, count))
    return {"tape": tape, "kind": kind(tape), "effects": labels, "places": simulation.places, **asdict(found)}


def _record(path: Path, head: dict[str, Any], *, again: bool) -> list[dict[str, Any]]:
    """The worlds that an interrupted run of the same head has done, one a line; else a new record is begun.

    Raises:
        SystemExit: the record is of another run.
    """
    lines = path.read_text("utf-8").splitlines(keepends=True) if again and path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off
    if whole and json.loads(whole[0]) != head:
        raise SystemExit(f"{path} is the record of another run: {whole[0].strip()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(whole) or json.dumps(head) + "\n", "utf-8")
    return [json.loads(line) for line in whole[1:]]


def campaign(schedules: int, seed: int, jobs: int, record: Path, *, again: bool = False) -> dict[str, Any]:
    """All tapes that so many schedules need, some processes at a time; tells on the terminal how far it is.

    Each world that is done is a line of ``record``; ``again`` goes on behind those of an interrupted run.
    """
    begin = time.perf_counter()
    most = max(1, min(PER_TAPE, schedules // len(_KINDS)))  # few schedules still see every kind of world
    counts = [min(most, schedules - first) for first in range(0, schedules, most)]
    tapes = _record(record, {"schedules": schedules, "seed": seed}, again=again)
    done_before = {tape["tape"] for tape in tapes}
    columns = (TextColumn("schedules"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with (
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=_TASKS) as pool,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("", total=schedules)
        todo = [(tape, count) for tape, count in enumerate(counts) if tape not in done_before]
        progress.advance(bar, schedules - sum(count for _, count in todo))
        waiting = {pool.submit(explore, seed, tape, count): count for tape, count in todo}
        try:
            for done in as_completed(waiting):
                tapes.append(done.result())
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(tapes[-1]) + "\n")
                progress.advance(bar, waiting[done])
                progress.console.print("\n".join(_told(seed, _reds(tapes[-1:]))), end="", highlight=False, markup=False)
                if not console.is_terminal:
                    sys.stderr.write(f"{len(tapes)} of {len(counts)} worlds, {_sum('', tapes)['red']} wrong\n")
        except KeyboardInterrupt:  # what is done counts
            pool.shutdown(wait=False, cancel_futures=True)
    return {
        "seed": seed,
        "schedules": sum(tape["schedules"] for tape in tapes),
        "kinds": [_sum(name, [tape for tape in tapes if tape["kind"] == name]) for name in _KINDS],
        "red": _reds(tapes),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _reds(tapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "tape": tape["tape"]} for tape in tapes for one in tape["red"]]


def _told(seed: int, red: list[dict[str, Any]]) -> Iterator[str]:
    for one in red:
        points = ",".join(map(str, one["points"])) + (" --hasty" if one["hasty"] else "")
        yield f"RED at --seed {seed} --tape {one['tape']} --points {points} ({' then '.join(one['labels'])})"
        yield f"{one['story']}\n"


def _sum(name: str, tapes: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": name, "worlds": len(tapes)}
    for column in ("effects", "places", "schedules", "crashes", "lives"):
        found[column] = sum(tape[column] for tape in tapes)
    return {**found, "red": sum(len(tape["red"]) for tape in tapes)}


def text(found: dict[str, Any]) -> Iterator[str]:
    """A table in the words of the documentation, and how to repeat what went wrong."""
    yield "| world | worlds | effects | durable states | schedules | crashes | lives | wrong |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in found["kinds"]:
        numbers = " | ".join(f"{value:,}" for name, value in row.items() if name != "kind")
        yield f"| {row['kind']} | {numbers} |"
    yield ""
    yield from _told(found["seed"], found["red"])
    crashes, worlds_done = (sum(row[name] for row in found["kinds"]) for name in ("crashes", "worlds"))
    yield (
        f"seed {found['seed']}: {worlds_done:,} worlds, {found['schedules']:,} schedules, {crashes:,} crashes, "
        f"{len(found['red'])} wrong, {found['seconds']:,} s"
    )
