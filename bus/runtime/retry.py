"""When a failed unit runs again."""

from __future__ import annotations

import random

from bus.spec import BackoffSpec


def next_wait(backoff: BackoffSpec, attempt: int, chance: random.Random) -> int:
    """Milliseconds to wait after the ``attempt``-th failure (from 1): exponential, bounded, spread by a tenth."""
    wait = min(backoff.first * backoff.factor ** min(attempt - 1, 64), backoff.most)
    return max(1, round(wait * chance.uniform(0.9, 1.1)))


def resting(until: int, now: int, backoff: BackoffSpec) -> bool:
    """Whether a partner is still left alone; no rest is longer than the longest, even when the clock was set back."""
    return now < until <= now + backoff.most * 1.1 + 1
