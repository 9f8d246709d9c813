"""The certificates that a landscape lives by: those of the folder of keys, and those that its files name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus.config import Landscape
    from certs.expiry import Item


def surveyed(landscape: Landscape, certificates: Path) -> list[Item]:
    """Every certificate and public key of the folder, then those of ``broker:`` and of connections elsewhere.

    Raises:
        ConfigError: ``SEC208`` a folder cannot be listed.
    """
    from certs.expiry import survey  # noqa: PLC0415 - loads `cryptography`

    now = datetime.now(UTC)
    found = survey(certificates, now) if certificates.is_dir() else []
    named = _named(landscape)
    for folder in sorted({path.parent for path in named} - {certificates}):
        found += [item for item in survey(folder, now) if item.path in named]
    return found


def _named(landscape: Landscape) -> set[Path]:
    """Files under ``trust`` and ``certificate``."""
    ends = [landscape.spec.broker, *landscape.connections.values()]
    texts = [getattr(end, name, "") for end in ends for name in ("trust", "certificate")]
    return {landscape.folder / text for text in texts if text}
