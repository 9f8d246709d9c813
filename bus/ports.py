"""The seams of the bus: Protocols only. What stands behind them can be replaced without touching what stands before.

Everything is synchronous. Whoever implements a port says in its docstring if it blocks; nothing here sleeps.
Times are integers: milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

import msgspec

from bus.errors import Finding, Rejected
from bus.message import Blob, Effect, Group, Message

T = TypeVar("T")

Step = Callable[[Message], Iterable[Message | Effect]]
"""A pattern at work. Nothing = filtered, one = translated, many = split, an Effect = a wish for the commit.
No I/O, no logging, no sleeping; raises Rejected, Retryable or Held."""

EffectHook = Callable[[str], None]
"""Called with ``label:before`` and ``label:after`` around every outward or durable effect; tests crash in it."""


class Clock(Protocol):
    """Time, so that tests own it."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""


# ---------------------------------------------------------------- formats


class Part(msgspec.Struct, frozen=True):
    """One record of a document. A bad one has ``error`` and still its ``raw`` bytes, so that it can be sent back."""

    body: Any
    place: str = ""
    raw: bytes = b""
    error: Rejected | None = None


class Document(Protocol):
    """A file being read, record by record, in flat memory."""

    head: dict[str, Any]
    """What the document says of itself before its records (message id, account, header record …)."""

    def parts(self, each: str) -> Iterator[Part]:
        """Stream the records that ``each`` names (``rows``, ``entries``, ``payments``, ``statuses`` …).

        Raises:
            Rejected: the document as a whole is refused: not readable, or at the end its control totals are wrong.
                All parts given before that must then be thrown away.
        """

    def whole(self) -> Any:
        """The whole document as plain data; for documents known to be small."""


class WriteContext(msgspec.Struct, frozen=True):
    """What a writer may put into the document besides its parts; all of it the same when the unit runs again."""

    id: str
    """32 hex characters, unique to the unit: identifiers are derived from it."""
    created_at: int
    properties: dict[str, Any] = {}


class Format(Protocol):
    """One data format, both ways."""

    content_type: str

    def read(self, source: BinaryIO) -> Document:
        """Begin to read; may raise Rejected at once when the head of the file is not of this format."""

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        """Write plain-data ``parts`` as one document; raises Rejected when they cannot be written validly."""


class InspectedTotal(msgspec.Struct, frozen=True):
    """Count and sums of one currency; ``credit`` and ``debit`` are None where the format has no sign."""

    currency: str
    count: int
    amount: Decimal
    credit: Decimal | None = None
    debit: Decimal | None = None


class InspectedDocument(msgspec.Struct, frozen=True):
    """One statement, payment group or status report inside a file.

    ``opening`` and ``closing`` are ``{"amount": signed Decimal, "currency", "date", "type"}`` or None.
    """

    id: str
    account: str | None
    opening: dict[str, Any] | None
    closing: dict[str, Any] | None
    totals: tuple[InspectedTotal, ...]


class Inspection(msgspec.Struct, frozen=True):
    """What ``bus inspect`` tells of a file: read leniently, with findings instead of refusals."""

    format: str
    kind: str | None
    documents: tuple[InspectedDocument, ...]
    findings: tuple[Finding, ...]


# ---------------------------------------------------------------- endpoints


class Inbound(Protocol):
    """One thing that arrived at a source: a file, a message, a tick. Methods block on the partner."""

    name: str
    facts: tuple[int, int]
    """(size in bytes, modification time in seconds) as the partner lists them; (0, 0) where it has none."""
    identity: str | None
    """The partner's own unique id for it (message_id, Idempotency-Key), or None: then the content is the identity."""

    def fetch(self, target: BinaryIO) -> None:
        """Copy the content. Raises Retryable when the partner fails, Rejected when it is over a limit."""

    def complete(self, outcome: Literal["done", "failed"], suffix: str) -> None:
        """Tell the partner after the commit: move to done or failed, delete, ack. Idempotent.

        ``suffix`` (first 8 characters of the arrival id) is appended where the name is taken already.
        """

    def abandon(self) -> None:
        """Give a claimed thing back untouched, as it was listed."""


class Source(Protocol):
    """The receiving side of an endpoint (EIP Channel Adapter, Polling Consumer)."""

    def poll(self, most: int) -> Iterable[Inbound]:
        """Claim and hand out up to ``most`` things that are ready, leftovers of a dead owner first. Blocks on I/O."""

    def close(self) -> None:
        """Disconnect."""


Verdict = Literal["done", "not_done", "unknown"]
Receipt = dict[str, Any]


class Sink(Protocol):
    """The sending side of an endpoint. ``prepare`` and ``probe`` are idempotent; ``publish`` is the effect."""

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        """Bring the content next to its place (stage file, fsync). The receipt is plain data and kept in the ledger."""

    def publish(self, receipt: Receipt) -> None:
        """Make it visible to the partner. Raises Retryable before, InDoubt when it may have happened."""

    def probe(self, receipt: Receipt) -> Verdict:
        """After a crash or a lost answer: did ``publish`` happen?"""

    def close(self) -> None:
        """Disconnect."""


class EndpointResources(Protocol):
    """What an endpoint gets handed when it is built."""

    name: str
    """Stable name of this use of the endpoint: route name for sources, outlet name for sinks."""
    root: Path
    """Folder that relative local paths are relative to (where ``bus.yaml`` stands)."""
    epoch: int
    """Number of this owner; grows with every start. Names of stage and claim carry it."""
    clock: Clock
    effect: EffectHook

    def connection(self, name: str) -> Any:
        """The validated connection of that name from ``connections.yaml``."""


# ---------------------------------------------------------------- storage


class BlobStore(Protocol):
    """Content-addressed store of what is too big for a queue row."""

    def create(self) -> AbstractContextManager[BlobWriter]:
        """A new blob; durable (fsynced, renamed into place) when the block ends without an error, else gone."""

    def open(self, blob: Blob) -> BinaryIO:
        """Read. Raises Rejected ``INT102`` when it is missing or of another size."""


class BlobWriter(Protocol):
    """A blob in the making; ``blob`` may be read after the block ended."""

    blob: Blob

    def write(self, data: bytes, /) -> int:
        """Append."""


class Reader(Protocol):
    """What a step may ask of committed state (DELIVERY §4 names the steps that may)."""

    def members(self, group: Group) -> Iterator[Message]:
        """The members of a released group in their order, lazily."""

    def recall(self, scope: str, key: str) -> str | None:
        """Value remembered under (scope, key), or None (idempotent receiver, duplicate check)."""

    def instructions(self, where: dict[str, str]) -> list[dict[str, Any]]:
        """Registered instructions matching ``partner, message_id, payment_information_id, end_to_end_id``."""


class StepResources(Protocol):
    """What a step gets handed when it is built. Only the steps that DELIVERY §4 names may keep the last four."""

    route: str
    step: str
    """Stable id of the step: its ``name:`` or its position path; child ids are made from it."""

    def expression(self, text: str) -> Callable[[Any], Any]:
        """Compile an expression (with this route's value tables bound)."""

    def mapping(self, name: str) -> Callable[[Any], Any]:
        """A mapping by name: source body -> target body; raises Rejected MAP…"""

    def format(self, spec: Any) -> Format:
        """Build a format from its spec."""

    def table(self, name: str) -> dict[str, Any]:
        """A value table by name."""

    blobs: BlobStore
    reader: Reader
    clock: Clock
