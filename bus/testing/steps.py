"""A bench for one step: everything a step may ask for, in memory, so that a pattern can be tried without an engine."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import TypeAdapter

from bus.errors import Finding, Rejected, Retryable
from bus.message import Blob, Effect, Group, Headers, Message, Progress, Register, Remember, edge_id
from bus.spec import AnyStep, FormatSpec, Kind, PlugInSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bus.ports import Format, RuleBook, Step, TextTemplate

_STEP: TypeAdapter[Any] = TypeAdapter(AnyStep)


class BenchClock:
    """A clock that a test owns."""

    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> int:
        """Milliseconds since 1970 UTC."""
        return self.time

    def pass_by(self, milliseconds: int) -> None:
        """Let time pass."""
        self.time += milliseconds


class BenchBlob:
    """A blob being written in memory."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes, /) -> int:
        """Append."""
        self._data += data
        return len(data)

    def writelines(self, lines: Iterable[bytes], /) -> None:
        """Append all."""
        for line in lines:
            self.write(line)

    @property
    def data(self) -> bytes:
        """All that was written."""
        return bytes(self._data)

    @property
    def blob(self) -> Blob:
        """The reference."""
        return Blob(hashlib.sha256(self._data).hexdigest(), len(self._data))


class BenchBlobs:
    """A blob store in memory; like the real one it keeps nothing of a blob whose block failed."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.open_streams: list[BinaryIO] = []
        """Everything handed out, so that a test can ask whether a step closed it."""

    @contextmanager
    def create(self) -> Iterator[BenchBlob]:
        """A new blob."""
        writer = BenchBlob()
        yield writer
        self.stored[writer.blob.sha256] = writer.data

    def open(self, blob: Blob) -> BinaryIO:
        """Read."""
        if len(self.stored.get(blob.sha256, b"")) != blob.size or blob.sha256 not in self.stored:
            raise Rejected("INT102", "a blob is missing or damaged")
        stream = BytesIO(self.stored[blob.sha256])
        self.open_streams.append(stream)
        return stream

    def put(self, data: bytes) -> Blob:
        """Store content at once."""
        with self.create() as writer:
            writer.write(data)
        return writer.blob


class BenchReader:
    """Committed state in memory; :meth:`StepBench.settle` writes to it."""

    def __init__(self, clock: BenchClock) -> None:
        self._clock = clock
        self.remembered: dict[tuple[str, str], tuple[str, int]] = {}
        self.groups: dict[int, list[Message]] = {}
        self.registered: list[dict[str, Any]] = []

    def members(self, group: Group) -> Iterator[Message]:
        """Members of a group that :meth:`StepBench.group` made."""
        yield from self.groups[group.number]

    def recall(self, scope: str, key: str) -> str | None:
        """Value remembered and not expired."""
        value, until = self.remembered.get((scope, key), ("", -1))
        return value if until == 0 or until > self._clock.now() else None

    def instructions(self, where: dict[str, str]) -> list[dict[str, Any]]:
        """Registered instructions that match all fields given with a value; none when no field is given."""
        asked = {name: value for name, value in where.items() if value}
        if not asked:
            return []
        return [dict(row) for row in self.registered if all(row[name] == value for name, value in asked.items())]


class BenchCatalogue:
    """The catalogue of all steps, with the formats that a test brings, or all real ones."""

    def __init__(self, formats: Iterable[type[FormatSpec]] | None = None) -> None:
        from bus.registry import Registry  # noqa: PLC0415 - a bench may be imported where no plug-in is wanted

        self._all = Registry()
        self._formats = None if formats is None else {spec.key: spec for spec in formats}

    def spec(self, kind: Kind, key: str) -> type[PlugInSpec]:
        """As :class:`bus.spec.Catalogue`."""
        if kind == "format" and self._formats is not None:
            if key not in self._formats:
                raise KeyError(sorted(self._formats))
            return self._formats[key]
        return self._all.spec(kind, key)

    def keys(self, kind: Kind) -> list[str]:
        """As :class:`bus.spec.Catalogue`."""
        return sorted(self._formats) if kind == "format" and self._formats is not None else self._all.keys(kind)


class StepBench:
    """What a step gets handed (:class:`bus.ports.StepResources`), in memory.

    ::

        bench = StepBench(tables={"banks": {"DE": "bank-north"}})
        step = bench.build({"enrich": {"table": "banks", "key": "country", "into": "bank"}})
        (message,) = bench.run(step, {"country": "DE"})
        assert message.body["bank"] == "bank-north"

    Args:
        tables: value tables by name.
        mappings: mappings by name.
        templates: templates by name.
        models: checks of canonical models by name.
        formats: format specs to know in the place of the real ones.
        now: time in milliseconds since 1970 UTC.
    """

    route = "bench"
    step = "step"
    answer_within = 0

    def __init__(
        self,
        *,
        tables: dict[str, dict[str, Any]] | None = None,
        mappings: dict[str, Callable[[Any], Any]] | None = None,
        templates: dict[str, TextTemplate] | None = None,
        models: dict[str, Callable[[Any], tuple[Finding, ...]]] | None = None,
        formats: Iterable[type[FormatSpec]] | None = None,
        now: int = 1_780_000_000_000,
    ) -> None:
        self.tables = tables or {}
        self.mappings = mappings or {}
        self.templates = templates or {}
        self.models = models or {}
        self.profiles: dict[str, RuleBook] = {}
        """Profiles by name, beside those that are shipped."""
        self.catalogue = BenchCatalogue(formats)
        self.clock = BenchClock(now)
        self.blobs = BenchBlobs()
        self.reader = BenchReader(self.clock)
        self._messages = 0

    # ---- what a step asks for

    def expression(self, text: str) -> Callable[[Any], Any]:
        """Compile an expression with the bench's tables."""
        from bus.expressions import compile_expression  # noqa: PLC0415 - loads the parser

        return compile_expression(text, tables=self.tables, clock=self.clock)

    def mapping(self, name: str, *, reverse: bool = False) -> Callable[[Any], Any]:
        """A mapping of the bench; its reverse is the one called ``NAME reversed``."""
        return self.mappings[f"{name} reversed" if reverse else name]

    def template(self, name: str) -> TextTemplate:
        """A template of the bench."""
        return self.templates[name]

    def format(self, spec: Any) -> Format:
        """Build a format."""
        built: Format = spec.build(self)
        return built

    def table(self, name: str) -> dict[str, Any]:
        """A table of the bench."""
        return self.tables[name]

    def profile(self, name: str) -> RuleBook:
        """A profile of the bench, or a shipped one."""
        from bus.registry import profile_support  # noqa: PLC0415 - as above

        if name in self.profiles:
            return self.profiles[name]
        found: RuleBook = profile_support().Profiles().get(name)
        return found

    def model(self, name: str) -> Callable[[Any], tuple[Finding, ...]]:
        """A model's check of the bench."""
        return self.models[name]

    # ---- what a test does

    def spec(self, written: dict[str, Any] | str) -> Any:
        """The spec of a step as it stands in YAML: ``{"filter": "amount.value > 0"}``."""
        return _STEP.validate_python(written, context={"catalogue": self.catalogue})

    def build(self, written: dict[str, Any] | str) -> Step:
        """The step itself."""
        resources: Any = self
        step: Step = self.spec(written).build(resources)
        return step

    def message(self, body: Any = None, *, properties: dict[str, Any] | None = None, **headers: Any) -> Message:
        """A message with an id of its own; it is its own arrival unless a ``correlation_id`` is given."""
        self._messages += 1
        identity = edge_id("bench", str(self._messages))
        known = {
            "id": identity,
            "correlation_id": headers.get("id", identity),
            "created_at": self.clock.now(),
            **headers,
        }
        return Message(Headers(**known), body, properties or {})

    def group(self, bodies: Iterable[Any]) -> Message:
        """The message that stands for a released aggregate with these members."""
        number = len(self.reader.groups) + 1
        members = [self.message(body) for body in bodies]
        self.reader.groups[number] = members
        return self.message(Group(number, len(members)))

    def run(self, step: Step, given: Any) -> list[Message | Effect]:
        """What a step makes of a message, or of a body; nothing of it is committed."""
        return list(step(given if isinstance(given, Message) else self.message(given)))

    def settle(self, effects: Iterable[Message | Effect]) -> None:
        """Commit what a step wishes to have remembered, registered or moved forward.

        Raises:
            Retryable: ``SYS121`` when a different value was remembered under the same key meanwhile, or a payment
                moved.
        """
        for effect in effects:
            if isinstance(effect, Remember):
                self._remember(effect)
            elif isinstance(effect, Register):
                self._register(effect)
            elif isinstance(effect, Progress):
                row = next(row for row in self.reader.registered if row["id"] == effect.instruction)
                if effect.seen not in (None, row["status"]):
                    raise Retryable("SYS121", "another unit moved the same payment first")
                row.update(status=effect.status, reason=effect.reason)

    def _remember(self, effect: Remember) -> None:
        there = self.reader.recall(effect.scope, effect.key) or ""
        expected = (effect.seen,) if effect.replace else ("", effect.value)
        if expected != (None,) and there not in expected:
            raise Retryable("SYS121", "another unit remembered the same key first")
        self.reader.remembered[effect.scope, effect.key] = (effect.value, effect.until)

    def _register(self, effect: Register) -> None:
        for row in effect.rows:
            number = len(self.reader.registered) + 1
            amount = f"{row['amount']:f}"  # as the ledger gives it back
            kept = {**row, "id": number, "amount": amount, "status": "", "reason": "", "number": number}
            self.reader.registered.append({**kept, "correlation": f"{number:032x}", "route": self.route})
