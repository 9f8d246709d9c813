"""A bench with a small line format, so that patterns are tried without the real formats."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from pydantic import Field

from bus import Document, Finding, Format, FormatSpec, Part, Rejected, StepResources, WriteContext
from bus.testing.steps import StepBench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class LinesSpec(FormatSpec):
    """One JSON object a line, after a first line that says what the file is."""

    key = "lines"
    each_default = "records"

    profile: str = ""
    most: int = 1000

    def build(self, resources: StepResources | None = None) -> Format:
        del resources
        return Lines(self.profile, self.most)


class TurnedSpec(FormatSpec):
    """Writes a file backwards, with the name of what it was made from."""

    key = "turned"

    from_: str = Field("", alias="from")

    def build(self, resources: StepResources | None = None) -> Format:
        del resources
        return Turned(self.from_)


class Turned:
    """The format at work."""

    content_type = "text/turned"

    def __init__(self, made_from: str) -> None:
        self._made_from = made_from

    def read(self, source: BinaryIO) -> Document:
        raise NotImplementedError

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        raise NotImplementedError

    def convert(self, source: BinaryIO, target: BinaryIO) -> tuple[Finding, ...]:
        content = source.read()
        target.write(content[::-1] + b" " + self._made_from.encode())
        return (Finding("VAL620", "warning", "byte 1", "lost"),) if content else ()


class PlainSpec(FormatSpec):
    """A format without profiles."""

    key = "plain"

    def build(self, resources: StepResources | None = None) -> Format:
        del resources
        return Lines("", 1000)


class Lines:
    """Reads and writes the line format."""

    content_type = "text/x-lines"

    def __init__(self, profile: str, most: int) -> None:
        self.profile = profile
        self.most = most

    def read(self, source: BinaryIO) -> LinesDocument:
        head = source.readline()
        if not head.startswith(b"{"):
            raise Rejected("VAL999", "no line file")
        return LinesDocument(json.loads(head), source)

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        head = {"id": context.id, "at": context.created_at, "profile": self.profile, **context.properties}
        target.write(json.dumps(head).encode() + b"\n")
        for index, part in enumerate(parts):
            if index >= self.most:
                raise Rejected("VAL998", "too many records")
            target.write(json.dumps(part, default=str).encode() + b"\n")


class LinesDocument:
    """A line file being read."""

    def __init__(self, head: dict[str, Any], source: BinaryIO) -> None:
        self.head = head
        self._source = source

    def parts(self, each: str) -> Iterator[Part]:
        for number, line in enumerate(self._source, 2):
            place = f"{each} line {number}"
            if line.startswith(b"!"):
                yield Part(None, place, line, Rejected("VAL997", "bad line"))
            else:
                yield Part(json.loads(line, parse_float=Decimal), place, line)

    def whole(self) -> Any:
        return {"head": self.head, "records": [part.body for part in self.parts("records")]}


@pytest.fixture
def make_bench() -> Callable[..., StepBench]:
    def make(**options: Any) -> StepBench:
        return StepBench(formats=[LinesSpec, PlainSpec, TurnedSpec], **options)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., StepBench]) -> StepBench:
    return make_bench()


@pytest.fixture
def payment() -> dict[str, Any]:
    """A canonical payment."""
    return {
        "type": "payment",
        "id": "P-1",
        "end_to_end_id": "E2E-1",
        "invoice": "INV-1",
        "debtor": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
        "creditor": {
            "name": "Fournisseur",
            "account": {"iban": "FR1420041010050500013M02606"},
            "address": {"country": "FR"},
        },
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "service_level": "SEPA",
        "remittance": {"unstructured": ["Invoice INV-1"], "structured": []},
    }
