"""What a profile demands, in words: for people who look it up, and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from transforms.profiles.flaws import SEVERITIES
from transforms.profiles.rules import CODES
from transforms.profiles.specs import RulesSpec


class Demand(NamedTuple):
    """One rule: what it is about, what it says, what a breach is, and the ISO 20022 reason of the finding."""

    rule: str
    says: str
    breach: str
    reason: str


def demands(rules: RulesSpec) -> list[Demand]:
    """Every rule of an edition that restricts or changes something."""
    parts = (_texts, _addresses, _money, _accounts, _codes, _references, _days)
    return [demand for part in parts for demand in part(rules)]


def _texts(rules: RulesSpec) -> Iterator[Demand]:
    severity = rules.severity
    if rules.characters:
        how = "others are replaced where they can be" if rules.conversion == "transliterate" else "others are refused"
        yield Demand("characters", f"{rules.characters}; {how}", severity.characters, "RR10")
    for name, most in rules.lengths:
        if most is not None:
            reason = {"name": "BE20", "text": "RR07", "reference": "RR09", "account": "AC01"}.get(name, "BE04")
            yield Demand(f"lengths.{name}", f"at most {most} characters", severity.lengths, reason)


def _addresses(rules: RulesSpec) -> Iterator[Demand]:
    spec = rules.address
    said = {
        "none": "no address at all",
        "structured": "fields only",
        "hybrid": f"town, country and at most {spec.hybrid_lines} lines",
        "unstructured": f"other lines, at most {spec.lines}",
        "half": "town without country or country without town",
        "repeated": "lines that say town or country again",
    }
    for name, text in said.items():
        verdict: str = getattr(spec, name)
        if verdict in SEVERITIES:
            yield Demand(f"address.{name}", text, SEVERITIES[verdict], "BE04")


def _money(rules: RulesSpec) -> Iterator[Demand]:
    severity = rules.severity
    if rules.currencies:
        yield Demand("currencies", ", ".join(rules.currencies), severity.amounts, "AM03")
    for currency, bounds in rules.amounts.items():
        if bounds.least is not None:
            yield Demand("amounts", f"{currency} at least {bounds.least}", severity.amounts, "AM06")
        if bounds.most is not None:
            yield Demand("amounts", f"{currency} at most {bounds.most}", severity.amounts, "AM02")


def _accounts(rules: RulesSpec) -> Iterator[Demand]:
    severity, accounts = rules.severity, rules.accounts
    for role, reason in (("debtor", "AC02"), ("creditor", "AC01")):
        kind: str = getattr(accounts, role)
        if kind != "any":
            text = "an IBAN" if kind == "iban" else "a number that is no IBAN"
            yield Demand(f"accounts.{role}", text, severity.accounts, reason)
    if accounts.countries:
        yield Demand("accounts.countries", " ".join(accounts.countries), severity.accounts, "AG03")
    if accounts.routing == "usaba":
        yield Demand("accounts.routing", "banks by US routing numbers", severity.accounts, "RC04")
    if accounts.national_check:
        yield Demand("accounts.national_check", "check digits of the country's own", severity.accounts, "AC01")
    if accounts.bic_needed:
        yield Demand("accounts.bic_needed", " ".join(accounts.bic_needed), severity.accounts, "RC04")


def _codes(rules: RulesSpec) -> Iterator[Demand]:
    for name, reason in CODES.items():
        spec = getattr(rules, name)
        words = [" or ".join(spec.allowed)] if spec.allowed else []
        words += [f"written where there is none: {spec.default}"] if spec.default else []
        words += ["required"] if spec.required and not spec.default else []
        if words:
            yield Demand(name, "; ".join(words), rules.severity.codes, reason)


def _references(rules: RulesSpec) -> Iterator[Demand]:
    severity, remittance, form = rules.severity, rules.remittance, rules.identifiers
    for name, most in (("texts", remittance.texts), ("references", remittance.references)):
        if most is not None:
            yield Demand(f"remittance.{name}", f"at most {most}", severity.remittance, "RR07")
    if not remittance.both:
        yield Demand("remittance.both", "a text or a reference, not both", severity.remittance, "RR07")
    if form != type(form)():
        slashes = ", no slash at an end, no two in a row" if form.slashes == "inside" else ""
        yield Demand("identifiers", f"at most {form.longest} characters{slashes}", severity.identifiers, "FF08")
    if form.creditor_id == "sepa":
        yield Demand("identifiers.creditor_id", "a SEPA creditor identifier", severity.identifiers, "BE17")
    for item in rules.required:
        yield Demand("required", item, severity.required, "CH21")


def _days(rules: RulesSpec) -> Iterator[Demand]:
    days, files = rules.execution, rules.files
    breach = {"refuse": "error", "warn": "warning", "next": "moved to the next day"}[days.roll]
    if days.calendar != "none":
        yield Demand("execution.calendar", days.calendar, breach, "DT01")
    if days.closed:
        yield Demand("execution.closed", ", ".join(str(day) for day in days.closed), breach, "DT01")
    for row in days.cut_offs:
        kind = " ".join(filter(None, (row.currency, row.service_level, row.local_instrument))) or "all"
        ahead = f", {row.days_before} business days before" if row.days_before else ""
        yield Demand("execution.cut_offs", f"{kind}: {row.at} {row.zone}{ahead}", breach, "TM01")
    if days.most_days_ahead is not None:
        yield Demand("execution.most_days_ahead", str(days.most_days_ahead), "error", "DT01")
    for name in ("most_payments", "most_in_block", "most_bytes"):
        most = getattr(files, name)
        if most is not None:
            breach = "begins a new block" if name == "most_in_block" else "error"
            yield Demand(f"files.{name}", str(most), breach, "AM18" if name == "most_payments" else "")
    if files.grouping:
        yield Demand("files.grouping", ", ".join(files.grouping), "begins a new block", "")
