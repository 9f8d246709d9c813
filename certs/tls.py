"""TLS contexts for both sides: 1.2 or later, always verified, with chains that change without a restart.

There is no switch that turns verification off: a partner with a private CA is trusted by naming that CA's file.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bus.errors import BusError, ConfigError
from certs.files import check_private

# TLS 1.2 only with forward secrecy and authenticated encryption (RFC 9325 §4.2); TLS 1.3 suites are all of that kind.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are in a handshake.

    Attributes:
        chain: PEM file: our certificate, then intermediates.
        key: PEM file of the private key, owner-only.
        passphrase: gives the key's passphrase when it is encrypted.
    """

    chain: Path
    key: Path
    passphrase: Callable[[], bytes] | None = None


def client_context(*, trust: Path | None = None, identity: Identity | None = None) -> ssl.SSLContext:
    """A context for connecting: TLS 1.2 or later, the partner's certificate and host name are verified.

    Args:
        trust: PEM file of the CAs to believe, and no others; None = the CAs of the operating system.
        identity: what to show a partner that asks for a client certificate.

    Raises:
        ConfigError: ``SEC203`` key open to others, ``SEC205`` passphrase, ``SEC206`` key of another certificate,
            ``SEC207`` damaged file, ``SEC208`` missing file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if trust is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_trust(context, trust)
    if identity is not None:
        _load_identity(context, identity)
    return context


def server_context(identity: Identity, *, clients: Path | None = None) -> ssl.SSLContext:
    """A context for being connected to.

    Args:
        identity: the server's certificate and key.
        clients: PEM file of the CAs whose client certificates are demanded (mutual TLS); None = none demanded.

    Raises:
        ConfigError: as :func:`client_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    _load_identity(context, identity)
    if clients is not None:
        _load_trust(context, clients)
        context.verify_mode = ssl.CERT_REQUIRED
        # A resumed session would skip the look at the client's certificate, also after its CA is no longer trusted.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


class ReloadingContext:
    """A context that follows its files: new connections get the new chain, old ones go on with theirs.

    A changed file set is loaded into a fresh context and tried there; only when that works it takes the place of the
    former one. A half-written or mismatched set leaves the former one in service and is told in ``problem``.
    Thread-safe. Looking costs one ``stat`` a file.

    Attributes:
        problem: why the newest files are not in use; None when they are.
    """

    def __init__(self, build: Callable[[], ssl.SSLContext], files: tuple[Path, ...]) -> None:
        self._build = build
        self._files = files
        self._lock = threading.Lock()
        self._seen = self._look()
        self._current = build()
        self.problem: BusError | None = None

    def current(self) -> ssl.SSLContext:
        """The newest context that works; a client asks for it at every new connection."""
        self.refresh()
        return self._current

    def refresh(self) -> bool:
        """Look at the files and swap when they changed and work; True when a swap happened. Never raises."""
        with self._lock:
            seen = self._look()
            if seen == self._seen:
                return False
            self._seen = seen
            try:
                self._current = self._build()
            except BusError as error:
                self.problem = error
                return False
            self.problem = None
            return True

    def live(self) -> ssl.SSLContext:
        """One server context to hand to a listener for good: each handshake on it uses the newest chain and CAs."""
        front = self._build()

        def switch(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.current()

        front.sni_callback = switch
        return front

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._files:
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append(None)
        return tuple(found)


def reloading_client(*, trust: Path | None = None, identity: Identity | None = None) -> ReloadingContext:
    """A :func:`client_context` that follows its files; ask :meth:`ReloadingContext.current` for every connection."""
    return ReloadingContext(lambda: client_context(trust=trust, identity=identity), _files(identity, trust))


def reloading_server(identity: Identity, *, clients: Path | None = None) -> ReloadingContext:
    """A :func:`server_context` that follows its files; give :meth:`ReloadingContext.live` to the listener."""
    return ReloadingContext(lambda: server_context(identity, clients=clients), _files(identity, clients))


def _files(identity: Identity | None, trust: Path | None) -> tuple[Path, ...]:
    mine = (identity.chain, identity.key) if identity is not None else ()
    return (*mine, trust) if trust is not None else mine


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except FileNotFoundError:
        _missing(path)
    except (OSError, ssl.SSLError):
        _damaged(path)
    if not context.cert_store_stats()["x509_ca"]:
        raise ConfigError("SEC209", f"`{path}` holds no CA certificate", hint="name the issuer's file", path=str(path))


def _load_identity(context: ssl.SSLContext, identity: Identity) -> None:
    check_private(identity.key)
    if not identity.chain.is_file():
        _missing(identity.chain)

    asked = False

    def passphrase() -> bytes:
        # Without a callback OpenSSL would ask on the terminal and a service would hang there.
        nonlocal asked
        asked = True
        if identity.passphrase is None:
            _locked(identity.key, "is encrypted and no passphrase is configured")
        return identity.passphrase()

    try:
        context.load_cert_chain(identity.chain, identity.key, passphrase)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; a passphrase above 1 kB is a ValueError
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                "SEC206",
                f"the key `{identity.key}` does not belong to `{identity.chain}`",
                hint="replace both files, or issue them again with `--replace`",
                path=str(identity.key),
            ) from None
        if asked:
            _locked(identity.key, "does not open with the configured passphrase")
        _damaged(identity.chain, identity.key)


def _locked(path: Path, why: str) -> NoReturn:
    raise ConfigError(
        "SEC205", f"the private key `{path}` {why}", hint="configure its passphrase", path=str(path)
    ) from None


def _missing(path: Path) -> NoReturn:
    raise ConfigError(
        "SEC208", f"`{path}` is not there", hint="correct the path, or issue it", path=str(path)
    ) from None


def _damaged(*paths: Path) -> NoReturn:
    names = " or ".join(f"`{path}`" for path in paths)
    raise ConfigError("SEC207", f"{names} is no readable PEM file", hint="issue it again", path=str(paths[0])) from None
