"""Time as a source: the endpoint ``timer`` makes one message per tick."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bus import ConfigError, Duration, EndpointResources, EndpointSpec, Inbound, PollSpec, Sink, Source, Zone

if TYPE_CHECKING:
    from collections.abc import Iterator


class TimerSpec(EndpointSpec):
    """Starts a route by the clock. The body is ``{"tick": "2026-11-24T06:00:00Z"}``, the scheduled time in UTC.

    Example::

        from:
          timer: {cron: "0 6 * * 1-5", zone: Europe/Berlin, catch_up: 4h}

    Delivery: a tick's identity is its scheduled time, so a tick that is made again after a crash is recognised.
    """

    key: ClassVar[str] = "timer"

    poll: PollSpec = PollSpec(every=1_000)
    """How often the clock is looked at."""
    every: Duration = 0
    """Time between ticks, counted from midnight 1970 UTC: ``1h`` ticks on the hour."""
    cron: str = ""
    """Five fields, on the clock of ``zone``."""
    zone: Zone = "UTC"
    """Time zone of ``cron``, such as ``Europe/Berlin``. An hour that summer time leaves out is made up for at its end,
    one that comes twice counts once."""
    catch_up: Duration = 300_000
    """After a start, the latest missed tick is still made when it is not older than this; 0 = never."""

    @model_validator(mode="after")
    def _one_rhythm(self) -> TimerSpec:
        if bool(self.every) == bool(self.cron):
            raise PydanticCustomError("CFG139", 'write either `every: 1h` or `cron: "0 6 * * *"`')
        if self.every and self.every < 1_000:
            raise PydanticCustomError("CFG139", "`every` is at least 1s")
        if self.every and "zone" in self.model_fields_set:
            raise PydanticCustomError("CFG139", "`zone` is for `cron`; `every` is counted in UTC, so remove it")
        try:
            PollSpec(cron=self.cron)
        except ValidationError as error:
            raise PydanticCustomError("CFG114", "{why}", {"why": error.errors()[0]["msg"]}) from None
        return self

    def source(self, resources: EndpointResources) -> Source:
        """The ticks."""
        return TimerSource(self, resources)

    def sink(self, resources: EndpointResources) -> Sink:
        """There is none."""
        del resources
        raise ConfigError("CFG131", "`timer` cannot be sent to", hint="use it under `from`")

    def last_tick(self, now: int) -> int:
        """The latest scheduled time at or before ``now``, both in milliseconds."""
        if self.every:
            return now - now % self.every
        from cronsim import CronSim  # noqa: PLC0415 - only timers with cron need it

        # Backwards from the next second, because the simulation starts behind the moment it is given.
        moment = datetime.fromtimestamp(now // 1000 + 1, ZoneInfo(self.zone))
        return int(next(CronSim(self.cron, moment, reverse=True)).timestamp()) * 1000


class TimerSource:
    """Hands out the latest tick that has not been handed out; of several missed ones only the latest."""

    def __init__(self, spec: TimerSpec, resources: EndpointResources) -> None:
        self._spec = spec
        self._clock = resources.clock
        self._last = self._clock.now() - spec.catch_up

    def poll(self, most: int) -> Iterator[Inbound]:
        """At most one tick."""
        tick = self._spec.last_tick(self._clock.now())
        if most < 1 or tick <= self._last:
            return
        before, self._last = self._last, tick
        yield _Tick(self, tick, before)

    def rewind(self, before: int) -> None:
        """Make ticks after ``before`` (milliseconds) again."""
        self._last = min(self._last, before)

    def close(self) -> None:
        """Nothing is open."""


class _Tick:
    """One tick (an Inbound)."""

    facts = (0, 0)

    def __init__(self, source: TimerSource, tick: int, before: int) -> None:
        self._source = source
        self._before = before
        self._moment = datetime.fromtimestamp(tick / 1000, UTC).isoformat().replace("+00:00", "Z")
        self.name = f"tick-{self._moment}.json"
        self.identity: str | None = self._moment

    def fetch(self, target: BinaryIO) -> None:
        """Write the body."""
        target.write(f'{{"tick": "{self._moment}"}}'.encode())

    def complete(self, outcome: Literal["done", "failed"], suffix: str) -> None:
        """Nobody waits to be told."""

    def abandon(self) -> None:
        """Make the tick again at the next poll."""
        self._source.rewind(self._before)
