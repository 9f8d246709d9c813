"""Where a ledger is kept decides which store it is: a path is an SQLite file, a text a PostgreSQL database's address.

The client of PostgreSQL is loaded here and only for who uses it; it is an extra of the installation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bus.errors import Unavailable
from bus.ledger.blobs import FileBlobs
from bus.ledger.reading import Reading, file_schema
from bus.ledger.versions import identity
from bus.ports import BlobStore

if TYPE_CHECKING:
    from bus.landscape import BlobsSpec, LandscapeSpec
    from bus.ports import EffectHook, Store

Place = Path | str


class Documents(BlobStore, Protocol):
    """A store of documents that can forget some."""

    def claim(self, ledger: str) -> None:
        """Keep whose documents these are, or compare it. Raises ConfigError ``SYS152``: another ledger's."""

    def old(self, before: int) -> list[str]:
        """Sha256 of documents that were last stored before a time, in milliseconds since 1970 UTC."""

    def forget(self, digest: str, before: int) -> int:
        """Remove a document unless it was stored again meanwhile; bytes that were freed."""


def open_store(place: Place, *, effect: EffectHook) -> Store:
    """The store at a place, brought forward to this program's schema.

    Raises:
        Unavailable: it cannot be had; ``SYS137`` the client of PostgreSQL is not installed.
    """
    if isinstance(place, Path):
        from bus.ledger.store import Store as File  # noqa: PLC0415 - loads SQLite

        return File(place, effect=effect)
    _need_client()
    from bus.ledger.postgres import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(place, effect=effect)


def open_reading(place: Place, *, patience: float = 10.0) -> Reading:
    """The ledger at a place, read-only.

    Raises:
        Unavailable: ``SYS104`` there is none, ``SYS105`` it has another schema, ``SYS137`` no client is installed.
    """
    if isinstance(place, Path):
        return Reading(place, patience=patience)
    _need_client()
    from bus.ledger.postgres_reading import PostgresReading  # noqa: PLC0415 - an extra

    return PostgresReading(place, patience=patience)


def identity_at(place: Place, *, patience: float = 10.0) -> str:
    """Which ledger is at a place; empty where there is none yet, or none that can be read."""
    try:
        with open_reading(place, patience=patience) as reading:
            return identity(reading.rows)
    except Unavailable:
        return ""


def documents(spec: LandscapeSpec, root: Path, home: Path) -> tuple[BlobsSpec | None, Path]:
    """(bucket, folder) of a landscape's documents; the folder counts where there is no bucket.

    Args:
        spec: of the landscape.
        root: where ``bus.yaml`` stands.
        home: folder of the store.
    """
    chosen = spec.blobs
    if chosen is None or chosen.bucket:
        return chosen, home / "blobs"
    return None, root / chosen.folder


def open_blobs(bucket: BlobsSpec | None, folder: Path, *, effect: EffectHook) -> Documents:
    """Where documents are: the bucket, else the folder.

    Raises:
        Unavailable: ``SYS148`` the client of buckets is not installed.
        ConfigError: ``CFG142`` a key of the bucket cannot be read.
    """
    if bucket is None:
        return FileBlobs(folder, effect=effect)
    try:
        from bus.ledger.bucket import BucketBlobs  # noqa: PLC0415 - an extra
    except ImportError:
        hint = "pip install 'girobus[s3]'"
        raise Unavailable("SYS148", "the client of S3-compatible stores is not installed", hint=hint) from None
    return BucketBlobs(bucket, effect=effect)


def schema_of(place: Place) -> int:
    """Number of the schema at a place; 0 = there is no ledger.

    Raises:
        Unavailable: it cannot be read.
    """
    if isinstance(place, Path):
        return file_schema(place)
    _need_client()
    from bus.ledger.postgres_reading import schema  # noqa: PLC0415 - an extra

    return schema(place)


def _need_client() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra
    except ImportError:
        hint = "pip install 'girobus[postgres]'"
        raise Unavailable("SYS137", "the client of PostgreSQL is not installed", hint=hint) from None
