"""What is wrong in a configuration file, with its place and, where it is obvious, the edit that repairs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bus.errors import ConfigError, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from ``start`` up to ``end`` (offsets in the file's text) by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of ``bus check``.

    Attributes:
        code: stable code, see ``bus explain CODE``.
        severity: only errors keep a landscape from running.
        path: the file, relative to the landscape's folder, with ``/``.
        line: from 1; 0 when the file as a whole is meant.
        column: from 1; 0 when the file as a whole is meant.
        message: what is wrong; never a secret.
        hint: what to write instead.
        length: how many characters the caret marks.
        fix: the repair, where there is exactly one likely.
    """

    code: str
    severity: Severity
    path: str
    line: int
    column: int
    message: str
    hint: str = ""
    length: int = 1
    fix: Edit | None = None

    def as_error(self) -> ConfigError:
        """The problem as an exception, for callers that cannot go on."""
        return ConfigError(self.code, self.message, hint=self.hint, path=self.path, line=self.line, column=self.column)


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``word`` was most likely meant to be, or ``""``."""
    return next(iter(near(word, known)), "")


def near(word: str, known: Iterable[str]) -> list[str]:
    """All of ``known`` that ``word`` may have been meant to be, the likeliest first; a repair needs exactly one."""
    if len(word) > _LONGEST_SLIP:
        return []
    from difflib import get_close_matches  # noqa: PLC0415 - only after a slip

    names = {name.lower().replace("-", "_"): name for name in known}
    return [names[found] for found in get_close_matches(word.lower().replace("-", "_"), names)]


_LONGEST_SLIP = 60
"""Comparing is quadratic; nobody misspells a word into something this long."""


def listed(names: list[str], most: int = 12) -> str:
    """Names in backticks for a message, cut after ``most``."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
