"""When a source is looked at next."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from bus.spec import PollSpec


class Schedule:
    """Every so often, or by cron on the clock of a zone. A missed moment is made up for once."""

    def __init__(self, poll: PollSpec, now: int) -> None:
        self._poll = poll
        self._next = self._cron(now) if poll.cron else now
        self._asked = now

    def due(self, now: int) -> bool:
        """True once per moment; the next one is set. A clock that was set back makes nobody wait for it."""
        if now < self._asked:
            self._next = self._cron(now) if self._poll.cron else min(self._next, now + self._poll.every)
        self._asked = now
        if now < self._next:
            return False
        self._next = self._cron(now) if self._poll.cron else now + self._poll.every
        return True

    def _cron(self, now: int) -> int:
        from cronsim import CronSim  # noqa: PLC0415 - only routes with cron need it

        moment = next(CronSim(self._poll.cron, datetime.fromtimestamp(now / 1000, ZoneInfo(self._poll.zone))))
        return int(moment.timestamp() * 1000)
