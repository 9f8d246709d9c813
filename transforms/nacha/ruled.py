"""Payments and direct debits of a NACHA file that keep a profile."""

from __future__ import annotations

from typing import Any

from bus import Rejected, RuleBook
from transforms._rules import check_count, check_size, in_characters
from transforms.canonical import MODELS
from transforms.canonical.checks import refusal
from transforms.nacha.entries import is_raw
from transforms.nacha.items import refused


class Ruled:
    """The rules of a profile for a file that is written at a time (milliseconds since 1970 UTC)."""

    def __init__(self, book: RuleBook, at: int) -> None:
        self._book, self._at = book, at
        self._rules = book.at(at)
        self._group: tuple[Any, ...] = ()
        self._in_block = self._begun = 0

    def prepared(self, body: Any, number: int) -> dict[str, Any]:
        """The body as it is written: codes filled in, a possible day, all texts in the profile's characters.

        Raises:
            Rejected: ``VAL671`` for a body of another model, the code of the canonical check or of the rule it breaks.
        """
        kind = body.get("type", "payment") if isinstance(body, dict) else None
        if kind != self._book.model or is_raw(body):
            text = f"payment {number}: the profile `{self._book.name}` is about a {self._book.model}, this is none"
            raise Rejected("VAL671", text, hint="write it by another format, without that profile", place="type")
        try:
            flaws: tuple[Any, ...] = MODELS[self._book.model](body)
            if flaws:
                raise refusal(flaws)
            prepared: dict[str, Any] = self._book.prepare(body, self._at)
            return prepared if self._rules.convert is None else in_characters(prepared, self._rules.convert)
        except Rejected as error:
            found = refused(number, error.place, error.message, error.hint, error.code)
            found.reason, found.findings = error.reason, error.findings
            raise found from None

    def block(self, body: Any) -> int:
        """Number of the batch that the profile wants a body in; it goes up where a new one has to begin."""
        group = self._rules.group(body)
        if group != self._group or self._in_block == self._rules.most_in_block:
            self._group, self._in_block, self._begun = group, 0, self._begun + 1
        self._in_block += 1
        return self._begun

    def prove(self, count: int, size: int) -> None:
        """Raises Rejected ``VAL700``, ``VAL701``: more payments or bytes than the profile takes."""
        check_count(count, self._rules)
        check_size(size, self._rules)
