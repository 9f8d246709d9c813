"""Why another program cannot be reached, for the person who has to mend it: known causes in words, nothing foreign."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

_OVER, _NOT_YET, _OTHER_NAMES = 10, 9, (62, 63, 64)
"""X509_V_ERR_… of OpenSSL: CERT_HAS_EXPIRED, CERT_NOT_YET_VALID, and HOSTNAME_, EMAIL_ and IP_ADDRESS_MISMATCH."""
_DEEP = 10


class Unreachable(NamedTuple):
    """What is wrong, and what to do about it."""

    said: str
    do: str


_HUNG_UP = Unreachable("it hung up", "see its log; does it want TLS, or a certificate of ours?")
_PLAIN: tuple[tuple[type[BaseException], Unreachable], ...] = (
    (socket.gaierror, Unreachable("no such host", "see the name of the host, and whether names are resolved here")),
    (ConnectionRefusedError, Unreachable("nothing listens there", "is it running, and is the port the right one?")),
    (TimeoutError, Unreachable("no answer", "see the network and its firewalls")),
    (ConnectionResetError, _HUNG_UP),
    (BrokenPipeError, _HUNG_UP),
)


def why_unreachable(error: BaseException) -> Unreachable:
    """What an error of a connection means; the first one that is known among it and its causes decides."""
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return _not_believed(one)
        if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLZeroReturnError):
            return _handshake(one.reason or "")
        if type(one) is OSError and one.errno is None:  # what a library says of an end of the stream
            return _HUNG_UP
        for kind, found in _PLAIN:
            if isinstance(one, kind):
                return found
    return Unreachable(type(error).__name__, "is it running? see its log")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what libraries put into it instead."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _DEEP:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inside = (one.__cause__, getattr(one, "exception", None), *one.args, one.__context__)
        waiting += [each for each in inside if isinstance(each, BaseException)]


def _not_believed(error: ssl.SSLCertVerificationError) -> Unreachable:
    if error.verify_code == _OVER:
        return Unreachable("its certificate has expired", "its operators have to renew it; is our clock right?")
    if error.verify_code == _NOT_YET:
        return Unreachable("its certificate is not valid yet", "is our clock right?")
    if error.verify_code in _OTHER_NAMES:
        return Unreachable("its certificate is for another name", "write the host as its certificate names it")
    return Unreachable(
        f"its certificate is not believed ({error.verify_message})",
        "put the CA that signed it into the file of `trust`",
    )


def _handshake(reason: str) -> Unreachable:
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
        return Unreachable("it speaks no TLS there", "see the port, and how the url begins")
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        said = f"it refuses our certificate ({reason})"
        return Unreachable(said, "see `certificate` and `key`: there, not expired, and of a CA that it believes?")
    return Unreachable(f"no TLS with it ({reason or 'ended'})", "it takes TLS 1.2 or later; see its log")
