"""EIP Claim Check."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError

from bus import Blob, BlobStore, Effect, Group, Message, Rejected, Step, StepResources, StepSpec, get_field, with_field

if TYPE_CHECKING:
    from collections.abc import Iterable

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_PLAIN = "application/json"


class ClaimCheckSpec(StepSpec):
    """Puts a big part of the body into the blob store, leaves a ticket, and fetches it back later (EIP Claim Check).

    ```yaml
    - claim_check: {store: invoice.attachments}
    - enrich: {table: cost-centres, key: supplier, into: cost_centre}
    - claim_check: {fetch: invoice.attachments}
    ```

    ``store: ""`` stands for the whole body. The ticket is ``{claim: {sha256, size, …}}``.

    Delivery: the content is on disk before the message with the ticket is committed. It is stored under its own
    digest, so storing it again makes no second copy and a ticket can never fetch anything but what was stored.
    """

    key = "claim_check"

    store: str | None = None
    """Path of what is put away; empty = the whole body."""
    fetch: str | None = None
    """Path of the ticket to be exchanged; empty = the whole body."""

    @field_validator("store", "fetch")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", value):
            raise PydanticCustomError("CFG507", "not a path; write names with points between, such as `invoice.scan`")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> ClaimCheckSpec:
        if (self.store is None) == (self.fetch is None):
            raise PydanticCustomError("CFG506", "write either `store: PATH` or `fetch: PATH`")
        return self

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        text = self.store if self.store is not None else self.fetch
        path = tuple(text.split(".")) if text else ()
        blobs = resources.blobs
        if self.store is not None:
            return _storing(path, blobs)
        return _fetching(path, blobs)


def _storing(path: tuple[str, ...], blobs: BlobStore) -> Step:
    def step(message: Message) -> Iterable[Message | Effect]:
        value = get_field(message.body, path)
        if value is None:
            return (message,)
        if isinstance(value, Group):
            raise Rejected("VAL505", "an aggregate's group cannot be put away", hint="write it first: `translate`")
        if isinstance(value, Blob):
            kind, blob = "blob", value
        else:
            kind = "bytes" if isinstance(value, bytes) else "plain"
            with blobs.create() as target:
                target.write(value if isinstance(value, bytes) else _encode(value))
            blob = target.blob
        claim = {"sha256": blob.sha256, "size": blob.size, "kind": kind}
        if not path:
            claim["content_type"] = message.headers.content_type
        return (message.with_body(with_field(message.body, path, {"claim": claim}), content_type=_PLAIN),)

    return step


def _fetching(path: tuple[str, ...], blobs: BlobStore) -> Step:
    def step(message: Message) -> Iterable[Message | Effect]:
        ticket = get_field(message.body, path)
        if ticket is None and path:
            return (message,)  # what was not there could not be put away
        claim = _checked(ticket)
        blob = Blob(claim["sha256"], claim["size"])
        value: Any = blob
        if claim["kind"] != "blob":
            with blobs.open(blob) as source:
                value = source.read()
            if claim["kind"] == "plain":
                value = _decode(value)
        content_type = None if path else str(claim.get("content_type", _PLAIN))
        return (message.with_body(with_field(message.body, path, value), content_type=content_type),)

    return step


def _checked(ticket: Any) -> dict[str, Any]:
    """The claim of a ticket. A ticket is data that may come from outside: nothing in it is believed."""
    claim = ticket.get("claim") if isinstance(ticket, dict) else None
    if (
        isinstance(claim, dict)
        and isinstance(claim.get("sha256"), str)
        and re.fullmatch(r"[0-9a-f]{64}", claim["sha256"])
        and isinstance(claim.get("size"), int)
        and claim.get("kind") in ("plain", "bytes", "blob")
    ):
        return claim
    raise Rejected("VAL522", "there is no claim check to fetch from", hint="`store` and `fetch` need the same path")
