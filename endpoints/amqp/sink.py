"""An exchange as a sink: publications in a window, each with its own verdict, none waited for beyond the deadline."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, BinaryIO

from bus import BusError, InDoubt, Rejected, Retryable
from endpoints.amqp.link import Link
from endpoints.amqp.properties import wire_value
from endpoints.amqp.template import Template

if TYPE_CHECKING:
    from bus import EndpointResources, Message, Receipt, Verdict
    from endpoints.amqp.connection import AmqpConnection
    from endpoints.amqp.spec import AmqpSpec

_PERSISTENT, _TRANSIENT = 2, 1
_BLOCK = 1 << 20
_MOST_WAITING = 2_000


@dataclass(slots=True)
class _Letter:
    """One message on its way: what goes out, and what became of it."""

    exchange: str
    routing_key: str
    properties: dict[str, Any]
    headers: dict[str, Any]
    body: bytes
    tag: int = 0
    confirmed: bool = False
    error: BusError | None = None


@dataclass(slots=True)
class _Window:
    """What is published and not confirmed, by delivery tag."""

    flying: dict[int, _Letter] = field(default_factory=dict)
    published: int = 0


class AmqpSink:
    """One channel in confirm mode. One thread at a time.

    The first ``publish`` of a batch sends everything that is prepared and waits for all confirms; each ``publish`` then
    gives the verdict on its own message. What was confirmed is not sent again, whatever became of its neighbours.
    """

    def __init__(self, spec: AmqpSpec, connection: AmqpConnection, resources: EndpointResources) -> None:
        self.keyed = spec.unknown == "resend"
        """The receiver knows a second copy by its message id, so what is unknown is sent again."""
        self._spec = spec
        self._link = Link(connection, resources.root)
        self._confirms = connection.confirms
        self._letters: dict[str, _Letter] = {}
        self._window = _Window()
        self._templates = {name: spec.template(name) for name in ("routing_key", "correlation_id", "type_", "reply_to")}
        self._headers = {name: Template(text) for name, text in spec.headers.items()}

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        """Make what goes out; nothing is sent.

        Raises:
            Rejected: ``NET250``, ``NET252``, ``NET253``, ``NET255`` this message cannot go out as it is.
        """
        identity = message.headers.id
        with content:
            body = content.read(self._spec.max_size + 1)
        if len(body) > self._spec.max_size:
            raise Rejected("NET253", "the message is larger than `max_size`", hint="raise it where the broker allows")
        letter = self._letter(message, body)
        known = self._letters.get(identity)
        if known is None or not known.confirmed:
            self._letters[identity] = letter
        while len(self._letters) > _MOST_WAITING:  # of messages that a person has taken away
            del self._letters[next(iter(self._letters))]
        return {"id": identity, "exchange": letter.exchange, "routing_key": letter.routing_key}

    def publish(self, receipt: Receipt) -> None:
        """See the class.

        Raises:
            Retryable: ``NET244`` to ``NET248`` the broker is away or slow, ``NET257`` it refused the message.
            Rejected: ``NET256`` no queue takes it.
            InDoubt: ``NET258`` no answer, and a person shall decide.
        """
        letter = self._letters.get(receipt["id"])
        if letter is None:
            raise InDoubt("NET258", "a message was being published when the bus stopped", hint="ask its receiver")
        if not letter.confirmed and letter.error is None:
            try:
                with self._link.guarded():
                    self._send_all()
            except Retryable as error:
                self._unanswered(error)
        del self._letters[receipt["id"]]
        if letter.error is not None:
            raise letter.error

    def begun(self, receipt: Receipt) -> bool:
        """Whether it was sent along with another of its batch."""
        letter = self._letters.get(receipt["id"])
        return letter is not None and (letter.confirmed or letter.tag > 0)

    def probe(self, receipt: Receipt) -> Verdict:
        """What the broker has told of it already; it cannot be asked what it took."""
        letter = self._letters.get(receipt["id"])
        if letter is None or isinstance(letter.error, InDoubt):
            return "unknown"
        if letter.confirmed:
            del self._letters[receipt["id"]]
            return "done"
        letter.error = None  # it was refused, given back, or not sent: the next attempt has a verdict of its own
        return "not_done"

    def close(self) -> None:
        """Disconnect; nothing that was prepared is published any more."""
        self._letters.clear()
        self._link.hang_up(polite=True)

    # ---------------------------------------------------------------- sending

    def _send_all(self) -> None:
        """Publish what is prepared and wait until the broker has answered each.

        The outlet may have been idle for hours: no letter is given to a connection that is not known to stand.
        """
        self._link.leave_if_slept()
        self._link.leave_if_ended()
        fresh = not self._link.open
        channel = self._link.channel()
        if self._confirms and fresh:
            channel.confirm_select()
            self._window = _Window()
            channel.events["basic_ack"].add(self._acknowledged)
            channel.events["basic_nack"].add(self._refused)
            channel.events["basic_return"].add(self._returned)
        for letter in self._letters.values():
            if not letter.confirmed and letter.error is None:
                self._send(channel, letter)
        while self._window.flying:
            self._link.drain(1.0)
            self._link.beat()

    def _send(self, channel: Any, letter: _Letter) -> None:
        made = channel.prepare_message(
            letter.body,
            priority=letter.properties.get("priority", None if self._confirms else 0),
            content_type=letter.properties.get("content_type"),
            content_encoding=letter.properties.get("content_encoding"),
            headers=letter.headers,
            properties={k: v for k, v in letter.properties.items() if k not in ("priority", *_CONTENT)},
        )
        window, tag = self._window, self._window.published + 1
        if not self._confirms:  # the broker's answer to the command is all there is
            window.flying[tag] = letter
            channel.basic_publish(made, letter.exchange, letter.routing_key)
            del window.flying[tag]
            letter.confirmed = True
            return
        channel.basic_publish(made, letter.exchange, letter.routing_key, mandatory=self._spec.mandatory)
        # Flying from here on: where the client library raised, the end of the message was not given to the system.
        letter.tag = window.published = tag
        window.flying[tag] = letter

    def _acknowledged(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - called by the library
        for letter in self._answered(tag, multiple=multiple):
            letter.confirmed = letter.error is None

    def _refused(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - called by the library
        for letter in self._answered(tag, multiple=multiple):
            letter.error = Retryable("NET257", "the broker refused a message", hint="see the state of its queue")

    def _answered(self, tag: int, *, multiple: bool) -> list[_Letter]:
        flying = self._window.flying
        tags = [each for each in flying if each <= tag] if multiple else [tag] if tag in flying else []
        return [flying.pop(each) for each in tags]

    def _returned(self, _error: Any, _exchange: str, _routing_key: str, message: Any) -> None:
        """The broker gives a message back before it confirms it: the very one, found by its id."""
        letter = self._letters.get(message.properties.get("message_id", ""))
        if letter is None:
            return
        kind = Rejected if self._spec.unroutable == "dead-letter" else Retryable
        text = f"no queue takes routing key `{letter.routing_key}` at exchange `{letter.exchange}`"
        letter.error = kind("NET256", text, hint="bind a queue, then bus cases retry")

    def _unanswered(self, error: Retryable) -> None:
        """The connection is gone: what was sent and not answered is unknown, what was not sent is merely late."""
        for letter in self._window.flying.values():
            if letter.error is None:
                text = f"{error.message}; the message may have arrived"
                letter.error = error if self.keyed else InDoubt("NET258", text, hint="ask its receiver")
        self._window = _Window()
        for letter in self._letters.values():
            if not letter.confirmed and letter.error is None:
                letter.error = error

    # ---------------------------------------------------------------- what goes out

    def _letter(self, message: Message, body: bytes) -> _Letter:
        spec, arrived = self._spec, message.properties.get("amqp")
        arrived = arrived if isinstance(arrived, dict) else {}
        scope = _scope(message)
        headers = {name: value for name, value in (arrived.get("headers") or {}).items() if self._forwarded(name)}
        headers |= {name: template.value(scope) for name, template in self._headers.items()}
        exchange, routing_key, correlation = self._address(scope, arrived)
        created = message.headers.created_at // 1000
        properties = {
            "content_type": spec.content_type or message.headers.content_type,
            "delivery_mode": _PERSISTENT if spec.persistent else _TRANSIENT,
            "priority": arrived.get("priority") if spec.priority is None else spec.priority,
            "correlation_id": correlation,
            "reply_to": self._templates["reply_to"].text(scope),
            "expiration": str(spec.expiration) if spec.expiration else "",
            "message_id": message.headers.id,
            "timestamp": arrived.get("timestamp") or created,
            "type": self._templates["type_"].text(scope),
        }
        sent = {name: value for name, value in properties.items() if value not in (None, "")}
        return _Letter(exchange, routing_key, sent, wire_value(headers), body)

    def _forwarded(self, name: str) -> bool:
        if name.lower() in _BROKERS_OWN or name.lower().startswith("x-first-death-"):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._spec.forward)

    def _address(self, scope: dict[str, Any], arrived: dict[str, Any]) -> tuple[str, str, str]:
        """(exchange, routing key, correlation id)."""
        if not self._spec.reply:
            texts = self._templates
            return self._spec.exchange, texts["routing_key"].text(scope), texts["correlation_id"].text(scope)
        address = arrived.get("reply_to")
        if not isinstance(address, str) or not address:
            raise Rejected("NET255", "the request has no Return Address", hint="ask its sender for `reply_to`")
        if not any(fnmatchcase(address, pattern) for pattern in self._spec.reply_queues):
            raise Rejected("NET255", f"no answer may go to `{address}`", hint="see `reply_queues`")
        return "", address, str(arrived.get("correlation_id") or arrived.get("message_id") or "")


_CONTENT = ("content_type", "content_encoding")
_BROKERS_OWN = {"x-delivery-count", "x-acquired-count", "x-death", "x-stream-offset", "x-received-from"}
"""What a broker writes into the headers of a message that it hands out; another broker would take it for its own."""


def _scope(message: Message) -> dict[str, Any]:
    headers = message.headers
    body = message.body if isinstance(message.body, dict | list | str) else None
    return {
        "p": message.properties,
        "body": body,
        "id": headers.id,
        "correlation_id": headers.correlation_id,
        "name": headers.name,
    }
