"""Hold: a message that waits for a person, a time or a condition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from bus import Clock, Duration, Effect, ExpressionText, Hold, Message, Spec, Step, StepResources, StepSpec, Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class TimeOfDay(Spec):
    """The next time the clock shows this."""

    time: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """``HH:MM``."""
    zone: Zone = "UTC"
    """Time zone such as ``Europe/Berlin``."""

    def next(self, now: int) -> int:
        """Milliseconds since 1970 UTC of the next such time after ``now``."""
        hour, minute = (int(part) for part in self.time.split(":"))
        zone = ZoneInfo(self.zone)
        here = datetime.fromtimestamp(now / 1000, zone)
        found = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
        # Through UTC, because on the day the clocks change 24 hours later is another time of day.
        while int(found.astimezone(UTC).timestamp() * 1000) <= now:
            found = (found.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        return int(found.astimezone(UTC).timestamp() * 1000)


_DURATION: TypeAdapter[int] = TypeAdapter(Duration)


def _until(value: Any) -> Any:
    if value == "release" or isinstance(value, TimeOfDay):
        return value
    if isinstance(value, dict):
        return TimeOfDay.model_validate(value)
    return _DURATION.validate_python(value)


Until = Annotated[
    Duration | Literal["release"] | TimeOfDay, BeforeValidator(_until, json_schema_input_type=str | TimeOfDay)
]


class HoldSpec(StepSpec):
    """Keeps messages until a person releases them, a time comes or a condition turns true.

    ```yaml
    - hold: {until: release, when: amount.value > 1000000, reason: over the four-eyes limit}
    - hold: {until: {time: "07:00", zone: Europe/Berlin}}
    - hold: {release_when: "lookup('switches', 'payments') == 'open'"}
    ```

    ``until: release`` opens a case for the route's owner; a hold until a time does so only where ``code`` is given. A
    case is closed when its message goes on by itself.

    Delivery: the unit of work ends here. The message is stored and counts as *held*; released, it goes on with the
    next step in the version of the route it came in with. ``bus cases release`` and ``bus cases discard`` ask for a
    reason and are audited.
    """

    key = "hold"
    shorthand = "until"
    boundary = "hold"

    until: Until | None = None
    """``release`` (by a person), a duration such as ``2h``, or ``{time: "07:00", zone: Europe/Berlin}``."""
    when: ExpressionText = ""
    """Condition over the body: which messages are held; empty = all."""
    release_when: ExpressionText = ""
    """Condition over the body that lets the message go when a later look finds it true."""
    code: str = Field(default="", pattern=r"^([A-Z]{3}\d{3})?$")
    """Code of the case; empty = POL100 for ``until: release``, no case for the others."""
    reason: str = ""
    """Why, for the person who has to decide."""

    @model_validator(mode="after")
    def _ends(self) -> HoldSpec:
        if self.until is None and not self.release_when:
            raise PydanticCustomError("CFG505", "write what ends the hold: `until: release`, a time, or `release_when`")
        if self.reason and not self.code and self.until != "release":
            raise PydanticCustomError("CFG505", "`reason` is for a case: give its `code` too, or `until: release`")
        return self

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        when = resources.expression(self.when) if self.when else None
        free = resources.expression(self.release_when) if self.release_when else None
        due = _due(self.until, resources.clock)
        code = self.code or ("POL100" if self.until == "release" else "")
        reason = self.reason or (f"held by the step {resources.step} until a person releases it" if code else "")
        text = self.release_when

        def step(message: Message) -> Iterable[Message | Effect]:
            if (when is not None and not when(message.body)) or (free is not None and free(message.body)):
                return (message,)
            return (Hold(message, code, reason, due(), text),)

        return step


def _due(until: int | TimeOfDay | str | None, clock: Clock) -> Callable[[], int]:
    if isinstance(until, int):
        return lambda: clock.now() + until
    if isinstance(until, TimeOfDay):
        return lambda: until.next(clock.now())
    return lambda: 0
