"""Makes the next of something while the present one is used; for work that libxml2 does without holding up Python."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order; from the third on each is made by another thread while the one before is used.

    An error comes when the item is asked for that could not be made. Few items are not worth a thread.
    """
    for _ in range(2):
        item = next(items, _END)
        if item is _END:
            return
        yield item
    with ThreadPoolExecutor(1, "read-ahead") as helper:
        coming = helper.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = helper.submit(next, items, _END)
            yield item
