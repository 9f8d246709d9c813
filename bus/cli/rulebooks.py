"""Profiles for the commands that look at files: found by name, their findings told with the place in the file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bus.errors import BusError, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bus.ports import Part, RuleBook

_MOST_OF_A_CODE = 25


def profiles(folder: Path) -> Any:
    """All profiles: those beside the routes, where there are routes, and the shipped ones."""
    from bus.config import load_landscape  # noqa: PLC0415 - loads the configuration package
    from bus.registry import profile_support  # noqa: PLC0415

    own = load_landscape(folder).profiles if (folder / "bus.yaml").is_file() else {}
    return profile_support().Profiles({name: loaded.spec for name, loaded in own.items()})


def find_profile(name: str, folder: Path) -> RuleBook:
    """A profile by name.

    Raises:
        ConfigError: ``VAL680`` when there is none.
    """
    found: RuleBook = profiles(folder).get(name)
    return found


def profile_findings(parts: Iterable[Part], book: RuleBook) -> Iterator[Finding]:
    """What the payments of a file break, at most some of each code; the rest is counted.

    Records that could not be read are told by the format already.
    """
    counts: Counter[str] = Counter()
    seen = 0
    try:
        for part in parts:
            if part.error is not None or not isinstance(part.body, dict) or part.body.get("type") != book.model:
                continue
            seen += 1
            for found in book.findings(part.body):
                counts[found.code] += 1
                if counts[found.code] <= _MOST_OF_A_CODE:
                    yield _placed(found, part.place)
    except BusError:
        seen += 1  # what ends the reading is a finding of the format
    for code, count in sorted(counts.items()):
        if count > _MOST_OF_A_CODE:
            yield Finding("VAL463", "info", "", f"and {count - _MOST_OF_A_CODE} more of {code}")
    if not seen:
        yield Finding("VAL702", "warning", "", f"nothing in the file is a {book.model}, which `{book.name}` is about")


def _placed(found: Finding, place: str) -> Finding:
    reason = getattr(found, "reason", "")
    where = f"{place}: {found.place}" if place and found.place else place or found.place
    return Finding(found.code, found.severity, where, f"{found.message}{f' ({reason})' if reason else ''}")
