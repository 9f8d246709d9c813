"""A certificate authority for development and tests: a root of its own and short-lived certificates under it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bus.errors import ConfigError
from certs.files import check_name, read_private, read_public, write_private, write_public

TlsKind = Literal["ca", "server", "client"]
ROOT_DAYS = 365
LEAF_DAYS = 30
MOST_DAYS = {"ca": 1_825, "server": 90, "client": 90}
"""Longest validity in days. Short-lived leaves make rotation a habit; a forgotten one does no harm for long."""

_USAGE = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
# Clocks differ between machines: a certificate made now must be valid on a partner whose clock is a little behind.
_SKEW = timedelta(minutes=5)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Certified:
    """An issued certificate.

    Attributes:
        certificate: PEM file of the certificate.
        key: PEM file of its private key (PKCS#8), mode 0600.
        serial: as hexadecimal digits.
        fingerprint: SHA-256 of the certificate, as hexadecimal digits.
    """

    kind: TlsKind
    name: str
    certificate: Path
    key: Path
    serial: str
    not_after: datetime
    fingerprint: str


class Authority:
    """A root certificate with its key, able to issue certificates into the same folder.

    Make one with :meth:`create` or :meth:`load`.
    """

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.folder = folder
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(
        cls, name: str, folder: Path, *, days: int = ROOT_DAYS, now: datetime | None = None, replace: bool = False
    ) -> Certified:
        """Make a root ``NAME.crt`` with ``NAME.key`` (ECDSA P-256, path length 0: it signs leaves only).

        Raises:
            ConfigError: ``SEC200`` bad name, ``SEC211`` bad validity.
            NotAllowed: ``SEC201`` repository, ``SEC202`` there already, ``SEC204`` open folder.
            Unavailable: ``SEC217`` disk refuses.
        """
        now = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        # Two roots must not share a name: a verifier that knows the former one would look for the key in the wrong one.
        serial = x509.random_serial_number()
        subject = _subject(check_name(name), f"girobus development CA {serial:040x}"[:63])
        builder = _builder(subject, subject, key.public_key(), serial)
        certificate = (
            builder.not_valid_before(now - _SKEW)
            .not_valid_after(now + timedelta(days=_days("ca", days)))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage("ca"), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        return _store("ca", name, folder, (certificate, key), replace=replace)

    @classmethod
    def load(cls, name: str, folder: Path) -> Authority:
        """The root called ``name`` in ``folder``.

        Raises:
            ConfigError: ``SEC203`` its key is open to others, ``SEC206`` key and certificate do not belong together,
                ``SEC207`` damaged, ``SEC208`` missing, ``SEC209`` no CA.
        """
        path = folder / f"{check_name(name)}.crt"
        try:
            certificate = x509.load_pem_x509_certificate(read_public(path))
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            constraints = x509.BasicConstraints(ca=False, path_length=None)
        except ValueError:
            raise ConfigError(
                "SEC207", f"`{path}` is no PEM certificate", hint="issue it again", path=str(path)
            ) from None
        if not constraints.ca:
            hint = "name a root with `--ca`, or issue one with `--kind ca`"
            raise ConfigError("SEC209", f"`{path}` is no CA certificate", hint=hint, path=str(path))
        key = _load_key(path.with_suffix(".key"))
        if _public(key) != _public(certificate):
            raise ConfigError(
                "SEC206",
                f"the key beside `{path}` is not its own",
                hint="issue the CA again with `--replace`",
                path=str(path),
            )
        return cls(folder, certificate, key)

    def issue(
        self,
        kind: Literal["server", "client"],
        name: str,
        *,
        names: tuple[str, ...] = (),
        days: int = LEAF_DAYS,
        now: datetime | None = None,
        replace: bool = False,
    ) -> Certified:
        """Make ``NAME.crt`` with ``NAME.key`` beside the root, signed by it.

        Args:
            kind: what it may be used for (extended key usage).
            name: file name and common name.
            names: subject alternative names: host names (``*.`` allowed in front) and IP addresses; default ``name``.
            days: validity; never longer than the root's own.
            now: begin of validity, for tests.
            replace: rotate: overwrite a former key and certificate of that name.

        Raises:
            ConfigError: ``SEC200`` bad name, ``SEC209`` the root is expired, ``SEC210`` bad alternative name,
                ``SEC211`` bad validity.
            NotAllowed: ``SEC201`` repository, ``SEC202`` there already or the root's own name, ``SEC204`` open folder.
            Unavailable: ``SEC217`` disk refuses.
        """
        now = now or datetime.now(UTC)
        last = self.certificate.not_valid_after_utc
        if last <= now:
            raise ConfigError("SEC209", "the CA is expired", hint="rotate it: `bus certs issue --kind ca --replace`")
        self._refuse_own_name(name)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(check_name(name)), self.certificate.subject, key.public_key())
        certificate = (
            builder.not_valid_before(max(now - _SKEW, self.certificate.not_valid_before_utc))
            .not_valid_after(min(now + timedelta(days=_days(kind, days)), last))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(kind), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGE[kind]]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names or (name,)]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        return _store(kind, name, self.folder, (certificate, key), replace=replace)

    def _refuse_own_name(self, name: str) -> None:
        path = self.folder / f"{name}.crt"
        if path.exists() and read_public(path).strip() == self.certificate.public_bytes(Encoding.PEM).strip():
            raise ConfigError("SEC210", f"`{name}` is the CA itself", hint="give the certificate a name of its own")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int | None = None
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(serial or x509.random_serial_number())
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _subject(name: str, unit: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "girobus")]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name(parts)


def _key_usage(kind: TlsKind) -> x509.KeyUsage:
    root = kind == "ca"
    return x509.KeyUsage(
        digital_signature=not root,
        key_cert_sign=root,
        crl_sign=root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _days(kind: TlsKind, days: int) -> int:
    if not 1 <= days <= MOST_DAYS[kind]:
        raise ConfigError(
            "SEC211", f"a {kind} certificate is valid for 1 to {MOST_DAYS[kind]} days", hint="change `--days`"
        )
    return days


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text) or len(text) > 253:
            raise ConfigError(
                "SEC210",
                "an alternative name is neither a host name nor an IP address",
                hint="for instance `sftp.bank.example`",
            ) from None
        return x509.DNSName(text)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(
            "SEC207", f"`{path}` is no usable private key", hint="issue it again", path=str(path)
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("SEC207", f"`{path}` is no ECDSA key", hint="issue it again", path=str(path))
    return key


def _public(owner: ec.EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _store(
    kind: TlsKind, name: str, folder: Path, made: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], *, replace: bool
) -> Certified:
    certificate, key = made
    path, key_path = folder / f"{name}.crt", folder / f"{name}.key"
    # The key decides whether the name is taken. Between the two writes the pair does not match; a reloading context
    # then keeps the former pair in service until the second file is there.
    write_private(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), replace=replace)
    write_public(path, certificate.public_bytes(Encoding.PEM), replace=True)
    digest = certificate.fingerprint(SHA256()).hex()
    return Certified(
        kind, name, path, key_path, f"{certificate.serial_number:x}", certificate.not_valid_after_utc, digest
    )
