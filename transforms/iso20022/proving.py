"""Validates a message while the rest of it is still written: in pieces, each of which is a small message of its own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from transforms.iso20022.schemas import is_valid


class Proof:
    """The verdict on the pieces of one message; libxml2 looks at them without holding up the thread that writes."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._helper: ThreadPoolExecutor | None = None
        self._running: Future[bool] | None = None
        self._holds = True

    def add(self, piece: bytes) -> None:
        """Have a piece looked at; waits until the one before was, so that no more than two are in memory."""
        self._settle()
        self._helper = self._helper or ThreadPoolExecutor(1, "validation")
        self._running = self._helper.submit(is_valid, piece, self._message)

    def end(self, piece: bytes) -> bool:
        """Whether all pieces are valid and this one is, the last; a message of one piece needs no other thread."""
        valid = is_valid(piece, self._message)
        self._settle()
        return valid and self._holds

    def _settle(self) -> None:
        if self._running is not None:
            self._holds = self._running.result() and self._holds
            self._running = None

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._helper is not None:
            self._helper.shutdown()
