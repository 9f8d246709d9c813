"""What is in a folder of keys, and how long it is still good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from bus.errors import ConfigError, Finding
from certs.files import check_private, read_public
from certs.ssh import SUFFIX, fingerprint

WARN_DAYS = (60, 30, 7, 1)
"""Days before the end at which an owner is warned, each time louder."""


@dataclass(frozen=True, slots=True)
class Item:
    """One certificate or SSH key of a folder.

    Attributes:
        kind: ``ca``, ``server``, ``client``, ``certificate`` (of another use), ``ssh-host``, ``ssh-client``,
            ``ssh-key`` or ``unreadable``.
        names: subject alternative names.
        fingerprint: hexadecimal SHA-256 of a certificate, ``SHA256:…`` of an SSH key.
        days_left: whole days until it ends, negative when it is over; None for SSH keys, which do not end.
        warn: the number of :data:`WARN_DAYS` that is reached (0 when expired), None while all is well.
        problem: what is wrong besides its age.
    """

    kind: str
    name: str
    path: Path
    subject: str = ""
    names: tuple[str, ...] = ()
    serial: str = ""
    fingerprint: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    days_left: int | None = None
    warn: int | None = None
    problem: Finding | None = None

    def expiry(self, now: datetime, within_days: float) -> Finding | None:
        """A finding when this ends within so many days (``SEC212``), is over (``SEC213``) or cannot be read."""
        if self.problem is not None and self.kind == "unreadable":
            return self.problem
        if self.not_after is None:
            return None
        left = (self.not_after - now).total_seconds() / 86_400
        if left <= 0:
            return Finding("SEC213", "error", str(self.path), f"the {self.kind} certificate is expired")
        if left <= within_days:
            return Finding(
                "SEC212", "warning", str(self.path), f"the {self.kind} certificate ends in {self.days_left} days"
            )
        return None


def survey(folder: Path, now: datetime) -> list[Item]:
    """All certificates (``*.crt``, ``*.pem``) and SSH keys (``*.pub``) of a folder, the soonest to end first.

    A chain file gives one item a certificate. What cannot be read is an item of kind ``unreadable``.

    Raises:
        ConfigError: ``SEC208`` when the folder cannot be listed.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        raise ConfigError(
            "SEC208", f"`{folder}` cannot be listed", hint="issue something there first, or name another `--dir`"
        ) from None
    items: list[Item] = []
    for path in paths:
        if path.suffix in (".crt", ".pem"):
            items += _certificates(path, now)
        elif path.suffix == ".pub":
            items.append(_ssh(path))
    return sorted(items, key=lambda item: (item.days_left is None, item.days_left or 0, item.name))


def warning_level(days_left: int) -> int | None:
    """The smallest of :data:`WARN_DAYS` not below the days left; 0 when expired, None when none is reached."""
    if days_left < 0:
        return 0
    return min((days for days in WARN_DAYS if days_left <= days), default=None)


def _certificates(path: Path, now: datetime) -> list[Item]:
    try:
        content = read_public(path)
        if b"-----BEGIN CERTIFICATE-----" not in content and b"PRIVATE KEY-----" in content:
            return []  # a key that somebody called .pem
        found = x509.load_pem_x509_certificates(content)
    except (ValueError, ConfigError):
        return [_unreadable(path, "this is no readable PEM certificate")]
    return [_certificate(path, certificate, now) for certificate in found]


def _certificate(path: Path, certificate: x509.Certificate, now: datetime) -> Item:
    days_left = (certificate.not_valid_after_utc - now).days
    try:
        kind, names = _kind(certificate), _names(certificate)
    except ValueError:
        return _unreadable(path, "an extension of this certificate is damaged")
    return Item(
        kind=kind,
        name=path.stem,
        path=path,
        subject=certificate.subject.rfc4514_string(),
        names=names,
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=days_left,
        warn=warning_level(days_left),
        problem=_key_problem(path.with_suffix(".key")),
    )


def _kind(certificate: x509.Certificate) -> str:
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "ca"
    except x509.ExtensionNotFound:
        pass
    try:
        usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return "certificate"
    if ExtendedKeyUsageOID.SERVER_AUTH in usages:
        return "server"
    return "client" if ExtendedKeyUsageOID.CLIENT_AUTH in usages else "certificate"


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*found.get_values_for_type(x509.DNSName), *(str(a) for a in found.get_values_for_type(x509.IPAddress)))


def _ssh(path: Path) -> Item:
    private = path.with_suffix("")
    kind, name = "ssh-key", private.name
    for known, suffix in SUFFIX.items():
        if private.name.endswith(suffix):
            kind, name = known, private.name.removesuffix(suffix)
    try:
        print_ = fingerprint(read_public(path))
    except ConfigError:
        return _unreadable(path, "this is no SSH public key")
    return Item(kind=kind, name=name, path=path, fingerprint=print_, problem=_key_problem(private))


def _key_problem(path: Path) -> Finding | None:
    """What is wrong with the private half, if it lies here at all (partners' certificates have none)."""
    if not path.exists():
        return None
    try:
        check_private(path)
    except ConfigError as error:
        return Finding(error.code, "error", str(path), error.message)
    return None


def _unreadable(path: Path, why: str) -> Item:
    return Item(kind="unreadable", name=path.name, path=path, problem=Finding("SEC214", "error", str(path), why))
