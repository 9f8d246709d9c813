"""EIP Message Translator."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bus import (
    AnyFormat,
    Blob,
    BlobStore,
    Effect,
    FileConverter,
    Format,
    Group,
    Message,
    Refuse,
    Rejected,
    Step,
    StepResources,
    StepSpec,
    WriteContext,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

_MOST_FINDINGS = 100
_INLINE = 65_536
"""Bytes up to which a written document stays in the message instead of becoming a blob."""


class TranslatorSpec(StepSpec):
    """Turns the body into another shape by a mapping, or writes it as a data format or a text (EIP Message Translator).

    ```yaml
    - translate: {mapping: erp-payment-to-canonical}
    - aggregate: {by: [debtor.account.iban, execution_date], complete: {batch: true}}
    - translate: {to: pain.001.001.09, profile: sepa-sct}
    ```

    A file of one version of an ISO 20022 message becomes another version in one step, with no `parse` before it:

    ```yaml
    - translate: {from: pain.001.001.03, to: pain.001.001.09}
    ```

    ``mapping`` works on one message at a time, before an aggregate. ``to`` writes a document: of all members of an
    aggregate in their order, of all items of a list, or of one object. ``template`` makes a text, in which ``body`` is
    the body, ``items`` the members of an aggregate or list, and ``message`` has ``id``, ``created`` and ``properties``.

    Delivery: a mapping is a pure function. What ``to`` writes goes through a stream into the blob store, so the number
    of members does not matter for memory; identifiers in the document are made from the message's id, and a re-run
    writes the same bytes. A document that would not be valid is rejected, nothing of it leaves. Payments, direct debits
    and cancellations of an aggregate that cannot be written are refused one by one, by the canonical shape, the profile
    or the XML Schema; the others are written, with counts and sums of their own. What is wrong with the document (its
    size, its number of payments, what all members share) refuses the whole group. A template is rendered
    in a process of its own: one that costs more than ``templates:`` in bus.yaml allows rejects its message alone.
    """

    key = "translate"
    shorthand = "mapping"

    mapping: str = ""
    """Name of a mapping file."""
    reverse: bool = False
    """Use the mapping from its target back to its source."""
    profile: str = ""
    """Rule book of a bank or scheme, for formats that have one."""
    from_: str = Field("", alias="from")
    """What the body is, for formats that write from more than one thing: for ISO 20022 ``json``, or the message whose
    file is converted, such as ``pain.001.001.03``."""
    to: AnyFormat | None = None
    """Format to write."""
    template: str = ""
    """Name of a template file, ``NAME.template.j2``, that makes a text; its ending may be left out."""
    encoding: str = Field(default="utf-8", pattern=r"^[A-Za-z0-9._-]{1,40}$")
    """How the characters of that text become bytes."""

    @field_validator("to")
    @classmethod
    def _options_of_the_format(cls, to: Any, info: ValidationInfo) -> Any:
        given = {name: info.data[name] for name in ("profile", "from_") if info.data.get(name)}
        if not given or to is None:
            return to
        for name in given:
            if name not in type(to).model_fields:
                what = "has no profiles" if name == "profile" else "is written from one thing only"
                raise PydanticCustomError("CFG502", "the format `{key}` {what}", {"key": type(to).key, "what": what})
        options = {name: getattr(to, name) for name in to.model_fields_set}
        return type(to).model_validate({**options, **given}, context=info.context)

    @field_validator("template")
    @classmethod
    def _without_ending(cls, name: str) -> str:
        return name.removesuffix(".j2").removesuffix(".template")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise PydanticCustomError("TPL106", "there is no encoding `{name}`", {"name": encoding}) from None
        return encoding

    @model_validator(mode="after")
    def _one_target(self) -> TranslatorSpec:
        if [bool(self.mapping), self.to is not None, bool(self.template)].count(True) != 1:
            raise PydanticCustomError("CFG501", "write one of `mapping: NAME`, `to: FORMAT` and `template: NAME`")
        if (self.profile or self.from_) and self.to is None:
            name = "profile" if self.profile else "from"
            raise PydanticCustomError(
                "CFG502", "`{name}` belongs to a format: write `to: FORMAT` with it", {"name": name}
            )
        if self.reverse and not self.mapping:
            raise PydanticCustomError("CFG501", "`reverse` belongs to a mapping: write `mapping: NAME` with it")
        return self

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        if self.to is not None:
            return _writing(self.to, resources)
        if self.template:
            return _templating(self.template, self.encoding, resources)
        return _mapping(resources.mapping(self.mapping, reverse=self.reverse))


def _mapping(convert: Callable[[Any], Any]) -> Step:
    def step(message: Message) -> Iterable[Message | Effect]:
        body = message.body
        if type(body) is not dict:
            _refuse_unless_plain(body)
        return (message.with_body(convert(body), content_type="application/json"),)

    return step


def _refuse_unless_plain(body: Any) -> None:
    if isinstance(body, bytes | Blob):
        raise Rejected("VAL504", "a mapping needs plain data, the body is bytes", hint="put `parse` before")
    if isinstance(body, Group):
        raise Rejected("VAL505", "a mapping takes one message, not a group", hint="map before `aggregate`")


def _writing(to: Any, resources: StepResources) -> Step:
    form = resources.format(to)
    blobs, reader = resources.blobs, resources.reader

    def step(message: Message) -> Iterable[Message | Effect]:
        body = message.body
        parts: Iterable[Any]
        if isinstance(body, bytes | Blob) and isinstance(form, FileConverter):
            return (_converted(message, form, blobs),)
        if isinstance(body, Group):
            return _group_written(message, form, blobs, lambda: reader.members(body))
        if isinstance(body, list):
            parts = body
        elif isinstance(body, dict):
            parts = (body,)
        else:
            raise Rejected("VAL504", "only plain data can be written as a format", hint="put `parse` before")
        if isinstance(body, dict):
            buffer = BytesIO()
            form.write(parts, buffer, _context(message))
            return (message.with_body(_kept(buffer, blobs), content_type=form.content_type),)
        return (_written(message, form, blobs, parts),)

    return step


def _context(message: Message) -> WriteContext:
    return WriteContext(message.headers.id, message.headers.created_at, message.properties)


def _written(message: Message, form: Format, blobs: BlobStore, parts: Iterable[Any]) -> Message:
    with blobs.create() as target:
        form.write(parts, target, _context(message))  # type: ignore[arg-type]  # writers only ever call write()
    return message.with_body(target.blob, content_type=form.content_type)


def _group_written(
    message: Message, form: Format, blobs: BlobStore, members: Callable[[], Iterator[Message]]
) -> Iterable[Message | Effect]:
    """The file of a group's members; those that the writer cannot write are refused one by one, the others go on."""
    refused: dict[int, Rejected] = {}
    while True:
        kept = [n for n in range(message.body.count) if n not in refused] if refused else None
        if kept == []:
            written: tuple[Message, ...] = ()  # nothing is left to write
            break
        try:
            written = (_written(message, form, blobs, _bodies(_without(members(), refused))),)
            break
        except Rejected as error:
            if not error.records:
                raise
            refused |= {n if kept is None else kept[n]: of_one for n, of_one in error.records}
    refusals = (Refuse(member, refused[n]) for n, member in enumerate(members()) if n in refused)
    return (*written, *refusals) if refused else written


def _without(members: Iterator[Message], refused: Container[int]) -> Iterator[Message]:
    return (member for n, member in enumerate(members) if n not in refused)


def _templating(name: str, encoding: str, resources: StepResources) -> Step:
    template, blobs, reader = resources.template(name), resources.blobs, resources.reader
    content_type = f"{template.media_type}; charset={encoding}"

    def step(message: Message) -> Iterable[Message | Effect]:
        body, headers = message.body, message.headers
        if isinstance(body, bytes | Blob):
            raise Rejected("VAL504", "a template needs plain data, the body is bytes", hint="put `parse` before")
        created = datetime.fromtimestamp(headers.created_at / 1000, UTC).isoformat(timespec="seconds")
        values: dict[str, Any] = {"message": {"id": headers.id, "created": created, "properties": message.properties}}
        if isinstance(body, Group):
            values["items"] = list(_bodies(reader.members(body)))
        else:
            values["body"] = body
            if isinstance(body, list):
                values["items"] = body
        try:
            data = template.render(values).encode(encoding)
        except UnicodeEncodeError:
            why = f"template {name}: the text has characters that {encoding} does not have"
            raise Rejected("TPL129", why, hint="bring them into its character set in the mapping before") from None
        return (message.with_body(_kept(BytesIO(data), blobs), content_type=content_type),)

    return step


def _converted(message: Message, form: FileConverter, blobs: BlobStore) -> Message:
    """The file of another version; what could not be carried becomes the property ``findings``."""
    body = message.body
    with BytesIO(body) if isinstance(body, bytes) else blobs.open(body) as source, blobs.create() as target:
        findings = form.convert(source, target)  # type: ignore[arg-type]  # writers only ever call write()
    made = message.with_body(target.blob, content_type=form.content_type)
    if not findings:
        return made
    told = [{"code": f.code, "place": f.place, "message": f.message} for f in findings[:_MOST_FINDINGS]]
    return made.with_properties(findings=told)


def _bodies(members: Iterator[Message]) -> Iterator[Any]:
    for member in members:
        yield member.body


def _kept(buffer: BytesIO, blobs: BlobStore) -> bytes | Blob:
    """One object is small as a rule: it travels in the message, which saves two flushes to disk."""
    data = buffer.getvalue()
    if len(data) <= _INLINE:
        return data
    with blobs.create() as target:
        target.write(data)
    return target.blob
