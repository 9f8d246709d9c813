"""What writers of payments by a profile have in common: the rule book itself, characters, and limits of whole files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bus import ConfigError, FileRules, Rejected, RuleBook, StepResources


def rule_book(name: str, resources: StepResources | None) -> RuleBook | None:
    """The profile that a format names; None where it names none.

    Raises:
        ConfigError: ``VAL680``: there is no such profile, or no landscape that could know it.
    """
    if not name:
        return None
    if resources is None:
        raise ConfigError("VAL680", "profiles are known in a landscape only", hint="write it in a route")
    return resources.profile(name)


def in_characters(value: Any, convert: Callable[[str], str]) -> Any:
    """A body with all its texts in a character set. Raises Rejected ``VAL444`` for a character that has no place."""
    if isinstance(value, str):
        return convert(value)
    if isinstance(value, Mapping):
        return {name: in_characters(inner, convert) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [in_characters(inner, convert) for inner in value]
    return value


def check_count(count: int, rules: FileRules | None) -> None:
    """Raises Rejected ``VAL700`` when a file has more payments than a profile takes."""
    most = rules.most_payments if rules is not None else None
    if most is not None and count > most:
        text = f"the file has {count} payments, the profile takes at most {most}"
        raise Rejected("VAL700", text, reason="AM18", hint="make the groups smaller: `size` of `aggregate`")


def check_size(size: int, rules: FileRules | None) -> None:
    """Raises Rejected ``VAL701`` when a file that was just written has more bytes than a profile takes."""
    allowed = rules.most_bytes if rules is not None else None
    if allowed is not None and size > allowed:
        text = f"the file has {size} bytes, the profile takes at most {allowed}"
        raise Rejected("VAL701", text, hint="make the groups smaller: `size` of `aggregate`")
