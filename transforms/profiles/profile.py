"""A profile at work: finds the edition of the day, checks payments by it and prepares them for writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from transforms.canonical import MODELS, Flaw
from transforms.canonical.checks import refusal
from transforms.profiles.calendars import local, zone
from transforms.profiles.execution import ExecutionDays
from transforms.profiles.flaws import value_at
from transforms.profiles.rules import CODES, compile_rules, conversion
from transforms.profiles.specs import RulesSpec

DAY_FIELDS = {"payment": "execution_date", "direct-debit": "collection_date"}
"""Canonical model -> field with the day on which money shall move."""
_MOST_DAYS = 4096
_MOST_PARTIES = 1024


@dataclass(frozen=True, slots=True)
class Dated:
    """The rules from a day on, merged over all profiles that one extends."""

    valid_from: date | None
    source: str
    rules: RulesSpec


class Edition:
    """One edition, compiled.

    Attributes:
        convert: brings a text into the character set; None where the edition names none.
        most_payments: payments in a file at most, None = any number; likewise ``most_in_block``, ``most_bytes``.
    """

    def __init__(self, dated: Dated, model: str) -> None:
        rules = dated.rules
        self.valid_from = dated.valid_from
        self._of_parties, self._others = compile_rules(rules)
        self._known: dict[str, dict[str, tuple[dict[str, Any], list[Flaw]]]] = {role: {} for role in self._of_parties}
        self.days = ExecutionDays(rules.execution, DAY_FIELDS[model])
        self.looks_at_days = self.days.needed()
        self.zone = zone(rules.execution.zone)
        self.defaults = tuple((name, spec.default) for name in CODES if (spec := getattr(rules, name)).default)
        self.convert: Callable[[str], str] | None = conversion(rules)
        self.most_payments, self.most_in_block = rules.files.most_payments, rules.files.most_in_block
        self.most_bytes: int | None = rules.files.most_bytes
        self._grouping = tuple(tuple(path.split(".")) for path in rules.files.grouping)

    def flaws(self, payment: dict[str, Any]) -> list[Flaw]:
        """What a payment breaks, but for its execution date."""
        found: list[Flaw] = []
        for role, known in self._known.items():
            party = payment.get(role)
            if isinstance(party, dict):
                name = str(party.get("name"))
                seen = known.get(name)
                # Payments of a run share their debtor and many a creditor: who was seen before is not looked at again.
                found += seen[1] if seen is not None and seen[0] == party else self._look_at(role, payment, name)
        for check in self._others:
            check(payment, found)
        return found

    def _look_at(self, role: str, payment: dict[str, Any], name: str) -> list[Flaw]:
        """What a party breaks; rules about one look at nothing else of its payment."""
        flaws: list[Flaw] = []
        for check in self._of_parties[role]:
            check(payment, flaws)
        known = self._known[role]
        if len(known) >= _MOST_PARTIES:
            known.clear()
        known[name] = payment[role], flaws
        return flaws

    def group(self, payment: dict[str, Any]) -> tuple[Any, ...]:
        """What payments of one block have in common beside what a block shares anyway."""
        if not self._grouping:
            return ()
        return tuple(value_at(payment, path) for path in self._grouping)


class Profile:
    """The rule book of a scheme or bank, compiled once; safe to share between threads.

    Args:
        name: its name in configuration files.
        model: canonical model that it is about.
        chosen_by: ``execution_date`` or ``processing_date``.
        editions: the rules by day, the oldest first.
    """

    def __init__(self, name: str, model: str, chosen_by: str, editions: Sequence[Dated]) -> None:
        self.name, self.model = name, model
        self._field = DAY_FIELDS[model]
        self._by_execution = chosen_by == "execution_date"
        self._editions = [Edition(dated, model) for dated in editions]
        self._by_day: dict[str, Edition | None] = {}

    def edition(self, day: date) -> Edition | None:
        """The edition that is valid on a day; None before the first."""
        valid = [one for one in self._editions if one.valid_from is None or one.valid_from <= day]
        return valid[-1] if valid else None

    def at(self, at: int) -> Edition:
        """The edition by which a file is written at that time (milliseconds since 1970 UTC): characters, limits."""
        last = self._editions[-1]
        return self.edition(local(at, last.zone).date()) or self._editions[0]

    def check(self, payment: dict[str, Any], at: int | None = None) -> tuple[Flaw, ...]:
        """What of the rules a payment breaks; it was found right by its model's check before.

        ``at`` is the moment at which it is looked at, in milliseconds since 1970 UTC. None = it is history: cut-off
        times and days that are over are no matter.
        """
        edition = self._of(payment, at)
        if edition is None:
            return (self._no_edition(),)
        flaws = edition.flaws(payment)
        if edition.looks_at_days:
            told = edition.days.flaw(edition.days.of(payment, at))
            if told is not None:
                flaws.append(told)
        return tuple(flaws)

    def prepare(self, payment: dict[str, Any], at: int) -> dict[str, Any]:
        """The payment as it is written: codes that the profile prescribes filled in, the execution date moved.

        Raises:
            Rejected: it breaks a rule; code and ISO reason of the first error, all of them in ``findings``.
        """
        edition = self._of(payment, at)
        if edition is None:
            raise refusal((self._no_edition(),))
        flaws = edition.flaws(payment)
        if edition.looks_at_days:
            found = edition.days.of(payment, at)
            told = edition.days.flaw(found)
            if told is not None:
                flaws.append(told)
                if edition.days.rolls():
                    payment = {**payment, self._field: found.day.isoformat()}
        if flaws:
            errors = tuple(flaw for flaw in flaws if flaw.severity == "error")
            if errors:
                raise refusal(errors)
        for name, code in edition.defaults:
            if not payment.get(name):
                payment = {**payment, name: code}
        return payment

    def findings(self, body: Any, at: int | None = None) -> tuple[Flaw, ...]:
        """Everything wrong with a body: by its canonical model, then, if that finds nothing, by the profile."""
        wrong: tuple[Any, ...] = MODELS[self.model](body)
        return wrong or self.check(body, at)

    def _of(self, payment: dict[str, Any], at: int | None) -> Edition | None:
        if at is not None and not self._by_execution:
            return self.edition(local(at, self._editions[-1].zone).date())
        day = payment[self._field]
        try:
            return self._by_day[day]
        except KeyError:
            if len(self._by_day) >= _MOST_DAYS:
                self._by_day.clear()
            found = self._by_day[day] = self.edition(date.fromisoformat(day))
            return found

    def _no_edition(self) -> Flaw:
        first = self._editions[0].valid_from
        text = f"the profile `{self.name}` has no edition for that day; the first begins on {first}"
        return Flaw("VAL681", "error", self._field, text, "DT01")
