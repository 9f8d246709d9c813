"""One connection with one channel to a broker, under a wall clock: what takes too long loses its socket."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bus import BusError, ConfigError, Retryable, why_unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from endpoints.amqp.connection import AmqpConnection

log = logging.getLogger("girobus")
_GOODBYE = 2.0
_REFUSED, _NOT_FOUND, _LOCKED, _OTHERWISE, _NO_VHOST = 403, 404, 405, 406, 530
_LIBRARIES = {"sqs": "boto3", "azureservicebus": "azure-servicebus", "gcpubsub": "google-cloud-pubsub"}


class Link:
    """Connected at the first :meth:`channel` and again after every failure. One thread at a time.

    py-amqp begins its time-outs anew with every frame that comes in, heartbeats included, so a broker with a memory
    alarm would hold a thread for ever; :meth:`guarded` therefore takes the socket away from whoever waits too long.
    """

    def __init__(self, spec: AmqpConnection, root: Path) -> None:
        self.spec = spec
        self._root = root
        self._next = 0
        self._kombu: Any = None
        self._connection: Any = None
        self._channel: Any = None
        self._warned = spec.confirms
        self._beaten = 0.0

    @property
    def open(self) -> bool:
        """Whether there is a connection that nobody has closed."""
        return self._channel is not None

    def channel(self) -> Any:
        """The open channel of kombu, or a new one; call it inside :meth:`guarded`."""
        if self._channel is None:
            self._connect()
        return self._channel

    def another(self) -> Any:
        """Another channel in the place of the open one, which is returned, open still."""
        before = self._channel
        self._open_channel()
        return before

    def drain(self, seconds: float) -> bool:
        """Let at most one event in, waiting so long for it; False when there was none."""
        try:
            self._kombu.transport.drain_events(self._connection, timeout=seconds)
        except TimeoutError:
            return False
        return True

    def beat(self) -> None:
        """Send a heartbeat when one is due, and notice a broker that sent none."""
        if self._kombu is not None and self.spec.confirms:
            self._kombu.transport.heartbeat_check(self._connection)
            self._beaten = time.monotonic()

    def leave_if_slept(self) -> None:
        """Say goodbye over a connection without a beat for so long that its broker may be hanging up just now."""
        if self._channel is None or not self.spec.confirms:
            return
        if 0 < self._connection.heartbeat < time.monotonic() - self._beaten:
            self.hang_up(polite=True)

    def leave_if_ended(self) -> None:
        """Throw away a connection that ended while nobody used it: :meth:`channel` makes a new one."""
        try:
            if self._channel is None:
                return
            if self.spec.confirms:
                self.drain(0)
                self.beat()
            elif self.spec.scheme.startswith("redis"):
                self._channel.client.ping()
        except Exception:  # noqa: BLE001 - whatever it died of
            self.hang_up()

    @contextmanager
    def guarded(self, seconds: float = 0.0) -> Iterator[None]:
        """Everything inside is over within ``deadline`` (and ``seconds`` more), or its socket is closed.

        Raises:
            Retryable: ``NET244`` the broker is away, ``NET245`` too slow, ``NET246`` a queue or exchange is not there.
            ConfigError: ``NET247`` the login is refused, ``NET248`` the broker has the queue otherwise.
        """
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._cut()

        watch = threading.Timer(self.spec.deadline / 1000 + seconds, expire)
        watch.daemon = True
        watch.start()
        try:
            yield
        except BusError:
            raise
        except Exception as error:
            # Whatever the client library raised: the state of its connection is not known any more.
            self.hang_up()
            if expired.is_set() or isinstance(error, TimeoutError):
                text = f"the broker {self._shown} did not answer within `deadline`"
                raise Retryable("NET245", text, hint="alarms and load of the broker tell why") from error
            raise self._told(error) from error
        finally:
            watch.cancel()

    def hang_up(self, *, polite: bool = False) -> None:
        """Throw the connection away; ``polite``: say goodbye, for two seconds at most."""
        kombu, self._channel = self._kombu, None
        if kombu is None:
            return
        held = self._socket
        if polite and kombu.connected:
            watch = threading.Timer(_GOODBYE, self._cut)
            watch.daemon = True
            watch.start()
            with suppress(Exception):
                kombu.release()
            watch.cancel()
        else:
            self._cut()
            with suppress(Exception):
                kombu.collect(socket_timeout=_GOODBYE)
        if held is not None:  # with TLS the client library does not close a socket that was cut
            with suppress(OSError):
                held.close()
        self._kombu = self._connection = None

    @property
    def _shown(self) -> str:
        return self.spec.url

    @property
    def _socket(self) -> Any:
        """The open one; ``sock`` of a connection that its broker closed would connect again, unseen."""
        return getattr(getattr(self._connection, "_transport", None), "sock", None)

    def _cut(self) -> None:
        """End all waiting on the socket, from whatever thread."""
        with suppress(Exception):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> None:
        self.hang_up()
        import kombu  # noqa: PLC0415 - 60 ms that only its users pay

        hosts = self.spec.hosts
        host, port = hosts[self._next % len(hosts)]
        self._next += 1  # the next attempt goes to the next node
        password = self.spec.password.reveal().decode() if self.spec.password is not None else None
        try:
            self._kombu = kombu.Connection(
                hostname=host or None,
                port=port,
                transport=_TRANSPORTS.get(self.spec.scheme, self.spec.scheme),
                userid=self.spec.user or None,
                password=password,
                virtual_host=self.spec.vhost,
                ssl=self._tls(host) if self.spec.tls else False,
                connect_timeout=self.spec.deadline / 1000,
                heartbeat=self.spec.heartbeat / 1000 if self.spec.confirms else 0,
                transport_options=self._options(),
            )
            self._kombu.ensure_connection(max_retries=0, reraise_as_library_errors=False)
            # Taken once: kombu's own property connects again, unseen, when it is asked after a loss.
            self._connection = self._kombu.connection
            self._beaten = time.monotonic()
        except ImportError as error:
            library = _LIBRARIES.get(self.spec.scheme, "redis")
            text = f"`{self.spec.scheme}` needs the library {library}"
            raise ConfigError("NET241", text, hint=f"pip install {library}") from error
        self._open_channel()
        if not self._warned:
            self._warned = True
            log.warning("NET243 %s confirms no publication and gives nothing back", self._shown)

    def _open_channel(self) -> None:
        channel = self._kombu.transport.create_channel(self._connection)
        channel.auto_decode = False  # a body is bytes, whatever its content encoding says
        self._channel = channel

    def _options(self) -> dict[str, Any]:
        seconds = self.spec.deadline / 1000
        if self.spec.confirms:
            return {"read_timeout": seconds, "write_timeout": seconds}
        if self.spec.scheme.startswith("redis"):
            limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "max_retries": 0}
            return {**limits, "visibility_timeout": self.spec.redelivery / 1000, "retry_on_timeout": False}
        return {}

    def _tls(self, host: str) -> dict[str, Any]:
        """Read anew at every connection, so that a renewed certificate needs no restart."""

        def place(name: str) -> str | None:
            path = self._root / name
            if name and not os.access(path, os.R_OK):  # the client library would not tell which one
                hint = "correct the path or the rights; a relative path begins at bus.yaml"
                raise Retryable("NET244", f"{path} cannot be read, so no connection to {self._shown}", hint=hint)
            return str(path) if name else None

        spec = self.spec
        if spec.confirms:
            identity = {"certfile": place(spec.certificate), "keyfile": place(spec.key_file)}
            checked = {"ca_certs": place(spec.trust), "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": host}
            return {**identity, **checked}
        return {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_ca_certs": place(spec.trust),
            "ssl_certfile": place(spec.certificate),
            "ssl_keyfile": place(spec.key_file),
            "ssl_check_hostname": True,
        }

    def _told(self, error: Exception) -> BusError:
        code = getattr(error, "reply_code", None) or getattr(error, "code", None)
        where = self._shown
        if code == _REFUSED or "ACCESS_REFUSED" in str(error) or type(error).__name__ == "AuthenticationError":
            return ConfigError(
                "NET247", f"{where} refuses the login or the right", hint="see user, password and rights"
            )
        if code == _NO_VHOST:
            hint = "see the end of `url`; ask its operators for the vhost"
            return ConfigError("NET247", f"{where} has no virtual host `{self.spec.vhost}` for us", hint=hint)
        if code == _NOT_FOUND:
            return Retryable("NET246", f"{where} has no such queue or exchange", hint="was it deleted?")
        if code in (_LOCKED, _OTHERWISE):
            return ConfigError("NET248", f"{where} has the queue otherwise", hint="write `declare: passive`")
        if type(error).__name__ == "ConsumerCancelled":
            return Retryable(
                "NET246", f"{where} ended the consuming", hint="the queue was deleted or its leader is gone"
            )
        said, do = why_unreachable(error)
        return Retryable("NET244", f"{where} is away: {said}", hint=f"{do}; it is tried again")


_TRANSPORTS = {"amqp": "pyamqp", "amqps": "pyamqp", "rediss": "redis"}
