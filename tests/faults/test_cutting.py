"""The cutting proxy: as many bytes as were ordered go through, then the connection breaks as it was ordered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.cutting import Cut, CuttingProxy, How

SENT = bytes(range(256)) * 400


@pytest.fixture
def proxy() -> Iterator[CuttingProxy]:
    """In front of a server that echoes everything, for one connection after the other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    with CuttingProxy(listener.getsockname()[1]) as made:
        yield made
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def echoed(proxy: CuttingProxy) -> tuple[bytes, str]:
    """What comes back of :data:`SENT`, and how it ended."""
    found = b""
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
        connection.settimeout(0.5)

        def send() -> None:
            try:
                connection.sendall(SENT)
            except OSError:
                return

        sending = threading.Thread(target=send)
        sending.start()
        try:
            while len(found) < len(SENT):
                data = connection.recv(65536)
                if not data:
                    return found, "closed"
                found += data
        except TimeoutError:
            return found, "silent"
        except ConnectionResetError:
            return found, "reset"
        finally:
            connection.close()
            sending.join()
    return found, "whole"


def test_all_goes_through_as_long_as_nothing_is_ordered(proxy: CuttingProxy) -> None:
    assert echoed(proxy) == (SENT, "whole")


@pytest.mark.parametrize(("how", "end"), [("close", "closed"), ("reset", "reset"), ("freeze", "silent")])
@pytest.mark.parametrize("left", [1, 4096, 50_001])
def test_what_comes_in_is_cut_at_the_byte_and_the_next_connection_is_whole(
    proxy: CuttingProxy, how: How, end: str, left: int
) -> None:
    hit = threading.Event()
    proxy.arm(Cut(left, how, hit.set, inwards=True))
    found, ended = echoed(proxy)
    proxy.disarm()
    assert hit.is_set()
    assert ended == end
    assert found == SENT[: len(found)]
    assert len(found) == left or (how == "reset" and len(found) < left), "a reset may overtake what was sent before it"
    assert echoed(proxy) == (SENT, "whole")


def test_what_goes_out_is_counted_apart(proxy: CuttingProxy) -> None:
    proxy.arm(Cut(70_000, "freeze", lambda: None, inwards=False))
    assert echoed(proxy) == (SENT[:70_000], "silent")


def test_nothing_is_hit_after_it_was_disarmed(proxy: CuttingProxy) -> None:
    hit = threading.Event()
    proxy.arm(Cut(10, "close", hit.set, inwards=True))
    proxy.disarm()
    assert echoed(proxy) == (SENT, "whole")
    assert not hit.is_set()
