"""Finding the payments that a bank's status report speaks of (the other half of a Correlation Identifier)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bus import (
    Clock,
    Duration,
    ExpressionText,
    FormatSpec,
    Message,
    Part,
    Reader,
    Rejected,
    StepResources,
    StepSpec,
    business_keys,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNKNOWN = ("", "NOTPROVIDED")
_EXCEPTED = ("excepted_payments", "excepted_blocks")


class CorrelatorSpec(StepSpec):
    """Makes one message of each registered payment that a status speaks of (EIP Correlation Identifier, Splitter).

    ```yaml
    # steps of a route that reads single statuses from the channel `statuses`
    - correlate: {partner: bank-north, wait: 10m}
    - route:
        - when: waiting
          steps: [{delay: 1m}]
          to: statuses
        - when: unmatched
          steps: [{case: a status report fits no payment of ours}]
          to: none
        - otherwise: true
    - advance: {}
    ```

    A status of a single payment gives one message, one of a payment information block or of the whole file gives one
    for each payment in it: payments inherit what is said above them, but not those of which the same report says
    something else (``excepted_payments``, ``excepted_blocks``). The body is the status with the registered payment as
    ``instruction`` (id, partner, message_id, payment_information_id, end_to_end_id, amount, currency, status,
    number of the message that went out). Where none fits, the status comes with ``unmatched: true`` and
    ``unmatched_since``; ``waiting`` is true while that is no longer ago than ``wait``. Where more than one fits a
    single payment's status, it is unmatched with ``ambiguous: true``: nothing is guessed.

    Delivery: the unit of work ends here. Nothing is changed but by `advance`, which every message of it passes.
    """

    key = "correlate"
    boundary = "split"

    partner: str = ""
    """Whose payments; empty = any partner's."""
    partner_from: ExpressionText = ""
    """Expression over the status for the partner, in the place of ``partner``."""
    wait: Duration = 0
    """How long a status that fits nothing may wait for its payments."""
    keys: dict[str, ExpressionText] = Field(default_factory=dict)
    """Business keys of each new message: name -> expression over its body."""

    def build_split(self, resources: StepResources, parser_format: FormatSpec | None = None) -> Correlation:
        """What the engine runs, as for a splitter; the format of an earlier ``parse`` is of no use here."""
        del parser_format
        partner = self.partner
        return Correlation(
            resources.expression(self.partner_from) if self.partner_from else lambda _: partner,
            self.wait,
            tuple((name, resources.expression(text)) for name, text in self.keys.items()),
            resources.reader,
            resources.clock,
        )


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlator at work; it reads the registered payments and changes nothing."""

    partner: Callable[[Any], Any]
    wait: int
    keys: tuple[tuple[str, Callable[[Any], Any]], ...]
    reader: Reader
    clock: Clock

    def expand(self, message: Message) -> Iterator[Part]:
        """The payments that the status in the body speaks of, or the status itself as ``unmatched``.

        Raises:
            Rejected: ``VAL542`` when the body is no status.
        """
        status = message.body
        if not isinstance(status, dict) or status.get("type") != "payment-status":
            raise Rejected("VAL542", "the body is no payment status", hint="put `split: {each: statuses}` before")
        place = message.headers.place
        status = {name: value for name, value in status.items() if name not in ("unmatched", "waiting", "ambiguous")}
        found = self._found(status)
        single = status.get("level") == "transaction"
        if not found or (single and len(found) > 1):
            yield Part(self._unmatched(status, message, ambiguous=bool(found)), place)
            return
        status.pop("unmatched_since", None)
        payments, blocks = (frozenset(status.pop(name, ())) for name in _EXCEPTED)
        for row in found:
            if row["end_to_end_id"] in payments or row["payment_information_id"] in blocks:
                continue
            yield Part({**_inherited(status, row), "instruction": {**row, "amount": Decimal(row["amount"])}}, place)

    def child_keys(self, body: Any) -> tuple[tuple[str, str], ...]:
        """Business keys of a part."""
        return business_keys(self.keys, body)

    def _found(self, status: dict[str, Any]) -> list[dict[str, Any]]:
        def of(name: str) -> str:
            value = status.get(name)
            return "" if value in _UNKNOWN or not isinstance(value, str) else value

        where = {"partner": str(self.partner(status) or ""), "message_id": of("original_message_id")}
        block = of("original_payment_information_id")
        level = status.get("level")
        if level == "group":
            return self.reader.instructions(where) if where["message_id"] else []
        if level == "payment-information":
            return self.reader.instructions({**where, "payment_information_id": block}) if block else []
        where["end_to_end_id"] = of("original_end_to_end_id")
        if not where["end_to_end_id"]:
            return []
        # Some banks answer with a payment information id of their own; the end-to-end id still says which payment.
        return (block and self.reader.instructions({**where, "payment_information_id": block})) or (
            self.reader.instructions(where)
        )

    def _unmatched(self, status: dict[str, Any], message: Message, *, ambiguous: bool) -> dict[str, Any]:
        since = status.get("unmatched_since")
        # The time of the message, not of the clock: a unit that runs again says the same.
        start = _milliseconds(since) or message.headers.created_at or self.clock.now()
        moment = datetime.fromtimestamp(start // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        waiting = not ambiguous and self.clock.now() < start + self.wait
        told = {"unmatched": True, "unmatched_since": moment, "waiting": waiting}
        return {**status, **told, **({"ambiguous": True} if ambiguous else {})}


def _milliseconds(moment: Any) -> int:
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1000) if isinstance(moment, str) else 0
    except ValueError:
        return 0


def _inherited(status: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """The status with the references of the payment where it spoke of something above it."""
    references = {
        "original_message_id": row["message_id"],
        "original_payment_information_id": row["payment_information_id"],
        "original_end_to_end_id": row["end_to_end_id"],
    }
    return {**status, **{name: value for name, value in references.items() if not status.get(name)}}
