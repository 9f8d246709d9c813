"""``python -m bench.peers.hops``: the hop on RabbitMQ beside the C reference and other integration frameworks.

JSON message in, three-way content route, translation (rename, look up, compute), queue out; quorum queues, persistent,
confirms awaited, acknowledged after the output. Everybody works on the same broker, in alternating rounds, each begun
when the broker is at rest; after each, all that came out is read and compared. Floor of each row: the C reference of
the same round with as many processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from bench.measure import Measurement, workplace
from bench.peers import latency, scale
from bench.peers.place import OUT, Place, processor_seconds
from bench.peers.runners import Runner, c_reference, camel, girobus, redpanda, stop

_LOOK, _SELDOM = 0.02, 0.5
"""Seconds between two looks: near what is waited for, and far from it."""
_STALLED = 90.0
_COUNT = 40_000
"""Many times what may stand in the hands of two workers: that much is brought there before the time is taken."""
_BY_PROCESSES = ("c_hop", "hop_at_least_once", "hop_effectively_once")
"""What is measured with one and with two processes; the others have threads enough in one."""
console = Console(stderr=True)


class Round:
    """What one runner did in one round."""

    def __init__(self, rate: float, seconds: float, micros: dict[str, float], peak_mb: float) -> None:
        self.rate, self.seconds, self.peak_mb = rate, seconds, peak_mb
        self.micros = micros
        """Processor time a message, in millionths of a second, of the runner, the broker and the database."""


def measure(runner: Runner, place: Place, count: int, workers: int, log: Path) -> Round:
    """Have ``count`` messages go through, after a warm-up, and check every one.

    Raises:
        SystemExit: a message is missing or wrong, or nothing moves any more.
    """
    begin = int(count * runner.warm)
    total = begin + count
    place.empty()
    place.fill(runner.body(n) for n in range(total))
    place.rest()
    processes = [runner.start(place, number, log) for number in range(workers)]
    try:
        started, ended = _watch(runner, place, processes, (begin, total))
        deadline = time.monotonic() + _STALLED
        while place.waiting("hop") and time.monotonic() < deadline:
            time.sleep(_LOOK)
        peak = sum(_peak_mb(process.pid) for process in processes)
    finally:
        stop(processes)
    _check(runner, place, total)
    moved, seconds = ended["moved"] - started["moved"], ended["at"] - started["at"]
    micros = {who: (ended[who] - started[who]) / moved * 1e6 for who in ("runner", "broker", "database")}
    return Round(moved / seconds, seconds, micros, peak)


def _watch(
    runner: Runner, place: Place, processes: list[subprocess.Popen[bytes]], span: tuple[int, int]
) -> tuple[dict[str, float], dict[str, float]]:
    """How things stood when the first and when the last message to be measured had come out.

    Looking costs the broker something too, and most hurts who leaves no processor idle: far from either it is rare.
    """
    started: dict[str, float] = {}
    first: tuple[int, float] | None = None
    last, moved_at = -1, time.monotonic()
    while True:
        moved, now = place.waiting(*OUT), time.monotonic()
        if moved != last:
            last, moved_at = moved, now
        if moved >= span[0] and moved and not started:
            started = _standing(place, processes, moved, now)
        if moved >= span[1]:
            return started, _standing(place, processes, moved, now)
        if now - moved_at > _STALLED or any(process.poll() is not None for process in processes):
            raise SystemExit(f"{runner.name} stopped at {moved} of {span[1]} messages")
        first = first or ((moved, now) if moved else None)
        left = 0.0
        if first is not None and moved > first[0]:
            left = (now - first[1]) / (moved - first[0]) * ((span[1] if started else span[0]) - moved)
        time.sleep(min(max(_LOOK, left / 3), _SELDOM))


def _standing(place: Place, processes: list[subprocess.Popen[bytes]], moved: int, now: float) -> dict[str, float]:
    used = sum(processor_seconds(process.pid) for process in processes)
    return {"at": now, "moved": moved, "runner": used, **place.processor_seconds()}


def _peak_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def _check(runner: Runner, place: Place, total: int) -> None:
    """Every message came out in the right queue with the right fields: once, or more often where that is allowed."""
    seen = Counter(runner.check(queue, body) for queue, body in place.take_out())
    if seen.keys() != set(range(total)) or place.waiting("hop"):
        raise SystemExit(f"{runner.name}: {total - len(seen)} of {total} messages are missing")
    if runner.once and seen.total() > total:
        raise SystemExit(f"{runner.name}: {seen.total() - total} messages came out twice")


# ---------------------------------------------------------------- rounds


def contestants(wanted: Iterable[str]) -> list[tuple[str, list[Runner]]]:
    """(row, runners of which the best counts) of all that can run here; who cannot is named."""
    rows: list[tuple[str, list[Runner | str]]] = [
        ("c_hop", [c_reference()]),
        ("hop_at_least_once", [girobus("girobus_at_least_once", "at-least-once")]),
        ("hop_effectively_once", [girobus("girobus_effectively_once", "effectively-once")]),
        ("camel_hop", [camel("java"), camel("jq")]),
        ("redpanda_hop", [redpanda()]),
    ]
    found = []
    for name, runners in rows:
        able = [runner for runner in runners if isinstance(runner, Runner)]
        for why in [runner for runner in runners if isinstance(runner, str)][:1]:
            console.print(f"{name} is left out: {why}", style="yellow")
        if able and (not wanted or name in wanted):
            found.append((name, able))
    return found


def rounds(place: Place, options: argparse.Namespace, log: Path) -> list[Measurement]:
    """All rounds, or those until Ctrl-C; one row for each contestant and number of processes."""
    results: dict[tuple[str, int, str], list[Round]] = {}
    turns = [
        (name, runner, workers)
        for workers in options.workers
        for name, runners in contestants(options.only)
        for runner in runners
        if workers == 1 or name in _BY_PROCESSES
    ]
    try:
        order = itertools.chain.from_iterable(  # nobody always comes behind the same one
            ((number, turn) for turn in (reversed(turns) if number % 2 else turns)) for number in range(options.rounds)
        )
        for number, (name, runner, workers) in order:
            done = measure(runner, place, options.count, workers, log)
            results.setdefault((name, workers, runner.name), []).append(done)
            micros = ", ".join(f"{who} {used:.0f}" for who, used in done.micros.items())
            console.print(
                f"[dim]round {number + 1}: {runner.name} x {workers}: {done.rate:,.0f} msg/s;"
                f" processor time a message in us: {micros}[/dim]"
            )
    except KeyboardInterrupt:
        console.print("stopped; what was measured counts", style="yellow")
    return rows(results)


def rows(results: dict[tuple[str, int, str], list[Round]]) -> list[Measurement]:
    """Medians; the ratio is the median of the rounds' own. Prints each with its spread and where its time went."""
    table = Table("name", "workers", "msg/s", "lowest", "highest", "of C", "us: own", "broker", "database", "MB")
    best: dict[tuple[str, int], Measurement] = {}
    for (name, workers, runner), done in results.items():
        below = results.get(("c_hop", workers, "c"), [])
        rates = [one.rate for one in done]
        ratios = [one.rate / other.rate for one, other in zip(done, below, strict=False)]
        middle = {who: statistics.median(one.micros[who] for one in done) for who in done[0].micros}
        peak = max(one.peak_mb for one in done)
        rate, ratio = statistics.median(rates), statistics.median(ratios) if ratios else 0.0
        table.add_row(
            *(runner, str(workers), f"{rate:,.0f}", f"{min(rates):,.0f}", f"{max(rates):,.0f}", f"{ratio:.2f}"),
            *(*(f"{used:.0f}" for used in middle.values()), f"{peak:.0f}"),
        )
        floor = statistics.median(one.rate for one in below) if below else 0.0
        seconds = statistics.median(one.seconds for one in done)
        row = Measurement(
            name, str(workers), round(rate), "msg/s", round(seconds, 3), round(peak, 1), round(floor), round(ratio, 3)
        )
        if (name, workers) not in best or row.value > best[name, workers].value:
            best[name, workers] = row
    Console(width=120).print(table)
    return list(best.values())


def main(arguments: list[str]) -> int:
    """Rounds, latency, and on wish the long runs; rows go to ``build/bench.jsonl``."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupted)  # broker and database end with us
    found: list[Measurement] = []
    with workplace() as folder, Place(folder) as place:
        log = Path("build/bench-peers.log")
        log.write_bytes(b"")
        if options.rounds:
            found += rounds(place, options, log)
        if options.latency:
            runners = [runner for _, runners in contestants(()) for runner in runners[:1]]
            found += latency.rows(place, runners, options.latency, log)
        if options.restart:
            found.append(scale.restart(place, options.restart, log))
        if options.million:
            found += scale.long_run(place, options.million, log)
    for row in found:
        if row.name.startswith(("hop_restart", "hop_long")):
            console.print(f"{row.name} {row.size}: {row.value:,} {row.unit}, {row.ratio} of {row.floor:,}")
    with Path("build/bench.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(_plain(row)) + "\n" for row in found)
    return 0


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _plain(row: Measurement) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Measurement.__dataclass_fields__}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.hops", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds; 0 = none")
    parser.add_argument("--count", type=int, default=_COUNT, help="measured messages a round")
    parser.add_argument("--latency", type=int, default=1_000, help="messages of the latency run; 0 = none")
    parser.add_argument("--restart", type=int, default=200_000, help="messages queued at the restart; 0 = none")
    parser.add_argument("--million", type=int, default=0, help="messages of the long run beside 10 000; 0 = none")
    parser.add_argument(
        "--workers", nargs="*", type=int, default=[1, 2], help="with how many processes, where it may be"
    )
    parser.add_argument("--only", nargs="*", default=[], help="rows to measure instead of all")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
