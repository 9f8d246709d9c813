"""Makes the next of something while the present one waits for the disk, the database or the network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """One thing after the other, in their order; used by one thread at a time.

    Args:
        make: makes the next; called by one thread at a time, but not always by the same.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._helper = ThreadPoolExecutor(1, "ahead")  # without a task it has no thread
        self._coming: Future[T] | None = None

    def begin(self) -> None:
        """Have another thread make the next; again is the same as once."""
        if self._coming is None:
            self._coming = self._helper.submit(self._make)

    def take(self) -> T:
        """The next. An error of making it is raised here."""
        coming, self._coming = self._coming, None
        return self._make() if coming is None else coming.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._helper.shutdown()
