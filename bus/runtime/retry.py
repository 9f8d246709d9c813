"""When a failed unit runs again."""

from __future__ import annotations

import random

from bus.errors import BusError
from bus.landscape import BackoffSpec

SETTLED_ELSEWHERE = "SYS122"
COMES_AGAIN = frozenset({SETTLED_ELSEWHERE, "SYS126"})
"""Codes of commits that were refused because of others: what is left of the batch comes again by itself."""
STORE_REFUSES = COMES_AGAIN | {"SYS111", "SYS123", "SYS124"}
"""Codes of commits that the store refused, whatever was in them: the unit is untouched and taken again, uncounted."""
DOCUMENTS_AWAY = "SYS112"
"""The code of a step or an outlet to which the store of documents was refused: no message is to blame for that, so none
is given up; its last wait is repeated until the store is back."""


def code_of(error: Exception) -> str:
    """The code of an error of ours, else nothing."""
    return error.code if isinstance(error, BusError) else ""


def described(error: Exception) -> tuple[str, str]:
    """(code, sentence) of any error; foreign errors show their type alone, for their text may hold payload."""
    if isinstance(error, BusError):
        return error.code, error.message
    return "INT199", f"unexpected {type(error).__name__} in a step"


def attempt_after(attempts: int, failed: int, code: str) -> int:
    """How many of ``attempts`` count as failed when the ``failed``-th has, with ``code``; 0 = no more follow."""
    if failed < attempts:
        return failed
    return max(attempts - 1, 1) if code == DOCUMENTS_AWAY else 0


def next_wait(backoff: BackoffSpec, attempt: int, chance: random.Random) -> int:
    """Milliseconds to wait after the ``attempt``-th failure (from 1): exponential, bounded, spread by a tenth."""
    wait = min(backoff.first * backoff.factor ** min(attempt - 1, 64), backoff.most)
    return max(1, round(wait * chance.uniform(0.9, 1.1)))


def longest(backoff: BackoffSpec) -> int:
    """Milliseconds that no :func:`next_wait` is over."""
    return round(backoff.most * 1.1) + 1


def resting(until: int, now: int, backoff: BackoffSpec) -> bool:
    """Whether a partner is still left alone; no rest is longer than the longest, even when the clock was set back."""
    return now < until <= now + longest(backoff)
