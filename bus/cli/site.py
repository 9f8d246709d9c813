"""The place an operating verb works on: landscape, store, and the way to have something done there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.cli.output import note
from bus.config import Landscape, load_landscape
from bus.errors import NotAllowed, Unavailable
from bus.ledger.place import Documents, documents, open_blobs, open_reading
from bus.ledger.reading import Reading
from bus.runtime.socket import Desk, Request, ask, user_name

if TYPE_CHECKING:
    from bus.landscape import BlobsSpec


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with ``bus.yaml`` and the folder where its ledger is."""

    folder: Path
    home: Path
    landscape: Landscape

    @classmethod
    def of(cls, folder: Path) -> Site:
        """The site of a landscape; a broken route does not keep anybody from looking at the ledger.

        Raises:
            ConfigError: ``CFG160`` when the folder has no ``bus.yaml``.
        """
        landscape = load_landscape(folder)
        return cls(folder, store_folder(folder, landscape.spec.store), landscape)

    @property
    def has_ledger(self) -> bool:
        """Whether the bus ever ran here.

        Raises:
            Unavailable: ``SYS132`` when this user may not look.
        """
        place = self.place
        if isinstance(place, str):
            return True  # who cannot reach it is told so when reading
        try:
            return place.exists()
        except OSError as error:
            hint = "look as the user that runs the bus"
            raise Unavailable("SYS132", f"{self.home} cannot be read: {error.strerror}", hint=hint) from None

    @property
    def place(self) -> Path | str:
        """Where the ledger is: a file, or the address of a database."""
        from bus.settings import ledger_place  # noqa: PLC0415 - reads the environment

        return ledger_place(self.landscape.spec.ledger, self.home)

    def reading(self) -> Reading:
        """The ledger, read-only.

        Raises:
            Unavailable: ``SYS104`` when there is none yet.
        """
        return open_reading(self.place)

    def blobs(self) -> Documents:
        """Where documents are.

        Raises:
            BusError: the bucket cannot be used.
        """
        from bus.ledger.store import no_effect  # noqa: PLC0415 - few verbs need it

        return open_blobs(*self._documents(), effect=no_effect)

    @property
    def blob_folder(self) -> Path | None:
        """Folder of documents; None when they are in a bucket."""
        bucket, folder = self._documents()
        return None if bucket else folder

    def _documents(self) -> tuple[BlobsSpec | None, Path]:
        return documents(self.landscape.spec, self.folder, self.home)

    def running(self) -> dict[str, Any] | None:
        """What the running bus says of itself (pid, since, versions, hold_outputs); None when none runs."""
        try:
            return ask(self.home, Request("ping"))
        except Unavailable as silent:
            note(f"warning: {silent}")
            return None

    def carry_out(self, request: Request) -> dict[str, Any]:
        """Have the running bus do it; where none runs, take its place for this one thing.

        Raises:
            BusError: it is refused, or the store cannot be had.
        """
        answer = ask(self.home, request)
        if answer is not None:
            return answer
        from bus.app import App  # noqa: PLC0415 - the whole engine, needed only where none runs

        try:
            app = App(self.folder, home=self.home, hold_outputs=True)  # it carries out one thing and sends nothing
        except Unavailable as taken:
            answer = ask(self.home, request) if taken.code == "SYS101" else None
            if answer is None:
                raise
            return answer  # it was just starting
        try:
            return Desk(app.bus, app.reload).perform(request, user_name())
        finally:
            app.close()


def store_folder(folder: Path, configured: str) -> Path:
    """Where ledger, blobs and control socket are: ``GIROBUS_STORE``, else ``store:`` of ``bus.yaml``."""
    from bus.settings import load_settings  # noqa: PLC0415 - reads the environment

    return load_settings().store or folder / configured


def reason_for(change: str, reason: str) -> str:
    """The reason of a change, which the audit keeps.

    Raises:
        NotAllowed: ``SYS204`` when there is none.
    """
    if not reason.strip():
        raise NotAllowed("SYS204", f"{change} needs a reason", hint='add --reason "why"')
    return reason.strip()


def now() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
