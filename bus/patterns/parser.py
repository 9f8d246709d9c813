"""Reading a document: the Message Translator at the entrance, from bytes to plain data."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import model_validator

from bus import AnyFormat, Blob, BlobStore, Effect, Message, Rejected, Size, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class ParserSpec(StepSpec):
    """Reads the body, a file or the bytes of a message, as a data format (EIP Message Translator).

    ```yaml
    - parse: {csv: {delimiter: ";"}}
    - split: {each: rows}
    ```

    A format without options can be named alone: `- parse: json`. What a document says of itself before its records
    (message id, account, header record) becomes the property ``document`` of the message where a split follows.

    Delivery: where a split follows, nothing but the head is read here and the split streams the records, so the file
    may be of any size; steps between the two see no fields. Otherwise the whole document becomes the body and has to
    fit ``whole_up_to``. A file that is not of the format is rejected as a whole.
    """

    key = "parse"
    shorthand = "format"

    format: AnyFormat
    """The data format; its name can stand directly under ``parse``."""
    whole_up_to: Size = 64_000_000
    """Largest document that is taken as one body."""

    @model_validator(mode="before")
    @classmethod
    def _name_of_the_format_stands_alone(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "format" in value:
            return value
        chosen = {key: options for key, options in value.items() if key not in cls.model_fields}
        rest = {key: options for key, options in value.items() if key in cls.model_fields}
        return {**rest, "format": chosen} if chosen else value

    def build(self, resources: StepResources) -> Step:
        """The step that makes the whole document the body; for a parser with no split behind it."""
        form = resources.format(self.format)
        blobs, most = resources.blobs, self.whole_up_to

        def step(message: Message) -> Iterable[Message | Effect]:
            with _opened(message, blobs) as source:
                size = message.body.size if isinstance(message.body, Blob) else len(message.body)
                if size > most:
                    raise Rejected(
                        "VAL506",
                        f"the document has {size} bytes, more than {most} are not read at once",
                        hint="put a `split` directly behind `parse`, or raise `whole_up_to`",
                    )
                body = form.read(source).whole()
            return (message.with_body(body, content_type="application/json"),)

        return step

    def build_head(self, resources: StepResources) -> Step:
        """The step for a parser with a split behind it: leaves the body alone, adds the property ``document``."""
        form = resources.format(self.format)
        blobs = resources.blobs

        def step(message: Message) -> Iterable[Message | Effect]:
            with _opened(message, blobs) as source:
                head = form.read(source).head
            return (message.with_properties(document=head),)

        return step


def _opened(message: Message, blobs: BlobStore) -> BinaryIO:
    body = message.body
    if isinstance(body, bytes):
        return BytesIO(body)
    if isinstance(body, Blob):
        return blobs.open(body)
    raise Rejected("VAL503", "`parse` reads bytes, the body is plain data already", hint="leave out this `parse`")
