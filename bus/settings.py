"""Settings of the process, from ``GIROBUS_*`` variables; what routes do never depends on them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bus.errors import ConfigError
from bus.spec import Duration, Size, revealed


class Settings(BaseSettings):
    """Read once at start and handed on; nothing deeper looks at the environment. Made by :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="GIROBUS_", frozen=True, extra="ignore", use_attribute_docstrings=True, env_ignore_empty=True
    )

    config: Path | None = None
    """Folder with ``bus.yaml``; None = ``./routes`` if it has one, else the current folder. ``-C`` wins over it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log event that is written."""
    log_format: Literal["console", "json"] = "console"
    """``console`` for people, ``json`` (one object a line) for log collectors."""
    workers: int = Field(default=1, ge=1, le=64)
    """Worker threads of one process."""
    worker_memory: Size = Field(default=0, ge=0)
    """Of each process of `bus run --workers`: one that grows above finishes its batch and is replaced; 0 = no limit."""
    stalled_after: Duration = Field(default=900_000, ge=1_000)
    """Of each process of `bus run --workers`: one that holds work and makes no progress for so long is replaced."""
    store: Path | None = None
    """Folder of ledger, blobs and control socket, instead of ``store:`` in ``bus.yaml``."""
    http_port: int | None = Field(default=None, ge=0, le=65_535)
    """Port of `/healthz` and `/metrics`, instead of `http:` in `bus.yaml`; 0 = none."""
    ledger: SecretStr | None = None
    """Address of a PostgreSQL ledger, instead of ``ledger:`` in ``bus.yaml``; it may contain a password."""


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigError: ``CFG196`` for a variable with a value that its setting does not take; the value is not shown.
    """
    try:
        return Settings()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        name = f"GIROBUS_{'_'.join(str(part) for part in found['loc']).upper()}"
        raise ConfigError(
            "CFG196", f"{name}: {found['msg'][:1].lower()}{found['msg'][1:]}", hint="correct it or unset it"
        ) from None


def ledger_place(configured: str, home: Path) -> Path | str:
    """The file or the address of a ledger: ``GIROBUS_LEDGER``, else ``ledger:`` of ``bus.yaml``, else a file at home.

    Raises:
        ConfigError: ``CFG142`` a secret in the address cannot be read, ``CFG196`` a variable has a wrong value.
    """
    chosen = load_settings().ledger
    address = chosen.get_secret_value() if chosen else configured
    return revealed(address) if address else home / "bus.db"
