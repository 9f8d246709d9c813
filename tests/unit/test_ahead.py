"""What is made ahead of its use: the same items, and errors where they belong."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator

import pytest

from transforms._ahead import one_ahead


def numbers(count: int, *, broken_at: int = -1) -> Iterator[tuple[int, int]]:
    """Numbers, each with the thread that made it."""
    for n in range(count):
        if n == broken_at:
            raise ValueError("broken")
        yield n, threading.get_ident()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_items_come_in_their_order(count: int) -> None:
    assert [n for n, _ in one_ahead(numbers(count))] == list(range(count))


def test_another_thread_makes_them_from_the_third_on() -> None:
    here = threading.get_ident()
    makers = [maker for _, maker in one_ahead(numbers(5))]
    assert [maker == here for maker in makers] == [True, True, False, False, False]


@pytest.mark.parametrize("broken_at", [0, 1, 2, 3, 7])
def test_an_error_comes_in_the_place_of_its_item(broken_at: int) -> None:
    got = []
    with pytest.raises(ValueError, match="broken"):
        got.extend(n for n, _ in one_ahead(numbers(9, broken_at=broken_at)))
    found = one_ahead(numbers(9, broken_at=broken_at))
    got = [next(found)[0] for _ in range(broken_at)]
    assert got == list(range(broken_at))


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    found = one_ahead(numbers(100))
    for _ in range(10):
        next(found)
    assert len(set(threading.enumerate()) - before) == 1
    found.close()  # type: ignore[attr-defined]  # it is a generator
    assert set(threading.enumerate()) <= before


def test_only_what_comes_after_a_costly_item_is_made_ahead() -> None:
    here = threading.get_ident()
    makers = [maker for _, maker in one_ahead(numbers(6), lambda item: item[0] == 3)]
    assert [maker == here for maker in makers] == [True, True, True, True, False, True]


def test_what_was_left_in_a_circle_may_be_collected_by_the_thread_that_makes_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trouble: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: trouble.append(found.exc_value))
    go, collected = threading.Event(), threading.Event()

    def made() -> Iterator[int]:
        yield from range(3)
        go.wait()
        gc.collect()
        collected.set()

    found = one_ahead(made())
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    circle: list[object] = [found]
    circle.append(circle)
    del found, circle
    go.set()
    assert collected.wait(10)
    assert trouble == []
