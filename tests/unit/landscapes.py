"""A small catalogue of plug-ins and a way to write landscapes, for the tests of configuration and command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from bus.spec import (
    AnyFormat,
    AnyStep,
    ConnectionSpec,
    Duration,
    EndpointSpec,
    ExpressionText,
    Flow,
    FormatSpec,
    Glob,
    Kind,
    PlugInSpec,
    SecretRef,
    Size,
    Spec,
    StepSpec,
)

if TYPE_CHECKING:
    from pathlib import Path


class ParseFake(StepSpec):
    """Reads a document."""

    key = "parse"
    shorthand = "format"
    format: AnyFormat
    """The data format."""

    @model_validator(mode="before")
    @classmethod
    def _format_stands_alone(cls, value: Any) -> Any:
        return {"format": value} if isinstance(value, dict) and "format" not in value else value

    def build_head(self) -> None:
        """Marks the step as a reader."""


class SplitFake(StepSpec):
    """One message of each record."""

    key = "split"
    shorthand = "each"
    boundary = "split"
    each: str
    """Which records."""
    keys: dict[str, str] = {}  # noqa: RUF012 - pydantic copies a field's default


class MapFake(StepSpec):
    """Translates by a mapping."""

    key = "translate"
    mapping: str = ""
    to: AnyFormat | None = None


class LookFake(StepSpec):
    """Looks into a value table."""

    key = "enrich"
    table: str


class BranchFake(Spec):
    """A way."""

    when: ExpressionText = ""
    otherwise: str = ""
    steps: tuple[AnyStep, ...] = ()
    to: str = ""


class RouterFake(StepSpec):
    """Chooses a way."""

    key = "route"
    shorthand = "branches"
    branches: tuple[BranchFake, ...]

    def flows(self) -> dict[str, Flow]:
        """The ways."""
        return {str(n): Flow(steps=b.steps, to=b.to or b.otherwise) for n, b in enumerate(self.branches)}


class CompleteFake(Spec):
    """When a group is complete."""

    batch: bool = False
    size: int = 0


class AggregateFake(StepSpec):
    """Collects."""

    key = "aggregate"
    boundary = "aggregate"
    by: tuple[str, ...]
    complete: CompleteFake


class DelayFake(StepSpec):
    """Waits."""

    key = "delay"
    shorthand = "span"
    boundary = "hold"
    span: Duration


class TapFake(StepSpec):
    """Sends a copy."""

    key = "tap"
    shorthand = "to"
    to: str


class CsvFake(FormatSpec):
    """Separated values."""

    key = "csv"
    delimiter: str = ";"
    """Between two fields."""
    header: bool = True


class PainFake(FormatSpec):
    """Payment orders."""

    key = "pain"
    version: str = ""

    @classmethod
    def from_name(cls, name: str) -> dict[str, Any] | None:
        """``pain.001…``."""
        return {"version": name} if name.startswith("pain.001") else None


class ReadyFake(Spec):
    """When a file is ready."""

    marker: str = ""


class SftpFake(EndpointSpec):
    """Files on a server."""

    key = "sftp"
    path: str
    """Folder on the server, from its root."""
    connection: str = ""
    match: Glob = "*"
    ready: ReadyFake = ReadyFake()
    limit: Size = 1_000
    mode: int = 0
    after: Duration = 0


class QueueFake(EndpointSpec):
    """A queue of a broker."""

    key = "amqp"
    connection: str
    queue: str


class SftpConnectionFake(ConnectionSpec):
    """A server."""

    key = "sftp"
    host: str
    port: int = 22
    password: SecretRef | None = None


class QueueConnectionFake(ConnectionSpec):
    """A broker."""

    key = "amqp"
    url: str


class FakeCatalogue:
    """The classes above, as :class:`bus.spec.Catalogue`."""

    _SPECS: ClassVar[dict[Kind, tuple[type[PlugInSpec], ...]]] = {
        "step": (ParseFake, SplitFake, MapFake, LookFake, RouterFake, AggregateFake, DelayFake, TapFake),
        "format": (CsvFake, PainFake),
        "endpoint": (SftpFake, QueueFake),
        "connection": (SftpConnectionFake, QueueConnectionFake),
    }

    def spec(self, kind: Kind, key: str) -> type[PlugInSpec]:
        """By key."""
        for found in self._SPECS[kind]:
            if found.key == key:
                return found
        raise KeyError(self.keys(kind))

    def keys(self, kind: Kind) -> list[str]:
        """All."""
        return sorted(found.key for found in self._SPECS[kind])


BUS = """\
name: test
outlets:
  bank-north: {endpoint: {sftp: {connection: bank, path: /in}}}
  treasury: {endpoint: {sftp: {connection: bank, path: /treasury}}, format: pain.001.001.09}
"""
CONNECTIONS = """\
connections:
  bank: {sftp: {host: bank.example, password: "${env:BANK_PASSWORD}"}}
  broker: {amqp: {url: amqp://broker.example}}
"""
ROUTE = """\
# a comment that must stay
route: payments-out
from:
  sftp: {connection: bank, path: /outbox, match: "PAYRUN_*.csv"}
money: amount
steps:
  - parse: {csv: {delimiter: ";"}}
  - split: {each: rows}
to: bank-north
"""


def write(folder: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """Write a landscape with one sound route, and ``files`` over or beside it; returns the folder."""
    base: dict[str, str | bytes] = {"bus.yaml": BUS, "connections.yaml": CONNECTIONS, "out/payments.route.yaml": ROUTE}
    for path, text in {**base, **(files or {})}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder
