"""``/healthz`` and ``/metrics`` over HTTP: GET only, bounded in time, size and number, on loopback unless told."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

log = logging.getLogger("girobus")
_MOST = 16
"""Connections at the same time; who comes beyond is hung up on."""
_SILENT = 5.0
_WHOLE = 15.0
"""Seconds for one answer, from connecting to hanging up, however slowly somebody asks."""
_AGAIN = 5.0


class Answer(NamedTuple):
    """What a page says."""

    status: HTTPStatus
    content_type: str
    body: bytes


Page = Callable[[], Answer]


def document(status: HTTPStatus, value: Any) -> Answer:
    """A JSON document."""
    return Answer(status, "application/json", json.dumps(value, ensure_ascii=False).encode() + b"\n")


class StatusServer:
    """Answers in threads of its own until stopped. A port that is taken is tried again: payments do not wait for it.

    Args:
        host: address to listen on.
        port: 0 = one that is free.
        pages: path -> what it says.
    """

    def __init__(self, host: str, port: int, pages: dict[str, Page]) -> None:
        self._host, self._wanted = host, port
        self._pages = pages
        self._stopping = threading.Event()
        self._server: _Server | None = None
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)
        self.listening = threading.Event()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1]) if self._server is not None else self._wanted

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
        self._thread.join(_SILENT)

    def _run(self) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                server = _Server(self._host, self._wanted, self._pages)
            except OSError as error:
                if not told:
                    where = f"{self._host}:{self._wanted}"
                    fields = {"code": "SYS181", "address": where, "why": error.strerror or type(error).__name__}
                    log.error("no port for health and metrics", extra=fields)  # noqa: TRY400 - the place says nothing
                told = True
                self._stopping.wait(_AGAIN)
                continue
            self._server = server
            self.listening.set()
            with server:
                if not self._stopping.is_set():
                    server.serve_forever(poll_interval=0.2)
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, pages: dict[str, Page]) -> None:
        self.pages = pages
        self.own = host
        self.room = threading.BoundedSemaphore(_MOST)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.own, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, as long as there is room."""
        if not self.room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, ended from our side when it takes too long."""
        end = threading.Timer(_WHOLE, _hang_up, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self.room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event."""


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENT
    server_version = "girobus"
    sys_version = ""
    error_content_type = "text/plain"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """A page."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if not self._called_by_our_name():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._give(_safely(page))

    def do_HEAD(self) -> None:
        """What GET would say of itself."""
        self.do_GET()

    def _give(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _called_by_our_name(self) -> bool:
        """On loopback, a page in a browser must not read this under a name of its own that leads here."""
        if not is_loopback(self.server.own):
            return True
        host = self.headers.get("Host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name in ("", self.server.own) or is_loopback(name.strip("[]"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are not logged."""


def _safely(page: Page) -> Answer:
    try:
        return page()
    except Exception:
        log.exception("a page failed", extra={"code": "INT199"})
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"500 see the log of the bus\n")


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
