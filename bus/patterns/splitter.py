"""EIP Splitter."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bus import (
    Blob,
    BlobStore,
    ExpressionText,
    Format,
    FormatSpec,
    Group,
    Message,
    Part,
    Rejected,
    StepResources,
    StepSpec,
    business_keys,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Keys = tuple[tuple[str, str], ...]


class SplitterSpec(StepSpec):
    """Makes one message of each record of a document or of each item of a list (EIP Splitter).

    ```yaml
    - parse: {csv: {delimiter: ";"}}
    - split:
        each: rows
        keys: {payment: payment_id, invoice: invoice}
    ```

    Behind `parse`, ``each`` names the records of the format (``rows``, ``payments``, ``statuses``, ``entries`` …).
    Anywhere else it is an expression for a list in the body, such as ``each: lines``.

    Delivery: the unit of work ends here. Records are streamed and stored in chunks that nobody sees until the whole
    document has been read; only then the batch opens. A document whose control totals are wrong leaves nothing behind
    and is rejected whole. A bad record is rejected alone, with its place. The id of a record's message is made from
    the document's and its index, so reading again makes the same ones.
    """

    key = "split"
    shorthand = "each"
    boundary = "split"

    each: ExpressionText = ""
    """Records of the format, or an expression for a list; empty = the format's usual records, or the body itself."""
    keys: dict[str, ExpressionText] = Field(default_factory=dict)
    """Business keys of each new message: name -> expression over its body; for ``bus find`` and ``bus trace``."""

    def build_split(self, resources: StepResources, parser_format: FormatSpec | None) -> Split:
        """What the engine runs; ``parser_format`` is the format of the ``parse`` somewhere before, if there is one."""
        return Split(
            resources.format(parser_format) if parser_format is not None else None,
            self.each or (parser_format.each_default if parser_format is not None else ""),
            resources.expression(self.each or "@"),
            tuple((name, resources.expression(text)) for name, text in self.keys.items()),
            resources.blobs,
        )


@dataclass(frozen=True, slots=True)
class Split:
    """A splitter at work; both methods are pure but for reading the blob."""

    form: Format | None
    each: str
    items: Callable[[Any], Any]
    keys: tuple[tuple[str, Callable[[Any], Any]], ...]
    blobs: BlobStore

    def expand(self, message: Message) -> Iterator[Part]:
        """Stream the records; the same message gives the same parts in the same order.

        Raises:
            Rejected: the document is refused as a whole, perhaps only at its end.
        """
        body = message.body
        if isinstance(body, bytes | Blob):
            if self.form is None:
                raise Rejected("VAL508", "`split` cannot read bytes", hint="put `parse` before `split`")
            with BytesIO(body) if isinstance(body, bytes) else self.blobs.open(body) as source:
                yield from self.form.read(source).parts(self.each)
            return
        if isinstance(body, Group):
            raise Rejected("VAL508", "the group of an aggregate cannot be split", hint="write it: `translate: {to: …}`")
        found = self.items(body)
        if not isinstance(found, list):
            raise Rejected(
                "VAL507",
                f"`{self.each or '@'}` gives no list",
                hint="name a list; where it may be missing write `field || `[]``",
            )
        for index, item in enumerate(found):
            yield Part(item, f"{self.each}[{index}]")

    def child_keys(self, body: Any) -> Keys:
        """Business keys of a part."""
        return business_keys(self.keys, body)
