"""Keys and certificates: TLS contexts, a development CA, SSH host and client keys.

Names are loaded on first use (PEP 562): a TLS context needs only the standard library, not `cryptography`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certs.authority import Authority as Authority
    from certs.authority import Certified as Certified
    from certs.expiry import Item as Item
    from certs.expiry import survey as survey
    from certs.files import check_private as check_private
    from certs.files import default_folder as default_folder
    from certs.files import read_private as read_private
    from certs.files import write_private as write_private
    from certs.ssh import KeyPair as KeyPair
    from certs.ssh import fingerprint as fingerprint
    from certs.ssh import issue_key as issue_key
    from certs.tls import Identity as Identity
    from certs.tls import ReloadingContext as ReloadingContext
    from certs.tls import client_context as client_context
    from certs.tls import reloading_client as reloading_client
    from certs.tls import reloading_server as reloading_server
    from certs.tls import server_context as server_context

_HOME = {
    "certs.authority": "Authority Certified",
    "certs.expiry": "Item survey",
    "certs.files": "check_private default_folder read_private write_private",
    "certs.ssh": "KeyPair fingerprint issue_key",
    "certs.tls": "Identity ReloadingContext client_context reloading_client reloading_server server_context",
}
_WHERE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_WHERE)  # noqa: PLE0605 - the list follows from the table above, one place to change


def __getattr__(name: str) -> Any:
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'certs' has no attribute {name!r}") from None
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
