"""A running bus on watch: its pages on the status port, its word to systemd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from bus.operating.health import Health
from bus.operating.metrics import CONTENT_TYPE, Metrics
from bus.operating.notify import Watchdog, notify, reloading
from bus.operating.server import Answer, StatusServer, document

if TYPE_CHECKING:
    from bus.app import App


class Watch:
    """What looks at one running bus.

    Args:
        app: the bus.
        port: to listen on instead of the one in ``bus.yaml``; 0 = on none.
        certificates: folder of keys and certificates.
    """

    def __init__(self, app: App, port: int | None, certificates: Path) -> None:
        self.health = Health(app)
        self.metrics = Metrics(app, self.health, certificates)
        self.server: StatusServer | None = None
        spec = app.landscape.spec.http
        wanted = port if port is not None else spec.port if spec is not None else 0
        if wanted:
            pages = {
                "/healthz": self.healthz, "/livez": self.livez, "/readyz": self.healthz, "/metrics": self.figures
            }  # fmt: skip
            self.server = StatusServer(spec.host if spec is not None else "127.0.0.1", wanted, pages)
        self._watchdog = Watchdog(self.health.stuck)

    @contextmanager
    def on_duty(self) -> Iterator[Watch]:
        """For the time of the block, which is that of a started bus."""
        if self.server is not None:
            self.server.start()
        self._watchdog.start()
        notify(READY=1, STATUS="running")
        try:
            yield self
        finally:
            notify(STOPPING=1, STATUS="stopping")
            self._watchdog.stop()
            if self.server is not None:
                self.server.stop()
            self.health.close()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """For the time of a reload."""
        reloading()
        try:
            yield
        finally:
            notify(READY=1)

    def healthz(self) -> Answer:
        """200 when it works; 503 with the reasons when not."""
        verdict = self.health.verdict()
        status = HTTPStatus.OK if verdict.live and verdict.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return document(status, {"live": verdict.live, "ready": verdict.ready, "why": verdict.why})

    def livez(self) -> Answer:
        """200 while there is progress, whatever is away: for those who would start the process again."""
        stuck = self.health.stuck()
        status = HTTPStatus.SERVICE_UNAVAILABLE if stuck else HTTPStatus.OK
        return document(status, {"live": not stuck, "why": stuck})

    def figures(self) -> Answer:
        """The metrics."""
        return Answer(HTTPStatus.OK, CONTENT_TYPE, self.metrics.text())
