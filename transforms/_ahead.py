"""Makes the next of something while the present one is used; for work that libxml2 does without holding up Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def one_ahead(items: Iterator[T], after: Callable[[T], bool] = lambda _item: True) -> Iterator[T]:
    """The same items in the same order; from the third on each is made by another thread while the one before is used.

    That is so for items that come ``after`` one for which it is worth it. An error comes when the item is asked for
    that could not be made. Few items are not worth a thread.
    """
    number, item = 1, next(items, _END)
    helper = ThreadPoolExecutor(1, "read-ahead")  # without a task it has no thread
    try:
        while item is not _END:
            coming = helper.submit(next, items, _END) if number > 1 and after(item) else None
            yield item
            number, item = number + 1, next(items, _END) if coming is None else coming.result()
    finally:
        with suppress(RuntimeError):  # the garbage collector, run by the helper itself, which cannot wait for its end
            helper.shutdown()
