"""Documents in a bucket of an S3-compatible store, content-addressed; for several machines that share a ledger."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from bus.errors import Rejected, Retryable
from bus.ledger.blobs import OWNER, Writing, as_stored, compare
from bus.ledger.store import no_effect
from bus.message import Blob
from bus.ports import EffectHook

if TYPE_CHECKING:
    from bus.landscape import BlobsSpec

_CHUNK = 1 << 20
_IN_MEMORY = 4 << 20
"""Bytes of a document that are held in memory on their way; more goes through a temporary file."""
_HINT = "restore the object in the bucket; a versioned bucket has it"


class BucketBlobs:
    """Documents as objects ``PREFIX/ab/abcdef…``. Thread-safe, for any number of processes; every call blocks.

    Args:
        spec: the bucket.
        effect: called around making a document durable.

    Raises:
        ConfigError: ``CFG142`` a key of the bucket cannot be read.
    """

    def __init__(self, spec: BlobsSpec, *, effect: EffectHook = no_effect) -> None:
        keys: dict[str, Any] = {}
        if spec.access_key is not None:
            keys["access_key_id"] = spec.access_key.reveal().decode()
        if spec.secret_key is not None:
            keys["secret_access_key"] = spec.secret_key.reveal().decode()
        if spec.endpoint:
            keys["endpoint"] = spec.endpoint
        self._effect = effect
        self._place = f"{spec.bucket}/{spec.prefix}"
        self._store = S3Store(
            spec.bucket,
            prefix=spec.prefix or None,
            region=spec.region,
            client_options={
                "timeout": "60s",
                "connect_timeout": "10s",
                "allow_http": spec.endpoint.startswith("http://"),
            },
            **keys,
        )

    @contextmanager
    def create(self) -> Iterator[Writing]:
        """A new document; durable when the block ends without an error, else gone.

        Raises:
            Retryable: ``SYS112`` when the store does not take it.
        """
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            writer = Writing(file)  # type: ignore[arg-type]  # a file in all that is used of one
            yield writer
            self._effect("blob.create:before")
            writer.finish()
            file.seek(0)
            try:
                with _answered():
                    obstore.put(self._store, _key(writer.blob.sha256), file)
            except NotFoundError:
                raise Retryable("SYS112", "there is no such bucket", hint="see `blobs:` in bus.yaml") from None
            self._effect("blob.create:after")

    def open(self, blob: Blob) -> BinaryIO:
        """Read; the document is here as a whole, and compared with its checksum, before the first byte is handed out.

        Raises:
            Rejected: ``INT102`` when it is missing or of another size, ``INT103`` when its content has changed.
            Retryable: ``SYS112`` when the store gives no answer.
        """
        file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the reader closes it
        try:
            with _answered():
                found = obstore.get(self._store, _key(blob.sha256))
                for chunk in found.stream(min_chunk_size=_CHUNK):
                    file.write(bytes(chunk))
                return as_stored(file, blob, _HINT)  # type: ignore[arg-type]  # a file in all that is used of one
        except NotFoundError:
            file.close()
            raise Rejected("INT102", f"blob {blob.sha256[:12]} is missing", hint=_HINT) from None
        except BaseException:
            file.close()
            raise

    def claim(self, ledger: str) -> None:
        """Keep whose documents these are, or compare it.

        Raises:
            ConfigError: ``SYS152`` another ledger's, which would collect ours as we would its.
            Retryable: ``SYS112`` when the store gives no answer.
        """
        try:
            with _answered():
                found = bytes(obstore.get(self._store, OWNER).bytes())
        except NotFoundError:  # not all stores of this kind can write only where nothing is
            found = f"{ledger}\n".encode()
            with _answered(), suppress(NotFoundError):  # there is no bucket: who writes a document is told so
                obstore.put(self._store, OWNER, found)
        compare(ledger, found, f"bucket {self._place}")

    def old(self, before: int) -> list[str]:
        """Sha256 of documents that were last stored before a time, in milliseconds since 1970 UTC.

        Raises:
            Retryable: ``SYS112`` when the store gives no answer.
        """
        with _answered():
            return [
                str(found["path"]).rpartition("/")[2]
                for page in obstore.list(self._store)
                for found in page
                if found["path"] != OWNER and found["last_modified"].timestamp() * 1000 < before
            ]

    def forget(self, digest: str, before: int) -> int:
        """Remove a document unless it was stored again meanwhile; bytes that were freed.

        A store of this kind has no lock: a document that comes again between the look and the removal would be lost. It
        must have been gone from the ledger for the whole of its retention and come again in that very moment.
        """
        try:
            with _answered():
                found = obstore.head(self._store, _key(digest))
                if found["last_modified"].timestamp() * 1000 >= before:
                    return 0
                obstore.delete(self._store, _key(digest))
        except NotFoundError:
            return 0
        return int(found["size"])


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


@contextmanager
def _answered() -> Iterator[None]:
    """Whatever the store answers but "there is no such object" may be better later."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise NotFoundError from None
    except (BaseError, OSError) as error:
        name = type(error).__name__
        raise Retryable("SYS112", f"the blob store refused: {name}", hint="see bucket, keys and network") from None
