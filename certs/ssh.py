"""SSH host and client keys: ed25519, OpenSSH's own file formats and fingerprints."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bus.errors import ConfigError
from certs.files import check_name, write_private, write_public

SshKind = Literal["ssh-host", "ssh-client"]
SUFFIX: dict[SshKind, str] = {"ssh-host": "_host_ed25519_key", "ssh-client": "_id_ed25519"}
"""How the file of a key is called after its name, in OpenSSH's manner; the public half has ``.pub`` in addition."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An issued key pair.

    Attributes:
        private: file in OpenSSH's private format, mode 0600.
        public: file with one line ``ssh-ed25519 AAAA… comment``.
        fingerprint: ``SHA256:…`` as ``ssh-keygen -l`` prints it.
    """

    kind: SshKind
    name: str
    private: Path
    public: Path
    fingerprint: str


def issue_key(kind: SshKind, name: str, folder: Path, *, replace: bool = False) -> KeyPair:
    """Make an ed25519 key pair in ``folder``.

    With ``replace`` a former pair of that name is overwritten; partners must then pin the new fingerprint.

    Raises:
        ConfigError: ``SEC200`` bad name.
        NotAllowed: ``SEC201`` repository, ``SEC202`` there already, ``SEC204`` open folder.
        Unavailable: ``SEC217`` disk refuses.
    """
    private = folder / (check_name(name) + SUFFIX[kind])
    public = private.with_name(private.name + ".pub")
    key = Ed25519PrivateKey.generate()
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + f" girobus-{name}\n".encode()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    # The private half decides whether the name is taken, so it goes first; the public half merely follows it.
    write_private(private, secret, replace=replace)
    write_public(public, line, replace=True)
    return KeyPair(kind, name, private, public, fingerprint(line))


def fingerprint(public_line: bytes) -> str:
    """``SHA256:…`` of a public key line, as OpenSSH prints it (base64 of SHA-256 of the key blob, without padding).

    Raises:
        ConfigError: ``SEC207`` when it is no public key line.
    """
    parts = public_line.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error):
        blob = b""
    # RFC 4253 §6.6: the blob begins with length and text of the algorithm's name, the same as the line's first word.
    if not parts or blob[:4] != len(parts[0]).to_bytes(4, "big") or blob[4 : 4 + len(parts[0])] != parts[0]:
        raise ConfigError("SEC207", "this is no SSH public key", hint="give a line such as `ssh-ed25519 AAAA… name`")
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
