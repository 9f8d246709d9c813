"""A layout whose bodies keep a profile: what it prescribes is filled in, and its limits hold."""

from __future__ import annotations

from typing import Any

from bus import RuleBook
from transforms._rules import check_count
from transforms.iso20022.compose import Draft, Layout, Tally
from transforms.iso20022.forms import Form

MODELS = {"pain.001": "payment", "pain.008": "direct-debit"}
"""Message that is written by a profile -> canonical model that the profile has to be about."""


class Ruled:
    """Another layout with the rules of a profile, for a file that is written at a time (milliseconds since 1970)."""

    def __init__(self, layout: Layout, book: RuleBook, at: int) -> None:
        self._layout, self._book, self._at = layout, book, at
        self._rules = book.at(at)
        self._key: Any = None
        self._in_block = self._begun = 0

    @property
    def types(self) -> tuple[str, ...]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return self._layout.types

    @property
    def head(self) -> Form:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return self._layout.head

    @property
    def container(self) -> Form:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return self._layout.container

    @property
    def record(self) -> Form:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return self._layout.record

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`; a new block also where the profile wants one.

        Raises:
            Rejected: a rule is broken.
        """
        body = self._book.prepare(body, self._at)
        draft = self._layout.draft(body, index)
        key = (draft.key, self._rules.group(body))
        if key != self._key or self._in_block == self._rules.most_in_block:
            self._key, self._in_block, self._begun = key, 0, self._begun + 1
        self._in_block += 1
        return draft._replace(key=(key, self._begun))

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return self._layout.close(container, tally)

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`.

        Raises:
            Rejected: ``VAL700``: more records than the profile takes in a file.
        """
        check_count(tally.count, self._rules)
        return self._layout.finish(message, tally)
