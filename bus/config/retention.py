"""Checks of ``retention:``: what tells a second copy from the first must outlive every way to come again."""

from __future__ import annotations

from collections.abc import Iterator

from bus.config.model import Landscape
from bus.config.problems import Problem
from bus.landscape import ErrorPolicySpec

_FILE = "bus.yaml"
_DAY = 86_400_000


def retention_problems(landscape: Landscape) -> Iterator[Problem]:
    """Settings that forget an arrival while its units may still be tried again."""
    kept = landscape.spec.retention
    policies = {f"route `{name}`": loaded.spec.on_error for name, loaded in landscape.routes.items()}
    policies |= {f"outlet `{name}`": outlet.on_error for name, outlet in landscape.spec.outlets.items()}
    for name, policy in sorted(policies.items()):
        window = _window(policy)
        for setting, time in (("inbox", kept.inbox), ("arrivals", kept.arrivals)):
            if time < window:
                text = f"`retention.{setting}` is shorter than the time for which {name} tries again ({_days(window)})"
                yield _at(landscape, setting, text)
    if kept.arrivals < kept.inbox:
        yield _at(landscape, "arrivals", "`retention.arrivals` is shorter than `retention.inbox`")


def _window(policy: ErrorPolicySpec) -> int:
    """Longest time from the first attempt to the last, milliseconds."""
    wait, total = float(policy.backoff.first), 0.0
    for _ in range(policy.attempts - 1):
        total += min(wait, policy.backoff.most)
        wait = min(wait * policy.backoff.factor, policy.backoff.most)
    return round(total * 1.1)


def _days(milliseconds: int) -> str:
    return f"{milliseconds / _DAY:.1f}d"


def _at(landscape: Landscape, setting: str, text: str) -> Problem:
    hint = "keep it longer, or try for a shorter time"
    file = landscape.files.get(_FILE)
    node = file.root if file is not None else None
    for part in ("retention", setting):
        if node is not None and isinstance(node.value, dict) and part in node.value:
            node = node.value[part]
    if node is None:
        return Problem("SYS147", "error", _FILE, 0, 0, text, hint=hint)
    return node.problem("SYS147", _FILE, text, hint=hint)
