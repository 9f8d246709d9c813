"""What is made while a commit waits comes in its order, once, with its errors."""

from __future__ import annotations

import itertools
import threading

import pytest

from bus.errors import Rejected
from bus.runtime.ahead import Ahead


def test_the_next_is_made_by_another_thread_once_it_was_begun() -> None:
    numbers, makers = itertools.count(), []

    def make() -> int:
        makers.append(threading.current_thread())
        return next(numbers)

    with Ahead(make) as ahead:
        first = ahead.take()
        ahead.begin()
        ahead.begin()  # a transaction that runs again begins it again
        assert [first, ahead.take(), ahead.take()] == [0, 1, 2]
    assert [maker is threading.current_thread() for maker in makers] == [True, False, True]


def test_its_error_comes_when_it_is_asked_for() -> None:
    def make() -> int:
        raise Rejected("VAL420", "the balances miss")

    with Ahead(make) as ahead:
        ahead.begin()
        with pytest.raises(Rejected, match="balances"):
            ahead.take()


def test_nothing_is_made_any_more_once_the_block_was_left() -> None:
    made, going = [], threading.Event()

    def make() -> None:
        going.wait(5)
        made.append(1)

    with Ahead(make) as ahead:
        ahead.begin()
        going.set()
    assert made == [1], "it is waited for"
