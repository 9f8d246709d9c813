"""What specs are made of: frozen pydantic models for what operators write in YAML, their scalars, places for plug-ins.

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
    BeforeValidator,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from bus.described import Spec

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

    def ruled_models(self) -> tuple[str, ...]:
        """Canonical models of which a profile can rule what these options write; empty where none is kept."""
        return ()

    def record_fields(self) -> dict[str, str]:
        """Fields of a record read, each ``text``, ``number`` or ``date``; empty where the options do not say."""
        return {}

    def build(self, resources: StepResources | None = None) -> Format:
        """Make the reader and writer."""
        raise NotImplementedError


class ConnectionSpec(PlugInSpec):
    """How to reach a partner: host, credentials, pins. Not part of a route's version."""

    examined: ClassVar[str] = "reached"
    """What ``bus doctor`` says when ``examine`` finds nothing to tell."""

    def leads_to(self) -> tuple[str, ...]:
        """What two connections have in common when they lead to one place; empty when that cannot be told."""
        return ()


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


def _zone(value: Any) -> Any:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only who names a zone needs it

    try:
        return ZoneInfo(str(value)).key
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError is one
        text = "unknown time zone `{name}`; write for instance `Europe/Berlin`"
        raise PydanticCustomError("CFG198", text, {"name": str(value)[:40]}) from None


Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=str)]
"""Milliseconds, written ``500ms``, ``2s``, ``5m``, ``4h``, ``3d``."""
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str)]
"""Bytes, written ``64kB``, ``16MB``, ``2GB`` (decimal units)."""
FieldPath = Annotated[str, BeforeValidator(_field_path)]
"""Names with points between, the place of a field in a body: ``creditor.account.iban``."""
Zone = Annotated[str, BeforeValidator(_zone)]
"""Name of a time zone in the IANA database: ``Europe/Berlin``."""
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


SecretRef = Secret

# ---------------------------------------------------------------- endpoints


class PollSpec(Spec):
    """When a source looks: every so often, or by cron (five fields)."""

    every: Duration = 5_000
    """How long from one look to the next."""
    cron: str = ""
    """Instead: minute, hour, day of month, month, day of week; on the clock of ``zone``."""
    zone: Zone = "UTC"
    """Time zone of ``cron``, such as ``Europe/Berlin``. An hour that summer time leaves out is made up for at its end,
    one that comes twice counts once."""

    @model_validator(mode="after")
    def _cron_parses(self) -> PollSpec:
        if "zone" in self.model_fields_set and not self.cron:
            raise PydanticCustomError("CFG114", "`zone` is for `cron`; write `cron` too, or remove it")
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


def plug_in(kind: Kind) -> Callable[[Any, ValidationInfo], Any]:
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


class Slot:
    """Marker of a plug-in place, so that the published JSON Schema can offer the plug-ins' own schemas there."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # No `$ref`: pydantic would look for its target while it makes the schema; bus.config puts the reference in.
        return {PLUG_IN_SLOT: self.kind}


AnyStep = Annotated[Any, BeforeValidator(plug_in("step")), Slot("step")]
"""One step: a mapping with one key, its pattern."""
AnyFormat = Annotated[Any, BeforeValidator(plug_in("format")), Slot("format")]
"""One data format: ``{csv: {…}}`` or a bare name."""
AnyEndpoint = Annotated[Any, BeforeValidator(plug_in("endpoint")), Slot("endpoint")]
"""One endpoint: ``{sftp: {…}}``."""
AnyConnection = Annotated[Any, BeforeValidator(plug_in("connection")), Slot("connection")]
"""One connection: ``{sftp: {…}}``."""


class Flow(Spec):
    """Steps with a way out: a branch of a router or recipient list."""

    steps: tuple[AnyStep, ...] = ()
    """What is done in this branch; without ``to`` the message then goes on with the step after the container."""
    to: str = ""
    """Outlet or channel at the end of the branch; ``none`` ends the message here on purpose."""
