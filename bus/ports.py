"""The seams of the bus: Protocols only. What stands behind them can be replaced without touching what stands before.

Everything is synchronous. Whoever implements a port says in its docstring if it blocks; nothing here sleeps.
Times are integers: milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from bus.errors import Finding, Rejected
from bus.message import Blob, Effect, Group, Hold, Join, Message, Progress, Register, Remember, Resequence
from bus.money import exact_sum

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


Encoder = Callable[[Any], bytes]
"""Makes one line of output of a record; a function of a module, so that it can be named to another process."""


class EncodedRecords(NamedTuple):
    """Records of a file as the lines they became; ``refused``: place, code and message of those that were none."""

    lines: bytes
    refused: tuple[tuple[str, str, str], ...]


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


@runtime_checkable
class FileConverter(Protocol):
    """A format that writes a document from the file of another one, without plain data between."""

    content_type: str

    def convert(self, source: BinaryIO, target: BinaryIO) -> tuple[Finding, ...]:
        """Write the document; what could not be carried comes back. Raises Rejected when it must not be written."""


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


@runtime_checkable
class DescribedInbound(Protocol):
    """What an :class:`Inbound` may have beside: what came with the content. Nothing of it becomes a header of ours."""

    properties: dict[str, Any]
    """Plain data for the message's properties."""
    content_type: str
    """Media type of the content."""
    refused: Rejected | None
    """Why it must not run though its content is kept: it is held with a case."""


class Source(Protocol):
    """The receiving side of an endpoint (EIP Channel Adapter, Polling Consumer)."""

    def poll(self, most: int) -> Iterable[Inbound]:
        """Claim and hand out up to ``most`` things that are ready, leftovers of a dead owner first. Blocks on I/O."""

    def close(self) -> None:
        """Disconnect."""


Verdict = Literal["done", "not_done", "unknown"]
Receipt = dict[str, Any]


class Sink(Protocol):
    """The sending side of an endpoint. ``prepare`` and ``probe`` are idempotent; ``publish`` is the effect.

    A sink with a true attribute ``keyed`` sends under an id by which its receiver knows a second copy: it is never
    asked by ``probe``, what is unknown is prepared and published again.

    A sink that publishes all that is prepared together has a method ``begun(receipt) -> bool``: was this one sent along
    with another, so that only ``probe`` can say what became of it?

    A sink that leaves something with its partner before ``publish`` has two methods more: ``discard(receipt) -> bool``
    removes what was prepared and is never to be published, and tells whether it was there; ``sweep(live)`` removes
    all that earlier owners left but the stage files in ``live``, with ``over=True`` also what this one left, for
    another has taken over since.
    """

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

    @property
    def epoch(self) -> int:
        """Number of the present owner; every later owner has a higher one. Names of stage and claim carry it."""

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
        """Read what was stored: Rejected ``INT102`` when it is missing or of another size, ``INT103`` when changed."""


class BlobWriter(Protocol):
    """A blob in the making; ``blob`` may be read after the block ended."""

    blob: Blob

    def write(self, data: bytes, /) -> int:
        """Append."""

    def writelines(self, lines: Iterable[bytes], /) -> None:
        """Append all."""


class Reader(Protocol):
    """What a step may ask of committed state; only the steps that need it keep it."""

    def members(self, group: Group) -> Iterator[Message]:
        """The members of a released group in their order, lazily."""

    def recall(self, scope: str, key: str) -> str | None:
        """Value remembered under (scope, key), or None (idempotent receiver, duplicate check)."""

    def instructions(self, where: dict[str, str]) -> list[dict[str, Any]]:
        """Registered instructions matching ``partner, message_id, payment_information_id, end_to_end_id``."""


class TextTemplate(Protocol):
    """A template with all that it includes, ready to be rendered."""

    media_type: str
    """Content type of the text, such as ``text/plain``."""

    def render(self, values: dict[str, Any]) -> str:
        """Plain values -> text; blocks until it is there, raises Rejected or Retryable with a TPL code."""


class FileRules(Protocol):
    """What a profile says of whole files; None = not restricted."""

    convert: Callable[[str], str] | None
    """Brings a text into the character set; raises Rejected where it cannot be."""
    most_payments: int | None
    most_in_block: int | None
    most_bytes: int | None

    def group(self, payment: Any) -> tuple[Any, ...]:
        """What payments of one block have in common beside what a block shares anyway."""


class RuleBook(Protocol):
    """A profile: the dated rules of a scheme or bank, compiled. Times are milliseconds since 1970 UTC."""

    name: str
    model: str
    """Canonical model that it is about."""

    def at(self, at: int) -> FileRules:
        """The rules for a file that is written at that time."""

    def check(self, payment: Any, at: int | None = None) -> tuple[Finding, ...]:
        """What a right canonical payment breaks; without ``at`` it is history, and the clock is not looked at."""

    def findings(self, body: Any, at: int | None = None) -> tuple[Finding, ...]:
        """What is wrong with a body by its canonical model or else by the rules."""

    def prepare(self, payment: Any, at: int) -> Any:
        """The payment with prescribed codes and a possible execution date; raises Rejected when it breaks a rule."""


class StepResources(Protocol):
    """What a step gets handed when it is built. Steps that read no state leave the last three alone."""

    route: str
    step: str
    """Stable id of the step: its ``name:`` or its position path; child ids are made from it."""
    answer_within: int
    """Milliseconds in which the route expects an answer to what it sends out; 0 = it does not say."""

    def expression(self, text: str) -> Callable[[Any], Any]:
        """Compile an expression (with this route's value tables bound)."""

    def mapping(self, name: str, *, reverse: bool = False) -> Callable[[Any], Any]:
        """A mapping by name: source body -> target body, or the reverse; it raises Rejected with a MAP code."""

    def template(self, name: str) -> TextTemplate:
        """A template by name."""

    def format(self, spec: Any) -> Format:
        """Build a format from its spec."""

    def table(self, name: str) -> dict[str, Any]:
        """A value table by name."""

    def profile(self, name: str) -> RuleBook:
        """A profile by name."""

    def model(self, name: str) -> Callable[[Any], tuple[Finding, ...]]:
        """The check of a canonical model (``payment``, ``statement`` …): body -> what is wrong with it."""

    blobs: BlobStore
    reader: Reader
    clock: Clock


class Hops(NamedTuple):
    """What one commit tells of messages at one place: their lowest and highest number, and the rest packed."""

    first: int
    last: int
    at: int
    version: int
    place: str
    packed: bytes


class Transaction(Protocol):
    """What is used of a database connection inside a commit. SQL is written once, in the words of SQLite."""

    def execute(self, sql: str, bindings: tuple[Any, ...] = (), /) -> Any:
        """Run one statement; the answer has ``fetchone`` and ``fetchall`` and can be iterated."""

    def executemany(self, sql: str, bindings: Iterable[tuple[Any, ...]], /) -> Any:
        """Run one statement for many rows."""


class Store(Protocol):
    """Durable transactions over one database; ledger and durable channels share it.

    The methods after :meth:`read_own` are all in which two kinds of database differ.
    """

    shared: bool
    """Whether other processes may write the same store at the same time."""

    def commit(self, label: str, work: Callable[[Any], T]) -> T:
        """Run ``work`` in one transaction; returns when it is durable. An error of ``work`` rolls it back."""

    def read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query over committed state."""

    def read_own(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """As :meth:`read`, the quickest way for short queries of the engine itself."""

    def lock(self, tx: Any, names: Iterable[str], *, share: bool = False) -> None:
        """Until the end of the transaction nobody else changes what is kept under these names.

        Several may ``share`` a name and keep those out who do not.
        """

    def numbers(self, tx: Any, count: int) -> int:
        """Reserve ``count`` message numbers in a row; the first is returned. Gaps are normal."""

    def serial(self, tx: Any, table: Literal["lane", "batch"]) -> int:
        """A row number of that table that was never used, neither by a row that is gone."""

    def add_history(self, tx: Any, part: Hops, tally: MoneyTotalsByOutcome) -> None:
        """Write it down behind all that was written before, and add to the running totals of its place."""

    def add_tally(self, tx: Any, place: str, now: int, tally: MoneyTotalsByOutcome) -> None:
        """Add counts and sums to the running totals of a place; sums are exact decimals."""

    def known(self, legs: list[str]) -> set[str]:
        """Which of these legs stand in the inbox."""

    def enter(self, tx: Any, legs: list[str], now: int) -> int:
        """Write legs into the inbox; how many of them were not there."""

    def time(self, tx: Any) -> int:
        """What time it is by the database, milliseconds since 1970 UTC: one time for all who share it."""

    def close(self) -> None:
        """Disconnect."""


# ---------------------------------------------------------------- settlement


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message taken from a channel and the duty to settle it once (EIP Transactional Client).

    ``position`` is the channel's own mark of the row; the row stays until a settlement that names it commits.
    """

    channel: str
    position: int
    message: Message


class Gathering(msgspec.Struct, frozen=True):
    """How an aggregate completes; all sizes are counts, all times milliseconds, 0 = not used."""

    channel: str
    """Where the released group goes."""
    batch: bool = False
    size: int = 0
    after: int = 0
    every: int = 0


class Event(msgspec.Struct, frozen=True, gc=False):
    """One line of a message's history, as the ledger packs it."""

    message: Message
    outcome: str
    step: str = ""
    code: str = ""
    reason: str = ""
    outputs: tuple[tuple[str, Message], ...] = ()
    """(channel, message) of what came out; numbers are filled in when the unit commits."""


class CaseNote(msgspec.Struct, frozen=True):
    """A case to open, or to count up when one with the same fingerprint is open."""

    code: str
    summary: str
    route: str
    owner: str
    fingerprint: str
    number: int = 0
    correlation: str = ""
    context: dict[str, Any] = {}


class Cursor(msgspec.Struct, frozen=True):
    """Where a split stands: ledger number of the batch, the channel's mark of its hidden place, next child index."""

    batch: int
    lane: int
    next_index: int


class Chunk(msgspec.Struct):
    """Some consecutive parts of one split, stored in one commit; ``children`` go to ``channel`` when the batch opens.

    ``count`` includes the parts that the splitter refused; those stand in ``refused`` and ``settlement.joins``.
    """

    parent: Message
    step: str
    channel: str
    count: int
    children: list[Message]
    money: MoneyTotalsByOutcome
    refused: MoneyTotalsByOutcome
    settlement: Settlement


class Settlement:
    """Everything one commit does besides taking its input: filled by the engine, applied by broker and ledger.

    ``place`` is ``route#segment`` or the name of an outlet, ``version`` the ledger number of the route version.
    """

    __slots__ = (
        "apart",
        "cases",
        "closed_groups",
        "dead",
        "deferred",
        "discards",
        "events",
        "holds",
        "joins",
        "line",
        "lined",
        "open_batches",
        "outbound",
        "place",
        "progress",
        "puts",
        "registers",
        "remember",
        "remembers",
        "reports",
        "resequences",
        "tally",
        "version",
    )  # fmt: skip

    def __init__(self, place: str, version: int = 0) -> None:
        self.place = place
        self.version = version
        self.remember = True
        """False: messages that only pass through need not be told apart from second copies, nor have a history."""
        self.events: list[Event] = []
        self.puts: list[tuple[str, Message]] = []
        self.joins: list[tuple[Join, Gathering]] = []
        self.holds: list[tuple[Hold, str, CaseNote | None]] = []
        self.resequences: list[tuple[Resequence, str]] = []
        self.deferred: list[tuple[int, str, Message, str, str]] = []
        self.line = 0
        """The row of the line that the unit is at the head of; 0 = its input came from a channel."""
        self.lined: list[tuple[str, int, Message, str, str]] = []
        """(line, due, message, code, reason) of what waits in a line of this place."""
        self.dead: list[tuple[str, Message, CaseNote]] = []
        self.apart = False
        """The dead letters are none of the ledger's own: no arrival and no split under their ids is told of them."""
        self.cases: list[CaseNote] = []
        self.registers: list[tuple[Register, Message]] = []
        self.progress: list[Progress] = []
        self.remembers: list[Remember] = []
        self.reports: dict[int, MoneyTotalsByOutcome] = {}
        self.open_batches: list[Cursor] = []
        self.discards: list[Cursor] = []
        self.closed_groups: list[int] = []
        self.outbound: list[tuple[str, str, Message, Receipt]] = []
        self.tally: MoneyTotalsByOutcome = {}

    def report(self, message: Message, outcome: str, *, batch: bool = True) -> None:
        """Count an outcome for the place, and for the message's batch if that is to be told and has not been."""
        headers = message.headers
        currency, value = headers.worth or _NOTHING
        key = (outcome, currency)
        known = self.tally.get(key)
        self.tally[key] = (1, value) if known is None else (known[0] + 1, exact_sum(known[1], value))
        sequence = headers.sequence
        if batch and sequence is not None and not sequence.reported and not headers.copy:
            book = self.reports.setdefault(sequence.batch, {})
            count, total = book.get(key, (0, _ZERO))
            book[key] = (count + 1, exact_sum(total, value))


MoneyTotalsByOutcome = dict[tuple[str, str], tuple[int, Decimal]]
"""(outcome, currency) -> (count, exact sum)."""
_ZERO = Decimal(0)
_NOTHING = ("", _ZERO)


RELAY = "~relay"
"""Among the names that :attr:`Broker.ready` is called with: :meth:`Broker.relay` has something to do."""


class Broker(Protocol):
    """Durable channels of one technology."""

    ready: Callable[[set[str]], None]
    """Called with the names of channels that got messages, from any thread."""

    def declare(self, channels: Iterable[str]) -> None:
        """Make channels exist. Idempotent."""

    def take(self, channel: str, most: int) -> list[Delivery]:
        """The oldest messages, at most ``most``; they stay until settled. One taker at a time per channel."""

    def may_take(self, channel: str) -> bool:
        """Whether this process is the one to take from it."""

    def tenure(self, channel: str) -> int:
        """A number that changes whenever this process becomes the one to take from an outlet's channel."""

    def keep_order(self, channels: Iterable[str]) -> None:
        """Name channels that one process at a time takes from, message after message."""

    def in_order(self, channel: str) -> bool:
        """Whether one process at a time works on it, one message after the other."""

    def share(self, channel: str) -> None:
        """Between two batches of a channel in order: another process may get it."""

    def settle(self, deliveries: list[Delivery], settlement: Settlement, label: str) -> None:
        """Take the input away and do all of the settlement in one durable commit; blocks until it is on disk.

        Raises:
            Retryable: a state conflict (``SYS121``) or a refusing disk; nothing happened.
        """

    def stage(self, chunk: Chunk, cursor: Cursor | None, meanwhile: Callable[[], None] | None = None) -> Cursor:
        """Store a chunk of a split durably, invisible to workers; the first call (no cursor) begins the batch.

        ``meanwhile`` is called when nothing but the commit itself is left to do, perhaps by another thread and more
        than once: what it begins has the processor while the disk works.
        """

    def transact(self, label: str, work: Callable[[Any], list[tuple[str, Message]]]) -> int:
        """Run ledger work that yields messages, and put those on their channels, in one commit; returns how many."""

    def channels(self) -> list[str]:
        """Channels that hold, or may hold, messages ready to be taken."""

    def at_rest(self) -> bool:
        """Whether no channel holds anything and nothing is on its way to one."""

    def forget(self, channels: Iterable[str]) -> None:
        """Name the channels of which nothing is remembered that only passes through (``guarantee: at-least-once``)."""

    def start(self) -> None:
        """Threads work from now on: what waits may overlap."""

    def relay(self) -> int:
        """Bring what was committed for other places on its way; returns how many messages. Blocks on them.

        Raises:
            Retryable: they are away; nothing is lost.
        """

    def close(self) -> None:
        """Disconnect."""
