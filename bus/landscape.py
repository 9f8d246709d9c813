"""The words of a landscape: ``bus.yaml``, routes, ``connections.yaml``; every default stands here or in a plug-in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from bus.described import Spec
from bus.spec import (
    AnyConnection,
    AnyEndpoint,
    AnyFormat,
    AnyStep,
    Duration,
    ExpressionText,
    SecretRef,
    Size,
    Slot,
    Zone,
    plug_in,
)

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LEDGER = re.compile(r"postgres(ql)?://.|\$\{(env|file):[^}]+\}$")


def _ledger(text: str) -> str:
    if text and not _LEDGER.match(text):
        raise PydanticCustomError("CFG101", "expected `postgresql://user@host/database`, or a reference to one")
    return text


# ---------------------------------------------------------------- routes


class BackoffSpec(Spec):
    """How long to wait between attempts; each wait is spread by a random tenth so that retries do not march in step."""

    first: Duration = 2_000
    """Wait after the first failure."""
    factor: float = Field(default=2.0, ge=1, le=100)
    """Each further wait is so many times the one before …"""
    most: Duration = 300_000
    """… but never longer than this."""


class ErrorPolicySpec(Spec):
    """What happens to a unit that fails: retried up to ``attempts`` times, then a dead letter with a case."""

    attempts: int = Field(default=5, ge=1, le=1000)
    """How often it is tried, the first time included."""
    backoff: BackoffSpec = BackoffSpec()
    """How long to wait between attempts."""


class RejectSpec(Spec):
    """What happens to refused records of a batch: collected, written ``as`` the sender's format and sent ``to``."""

    collect: Literal["batch"]
    """Whose refused records make one file: those of one arrived document."""
    to: str
    """Name of the outlet or channel that takes the reject file."""
    as_: AnyFormat = Field(alias="as")
    """Format of the reject file."""


class ExpectSpec(Spec):
    """Something that must have happened by a time, else a case opens (CFG151: give exactly one of file and answer)."""

    file_by: str = ""
    """``HH:MM``: a file must have arrived at this route's source by then, and since that time of the day before …"""
    weekdays: str = "mon-fri"
    """… on these days (``mon-fri``, ``mon,wed``, ``all``)."""
    zone: Zone = "UTC"
    """Time zone of ``file_by``, such as ``Europe/Berlin``."""
    answer_within: Duration = 0
    """What a `register` or `request` of this route sends out must be answered within this time; a step with an
    ``answer_within`` of its own keeps it."""
    owner: str = ""
    """Who gets the case; empty = the route's owner."""

    @model_validator(mode="after")
    def _exactly_one(self) -> ExpectSpec:
        if bool(self.file_by) == bool(self.answer_within):
            raise PydanticCustomError("CFG151", "write either `file_by` or `answer_within`")
        if self.answer_within and not self.model_fields_set.isdisjoint({"weekdays", "zone"}):
            raise PydanticCustomError(
                "CFG151", "`weekdays` and `zone` are for `file_by`; `answer_within` runs day and night"
            )
        if self.file_by and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.file_by):
            raise PydanticCustomError("CFG152", "`file_by` is a time of day such as `07:30`")
        if not self.days:
            text = "`weekdays` is not understood; write for instance `mon-fri`, `mon,wed` or `all`"
            raise PydanticCustomError("CFG199", text)
        return self

    @property
    def days(self) -> frozenset[int]:
        """Numbers of the weekdays (0 = Monday); none when they are not understood."""
        if self.weekdays == "all":
            return frozenset(range(7))
        found: set[int] = set()
        for part in self.weekdays.split(","):
            ends = [day.strip() for day in part.split("-")]
            if len(ends) > 2 or not set(ends) <= set(_DAYS):
                return frozenset()
            first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
            found |= {day % 7 for day in range(first, last + 1 + 7 * (last < first))}
        return frozenset(found)


class ChannelSource(Spec):
    """``from: {channel: NAME}``: the route reads what other routes send to that name."""

    channel: str


def _origin(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, dict) and set(value) == {"channel"}:
        return ChannelSource.model_validate(value)
    return plug_in("endpoint")(value, info)


class RouteSpec(Spec):
    """One route file: where messages come from, what is done with them, where they go."""

    route: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the route, unique in the landscape; part of message ids, so renaming starts a new history."""
    summary: str = ""
    """One sentence for people."""
    owner: str = ""
    """Team that gets this route's cases."""
    from_: Annotated[Any, BeforeValidator(_origin), Slot("endpoint")] = Field(alias="from")
    """The source: one endpoint, or ``{channel: NAME}``."""
    money: ExpressionText = "amount"
    """What a message is worth, for the conservation check: ``{value, currency}`` or nothing."""
    keys: dict[str, ExpressionText] = Field(default_factory=dict)
    """Business keys of an arriving message: name -> expression over its body; for ``bus find`` and ``bus trace``."""
    expires_after: Duration = 0
    """Messages older than this are dead letters instead of being processed (EIP Message Expiration); 0 = never."""
    duplicates: Literal["hold", "accept"] = "hold"
    """Known content arriving again: held as suspected duplicate with a case, or accepted as new."""
    guarantee: Literal["effectively-once", "at-least-once"] = "effectively-once"
    """``at-least-once``: of messages that only pass through nothing is remembered, neither history nor what came
    already, and after a crash some are sent twice. Only for receivers that know a second copy; only of effect on
    RabbitMQ. What is refused, held or retried, or refers to a document, is remembered all the same."""
    steps: tuple[AnyStep, ...] = ()
    """The steps, in order."""
    to: str = ""
    """Outlet or channel that takes what comes out of the last step."""
    batch: int = Field(default=100, ge=1, le=1000)
    """Most messages a worker takes and commits together."""
    on_error: ErrorPolicySpec = ErrorPolicySpec()
    """Retries."""
    on_reject: RejectSpec | None = None
    """Reject file for refused records of a batch."""
    expect: tuple[ExpectSpec, ...] = ()
    """What must have happened by when."""

    @property
    def answer(self) -> ExpectSpec | None:
        """The expectation of an answer, of several the one that ends first."""
        return min((one for one in self.expect if one.answer_within), key=lambda one: one.answer_within, default=None)


class OutletSpec(Spec):
    """A named way out in ``bus.yaml``: an endpoint to send to, with the format for bodies that are plain data."""

    endpoint: AnyEndpoint
    """Where to."""
    owner: str = ""
    """Team that gets this outlet's cases; empty = the owner of the routes that send to it, where all have the same."""
    format: AnyFormat | None = None
    """How plain-data bodies become bytes; bodies that are bytes or blobs go out as they are."""
    batch: int = Field(default=20, ge=1, le=1000)
    """Most messages prepared and committed together."""
    on_error: ErrorPolicySpec = ErrorPolicySpec(attempts=20)
    """Retries while the partner is away."""


class TemplateLimits(Spec):
    """What one rendering of a template may take; a message that takes more is rejected, and nobody else notices."""

    cpu: Duration = Field(default=2_000, ge=10, le=60_000)
    """Processor time."""
    wall: Duration = Field(default=5_000, ge=10, le=120_000)
    """Time until the text is there."""
    memory: Size = Field(default=256_000_000, ge=64_000_000)
    """Memory of the process that renders."""
    output: Size = Field(default=50_000_000, ge=1_000, le=1_000_000_000)
    """Characters of the text, and bytes of what a template is given."""


class BrokerSpec(Spec):
    """RabbitMQ as backbone: every channel is a quorum queue there, and several machines share the work.

    .. code-block:: yaml

        broker: {url: "amqps://rabbit-1.example:5671/payments", user: girobus, password: "${file:rabbit-password}"}
    """

    url: str = Field(pattern=r"^amqps?://[^@/\s,?#]+(,[^@/\s,?#]+)*(/[^/\s?#]*)?$")
    """``amqp://host:5672/vhost``; the nodes of a cluster with commas between; never with a password in it. A slash in
    the name of a vhost is written ``%2F``."""
    user: str = "guest"
    """Name to log in with."""
    password: SecretRef | None = None
    """Its password; without one the broker's default ``guest`` is tried, which it takes from its own machine only."""
    prefix: str = Field("", pattern=r"^[A-Za-z0-9_.-]*$", max_length=64)
    """Begins the name of every queue, so that several landscapes can share a vhost."""
    trust: str = ""
    """PEM file of the CAs to believe with ``amqps``; empty = those of the operating system."""
    certificate: str = ""
    """PEM file of our certificate with its intermediates, for a broker that asks for one; needs ``key``."""
    key: str = ""
    """PEM file of its private key, owner-only."""
    heartbeat: Duration = 10_000
    """A dead peer is noticed after twice this time."""
    deadline: Duration = 10_000
    """A broker that does not answer or confirm for so long is left; what was not confirmed is published again."""
    window: int = Field(1000, ge=1, le=10_000)
    """Most messages published and not yet confirmed."""
    prefetch: int = Field(500, ge=1, le=10_000)
    """Most messages of one queue that are taken over and not settled."""
    delivery_limit: int = Field(20, ge=1, le=10_000)
    """A message handed out so often without being settled becomes a dead letter: it may be what stops the process."""
    replicas: int = Field(0, ge=0, le=9)
    """Nodes of the cluster that keep each queue; 0 = the broker's own default."""
    max_message_size: Size = Field(16_000_000, ge=64_000, le=512_000_000)
    """A message that is larger is refused before the broker sees it; no more than RabbitMQ's own ``max_message_size``,
    which is 16 MiB where nobody raised it."""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> BrokerSpec:
        if bool(self.certificate) != bool(self.key):
            raise PydanticCustomError("CFG115", "`certificate` and `key` need each other; write both, or none")
        if (self.trust or self.certificate) and not self.url.startswith("amqps:"):
            raise PydanticCustomError("CFG115", "certificates belong to `amqps://`; write the url with it")
        return self


class RetentionSpec(Spec):
    """How long finished things are kept; what still waits for something is kept however old it is.

    Audit, totals, route versions, open cases and their dead letters are kept for ever.
    """

    history: Duration = 400 * 86_400_000
    """What happened to each message, and the business keys to find it by."""
    arrivals: Duration = 400 * 86_400_000
    """What arrived; the same content coming later is no suspected duplicate any more. Sources that leave their files
    where they are keep theirs for ever."""
    cases: Duration = 400 * 86_400_000
    """Closed cases."""
    outbound: Duration = 400 * 86_400_000
    """Receipts of what was delivered, or discarded before it was."""
    instructions: Duration = 400 * 86_400_000
    """Payments with a final status; an answer that comes later finds nothing."""
    inbox: Duration = Field(default=30 * 86_400_000, ge=86_400_000)
    """By what a second copy from the broker is told; longer than any message may stand in a queue."""
    blobs: Duration = Field(default=7 * 86_400_000, ge=86_400_000)
    """Documents that no message refers to any more."""


class HttpSpec(Spec):
    """A port for monitoring: ``/healthz`` and ``/metrics``. Without it nothing listens."""

    port: int = Field(9464, ge=1, le=65_535)
    """Port."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    exposed: bool = False
    """True: you know that others in the network can read it; needed for every address but loopback."""

    @model_validator(mode="after")
    def _on_loopback(self) -> HttpSpec:
        if not self.exposed and self.host not in ("127.0.0.1", "::1", "localhost"):
            text = "`host` opens metrics to the network, without a login; write `exposed: true` if that is meant"
            raise PydanticCustomError("SYS180", text)
        return self


class BlobsSpec(Spec):
    """Where documents are: a folder, or a bucket of an S3-compatible store (`pip install 'girobus[s3]'`)."""

    folder: str = ""
    """Folder, relative to ``bus.yaml``; one that several machines share must be the same for all."""
    bucket: str = ""
    """Name of the bucket. Its objects must be kept until girobus removes them; switch its versions on."""
    prefix: str = ""
    """What all names begin with, for instance ``prod/``."""
    endpoint: str = ""
    """Address of a store that is not Amazon's: ``https://s3.example``."""
    region: str = "us-east-1"
    """Region of the bucket."""
    access_key: SecretRef | None = None
    """Access key; without one, what the machine has (``AWS_…`` variables, its role)."""
    secret_key: SecretRef | None = None
    """Secret of the access key."""

    @model_validator(mode="after")
    def _one_place(self) -> BlobsSpec:
        if bool(self.folder) == bool(self.bucket):
            raise PydanticCustomError("CFG151", "write either `folder` or `bucket`")
        if self.folder and len(self.model_fields_set) > 1:
            raise PydanticCustomError("CFG151", "`folder` stands alone; the others are for `bucket`")
        return self


class LandscapeSpec(Spec):
    """``bus.yaml``: what all routes of the folder share."""

    name: str = "girobus"
    """Name of this landscape, shown in status and cases."""
    store: str = ".bus"
    """Folder of the ledger, blobs and control socket, relative to ``bus.yaml``."""
    broker: BrokerSpec | None = None
    """RabbitMQ as backbone; without it the channels are in the ledger's own database."""
    ledger: Annotated[str, AfterValidator(_ledger)] = ""
    """Where the ledger is kept: empty = a file in the store's folder, for one process; ``postgresql://user@host/database``
    = a database that several processes share. ``${env:NAME}`` and ``${file:path}`` stand for secrets in it."""
    http: HttpSpec | None = None
    """Where monitoring asks; without it nothing listens."""
    outlets: dict[str, OutletSpec] = Field(default_factory=dict)
    """Named ways out that routes send ``to``."""
    templates: TemplateLimits = TemplateLimits()
    """What rendering a template may take."""
    blobs: BlobsSpec | None = None
    """Where documents are; without it in the folder ``blobs`` of the store."""
    retention: RetentionSpec = RetentionSpec()
    """How long the ledger keeps what is finished."""


class ConnectionsSpec(Spec):
    """``connections.yaml``: how to reach partners. Not part of any version, so addresses change without a release."""

    connections: dict[str, AnyConnection] = Field(default_factory=dict)
    """Connections by the name that endpoints use."""
