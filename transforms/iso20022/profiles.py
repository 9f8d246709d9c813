"""Rule books that written payments have to keep; a new one is a row of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from transforms.canonical import Flaw


@dataclass(frozen=True, slots=True)
class Profile:
    """One scheme's or bank's rules for a credit transfer, beyond what the message schema says.

    Attributes:
        currencies: ISO 4217 codes that may be paid; empty = all.
        most: highest amount of one payment; None = no limit.
        iban_only: both accounts must have an IBAN.
        longest_name: characters of a party's name.
        one_remittance: either one unstructured text or one structured reference.
        service_level: put where a payment names none, and no other may be named; empty = any.
        charge_bearer: likewise.
        latin: texts must be of the SEPA character set, whatever the format's ``charset`` says.
    """

    currencies: frozenset[str] = frozenset()
    most: Decimal | None = None
    iban_only: bool = False
    longest_name: int = 140
    one_remittance: bool = False
    service_level: str = ""
    charge_bearer: str = ""
    latin: bool = False

    def flaws(self, payment: dict[str, Any]) -> Iterator[Flaw]:
        """What of the rules a canonical payment breaks; the payment itself was found right before."""
        amount = payment["amount"]
        if self.currencies and amount["currency"] not in self.currencies:
            yield _flaw("amount.currency", f"only {', '.join(sorted(self.currencies))} can be paid", "AM03")
        if self.most is not None and amount["value"] > self.most:
            yield _flaw("amount", f"the amount is over {self.most}", "AM02")
        for role, reason in (("debtor", "AC02"), ("creditor", "AC01")):
            party = payment[role]
            if self.iban_only and not party["account"].get("iban"):
                yield _flaw(f"{role}.account", f"the account of the {role} must be an IBAN", reason)
            if len(party["name"]) > self.longest_name:
                yield _flaw(f"{role}.name", f"the name is longer than {self.longest_name} characters", "BE20")
        for name, only, reason in (
            ("service_level", self.service_level, "FF04"),
            ("charge_bearer", self.charge_bearer, "BE19"),
        ):
            if only and payment.get(name) not in (None, "", only):
                yield _flaw(name, f"the {name.replace('_', ' ')} must be {only}", reason)
        if self.one_remittance:
            remittance = payment.get("remittance") or {}
            if len(remittance.get("unstructured") or ()) + len(remittance.get("structured") or ()) > 1:
                yield _flaw(
                    "remittance", "there is room for one text or one structured reference, not for both", "RR07"
                )


def _flaw(place: str, message: str, reason: str) -> Flaw:
    return Flaw("VAL443", "error", place, message, reason)


PROFILES: dict[str, Profile] = {
    # European Payments Council, SEPA Credit Transfer rulebook 2025 and its customer-to-PSP guidelines (EPC132-08).
    "sepa-sct": Profile(
        currencies=frozenset({"EUR"}),
        most=Decimal("999999999.99"),
        iban_only=True,
        longest_name=70,
        one_remittance=True,
        service_level="SEPA",
        charge_bearer="SLEV",
        latin=True,
    ),
}
"""Name in route files -> rules."""
