"""A small landscape that a test drives by hand: payments go out in files, statuses come in, everything can go wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal

from bus.app import App, Surroundings
from bus.errors import InDoubt, Rejected, Retryable
from bus.ledger.reading import Reading
from bus.message import Effect, Group, Message, Progress, Register
from bus.ports import Receipt, Verdict
from bus.registry import Registry
from bus.spec import Kind, PlugInSpec, StepSpec
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

BUS = """\
name: small-bank
outlets:
  bank: {endpoint: {file: {path: bank}}}
  abroad: {endpoint: {file: {path: abroad}}, format: json, on_error: {attempts: 3, backoff: {first: 10s, factor: 1}}}
  watch: {endpoint: {file: {path: watch}}, format: json}
  rejects: {endpoint: {file: {path: rejects}}}
  erp: {endpoint: {file: {path: erp}}, format: json}
"""
PAY = """\
route: pay
summary: Payments go out in one file a currency
owner: treasury
from: {file: {path: in}}
batch: 1
steps:
  - parse: {csv: {delimiter: ";", trailer: {mark: T, columns: [mark, count]}}}
  - split: {name: lines, each: rows, keys: {invoice: invoice, end_to_end_id: end_to_end_id}}
  - filter: {name: wanted, when: purpose != 'TEST'}
  - hold: {name: limit, until: release, when: to_number(amount) > 1000, reason: above the limit}
  - hold: {name: later, until: 2m, when: purpose == 'LATE'}
  - tap: {name: watched, to: watch, when: purpose == 'SEEN'}
  - route:
      name: where
      branches:
        - {name: home, when: currency == 'EUR', steps: [
            {keep: {name: three, fields: [end_to_end_id, amount, currency]}},
            {aggregate: {name: file, by: [currency], complete: {batch: true}}},
            {translate: {name: text, to: {csv: {delimiter: ";", columns: [end_to_end_id, amount, currency]}}}},
            {sent: {name: sent}}], to: bank}
        - {name: abroad, when: currency == 'USD', to: abroad}
        - {name: nowhere, when: currency == 'JPY', to: none}
on_reject:
  collect: batch
  to: rejects
  as: {csv: {delimiter: ";", columns: [end_to_end_id, amount, currency, purpose, invoice, reason_code, reason_text]}}
"""
ANSWERS = """\
route: answers
summary: Statuses of the bank
owner: treasury
from: {file: {path: answers}}
steps:
  - parse: {csv: {delimiter: ";"}}
  - split: {name: lines, each: rows, keys: {end_to_end_id: end_to_end_id}}
  - answered: {name: answered}
to: erp
"""
ORDERED = """\
route: ordered
from: {channel: numbers}
steps:
  - resequence: {name: row, number: number, timeout: 5m}
to: erp
"""
NUMBERS = """\
route: numbers-in
from: {file: {path: numbers}}
steps:
  - parse: {csv: {delimiter: ";"}}
  - split: {name: lines, each: rows, keys: {number: number}}
to: numbers
"""
HEADER = "end_to_end_id;amount;currency;purpose;invoice"


class SentSpec(StepSpec):
    """Registers the payments of a group, as `register` does for a real payment file."""

    key = "sent"
    answer_within: int = 4 * 3_600_000

    def build(self, resources: Any) -> Any:
        def step(message: Message) -> Iterable[Message | Effect]:
            lines = _text(message, resources).decode().splitlines()[1:]
            rows = []
            for line in lines:
                end_to_end_id, amount, currency = line.split(";")
                if amount.startswith("-"):
                    raise Rejected("VAL540", "nobody pays less than nothing", reason="AM12")
                rows.append({
                    "partner": "bank", "message_id": message.headers.id, "payment_information_id": message.headers.id,
                    "end_to_end_id": end_to_end_id, "amount": Decimal(amount), "currency": currency,
                })  # fmt: skip
            return (message, Register(tuple(rows), resources.clock.now() + self.answer_within))

        return step


def _text(message: Message, resources: Any) -> bytes:
    if isinstance(message.body, bytes):
        return message.body
    with resources.blobs.open(message.body) as source:
        content: bytes = source.read()
        return content


class AnsweredSpec(StepSpec):
    """Moves the payment forward that a status names."""

    key = "answered"

    def build(self, resources: Any) -> Any:
        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            found = resources.reader.instructions({"end_to_end_id": body["end_to_end_id"]})
            return (message, *(Progress(row["id"], body["status"], body["reason"]) for row in found))

        return step


class Steps(Registry):
    """All plug-ins, and the two steps above."""

    def spec(self, kind: Kind, key: str) -> type[PlugInSpec]:
        own = {"sent": SentSpec, "answered": AnsweredSpec}
        return own[key] if kind == "step" and key in own else super().spec(kind, key)

    def keys(self, kind: Kind) -> list[str]:
        return super().keys(kind)


@dataclass
class Moody(RecordingSink):
    """A sink that can be away, or lose answers."""

    mood: Literal["well", "away", "silent"] = "well"

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        if self.mood == "away":
            content.close()
            raise Retryable("NET101", "the partner cannot be reached")
        assert not isinstance(message.body, Group)
        return {**super().prepare(message, content), "final": f"/inbox/{message.headers.id}.txt", "size": 7}

    def publish(self, receipt: Receipt) -> None:
        if self.mood == "silent":
            raise InDoubt("NET109", "no answer to the rename")
        super().publish(receipt)

    def probe(self, receipt: Receipt) -> Verdict:
        return "unknown" if self.mood == "silent" else super().probe(receipt)


@dataclass
class SmallBank:
    """The landscape with its sources, sinks and clock."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    sources: dict[str, ScriptedSource] = field(default_factory=dict)
    sinks: dict[str, Moody] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, text in (
            ("bus.yaml", BUS), ("pay.route.yaml", PAY), ("answers.route.yaml", ANSWERS),
            ("ordered.route.yaml", ORDERED), ("numbers.route.yaml", NUMBERS),
        ):  # fmt: skip
            (self.folder / name).write_text(text, "utf-8")
        around = Surroundings(
            clock=self.clock,
            catalogue=Steps(),
            source=lambda _spec, resources: self.sources.setdefault(resources.name, ScriptedSource()),
            sink=lambda _spec, resources: self.sinks.setdefault(resources.name, Moody()),
        )
        self.app = App(self.folder, around)
        self.bus = self.app.bus

    def close(self) -> None:
        self.app.close()

    # ------------------------------------------------------------ the partners' hands

    def pays(self, *lines: str, name: str = "RUN_1.csv", trailer: int | None = None) -> None:
        """The ERP drops a payment run; a line is ``E1;100.10;EUR;;INV-1``."""
        count = len(lines) if trailer is None else trailer
        self.arrives("pay", name, "\n".join([HEADER, *lines, f"T;{count}"]) + "\n")

    def answers(self, *lines: str, name: str = "STATUS_1.csv") -> None:
        """The bank answers; a line is ``E1;ACSC;``."""
        self.arrives("answers", name, "\n".join(["end_to_end_id;status;reason", *lines]) + "\n")

    def arrives(self, route: str, name: str, text: str) -> None:
        self.sources[route].arrivals.append(ScriptedArrival(name, text.encode(), facts=(len(text), 1)))
        self.bus.poll_once(route)

    # ------------------------------------------------------------ the bus

    def runs(self, channel: str, times: int = 1) -> None:
        """One batch of a segment."""
        for _ in range(times):
            assert self.bus.run_batch(channel)

    def settles(self) -> None:
        """Everything that can be done now."""
        for _ in range(200):
            if not self.bus.turn(poll=False):
                return
        raise AssertionError("the bus does not come to rest")

    def reading(self) -> Reading:
        return Reading(self.app.home / "bus.db")
