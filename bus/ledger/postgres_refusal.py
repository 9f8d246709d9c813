"""Why a PostgreSQL database cannot be used, in words of our own: those of the server may repeat a secret."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors

from bus.errors import Unavailable

_PLEASE = "see that it runs, that `ledger:` names it and that this user may connect"
_ADDRESS = (
    "its address cannot be read",
    "see the names of its options; in a password `/` is written %2F, `@` %40, `#` %23, `?` %3F and `%` %25",
)
_BY_CLASS: tuple[tuple[type[psycopg.Error], str, str], ...] = (
    (
        errors.ReadOnlySqlTransaction,
        "it takes no writes",
        "it is a replica or set to read-only; several hosts in the address need target_session_attrs=read-write",
    ),
    (
        errors.InsufficientPrivilege,
        "this user lacks a right",
        "grant it as the database's owner: GRANT USAGE, CREATE ON SCHEMA … TO the user of `ledger:`",
    ),
    (errors.InvalidSchemaName, "there is no schema to make tables in", "see search_path, or create the schema"),
    (errors.DiskFull, "its disk is full", "make room on the server"),
)
# What libpq and the server say while connecting has no code of its own. In another language it stays unexplained.
_BY_WORDS = (
    ("password authentication failed", "the password is refused", "see user and password of `ledger:`"),
    ("no password supplied", "it wants a password", "write the address as `${file:…}` with the password in it"),
    ("no pg_hba.conf entry", "it takes nobody from here as this user", "add a line to its pg_hba.conf, or use TLS"),
    ("database system is", "it is starting, stopping or in recovery", "try again in some seconds"),
    ("too many clients", "it has no connection left", "raise max_connections, or use fewer workers"),
    ("remaining connection slots", "it has no connection left", "raise max_connections, or use fewer workers"),
    ("is not permitted to log in", "this user may not log in", "ALTER ROLE … LOGIN"),
    ('role ".*" does not exist', "it does not know this user", "see the user of `ledger:`, or create the role"),
    ('database ".*" does not exist', "there is no such database", "see the end of `ledger:`, or create the database"),
    ("certificate has expired", "its certificate has expired", "renew it; is our clock right?"),
    ("does not match host name", "its certificate is for another name", "write the host as its certificate names it"),
    ("certificate verify failed", "its certificate is not believed", "put the CA that signed it into sslrootcert"),
    ("root certificate file", "the file of sslrootcert is not there", "correct its path in the address"),
    ("private key file", "the file of sslkey cannot be used", "correct its path; it is owner-only"),
    ("certificate file", "the file of sslcert cannot be used", "correct its path in the address"),
    ("does not support SSL", "it speaks no TLS", "switch `ssl` on at the server; sslmode asks for it here"),
    (
        "not translate host name",
        "no such host",
        "see the host in `ledger:`; a `/` in a password before it is written %2F",
    ),
    (
        "failed to resolve host",
        "no such host",
        "see the host in `ledger:`; a `/` in a password before it is written %2F",
    ),
    ("Connection refused", "nothing listens there", "does it run, and is the port the right one?"),
    ("timeout expired", "no answer", "see the network and its firewalls"),
    ("session is read-only", "it takes no writes", "none of the hosts in the address is the primary"),
)


def unreachable(error: psycopg.Error) -> Unavailable:
    """``SYS135`` for who cannot begin without the database; of the error's text nothing is handed on."""
    why, do = _meaning(error)
    return Unavailable("SYS135", f"the PostgreSQL ledger cannot be used: {why}", hint=do)


def _meaning(error: psycopg.Error) -> tuple[str, str]:
    for kind, why, do in _BY_CLASS:
        if isinstance(error, kind):
            return why, do
    if error.sqlstate:
        return type(error).__name__, _PLEASE
    if isinstance(error, psycopg.ProgrammingError) or "invalid integer value" in str(error):
        return _ADDRESS
    text = str(error)
    return next(((why, do) for words, why, do in _BY_WORDS if re.search(words, text)), ("no connection", _PLEASE))
