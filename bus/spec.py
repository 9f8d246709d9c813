"""What operators write in YAML, as frozen pydantic models; every default stands here or in a plug-in's spec.

YAML scalars arrive as strings (``NO`` stays ``NO``, ``0012345`` stays ``0012345``); the field's type decides what they
mean. Unknown keys are errors. A plug-in key (``{csv: {…}}``, ``{sftp: {…}}``, ``{split: {…}}``) is resolved through the
:class:`Catalogue` in the validation context, so this module knows no plug-in by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from bus.ports import (
        EncodedRecords,
        Encoder,
        EndpointResources,
        Format,
        Inspection,
        Sink,
        Source,
        Step,
        StepResources,
    )

Kind = Literal["step", "format", "endpoint", "connection"]


class Spec(BaseModel):
    """Base of everything configured: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class PlugInSpec(Spec):
    """Base of specs that a one-key mapping names.

    ``key`` is the YAML key. ``shorthand`` names the field that a plain value (string or list) under the key fills.
    """

    key: ClassVar[str] = ""
    shorthand: ClassVar[str] = ""


class StepSpec(PlugInSpec):
    """One step of a route. The class docstring is the reference text, with a YAML example."""

    boundary: ClassVar[Literal["", "split", "aggregate", "hold", "partition"]] = ""
    """Non-empty when the step ends a segment, the unit of work."""

    name: str = ""
    """Stable id of the step; message ids are derived from it. Empty = its position in the route."""

    def flows(self) -> dict[str, Flow]:
        """Branches of a container step by label; its step emits :class:`bus.message.Branch` to enter one."""
        return {}

    def build(self, resources: StepResources) -> Step:
        """Make the step; called once per route version, never on the hot path."""
        raise NotImplementedError


class FormatSpec(PlugInSpec):
    """A data format with its options."""

    each_default: ClassVar[str] = "rows"
    """What a split or ``bus inspect --to`` takes as one record when nobody says: the ``each`` of ``Document.parts``."""

    @classmethod
    def from_name(cls, name: str) -> dict[str, Any] | None:
        """Options for a bare name such as ``pain.001.001.09``, or None when the name is not of this format."""
        return {} if name == cls.key else None

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """How sure this format is that a file beginning with ``head`` (4 KB) and called ``name`` is its own: 0 to 1."""
        del head, name
        return 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """Read a whole file leniently and tell what is in it; never raises for bad content."""
        raise NotImplementedError

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """Options with which a file of unknown layout is most likely read rightly, for ``bus inspect --to``."""
        del source
        return {}

    def spread(self, file: Path, encode: Encoder, processes: int) -> Iterator[EncodedRecords] | None:
        """The usual records of a big file as ``encode`` writes them, made by several processes, in the file's order.

        None where the format, or this file, has to be read by one.
        """
        del file, encode, processes
        return None

    def record_fields(self) -> dict[str, str]:
        """Fields of a record read, each ``text``, ``number`` or ``date``; empty where the options do not say."""
        return {}

    def build(self, resources: StepResources | None = None) -> Format:
        """Make the reader and writer."""
        raise NotImplementedError


class ConnectionSpec(PlugInSpec):
    """How to reach a partner: host, credentials, pins. Not part of a route's version."""


# ---------------------------------------------------------------- scalars

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def _duration(value: Any) -> Any:
    if isinstance(value, int):
        return value
    found = _DURATION.fullmatch(str(value).strip())
    if not found:
        raise PydanticCustomError("CFG111", "not a duration; write for instance `500ms`, `2s`, `5m`, `4h` or `3d`")
    return int(float(found[1]) * _MILLISECONDS[found[2]])


_SIZE = re.compile(r"(\d{1,15})\s*(B|kB|KB|MB|GB)?")
_BYTES = {None: 1, "B": 1, "kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def _size(value: Any) -> Any:
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(str(value).strip())
    if not found:
        raise PydanticCustomError("CFG112", "not a size; write for instance `64kB`, `16MB` or `2GB`")
    return int(found[1]) * _BYTES[found[2]]


def _glob(value: Any) -> Any:
    text = str(value)
    if "/" in text or "\\" in text or "\0" in text:
        raise PydanticCustomError("CFG113", "a file pattern has no path separators; put the folder into `path`")
    return text


def _field_path(value: Any) -> Any:
    if not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", str(value)):
        raise PydanticCustomError("CFG507", "not a path; write names with points between, such as `creditor.address`")
    return str(value)


def _expression(value: Any) -> Any:
    return _checked(value, named=False)


def _formula(value: Any) -> Any:
    return _checked(value, named=True)


def _checked(value: Any, *, named: bool) -> Any:
    from bus.expressions import check  # noqa: PLC0415 - keeps `bus --help` from loading the parser

    problem = check(str(value), named=named)
    if problem is not None:
        raise PydanticCustomError("CFG121", "{why}", {"why": problem})
    return str(value)


Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=str)]
"""Milliseconds, written ``500ms``, ``2s``, ``5m``, ``4h``, ``3d``."""
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str)]
"""Bytes, written ``64kB``, ``16MB``, ``2GB`` (decimal units)."""
FieldPath = Annotated[str, BeforeValidator(_field_path)]
"""Names with points between, the place of a field in a body: ``creditor.account.iban``."""
Glob = Annotated[str, BeforeValidator(_glob)]
"""A file name pattern with ``*``, ``?`` and ``[…]``, case-sensitive, without folders."""
ExpressionText = Annotated[str, BeforeValidator(_expression)]
"""A JMESPath expression, compiled when the file is checked."""
FormulaText = Annotated[str, BeforeValidator(_formula)]
"""A JMESPath expression in a file that may name functions of its own."""


class Secret:
    """A reference to a secret, ``${env:NAME}`` or ``${file:path}``; only :meth:`reveal` ever reads it."""

    _FORM = re.compile(r"\$\{(env|file):([^}]+)\}")

    def __init__(self, reference: str) -> None:
        found = self._FORM.fullmatch(reference)
        if not found:
            raise PydanticCustomError("CFG141", "a secret stands here in clear; write `${env:NAME}` or `${file:path}`")
        self.reference = reference
        self._kind, self._where = found[1], found[2]

    def reveal(self) -> bytes:
        """The secret itself (trailing newline of a file removed).

        Raises:
            bus.errors.ConfigError: ``CFG142`` when the variable or file is not there.
        """
        import os  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        from bus.errors import ConfigError  # noqa: PLC0415

        try:
            if self._kind == "env":
                return os.environ[self._where].encode()
            return Path(os.path.expandvars(self._where)).expanduser().read_bytes().rstrip(b"\r\n")
        except (KeyError, OSError):
            raise ConfigError(
                "CFG142", f"the secret {self.reference} cannot be read", hint="set it, then start again"
            ) from None

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415

        def make(value: Any) -> Secret:
            return value if isinstance(value, Secret) else cls(str(value))

        return core_schema.no_info_plain_validator_function(
            make, serialization=core_schema.plain_serializer_function_ser_schema(lambda s: s.reference)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\$\{(env|file):[^}]+\}$", "title": "Secret reference"}


def revealed(text: str) -> str:
    """A text with the secrets that it refers to, ``${env:NAME}`` and ``${file:path}``, in their places.

    Raises:
        bus.errors.ConfigError: ``CFG142`` when the variable or file is not there.
    """
    return _REFERENCES.sub(lambda found: Secret(found[0]).reveal().decode(), text)


_REFERENCES = re.compile(r"\$\{(?:env|file):[^}]+\}")
_LEDGER = re.compile(r"postgres(ql)?://.|\$\{(env|file):[^}]+\}$")


def _ledger(text: str) -> str:
    if text and not _LEDGER.match(text):
        raise PydanticCustomError("CFG101", "expected `postgresql://user@host/database`, or a reference to one")
    return text


SecretRef = Secret

# ---------------------------------------------------------------- endpoints


class PollSpec(Spec):
    """When a source looks: every so often, or by cron (five fields, UTC)."""

    every: Duration = 5_000
    """How long from one look to the next."""
    cron: str = ""
    """Instead: minute, hour, day of month, month, day of week; UTC."""

    @model_validator(mode="after")
    def _cron_parses(self) -> PollSpec:
        if self.cron:
            from datetime import UTC, datetime  # noqa: PLC0415

            from cronsim import CronSim, CronSimError  # noqa: PLC0415 - only routes with cron need it

            try:
                CronSim(self.cron, datetime(2026, 1, 1, tzinfo=UTC))
            except CronSimError as error:
                raise PydanticCustomError("CFG114", "`cron` is not understood: {why}", {"why": str(error)}) from None
        return self


class EndpointSpec(PlugInSpec):
    """One technology at the edge; as ``from:`` it gives a source, as an outlet it gives a sink."""

    poll: PollSpec = PollSpec()
    """When to look for input."""

    def source(self, resources: EndpointResources) -> Source:
        """The receiving side. Raises ConfigError ``CFG131`` when this technology cannot receive."""
        from bus.errors import ConfigError  # noqa: PLC0415 - as in Secret

        del resources
        raise ConfigError("CFG131", f"`{self.key}` cannot be received from", hint="use it as an outlet")

    def sink(self, resources: EndpointResources) -> Sink:
        """The sending side. Raises ConfigError ``CFG131`` when this technology cannot send."""
        from bus.errors import ConfigError  # noqa: PLC0415 - as in Secret

        del resources
        raise ConfigError("CFG131", f"`{self.key}` cannot be sent to", hint="use it under `from`")


class Catalogue(Protocol):
    """Finds plug-in specs by key; :mod:`bus.registry` is the real one."""

    def spec(self, kind: Kind, key: str) -> type[PlugInSpec]:
        """The spec class. Raises KeyError, with the known keys as its only argument, when nobody owns the key."""

    def keys(self, kind: Kind) -> list[str]:
        """All known keys, sorted."""


# ---------------------------------------------------------------- plug-in slots


def _slot(kind: Kind) -> Callable[[Any, ValidationInfo], Any]:
    """Validator for a place where one plug-in of ``kind`` is configured: ``{key: {options}}`` or a bare name."""

    def load(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, PlugInSpec):
            return value
        catalogue: Catalogue = (info.context or {})["catalogue"]
        if isinstance(value, str):
            return _bare(kind, value, catalogue, info)
        if not isinstance(value, dict) or len(value) != 1:
            raise PydanticCustomError("CFG104", "write exactly one key here, the name of a {kind}", {"kind": kind})
        ((key, options),) = value.items()
        spec = _find(kind, key, catalogue)
        if options is None or options == "":
            options = {}
        if not isinstance(options, dict) and spec.shorthand:
            options = {spec.shorthand: options}
        try:
            return spec.model_validate(options, context=info.context)
        except ValidationError as error:
            raise _below(key, error) from None

    return load


def _find(kind: Kind, key: str, catalogue: Catalogue) -> type[PlugInSpec]:
    try:
        return catalogue.spec(kind, key)
    except KeyError as error:
        known = list(error.args[0])
        raise PydanticCustomError(
            "CFG102", "unknown {kind} `{key}`", {"kind": kind, "key": key, "known": known}
        ) from None


def _bare(kind: Kind, name: str, catalogue: Catalogue, info: ValidationInfo) -> PlugInSpec:
    """``parse: json`` or ``to: pain.001.001.09``: a name alone, with all options at their defaults."""
    if kind == "format":
        for key in catalogue.keys("format"):
            spec = catalogue.spec("format", key)
            options = spec.from_name(name) if issubclass(spec, FormatSpec) else None
            if options is not None:
                return spec.model_validate(options, context=info.context)
    return _find(kind, name, catalogue).model_validate({}, context=info.context)


def _below(key: str, error: ValidationError) -> ValidationError:
    """The errors of a plug-in's options, with the plug-in's key in front of each place."""
    lines: list[InitErrorDetails] = []
    for found in error.errors(include_url=False):
        context = {**found.get("ctx", {}), "text": found["msg"]}
        kind = PydanticCustomError(found["type"], "{text}", context)
        lines.append({"type": kind, "loc": (key, *found["loc"]), "input": found["input"]})
    return ValidationError.from_exception_data(key, lines)


PLUG_IN_SLOT = "x-plug-in"
"""Key of a JSON Schema that stands for "one plug-in of this kind"."""


class _Slot:
    """Marker of a plug-in place, so that the published JSON Schema can offer the plug-ins' own schemas there."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # No `$ref`: pydantic would look for its target while it makes the schema; bus.config puts the reference in.
        return {PLUG_IN_SLOT: self.kind}


AnyStep = Annotated[Any, BeforeValidator(_slot("step")), _Slot("step")]
"""One step: a mapping with one key, its pattern."""
AnyFormat = Annotated[Any, BeforeValidator(_slot("format")), _Slot("format")]
"""One data format: ``{csv: {…}}`` or a bare name."""
AnyEndpoint = Annotated[Any, BeforeValidator(_slot("endpoint")), _Slot("endpoint")]
"""One endpoint: ``{sftp: {…}}``."""
AnyConnection = Annotated[Any, BeforeValidator(_slot("connection")), _Slot("connection")]
"""One connection: ``{sftp: {…}}``."""


class Flow(Spec):
    """Steps with a way out: a branch of a router or recipient list."""

    steps: tuple[AnyStep, ...] = ()
    """What is done in this branch; without ``to`` the message then goes on with the step after the container."""
    to: str = ""
    """Outlet or channel at the end of the branch; ``none`` ends the message here on purpose."""


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
    """``HH:MM`` UTC: a file must have arrived at this route's source by then …"""
    weekdays: str = "mon-fri"
    """… on these days (``mon-fri``, ``mon,wed``, ``all``)."""
    answer_within: Duration = 0
    """Every instruction that this route registered must be answered within this time."""
    owner: str = ""
    """Who gets the case; empty = the route's owner."""

    @model_validator(mode="after")
    def _exactly_one(self) -> ExpectSpec:
        if bool(self.file_by) == bool(self.answer_within):
            raise PydanticCustomError("CFG151", "write either `file_by` or `answer_within`")
        if self.file_by and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.file_by):
            raise PydanticCustomError("CFG152", "`file_by` is a time of day such as `07:30` (UTC)")
        return self


class ChannelSource(Spec):
    """``from: {channel: NAME}``: the route reads what other routes send to that name."""

    channel: str


def _origin(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, dict) and set(value) == {"channel"}:
        return ChannelSource.model_validate(value)
    return _slot("endpoint")(value, info)


class RouteSpec(Spec):
    """One route file: where messages come from, what is done with them, where they go."""

    route: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the route, unique in the landscape; part of message ids, so renaming starts a new history."""
    summary: str = ""
    """One sentence for people."""
    owner: str = ""
    """Team that gets this route's cases."""
    from_: Annotated[Any, BeforeValidator(_origin), _Slot("endpoint")] = Field(alias="from")
    """The source: one endpoint, or ``{channel: NAME}``."""
    money: ExpressionText = "amount"
    """What a message is worth, for the conservation check: ``{value, currency}`` or nothing."""
    keys: dict[str, ExpressionText] = {}
    """Business keys of an arriving message: name -> expression over its body; for ``bus find`` and ``bus trace``."""
    expires_after: Duration = 0
    """Messages older than this are dead letters instead of being processed (EIP Message Expiration); 0 = never."""
    duplicates: Literal["hold", "accept"] = "hold"
    """Known content arriving again: held as suspected duplicate with a case, or accepted as new."""
    guarantee: Literal["effectively-once", "at-least-once"] = "effectively-once"
    """``at-least-once``: of messages that only pass through nothing is remembered, neither history nor what came
    already, and after a crash some are sent twice. Only for receivers that know a second copy; only of effect on
    RabbitMQ. Whatever is refused, held or retried is remembered all the same."""
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


class OutletSpec(Spec):
    """A named way out in ``bus.yaml``: an endpoint to send to, with the format for bodies that are plain data."""

    endpoint: AnyEndpoint
    """Where to."""
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

    url: str = Field(pattern=r"^amqps?://[^@/\s,]+(,[^@/\s,]+)*(/[^/\s]*)?$")
    """``amqp://host:5672/vhost``; the nodes of a cluster with commas between; never with a password in it."""
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
    """Receipts of what was delivered."""
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


class BucketSpec(Spec):
    """A bucket of an S3-compatible store for documents; needs `pip install 'girobus[s3]'`."""

    bucket: str
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
    outlets: dict[str, OutletSpec] = {}
    """Named ways out that routes send ``to``."""
    templates: TemplateLimits = TemplateLimits()
    """What rendering a template may take."""
    blobs: BucketSpec | None = None
    """Bucket for documents; without it they are in the store's folder."""
    retention: RetentionSpec = RetentionSpec()
    """How long the ledger keeps what is finished."""


class ConnectionsSpec(Spec):
    """``connections.yaml``: how to reach partners. Not part of any version, so addresses change without a release."""

    connections: dict[str, AnyConnection] = {}
    """Connections by the name that endpoints use."""
