"""What ``/metrics`` tells, in the text format of Prometheus 0.0.4; the table below is also the documentation."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import apsw

from bus.config import girobus_version
from bus.errors import BusError, ConfigError
from bus.ledger.place import open_reading
from bus.ledger.reading_status import Figures, read_figures
from bus.operating.certificates import surveyed
from bus.runtime.meter import BOUNDS, Histogram, places

if TYPE_CHECKING:
    from bus.app import App
    from bus.config import Landscape
    from bus.operating.health import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE = 2.0
_FRESH = 1.0
_CERTIFICATES = 60.0


class Metric(NamedTuple):
    """One family of figures."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    means: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric("girobus_build_info", "gauge", ("version", "sqlite"), "Always 1; the labels tell what runs."),
        Metric("girobus_live", "gauge", (), "1 while all threads make progress."),
        Metric("girobus_ready", "gauge", (), "1 while ledger and broker are reachable and the bus works."),
        Metric("girobus_ledger_up", "gauge", (), "1 while the ledger answers."),
        Metric("girobus_broker_up", "gauge", (), "1 while RabbitMQ is connected; absent without one."),
        Metric("girobus_outputs_held", "gauge", (), "1 while nothing is sent out (`--hold-outputs`)."),
        Metric("girobus_route_running", "gauge", ("route",), "1 = running, 0 = paused or draining."),
        Metric("girobus_outlet_resting", "gauge", ("outlet",), "1 while a partner that failed is left alone."),
        Metric(
            "girobus_queue_messages",
            "gauge",
            ("channel",),
            "Messages that wait in the ledger's database for their turn.",
        ),
        Metric(
            "girobus_broker_queue_messages",
            "gauge",
            ("channel",),
            "Messages that wait in RabbitMQ and are handed to nobody, whether or not this process takes from there.",
        ),
        Metric(
            "girobus_oldest_message_age_seconds",
            "gauge",
            ("channel",),
            "Age of the message that comes next; of RabbitMQ's only while one is handed to this process.",
        ),
        Metric(
            "girobus_messages_total",
            "counter",
            ("channel", "outcome"),
            "What became of messages since the ledger began; each retry counts as `deferred`.",
        ),
        Metric("girobus_deferred_messages", "gauge", ("channel",), "Messages that wait for their next attempt."),
        Metric("girobus_held_messages", "gauge", ("channel",), "Messages that wait for a person or a time."),
        Metric(
            "girobus_dead_messages",
            "gauge",
            ("channel",),
            "Dead letters that nobody has settled, those in doubt included.",
        ),
        Metric("girobus_in_doubt_messages", "gauge", ("outlet",), "Effects of which nobody knows if they happened."),
        Metric("girobus_open_cases", "gauge", ("code", "owner"), "Cases that need a person."),
        Metric("girobus_payments_unanswered", "gauge", (), "Payments whose answer is awaited."),
        Metric("girobus_payments_overdue", "gauge", (), "Those of them that are late."),
        Metric(
            "girobus_batch_duration_seconds",
            "histogram",
            ("channel",),
            "How long a unit of work took, commit included.",
        ),
        Metric(
            "girobus_batch_messages_total", "counter", ("channel",), "Messages in the units of work of this process."
        ),
        Metric("girobus_commit_duration_seconds", "histogram", (), "How long a commit of the ledger took."),
        Metric(
            "girobus_confirm_duration_seconds",
            "histogram",
            ("channel",),
            "How long RabbitMQ took to confirm what a unit of the channel passed on, or what was relayed to it.",
        ),
        Metric(
            "girobus_confirmed_messages_total", "counter", (), "Messages that RabbitMQ has confirmed to this process."
        ),
        Metric(
            "girobus_copies_total", "counter", (), "Second copies that the inbox told from the first, in this process."
        ),
        Metric("girobus_certificate_days_left", "gauge", ("name", "kind"), "Whole days until a certificate ends."),
        Metric("girobus_store_bytes", "gauge", ("part",), "Size of the SQLite ledger: `ledger` and its `wal`."),
        Metric("girobus_store_free_bytes", "gauge", (), "Room left where the store is."),
        Metric("girobus_collect_duration_seconds", "gauge", (), "How long it took to collect these figures."),
        Metric("process_resident_memory_bytes", "gauge", (), "Memory of the process."),
        Metric("process_cpu_seconds_total", "counter", (), "Processor time of the process."),
        Metric("process_start_time_seconds", "gauge", (), "When the process started, seconds since 1970 UTC."),
        Metric("process_open_fds", "gauge", (), "Open files and connections."),
    )
}

Sample = tuple[str, tuple[str, ...], float]
"""(name of the metric, values of its labels, value)."""


class Metrics:
    """Collects at most once a second, however many ask; reads through a connection that never disturbs the writer.

    Args:
        app: the bus.
        health: its health.
        certificates: folder of keys and certificates.
        clock: seconds that only grow.
    """

    def __init__(
        self, app: App, health: Health, certificates: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._health, self._folder, self._clock = app, health, certificates, clock
        self._lock = threading.Lock()
        self._at, self._text = float("-inf"), b""
        self._surveyed, self._certificates = float("-inf"), list[Sample]()

    def text(self) -> bytes:
        """All figures."""
        with self._lock:
            if self._clock() - self._at >= _FRESH:
                begun = self._clock()
                samples = [*self._samples(), *_process()]
                samples.append(("girobus_collect_duration_seconds", (), self._clock() - begun))
                self._text = written(samples, self._histograms())
                self._at = self._clock()
            return self._text

    def _samples(self) -> Iterator[Sample]:
        app = self._app
        yield "girobus_build_info", (girobus_version(), apsw.sqlite_lib_version()), 1
        verdict = self._health.verdict()
        yield "girobus_live", (), verdict.live
        yield "girobus_ready", (), verdict.ready
        yield "girobus_outputs_held", (), app.bus.hold_outputs
        for route in app.bus.assembly.routes:
            yield "girobus_route_running", (route.name,), app.bus.state(route.name) == "running"
        for name, sender in app.bus.assembly.senders.items():
            yield "girobus_outlet_resting", (name,), sender.resting()
        for place, count in sorted(app.meter.messages.copy().items()):
            yield "girobus_batch_messages_total", (place,), count
        yield from self._of_broker()
        yield from self._of_ledger()
        yield from _store(app.home)
        yield from self._expiry()

    def _histograms(self) -> list[tuple[str, tuple[str, ...], Histogram]]:
        meter = self._app.meter
        return [
            *(("girobus_batch_duration_seconds", (place,), found) for place, found in places(meter)),
            *(("girobus_confirm_duration_seconds", (name,), found) for name, found in sorted(meter.confirms.items())),
            ("girobus_commit_duration_seconds", (), meter.commits),
        ]

    def _of_broker(self) -> Iterator[Sample]:
        broker: Any = self._app.broker
        if not hasattr(broker, "trouble"):
            return
        yield "girobus_broker_up", (), not broker.trouble()
        yield "girobus_confirmed_messages_total", (), broker.confirms()
        yield "girobus_copies_total", (), broker.sieve.copies
        for channel, count in sorted(broker.waiting(_PATIENCE).items()):
            yield "girobus_broker_queue_messages", (channel,), count

    def _of_ledger(self) -> Iterator[Sample]:
        now = self._app.around.clock.now()
        try:
            with open_reading(self._app.place, patience=_PATIENCE) as reading:
                figures = read_figures(reading, now)
                cases = reading.rows("SELECT code, owner, count(*) FROM cases WHERE state = 'open' GROUP BY 1, 2")
        except BusError:
            yield "girobus_ledger_up", (), 0
            return
        yield "girobus_ledger_up", (), 1
        for code, owner, count in sorted(cases):
            yield "girobus_open_cases", (code, owner), count
        yield "girobus_payments_unanswered", (), figures.unanswered
        yield "girobus_payments_overdue", (), figures.overdue
        handed: Callable[[], dict[str, int]] = getattr(self._app.broker, "oldest", dict)
        yield from _waiting(figures, now, {*self._app.bus.assembly.channels()}, handed())

    def _expiry(self) -> list[Sample]:
        if self._clock() - self._surveyed >= _CERTIFICATES:
            self._surveyed = self._clock()
            self._certificates = _certificates(self._app.landscape, self._folder)
        return self._certificates


def _waiting(figures: Figures, now: int, channels: set[str], handed: dict[str, int]) -> Iterator[Sample]:
    """By channel; channels of which nothing is known yet have zeros, so that an alert sees them."""
    for channel in sorted(channels | {*figures.queues}):
        queue = figures.queues.get(channel)
        yield "girobus_queue_messages", (channel,), queue.depth if queue else 0
        oldest = queue.oldest if queue else None
        made = min(oldest.timestamp() if oldest else now / 1000, handed.get(channel, now) / 1000)
        age = max(0.0, now / 1000 - made)
        yield "girobus_oldest_message_age_seconds", (channel,), age
    for channel in sorted(channels | {*figures.deferred, *figures.held, *figures.dead}):
        deferred, held = figures.deferred.get(channel), figures.held.get(channel)
        yield "girobus_deferred_messages", (channel,), deferred.count if deferred else 0
        yield "girobus_held_messages", (channel,), held.count if held else 0
        yield "girobus_dead_messages", (channel,), figures.dead.get(channel, 0)
    for outlet, count in sorted(figures.in_doubt.items()):
        yield "girobus_in_doubt_messages", (outlet,), count
    for channel, totals in sorted(figures.totals.items()):
        counts: dict[str, int] = {}
        for total in totals:
            counts[total.outcome] = counts.get(total.outcome, 0) + total.count
        for outcome, count in sorted(counts.items()):
            yield "girobus_messages_total", (channel, outcome), count


def _store(home: Path) -> Iterator[Sample]:
    for part, name in (("ledger", "bus.db"), ("wal", "bus.db-wal")):
        with suppress(OSError):
            yield "girobus_store_bytes", (part,), (home / name).stat().st_size
    with suppress(OSError):
        room = os.statvfs(home)
        yield "girobus_store_free_bytes", (), room.f_bavail * room.f_frsize


def _certificates(landscape: Landscape, folder: Path) -> list[Sample]:
    try:
        items = surveyed(landscape, folder)
    except ConfigError:
        return []
    left: dict[tuple[str, ...], float] = {}
    for item in items:
        if item.days_left is not None:
            key = (item.name, item.kind)
            left[key] = min(item.days_left, left.get(key, item.days_left))
    return [("girobus_certificate_days_left", key, days) for key, days in sorted(left.items())]


def _process() -> Iterator[Sample]:
    """Under the names that all exporters use; of ``/proc``, so on Linux alone."""
    times = os.times()
    yield "process_cpu_seconds_total", (), times.user + times.system
    with suppress(OSError):
        yield "process_open_fds", (), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - ten times quicker
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        yield "process_resident_memory_bytes", (), pages * os.sysconf("SC_PAGE_SIZE")
        begun = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19]) / os.sysconf(
            "SC_CLK_TCK"
        )
        yield "process_start_time_seconds", (), time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - begun)


# ---------------------------------------------------------------- the text format


def written(samples: Iterable[Sample], histograms: Iterable[tuple[str, tuple[str, ...], Histogram]]) -> bytes:
    """The text: families in the order of the table, each with what it means."""
    found: dict[str, list[str]] = {}
    for name, values, value in samples:
        found.setdefault(name, []).append(_line(name, METRICS[name].labels, values, value))
    for name, values, histogram in histograms:
        found.setdefault(name, []).extend(_buckets(METRICS[name], values, histogram))
    text = []
    for metric in METRICS.values():
        if metric.name in found:
            text += [f"# HELP {metric.name} {metric.means}", f"# TYPE {metric.name} {metric.kind}", *found[metric.name]]
    return "\n".join([*text, ""]).encode()


def _buckets(metric: Metric, values: tuple[str, ...], histogram: Histogram) -> Iterator[str]:
    counts, seconds = histogram.copy()
    total = 0
    for bound, count in zip((*(f"{bound:g}" for bound in BOUNDS), "+Inf"), counts, strict=True):
        total += count
        yield _line(f"{metric.name}_bucket", (*metric.labels, "le"), (*values, bound), total)
    yield _line(f"{metric.name}_sum", metric.labels, values, seconds)
    yield _line(f"{metric.name}_count", metric.labels, values, total)


def _line(name: str, labels: tuple[str, ...], values: tuple[str, ...], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {float(value)!r}" if pairs else f"{name} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
