"""Messages and what a step may want done with them: frozen values, no behaviour, no live objects.

A body is plain data (``dict``, ``list``, ``str``, ``int``, ``Decimal``, ``bool``, ``None``), ``bytes``, a :class:`Blob`
(content too big for memory) or a :class:`Group` (the members an aggregator collected). Dates are ISO 8601 strings,
amounts ``{"value": Decimal, "currency": "EUR"}``. Nobody changes a body in place: steps make new ones. Plain data holds
no circles, so the garbage collector need not follow messages (``gc=False``).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from struct import Struct
from typing import Any

import msgspec

from bus.errors import BusError, Rejected

ENVELOPE_VERSION = 1


class Sequence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """EIP Message Sequence: this message is part ``index`` (from 0) of the batch with ledger number ``batch``.

    ``reported`` is true once the batch knows this child's outcome; what happens later belongs to a late group.
    """

    batch: int
    index: int
    reported: bool = False


class Headers(msgspec.Struct, frozen=True, array_like=True, omit_defaults=False, gc=False):
    """What the bus itself knows of a message. Nothing that comes from outside can set these.

    Attributes:
        id: 32 hex characters, made at the edge, unchanged on the way; effects are keyed by it.
        correlation_id: id of the arrival this message descends from.
        number: the ledger's own running number of the message, 0 before it is stored.
        parent_id: id of the message this one was split, copied or aggregated from.
        version: ledger number of the route version the message is pinned to, 0 outside a route.
        name: file name or partner's message id under which it arrived.
        content_type: media type of a bytes or blob body.
        created_at: milliseconds since 1970 UTC, set once at the first commit of the unit that made the message.
        expires_at: milliseconds since 1970 UTC, 0 = never (EIP Message Expiration).
        reply_to: EIP Return Address, a channel name.
        sequence: EIP Message Sequence, None outside a batch.
        keys: business keys as (name, value) pairs, indexed in the ledger.
        attempt: how often the present unit has been tried and failed.
        place: where in its source document a split part stood (``line 17``).
        worth: (currency, exact value) of the message once known; every later step must keep it.
        copy: true for wire-tap copies and recipients after the first; not counted in money conservation.
        leg: names one sending to one channel, for channels that may hand out two copies of it; empty in others.
    """

    id: str
    correlation_id: str
    number: int = 0
    parent_id: str = ""
    version: int = 0
    name: str = ""
    content_type: str = "application/json"
    created_at: int = 0
    expires_at: int = 0
    reply_to: str = ""
    sequence: Sequence | None = None
    keys: tuple[tuple[str, str], ...] = ()
    attempt: int = 0
    place: str = ""
    copy: bool = False
    worth: tuple[str, Decimal] | None = None
    leg: str = ""


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """Reference to content in the blob store: sha256 (64 hex), size in bytes. EIP Claim Check's ticket."""

    sha256: str
    size: int


class Group(msgspec.Struct, frozen=True, array_like=True):
    """Reference to the members of a released aggregate: ledger number of the group, how many, what key."""

    number: int
    count: int
    key: tuple[Any, ...] = ()


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """EIP Message: ``headers`` for the bus, ``properties`` for the user (plain data), ``body``."""

    headers: Headers
    body: Any = None
    properties: dict[str, Any] = {}

    def with_body(self, body: Any, *, content_type: str | None = None) -> Message:
        """The same message (same id) with another body, as a translator returns it."""
        headers = self.headers
        if content_type is None or content_type == headers.content_type:
            return Message(headers, body, self.properties)
        return Message(msgspec.structs.replace(headers, content_type=content_type), body, self.properties)

    def told(self) -> Message:
        """The same message with its batch informed of it: later outcomes belong to a late group."""
        sequence = self.headers.sequence
        if sequence is None or sequence.reported:
            return self
        return self.with_headers(sequence=msgspec.structs.replace(sequence, reported=True))

    def with_properties(self, **properties: Any) -> Message:
        """The same message with further user properties."""
        return Message(self.headers, self.body, {**self.properties, **properties})

    def with_headers(self, **changes: Any) -> Message:
        """The same message with some headers changed; for the engine and the patterns only."""
        return Message(msgspec.structs.replace(self.headers, **changes), self.body, self.properties)

    def copied(self, route: str, step: str, index: int) -> Message:
        """A copy for a further receiver: deterministic id of its own, not counted as money a second time.

        It keeps the place in the batch, so that it joins the same group as its fellows, but it never reports to it.
        """
        headers = self.headers
        identity = child_id(headers.id, route, step, index)
        changed = msgspec.structs.replace(headers, id=identity, parent_id=headers.id, number=0, attempt=0, copy=True)
        return Message(changed, self.body, self.properties)


class Send(msgspec.Struct, frozen=True, gc=False):
    """A step's wish: put ``message`` on ``channel`` when the unit commits."""

    channel: str
    message: Message


class Branch(msgspec.Struct, frozen=True, gc=False):
    """A container step's wish: let ``message`` run through its branch ``label`` (a key of ``StepSpec.flows()``)."""

    label: str
    message: Message


class Hold(msgspec.Struct, frozen=True):
    """A step's wish: keep ``message`` until someone releases it, ``until`` (ms) comes, or never (0).

    With a ``code`` a case opens for the route's owner; a delay (``until`` set, no ``code``) is silent.
    The message goes on with the step after the one that held it, in its pinned version.
    """

    message: Message
    code: str = ""
    reason: str = ""
    until: int = 0
    when: str = ""
    """Predicate text that releases the message when it turns true at a later look (``hold: {until: …}``)."""


class Join(msgspec.Struct, frozen=True):
    """A step's wish: make ``message`` a member of the aggregate ``key`` of step ``step``."""

    step: str
    key: tuple[Any, ...]
    message: Message
    order: tuple[Any, ...] = ()
    """Sort key of the member inside its group; empty = arrival order."""
    complete: bool = False
    """True when the completion predicate said that this member closes the group."""


class Register(msgspec.Struct, frozen=True):
    """A step's wish: remember outgoing instructions so that a later answer can be correlated.

    ``rows``: dicts with ``partner, message_id, payment_information_id, end_to_end_id, amount (Decimal), currency``.
    """

    rows: tuple[dict[str, Any], ...]
    answer_by: int = 0
    """Milliseconds since 1970 UTC by which the partner should have answered; 0 = not watched."""


class Progress(msgspec.Struct, frozen=True):
    """A step's wish: move the status of a registered instruction forward (rejection always wins)."""

    instruction: int
    status: str
    reason: str = ""
    seen: str | None = None
    """The status that the unit read; another one meanwhile is a conflict, and the unit runs again. None = not read."""


# ISO 20022 external payment status codes in the order in which banks give them; PDNG says nothing new.
_STATUSES = {"": 0, "RCVD": 1, "PDNG": 1, "ACTC": 2, "ACCP": 3, "ACWC": 4, "ACFC": 4, "ACSP": 5, "ACSC": 6, "ACCC": 6}
_ENDS = ("RJCT", "CANC")


def moves_forward(old: str, new: str) -> bool:
    """Whether a payment status may follow another: it only moves up; RJCT and CANC end it from anywhere, and stay."""
    if old in _ENDS:
        return False
    return new in _ENDS or _STATUSES.get(new, 0) > _STATUSES.get(old, 0)


class Converted(msgspec.Struct, frozen=True):
    """A step's word that it changed money on purpose: both legs, as (currency, value), go into the history."""

    before: tuple[str, Decimal]
    after: tuple[str, Decimal]
    rate: Decimal


class OpenCase(msgspec.Struct, frozen=True):
    """A step's wish: open a case for a person, once per ``fingerprint``."""

    code: str
    summary: str
    message: Message | None = None
    fingerprint: str = ""
    context: dict[str, Any] = {}


class Remember(msgspec.Struct, frozen=True):
    """A step's wish: remember ``value`` under (scope, key) until ``until`` (ms; 0 = for ever), with the unit's commit.

    When another unit remembered a different value there first, this unit fails as Retryable, and sees it next time.
    """

    scope: str
    key: str
    value: str
    until: int = 0
    replace: bool = False
    """True: the newest value wins, without conflict …"""
    seen: str | None = None
    """… but where this says what the unit read there (empty = nothing), another value meanwhile is a conflict again."""


class Resequence(msgspec.Struct, frozen=True):
    """A step's wish: pass ``message`` on in the order of ``number`` within ``key`` (EIP Resequencer).

    A gap is waited for until ``timeout`` (milliseconds), then skipped with a case.
    """

    step: str
    key: str
    number: int
    message: Message
    timeout: int
    first: int = 1


class Refuse(msgspec.Struct, frozen=True):
    """A step's wish: refuse ``message``, a member of the group that it was given; the group goes on without it."""

    message: Message
    error: Rejected


class Onward(msgspec.Struct, frozen=True):
    """A step's wish: go on in a channel of this route where messages of one key keep their order.

    ``line`` stands for the key, ``partition`` is the number of the channel, from 0, of so many ``partitions``.
    """

    message: Message
    line: str
    partition: int
    partitions: int


Effect = (
    Send | Branch | Hold | Join | Register | Progress | OpenCase | Remember | Resequence | Converted | Onward | Refuse
)


def child_id(parent_id: str, route: str, step: str, index: int | str) -> str:
    """Deterministic id of a derived message: uuid5(parent, route, step, index) as 32 hex characters (RFC 9562 §5.5)."""
    name = f"{route}\x1f{step}\x1f{index}".encode()
    raw = bytearray(hashlib.sha1(bytes.fromhex(parent_id) + name, usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()


def child_ids(parent_id: str, route: str, step: str) -> Callable[[int], str]:
    """:func:`child_id` for many children of one parent: what they have in common is hashed once."""
    begun = hashlib.sha1(bytes.fromhex(parent_id) + f"{route}\x1f{step}\x1f".encode(), usedforsecurity=False)

    def identity(index: int) -> str:
        digest = begun.copy()
        digest.update(b"%d" % index)
        raw = bytearray(digest.digest()[:16])
        raw[6] = raw[6] & 0x0F | 0x50
        raw[8] = raw[8] & 0x3F | 0x80
        return raw.hex()

    return identity


def edge_id(*parts: str) -> str:
    """Deterministic id of something that entered the bus, from endpoint, content hash and arrival number."""
    return child_id("6ba7b8119dad11d180b400c04fd430c8", "edge", "arrival", "\x1f".join(parts))


_LONGEST_KEY = 256


def key_text(*values: Any) -> str:
    """Plain-data values as one text to find them by: equal for equal values, however they were written (1.0 and 1.00).

    Several values are a JSON list, so that no value can be mistaken for two. Beyond 256 characters it is a digest.
    """
    texts = [_one_key(value) for value in values]
    text = texts[0] if len(texts) == 1 else msgspec.json.encode(texts).decode()
    if len(text) <= _LONGEST_KEY:
        return text
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def business_keys(found_by: Iterable[tuple[str, Callable[[Any], Any]]], body: Any) -> tuple[tuple[str, str], ...]:
    """(name, key) of a body; a key that cannot be told is left out, for a key must never stop a payment."""
    keys = []
    for name, expression in found_by:
        try:
            value = expression(body)
        except BusError:
            continue
        if type(value) is str and 0 < len(value) <= _LONGEST_KEY:
            keys.append((name, value))  # what most keys are
        elif value not in (None, "", [], {}):
            keys.append((name, key_text(value)))
    return tuple(keys)


def _one_key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal | int):
        return _number_key(value)
    return msgspec.json.encode(value, order="sorted").decode()


def _number_key(value: Decimal | int) -> str:
    if not value:
        return "0"
    if isinstance(value, Decimal) and not (value.is_finite() and abs(int(value.as_tuple().exponent)) <= _LONGEST_KEY):
        return str(value)  # written out, an exponent from outside could fill the memory
    # Not normalize(): that rounds to the precision of the thread's decimal context.
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def get_field(body: Any, path: tuple[str, ...]) -> Any:
    """The value under a path of names in a plain-data body; None where there is none."""
    for name in path:
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body


def with_field(body: Any, path: tuple[str, ...], value: Any) -> Any:
    """A body with the value under a path of names replaced; objects on the way are made where they are missing.

    Raises:
        Rejected: ``VAL520`` when the path leads through something that is no object.
    """
    if not path:
        return value
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise Rejected("VAL520", f"`{path[0]}` cannot be set in what is no object", hint="see the path of this step")
    return {**body, path[0]: with_field(body.get(path[0]), path[1:], value)}


_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_SIZE = 1 << 62


def blobs_of(message: Message) -> Iterator[Blob]:
    """Blobs of a message: its body, and what a claim check put away from inside it."""
    stack = [message.body, message.properties]
    while stack:
        value = stack.pop()
        if isinstance(value, Blob):
            yield value
        elif isinstance(value, dict):
            claim = value.get("claim")
            if isinstance(claim, dict) and _is_ticket(claim.get("sha256"), claim.get("size")):
                yield Blob(claim["sha256"], claim["size"])
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _is_ticket(digest: Any, size: Any) -> bool:
    """A body is data that may come from outside: what only looks like a ticket names no document."""
    return isinstance(digest, str) and bool(_DIGEST.fullmatch(digest)) and type(size) is int and 0 <= size < _MOST_SIZE


_PLAIN, _BYTES, _BLOB, _GROUP = 0, 1, 2, 3
_KINDS: dict[type, int] = {dict: _PLAIN, bytes: _BYTES, Blob: _BLOB, Group: _GROUP}
_BODIES: dict[int, type[Any]] = {_BYTES: bytes, _BLOB: Blob, _GROUP: Group}


class _Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The stored form: version, kind of body, message."""

    version: int
    kind: int
    message: Message


NULL_ID = "0" * 32
"""Id of what is left of a message whose stored form is damaged."""

_CHECKSUM = Struct(">cI")
_SEALED = b"\x01"
"""First byte of a message with a checksum: JSON does not begin so."""

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(_Envelope, float_hook=Decimal)


def encode(message: Message) -> bytes:
    """Store a message as versioned JSON; Decimals keep every digit."""
    body = message.body
    kind = _KINDS.get(type(body))
    if kind is None:
        kind = _BYTES if isinstance(body, bytes) else _PLAIN
    return _encoder.encode(_Envelope(ENVELOPE_VERSION, kind, message))


def sealed(message: Message) -> bytes:
    """As :func:`encode`, with a checksum before it: a database does not notice that a bit of it changed on the disk.

    The amount of a payment would still be a number. What goes to a broker needs none, it has its own.
    """
    raw = encode(message)
    return _CHECKSUM.pack(_SEALED, zlib.crc32(raw)) + raw


def settled(body: Any) -> Any:
    """A body that nobody looks into any more, as it will be stored: a fraction of the memory, and of the time later.

    Objects and lists become text that :func:`encode` takes over as it is; anything else is small, or no plain data.
    """
    return msgspec.Raw(_encoder.encode(body)) if type(body) is dict or type(body) is list else body


def decode(raw: bytes) -> Message:
    """Inverse of :func:`encode` and :func:`sealed`.

    Raises:
        Rejected: ``INT101`` when the envelope is damaged or of a version this program does not know.
    """
    if raw[:1] == _SEALED:
        seal, raw = raw[: _CHECKSUM.size], raw[_CHECKSUM.size :]
        if seal != _CHECKSUM.pack(_SEALED, zlib.crc32(raw)):
            raise Rejected("INT101", "a stored message is not what was stored", hint="restore the store from backup")
    try:
        envelope = _decoder.decode(raw)
        if envelope.version != ENVELOPE_VERSION:
            raise Rejected("INT101", f"envelope version {envelope.version} is not known here", hint="upgrade girobus")
        message = envelope.message
        if not envelope.kind:
            return message
        body = msgspec.convert(message.body, _BODIES[envelope.kind])
    except (msgspec.DecodeError, ArithmeticError, ValueError, KeyError, RecursionError) as error:
        raise Rejected("INT101", "a stored message cannot be decoded", hint="restore the store from backup") from error
    return Message(message.headers, body, message.properties)


def salvage(raw: bytes, sequence: Sequence | None = None) -> Message:
    """As :func:`decode`, but a damaged message comes back under :data:`NULL_ID` with its bytes as body, to be buried.

    One damaged row must stop neither its channel nor the others whose time has come.
    """
    try:
        return decode(raw)
    except Rejected:
        return Message(Headers(NULL_ID, NULL_ID, name="damaged", sequence=sequence), raw)
